//! Jobs and their replay.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vip_core::model::{Job, JobState};
use vip_core::provisioner::{ReplayPlan, ReplayReport};

/// Says which jobs are meant.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobStateBody {
    /// Due now or later.
    Waiting,
    /// Claimed by a worker.
    Leased,
    /// Failed for good.
    #[default]
    Dead,
}

impl From<JobStateBody> for JobState {
    fn from(state: JobStateBody) -> Self {
        match state {
            JobStateBody::Waiting => Self::Waiting,
            JobStateBody::Leased => Self::Leased,
            JobStateBody::Dead => Self::Dead,
        }
    }
}

/// Asks for a page of jobs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobsQuery {
    /// Which jobs; the dead ones if nothing is said.
    #[param(inline)]
    pub(crate) state: JobStateBody,
    /// Most items of the page; 50 if nothing is said.
    #[param(minimum = 1, maximum = 200)]
    pub(crate) limit: Option<u32>,
    /// `next_cursor` of the page before; without it the first page is meant.
    pub(crate) cursor: Option<String>,
}

/// Is a job; its payload is not shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobBody {
    /// Its id.
    #[schema(format = Uuid)]
    id: String,
    /// What it is about.
    key: String,
    /// Its kind.
    kind: String,
    /// Tenant that it belongs to, if any.
    tenant: Option<String>,
    /// Where it stands: `waiting`, `leased` or `dead`.
    state: &'static str,
    /// When it is due.
    #[schema(format = DateTime)]
    due: String,
    /// Attempts that failed.
    attempts: u32,
    /// Attempts after which it is dead.
    max_attempts: u32,
    /// Attempts that asked to wait.
    snoozes: u32,
    /// Attempts whose worker disappeared.
    rescues: u32,
    /// Why the last attempt failed, as a short code.
    last_error: Option<String>,
    /// The request that asked for it.
    request_id: Option<String>,
    /// The trace that this request belongs to, as its `traceparent` said.
    trace_parent: Option<String>,
}

impl From<Job> for JobBody {
    fn from(job: Job) -> Self {
        Self {
            id: job.id.to_string(),
            key: job.key.into(),
            kind: job.kind.into(),
            tenant: job.tenant.map(Into::into),
            state: job.state.as_str(),
            due: job.due.to_string(),
            attempts: job.counts.attempts,
            max_attempts: job.max_attempts,
            snoozes: job.counts.snoozes,
            rescues: job.counts.rescues,
            last_error: job.last_error,
            request_id: job.request_id.map(Into::into),
            trace_parent: job.trace_parent.map(Into::into),
        }
    }
}

/// Says how dead jobs shall be replayed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ReplayBody {
    /// Jobs that are replayed first; the others follow only if all of these come through. 1 if nothing is said.
    #[schema(minimum = 1, maximum = 20)]
    sample: Option<u32>,
    /// Most jobs in all; 1,000 if nothing is said.
    #[schema(minimum = 1, maximum = 10000)]
    most: Option<u32>,
    /// How long the sample may take; 10 if nothing is said.
    #[schema(minimum = 0, maximum = 15)]
    patience_seconds: Option<u32>,
}

impl From<ReplayBody> for ReplayPlan {
    fn from(body: ReplayBody) -> Self {
        let mut plan = Self::default();
        plan.sample = body.sample.unwrap_or(plan.sample);
        plan.most = body.most.unwrap_or(plan.most);
        plan.patience = body.patience_seconds.map_or(plan.patience, |seconds| Duration::from_secs(seconds.into()));
        plan
    }
}

/// Says what a replay did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayedBody {
    /// The sample.
    sample: Vec<SampledBody>,
    /// Jobs that were replayed, the sample included.
    replayed: u64,
    /// Whether it went on after the sample.
    went_on: bool,
    /// Jobs that were left out because they cannot be read, as far as that was counted; the log names each.
    unreadable: u64,
    /// Whether the sample came through and it ended at `most`, or after 20 seconds, with jobs left: asked again, it goes on.
    /// If none was replayed, it came in that time to no other than those that cannot be read; asked again, it begins at them again.
    more: bool,
}

/// Is a job of the sample.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SampledBody {
    /// The job.
    #[schema(format = Uuid)]
    id: String,
    /// What became of it: `came_through`, `failed_again` or `undecided`.
    fate: &'static str,
}

impl From<ReplayReport> for ReplayedBody {
    fn from(report: ReplayReport) -> Self {
        let sampled = report.sample.iter();
        Self {
            sample: sampled.map(|it| SampledBody { id: it.job.to_string(), fate: it.fate.as_str() }).collect(),
            replayed: report.replayed,
            went_on: report.went_on,
            unreadable: report.unreadable,
            more: report.more,
        }
    }
}
