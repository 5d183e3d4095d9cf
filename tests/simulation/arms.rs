//! Every variant of a step and every arm of the absorption of an answer, and whether runs reached it.

use std::collections::BTreeMap;

use crate::matrix::Matrix;
use crate::orders::Order;
use crate::plan::Plan;
use crate::run::{Setup, Trace, run};
use crate::swarm;

/// Seeds of each order.
const SEEDS: u64 = 10;
/// Random schedules.
const SCHEDULES: u64 = 5_000;

/// Steps, by what is called or looked at.
const STEPS: [&str; 12] = [
    "call create",
    "call delete",
    "look name",
    "look id to confirm",
    "look id to remove",
    "look id of a surplus",
    "look id of a resurfaced",
    "look id of a missing",
    "look actions",
    "move",
    "wait",
    "settled",
];

/// Answers that are no failure, by what was asked.
const ANSWERS: [(&str, &[&str]); 9] = [
    ("create", &["created"]),
    ("delete", &["accepted", "already gone"]),
    ("name", &["a server of that name", "a server of another name", "none"]),
    ("id to confirm", &["a server", "none"]),
    ("id to remove", &["a server", "none"]),
    ("id of a surplus", &["a server"]),
    ("id of a resurfaced", &["a server"]),
    ("id of a missing", &["a server", "none"]),
    ("actions", &["failed", "running", "done"]),
];

/// Failures, by their kind; `absorb` tells those of a look apart by the look, not by what an id is looked at for.
const FAILURES: [&str; 13] = [
    "not_sent",
    "throttled",
    "busy",
    "exhausted",
    "already_exists",
    "invalid_input",
    "placement",
    "protected",
    "account_limit",
    "unauthorized",
    "read_only",
    "bug",
    "unknown",
];

/// What failures are told apart by.
const FAILING: [&str; 5] = ["create", "delete", "name", "id to confirm", "actions"];

/// Failures that are never answered here: nobody protects a server that is not there yet, and a token that may only
/// read refuses no look.
const fn cannot_fail(asked: &str, failure: &str) -> bool {
    matches!((asked.as_bytes(), failure.as_bytes()), (b"create", b"protected"))
        || (matches!(failure.as_bytes(), b"read_only") && !matches!(asked.as_bytes(), b"create"))
}

/// Counts steps and answers over all orders and some random schedules.
#[must_use]
pub fn survey() -> BTreeMap<String, u64> {
    let mut matrix = Matrix::default();
    for order in Order::every() {
        for seed in 1..=SEEDS {
            matrix.count(&run(&Setup { seed, order, plan: Plan::default() }, Trace::Off), 0);
        }
    }
    for seed in 1..=SCHEDULES {
        matrix.count(&swarm::run(seed, Trace::Off), 0);
    }
    matrix.reached().clone()
}

/// Names what should have been reached and was not.
#[must_use]
pub fn missed(reached: &BTreeMap<String, u64>) -> Vec<String> {
    let mut wanted: Vec<String> = STEPS.iter().map(|step| format!("step: {step}")).collect();
    for (asked, answers) in ANSWERS {
        wanted.extend(answers.iter().map(|answer| format!("absorb: {asked}: {answer}")));
    }
    for asked in FAILING {
        let failures = FAILURES.iter().filter(|failure| !cannot_fail(asked, failure));
        wanted.extend(failures.map(|failure| format!("absorb: {asked}: {failure}")));
    }
    wanted.retain(|name| !reached.contains_key(name));
    wanted
}
