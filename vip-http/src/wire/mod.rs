//! Documents as they are sent and received: apart from records, so that neither changes with the other.

mod account;
mod audit;
mod catalog;
mod health;
mod job;
mod operation;
mod page;
mod server;

pub(crate) use account::{
    AccountBody, AccountsBody, ConfirmBody, SetBreakerBody, SightingsBody, SweepBody, SweepReportBody,
};
pub(crate) use audit::{AuditBody, AuditQuery, VerifiedBody, VerifyBody};
pub(crate) use catalog::CatalogBody;
pub(crate) use health::HealthBody;
pub(crate) use job::{JobBody, JobsQuery, ReplayBody, ReplayedBody};
pub(crate) use operation::{OperationBody, WaitQuery, WhyBody};
pub(crate) use page::{PageBody, PageQuery};
pub(crate) use server::{CreateServerBody, ServerBody};
