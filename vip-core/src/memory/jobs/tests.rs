//! Every cell of the key table, and what the calls answer.

use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::model::{AttemptCounts, ClaimId, PageLimit, Payload};

const LEASE: Duration = Duration::from_secs(60);
const START: Timestamp = Timestamp::from_micros(1_000_000_000);

/// A queue with one key, driven at chosen seconds after the start.
#[derive(Debug, Default)]
struct Case {
    table: JobTable,
    claims: u128,
    lease: Option<LeaseRef>,
}

fn at(second: u64) -> Timestamp {
    START.plus(Duration::from_secs(second))
}

fn key(name: &str) -> JobKey {
    JobKey::new(name).unwrap()
}

fn new_job(name: &str, id: u128, why: Why, delay: u64) -> NewJob {
    let id = JobId::from_uuid(Uuid::from_u128(id));
    let mut new = NewJob::new(id, key(name), JobKind::new("test").unwrap(), Payload::from_text("{}").unwrap());
    new.why = why;
    new.delay = Duration::from_secs(delay);
    new.max_attempts = 2;
    new
}

fn claim_of(number: u128, most: u32) -> ClaimRequest {
    let claim = ClaimId::from_uuid(Uuid::from_u128(number));
    ClaimRequest { kinds: vec![JobKind::new("test").unwrap()], most, lease: LEASE, claim }
}

impl Case {
    fn waiting() -> Self {
        let mut case = Self::default();
        assert_eq!(case.enqueue(Why::Command, 0, 0), Enqueued::Inserted);
        case
    }

    fn leased() -> Self {
        let mut case = Self::waiting();
        assert!(case.claim(0).is_some());
        case
    }

    fn leased_again(why: Why, due: u64) -> Self {
        let mut case = Self::leased();
        assert_eq!(case.enqueue(why, due, 0), Enqueued::WillRunAgain);
        case
    }

    fn dead() -> Self {
        let mut case = Self::leased();
        assert_eq!(case.settle(dead(), 0), Settled::Died);
        case
    }

    fn enqueue(&mut self, why: Why, delay: u64, now: u64) -> Enqueued {
        self.table.enqueue(&new_job("k", 1, why, delay), at(now))
    }

    fn claim(&mut self, now: u64) -> Option<LeaseRef> {
        self.claims += 1;
        let claimed = self.table.claim(&claim_of(self.claims, 9), at(now));
        let lease = claimed.first().map(|claimed| claimed.lease.reference);
        self.lease = lease.or(self.lease);
        lease
    }

    fn settle(&mut self, verdict: Verdict, now: u64) -> Settled {
        self.table.settle(&Settlement { lease: self.lease.unwrap(), verdict }, at(now))
    }

    fn job(&self) -> Job {
        self.table.find(&key("k")).unwrap()
    }

    /// State, due second and counters in one line.
    fn shown(&self) -> String {
        let Some(job) = self.table.find(&key("k")) else { return "none".to_owned() };
        let AttemptCounts { attempts, snoozes, rescues } = job.counts;
        let due = job.due.since(START).as_secs();
        format!("{} {due} a{attempts} s{snoozes} r{rescues}", job.state.as_str())
    }
}

fn retry(delay: u64) -> Verdict {
    Verdict::Retry { delay: Duration::from_secs(delay), code: "bug".to_owned() }
}

fn snooze(delay: u64) -> Verdict {
    Verdict::Snooze { delay: Duration::from_secs(delay) }
}

fn dead() -> Verdict {
    Verdict::Dead { code: "end".to_owned() }
}

fn every_verdict() -> [Verdict; 5] {
    [Verdict::Done, retry(9), snooze(9), Verdict::Release, dead()]
}

#[test]
fn enqueue_follows_the_table() {
    for why in [Why::Wake, Why::Command] {
        let mut none = Case::default();
        assert_eq!(none.enqueue(why, 7, 0), Enqueued::Inserted);
        assert_eq!(none.shown(), "waiting 7 a0 s0 r0");
        assert_eq!(none.enqueue(why, 8, 0), Enqueued::Merged);
        assert_eq!(none.shown(), "waiting 7 a0 s0 r0", "never later");
        assert_eq!(none.enqueue(why, 3, 0), Enqueued::Merged);
        assert_eq!(none.shown(), "waiting 3 a0 s0 r0", "earlier");
    }
    let mut case = Case::dead();
    assert_eq!(case.enqueue(Why::Wake, 0, 5), Enqueued::Dead);
    assert_eq!(case.job().state, JobState::Dead);
    assert_eq!(case.enqueue(Why::Command, 2, 5), Enqueued::Revived);
    assert_eq!(case.shown(), "waiting 7 a0 s0 r0");
}

#[test]
fn a_settled_lease_follows_the_table() {
    let cases = [
        (Verdict::Done, "none"),
        (retry(9), "waiting 13 a1 s0 r0"),
        (snooze(9), "waiting 13 a0 s1 r0"),
        (Verdict::Release, "waiting 4 a0 s0 r0"),
        (dead(), "dead 0 a0 s0 r0"),
    ];
    for (verdict, shown) in cases {
        let mut case = Case::leased();
        let died = matches!(verdict, Verdict::Dead { .. });
        assert_eq!(case.settle(verdict.clone(), 4), if died { Settled::Died } else { Settled::Applied });
        assert_eq!(case.shown(), shown, "{verdict:?}");
    }
}

#[test]
fn a_settled_lease_with_a_mark_follows_the_table() {
    // The mark is due at second 6, or at second 40; verdicts come at second 4.
    let cases = [
        (Verdict::Done, "waiting 6 a0 s0 r0", "waiting 40 a0 s0 r0"),
        (retry(9), "waiting 6 a1 s0 r0", "waiting 13 a1 s0 r0"),
        (snooze(9), "waiting 6 a0 s1 r0", "waiting 13 a0 s1 r0"),
        (Verdict::Release, "waiting 4 a0 s0 r0", "waiting 4 a0 s0 r0"),
    ];
    for (verdict, early, late) in cases {
        for (due, shown) in [(6, early), (40, late)] {
            for why in [Why::Wake, Why::Command] {
                let mut case = Case::leased_again(why, due);
                assert_eq!(case.settle(verdict.clone(), 4), Settled::Applied);
                assert_eq!(case.shown(), shown, "{verdict:?} {why:?}");
                assert!(case.claim(100).is_some());
                case.settle(Verdict::Done, 100);
                assert_eq!(case.shown(), "none", "the mark is cleared with the lease");
            }
        }
    }
}

#[test]
fn a_death_with_a_mark_is_undone_by_a_command_only() {
    let mut wake = Case::leased_again(Why::Wake, 6);
    assert_eq!(wake.settle(dead(), 4), Settled::Died);
    assert_eq!(wake.job().state, JobState::Dead);
    let mut command = Case::leased_again(Why::Command, 6);
    assert_eq!(command.settle(dead(), 4), Settled::Applied);
    assert_eq!(command.shown(), "waiting 6 a0 s0 r0");
    let mut both = Case::leased_again(Why::Command, 6);
    assert_eq!(both.enqueue(Why::Wake, 2, 0), Enqueued::WillRunAgain);
    assert_eq!(both.settle(dead(), 4), Settled::Applied, "command beats wake");
    assert_eq!(both.shown(), "waiting 2 a0 s0 r0", "and the earlier time wins");
}

#[test]
fn the_last_attempt_kills_and_the_one_before_does_not() {
    let last = |mark: Option<Why>| {
        let mut case = Case::leased();
        assert_eq!(case.settle(retry(0), 0), Settled::Applied);
        assert_eq!(case.shown(), "waiting 0 a1 s0 r0", "one of two attempts");
        assert!(case.claim(1).is_some());
        if let Some(why) = mark {
            assert_eq!(case.enqueue(why, 6, 1), Enqueued::WillRunAgain);
        }
        (case.settle(retry(9), 2), case.shown())
    };
    assert_eq!(last(None), (Settled::Died, "dead 11 a2 s0 r0".to_owned()));
    assert_eq!(last(Some(Why::Wake)).0, Settled::Died);
    assert_eq!(last(Some(Why::Command)), (Settled::Applied, "waiting 7 a0 s0 r0".to_owned()));
}

#[test]
fn an_expired_lease_is_reaped_and_counted_up_to_the_bound() {
    let mut case = Case::waiting();
    for rescue in 1..=2_u64 {
        let now = rescue * 100;
        case.claim(now).unwrap();
        assert_eq!(case.table.reap(2, 9, at(now + 59)), 0, "not expired");
        assert_eq!(case.table.reap(2, 9, at(now + 60)), 1);
        assert_eq!(case.shown(), format!("waiting {} a0 s0 r{rescue}", now + 60));
    }
    case.claim(300).unwrap();
    assert_eq!(case.table.reap(2, 9, at(360)), 1);
    assert_eq!(case.shown(), "dead 360 a0 s0 r3");
    assert_eq!(case.job().last_error.as_deref(), Some(LOST_WORKER));
}

#[test]
fn an_expired_lease_with_a_mark_is_waiting_and_a_command_survives_the_bound() {
    let mut marked = Case::leased_again(Why::Wake, 500);
    assert_eq!(marked.table.reap(1, 9, at(60)), 1);
    assert_eq!(marked.shown(), "waiting 60 a0 s0 r1");
    let mut wake = Case::leased_again(Why::Wake, 500);
    wake.table.reap(0, 9, at(60));
    assert_eq!(wake.job().state, JobState::Dead);
    let mut command = Case::leased_again(Why::Command, 500);
    command.table.reap(0, 9, at(60));
    assert_eq!(command.shown(), "waiting 60 a0 s0 r0");
}

#[test]
fn reap_takes_the_earliest_and_no_more_than_asked() {
    let mut table = JobTable::default();
    for id in 1..=3 {
        assert_eq!(table.enqueue(&new_job(&format!("k{id}"), id, Why::Wake, 0), at(0)), Enqueued::Inserted);
        table.claim(&claim_of(id, 1), at(10 - u64::try_from(id).unwrap()));
    }
    assert_eq!(table.reap(5, 2, at(100)), 2);
    let held = table.list(JobState::Leased, &PageRequest::first(PageLimit::most()));
    assert_eq!(held.items.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["k1"], "leased last");
}

#[test]
fn an_expired_lease_settles_until_it_is_reaped_but_does_not_beat() {
    let mut case = Case::leased();
    let lease = case.lease.unwrap();
    assert!(case.table.heartbeat(&lease, LEASE, at(59)));
    assert_eq!(case.job().lease_until, Some(at(119)));
    assert!(!case.table.heartbeat(&lease, LEASE, at(119)));
    assert!(case.table.is_current(&lease), "expired, but nobody else's");
    assert_eq!(case.settle(Verdict::Done, 200), Settled::Applied);
}

#[test]
fn a_heartbeat_shortens_nothing() {
    let mut case = Case::leased();
    assert!(case.table.heartbeat(&case.lease.unwrap(), Duration::from_secs(1), at(1)));
    assert_eq!(case.job().lease_until, Some(at(60)));
}

#[test]
fn a_lease_that_is_not_the_present_one_changes_nothing() {
    let mut case = Case::leased();
    let old = case.lease.unwrap();
    case.table.reap(9, 9, at(60));
    case.claim(60).unwrap();
    let present = case.lease.unwrap();
    let before = case.job();
    let wrong_claim = LeaseRef { claim: old.claim, ..present };
    let wrong_epoch = LeaseRef { epoch: old.epoch, ..present };
    let wrong_job = LeaseRef { job: JobId::from_uuid(Uuid::from_u128(77)), ..present };
    for lease in [old, wrong_claim, wrong_epoch, wrong_job] {
        assert!(!case.table.is_current(&lease) && !case.table.heartbeat(&lease, LEASE, at(61)));
        for verdict in every_verdict() {
            assert_eq!(case.table.settle(&Settlement { lease, verdict }, at(61)), Settled::Stale);
        }
        assert_eq!(case.job(), before);
    }
}

#[test]
fn a_settlement_of_a_lease_that_ended_has_no_effect() {
    for first in every_verdict() {
        for second in every_verdict() {
            let mut case = Case::leased();
            case.settle(first.clone(), 1);
            let before = case.shown();
            assert_eq!(case.settle(second.clone(), 2), Settled::Stale, "{first:?} {second:?}");
            assert_eq!(case.shown(), before);
        }
    }
}

#[test]
fn only_due_jobs_of_named_kinds_are_claimed_earliest_first_and_no_more_than_asked() {
    let mut table = JobTable::default();
    for (id, due) in [(1, 30), (2, 20), (3, 10), (4, 40)] {
        assert_eq!(table.enqueue(&new_job(&format!("k{id}"), id, Why::Wake, due), at(0)), Enqueued::Inserted);
    }
    let mut other = new_job("other", 5, Why::Wake, 0);
    other.kind = JobKind::new("unknown").unwrap();
    assert_eq!(table.enqueue(&other, at(0)), Enqueued::Inserted);
    assert!(table.claim(&claim_of(1, 9), at(9)).is_empty());
    let claimed = table.claim(&claim_of(2, 2), at(39));
    assert_eq!(claimed.iter().map(|it| it.job.key.as_str()).collect::<Vec<_>>(), ["k3", "k2"]);
    let rest = table.claim(&claim_of(3, 9), at(39));
    assert_eq!(rest.iter().map(|it| it.job.key.as_str()).collect::<Vec<_>>(), ["k1"]);
}

#[test]
fn claim_leases_nothing_that_is_leased_or_dead() {
    for mut case in [Case::leased(), Case::leased_again(Why::Command, 0), Case::dead()] {
        let before = case.shown();
        assert_eq!(case.claim(50), None);
        assert_eq!(case.shown(), before);
    }
}

#[test]
fn the_epoch_is_above_the_clock_and_rises_across_jobs_though_the_clock_falls() {
    let mut table = JobTable::default();
    assert_eq!(table.enqueue(&new_job("a", 1, Why::Wake, 0), at(0)), Enqueued::Inserted);
    assert_eq!(table.enqueue(&new_job("b", 2, Why::Wake, 0), at(0)), Enqueued::Inserted);
    assert_eq!(table.enqueue(&new_job("c", 3, Why::Wake, 0), at(0)), Enqueued::Inserted);
    let epochs = |claimed: Vec<Claimed>| claimed.iter().map(|it| it.lease.reference.epoch).collect::<Vec<_>>();
    let clock = u64::try_from(at(9).as_micros()).unwrap();
    assert_eq!(epochs(table.claim(&claim_of(1, 2), at(9))), [clock, clock + 1]);
    assert_eq!(epochs(table.claim(&claim_of(2, 2), at(1))), [clock + 2]);
}

#[test]
fn replay_follows_the_table() {
    let id = JobId::from_uuid(Uuid::from_u128(1));
    assert!(!Case::default().table.replay(id, at(1)), "none");
    assert!(!Case::waiting().table.replay(id, at(1)));
    let mut leased = Case::leased();
    assert!(leased.table.replay(id, at(1)) && !leased.table.replay(id, at(1)));
    leased.settle(Verdict::Done, 2);
    assert_eq!(leased.shown(), "waiting 1 a0 s0 r0");
    let mut marked = Case::leased_again(Why::Wake, 9);
    assert!(!marked.table.replay(id, at(1)));
    marked.settle(Verdict::Done, 2);
    assert_eq!(marked.shown(), "waiting 9 a0 s0 r0", "no change");
    let mut dead_job = Case::leased();
    dead_job.settle(snooze(0), 0);
    dead_job.claim(0).unwrap();
    dead_job.table.reap(0, 9, at(60));
    assert_eq!(dead_job.shown(), "dead 60 a0 s1 r1");
    assert!(dead_job.table.replay(id, at(70)));
    assert_eq!(dead_job.shown(), "waiting 70 a0 s0 r0");
}

#[test]
fn cancel_removes_what_nobody_works_on() {
    assert!(!Case::default().table.cancel(&key("k")));
    assert!(!Case::leased().table.cancel(&key("k")));
    assert!(!Case::leased_again(Why::Wake, 0).table.cancel(&key("k")));
    for mut case in [Case::waiting(), Case::dead()] {
        assert!(case.table.cancel(&key("k")) && !case.table.cancel(&key("k")));
        assert_eq!(case.shown(), "none");
        assert_eq!(case.claim(99), None);
    }
}

#[test]
fn another_kind_or_payload_or_a_used_id_is_a_conflict() {
    for mut case in [Case::waiting(), Case::leased(), Case::dead()] {
        let before = case.job();
        let mut kind = new_job("k", 2, Why::Command, 0);
        kind.kind = JobKind::new("other").unwrap();
        let mut payload = new_job("k", 2, Why::Command, 0);
        payload.payload = Payload::from_text("[]").unwrap();
        let used_id = new_job("another-key", 1, Why::Command, 0);
        for new in [kind, payload, used_id] {
            assert_eq!(case.table.enqueue(&new, at(1)), Enqueued::Conflict);
        }
        assert_eq!(case.job(), before);
    }
}

#[test]
fn stats_count_by_state_and_pages_ascend() {
    let mut table = JobTable::default();
    for (id, delay) in [(1, 0), (2, 3), (3, 90), (4, 0), (5, 0)] {
        assert_eq!(table.enqueue(&new_job(&format!("k{id}"), id, Why::Wake, delay), at(0)), Enqueued::Inserted);
    }
    let [first, second] = [1, 2].map(|claim| table.claim(&claim_of(claim, 1), at(0)));
    table.settle(&Settlement { lease: first[0].lease.reference, verdict: dead() }, at(0));
    assert_eq!(second.len(), 1);
    let expected = QueueStats::new(2, 1, 1, 1, Some(Duration::from_secs(10)));
    assert_eq!(table.stats(&[], at(10)), expected);
    assert_eq!(table.stats(&[JobKind::new("test").unwrap()], at(10)), expected);
    assert_eq!(table.stats(&[JobKind::new("other").unwrap()], at(10)), QueueStats::default());
    let page = table.list(JobState::Waiting, &PageRequest::first(PageLimit::new(2).unwrap()));
    assert_eq!(page.items.len(), 2);
    let rest = table.list(JobState::Waiting, &PageRequest::after(page.next.unwrap(), PageLimit::new(2).unwrap()));
    assert_eq!((rest.items.len(), rest.next), (1, None));
    assert!(page.items.last().unwrap().id < rest.items[0].id);
}
