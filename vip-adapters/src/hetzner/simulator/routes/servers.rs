//! `/servers`: list, read, rename and relabel, delete.

use std::sync::Arc;

use serde_json::json;

use super::super::answer::{Answer, Refusal};
use super::super::ledger::Origin;
use super::super::query::{SortValue, sort_entries};
use super::super::records::{SERVER_STATUSES, Server};
use super::super::world::{DELETE, World};
use super::Call;
use super::fields::Fields;

impl World {
    pub(super) fn list_servers(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let query = call.query(&["name", "label_selector", "status", "sort", "page", "per_page"])?;
        query.expect_one_of("status", &SERVER_STATUSES)?;
        let selector = query.selector()?;
        let sort = query.sort(&["id", "name", "created"])?;
        let name = query.last("name");
        let mut servers: Vec<_> = self
            .servers
            .values()
            .filter(|server| server.project == call.project && server.is_listed(self.now))
            .filter(|server| name.is_none_or(|name| server.name == name))
            .filter(|server| query.admits("status", server.status().as_str()))
            .filter(|server| selector.matches(&server.labels))
            .collect();
        sort_entries(&mut servers, &sort, |server: &Server, field| match field {
            "name" => SortValue::Text(&server.name),
            "created" => SortValue::Number(server.created.since_start().as_nanos()),
            _ => SortValue::Number(u128::from(server.id)),
        });
        query.page("servers", &servers, |it| self.server_json(it))
    }

    pub(super) fn get_server(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        call.query(&[])?;
        let server = self.find_server(call)?;
        Ok(Answer::ok(json!({"server": self.server_json(server)})))
    }

    pub(super) fn update_server(&mut self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let (id, old_name) = {
            let server = self.find_server(call)?;
            (server.id, server.name.clone())
        };
        let mut fields = Fields::parse(call.body)?;
        fields.expect_only(&["name", "labels"]);
        let name = fields.has("name").then(|| fields.required_text("name"));
        if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
            fields.check_host_name(name);
        }
        let labels = fields.labels();
        fields.finish()?;
        if let Some(name) = name.filter(|name| *name != old_name) {
            let key = (Arc::clone(&call.project), name.clone());
            if self.names.contains_key(&key) {
                return Err(Refusal::server_name_taken());
            }
            self.names.remove(&(Arc::clone(&call.project), old_name));
            self.names.insert(key, id);
            if let Some(server) = self.servers.get_mut(&id) {
                server.name = name;
            }
        }
        if let Some(server) = self.servers.get_mut(&id) {
            if let Some(labels) = labels {
                server.labels = labels;
            }
            self.books.updated(id, &server.name, &server.labels);
        }
        self.get_server(call)
    }

    pub(super) fn delete_server(&mut self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let server = self.find_server(call)?;
        if self.is_locked(server) {
            return Err(Refusal::locked());
        }
        if server.is_protected {
            return Err(Refusal::protected());
        }
        let id = server.id;
        if let Some(server) = self.servers.get_mut(&id) {
            server.is_deleting = true;
        }
        let by = Origin::Request { correlation_id: call.correlation_id.to_owned() };
        self.books.removal_accepted(id, by);
        let duration = call.twist.action_time.unwrap_or(self.settings.delete_time);
        let failure = call.twist.action_failure.clone();
        let action = self.start_action((id, &call.project), DELETE, duration, failure);
        let action = self.actions.get(&action).map(|action| self.action_json(action));
        Ok(Answer::ok(json!({ "action": action })))
    }

    /// Finds the server of a call in the caller's own project.
    pub(super) fn find_server(&self, call: &Call<'_>) -> Result<&Server, Refusal> {
        self.servers
            .get(&call.id)
            .filter(|server| server.project == call.project && server.is_found(self.now))
            .ok_or_else(|| Refusal::not_found("server", call.id))
    }
}
