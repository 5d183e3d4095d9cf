//! What attempts tell an operator: how many, how they ended, how long they waited and took, which were slow.

use std::time::Duration;

use crate::model::JobKind;
use crate::ports::{Claimed, Verdict};
use crate::telemetry;

/// Counts that a job was taken up, and how long it had been due by the queue's clock.
pub(super) fn began(claimed: &Claimed) {
    let job = &claimed.job;
    if let Some(until) = job.lease_until {
        let waited = until.minus(claimed.lease.duration).since(job.due);
        metrics::histogram!(telemetry::METRIC_JOB_WAIT_SECONDS, "kind" => job.kind.to_string())
            .record(waited.as_secs_f64());
    }
}

/// Counts how an attempt ended; one that took more than half of its lease was slow.
pub(super) fn ended(kind: &JobKind, verdict: &Verdict, took: Duration, lease: Duration) {
    let (outcome, code) = match verdict {
        Verdict::Done => ("done", None),
        Verdict::Retry { code, .. } => ("retry", Some(code)),
        Verdict::Snooze { .. } => ("snooze", None),
        Verdict::Release => ("release", None),
        Verdict::Dead { code } => ("dead", Some(code)),
    };
    let name = || kind.to_string();
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
    use std::sync::{Arc, Mutex};

    use metrics::{
        Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };

    use super::*;

    /// Writes down what is counted.
    #[derive(Default)]
    struct Written(Arc<Mutex<Vec<String>>>);

    struct Line(String, Arc<Mutex<Vec<String>>>);

    impl CounterFn for Line {
        fn increment(&self, _value: u64) {
            self.1.lock().unwrap().push(self.0.clone());
        }

        fn absolute(&self, _value: u64) {}
    }

    impl HistogramFn for Line {
        fn record(&self, _value: f64) {
            self.1.lock().unwrap().push(self.0.clone());
        }
    }

    impl Recorder for Written {
        fn describe_counter(&self, _key: KeyName, _unit: Option<Unit>, _description: SharedString) {}

        fn describe_gauge(&self, _key: KeyName, _unit: Option<Unit>, _description: SharedString) {}

        fn describe_histogram(&self, _key: KeyName, _unit: Option<Unit>, _description: SharedString) {}

        fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
            Counter::from_arc(Arc::new(Line(shown(key), self.0.clone())))
        }

        fn register_gauge(&self, _key: &Key, _metadata: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(Arc::new(Line(shown(key), self.0.clone())))
        }
    }

    fn shown(key: &Key) -> String {
        let labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        format!("{} {}", key.name(), labels.join(","))
    }

    fn counted(verdict: &Verdict, took: Duration) -> Vec<String> {
        let written = Written::default();
        let kind = JobKind::new("shop.mail").unwrap();
        metrics::with_local_recorder(&written, || ended(&kind, verdict, took, Duration::from_secs(60)));
        let lines = written.0.lock().unwrap().clone();
        assert!(lines.iter().all(|line| telemetry::METRICS.contains(&line.split(' ').next().unwrap())), "{lines:?}");
        lines
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
