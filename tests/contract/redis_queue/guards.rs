//! Takes each guard out of its script in turn, and demands that some case of the contract then fails.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures_util::{FutureExt, StreamExt, future, stream};
use vip_core::conformance::{BackendFixture, Case};

use crate::{job_queue_contract, with_config};

const MARK: &str = "-- guard: ";
/// Guards that are tried at once; they share one server.
const AT_ONCE: usize = 4;

/// Is a guard by the name of its script and its own.
type Guard = (String, String);

fn guards_of(name: &str, text: &str) -> Vec<Guard> {
    let marked = text.lines().filter_map(|line| line.split_once(MARK));
    marked.map(|(_, guard)| (name.to_owned(), guard.trim().to_owned())).collect()
}

fn without(text: &'static str, guard: &str) -> Cow<'static, str> {
    let keeps = |line: &&str| line.split_once(MARK).is_none_or(|(_, found)| found.trim() != guard);
    Cow::Owned(text.lines().filter(keeps).collect::<Vec<_>>().join("\n"))
}

async fn all_guards() -> Vec<Guard> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&found);
    let fixture = with_config(|config| {
        config.script_filter(move |name, text| {
            seen.lock().unwrap().extend(guards_of(name, text));
            Cow::Borrowed(text)
        })
    });
    fixture.await.close().await;
    let found = found.lock().unwrap();
    found.clone()
}

/// Runs a case without a guard; says whether it failed.
async fn fails(case: Case<dyn BackendFixture>, (script, guard): &Guard) -> bool {
    let (script, guard) = (script.clone(), guard.clone());
    let fixture = with_config(|config| {
        config.script_filter(move |name, text| if name == script { without(text, &guard) } else { Cow::Borrowed(text) })
    });
    let fixture = fixture.await;
    AssertUnwindSafe(case(&fixture)).catch_unwind().await.is_err()
}

async fn is_missed(guard: Guard) -> Option<Guard> {
    for (_, case) in job_queue_contract::CASES {
        if fails(*case, &guard).await {
            return None;
        }
    }
    Some(guard)
}

#[tokio::test]
async fn every_guard_of_a_script_is_missed_by_some_case() {
    let guards = all_guards().await;
    assert!(guards.len() > 15, "{guards:?}");
    let number = guards.len();
    let unmissed = stream::iter(guards).map(is_missed).buffer_unordered(AT_ONCE).filter_map(future::ready);
    let unmissed: Vec<Guard> = unmissed.collect().await;
    assert!(unmissed.is_empty(), "no case fails without {unmissed:?}");
    println!("{number} of {number} guards are missed by some case");
}
