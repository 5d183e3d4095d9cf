//! `/primary_ips`: list, read, create, change and delete; assigning is done by the create of a server.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::super::addresses::{AddressKind, AddressWish, PrimaryIp};
use super::super::answer::{Answer, Refusal};
use super::super::catalog::{self, Location};
use super::super::query::{SortValue, sort_entries};
use super::super::records::ProjectName;
use super::super::world::World;
use super::Call;
use super::fields::Fields;

impl World {
    pub(super) fn list_primary_ips(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let query = call.query(&["name", "label_selector", "ip", "sort", "page", "per_page"])?;
        let selector = query.selector()?;
        let sort = query.sort(&["id", "created"])?;
        let (name, ip) = (query.last("name"), query.last("ip"));
        let mut addresses: Vec<_> = self
            .addresses
            .values()
            .filter(|it| it.project == call.project)
            .filter(|it| name.is_none_or(|name| it.name == name) && ip.is_none_or(|ip| it.ip() == ip))
            .filter(|it| selector.matches(&it.labels))
            .collect();
        sort_entries(&mut addresses, &sort, |address: &PrimaryIp, field| match field {
            "created" => SortValue::Number(address.created.since_start().as_nanos()),
            _ => SortValue::Number(u128::from(address.id)),
        });
        query.page("primary_ips", &addresses, |it| it.to_json(self.settings.clock))
    }

    pub(super) fn get_primary_ip(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        call.query(&[])?;
        let address = self.find_primary_ip(call)?;
        Ok(Answer::ok(json!({"primary_ip": address.to_json(self.settings.clock)})))
    }

    pub(super) fn create_primary_ip(&mut self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let mut fields = Fields::parse(call.body)?;
        fields.expect_only(&["name", "type", "location", "auto_delete", "labels"]);
        let name = fields.required_text("name");
        let kind = match fields.required_text("type").as_str() {
            "ipv4" => Some(AddressKind::Ipv4),
            "ipv6" => Some(AddressKind::Ipv6),
            _ => {
                fields.refuse("type", "must be ipv4 or ipv6");
                None
            }
        };
        let wanted = fields.required_text("location");
        let location = catalog::location(&wanted);
        if location.is_none() {
            fields.refuse("location", format!("location '{wanted}' not found"));
        }
        let auto_delete = fields.flag("auto_delete", false);
        let labels = fields.labels().unwrap_or_default();
        fields.finish()?;
        let (Some(kind), Some(location)) = (kind, location) else {
            return Err(Refusal::invalid_field("type", "not found"));
        };
        self.check_address_name(&call.project, &name)?;
        let (id, project, created) = (self.next_id(), Arc::clone(&call.project), self.now);
        let address = PrimaryIp { id, project, name, kind, location, assignee: None, auto_delete, labels, created };
        let body = json!({"primary_ip": address.to_json(self.settings.clock)});
        self.add_address(address);
        Ok(Answer::created(body))
    }

    pub(super) fn update_primary_ip(&mut self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let (id, old_name) = {
            let address = self.find_primary_ip(call)?;
            (address.id, address.name.clone())
        };
        let mut fields = Fields::parse(call.body)?;
        fields.expect_only(&["name", "auto_delete", "labels"]);
        let name = fields.has("name").then(|| fields.required_text("name"));
        let auto_delete = fields.has("auto_delete").then(|| fields.flag("auto_delete", false));
        let labels = fields.labels();
        fields.finish()?;
        if let Some(name) = name.as_deref().filter(|name| *name != old_name) {
            self.check_address_name(&call.project, name)?;
        }
        if let Some(address) = self.addresses.get_mut(&id) {
            address.name = name.unwrap_or(old_name);
            address.labels = labels.unwrap_or_else(|| std::mem::take(&mut address.labels));
            address.auto_delete = auto_delete.unwrap_or(address.auto_delete);
            self.books.address_changed(id, address.auto_delete);
        }
        self.get_primary_ip(call)
    }

    pub(super) fn delete_primary_ip(&mut self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let address = self.find_primary_ip(call)?;
        let (id, is_assigned) = (address.id, address.assignee.is_some());
        if is_assigned {
            return Err(Refusal::must_be_unassigned());
        }
        self.remove_address(id);
        Ok(Answer::no_content())
    }

    fn find_primary_ip(&self, call: &Call<'_>) -> Result<&PrimaryIp, Refusal> {
        let address = self.addresses.get(&call.id).filter(|it| it.project == call.project);
        address.ok_or_else(|| Refusal::not_found("primary IP", call.id))
    }

    fn check_address_name(&self, project: &ProjectName, name: &str) -> Result<(), Refusal> {
        let is_taken = self.addresses.values().any(|it| it.project == *project && it.name == name);
        if is_taken { Err(Refusal::not_unique("name")) } else { Ok(()) }
    }

    /// Checks that an address that an order names can be given to a server in a location.
    pub(super) fn check_address(
        &self,
        project: &ProjectName,
        location: &Location,
        kind: AddressKind,
        wish: AddressWish,
    ) -> Result<(), Refusal> {
        let AddressWish::Existing(id) = wish else { return Ok(()) };
        let found = self.addresses.get(&id).filter(|it| it.project == *project);
        let address = found.ok_or_else(|| Refusal::invalid_field("public_net", "primary IP not found"))?;
        let refuse = |status, code| Err(Refusal::new(status, code, "the primary IP cannot be assigned"));
        match address {
            _ if address.kind != kind => refuse(StatusCode::PRECONDITION_FAILED, "primary_ip_version_mismatch"),
            _ if address.assignee.is_some() => refuse(StatusCode::UNPROCESSABLE_ENTITY, "primary_ip_assigned"),
            _ if address.location.id != location.id => {
                refuse(StatusCode::UNPROCESSABLE_ENTITY, "primary_ip_datacenter_mismatch")
            }
            _ => Ok(()),
        }
    }
}

/// Reads which addresses an order wants; both are made for it unless it says otherwise.
pub(super) fn read_public_net(fields: &mut Fields) -> (AddressWish, AddressWish) {
    let Some(net) = fields.object("public_net") else {
        return (AddressWish::New, AddressWish::New);
    };
    let ipv4 = read_wish(fields, &net, "enable_ipv4", "ipv4");
    (ipv4, read_wish(fields, &net, "enable_ipv6", "ipv6"))
}

fn read_wish(fields: &mut Fields, net: &Map<String, Value>, enable: &str, id: &str) -> AddressWish {
    let is_enabled = match net.get(enable) {
        None | Some(Value::Null) => true,
        Some(Value::Bool(enabled)) => *enabled,
        Some(Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            fields.refuse("public_net", format!("'{enable}' must be a boolean"));
            true
        }
    };
    let wanted = match net.get(id) {
        None | Some(Value::Null) => None,
        Some(value) => {
            let number = value.as_u64();
            if number.is_none() {
                fields.refuse("public_net", format!("'{id}' must be an id"));
            }
            number
        }
    };
    match (is_enabled, wanted) {
        (false, _) => AddressWish::Nothing,
        (true, None) => AddressWish::New,
        (true, Some(id)) => AddressWish::Existing(id),
    }
}
