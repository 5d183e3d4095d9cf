//! Counts which steps were taken and which answers came, so that the simulation can tell that it misses none.
//!
//! Only a build with `--cfg vip_seeded_bugs` counts; in any other build these functions are empty.
#![cfg_attr(not(vip_seeded_bugs), allow(unreachable_pub, reason = "public only in the build that counts"))]

use super::absorb::{Answer, Asked};
use super::step::Step;

#[cfg(vip_seeded_bugs)]
pub use counting::take;

/// Counts a step.
#[cfg(not(vip_seeded_bugs))]
pub(super) const fn step(_step: &Step) {}

/// Counts an answer.
#[cfg(not(vip_seeded_bugs))]
pub(super) const fn answer(_asked: &Asked, _answer: &Answer) {}

#[cfg(vip_seeded_bugs)]
pub(super) use counting::{answer, step};

#[cfg(vip_seeded_bugs)]
mod counting {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::{Answer, Asked, Step};
    use crate::model::Effect;
    use crate::ports::{ActionStatus, Deletion};
    use crate::provisioning::converge::{Look, LookFor};

    thread_local! {
        static REACHED: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// Returns what this thread has counted since it was asked last.
    #[must_use]
    pub fn take() -> BTreeMap<String, u64> {
        REACHED.with_borrow_mut(std::mem::take)
    }

    fn count(name: String) {
        REACHED.with_borrow_mut(|reached| *reached.entry(name).or_default() += 1);
    }

    pub(in crate::provisioning::converge) fn step(step: &Step) {
        count(match step {
            Step::Call { effect, .. } => format!("step: call {}", effect.as_str()),
            Step::Look(look) => format!("step: look {}", of_look(look)),
            Step::Move(_) => "step: move".to_owned(),
            Step::Wait { .. } => "step: wait".to_owned(),
            Step::Settled => "step: settled".to_owned(),
        });
    }

    pub(in crate::provisioning::converge) fn answer(asked: &Asked, answer: &Answer) {
        let what = match asked {
            Asked::Effect(intent) => match &intent.effect {
                Effect::Create { .. } => "create",
                Effect::Delete { .. } => "delete",
            },
            Asked::Look { look, .. } => of_look(look),
        };
        count(format!("absorb: {what}: {}", of_answer(answer)));
    }

    const fn of_look(look: &Look) -> &'static str {
        match look {
            Look::Name { .. } => "name",
            Look::Id { why: LookFor::Confirm | LookFor::Timeout, .. } => "id to confirm",
            Look::Id { why: LookFor::Removal, .. } => "id to remove",
            Look::Id { why: LookFor::Surplus, .. } => "id of a surplus",
            Look::Id { why: LookFor::Resurfaced, .. } => "id of a resurfaced",
            Look::Id { why: LookFor::Missing, .. } => "id of a missing",
            Look::Actions { .. } => "actions",
        }
    }

    fn of_answer(answer: &Answer) -> &'static str {
        match answer {
            Answer::Created(_) => "created",
            Answer::Deleted(Deletion::Accepted) => "accepted",
            Answer::Deleted(Deletion::AlreadyGone) => "already gone",
            Answer::Name(found) if found.named.is_some() => "a server of that name",
            Answer::Name(found) if !found.labelled.is_empty() => "a server of another name",
            Answer::Name(_) | Answer::Server(None) => "none",
            Answer::Server(Some(_)) => "a server",
            Answer::Actions(seen) => {
                let is_failed = |status: &ActionStatus| matches!(status, ActionStatus::Failed { .. });
                if seen.iter().any(|action| is_failed(&action.status)) {
                    "failed"
                } else if seen.iter().any(|action| action.status == ActionStatus::Running) {
                    "running"
                } else {
                    "done"
                }
            }
            Answer::Failed(failure) => failure.kind.as_str(),
        }
    }
}
