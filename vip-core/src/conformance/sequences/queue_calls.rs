//! Calls of a queue, drawn at random and made on two queues.

use fastrand::Rng;

use super::{Answers, Call, Side, Sides};
use crate::conformance::fixture::{claim_id, random, seconds};
use crate::conformance::job_queue::{job, kind};
use crate::model::{ClaimId, Job, JobId, JobKey, JobState, NewJob, PageLimit, PageRequest, Payload, Why};
use crate::ports::{ClaimRequest, Settlement, Verdict};

const KEYS: u32 = 4;
/// A job dies early, so that a sequence gets there.
const MAX_ATTEMPTS: u32 = 2;
const MAX_RESCUES: u32 = 1;
/// More jobs than there are keys.
const ALL: u32 = 100;

#[derive(Debug, Clone)]
pub(crate) enum QueueCall {
    Enqueue { key: u32, why: Why, delay: u64, is_other: bool },
    Claim { most: u32, lease: u64 },
    Heartbeat { ago: usize, lease: u64 },
    Settle { ago: usize, verdict: Verdict },
    Reap,
    Cancel { key: u32 },
    Replay { key: u32 },
    Advance { by: u64 },
}

impl Call for QueueCall {
    fn draw(random: &mut Rng) -> Self {
        let (key, ago) = (random.u32(0..KEYS), random.usize(0..6));
        match random.u32(0..24) {
            0..5 => Self::Enqueue {
                key,
                why: if random.bool() { Why::Command } else { Why::Wake },
                delay: random.u64(0..15),
                is_other: random.u32(0..10) == 0,
            },
            5..10 => Self::Claim { most: random.u32(0..4), lease: random.u64(1..20) },
            10..12 => Self::Heartbeat { ago, lease: random.u64(1..20) },
            12..17 => Self::Settle { ago, verdict: verdict(random) },
            17..19 => Self::Reap,
            19 => Self::Cancel { key },
            20 => Self::Replay { key },
            _ => Self::Advance { by: random.u64(0..12) },
        }
    }

    async fn make(&self, sides: &mut Sides<'_>) -> Answers {
        let prepared = Prepared::new(self, &sides.memory).await;
        let adapter = prepared.make(self, &mut sides.adapter).await;
        let memory = prepared.make(self, &mut sides.memory).await;
        Answers::new(&(adapter, view(&sides.adapter).await), &(memory, view(&sides.memory).await))
    }
}

fn verdict(random: &mut Rng) -> Verdict {
    let delay = seconds(random.u64(0..10));
    match random.u32(0..5) {
        0 => Verdict::Done,
        1 => Verdict::Retry { delay, code: "bug".to_owned() },
        2 => Verdict::Snooze { delay },
        3 => Verdict::Release,
        _ => Verdict::Dead { code: "end".to_owned() },
    }
}

/// Is what both sides have to be told alike.
struct Prepared {
    job: NewJob,
    claim: ClaimId,
    most: u32,
    replayed: JobId,
}

impl Prepared {
    async fn new(call: &QueueCall, memory: &Side<'_>) -> Self {
        let (mut most, mut new, mut replayed) = (ALL, job("key-0"), random(JobId::from_uuid));
        match call {
            QueueCall::Enqueue { key, why, delay, is_other } => {
                new = job(&name(*key));
                (new.why, new.delay, new.max_attempts) = (*why, seconds(*delay), MAX_ATTEMPTS);
                if *is_other {
                    new.payload = Payload::encode(&"other").unwrap();
                }
            }
            QueueCall::Claim { most: wanted, .. } => {
                // Which of two jobs with one due time comes first is open: then all are asked for.
                let mut due: Vec<_> = jobs(memory, JobState::Waiting).await.into_iter().map(|job| job.due).collect();
                due.sort();
                most = if due.windows(2).any(|pair| pair[0] == pair[1]) { ALL } else { *wanted };
            }
            QueueCall::Replay { key } => {
                replayed = find(memory, *key).await.map_or(replayed, |job| job.id);
            }
            QueueCall::Heartbeat { .. }
            | QueueCall::Settle { .. }
            | QueueCall::Reap
            | QueueCall::Cancel { .. }
            | QueueCall::Advance { .. } => {}
        }
        Self { job: new, claim: claim_id(), most, replayed }
    }

    async fn make(&self, call: &QueueCall, side: &mut Side<'_>) -> String {
        let queue = side.fixture.queue();
        match call {
            QueueCall::Enqueue { .. } => format!("{:?}", queue.enqueue(std::slice::from_ref(&self.job)).await.unwrap()),
            QueueCall::Claim { lease, .. } => {
                let (kinds, lease) = (vec![kind("test")], seconds(*lease));
                let request = ClaimRequest { kinds, most: self.most, lease, claim: self.claim };
                let mut claimed = queue.claim(&request).await.unwrap();
                // Of equal due times the order is open.
                claimed.sort_by_key(|one| (one.job.due, one.job.id));
                let last = side.leases.iter().map(|lease| lease.epoch).max().unwrap_or(0);
                assert!(claimed.iter().all(|one| one.lease.reference.epoch > last), "epochs rise: {claimed:?}");
                side.leases.extend(claimed.iter().map(|one| one.lease.reference));
                let shown: Vec<String> = claimed.into_iter().map(|one| shown(one.job)).collect();
                format!("{shown:?}")
            }
            QueueCall::Heartbeat { ago, lease } => match side.lease(*ago) {
                Some(held) => format!("{:?}", queue.heartbeat(&[held], seconds(*lease)).await.unwrap()),
                None => String::new(),
            },
            QueueCall::Settle { ago, verdict } => match side.lease(*ago) {
                Some(lease) => {
                    let settlement = Settlement { lease, verdict: verdict.clone() };
                    format!("{:?}", queue.settle(&[settlement]).await.unwrap())
                }
                None => String::new(),
            },
            QueueCall::Reap => queue.reap(MAX_RESCUES, ALL).await.unwrap().to_string(),
            QueueCall::Cancel { key } => queue.cancel(&JobKey::new(name(*key)).unwrap()).await.unwrap().to_string(),
            QueueCall::Replay { .. } => queue.replay(self.replayed).await.unwrap().to_string(),
            QueueCall::Advance { by } => {
                side.fixture.advance(seconds(*by)).await;
                String::new()
            }
        }
    }
}

fn name(key: u32) -> String {
    format!("key-{key}")
}

async fn find(side: &Side<'_>, key: u32) -> Option<Job> {
    side.fixture.queue().find(&JobKey::new(name(key)).unwrap()).await.unwrap()
}

async fn jobs(side: &Side<'_>, state: JobState) -> Vec<Job> {
    side.fixture.queue().list(state, &PageRequest::first(PageLimit::most())).await.unwrap().items
}

/// Writes a job without its epoch: that it rises is the contract, not its value.
fn shown(mut job: Job) -> String {
    job.epoch = 0;
    format!("{job:?}")
}

/// Shows all that a queue holds.
pub(super) async fn view(side: &Side<'_>) -> Vec<String> {
    let mut view = vec![format!("{:?}", side.fixture.queue().stats(&[]).await.unwrap())];
    for state in [JobState::Waiting, JobState::Leased, JobState::Dead] {
        view.extend(jobs(side, state).await.into_iter().map(shown));
    }
    view
}
