//! Why an operation is not done and what happens next, in one sentence for whoever ordered.

use super::operation::Progress;
use crate::model::{FailReason, OperationStatus, OperationVerb, ParkReason, WaitReason};

impl Progress {
    /// Says in one sentence why the operation is not done and what happens next, or how it ended.
    #[must_use]
    pub fn why(&self) -> String {
        let code = self.operation.code.as_deref().unwrap_or("unknown");
        match (self.operation.status, self.operation.verb) {
            (OperationStatus::Succeeded, OperationVerb::Create) => "Done: the server has run.".to_owned(),
            (OperationStatus::Succeeded, OperationVerb::Delete) => "Done: the server is gone.".to_owned(),
            (OperationStatus::Superseded, _) => {
                "A deletion overtook it, so nothing follows from it any more.".to_owned()
            }
            (OperationStatus::Failed, _) => {
                let cause = FailReason::from_name(code).map_or("the order could not be fulfilled", failed);
                format!(
                    "Failed, because {cause}; nothing is left at the provider; order again under a new idempotency key."
                )
            }
            (OperationStatus::Parked, _) => {
                let cause = match (WaitReason::from_name(code), ParkReason::from_name(code)) {
                    (_, Some(reason)) => parked(reason),
                    (Some(reason), None) => waiting(reason),
                    (None, None) => "an operator has to look",
                };
                format!("Parked, because {cause}; {}.", self.next(WaitReason::from_name(code)))
            }
            (OperationStatus::Pending, _) => {
                let cause = waiting(self.wait_reason.unwrap_or(WaitReason::Queued));
                format!("Not done yet, because {cause}; {}.", self.next(self.wait_reason))
            }
        }
    }

    fn next(&self, reason: Option<WaitReason>) -> String {
        if reason == Some(WaitReason::AccountBlocked) {
            let opens = "when the provider takes the token again, when the processes have one that may write, or, if the project is another one, \
                         when an operator confirms it";
            return format!("it goes on {opens}");
        }
        match self.next_at {
            Some(at) => format!("it goes on by itself, at the latest some moments after {at}"),
            None => "it rests until an operator resumes it or the server is deleted".to_owned(),
        }
    }
}

const fn waiting(reason: WaitReason) -> &'static str {
    match reason {
        WaitReason::Queued => "no worker has taken it up yet",
        WaitReason::RequestInFlight => "a request of an earlier attempt may still be answered",
        WaitReason::AccountBlocked => {
            "the provider refuses the account's token, lets it only read, or shows another project with it"
        }
        WaitReason::ProviderUnavailable => "the provider does not answer as it should",
        WaitReason::Throttled => "the provider limits the number of requests, and this one waits for its turn",
        WaitReason::Busy => "the server is locked by other work at the provider",
        WaitReason::LookingForCreate => "the answer to its create was lost and the server is being looked for",
        WaitReason::NoStock => "none of the acceptable types is in stock at an acceptable location",
        WaitReason::ProviderWorking => "the provider works on it",
        WaitReason::RemovalInProgress => "the provider has accepted the removal and not finished it",
        WaitReason::RemovalRefused => "the provider refuses to remove the server",
        WaitReason::Quarantine => "a create without an answer may still land, and absence is not proven yet",
        WaitReason::NotVisibleYet => "the provider does not show the server yet",
        WaitReason::Parked => "it waits for an operator or for its cause to go away",
    }
}

const fn parked(reason: ParkReason) -> &'static str {
    match reason {
        ParkReason::ForeignName => "a server that is not ours has its name",
        ParkReason::SpecMismatch => "a server with its marks was created from another order",
        ParkReason::NameTakenUnseen => "its name is taken by something that cannot be seen",
        ParkReason::ProviderLimit => "the account's own limit at the provider is reached",
        ParkReason::Protected => "the server is protected at the provider",
        ParkReason::Ambiguous => "more than one server could be the right one",
        ParkReason::Restored => "the records were restored from a backup and an operator has to confirm them",
        ParkReason::HandlerFailed => "its job failed for good",
    }
}

const fn failed(reason: FailReason) -> &'static str {
    match reason {
        FailReason::Rejected => "the provider refused the order in every acceptable form",
        FailReason::NoStock => "no acceptable type was in stock for as long as the order was willing to wait",
        FailReason::ProviderFailed => "the provider's own work on it ended in an error",
        FailReason::CreateTimeout => "the server was there and did not run in time",
        FailReason::Vanished => "the server vanished before it ran",
    }
}

#[cfg(test)]
#[path = "why_tests.rs"]
mod tests;
