//! Where a page stands in its list.

use serde::{Deserialize, Deserializer};

use super::Object;

/// Wraps where a page stands.
#[derive(Debug, Deserialize)]
pub(crate) struct Meta {
    pub(crate) pagination: Object<Pagination>,
}

/// Says which page follows.
#[derive(Debug, Deserialize)]
pub(crate) struct Pagination {
    /// Must be said, if only as `null`: a list whose end is not told is not complete.
    #[serde(deserialize_with = "told")]
    pub(crate) next_page: Option<u32>,
}

/// With a function of its own, serde takes a missing field for an error and not for `None`.
fn told<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Option::deserialize(deserializer)
}
