//! Replays dead jobs: a few first, and the rest only once those have come through.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::Operator;
use super::jobs::Standing;
use crate::model::{Invalid, Job, JobId, JobState, PageLimit, PageRequest};
use crate::ports::QueueError;

/// Most jobs of a sample.
pub const SAMPLE_MOST: u32 = 20;
/// Most jobs of one replay.
pub const REPLAY_MOST: u32 = 10_000;
/// Longest patience with a sample.
pub const PATIENCE_MOST: Duration = Duration::from_secs(15);
/// How long a replay goes on, its sample included: longer than any patience, and short enough to wait for the report. The one
/// job that it is at then is replayed to its end.
pub const REPLAY_TIME: Duration = Duration::from_secs(20);
/// Pause between two looks at the sample.
const LOOK: Duration = Duration::from_millis(100);

/// Says how dead jobs shall be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayPlan {
    /// Jobs that are replayed first. Default 1; 1 to 20.
    pub sample: u32,
    /// Most jobs in all. Default 1,000; from the sample to 10,000. Fewer if [`REPLAY_TIME`] is over before.
    pub most: u32,
    /// How long the sample may take to come through. Default 10 s; at most 15 s.
    pub patience: Duration,
}

impl Default for ReplayPlan {
    fn default() -> Self {
        Self { sample: 1, most: 1000, patience: Duration::from_secs(10) }
    }
}

/// Says what became of a job of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SampleFate {
    /// It was done, or waits as it should.
    CameThrough,
    /// It failed again.
    FailedAgain,
    /// Nobody had run it when the patience was over.
    Undecided,
}

impl SampleFate {
    /// Returns the stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CameThrough => "came_through",
            Self::FailedAgain => "failed_again",
            Self::Undecided => "undecided",
        }
    }
}

/// Is a job of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SampledJob {
    /// The job.
    pub job: JobId,
    /// What became of it.
    pub fate: SampleFate,
}

/// Says what a replay did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ReplayReport {
    /// The sample, and what became of each.
    pub sample: Vec<SampledJob>,
    /// Jobs that were replayed, the sample included.
    pub replayed: u64,
    /// Whether it went on after the sample.
    pub went_on: bool,
    /// Jobs that were left out because they cannot be read, as far as that was counted; the log names each.
    pub unreadable: u64,
    /// Whether the sample came through and it ended at [`ReplayPlan::most`], or at [`REPLAY_TIME`], before the last dead job:
    /// called again, it goes on. If none was replayed, it came in that time to no other than those that cannot be read; called
    /// again, it begins at them again.
    pub more: bool,
}

/// Says why dead jobs were not replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The plan is out of its bounds; nothing was replayed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The queue cannot be used; repeating it is harmless. [`QueueError::Unavailable`] if no job was replayed before.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl ReplayPlan {
    fn check(&self) -> Result<(), Invalid> {
        if !(1..=SAMPLE_MOST).contains(&self.sample) {
            return Err(Invalid::one("sample", &self.sample.to_string(), format!("must be from 1 to {SAMPLE_MOST}")));
        }
        if !(self.sample..=REPLAY_MOST).contains(&self.most) {
            let rule = format!("must be from the sample to {REPLAY_MOST}");
            return Err(Invalid::one("most", &self.most.to_string(), rule));
        }
        if self.patience > PATIENCE_MOST {
            let rule = format!("must be at most {} s", PATIENCE_MOST.as_secs());
            return Err(Invalid::one("patience", &format!("{:?}", self.patience), rule));
        }
        Ok(())
    }
}

impl Operator {
    /// Replays dead jobs in the order of their ids: first a sample, and the others only if all of it comes through. One that
    /// cannot be read stays dead and keeps none behind it from that.
    ///
    /// # Errors
    ///
    /// [`ReplayError`] if the plan is out of its bounds or the queue cannot be used.
    pub async fn replay_dead(&self, plan: &ReplayPlan) -> Result<ReplayReport, ReplayError> {
        plan.check()?;
        let mut replaying = Replaying::new(self);
        match replaying.run(plan).await {
            Ok(()) => Ok(replaying.report),
            Err(error) => Err(replaying.failed(error).into()),
        }
    }

    /// Looks at replayed jobs until each has come through or failed again, or the time is over.
    async fn fates(&self, jobs: &[Job], until: Instant) -> Result<Vec<SampledJob>, QueueError> {
        loop {
            let mut fates = Vec::with_capacity(jobs.len());
            for job in jobs {
                let fate = fate(&self.standing(job).await?);
                fates.push(SampledJob { job: job.id, fate });
            }
            let is_decided = fates.iter().all(|sampled| sampled.fate != SampleFate::Undecided);
            if is_decided || Instant::now() >= until {
                return Ok(fates);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Is a replay under way.
#[derive(Debug)]
struct Replaying<'a> {
    operator: &'a Operator,
    /// When it ends, wherever it is.
    until: Instant,
    /// Dead jobs that were listed and come next.
    listed: VecDeque<Job>,
    /// The last id that was looked at for them.
    after: Option<Uuid>,
    /// Whether that was the last dead job.
    is_listed: bool,
    report: ReplayReport,
}

impl<'a> Replaying<'a> {
    fn new(operator: &'a Operator) -> Self {
        let until = Instant::now() + REPLAY_TIME;
        let (listed, report) = (VecDeque::new(), ReplayReport::default());
        Self { operator, until, listed, after: None, is_listed: false, report }
    }

    async fn run(&mut self, plan: &ReplayPlan) -> Result<(), QueueError> {
        let mut first = Vec::new();
        while self.goes_on(plan.sample) {
            first.extend(self.step().await?);
        }
        let until = self.until.min(Instant::now() + plan.patience);
        self.report.sample = self.operator.fates(&first, until).await?;
        if self.report.sample.iter().any(|sampled| sampled.fate != SampleFate::CameThrough) {
            return Ok(());
        }
        while self.goes_on(plan.most) {
            self.report.went_on |= self.step().await?.is_some();
        }
        self.report.more = !self.is_at_end();
        Ok(())
    }

    /// Says whether there is something to do until so many were replayed.
    fn goes_on(&self, most: u32) -> bool {
        !self.is_at_end() && self.report.replayed < u64::from(most) && Instant::now() < self.until
    }

    fn is_at_end(&self) -> bool {
        self.listed.is_empty() && self.is_listed
    }

    /// Replays the next dead job and returns it, unless it is dead no more; while none is listed, lists some instead.
    async fn step(&mut self) -> Result<Option<Job>, QueueError> {
        let Some(job) = self.listed.pop_front() else {
            self.list().await?;
            return Ok(None);
        };
        if !self.operator.replay(job.id).await? {
            return Ok(None);
        }
        self.report.replayed += 1;
        Ok(Some(job))
    }

    /// Lists the next dead jobs. Always a whole page, also for a sample of one: a call steps over no more jobs that cannot be
    /// read than it asks for.
    async fn list(&mut self) -> Result<(), QueueError> {
        let request = PageRequest { after: self.after, limit: PageLimit::most() };
        let page = self.operator.jobs(JobState::Dead, &request).await?;
        self.report.unreadable += page.unreadable;
        self.listed.extend(page.items);
        // Not the last item: of a page that cannot be read there is none, and more may stand behind it.
        self.after = page.next;
        self.is_listed = page.next.is_none();
        Ok(())
    }

    /// Says what a failure means for the whole: once a job was replayed, it is not that nothing was changed.
    fn failed(&self, error: QueueError) -> QueueError {
        match error {
            QueueError::Unavailable { source } if self.report.replayed > 0 => QueueError::OutcomeUnknown { source },
            QueueError::Unavailable { .. } | QueueError::OutcomeUnknown { .. } | QueueError::Corrupt { .. } => error,
        }
    }
}

/// Tells from what a replayed job is now how it fared; its counters were at zero.
fn fate(standing: &Standing) -> SampleFate {
    match standing {
        Standing::Gone => SampleFate::CameThrough,
        Standing::Queued(job) if job.state == JobState::Dead || job.counts.attempts > 0 => SampleFate::FailedAgain,
        Standing::Queued(job) if job.state == JobState::Waiting && job.counts.snoozes > 0 => SampleFate::CameThrough,
        Standing::Queued(_) | Standing::ToBeRelayed => SampleFate::Undecided,
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
