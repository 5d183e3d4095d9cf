//! A server or an action among others, and what is left of one that cannot be read.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use vip_core::model::Labels;

use super::super::error::BodyError;
use super::{Id, Object};

/// Is a server or an action in an answer. One that cannot be read does not take with it what stands around it.
#[derive(Debug)]
pub(crate) enum Shown<T> {
    /// It can be read.
    Whole(T),
    /// It cannot.
    Odd(Odd),
}

/// Is what cannot be read.
#[derive(Debug)]
pub(crate) struct Odd {
    /// Its id, if that can be read.
    pub(crate) id: Option<Id>,
    /// Its labels, if they can be read; an action has none.
    labels: Option<Labels>,
    /// Why a server cannot be read; of an action nobody asks.
    pub(crate) why: BodyError,
}

/// Is what may be readable of something that is not; each part by itself.
#[derive(Debug, Default, Deserialize)]
struct Parts {
    #[serde(default)]
    id: Option<Box<RawValue>>,
    #[serde(default)]
    labels: Option<Box<RawValue>>,
}

impl<T> Shown<T> {
    /// Returns it, if it can be read.
    pub(crate) fn whole(self) -> Result<T, BodyError> {
        match self {
            Self::Whole(it) => Ok(it),
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

impl<'de, T: DeserializeOwned> Deserialize<'de> for Shown<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Ok(match serde_json::from_str(text.get()) {
            Ok(Object(it)) => Self::Whole(it),
            Err(error) => Self::Odd(Odd::of(&text, &error)),
        })
    }
}
