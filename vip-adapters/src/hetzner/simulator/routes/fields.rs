//! Reading the fields of a JSON body strictly, and collecting everything that is wrong with them.

use serde_json::{Map, Value};

use super::super::answer::{FieldError, Refusal};
use super::super::labels::{self, Labels};

/// The fields of a request body.
#[derive(Debug)]
pub(super) struct Fields {
    map: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Reads a body that must be a JSON object.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::json_error(format!("error parsing JSON: {error}")))?;
        match value {
            Value::Object(map) => Ok(Self { map, errors: Vec::new() }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(Refusal::json_error("the body is not a JSON object".to_owned()))
            }
        }
    }

    /// Refuses fields that are not in `known`: the real API ignores them, and a misspelt field would
    /// go unnoticed.
    pub(super) fn expect_only(&mut self, known: &[&str]) {
        let unknown: Vec<_> = self.map.keys().filter(|key| !known.contains(&key.as_str())).cloned().collect();
        for field in unknown {
            self.refuse("body", format!("unknown field '{field}'"));
        }
    }

    pub(super) fn refuse(&mut self, name: &'static str, message: impl Into<String>) {
        self.errors.push(FieldError::new(name, message));
    }

    /// Returns everything that was wrong, if anything was.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        if self.errors.is_empty() { Ok(()) } else { Err(Refusal::invalid_input(&self.errors)) }
    }

    /// Tells whether a field is there and not `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// Reads a string; `null` counts as absent.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        match self.map.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                self.refuse(name, "must be a string");
                None
            }
        }
    }

    /// Reads a string that must be there and not be empty; an empty one is returned if it was refused.
    pub(super) fn required_text(&mut self, name: &'static str) -> String {
        if !self.has(name) || self.map.get(name).and_then(Value::as_str) == Some("") {
            self.refuse(name, "Missing data for required field.");
        }
        self.text(name).unwrap_or_default()
    }

    /// Reads a boolean.
    pub(super) fn flag(&mut self, name: &'static str, default: bool) -> bool {
        match self.map.get(name) {
            None | Some(Value::Null) => default,
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                self.refuse(name, "must be a boolean");
                default
            }
        }
    }

    /// Reads an array; `null` counts as empty.
    pub(super) fn list(&mut self, name: &'static str) -> Vec<Value> {
        match self.map.get(name) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list.clone(),
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                self.refuse(name, "must be an array");
                Vec::new()
            }
        }
    }

    /// Reads an object; `null` counts as absent.
    pub(super) fn object(&mut self, name: &'static str) -> Option<Map<String, Value>> {
        match self.map.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::Object(map)) => Some(map.clone()),
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                self.refuse(name, "must be an object");
                None
            }
        }
    }

    /// Reads labels and checks every key and value.
    pub(super) fn labels(&mut self) -> Option<Labels> {
        let map = self.object("labels")?;
        let mut labels = Labels::new();
        for (key, value) in map {
            let Value::String(value) = value else {
                self.refuse("labels", format!("value of '{key}' must be a string"));
                continue;
            };
            for problem in [labels::check_key(&key), labels::check_value(&value)] {
                if let Err(message) = problem {
                    self.refuse("labels", message);
                }
            }
            labels.insert(key, value);
        }
        Some(labels)
    }

    /// Checks a host name.
    pub(super) fn check_host_name(&mut self, name: &str) {
        if !labels::is_host_name(name) {
            self.refuse("name", format!("'{name}' is not a valid hostname"));
        }
    }
}
