//! Durations for a story of seconds: the proportions of production, a hundred times faster.

use std::time::Duration;

use vip_adapters::vip_core::model::Timing;

/// Returns sound timings for a simulator that creates a server in about a second.
pub(crate) fn quick() -> Timing {
    let millis = Duration::from_millis;
    let mut timing = Timing::default();
    timing.lease = millis(6_000);
    timing.heartbeat = millis(1_000);
    timing.request_deadline = millis(2_000);
    timing.commit_deadline = millis(1_500);
    timing.margin = millis(300);
    timing.landing_allowance = millis(2_000);
    timing.sweep_interval = millis(5_000);
    timing.sweep_grace = millis(9_000);
    timing.stall_after = millis(7_500);
    timing.backoff_first = millis(700);
    timing.backoff_most = millis(3_000);
    timing.look_first = millis(1_300);
    timing.look_again = millis(400);
    timing.probe_first = millis(500);
    timing
}
