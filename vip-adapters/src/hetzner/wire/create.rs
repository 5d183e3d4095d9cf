//! The body of a create request and of its answer.

use serde::{Deserialize, Serialize};
use vip_core::model::Labels;

use super::{Action, Server};

/// Asks for a server. Network settings are left to the provider's default.
#[derive(Serialize)]
pub(crate) struct CreateServer<'a> {
    pub(crate) name: &'a str,
    pub(crate) server_type: &'a str,
    pub(crate) location: &'a str,
    pub(crate) image: &'a str,
    pub(crate) ssh_keys: &'a [String],
    pub(crate) labels: &'a Labels,
    pub(crate) start_after_create: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_data: Option<&'a str>,
}

/// Is the answer to a create. A root password in it is not read.
#[derive(Debug, Deserialize)]
pub(crate) struct Created {
    pub(crate) server: Server,
    pub(crate) action: Action,
    pub(crate) next_actions: Vec<Action>,
}
