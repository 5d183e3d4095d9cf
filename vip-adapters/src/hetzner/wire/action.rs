//! An action (asynchronous work) as the API shows it.

use serde::Deserialize;

use super::{Id, Shown};

/// Is an action.
#[derive(Debug, Deserialize)]
pub(crate) struct Action {
    pub(crate) id: Id,
    #[serde(default)]
    pub(crate) command: Option<String>,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) error: Option<ActionError>,
}

/// Says why an action failed; its message is not read.
#[derive(Debug, Deserialize)]
pub(crate) struct ActionError {
    #[serde(default)]
    pub(crate) code: Option<String>,
}

/// Is a list of actions.
#[derive(Debug, Deserialize)]
pub(crate) struct Actions {
    pub(crate) actions: Vec<Shown<Action>>,
}

/// Is the answer to a delete.
#[derive(Debug, Deserialize)]
pub(crate) struct Deleted {
    /// Not used, but must be there: without it nobody accepted anything.
    #[serde(rename = "action")]
    pub(crate) _action: Action,
}
