//! Whatever a provider or a gateway answers: the client reads it whole or says what may have happened.

use std::time::Duration;

use vip_adapters::hetzner::fuzzing::{Reading, read_answer};
use vip_core::ports::{Deletion, ProviderErrorKind as Kind};

use crate::answer::Answer;

/// Reads an answer to one call; data that is no answer becomes the body of every answer to every call.
pub fn run(data: &[u8]) {
    match Answer::parse(data) {
        Some(answer) => calls(answer.call).iter().for_each(|call| check(call, &answer)),
        None => {
            for call in ALL {
                for status in [200, 201, 404, 409, 422, 429, 502] {
                    check(call, &Answer { call, status, headers: Vec::new(), body: data });
                }
            }
        }
    }
}

const ALL: [&str; 11] = [
    "create",
    "find",
    "find_labelled",
    "get",
    "delete",
    "actions",
    "inventory",
    "server_types",
    "locations",
    "images",
    "pricing",
];

/// The calls that a word stands for: a catalog is read by four.
fn calls(word: &str) -> Vec<&str> {
    match word {
        "catalog" => vec!["server_types", "locations", "images", "pricing"],
        one => vec![one],
    }
}

fn check(call: &str, answer: &Answer<'_>) {
    let read = || read_answer(call, answer.status, &answer.headers, answer.body);
    let Some(reading) = read() else {
        assert!(!ALL.contains(&call), "{call} is no call");
        return;
    };
    assert_eq!(Some(&reading), read().as_ref(), "the same answer is read in two ways");
    match &reading {
        Ok(reading) => check_reading(call, answer, reading),
        Err(kind) => check_error(call, answer, *kind),
    }
}

fn check_error(call: &str, answer: &Answer<'_>, kind: Kind) {
    let status = answer.status;
    if let Kind::Throttled { retry_after } = kind {
        let bounds = Duration::from_secs(1)..=Duration::from_secs(60);
        assert!(bounds.contains(&retry_after), "{call} {status} waits {retry_after:?}");
    }
    assert!(kind != Kind::NotSent || status == 401, "{call} {status} was answered, so it was sent");
    assert!(kind != Kind::AlreadyExists || call == "create", "{call} {status} collides with a name");
    match status {
        429 => assert!(matches!(kind, Kind::Throttled { .. }), "{call} {status} is {kind:?}"),
        // A server error, a redirect, or a success that cannot be read: nobody said that nothing was applied.
        ..400 | 500.. => assert_eq!(kind, Kind::Unknown, "{call} {status}"),
        400..=499 => {
            let is_ours = says(answer.body, |_| true);
            assert!(is_ours || matches!(kind, Kind::Unknown | Kind::NotSent), "{call} {status} is {kind:?}");
        }
    }
}

/// Whether a body is a refusal in the API's own words with such a code, read in another way than the client does.
fn says(body: &[u8], is_wanted: impl Fn(&str) -> bool) -> bool {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(body) => body.pointer("/error/code").and_then(serde_json::Value::as_str).is_some_and(is_wanted),
        // Such as `1e999` and a lone `\ud800`: good JSON, of which only this reader minds what it does not look at.
        Err(error) => {
            ["number out of range", "surrogate", "hex escape"].iter().any(|it| error.to_string().contains(it))
        }
    }
}

fn check_reading(call: &str, answer: &Answer<'_>, reading: &Reading) {
    let is_absent = match reading {
        Reading::Looked(server) => server.is_none(),
        Reading::Deleted(deletion) => *deletion == Deletion::AlreadyGone,
        Reading::Actions(actions) => actions.is_empty() && answer.status == 404,
        Reading::Created(created) => {
            assert!(!created.actions.is_empty(), "a create without an action");
            false
        }
        Reading::Servers(_, next) => {
            assert!(next.is_none_or(|next| next > 1), "page 1 is followed by {next:?}");
            false
        }
        Reading::ServerTypes(_) | Reading::Locations(_) | Reading::Images(_) | Reading::Prices(_) => false,
    };
    if is_absent {
        let is_said = answer.status == 404 && says(answer.body, |code| code == "not_found");
        assert!(is_said, "{call} {} is read as an absence", answer.status);
    } else {
        assert!((200..300).contains(&answer.status), "{call} {} is read as {reading:?}", answer.status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_client_is_read() {
        assert_eq!(vip_adapters::hetzner::fuzzing::calls(), ALL);
    }

    #[test]
    fn every_seed_is_an_answer_to_a_call() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds/hetzner_response");
        for entry in std::fs::read_dir(folder).unwrap() {
            let data = std::fs::read(entry.unwrap().path()).unwrap();
            let answer = Answer::parse(&data).unwrap();
            for call in calls(answer.call) {
                assert!(read_answer(call, answer.status, &answer.headers, answer.body).is_some(), "{}", answer.call);
            }
        }
    }
}
