//! `POST /servers`: the create body is checked field by field, then a preliminary server is answered.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::addresses::{AddressKind, AddressWish};
use super::super::answer::{Answer, Refusal};
use super::super::catalog::{self, Image, Location, ServerType};
use super::super::labels::Labels;
use super::super::ledger::{LedgerServer, Origin};
use super::super::records::{ProjectName, Server, ServerStatus};
use super::super::time::SimInstant;
use super::super::world::{CREATE, START, World};
use super::Call;
use super::fields::Fields;
use super::primary_ips::read_public_net;

/// Longest `user_data`.
pub(super) const USER_DATA_MAX_BYTES: usize = 32 * 1024;
const ROOT_PASSWORD_CHARS: usize = 20;

const FIELDS: [&str; 14] = [
    "name",
    "location",
    "server_type",
    "start_after_create",
    "image",
    "placement_group",
    "ssh_keys",
    "volumes",
    "networks",
    "firewalls",
    "user_data",
    "labels",
    "automount",
    "public_net",
];

/// What may become a server: everything in it exists and fits together.
pub(in super::super) struct Blueprint {
    pub(in super::super) name: String,
    pub(in super::super) labels: Labels,
    pub(in super::super) server_type: &'static ServerType,
    pub(in super::super) location: &'static Location,
    pub(in super::super) image: &'static Image,
    pub(in super::super) ipv4: AddressWish,
    pub(in super::super) ipv6: AddressWish,
}

struct Order {
    blueprint: Blueprint,
    has_ssh_keys: bool,
    starts: bool,
}

impl World {
    pub(super) fn create_server(&mut self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let order = self.read_order(call)?;
        if self.names.contains_key(&(Arc::clone(&call.project), order.blueprint.name.clone())) {
            return Err(Refusal::server_name_taken());
        }
        if call.twist.out_of_stock {
            return Err(Refusal::out_of_stock());
        }
        let Blueprint { server_type, location, ipv4, ipv6, .. } = order.blueprint;
        self.check_stock(server_type, location)?;
        self.check_address(&call.project, location, AddressKind::Ipv4, ipv4)?;
        self.check_address(&call.project, location, AddressKind::Ipv6, ipv6)?;
        let by = Origin::Request { correlation_id: call.correlation_id.to_owned() };
        let id = self.build(&call.project, order.blueprint, call.arrived_at, by);
        if let Some(server) = self.servers.get_mut(&id) {
            server.hidden = call.twist.hidden;
            server.not_found_until = call.twist.not_found_until;
            server.starts = order.starts;
        }
        let drawn = self.create_time();
        let create_time = call.twist.action_time.unwrap_or(drawn);
        let failure = call.twist.action_failure.clone();
        let target = (id, &call.project);
        let create = self.start_action(target, CREATE, create_time, failure.clone());
        let mut next = Vec::new();
        if order.starts {
            let start_time = create_time + self.start_lag();
            let failure = failure.or_else(|| call.twist.start_failure.clone());
            next.push(self.start_action(target, START, start_time, failure));
        }
        let action = |id: &u64| self.actions.get(id).map(|action| self.action_json(action));
        let server = self.servers.get(&id).map(|server| self.server_json(server));
        let next: Vec<_> = next.iter().filter_map(action).collect();
        let mut body = json!({
            "server": server,
            "action": action(&create),
            "next_actions": next,
            "root_password": null,
        });
        if !order.has_ssh_keys
            && let Some(password) = body.get_mut("root_password")
        {
            *password = Value::String(self.root_password());
        }
        Ok(Answer::created(body))
    }

    /// Puts a server into the world, still without an action.
    pub(in super::super) fn build(
        &mut self,
        project: &ProjectName,
        blueprint: Blueprint,
        requested_at: SimInstant,
        created_by: Origin,
    ) -> u64 {
        let id = self.next_id();
        let ipv4 = self.give_address((id, project), blueprint.location, AddressKind::Ipv4, blueprint.ipv4);
        let ipv6 = self.give_address((id, project), blueprint.location, AddressKind::Ipv6, blueprint.ipv6);
        self.names.insert((Arc::clone(project), blueprint.name.clone()), id);
        self.books.created(LedgerServer {
            id,
            project: project.to_string(),
            name: blueprint.name.clone(),
            labels: blueprint.labels.clone(),
            marks: Vec::new(),
            server_type: blueprint.server_type.name.to_owned(),
            location: blueprint.location.name.to_owned(),
            requested_at,
            created_at: self.now,
            created_by,
            deleted_at: None,
            deleted_by: None,
        });
        let server = Server {
            id,
            project: Arc::clone(project),
            name: blueprint.name,
            labels: blueprint.labels,
            state: ServerStatus::Initializing,
            is_deleting: false,
            starts: false,
            created: self.now,
            server_type: blueprint.server_type,
            location: blueprint.location,
            image: blueprint.image,
            ipv4,
            ipv6,
            hidden: None,
            not_found_until: None,
            locked_until: SimInstant::START,
            is_protected: false,
            garbled: None,
        };
        self.servers.insert(id, server);
        id
    }

    fn read_order(&self, call: &Call<'_>) -> Result<Order, Refusal> {
        let mut fields = Fields::parse(call.body)?;
        fields.expect_only(&FIELDS);
        let name = fields.required_text("name");
        if !name.is_empty() {
            fields.check_host_name(&name);
        }
        let starts = fields.flag("start_after_create", true);
        fields.flag("automount", false);
        let labels = fields.labels().unwrap_or_default();
        check_user_data(&mut fields);
        let has_ssh_keys = self.check_ssh_keys(&call.project, &mut fields);
        refuse_what_is_not_simulated(&mut fields);
        let (ipv4, ipv6) = read_public_net(&mut fields);
        let machine = read_machine(&mut fields);
        fields.finish()?;
        // `read_machine` has refused a field if it returned nothing.
        let (server_type, location, image) =
            machine.ok_or_else(|| Refusal::invalid_field("server_type", "not found"))?;
        let blueprint = Blueprint { name, labels, server_type, location, image, ipv4, ipv6 };
        Ok(Order { blueprint, has_ssh_keys, starts })
    }

    /// Checks that every key exists in the project; tells whether there is any.
    fn check_ssh_keys(&self, project: &ProjectName, fields: &mut Fields) -> bool {
        let keys = fields.list("ssh_keys");
        for key in &keys {
            let wanted = match key {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                    fields.refuse("ssh_keys", "must be names or ids");
                    continue;
                }
            };
            let is_known = self
                .ssh_keys
                .values()
                .any(|it| it.project == *project && (it.name == wanted || it.id.to_string() == wanted));
            if !is_known {
                fields.refuse("ssh_keys", format!("SSH key '{wanted}' not found"));
            }
        }
        !keys.is_empty()
    }

    fn root_password(&mut self) -> String {
        if let Some(password) = &self.settings.root_password {
            return password.clone();
        }
        (0..ROOT_PASSWORD_CHARS).map(|_| self.rng.alphanumeric()).collect()
    }
}

fn check_user_data(fields: &mut Fields) {
    let length = fields.text("user_data").map_or(0, |text| text.len());
    if length > USER_DATA_MAX_BYTES {
        fields.refuse("user_data", format!("{length} bytes are more than {USER_DATA_MAX_BYTES}"));
    }
}

/// Nothing of these kinds exists in the simulated cloud, so nothing can be attached.
fn refuse_what_is_not_simulated(fields: &mut Fields) {
    for name in ["volumes", "networks", "firewalls"] {
        if !fields.list(name).is_empty() {
            fields.refuse(name, "not found");
        }
    }
    if fields.has("placement_group") {
        fields.refuse("placement_group", "not found");
    }
}

type Machine = (&'static ServerType, &'static Location, &'static Image);

fn read_machine(fields: &mut Fields) -> Option<Machine> {
    let kind = fields.required_text("server_type");
    let image = fields.required_text("image");
    let location = fields.text("location");
    let server_type = catalog::server_type(&kind);
    if server_type.is_none() && !kind.is_empty() {
        fields.refuse("server_type", format!("server type '{kind}' not found"));
    }
    let place = match &location {
        Some(wanted) => {
            let place = catalog::location(wanted);
            if place.is_none() {
                fields.refuse("location", format!("location '{wanted}' not found"));
            }
            place
        }
        None => server_type.and_then(|it| it.offered_in().next()),
    };
    let server_type = server_type?;
    let architecture = server_type.architecture;
    let found = catalog::image(&image, architecture);
    match found {
        None if !image.is_empty() => fields.refuse("image", format!("image '{image}' not found")),
        Some(found) if found.architecture != architecture => {
            fields.refuse("image", "image architecture does not fit the server type");
        }
        None | Some(_) => {}
    }
    let place = place?;
    if !server_type.is_offered_in(place.name) {
        fields.refuse("location", "unsupported location for server type");
    }
    Some((server_type, place, found?))
}
