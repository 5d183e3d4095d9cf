//! The stored forms as golden files: what this version writes, and what it has to read. `docs/contributing.md` says what a
//! change of one demands.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{
    Account, AuditRecord, Desired, FailReason, JobState, OperationStatus, OperationVerb, OutcomeClass, ParkReason,
    Power, Server, ServerState, Shortage, SightingClass, Verb, WaitReason, Why,
};

/// Objects that take no further field: their keys are data, or are not ours to name.
const CLOSED: [&str; 4] = ["labels", "land", "request_deadline", "shortages"];

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("cannot be read: {error}\n{text}"))
}

/// Returns a document as a newer version may write it: with one field more in every object that takes one.
fn extended(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let known = fields.iter().map(|(name, value)| (name.clone(), extended(name, value)));
            let mut fields: Map<String, Value> = known.collect();
            if !CLOSED.contains(&name) {
                fields.insert("of_a_newer_version".to_owned(), json!({"a": [1]}));
            }
            Value::Object(fields)
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| extended("", item)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Demands that a document is written as the newest file has it, and that this one and the older ones are read, also with
/// fields that nobody knows yet. A failure shows the form in which it is written now.
fn demand<T: Serialize + DeserializeOwned + PartialEq + Debug>(newest: &str, older: &[&str]) {
    let document: T = read(newest);
    let written = serde_json::to_string_pretty(&document).unwrap();
    assert_eq!(read::<Value>(&written), read::<Value>(newest), "it is written as\n{written}");
    for text in [newest].iter().chain(older) {
        let extended = extended("", &read(text)).to_string();
        assert_eq!(read::<T>(&extended), read::<T>(text), "{text}");
    }
}

#[test]
fn a_record_is_read_as_every_version_has_written_it() {
    demand::<Server>(include_str!("golden/server_v1.json"), &[include_str!("golden/server_v1_least.json")]);
}

#[test]
fn an_account_is_read_as_every_version_has_written_it() {
    demand::<Account>(include_str!("golden/account_v1.json"), &[include_str!("golden/account_v1_least.json")]);
}

#[test]
fn an_audit_record_is_read_as_every_version_has_written_it() {
    let least = include_str!("golden/audit_record_v1_least.json");
    demand::<AuditRecord>(include_str!("golden/audit_record_v1.json"), &[least]);
}

/// Writes a value that is stored as one word, and reads it back.
fn word<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let written = serde_json::to_value(value).unwrap();
    assert_eq!(&serde_json::from_value::<T>(written.clone()).unwrap(), value);
    written.as_str().unwrap().to_owned()
}

/// Writes a line for each enum; a variant that is not named does not compile.
macro_rules! words {
    ($($name:ident: $($variant:ident)+;)+) => {
        [$({
            let words = [$($name::$variant),+].map(|value| match value {
                $($name::$variant)|+ => word(&value),
            });
            format!("{}: {}\n", stringify!($name), words.join(" "))
        }),+].concat()
    };
}

#[test]
fn every_word_that_is_stored_is_written_as_ever() {
    let written = words! {
        Desired: Present Absent;
        ServerState: Requested Creating Confirming Running Failing Failed Deleting Deleted Lost Parked;
        WaitReason: Queued RequestInFlight AccountBlocked ProviderUnavailable Throttled Busy LookingForCreate NoStock
            ProviderWorking RemovalInProgress RemovalRefused Quarantine NotVisibleYet Parked;
        FailReason: Rejected NoStock ProviderFailed CreateTimeout Vanished;
        ParkReason: ForeignName SpecMismatch NameTakenUnseen ProviderLimit Protected Ambiguous Restored HandlerFailed;
        Power: On Off;
        Verb: AcceptCreate AcceptDelete Announce Record Look Move Park Reopen;
        OutcomeClass: None Applied Found Absent Foreign Rejected Exhausted Busy Throttled NotSent Unknown ActionFailed;
        SightingClass: Missing Resurfaced Surplus Unrecorded Drift;
        OperationVerb: Create Delete;
        OperationStatus: Pending Parked Succeeded Failed Superseded;
        JobState: Waiting Leased Dead;
        Why: Wake Command;
        Shortage: Stock Limit;
    };
    assert_eq!(written, include_str!("golden/words_v1.txt"), "they are written as\n{written}");
}
