//! The API's JSON, as far as we need it. Unknown fields are ignored; what a decision rests on must be there.

mod action;
mod catalog;
mod create;
mod object;
mod page;
mod refusal;
mod server;
mod shown;

pub(crate) use action::{Action, Actions, Deleted};
pub(crate) use catalog::{Amount, Images, Locations, Pricing, ServerTypes};
pub(crate) use create::{CreateServer, Created};
pub(crate) use object::Object;
pub(crate) use page::Meta;
pub(crate) use refusal::Refusal;
pub(crate) use server::{Server, ServerOnly, Servers};
pub(crate) use shown::{Odd, Shown};

use serde::Deserialize;

/// Largest id of the API: the largest whole number that every JSON reader keeps.
const ID_MOST: u64 = (1 << 53) - 1;

/// Is an id of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "u64")]
pub(crate) struct Id(u64);

impl Id {
    /// Reads an id out of our form of it; none if it is not one of this API.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // `+1` and `01` are numbers too, but not what the API calls anything.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        if !is_plain {
            return None;
        }
        text.parse().ok().and_then(|id: u64| Self::try_from(id).ok())
    }
}

impl TryFrom<u64> for Id {
    type Error = &'static str;

    fn try_from(id: u64) -> Result<Self, &'static str> {
        if (1..=ID_MOST).contains(&id) { Ok(Self(id)) } else { Err("an id out of range") }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Is an object of which we want the name alone.
#[derive(Debug, Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_from_one_to_the_largest_whole_number_of_json() {
        assert!(Id::try_from(1).is_ok() && Id::try_from(ID_MOST).is_ok());
        assert!(Id::try_from(0).is_err() && Id::try_from(ID_MOST + 1).is_err());
        assert_eq!(Id::parse("42").map(|id| id.to_string()), Some("42".to_owned()));
        for text in ["", "0", "01", "+1", "-1", "1/../2", "1 ", "x", "9007199254740992", "99999999999999999999"] {
            assert_eq!(Id::parse(text), None, "{text}");
        }
    }
}
