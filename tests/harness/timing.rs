//! Sound timings for tests on real clocks: the proportions of production in seconds.

use std::time::Duration;

use vip_core::model::Timing;

/// Returns timings for a simulator that creates a server within a second.
#[must_use]
pub fn quick() -> Timing {
    let millis = Duration::from_millis;
    let mut timing = Timing::default();
    timing.lease = millis(6_000);
    timing.heartbeat = millis(1_000);
    timing.request_deadline = millis(2_000);
    timing.commit_deadline = millis(1_500);
    timing.margin = millis(300);
    timing.landing_allowance = millis(2_000);
    timing.sweep_interval = millis(1_000);
    timing.sweep_grace = millis(5_000);
    timing.stall_after = millis(7_500);
    timing.backoff_first = millis(100);
    timing.backoff_most = millis(1_000);
    timing.look_first = millis(500);
    timing.look_again = millis(200);
    timing.probe_first = millis(300);
    timing
}
