//! Every delay that a decision computes: bounded, never shorter for more failures, spread over its range and no further.

use proptest::prelude::*;

use super::*;
use crate::model::WaitReason;
use crate::ports::{Outlook, ProviderError, ProviderErrorKind, Shut};
use crate::provisioning::converge::{Failure, outlook};

fn any_duration() -> impl Strategy<Value = Duration> {
    let all = (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos));
    prop_oneof![Just(Duration::ZERO), (0..10_000_000_u64).prop_map(Duration::from_millis), all, Just(Duration::MAX)]
}

/// Times that a sound set of timings may hold: up to a hundred years.
fn sound() -> impl Strategy<Value = Duration> {
    (1..3_153_600_000_000_u64).prop_map(Duration::from_millis)
}

/// Sound timings, in which each wait may be as long as any.
fn any_timing() -> impl Strategy<Value = Timing> {
    let day = seconds(86_400);
    let wait = move || prop_oneof![Just(day), (60_000..86_400_000_u64).prop_map(Duration::from_millis)];
    let waits = (wait(), wait(), wait(), wait(), wait(), wait());
    (waits, 1..60_000_u64).prop_map(move |((lease, landing, backoff, look, probe, park), again)| {
        let mut timing = Timing::default();
        (timing.lease, timing.landing_allowance) = (lease, landing - timing.request_deadline);
        (timing.backoff_most, timing.look_first, timing.look_again) = (backoff, look, Duration::from_millis(again));
        (timing.probe_first, timing.park_recheck) = (probe, park);
        // What has to be longer than some of them.
        (timing.stall_after, timing.sweep_grace) = (2 * day, 2 * day);
        timing
    })
}

/// A double holds 53 bits: a part of a long wait is exact to a few parts in 2^52 only.
fn blur(wait: Duration) -> Duration {
    Duration::from_nanos(u64::try_from(wait.as_nanos() >> 50).unwrap() + 1)
}

proptest! {
    #[test]
    fn any_back_off_of_a_record_is_bounded_and_not_shorter_after_more_failures(
        first in sound(), most in sound(), backoff in prop_oneof![0..40_u32, any::<u32>()], jitter in -1.0..2.0_f64,
    ) {
        let mut world = World::with(|s| s.backoff = backoff);
        let delay = View { jitter, ..world.view() }.backoff(first, most);
        let most_here = first.saturating_mul(1 << backoff.min(20)).min(most);
        prop_assert!(delay <= most_here + blur(most_here) && delay + blur(most_here) >= most_here / 2);
        world.server.backoff = backoff.saturating_add(1);
        let next = View { jitter, ..world.view() }.backoff(first, most);
        prop_assert!(next >= delay, "{next:?} after {delay:?}");
    }

    #[test]
    fn any_wait_that_was_named_is_kept_up_to_an_hour_and_a_little_spread(
        named in any_duration(), jitter in -1.0..2.0_f64, backoff in any::<u32>(),
    ) {
        let world = World::with(|s| s.backoff = backoff);
        let failure = Failure { retry_after: Some(named), ..Failure::unanswered() };
        let delay = View { jitter, ..world.view() }.retry_delay(&failure);
        let named = named.min(seconds(3600));
        prop_assert!(delay >= named && delay <= named + named / 10 + Duration::from_nanos(1));
        let unnamed = View { jitter, ..world.view() }.retry_delay(&Failure::unanswered());
        prop_assert!(unnamed >= world.timing.backoff_first / 2 && unnamed <= world.timing.backoff_most);
    }

    #[test]
    fn no_wait_and_no_lease_of_sound_timings_reaches_further_ahead_than_they_say(
        timing in any_timing(), named in any_duration(), jitter in -1.0..2.0_f64, backoff in any::<u32>(),
    ) {
        prop_assert_eq!(timing.check(), Ok(()));
        let mut world = World::with(|s| s.backoff = backoff);
        world.timing = timing;
        let (timing, view) = (&world.timing, View { jitter, ..world.view() });
        let shut = Some(Shut { retry_after: named, since: named, code: "x" });
        let held_back = outlook::gate(GateView::Open, &Outlook { shut, ..Outlook::default() }, NOW, jitter);
        let GateView::Resting { until } = held_back else { panic!("{held_back:?}") };
        let failure = Failure { retry_after: Some(named), ..Failure::unanswered() };
        let usual = View { usual_create: Some(seconds(600)), jitter, ..world.view() };
        let planned = [
            until,
            NOW.plus(view.retry_delay(&failure)),
            NOW.plus(view.retry_delay(&Failure::unanswered())),
            view.at_a_common_time(view.first_look()),
            usual.at_a_common_time(usual.first_look()),
            view.at_a_common_time(timing.look_again * 4),
            NOW.plus(timing.request_deadline).plus(timing.landing_allowance),
            NOW.plus(timing.probe_first),
            NOW.plus(timing.park_recheck),
            NOW.plus(timing.lease),
        ];
        for at in planned {
            prop_assert!(!timing.is_beyond(at, NOW), "{at:?} with {timing:?}");
        }
        prop_assert!(timing.furthest_ahead() < Timing::FURTHEST_AHEAD);
    }

    #[test]
    fn looks_at_a_common_time_are_at_most_one_step_later_and_on_the_same_grid(
        now in 0..4_000_000_000_000_000_i64, delay in sound(), again in 1..60_000_u64,
    ) {
        let mut world = World::new();
        world.now = Timestamp::from_micros(now);
        world.timing.look_again = Duration::from_millis(again);
        let at = world.view().at_a_common_time(delay);
        let wanted = world.now.plus(delay);
        prop_assert!(at >= wanted && at.since(wanted) < world.timing.look_again);
        prop_assert_eq!(at.as_micros() % i64::try_from(again * 1000).unwrap(), 0);
    }
}

#[test]
fn only_a_request_that_was_not_sent_for_want_of_a_turn_waits_for_one() {
    let no_turn =
        [ProviderError::NO_TURN, ProviderError::EASING, ProviderError::CROWDED, ProviderError::CREATES_UNANSWERED];
    let waits = |kind, code: &str| Failure { kind, code: code.to_owned(), ..Failure::unanswered() }.waits_for();
    for code in no_turn {
        assert_eq!(waits(ProviderErrorKind::NotSent, code), WaitReason::Throttled, "{code}");
        assert_eq!(waits(ProviderErrorKind::Unknown, code), WaitReason::ProviderUnavailable, "{code}");
    }
    assert_eq!(waits(ProviderErrorKind::NotSent, "refused"), WaitReason::ProviderUnavailable);
}
