//! Holds a request and its answer against an OpenAPI 3.0 description, by way of JSON Schema.

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use super::recorder::Exchange;

/// Where the description is.
const VARIABLE: &str = "VIP_HETZNER_OPENAPI";
/// The name by which the tests are left out.
const SERVICE: &str = "openapi";

/// Is a description of an API.
#[derive(Debug)]
pub(crate) struct Description {
    paths: Value,
}

impl Description {
    /// Reads the description; without one, or if it is to be left out, says so and returns none.
    pub(crate) fn find(test: &str) -> Option<Self> {
        let skipped = std::env::var("VIP_TEST_SKIP").is_ok_and(|names| names.split(',').any(|name| name == SERVICE));
        let Some(place) = std::env::var_os(VARIABLE).filter(|place| !skipped && !place.is_empty()) else {
            println!("SKIPPED {SERVICE}: {test}, because {VARIABLE} does not say where the description is");
            return None;
        };
        let text = std::fs::read_to_string(place).unwrap();
        Some(Self::of(&serde_json::from_str(&text).unwrap()))
    }

    pub(crate) fn of(document: &Value) -> Self {
        let mut paths = document["paths"].clone();
        to_json_schema(&mut paths);
        Self { paths }
    }

    /// Returns method and template of an exchange, if the description knows them. A template without a variable in a
    /// place goes before one with it.
    pub(crate) fn route(&self, exchange: &Exchange) -> Option<(String, String)> {
        let templates = self.paths.as_object().unwrap().keys();
        let mut fitting: Vec<_> = templates.filter(|template| fits(template, &exchange.path)).collect();
        fitting.sort_by_key(|template| template.matches('{').count());
        let template = fitting.first()?;
        let method = exchange.method.to_lowercase();
        self.paths[template.as_str()].get(&method).map(|_| (method, (*template).clone()))
    }

    /// Lists everything in which an exchange is not as described.
    pub(crate) fn deviations(&self, exchange: &Exchange) -> Vec<String> {
        let place = format!("{} {} → {}", exchange.method, exchange.path, exchange.status);
        // What is refused for its route is not described.
        let Some((method, template)) = self.route(exchange) else { return vec![format!("{place}: no such operation")] };
        let (item, operation) = (&self.paths[&template], &self.paths[&template][&method]);
        let mut found = parameters(item, operation, exchange);
        if exchange.status < 400 {
            found.extend(request_body(operation, exchange));
        }
        found.extend(answer(operation, exchange));
        found.into_iter().map(|text| format!("{place}: {text}")).collect()
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let same = |(wanted, found): (&&str, &&str)| wanted.starts_with('{') && !found.is_empty() || wanted == found;
    template.len() == path.len() && template.iter().zip(&path).all(same)
}

fn parameters(item: &Value, operation: &Value, exchange: &Exchange) -> Vec<String> {
    let lists = [&item["parameters"], &operation["parameters"]];
    let described: Vec<&Value> =
        lists.iter().filter_map(|it| it.as_array()).flatten().filter(|it| it["in"] == "query").collect();
    let mut found = Vec::new();
    for parameter in &described {
        let is_given = exchange.query.iter().any(|(name, _)| parameter["name"] == *name);
        if parameter["required"] == true && !is_given && exchange.status < 400 {
            found.push(format!("the parameter {} is missing", parameter["name"]));
        }
    }
    for (name, text) in &exchange.query {
        match described.iter().find(|it| it["name"] == *name) {
            None => found.push(format!("the parameter '{name}' is not described")),
            Some(parameter) => {
                let values = of_text(text, &parameter["schema"]);
                found.extend(violations(&parameter["schema"], &values).into_iter().map(|it| format!("{name}: {it}")));
            }
        }
    }
    found
}

/// Reads the text of a parameter as what its schema wants.
fn of_text(text: &str, schema: &Value) -> Value {
    let wants =
        |kind: &str| schema["type"] == kind || schema["type"].as_array().is_some_and(|it| it.contains(&json!(kind)));
    if wants("array") {
        return json!([of_text(text, &schema["items"])]);
    }
    let is_text = !["integer", "number", "boolean"].into_iter().any(wants);
    if is_text { json!(text) } else { serde_json::from_str(text).unwrap_or_else(|_| json!(text)) }
}

fn request_body(operation: &Value, exchange: &Exchange) -> Vec<String> {
    let body = &operation["requestBody"];
    match (body.is_null(), exchange.request.is_empty()) {
        (true, true) => Vec::new(),
        (true, false) => vec!["a body is not described".to_owned()],
        (false, true) if body["required"] == true => vec!["the body is missing".to_owned()],
        (false, true) => Vec::new(),
        (false, false) => content(body, &exchange.request, "the request"),
    }
}

fn answer(operation: &Value, exchange: &Exchange) -> Vec<String> {
    let responses = &operation["responses"];
    let class = format!("{}XX", exchange.status / 100);
    let exact = exchange.status.to_string();
    let Some(response) = responses.get(&exact).or_else(|| responses.get(&class)) else {
        return vec!["the status is not described".to_owned()];
    };
    match (response["content"].is_null(), exchange.answer.is_empty()) {
        (true, true) => Vec::new(),
        (true, false) => vec!["the answer has a body that is not described".to_owned()],
        (false, _) => content(response, &exchange.answer, "the answer"),
    }
}

fn content(described: &Value, body: &[u8], what: &str) -> Vec<String> {
    let schema = &described["content"]["application/json"]["schema"];
    match serde_json::from_slice(body) {
        Ok(value) => violations(schema, &value).into_iter().map(|it| format!("{what}: {it}")).collect(),
        Err(error) => vec![format!("{what} is no JSON: {error}")],
    }
}

fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let validator: Validator =
        jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true).build(schema).unwrap();
    validator.iter_errors(value).map(|error| format!("{} at '{}'", error, error.instance_path())).collect()
}

/// Turns the schemas of OpenAPI 3.0 into JSON Schema: `nullable` is a type there. Objects are closed on the way, so that
/// a misspelt field is a deviation too.
fn to_json_schema(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(to_json_schema);
            let is_nullable = map.get("nullable") == Some(&json!(true));
            if is_nullable && let Some(kind) = map.get("type").filter(|kind| kind.is_string()).cloned() {
                map.insert("type".to_owned(), json!([kind, "null"]));
                if let Some(Value::Array(words)) = map.get_mut("enum") {
                    words.push(Value::Null);
                }
            }
            let is_schema = map.get("properties").is_some_and(Value::is_object) && map.contains_key("type");
            let is_combined = ["oneOf", "anyOf", "allOf"].iter().any(|word| map.contains_key(*word));
            if is_schema && !is_combined && !map.contains_key("additionalProperties") {
                map.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(list) => list.iter_mut().for_each(to_json_schema),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
