//! The job kinds of provisioning, with their keys and payloads.

use serde::{Deserialize, Serialize};

use crate::model::{AccountId, JobId, JobKey, JobKind, NameError, NewJob, Payload, ServerId, TenantId};

/// Kind of the job that converges a server.
pub const CONVERGE: &str = "vip.converge";
/// Kind of the job that sweeps an account.
pub const SWEEP: &str = "vip.sweep";

/// Names the server to converge; its job carries nothing else, all the rest is in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvergePayload {
    /// Its tenant.
    pub tenant: TenantId,
    /// The server.
    pub server: ServerId,
}

/// Names the account to sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepPayload {
    /// The account.
    pub account: AccountId,
}

/// Makes the job that converges a server.
///
/// # Errors
///
/// [`NameError`] never in practice: key and payload of valid ids are valid.
pub fn converge_job(id: JobId, tenant: &TenantId, server: ServerId) -> Result<NewJob, NameError> {
    let payload = Payload::encode(&ConvergePayload { tenant: tenant.clone(), server })?;
    let mut job = NewJob::new(id, JobKey::new(format!("converge:{server}"))?, JobKind::new(CONVERGE)?, payload);
    job.tenant = Some(tenant.clone());
    Ok(job)
}

/// Makes the job that sweeps an account.
///
/// # Errors
///
/// [`NameError`] never in practice: key and payload of a valid account are valid.
pub fn sweep_job(id: JobId, account: &AccountId) -> Result<NewJob, NameError> {
    let payload = Payload::encode(&SweepPayload { account: account.clone() })?;
    let mut job = NewJob::new(id, JobKey::new(format!("sweep:{account}"))?, JobKind::new(SWEEP)?, payload);
    job.why = crate::model::Why::Wake;
    Ok(job)
}
