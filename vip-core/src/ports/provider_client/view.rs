//! What is asked of a provider and what it reports, in our terms.

use std::fmt;

use crate::model::{
    Addresses, CreateHash, InstallationId, Labels, OWNER_LABEL, Power, ProviderActionId, ProviderName,
    ProviderServerId, SERVER_LABEL, SPEC_LABEL, ServerId, UserData,
};

/// Asks for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRequest {
    /// Unique name.
    pub name: ProviderName,
    /// Server type.
    pub server_type: String,
    /// Location.
    pub location: String,
    /// Image.
    pub image: String,
    /// Names of SSH keys; never empty, so that no root password is made.
    pub ssh_keys: Vec<String>,
    /// All labels, the three of ours included.
    pub labels: Labels,
    /// Cloud-init user data.
    pub user_data: Option<UserData>,
    /// Whether the server is switched on.
    pub power: Power,
}

/// Is a server as the provider reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerView {
    /// The provider's id.
    pub id: ProviderServerId,
    /// Its name, which need not be one of ours.
    pub name: String,
    /// How it is.
    pub status: ServerStatus,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses.
    pub addresses: Addresses,
    /// Its type; empty if the provider does not say.
    pub server_type: String,
    /// Its location; empty if the provider does not say.
    pub location: String,
    /// Whether a list showed it instead of a request for its id: then a 404 for the id may still mean "not visible yet".
    /// An adapter says `false`; the core sets it where it reads a list in place of an id.
    pub is_listed: bool,
}

impl ServerView {
    /// Says whether its labels name this installation and this record.
    #[must_use]
    pub fn is_ours(&self, owner: InstallationId, server: ServerId) -> bool {
        self.label_is(OWNER_LABEL, &owner.to_string()) && self.label_is(SERVER_LABEL, &server.to_string())
    }

    /// Says whether its label names this order.
    #[must_use]
    pub fn has_hash(&self, hash: &CreateHash) -> bool {
        self.label_is(SPEC_LABEL, hash.as_str())
    }

    /// Returns the record that its label names.
    #[must_use]
    pub fn server_label(&self) -> Option<ServerId> {
        self.labels.get(SERVER_LABEL).and_then(|text| text.parse().ok())
    }

    fn label_is(&self, key: &str, value: &str) -> bool {
        self.labels.get(key).is_some_and(|found| found == value)
    }
}

/// Says how a server is; a status that we do not know is `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerStatus {
    /// Being made, or starting.
    Starting,
    /// Running.
    Running,
    /// Switched off.
    Off,
    /// Being removed.
    Deleting,
    /// Something else.
    Other,
}

impl fmt::Display for ServerStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// Is what a successful create answers: the server is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The server, not complete yet.
    pub server: ServerView,
    /// Actions that have to succeed before it is.
    pub actions: Vec<ProviderActionId>,
    /// The provider's id of the request, for its support.
    pub correlation_id: Option<String>,
}

/// Is what a successful delete answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deletion {
    /// The provider is removing the server.
    Accepted,
    /// There was no such server.
    AlreadyGone,
}

/// Says how far an action is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionStatus {
    /// Still running.
    Running,
    /// Done.
    Succeeded,
    /// Ended in error, with the provider's code.
    Failed {
        /// The provider's code.
        code: String,
    },
}

/// Is an action as the provider reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionView {
    /// The provider's id.
    pub id: ProviderActionId,
    /// How far it is.
    pub status: ActionStatus,
}

/// Is a part of the list of an owner's servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryPage {
    /// Servers; one may stand on two pages.
    pub servers: Vec<ServerView>,
    /// The next page, if there is one.
    pub next: Option<u32>,
}
