//! Every duration and bound of the protocol, with the inequalities that keep it sound.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::timestamp::Timestamp;

/// Longest duration: no plan reaches further, and a sum of some does not overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

const TOO_LONG: &str = "every duration ≤ 100 years";

/// Longest time for which anything is put off or leased.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// More than is added to a wait at random, for the patience that an outage takes, and up to a time that looks have in common.
const ADDED_MOST: Duration = Duration::from_secs(900);

/// Holds the durations and bounds of the protocol (`docs/protocol.md` §11); the builder refuses an unsound set. The same in all processes:
/// see [`Builder::timing`](crate::provisioner::Builder::timing).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Timing {
    /// How long a claim holds without a heartbeat. Default 60 s, at most 24 h.
    pub lease: Duration,
    /// Time between two heartbeats of a worker. Default 15 s, at most a third of the lease.
    pub heartbeat: Duration,
    /// Longest request to the provider. Default 30 s, at least 1 ms.
    pub request_deadline: Duration,
    /// Longest commit, repeats included. Default 5 s.
    pub commit_deadline: Duration,
    /// Time kept free at the end of a lease. Default 5 s.
    pub margin: Duration,
    /// How long after its deadline a request may still land at the provider and be shown by every read: an assumption.
    /// Default 10 min, at least 2 s; with `request_deadline` at most 24 h. A process with a shorter one ends orders too early.
    pub landing_allowance: Duration,
    /// Time between two sweeps of an account. Default 5 min, at least 1 s.
    pub sweep_interval: Duration,
    /// How long a disagreement must last before converge looks at it. Default 30 min.
    pub sweep_grace: Duration,
    /// How late a record may move before the sweep wakes it. Default 2 min.
    pub stall_after: Duration,
    /// How long answered looks may say "not running" before an order fails. Default 30 min, at least 1 min.
    pub create_timeout: Duration,
    /// How long an order waits for stock before it fails; outages do not count. Default 24 h, at least 1 min.
    pub stock_patience: Duration,
    /// How long an idempotency key outlives its server. Default 90 d, at least 24 h. The shortest of all processes with workers counts:
    /// each of them forgets keys by its own, and a repeat afterwards buys a second server.
    pub key_retention: Duration,
    /// How long a final record keeps more than its tombstone. Default 90 d, at least `key_retention`. The shortest of all
    /// processes with workers counts.
    pub record_retention: Duration,
    /// First wait after a provider could not be used; doubles up to `backoff_most`. Default 1 s.
    pub backoff_first: Duration,
    /// Longest wait after a provider could not be used; after a refused delete ten times as long, up to 10 min, if that is longer.
    /// Default 60 s, at most 24 h.
    pub backoff_most: Duration,
    /// Wait between a create and the first look at it. Default 11 s: a create from a system image
    /// takes 10 to 15 s. Once a process has seen some creates of a type, what they took counts instead. At most 24 h.
    pub look_first: Duration,
    /// Wait between further looks; grows up to four times. Default 3 s.
    pub look_again: Duration,
    /// Time after which a probe of a closed gate is repeated, doubling up to an hour. Default 60 s, at most 24 h.
    pub probe_first: Duration,
    /// Time after which a parked record is checked again. Default 1 h, from 1 s to 24 h.
    pub park_recheck: Duration,
    /// Surplus and resurfaced servers that ripen per account and sweep. Default 5, at least 1.
    pub removals_per_sweep: u32,
    /// Rescues after which a job is dead. Default 5, at least 1.
    pub max_rescues: u32,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            lease: seconds(60),
            heartbeat: seconds(15),
            request_deadline: seconds(30),
            commit_deadline: seconds(5),
            margin: seconds(5),
            landing_allowance: seconds(600),
            sweep_interval: seconds(300),
            sweep_grace: seconds(1800),
            stall_after: seconds(120),
            create_timeout: seconds(1800),
            stock_patience: seconds(86_400),
            key_retention: seconds(90 * 86_400),
            record_retention: seconds(90 * 86_400),
            backoff_first: seconds(1),
            backoff_most: seconds(60),
            look_first: seconds(11),
            look_again: seconds(3),
            probe_first: seconds(60),
            park_recheck: seconds(3600),
            removals_per_sweep: 5,
            max_rescues: 5,
        }
    }
}

/// Says which inequality a set of timings breaks, and what would go wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("timing: {rule} does not hold; else {consequence}")]
#[non_exhaustive]
pub struct TimingError {
    /// The inequality.
    pub rule: &'static str,
    /// What goes wrong without it.
    pub consequence: &'static str,
}

impl Timing {
    /// How far ahead the end of a lease may lie: further than any, which are 24 h at the most. A queue knows the timings of no worker.
    pub const FURTHEST_AHEAD: Duration = Duration::from_secs(25 * 3600);

    /// Longest wait that is none of these durations: what a provider may name, and the pause between two probes.
    pub(crate) const LONGEST_NAMED: Duration = Duration::from_secs(3600);

    /// Returns how far ahead a time that a record waits for may lie: further than anything is put off with these durations, and never
    /// further than [`FURTHEST_AHEAD`](Self::FURTHEST_AHEAD).
    #[must_use]
    pub fn furthest_ahead(&self) -> Duration {
        let longest = self.waits().into_iter().fold(Self::LONGEST_NAMED, Duration::max);
        longest.saturating_add(ADDED_MOST)
    }

    /// Says whether a time lies further ahead than anything is put off: it was written while the clock was ahead, and whoever
    /// waited for it would wait until the clock is there again.
    #[must_use]
    pub fn is_beyond(&self, at: Timestamp, now: Timestamp) -> bool {
        at > now.plus(self.furthest_ahead())
    }

    /// Checks every inequality that keeps these durations sound together (`docs/protocol.md` §11).
    ///
    /// # Errors
    ///
    /// [`TimingError`] with the first inequality that does not hold.
    pub fn check(&self) -> Result<(), TimingError> {
        // First, so that the sums below do not overflow.
        if self.longest() > LONGEST {
            return Err(TimingError { rule: TOO_LONG, consequence: "times are beyond what a store can hold" });
        }
        let [second, minute, day] = [1, 60, 86_400].map(Duration::from_secs);
        let least = Duration::from_millis(1);
        let rules = [
            (
                self.request_deadline + 2 * self.commit_deadline + self.margin < self.lease,
                "request_deadline + 2 × commit_deadline + margin < lease",
                "results are refused and every slow call becomes unknown",
            ),
            (self.heartbeat * 3 <= self.lease, "heartbeat ≤ lease / 3", "one lost heartbeat loses the lease"),
            (
                self.heartbeat + self.request_deadline + self.margin < self.lease,
                "heartbeat + request_deadline + margin < lease",
                "the lease guard refuses good calls",
            ),
            (
                self.landing_allowance >= 2 * second,
                "landing_allowance ≥ 2 s",
                "a server appears after its order has ended",
            ),
            (
                self.sweep_grace >= self.request_deadline + self.landing_allowance + self.sweep_interval,
                "sweep_grace ≥ request_deadline + landing_allowance + sweep_interval",
                "late creates in quarantine are handled twice",
            ),
            (
                self.stall_after >= self.lease + self.heartbeat,
                "stall_after ≥ lease + heartbeat",
                "live work is woken all the time",
            ),
            (self.create_timeout >= minute, "create_timeout ≥ 1 min", "slow servers are destroyed"),
            (self.stock_patience >= minute, "stock_patience ≥ 1 min", "orders fail for a short shortage"),
            (self.key_retention >= day, "key_retention ≥ 24 h", "a late repeat of an order buys twice"),
            (
                self.key_retention <= self.record_retention,
                "key_retention ≤ record_retention",
                "a repeat finds its key but not its operation",
            ),
            (
                self.look_again * 4 + self.request_deadline < 5 * minute,
                "4 × look_again + request_deadline < 5 min",
                "looks lie too far apart for a create to time out",
            ),
            (self.removals_per_sweep >= 1, "removals_per_sweep ≥ 1", "surplus servers are never removed"),
            (self.max_rescues >= 1, "max_rescues ≥ 1", "the first crash of a worker ends its jobs"),
            (
                self.heartbeat.min(self.commit_deadline).min(self.request_deadline) >= least,
                "heartbeat, commit_deadline, request_deadline ≥ 1 ms",
                "loops spin, and no request has time for an answer",
            ),
            (
                self.sweep_interval >= second && self.park_recheck >= second,
                "sweep_interval, park_recheck ≥ 1 s",
                "the provider is asked, and the store written, without a pause",
            ),
            (
                self.backoff_first >= least && self.backoff_first <= self.backoff_most,
                "1 ms ≤ backoff_first ≤ backoff_most",
                "a failing provider is called without a pause",
            ),
            (
                self.look_first >= least && self.look_again >= least && self.probe_first >= least,
                "look_first, look_again, probe_first ≥ 1 ms",
                "the provider is asked without a pause",
            ),
        ];
        let broken = rules.into_iter().chain([self.short_waits()]).find(|(holds, ..)| !holds);
        broken.map_or(Ok(()), |(_, rule, consequence)| Err(TimingError { rule, consequence }))
    }

    /// Returns all for which a record is put off, or its job leased.
    fn waits(&self) -> [Duration; 6] {
        [
            self.lease,
            self.request_deadline.saturating_add(self.landing_allowance),
            self.backoff_most,
            self.look_first,
            self.probe_first,
            self.park_recheck,
        ]
    }

    fn short_waits(&self) -> (bool, &'static str, &'static str) {
        (
            self.waits().into_iter().all(|wait| wait <= LONGEST_WAIT),
            "lease, request_deadline + landing_allowance, backoff_most, look_first, probe_first, park_recheck ≤ 24 h",
            "what waits is taken for written while the clock was ahead",
        )
    }

    fn longest(&self) -> Duration {
        let all = [
            self.lease,
            self.heartbeat,
            self.request_deadline,
            self.commit_deadline,
            self.margin,
            self.landing_allowance,
            self.sweep_interval,
            self.sweep_grace,
            self.stall_after,
            self.create_timeout,
            self.stock_patience,
            self.key_retention,
            self.record_retention,
            self.backoff_first,
            self.backoff_most,
            self.look_first,
            self.look_again,
            self.probe_first,
            self.park_recheck,
        ];
        all.into_iter().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(change: impl FnOnce(&mut Timing)) -> Option<&'static str> {
        let mut timing = Timing::default();
        change(&mut timing);
        timing.check().err().map(|error| error.rule)
    }

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(Timing::default().check(), Ok(()));
    }

    #[test]
    fn a_duration_of_more_than_a_hundred_years_is_refused_and_not_added_up() {
        assert_eq!(broken(|t| t.record_retention = LONGEST), None);
        assert!(broken(|t| t.record_retention = LONGEST + Duration::from_nanos(1)).is_some());
        // Every field counts: what a set of timings reads, with the longest number in one place after another.
        let fields = serde_json::to_value(Timing::default()).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            if value.is_object() {
                let mut changed = fields.clone();
                changed[name] = serde_json::to_value(Duration::MAX).unwrap();
                let timing: Timing = serde_json::from_value(changed).unwrap();
                assert_eq!(timing.check().unwrap_err().rule, TOO_LONG, "{name}");
            }
        }
    }

    #[test]
    fn no_wait_and_no_lease_reaches_as_far_ahead_as_what_a_clock_wrote_that_was_ahead() {
        let (day, more) = (LONGEST_WAIT, LONGEST_WAIT + Duration::from_nanos(1));
        let waits: [fn(&mut Timing) -> &mut Duration; 5] = [
            |t| &mut t.lease,
            |t| &mut t.backoff_most,
            |t| &mut t.look_first,
            |t| &mut t.probe_first,
            |t| &mut t.park_recheck,
        ];
        let with = |wait: fn(&mut Timing) -> &mut Duration, time| {
            broken(|t| {
                // What has to be longer than the others.
                (t.stall_after, t.sweep_grace) = (2 * day, 2 * day);
                *wait(t) = time;
            })
        };
        for wait in waits {
            assert!(with(wait, day).is_none() && with(wait, more).is_some_and(|rule| rule.ends_with("≤ 24 h")));
        }
        let allowance: fn(&mut Timing) -> &mut Duration = |t| &mut t.landing_allowance;
        let request = Timing::default().request_deadline;
        assert!(with(allowance, day - request).is_none() && with(allowance, more - request).is_some());
        assert!(day + ADDED_MOST < Timing::FURTHEST_AHEAD);
    }

    #[test]
    fn a_time_is_beyond_any_from_a_quarter_of_an_hour_after_the_longest_wait_on() {
        let (hour, day) = (Duration::from_secs(3600), LONGEST_WAIT);
        let with = |change: fn(&mut Timing, Duration)| {
            let mut timing = Timing::default();
            change(&mut timing, day);
            timing
        };
        let cases = [
            (Timing::default(), hour),
            (with(|t, day| t.lease = day), day),
            (with(|t, day| t.landing_allowance = day - t.request_deadline), day),
            (with(|t, day| t.backoff_most = day), day),
            (with(|t, day| t.look_first = day), day),
            (with(|t, day| t.probe_first = day), day),
            (with(|t, day| t.park_recheck = day), day),
        ];
        for (timing, longest) in cases {
            assert_eq!(timing.furthest_ahead(), longest + hour / 4, "{timing:?}");
            let now = Timestamp::from_micros(7);
            let furthest = now.plus(timing.furthest_ahead());
            assert!(!timing.is_beyond(furthest, now) && timing.is_beyond(furthest.plus(Duration::from_micros(1)), now));
        }
    }

    #[test]
    fn every_inequality_is_refused_one_step_beyond_its_bound() {
        let ms = Duration::from_millis;
        let s = Duration::from_secs;
        assert_eq!(broken(|t| t.lease = s(45)).unwrap(), "request_deadline + 2 × commit_deadline + margin < lease");
        assert_eq!(broken(|t| t.lease = s(50)).unwrap(), "heartbeat + request_deadline + margin < lease");
        assert_eq!(broken(|t| t.lease = s(50) + ms(1)), None);
        assert_eq!(broken(|t| t.heartbeat = s(20)), None);
        assert_eq!(broken(|t| t.heartbeat = s(20) + ms(1)).unwrap(), "heartbeat ≤ lease / 3");
        assert_eq!(broken(|t| t.landing_allowance = s(2)), None);
        assert_eq!(broken(|t| t.landing_allowance = s(2) - ms(1)).unwrap(), "landing_allowance ≥ 2 s");
        assert!(broken(|t| t.sweep_grace = s(930)).is_none() && broken(|t| t.sweep_grace = s(929)).is_some());
        assert!(broken(|t| t.stall_after = s(75)).is_none() && broken(|t| t.stall_after = s(74)).is_some());
        assert!(broken(|t| t.create_timeout = s(60)).is_none() && broken(|t| t.create_timeout = s(59)).is_some());
        assert!(broken(|t| t.stock_patience = s(60)).is_none() && broken(|t| t.stock_patience = s(59)).is_some());
        assert!(broken(|t| t.key_retention = s(86_400)).is_none() && broken(|t| t.key_retention = s(86_399)).is_some());
        assert!(broken(|t| t.record_retention = s(86_400)).is_some());
        assert!(broken(|t| t.look_again = ms(67_499)).is_none() && broken(|t| t.look_again = ms(67_500)).is_some());
        assert!(broken(|t| t.sweep_interval = s(1)).is_none() && broken(|t| t.sweep_interval = ms(999)).is_some());
        assert!(broken(|t| t.park_recheck = s(1)).is_none() && broken(|t| t.park_recheck = ms(999)).is_some());
        assert!(broken(|t| t.request_deadline = ms(1)).is_none());
        assert!(broken(|t| t.request_deadline = Duration::ZERO).is_some());
        assert!(broken(|t| t.removals_per_sweep = 0).is_some() && broken(|t| t.max_rescues = 0).is_some());
        assert!(broken(|t| t.backoff_first = s(61)).is_some() && broken(|t| t.look_again = Duration::ZERO).is_some());
    }
}
