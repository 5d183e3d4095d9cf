//! What happens behind the API: servers of somebody else, and what the control interface refuses.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::addresses::AddressWish;
use super::builder::DEFAULT_PROJECT;
use super::catalog;
use super::labels;
use super::ledger::Origin;
use super::records::{ProjectName, ServerStatus};
use super::routes::Blueprint;
use super::world::World;

/// A server that somebody else puts into a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ForeignServer {
    /// The project; [`DEFAULT_PROJECT`] by default.
    pub project: String,
    /// The name.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The server type; `cx23` by default.
    pub server_type: String,
    /// The location; `fsn1` by default.
    pub location: String,
}

impl Default for ForeignServer {
    fn default() -> Self {
        Self {
            project: DEFAULT_PROJECT.to_owned(),
            name: String::new(),
            labels: BTreeMap::new(),
            server_type: "cx23".to_owned(),
            location: "fsn1".to_owned(),
        }
    }
}

impl ForeignServer {
    /// Describes a server without labels in the default project.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Moves it to a project.
    #[must_use]
    pub fn in_project(mut self, project: impl Into<String>) -> Self {
        self.project = project.into();
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }
}

/// Whether a server may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// It may not.
    On,
    /// It may.
    Off,
}

/// Why the control interface refused something; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// A fault rule cannot work.
    #[error("the fault rule is invalid: {reason}")]
    InvalidRule {
        /// What is wrong with it.
        reason: String,
    },
    /// There is no project of this name.
    #[error("there is no project '{project}'")]
    UnknownProject {
        /// The name.
        project: String,
    },
    /// There is no server with this id.
    #[error("there is no server {id}")]
    UnknownServer {
        /// The id.
        id: u64,
    },
    /// The project has a server of this name.
    #[error("the name '{name}' is taken")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The stock cannot change in this way.
    #[error("the stock cannot change: {reason}")]
    InvalidStock {
        /// What is wrong with it.
        reason: String,
    },
    /// A server cannot be as described.
    #[error("the server is invalid: {reason}")]
    InvalidServer {
        /// What is wrong with it.
        reason: String,
    },
}

impl World {
    pub(super) fn garble(&mut self, id: u64, field: Option<&str>) -> Result<(), ControlError> {
        let server = self.servers.get(&id).ok_or(ControlError::UnknownServer { id })?;
        let shown = self.server_json(server);
        if let Some(field) = field.filter(|field| shown.get(field).is_none()) {
            return Err(ControlError::InvalidServer { reason: format!("it has no field '{field}'") });
        }
        if let Some(server) = self.servers.get_mut(&id) {
            server.garbled = field.map(str::to_owned);
        }
        Ok(())
    }

    pub(super) fn put_foreign(&mut self, server: ForeignServer) -> Result<u64, ControlError> {
        let project = self.existing_project(&server.project)?;
        let blueprint = blueprint(server)?;
        let name = blueprint.name.clone();
        if self.names.contains_key(&(Arc::clone(&project), name.clone())) {
            return Err(ControlError::NameTaken { name });
        }
        Ok(self.put(&project, blueprint))
    }

    /// Puts a server beside another one, under its name and with its labels; it runs at once.
    pub(super) fn put_twin(&mut self, of: u64) -> Result<u64, ControlError> {
        let first = self.servers.get(&of).ok_or(ControlError::UnknownServer { id: of })?;
        let project = Arc::clone(&first.project);
        let blueprint = Blueprint {
            name: first.name.clone(),
            labels: first.labels.clone(),
            server_type: first.server_type,
            location: first.location,
            image: first.image,
            ipv4: AddressWish::New,
            ipv6: AddressWish::New,
        };
        Ok(self.put(&project, blueprint))
    }

    /// Puts a server there that nobody ordered; it runs at once.
    fn put(&mut self, project: &ProjectName, blueprint: Blueprint) -> u64 {
        let id = self.build(project, blueprint, self.now, Origin::Console);
        if let Some(server) = self.servers.get_mut(&id) {
            server.state = ServerStatus::Running;
        }
        id
    }

    fn existing_project(&self, name: &str) -> Result<ProjectName, ControlError> {
        let mut projects = self.settings.tokens.values().map(|(project, _)| project);
        projects
            .find(|project| project.as_ref() == name)
            .cloned()
            .ok_or_else(|| ControlError::UnknownProject { project: name.to_owned() })
    }
}

fn blueprint(server: ForeignServer) -> Result<Blueprint, ControlError> {
    let invalid = |reason: String| ControlError::InvalidServer { reason };
    if !labels::is_host_name(&server.name) {
        return Err(invalid(format!("'{}' is not a valid hostname", server.name)));
    }
    for (key, value) in &server.labels {
        labels::check_key(key).and_then(|()| labels::check_value(value)).map_err(invalid)?;
    }
    let server_type = catalog::server_type(&server.server_type)
        .ok_or_else(|| invalid(format!("there is no type '{}'", server.server_type)))?;
    let location = catalog::location(&server.location)
        .ok_or_else(|| invalid(format!("there is no location '{}'", server.location)))?;
    let image = catalog::image("debian-12", server_type.architecture)
        .ok_or_else(|| invalid("there is no image for the type".to_owned()))?;
    Ok(Blueprint {
        name: server.name,
        labels: server.labels,
        server_type,
        location,
        image,
        ipv4: AddressWish::New,
        ipv6: AddressWish::New,
    })
}
