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

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue refuses another payload under a key: one that is written otherwise is refused by each job that is there.
    #[test]
    fn kinds_keys_and_payloads_are_written_as_ever() {
        let id = JobId::from_uuid(uuid::Uuid::from_u128(7));
        let server: ServerId = "01990000-0000-7000-8000-000000000001".parse().unwrap();
        let converge = converge_job(id, &TenantId::new("acme").unwrap(), server).unwrap();
        let sweep = sweep_job(id, &AccountId::default_account()).unwrap();
        assert_eq!(converge.payload.decode::<ConvergePayload>().unwrap().server, server);
        assert_eq!(sweep.payload.decode::<SweepPayload>().unwrap().account, AccountId::default_account());
        let written = [converge, sweep].map(|job| format!("{} {} {}\n", job.kind, job.key, job.payload.as_str()));
        assert_eq!(written.concat(), include_str!("golden/jobs_v1.txt"));
    }
}
