//! `/server_types`, `/images` and `/locations`: what can be ordered.

use serde_json::{Value, json};

use super::super::answer::{Answer, Refusal};
use super::super::catalog::{IMAGES, Image, LOCATIONS, Location, SERVER_TYPES, ServerType};
use super::super::query::{SortValue, sort_entries};
use super::super::world::World;
use super::Call;

impl World {
    pub(super) fn list_server_types(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let query = call.query(&["name", "page", "per_page"])?;
        let name = query.last("name");
        let types: Vec<_> = SERVER_TYPES.iter().filter(|it| name.is_none_or(|name| it.name == name)).collect();
        query.page("server_types", &types, |it| self.server_type_json(it))
    }

    pub(super) fn get_server_type(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let found = SERVER_TYPES.iter().find(|it| it.id == call.id);
        let found = found.ok_or_else(|| Refusal::not_found("server type", call.id))?;
        Ok(Answer::ok(json!({"server_type": self.server_type_json(found)})))
    }

    fn server_type_json(&self, it: &ServerType) -> Value {
        it.to_json(|place| self.shows_stock(it, place))
    }
}

pub(super) fn list_images(call: &Call<'_>) -> Result<Answer, Refusal> {
    let query = call.query(&[
        "sort",
        "type",
        "status",
        "bound_to",
        "include_deprecated",
        "name",
        "label_selector",
        "architecture",
        "page",
        "per_page",
    ])?;
    query.expect_one_of("type", &["system", "app", "snapshot", "backup"])?;
    query.expect_one_of("status", &["available", "creating", "unavailable"])?;
    query.expect_one_of("architecture", &["x86", "arm"])?;
    query.expect_one_of("include_deprecated", &["true", "false"])?;
    let selector = query.selector()?;
    let sort = query.sort(&["id", "name", "created"])?;
    let name = query.last("name");
    let mut images: Vec<_> = IMAGES
        .iter()
        .filter(|it| name.is_none_or(|name| it.name == name))
        .filter(|it| query.admits("architecture", it.architecture.as_str()))
        // All are system images without labels, and none is bound to a server.
        .filter(|_| query.admits("type", "system") && query.admits("status", "available"))
        .filter(|_| query.last("bound_to").is_none() && selector.matches(&Default::default()))
        .collect();
    sort_entries(&mut images, &sort, |image: &Image, field| match field {
        "name" => SortValue::Text(image.name),
        _ => SortValue::Number(u128::from(image.id)),
    });
    query.page("images", &images, |it| it.to_json())
}

pub(super) fn get_image(call: &Call<'_>) -> Result<Answer, Refusal> {
    let found = IMAGES.iter().find(|it| it.id == call.id);
    let found = found.ok_or_else(|| Refusal::not_found("image", call.id))?;
    Ok(Answer::ok(json!({"image": found.to_json()})))
}

pub(super) fn list_locations(call: &Call<'_>) -> Result<Answer, Refusal> {
    let query = call.query(&["name", "sort", "page", "per_page"])?;
    let sort = query.sort(&["id", "name"])?;
    let name = query.last("name");
    let mut locations: Vec<_> = LOCATIONS.iter().filter(|it| name.is_none_or(|name| it.name == name)).collect();
    sort_entries(&mut locations, &sort, |location: &Location, field| match field {
        "name" => SortValue::Text(location.name),
        _ => SortValue::Number(u128::from(location.id)),
    });
    query.page("locations", &locations, |it| it.to_json())
}

pub(super) fn get_location(call: &Call<'_>) -> Result<Answer, Refusal> {
    let found = LOCATIONS.iter().find(|it| it.id == call.id);
    let found = found.ok_or_else(|| Refusal::not_found("location", call.id))?;
    Ok(Answer::ok(json!({"location": found.to_json()})))
}
