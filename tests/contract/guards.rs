//! Takes each guard out of its statement in turn, and demands that some case of the contracts then fails.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures_util::{FutureExt, StreamExt, future, stream};

use crate::{AT_ONCE, LEAST_GUARDS, MORE_CASES, filtered, job_queue_contract, store_contract, store_upkeep_contract};
use vip_core::conformance::{BackendFixture, Case};

const MARK: &str = "-- guard: ";

pub(crate) type BackendCase = Case<dyn BackendFixture>;

/// Is a guard by the name of its statement and its own.
type Guard = (String, String);

fn guards_of(name: &str, text: &str) -> Vec<Guard> {
    let marked = text.lines().filter_map(|line| line.split_once(MARK));
    marked.map(|(_, guard)| (name.to_owned(), guard.trim().to_owned())).collect()
}

fn without(text: &'static str, guard: &str) -> Cow<'static, str> {
    let keeps = |line: &&str| line.split_once(MARK).is_none_or(|(_, found)| found.trim() != guard);
    Cow::Owned(text.lines().filter(keeps).collect::<Vec<_>>().join("\n"))
}

/// Lists the statements of the adapter by their names and texts.
async fn statements() -> Vec<(String, &'static str)> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&found);
    let fixture = filtered(Box::new(move |name, text| {
        seen.lock().unwrap().push((name.to_owned(), text));
        Cow::Borrowed(text)
    }));
    fixture.await.close().await;
    let found = found.lock().unwrap();
    found.clone()
}

/// Runs a case without a guard; says whether it failed.
async fn fails(case: BackendCase, (statement, guard): &Guard) -> bool {
    let (statement, guard) = (statement.clone(), guard.clone());
    let filter = move |name: &str, text| {
        if name == statement { without(text, &guard) } else { Cow::Borrowed(text) }
    };
    let fixture = filtered(Box::new(filter)).await;
    let failed = AssertUnwindSafe(case(&fixture)).catch_unwind().await.is_err();
    fixture.close().await;
    failed
}

/// Lists all cases, those first that are likely to miss a guard of the statement.
fn cases_for(statement: &str) -> Vec<BackendCase> {
    let of_queue = ["job_", "settle_"].iter().any(|prefix| statement.starts_with(prefix));
    let of_commit = ["server_", "note_", "operation_move", "quota_"].iter().any(|prefix| statement.starts_with(prefix));
    let (queue, store) = (job_queue_contract::CASES, store_contract::CASES);
    let upkeep = store_upkeep_contract::CASES;
    let lists = match (of_queue, of_commit) {
        (true, _) => [queue, store, upkeep],
        (false, true) => [store, upkeep, queue],
        (false, false) => [upkeep, store, queue],
    };
    lists.iter().copied().chain([MORE_CASES]).flatten().map(|(_, case)| *case).collect()
}

async fn is_missed(guard: Guard) -> Option<Guard> {
    for case in cases_for(&guard.0) {
        if fails(case, &guard).await {
            return None;
        }
    }
    Some(guard)
}

#[tokio::test]
async fn every_guard_is_missed_by_some_case() {
    let statements = statements().await;
    let guards: Vec<Guard> = statements.iter().flat_map(|(name, text)| guards_of(name, text)).collect();
    assert!(guards.len() >= LEAST_GUARDS, "{guards:?}");
    let number = guards.len();
    let unmissed = stream::iter(guards).map(is_missed).buffer_unordered(AT_ONCE).filter_map(future::ready);
    let unmissed: Vec<Guard> = unmissed.collect().await;
    assert!(unmissed.is_empty(), "no case fails without {unmissed:?}");
    println!("{number} of {number} guards are missed by some case");
}

/// One that cannot be read fails every case, whatever that tests, and its guard would look missed.
#[tokio::test]
async fn every_statement_can_be_read_without_any_of_its_guards() {
    let fixture = filtered(Box::new(|_, text| Cow::Borrowed(text))).await;
    assert!(fixture.read("SELECT 1 WHERE").await.is_err(), "nothing is read at all");
    let mut unreadable = Vec::new();
    for (name, text) in statements().await {
        for (_, guard) in guards_of(&name, text) {
            if let Err(error) = fixture.read(&without(text, &guard)).await {
                unreadable.push(format!("{name} without `{guard}`: {error}"));
            }
        }
    }
    fixture.close().await;
    assert!(unreadable.is_empty(), "{}", unreadable.join("\n"));
}

#[test]
fn a_guard_is_found_and_taken_out() {
    let text = "SELECT 1\nWHERE a = ?1\n  AND b = ?2 -- guard: b\nLIMIT 1";
    assert_eq!(guards_of("name", text), [("name".to_owned(), "b".to_owned())]);
    assert_eq!(without(text, "b"), "SELECT 1\nWHERE a = ?1\nLIMIT 1");
}
