//! The API keys of this process: from a file, or made and shown at the start.

use std::path::Path;

use secrecy::ExposeSecret;
use vip_core::model::TenantId;
use vip_http::{ApiKeys, NewApiKey, Scope};

use crate::Fallible;
use crate::configuration::Callers;

/// Longest file of keys, in bytes: ten thousand entries fit.
const FILE_BYTES: u64 = 8 * 1024 * 1024;
/// The tenant of a key that is made at the start.
const TENANT: &str = "demo";

/// Is a pair of keys that are shown once.
pub(crate) struct Shown {
    pub(crate) tenant: String,
    pub(crate) operator: String,
}

/// Is who may call, and what is shown of keys that were made now.
pub(crate) struct Known {
    pub(crate) keys: ApiKeys,
    pub(crate) shown: Option<Shown>,
}

/// Finds out who may call; nobody, if nobody can.
pub(crate) fn of(callers: &Callers) -> Fallible<Option<Known>> {
    match callers {
        Callers::Nobody => Ok(None),
        Callers::File(path) => Ok(Some(Known { keys: of_file(path)?, shown: None })),
        Callers::MadeAtStart => made_at_start().map(Some),
    }
}

/// Reads the keys of a file.
fn of_file(path: &Path) -> Fallible<ApiKeys> {
    let about = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let length = std::fs::metadata(path).map_err(|error| about(&error))?.len();
    if length > FILE_BYTES {
        return Err(about(&format!("must have at most {FILE_BYTES} bytes, has {length}")).into());
    }
    let text = std::fs::read_to_string(path).map_err(|error| about(&error))?;
    let keys = ApiKeys::from_json(&text).map_err(|error| about(&error))?;
    if keys.count() == 0 {
        return Err(about(&"there is no key in it, so that nobody could call; `new-key` makes one").into());
    }
    Ok(keys)
}

/// Makes a key for a tenant and one for an operator; they are good as long as this process.
fn made_at_start() -> Fallible<Known> {
    let tenant = NewApiKey::generate(TENANT, Some(TenantId::new(TENANT)?), [Scope::TenantRead, Scope::TenantWrite])?;
    let operator = NewApiKey::generate("operator", None, [Scope::Operator])?;
    let shown =
        Shown { tenant: tenant.key.expose_secret().to_owned(), operator: operator.key.expose_secret().to_owned() };
    Ok(Known { keys: ApiKeys::new([tenant.entry, operator.entry])?, shown: Some(shown) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_keys_has_at_most_8_mib() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let entry = NewApiKey::generate("panel", None, [Scope::Operator]).unwrap().entry;
        let entries = serde_json::to_string(&[entry]).unwrap();
        let of_bytes = |length: u64| {
            let padding = " ".repeat(usize::try_from(length).unwrap() - entries.len());
            std::fs::write(&path, format!("{entries}{padding}")).unwrap();
            of_file(&path)
        };
        assert_eq!(of_bytes(FILE_BYTES).unwrap().count(), 1);
        let error = of_bytes(FILE_BYTES + 1).unwrap_err().to_string();
        assert!(error.ends_with("keys.json: must have at most 8388608 bytes, has 8388609"), "{error}");
    }
}
