//! `/actions`, `/servers/actions` and `/servers/{id}/actions`: asynchronous work, one or many.

use serde_json::json;

use super::super::answer::{Answer, Refusal};
use super::super::query::{Query, SortValue, sort_entries};
use super::super::records::{ACTION_STATUSES, Action};
use super::super::world::World;
use super::Call;

impl World {
    /// Answers the actions that the repeated parameter `id` names; ids that are unknown are left out.
    pub(super) fn get_actions(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let query = call.query(&["id"])?;
        let ids = wanted_ids(&query)?;
        if ids.is_empty() {
            return Err(Refusal::listing_all_actions_removed());
        }
        let actions: Vec<_> = ids
            .iter()
            .filter_map(|id| self.actions.get(id))
            .filter(|action| action.project == call.project)
            .map(|action| self.action_json(action))
            .collect();
        Ok(Answer::ok(json!({ "actions": actions })))
    }

    pub(super) fn get_action(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        call.query(&[])?;
        let action = self
            .actions
            .get(&call.id)
            .filter(|action| action.project == call.project)
            .ok_or_else(|| Refusal::not_found("action", call.id))?;
        Ok(Answer::ok(json!({"action": self.action_json(action)})))
    }

    pub(super) fn list_actions_of_server(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let server = self.find_server(call)?.id;
        let query = call.query(&["sort", "status", "page", "per_page"])?;
        self.list_actions(&query, call, |action| action.server == server)
    }

    pub(super) fn list_actions_of_all_servers(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let query = call.query(&["id", "sort", "status", "page", "per_page"])?;
        let ids = wanted_ids(&query)?;
        self.list_actions(&query, call, |action| ids.is_empty() || ids.contains(&action.id))
    }

    fn list_actions(
        &self,
        query: &Query,
        call: &Call<'_>,
        is_wanted: impl Fn(&Action) -> bool,
    ) -> Result<Answer, Refusal> {
        query.expect_one_of("status", &ACTION_STATUSES)?;
        let sort = query.sort(&["id", "command", "status", "started", "finished"])?;
        let mut actions: Vec<_> = self
            .actions
            .values()
            .filter(|action| action.project == call.project && is_wanted(action))
            .filter(|action| query.admits("status", action.status()))
            .collect();
        sort_entries(&mut actions, &sort, |action: &Action, field| match field {
            "command" => SortValue::Text(action.command),
            "status" => SortValue::Text(action.status()),
            "started" => SortValue::Number(action.started.since_start().as_nanos()),
            "finished" => {
                SortValue::Number(action.end.as_ref().map_or(u128::MAX, |end| end.at.since_start().as_nanos()))
            }
            _ => SortValue::Number(u128::from(action.id)),
        });
        query.page("actions", &actions, |it| self.action_json(it))
    }
}

fn wanted_ids(query: &Query) -> Result<Vec<u64>, Refusal> {
    query
        .all("id")
        .map(|text| {
            text.parse()
                .map_err(|error: std::num::ParseIntError| Refusal::invalid_field("id", format!("'{text}': {error}")))
        })
        .collect()
}
