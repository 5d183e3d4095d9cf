//! A server as the API shows it, and what is left of one that cannot be read.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use vip_core::model::Labels;

use super::super::error::BodyError;
use super::{Id, Meta, Named, Object};

/// Is a server in an answer. One that cannot be read does not take with it what stands around it.
#[derive(Debug)]
pub(crate) enum Shown {
    /// It can be read.
    Whole(Server),
    /// It cannot.
    Odd(Odd),
}

/// Is a server that cannot be read.
#[derive(Debug)]
pub(crate) struct Odd {
    /// Its id, if that can be read.
    pub(crate) id: Option<Id>,
    /// Its labels, if they can be read.
    labels: Option<Labels>,
    /// Why it cannot be read.
    pub(crate) why: BodyError,
}

/// Is what may be readable of a server that is not; each part by itself.
#[derive(Debug, Default, Deserialize)]
struct Parts {
    #[serde(default)]
    id: Option<Box<RawValue>>,
    #[serde(default)]
    labels: Option<Box<RawValue>>,
}

impl Shown {
    /// Returns the server, if it can be read.
    pub(crate) fn whole(self) -> Result<Server, BodyError> {
        match self {
            Self::Whole(server) => Ok(server),
            Self::Odd(odd) => Err(odd.why),
        }
    }
}

impl Odd {
    fn of(text: &RawValue, error: &serde_json::Error) -> Self {
        // What is no object, or says one thing twice, has no part that can be relied on.
        let parts: Result<Object<Parts>, _> = serde_json::from_str(text.get());
        let Parts { id, labels } = parts.map(|Object(parts)| parts).unwrap_or_default();
        Self {
            id: id.and_then(|it| serde_json::from_str(it.get()).ok()),
            labels: labels.and_then(|it| serde_json::from_str(it.get()).ok()),
            why: BodyError::server(error),
        }
    }

    /// Says whether its labels can be read and do not have this one: then it is none of those that have it.
    pub(crate) fn lacks(&self, key: &str, value: &str) -> bool {
        self.labels.as_ref().is_some_and(|labels| labels.get(key).is_none_or(|label| label != value))
    }
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Ok(match serde_json::from_str(text.get()) {
            Ok(Object(server)) => Self::Whole(server),
            Err(error) => Self::Odd(Odd::of(&text, &error)),
        })
    }
}

/// Is a server. Labels decide whether it is ours, so they must be there; the rest is only shown.
#[derive(Debug, Deserialize)]
pub(crate) struct Server {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) labels: Labels,
    #[serde(default)]
    pub(crate) public_net: Option<PublicNet>,
    #[serde(default)]
    pub(crate) server_type: Option<Named>,
    #[serde(default)]
    pub(crate) location: Option<Named>,
}

/// Holds the public addresses of a server.
#[derive(Debug, Deserialize)]
pub(crate) struct PublicNet {
    #[serde(default)]
    pub(crate) ipv4: Option<PublicAddress>,
    #[serde(default)]
    pub(crate) ipv6: Option<PublicAddress>,
}

/// Is an address, or a network as `address/length`.
#[derive(Debug, Deserialize)]
pub(crate) struct PublicAddress {
    #[serde(default)]
    pub(crate) ip: Option<String>,
}

/// Wraps one server.
#[derive(Debug, Deserialize)]
pub(crate) struct ServerOnly {
    pub(crate) server: Shown,
}

/// Is a page of servers.
#[derive(Debug, Deserialize)]
pub(crate) struct Servers {
    pub(crate) servers: Vec<Shown>,
    pub(crate) meta: Object<Meta>,
}
