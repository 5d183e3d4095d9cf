//! `JobQueue` on Redis: each call is one script, and a script is atomic.

use std::time::Duration;

use async_trait::async_trait;
use redis::{Script, Value};
use vip_core::model::{InstallationId, Job, JobId, JobKey, JobKind, JobState, NewJob, Page, PageRequest, Timing};
use vip_core::ports::{
    ClaimRequest, Claimed, Durability, ENQUEUE_MOST, Enqueued, JobQueue, Lease, LeaseRef, QueueError, QueueStats,
    Settled, Settlement,
};
use vip_core::telemetry;

use super::bell::Bell;
use super::config::RedisConfig;
use super::error::{Failure, Obstacle, OpenError};
use super::link::Link;
use super::rows;
use super::scripts::QueueScripts;
use super::soundness::Demand;
use crate::unreadable;

/// Most jobs that one call may enqueue, and that any script looks at: it stops the server while it runs.
pub const REDIS_QUEUE_BATCH: usize = ENQUEUE_MOST;
/// Most scripts of one page; a page that is not full by then says where to go on.
const LIST_ROUNDS: u32 = 64;

const SOUND: &str = "Redis answers before what it was told is safe from its own failure";

/// Keeps jobs on a Redis server, beside a SQL store that keeps the truth.
///
/// # Guarantees
///
/// * The contract of [`JobQueue`], as long as the server loses nothing. What it loses or brings back costs time: the
///   store's fence refuses whoever works on an old lease, and the sweep wakes what was forgotten.
/// * A call is one script: whole or not at all. It checks all it was told before it changes anything, looks at no more
///   than [`REDIS_QUEUE_BATCH`] jobs, and takes the time from the server.
/// * Dead jobs have no expiry; what is done is gone.
///
/// # Assumptions
///
/// The server throws no keys away (`maxmemory-policy noeviction`) and keeps an append-only file; else it is refused,
/// also after a reconnect, unless [`RedisConfig::allow_unsafe_server`] says otherwise.
#[derive(Debug)]
pub struct RedisQueue {
    link: Link,
    scripts: QueueScripts,
    config: RedisConfig,
    base: String,
    bell: Bell,
}

impl RedisQueue {
    /// Connects to a server and checks its settings.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed.
    pub async fn open(url: &str, config: RedisConfig) -> Result<Self, OpenError> {
        let link = Link::new(url, &config, Demand::Jobs(config.unsafe_server))?;
        let scripts = QueueScripts::load(&config.filter);
        // In a cluster, what stands between braces decides about the place: all keys of a queue are in one.
        let base = format!("vip1:queue:{{{}}}", config.name);
        if let Err(failure) = link.open().await {
            let demand = Demand::Jobs(config.unsafe_server);
            let refusal = link.soundness().filter(|it| it.is_refused(demand)).and_then(|it| it.refusal());
            return Err(refusal.unwrap_or_else(|| OpenError::Unavailable { source: failure.into_source() }));
        }
        Ok(Self { link, scripts, config, base, bell: Bell::default() })
    }

    /// Says that the queue is for the store of an installation: two stores on one queue take each other's jobs.
    ///
    /// # Errors
    ///
    /// [`OpenError::OtherStore`] if another installation was here before; nothing was changed.
    pub async fn for_installation(self, installation: InstallationId) -> Result<Self, OpenError> {
        let own = installation.to_string();
        let owner = self.run(&self.scripts.queue_owner, [rows::bytes(&own)]).await.and_then(rows::text);
        match owner {
            Ok(owner) if owner == own => Ok(self),
            Ok(owner) => Err(OpenError::OtherStore { name: self.config.name, owner }),
            Err(failure) => Err(OpenError::Unavailable { source: failure.into_source() }),
        }
    }

    async fn run(&self, script: &Script, more: impl IntoIterator<Item = Vec<u8>>) -> Result<Value, Failure> {
        let arguments = self.arguments(more);
        self.link.run(script, std::slice::from_ref(&self.base), &arguments).await
    }

    /// Puts the time before what else a script is told.
    fn arguments(&self, more: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
        let mut arguments = vec![self.config.time().into_bytes()];
        arguments.extend(more);
        arguments
    }

    async fn next_due(&self, kinds: &[JobKind], seen: i64) -> Result<Option<Duration>, Failure> {
        let told = [rows::bytes(seen)].into_iter().chain(kinds.iter().map(|kind| rows::bytes(kind.as_str())));
        let micros = rows::integer(&self.run(&self.scripts.job_next, told).await?)?;
        Ok(u64::try_from(micros).ok().map(Duration::from_micros))
    }

    /// Reads a piece of a list: where to go on, the jobs, and how many more of them cannot be read.
    async fn piece(&self, told: [Vec<u8>; 3]) -> Result<(String, Vec<Job>, u64), Failure> {
        let mut answer = rows::list(self.run(&self.scripts.job_list, told).await?)?.into_iter();
        let go_on = rows::text(answer.next().ok_or_else(|| Failure::corrupt(Obstacle::Form))?)?;
        let readable = |value: Value| {
            let id = rows::id(&value);
            rows::job(value).map_err(|failure| unreadable::report(id.as_deref().unwrap_or("unknown"), &failure)).ok()
        };
        let listed = answer.len();
        let jobs: Vec<Job> = answer.filter_map(readable).collect();
        let unreadable = u64::try_from(listed.saturating_sub(jobs.len())).unwrap_or(u64::MAX);
        Ok((go_on, jobs, unreadable))
    }
}

/// Reads where a list goes on.
fn place(id: &str) -> Result<JobId, Failure> {
    id.parse().map_err(Failure::corrupt)
}

/// Bounds a number to what one script takes.
fn bounded(most: u32) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX).min(REDIS_QUEUE_BATCH)
}

#[async_trait]
impl JobQueue for RedisQueue {
    fn durability(&self) -> Durability {
        match self.link.soundness().and_then(|soundness| soundness.refusal()) {
            None => Durability::BoundedLoss { because: SOUND },
            Some(_) => Durability::Volatile,
        }
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, QueueError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        if jobs.len() > REDIS_QUEUE_BATCH {
            let too_many = Obstacle::TooMuch { what: "an enqueue of jobs", most: REDIS_QUEUE_BATCH };
            return Err(Failure::corrupt(too_many).into());
        }
        let answer = self.run(&self.scripts.job_enqueue, jobs.iter().flat_map(rows::of_new)).await?;
        Ok(rows::list(answer)?.into_iter().map(rows::enqueued).collect::<Result<_, _>>()?)
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, QueueError> {
        let most = bounded(request.most);
        if most == 0 {
            return Ok(Vec::new());
        }
        let told = [rows::micros(request.lease), rows::bytes(request.claim), rows::bytes(most)];
        let kinds = request.kinds.iter().map(|kind| rows::bytes(kind.as_str()));
        let (keys, arguments) = (std::slice::from_ref(&self.base), self.arguments(told.into_iter().chain(kinds)));
        // What it is given after it was given up is lost until that lease expires, and a job that is lost too often dies.
        let answer = self.link.run_within(request.lease, &self.scripts.job_claim, keys, &arguments).await?;
        let mut answer = rows::list(answer)?.into_iter();
        let now = answer.next().ok_or_else(|| Failure::corrupt(Obstacle::Form))?;
        self.bell.note_claim(&request.kinds, rows::integer(&now)?);
        let (mut claimed, mut unreadable) = (Vec::new(), Vec::new());
        for value in answer {
            let lease = rows::lease(&value, request.claim);
            match rows::job(value) {
                Ok(job) => {
                    let reference = LeaseRef { job: job.id, epoch: job.epoch, claim: request.claim };
                    claimed.push(Claimed { job, lease: Lease { reference, duration: request.lease } });
                }
                Err(failure) => match lease {
                    Some(lease) => {
                        unreadable::report(lease.job, &failure);
                        unreadable.push(unreadable::end(lease));
                    }
                    // It stays leased, and dies after its rescues.
                    None => unreadable::report("unknown", &failure),
                },
            }
        }
        if !unreadable.is_empty()
            && let Err(error) = self.settle(&unreadable).await
        {
            // The others are claimed all the same. These are claimed again when their leases have expired.
            telemetry::tell(|| {
                tracing::warn!(error = %telemetry::causes(&error), "jobs that cannot be read were not set apart yet");
            });
        }
        Ok(claimed)
    }

    async fn heartbeat(&self, leases: &[LeaseRef], lease: Duration) -> Result<Vec<bool>, QueueError> {
        let mut held = Vec::with_capacity(leases.len());
        for batch in leases.chunks(REDIS_QUEUE_BATCH) {
            let told = [rows::micros(lease)].into_iter().chain(batch.iter().flat_map(rows::of_lease));
            for answer in rows::list(self.run(&self.scripts.job_beat, told).await?)? {
                held.push(rows::integer(&answer)? == 1);
            }
        }
        Ok(held)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, QueueError> {
        let mut answers = Vec::with_capacity(settlements.len());
        for batch in settlements.chunks(REDIS_QUEUE_BATCH) {
            let answer = self.run(&self.scripts.job_settle, batch.iter().flat_map(rows::of_settlement)).await;
            // A part was settled: the caller is not to be told that nothing was changed.
            let answer = answer.map_err(|failure| if answers.is_empty() { failure } else { failure.of_a_part() })?;
            for settled in rows::list(answer)? {
                answers.push(rows::settled(settled)?);
            }
        }
        Ok(answers)
    }

    async fn wait(&self, timeout: Duration) {
        let (kinds, seen) = self.bell.last_claim();
        let waited = async {
            let next = match self.next_due(&kinds, seen).await {
                Ok(next) => next.unwrap_or(timeout),
                Err(failure) => {
                    // A hint is missed; whoever waits finds out by claiming.
                    telemetry::tell(|| tracing::debug!(?failure, "cannot ask Redis for the next job"));
                    return tokio::time::sleep(timeout).await;
                }
            };
            if !next.is_zero() {
                let bells: Vec<String> = kinds.iter().map(|kind| format!("{}:bell:{kind}", self.base)).collect();
                self.bell.wait(&self.link, &bells, next.min(timeout)).await;
            }
        };
        // Late or early is the same here: the caller polls.
        drop(tokio::time::timeout(timeout, waited).await);
    }

    async fn reap(&self, max_rescues: u32, most: u32) -> Result<u32, QueueError> {
        let told = [rows::bytes(max_rescues), rows::bytes(bounded(most)), rows::micros(Timing::FURTHEST_AHEAD)];
        let reaped = rows::count(&self.run(&self.scripts.job_reap, told).await?)?;
        Ok(u32::try_from(reaped).map_err(Failure::corrupt)?)
    }

    async fn raise_epochs(&self, above: u64) -> Result<bool, QueueError> {
        LeaseRef::check_epoch(above)?;
        Ok(rows::integer(&self.run(&self.scripts.epoch_raise, [rows::bytes(above)]).await?)? == 1)
    }

    async fn cancel(&self, key: &JobKey) -> Result<bool, QueueError> {
        Ok(rows::integer(&self.run(&self.scripts.job_cancel, [rows::bytes(key.as_str())]).await?)? == 1)
    }

    async fn find(&self, key: &JobKey) -> Result<Option<Job>, QueueError> {
        let found = self.run(&self.scripts.job_find, [rows::bytes(key.as_str())]).await?;
        if found == Value::Nil { Ok(None) } else { Ok(Some(rows::job(found)?)) }
    }

    async fn list(&self, state: JobState, page: &PageRequest) -> Result<Page<Job>, QueueError> {
        let limit = bounded(page.limit.items());
        let mut after = page.after.map(|after| after.to_string()).unwrap_or_default();
        let (mut items, mut unreadable): (Vec<Job>, u64) = (Vec::new(), 0);
        for _ in 0..LIST_ROUNDS {
            let is_full = items.len() == limit;
            // One more than asked for says that there is more.
            let most = (limit + 1).saturating_sub(items.len()).min(REDIS_QUEUE_BATCH);
            let told = [rows::bytes(state.as_str()), rows::bytes(&after), rows::bytes(most)];
            let (go_on, more, left_out) = self.piece(told).await?;
            items.extend(more);
            unreadable = unreadable.saturating_add(left_out);
            if items.len() > limit {
                items.truncate(limit);
                // A page that was full before this piece has also counted what stands between its last job and the piece.
                let next = if is_full { Some(place(&after)?) } else { items.last().map(|job| job.id) };
                return Ok(Page::new(items, next.map(|job| job.as_uuid())).with_unreadable(unreadable));
            }
            if go_on.is_empty() {
                return Ok(Page::new(items, None).with_unreadable(unreadable));
            }
            after = go_on;
        }
        Ok(Page::new(items, Some(place(&after)?.as_uuid())).with_unreadable(unreadable))
    }

    async fn replay(&self, job: JobId) -> Result<bool, QueueError> {
        Ok(rows::integer(&self.run(&self.scripts.job_replay, [rows::bytes(job)]).await?)? == 1)
    }

    async fn stats(&self, kinds: &[JobKind]) -> Result<QueueStats, QueueError> {
        let told = kinds.iter().map(|kind| rows::bytes(kind.as_str()));
        Ok(rows::stats(self.run(&self.scripts.job_stats, told).await?)?)
    }
}
