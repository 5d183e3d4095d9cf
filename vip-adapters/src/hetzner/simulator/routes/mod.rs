//! The routes of the API: which paths exist, what they allow, and who answers them.

use bytes::Bytes;
use http::{Method, Uri};

use super::answer::{Answer, Refusal};
use super::fault_board::Twist;
use super::query::Query;
use super::records::ProjectName;
use super::time::SimInstant;
use super::world::World;

mod actions;
mod catalog;
mod create_server;

pub(super) use create_server::Blueprint;
mod fields;
mod primary_ips;
mod servers;
mod ssh_keys;

/// A path of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Servers,
    Server,
    ServerActions,
    AllServerActions,
    OneServerAction,
    Actions,
    Action,
    SshKeys,
    SshKey,
    ServerTypes,
    ServerType,
    Images,
    Image,
    Locations,
    Location,
    Pricing,
    PrimaryIps,
    PrimaryIp,
}

/// The template of every path that is served.
pub(super) const TEMPLATES: [&str; 18] = [
    "/servers",
    "/servers/{id}",
    "/servers/{id}/actions",
    "/servers/actions",
    "/servers/actions/{id}",
    "/actions",
    "/actions/{id}",
    "/ssh_keys",
    "/ssh_keys/{id}",
    "/server_types",
    "/server_types/{id}",
    "/images",
    "/images/{id}",
    "/locations",
    "/locations/{id}",
    "/pricing",
    "/primary_ips",
    "/primary_ips/{id}",
];

/// Finds the endpoint of a path and the id in it.
///
/// The version prefix may be left out, for clients whose base address is the bare origin.
pub(super) fn find_endpoint(path: &str) -> Option<(Endpoint, u64)> {
    let path = path.strip_prefix("/v1/").or_else(|| path.strip_prefix('/'))?;
    let segments: Vec<_> = path.split('/').collect();
    let number = |text: &str| text.parse::<u64>().ok().filter(|id| *id > 0);
    let plain = |endpoint| Some((endpoint, 0));
    let with_id = |endpoint, id: &str| number(id).map(|id| (endpoint, id));
    match segments.as_slice() {
        ["servers"] => plain(Endpoint::Servers),
        ["servers", "actions"] => plain(Endpoint::AllServerActions),
        ["servers", "actions", id] => with_id(Endpoint::OneServerAction, id),
        ["servers", id] => with_id(Endpoint::Server, id),
        ["servers", id, "actions"] => with_id(Endpoint::ServerActions, id),
        ["actions"] => plain(Endpoint::Actions),
        ["actions", id] => with_id(Endpoint::Action, id),
        ["ssh_keys"] => plain(Endpoint::SshKeys),
        ["ssh_keys", id] => with_id(Endpoint::SshKey, id),
        ["server_types"] => plain(Endpoint::ServerTypes),
        ["server_types", id] => with_id(Endpoint::ServerType, id),
        ["images"] => plain(Endpoint::Images),
        ["images", id] => with_id(Endpoint::Image, id),
        ["locations"] => plain(Endpoint::Locations),
        ["locations", id] => with_id(Endpoint::Location, id),
        ["pricing"] => plain(Endpoint::Pricing),
        ["primary_ips"] => plain(Endpoint::PrimaryIps),
        ["primary_ips", id] => with_id(Endpoint::PrimaryIp, id),
        _ => None,
    }
}

impl Endpoint {
    /// Returns the template of the path.
    pub(super) fn template(self) -> &'static str {
        match self {
            Self::Servers => "/servers",
            Self::Server => "/servers/{id}",
            Self::ServerActions => "/servers/{id}/actions",
            Self::AllServerActions => "/servers/actions",
            Self::OneServerAction => "/servers/actions/{id}",
            Self::Actions => "/actions",
            Self::Action => "/actions/{id}",
            Self::SshKeys => "/ssh_keys",
            Self::SshKey => "/ssh_keys/{id}",
            Self::ServerTypes => "/server_types",
            Self::ServerType => "/server_types/{id}",
            Self::Images => "/images",
            Self::Image => "/images/{id}",
            Self::Locations => "/locations",
            Self::Location => "/locations/{id}",
            Self::Pricing => "/pricing",
            Self::PrimaryIps => "/primary_ips",
            Self::PrimaryIp => "/primary_ips/{id}",
        }
    }

    /// Tells whether the path is served by this method.
    pub(super) fn allows(self, method: &Method) -> bool {
        match self {
            Self::Servers | Self::SshKeys | Self::PrimaryIps => method == Method::GET || method == Method::POST,
            Self::Server | Self::PrimaryIp => [Method::GET, Method::PUT, Method::DELETE].contains(method),
            Self::ServerActions
            | Self::AllServerActions
            | Self::OneServerAction
            | Self::Actions
            | Self::Action
            | Self::SshKey
            | Self::ServerTypes
            | Self::ServerType
            | Self::Images
            | Self::Image
            | Self::Locations
            | Self::Location
            | Self::Pricing => method == Method::GET,
        }
    }
}

/// An authorised request to one endpoint.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) project: ProjectName,
    /// The id in the path, or 0.
    pub(super) id: u64,
    pub(super) uri: &'a Uri,
    pub(super) host: &'a str,
    pub(super) body: &'a Bytes,
    pub(super) correlation_id: &'a str,
    /// When the request arrived; its effect may be later.
    pub(super) arrived_at: SimInstant,
    pub(super) twist: &'a Twist,
}

impl Call<'_> {
    fn query(&self, allowed: &[&str]) -> Result<Query, Refusal> {
        Query::parse(self.uri, self.host, allowed)
    }
}

impl World {
    /// Answers an authorised request; the endpoint allows the method.
    pub(super) fn call(&mut self, endpoint: Endpoint, method: &Method, call: &Call<'_>) -> Result<Answer, Refusal> {
        match endpoint {
            Endpoint::Servers if method == Method::POST => self.create_server(call),
            Endpoint::Servers => self.list_servers(call),
            Endpoint::Server if method == Method::PUT => self.update_server(call),
            Endpoint::Server if method == Method::DELETE => self.delete_server(call),
            Endpoint::Server => self.get_server(call),
            Endpoint::ServerActions => self.list_actions_of_server(call),
            Endpoint::AllServerActions => self.list_actions_of_all_servers(call),
            Endpoint::Actions => self.get_actions(call),
            Endpoint::Action | Endpoint::OneServerAction => self.get_action(call),
            Endpoint::SshKeys if method == Method::POST => self.create_ssh_key(call),
            Endpoint::SshKeys => self.list_ssh_keys(call),
            Endpoint::SshKey => self.get_ssh_key(call),
            Endpoint::ServerTypes => self.list_server_types(call),
            Endpoint::ServerType => self.get_server_type(call),
            Endpoint::Images => catalog::list_images(call),
            Endpoint::Image => catalog::get_image(call),
            Endpoint::Locations => catalog::list_locations(call),
            Endpoint::Location => catalog::get_location(call),
            Endpoint::PrimaryIps if method == Method::POST => self.create_primary_ip(call),
            Endpoint::PrimaryIps => self.list_primary_ips(call),
            Endpoint::PrimaryIp if method == Method::PUT => self.update_primary_ip(call),
            Endpoint::PrimaryIp if method == Method::DELETE => self.delete_primary_ip(call),
            Endpoint::PrimaryIp => self.get_primary_ip(call),
            Endpoint::Pricing => Ok(Answer::ok(super::catalog::pricing())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_leads_to_its_own_endpoint() {
        for template in TEMPLATES {
            let path = template.replace("{id}", "7");
            for path in [path.clone(), format!("/v1{path}")] {
                let (endpoint, id) = find_endpoint(&path).unwrap();
                assert_eq!(endpoint.template(), template);
                assert_eq!(id, if template.contains("{id}") { 7 } else { 0 });
            }
        }
    }

    #[test]
    fn other_paths_are_unknown() {
        for path in ["/", "/v1", "/v1/", "/v2/servers", "/servers/", "/servers/x", "/servers/0", "/datacenters"] {
            assert_eq!(find_endpoint(path), None, "{path}");
        }
    }
}
