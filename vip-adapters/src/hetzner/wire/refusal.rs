//! The body of a refusal. Its message is not read: it can hold a part of the token.

use serde::Deserialize;

use super::Object;

/// Says why the API refused.
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error: Object<RefusalDetail>,
}

/// Holds the code of a refusal.
#[derive(Debug, Deserialize)]
pub(crate) struct RefusalDetail {
    pub(crate) code: String,
}
