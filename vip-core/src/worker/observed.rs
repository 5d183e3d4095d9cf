//! What attempts tell an operator: how many, how they ended, how long they waited and took, which were slow.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::Attempt;
use crate::ports::Verdict;
use crate::telemetry;

/// Counts that a job was taken up, and how long it had been due by the queue's clock.
pub(super) fn began(kind: &Arc<str>, attempt: &Attempt) {
    if let Some(waited) = attempt.waited() {
        metrics::histogram!(telemetry::METRIC_JOB_WAIT_SECONDS, "kind" => Arc::clone(kind))
            .record(waited.as_secs_f64());
    }
}

/// Counts how an attempt ended; one that took more than half of its lease was slow.
pub(super) fn ended(kind: &Arc<str>, verdict: &Verdict, took: Duration, lease: Duration) {
    let (outcome, code) = match verdict {
        Verdict::Done => ("done", None),
        Verdict::Retry { code, .. } => ("retry", Some(code)),
        Verdict::Snooze { .. } => ("snooze", None),
        Verdict::Release => ("release", None),
        Verdict::Dead { code } => ("dead", Some(code)),
    };
    let name = || Arc::clone(kind);
    metrics::counter!(telemetry::METRIC_JOB_ATTEMPTS, "kind" => name(), "outcome" => outcome).increment(1);
    metrics::histogram!(telemetry::METRIC_JOB_SECONDS, "kind" => name(), "outcome" => outcome)
        .record(took.as_secs_f64());
    if let Some(code) = code {
        metrics::counter!(telemetry::METRIC_JOB_FAILURES, "kind" => name(), "code" => code.clone()).increment(1);
    }
    if took > lease / 2 {
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!({ telemetry::DURATION_MS } = duration_ms, "an attempt took more than half of its lease");
        metrics::counter!(telemetry::METRIC_JOB_SLOW, "kind" => name()).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::written::Written;

    fn counted(verdict: &Verdict, took: Duration) -> Vec<String> {
        let written = Written::default();
        let kind = Arc::from("shop.mail");
        metrics::with_local_recorder(&written, || ended(&kind, verdict, took, Duration::from_secs(60)));
        written.lines()
    }

    #[test]
    fn an_attempt_beyond_half_of_its_lease_is_slow_and_what_failed_is_counted_by_its_code() {
        let (half, slow) = (Duration::from_secs(30), telemetry::METRIC_JOB_SLOW.to_owned() + " kind=shop.mail");
        let quick = counted(&Verdict::Done, half);
        assert!(quick.contains(&"vip_job_attempts_total kind=shop.mail,outcome=done".to_owned()), "{quick:?}");
        assert!(!quick.contains(&slow), "{quick:?}");
        assert!(counted(&Verdict::Done, half + Duration::from_millis(1)).contains(&slow));
        let code = "mail_server_down".to_owned();
        let failed = counted(&Verdict::Retry { delay: half, code }, half);
        let expected = "vip_job_failures_total kind=shop.mail,code=mail_server_down".to_owned();
        assert!(failed.contains(&expected), "{failed:?}");
    }
}
