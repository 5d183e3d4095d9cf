//! The API keys of this process: from a file, or made and shown at the start.

use std::path::Path;

use secrecy::ExposeSecret;
use vip_core::model::TenantId;
use vip_http::{ApiKeys, NewApiKey, Scope};

use crate::Fallible;

/// Longest file of keys, in bytes: ten thousand entries fit.
const FILE_BYTES: u64 = 8 * 1024 * 1024;
/// The tenant of a key that is made at the start.
const TENANT: &str = "demo";

/// Is a pair of keys that are shown once.
pub(crate) struct Shown {
    pub(crate) tenant: String,
    pub(crate) operator: String,
}

/// Reads the keys of a file.
pub(crate) fn of_file(path: &Path) -> Fallible<ApiKeys> {
    let about = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let length = std::fs::metadata(path).map_err(|error| about(&error))?.len();
    if length > FILE_BYTES {
        return Err(about(&format!("must have at most {FILE_BYTES} bytes, has {length}")).into());
    }
    let text = std::fs::read_to_string(path).map_err(|error| about(&error))?;
    Ok(ApiKeys::from_json(&text).map_err(|error| about(&error))?)
}

/// Makes a key for a tenant and one for an operator; they are good as long as this process.
pub(crate) fn made_at_start() -> Fallible<(ApiKeys, Shown)> {
    let tenant = NewApiKey::generate(TENANT, Some(TenantId::new(TENANT)?), [Scope::TenantRead, Scope::TenantWrite])?;
    let operator = NewApiKey::generate("operator", None, [Scope::Operator])?;
    let shown =
        Shown { tenant: tenant.key.expose_secret().to_owned(), operator: operator.key.expose_secret().to_owned() };
    Ok((ApiKeys::new([tenant.entry, operator.entry])?, shown))
}
