//! Typed parts of a request; each refuses with a problem of its own.

mod body;
mod idempotency;
mod path;
mod query;

pub(crate) use body::JsonBody;
pub(crate) use idempotency::{OptionalKey, OrderKey};
pub(crate) use path::{AccountName, DigestText, Id, TenantName};
pub(crate) use query::Query;
