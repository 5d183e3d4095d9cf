//! Random sequences of calls, checked against what must hold after each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::model::{AttemptCounts, ClaimId, Payload};

const MAX_ATTEMPTS: u32 = 3;
const MAX_RESCUES: u32 = 2;

#[derive(Debug, Clone)]
enum Op {
    Enqueue {
        key: u8,
        is_command: bool,
        delay: u64,
    },
    Claim {
        most: u32,
        lease: u64,
    },
    Heartbeat {
        lease: usize,
        seconds: u64,
    },
    Settle {
        lease: usize,
        verdict: Verdict,
    },
    Reap,
    Cancel {
        key: u8,
    },
    Replay {
        key: u8,
    },
    Pass {
        seconds: u64,
    },
    /// The clock is set back: nothing but waiting may come of it.
    StepBack {
        seconds: u64,
    },
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Done),
        (0..20_u64).prop_map(|s| Verdict::Retry { delay: Duration::from_secs(s), code: "bug".to_owned() }),
        (0..20_u64).prop_map(|s| Verdict::Snooze { delay: Duration::from_secs(s) }),
        Just(Verdict::Release),
        Just(Verdict::Dead { code: "end".to_owned() }),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..5_u8, any::<bool>(), 0..15_u64)
            .prop_map(|(key, is_command, delay)| Op::Enqueue { key, is_command, delay }),
        5 => (1..4_u32, 1..20_u64).prop_map(|(most, lease)| Op::Claim { most, lease }),
        2 => (0..12_usize, 1..20_u64).prop_map(|(lease, seconds)| Op::Heartbeat { lease, seconds }),
        5 => (0..12_usize, verdicts()).prop_map(|(lease, verdict)| Op::Settle { lease, verdict }),
        2 => Just(Op::Reap),
        1 => (0..5_u8).prop_map(|key| Op::Cancel { key }),
        1 => (0..5_u8).prop_map(|key| Op::Replay { key }),
        4 => (0..12_u64).prop_map(|seconds| Op::Pass { seconds }),
        1 => (0..6_u64).prop_map(|seconds| Op::StepBack { seconds }),
    ]
}

fn key(number: u8) -> JobKey {
    JobKey::new(format!("k{number}")).unwrap()
}

#[derive(Debug, Default)]
struct World {
    table: JobTable,
    now: Timestamp,
    made: u128,
    claims: u128,
    leases: Vec<LeaseRef>,
    last_epoch: u64,
}

impl World {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Enqueue { key: number, is_command, delay } => self.enqueue(*number, *is_command, *delay),
            Op::Claim { most, lease } => self.claim(*most, *lease),
            Op::Heartbeat { lease, seconds } => {
                if let Some(lease) = self.lease(*lease) {
                    let held = self.table.rows.get(&lease.job).and_then(|row| row.job.lease_until);
                    let beats = self.table.is_current(&lease) && held > Some(self.now);
                    assert_eq!(self.table.heartbeat(&lease, Duration::from_secs(*seconds), self.now), beats);
                }
            }
            Op::Settle { lease, verdict } => self.settle(*lease, verdict),
            Op::Reap => {
                self.table.reap(MAX_RESCUES, 9, self.now);
            }
            Op::Cancel { key: number } => {
                self.table.cancel(&key(*number));
            }
            Op::Replay { key: number } => {
                if let Some(job) = self.table.find(&key(*number)) {
                    self.table.replay(job.id, self.now);
                }
            }
            Op::Pass { seconds } => self.now = self.now.plus(Duration::from_secs(*seconds)),
            Op::StepBack { seconds } => self.now = self.now.minus(Duration::from_secs(*seconds)),
        }
    }

    fn lease(&self, number: usize) -> Option<LeaseRef> {
        // The newest leases are the interesting ones: the present ones and those that just ended.
        self.leases.iter().rev().nth(number).copied()
    }

    fn enqueue(&mut self, number: u8, is_command: bool, delay: u64) {
        self.made += 1;
        let id = JobId::from_uuid(Uuid::from_u128(self.made));
        let kind = JobKind::new("test").unwrap();
        let mut new = NewJob::new(id, key(number), kind, Payload::from_text("{}").unwrap());
        new.why = if is_command { Why::Command } else { Why::Wake };
        new.delay = Duration::from_secs(delay);
        new.max_attempts = MAX_ATTEMPTS;
        let before = self.table.find(&new.key);
        let answer = self.table.enqueue(&new, self.now);
        let after = self.table.find(&new.key).unwrap();
        let due = self.now.plus(new.delay);
        match before {
            None => assert_eq!((answer, after.due), (Enqueued::Inserted, due)),
            Some(job) if job.state == JobState::Waiting => {
                assert_eq!((answer, after.due), (Enqueued::Merged, job.due.min(due)));
            }
            Some(job) if job.state == JobState::Leased => assert_eq!((answer, &after), (Enqueued::WillRunAgain, &job)),
            Some(_) if is_command => assert_eq!((answer, after.due), (Enqueued::Revived, due)),
            Some(job) => assert_eq!((answer, after), (Enqueued::Dead, job)),
        }
    }

    fn claim(&mut self, most: u32, lease: u64) {
        self.claims += 1;
        let claim = ClaimId::from_uuid(Uuid::from_u128(self.claims));
        let kinds = vec![JobKind::new("test").unwrap()];
        let due_before = self.table.stats(&[], self.now).due;
        let request = ClaimRequest { kinds, most, lease: Duration::from_secs(lease), claim };
        let claimed = self.table.claim(&request, self.now);
        assert_eq!(u64::try_from(claimed.len()).unwrap(), due_before.min(u64::from(most)));
        for Claimed { job, lease } in claimed {
            assert!(job.due <= self.now, "claimed before it was due");
            assert!(lease.reference.epoch > self.last_epoch, "the epoch rises");
            self.last_epoch = lease.reference.epoch;
            self.leases.push(lease.reference);
        }
    }

    fn settle(&mut self, number: usize, verdict: &Verdict) {
        let Some(lease) = self.lease(number) else { return };
        let was_current = self.table.is_current(&lease);
        let before = self.table.rows.get(&lease.job).map(|row| row.job.clone());
        let answer = self.table.settle(&Settlement { lease, verdict: verdict.clone() }, self.now);
        let after = self.table.rows.get(&lease.job).map(|row| row.job.clone());
        assert_eq!(answer == Settled::Stale, !was_current);
        assert!(!self.table.is_current(&lease), "a settled lease is over");
        match (was_current, before, after) {
            (false, before, after) => assert_eq!(before, after, "a stale settlement changes nothing"),
            (true, Some(before), Some(after)) => {
                assert_eq!(answer == Settled::Died, after.state == JobState::Dead);
                counts_moved_by_one(before.counts, after.counts, verdict);
            }
            (true, _, after) => assert_eq!((after, verdict), (None, &Verdict::Done)),
        }
    }

    fn check(&self) {
        let keys: BTreeSet<&JobKey> = self.table.rows.values().map(|row| &row.job.key).collect();
        assert_eq!(keys.len(), self.table.rows.len(), "one job per key");
        let by_key: BTreeMap<JobKey, JobId> =
            self.table.rows.values().map(|row| (row.job.key.clone(), row.job.id)).collect();
        assert_eq!(by_key, self.table.keys, "the index of keys is whole");
        let ready: BTreeSet<(Timestamp, JobId)> = self
            .table
            .rows
            .values()
            .filter(|row| row.job.state == JobState::Waiting)
            .map(|row| (row.job.due, row.job.id))
            .collect();
        assert_eq!(ready, self.table.ready, "the index of waiting jobs is whole");
        for row in self.table.rows.values() {
            let is_leased = row.job.state == JobState::Leased;
            assert_eq!(row.job.claim.is_some(), is_leased);
            assert_eq!(row.job.lease_until.is_some(), is_leased);
            assert!(is_leased || !row.runs_again(), "a mark lives as long as its lease");
            let current = self.leases.iter().filter(|lease| lease.job == row.job.id);
            let current = current.filter(|lease| self.table.is_current(lease)).count();
            assert_eq!(current, usize::from(is_leased), "one lease on a leased job, none on another");
            if row.job.state == JobState::Waiting {
                assert!(row.job.counts.attempts < MAX_ATTEMPTS);
            }
        }
    }
}

/// Done and a command's mark set attempts and rescues to zero, a snooze the rescues; otherwise one counter moves by one.
fn counts_moved_by_one(before: AttemptCounts, after: AttemptCounts, verdict: &Verdict) {
    let (attempts, snoozes) = match verdict {
        Verdict::Retry { .. } => (before.attempts + 1, before.snoozes),
        Verdict::Snooze { .. } => (before.attempts, before.snoozes + 1),
        Verdict::Done => (0, before.snoozes),
        Verdict::Release | Verdict::Dead { .. } => (before.attempts, before.snoozes),
    };
    assert!(after.attempts == attempts || after.attempts == 0);
    assert_eq!(after.snoozes, snoozes);
    let starts_afresh = matches!(verdict, Verdict::Snooze { .. } | Verdict::Done);
    assert!(after.rescues == 0 || (after.rescues == before.rescues && !starts_afresh));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_must_hold_holds_after_every_call(ops in prop::collection::vec(ops(), 1..80)) {
        let mut world = World { now: Timestamp::from_micros(1_000_000_000), ..World::default() };
        for op in &ops {
            world.apply(op);
            world.check();
        }
    }
}
