//! The control interface under `/_sim`: the ledger, the faults, and hands that reach around the API.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::json_response;
use super::time::millis;
use super::{ControlError, FaultPlan, FaultRule, ForeignServer, Protection, Simulator, StockChange};

/// The path prefix of the control interface.
pub(super) const PREFIX: &str = "/_sim";

/// Tells whether a path belongs to the control interface.
pub(super) fn is_control(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Why the control interface did nothing.
struct Problem {
    status: StatusCode,
    message: String,
}

impl Simulator {
    /// Answers a request to the control interface. It needs no token, is not counted and meets no faults.
    pub(super) fn control(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.try_control(request)
            .unwrap_or_else(|problem| json_response(problem.status, &json!({"error": problem.message})))
    }

    fn try_control(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, Problem> {
        let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
        let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
        let body = request.body();
        match (request.method(), segments.as_slice()) {
            (&Method::GET, ["ledger"]) => {
                let ledger = serde_json::to_value(self.ledger())?;
                Ok(json_response(StatusCode::OK, &ledger))
            }
            (&Method::GET, ["connections"]) => {
                let open = self.open_connections();
                Ok(json_response(StatusCode::OK, &json!({ "open": open })))
            }
            (&Method::POST, ["faults"]) => {
                self.add_plan(read_plan(body)?)?;
                Ok(done())
            }
            (&Method::DELETE, ["faults"]) => {
                self.clear_faults();
                Ok(done())
            }
            (&Method::POST, ["servers"]) => {
                let server: ForeignServer = serde_json::from_slice(body)?;
                let id = self.put_server(server)?;
                Ok(json_response(StatusCode::CREATED, &json!({ "id": id })))
            }
            (&Method::POST, ["servers", id, "twin"]) => {
                let id = self.put_twin(number(id)?)?;
                Ok(json_response(StatusCode::CREATED, &json!({ "id": id })))
            }
            (&Method::DELETE, ["servers", id]) => {
                self.remove_server(number(id)?)?;
                Ok(done())
            }
            (&Method::POST, ["servers", id, "lock"]) => {
                let lock: Lock = serde_json::from_slice(body)?;
                self.lock_server(number(id)?, lock.duration)?;
                Ok(done())
            }
            (&Method::POST, ["servers", id, "protection"]) => {
                self.protect_server(number(id)?, Protection::On)?;
                Ok(done())
            }
            (&Method::DELETE, ["servers", id, "protection"]) => {
                self.protect_server(number(id)?, Protection::Off)?;
                Ok(done())
            }
            (&Method::POST, ["servers", id, "start"]) => {
                self.start_server(number(id)?)?;
                Ok(done())
            }
            (&Method::POST, ["servers", id, "garble"]) => {
                let garble: Garble = serde_json::from_slice(body)?;
                self.garble_server(number(id)?, Some(&garble.field))?;
                Ok(done())
            }
            (&Method::DELETE, ["servers", id, "garble"]) => {
                self.garble_server(number(id)?, None)?;
                Ok(done())
            }
            (&Method::POST, ["stock"]) => {
                let change: StockChange = serde_json::from_slice(body)?;
                self.change_stock(change)?;
                Ok(done())
            }
            (_, _) => Err(Problem {
                status: StatusCode::NOT_FOUND,
                message: "the control interface has no such route".to_owned(),
            }),
        }
    }
}

/// The body of a lock.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    #[serde(rename = "for_ms", with = "millis")]
    duration: Duration,
}

/// The body of a garbling.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Garble {
    field: String,
}

fn number(id: &str) -> Result<u64, Problem> {
    id.parse().map_err(|error: std::num::ParseIntError| Problem {
        status: StatusCode::BAD_REQUEST,
        message: format!("'{id}': {error}"),
    })
}

/// Reads one rule, or a list of rules of which all are added or none.
fn read_plan(body: &Bytes) -> Result<FaultPlan, serde_json::Error> {
    let value: Value = serde_json::from_slice(body)?;
    if value.is_array() {
        serde_json::from_value(value)
    } else {
        serde_json::from_value::<FaultRule>(value).map(|rule| FaultPlan::of(vec![rule]))
    }
}

fn done() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: error.to_string() }
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let status = match &error {
            ControlError::UnknownProject { .. } | ControlError::UnknownServer { .. } => StatusCode::NOT_FOUND,
            ControlError::NameTaken { .. } => StatusCode::CONFLICT,
            ControlError::InvalidRule { .. }
            | ControlError::InvalidStock { .. }
            | ControlError::InvalidServer { .. } => StatusCode::BAD_REQUEST,
        };
        Self { status, message: error.to_string() }
    }
}
