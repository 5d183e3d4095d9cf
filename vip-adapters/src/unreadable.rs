//! What becomes of a job whose stored form cannot be read: it is said so and set apart, and hurts no other job. What is but a
//! hint in it is left out.

use std::fmt::{Debug, Display};

use vip_core::ports::{LeaseRef, Settlement, Verdict};
use vip_core::telemetry;

/// Why a job died that nobody could read; it is kept among the dead until somebody cancels it.
const UNREADABLE: &str = "unreadable";

/// Says which job cannot be read; what it holds is not shown.
pub(crate) fn report(job: impl Display, failure: &impl Debug) {
    telemetry::tell(|| {
        tracing::error!(job.id = %job, error = ?failure, "a stored job cannot be read and is set apart");
    });
}

/// Says which job has a hint that cannot be read, as one of a newer program may be; what it holds is not shown.
pub(crate) fn report_hint(job: impl Display) {
    telemetry::tell(|| tracing::debug!(job.id = %job, "a hint of a stored job cannot be read and is left out"));
}

/// Makes the end of a claimed job that cannot be read.
pub(crate) fn end(lease: LeaseRef) -> Settlement {
    Settlement { lease, verdict: Verdict::Dead { code: UNREADABLE.to_owned() } }
}
