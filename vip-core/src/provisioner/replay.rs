//! Replays dead jobs: a few first, and the rest only once those have come through.

use std::time::Duration;

use tokio::time::Instant;

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
/// Pause between two looks at the sample.
const LOOK: Duration = Duration::from_millis(100);

/// Says how dead jobs shall be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayPlan {
    /// Jobs that are replayed first. Default 1; 1 to 20.
    pub sample: u32,
    /// Most jobs in all. Default 1,000; from the sample to 10,000.
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
}

/// Says why dead jobs were not replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The plan is out of its bounds; nothing was replayed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The queue cannot be used; repeating it is harmless.
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
    /// Replays dead jobs in the order of their ids: first a sample, and the others only if all of it comes through.
    ///
    /// # Errors
    ///
    /// [`ReplayError`] if the plan is out of its bounds or the queue cannot be used.
    pub async fn replay_dead(&self, plan: &ReplayPlan) -> Result<ReplayReport, ReplayError> {
        plan.check()?;
        let mut report = ReplayReport::default();
        let first = self.dead(None, plan.sample).await?;
        for job in &first {
            report.replayed += u64::from(self.replay(job.id).await?);
        }
        report.sample = self.fates(&first, plan.patience).await?;
        if report.sample.iter().any(|sampled| sampled.fate != SampleFate::CameThrough) {
            return Ok(report);
        }
        let mut after = first.last().map(|job| job.id);
        while let Some(last) = after {
            let left = u64::from(plan.most).saturating_sub(report.replayed);
            let page = self.dead(Some(last), u32::try_from(left).unwrap_or(u32::MAX)).await?;
            for job in &page {
                report.replayed += u64::from(self.replay(job.id).await?);
            }
            report.went_on |= !page.is_empty();
            after = page.last().map(|job| job.id);
        }
        Ok(report)
    }

    /// Reads dead jobs after one, at most so many and at most a page.
    async fn dead(&self, after: Option<JobId>, most: u32) -> Result<Vec<Job>, QueueError> {
        let Ok(limit) = PageLimit::new(most.min(PageLimit::most().items())) else {
            return Ok(Vec::new());
        };
        let page = match after {
            Some(id) => PageRequest::after(id.as_uuid(), limit),
            None => PageRequest::first(limit),
        };
        Ok(self.jobs(JobState::Dead, &page).await?.items)
    }

    /// Looks at replayed jobs until each has come through or failed again, or the patience is over.
    async fn fates(&self, jobs: &[Job], patience: Duration) -> Result<Vec<SampledJob>, QueueError> {
        let until = Instant::now() + patience;
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
