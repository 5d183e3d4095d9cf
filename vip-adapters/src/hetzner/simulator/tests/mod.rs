//! The state machine as a client sees it, on a clock that the tests move.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Value, json};

use super::{DEFAULT_TOKEN, FaultRule, Outcome, Reply, SimInstant, Simulator};

mod access;
mod addresses;
mod conditions;
mod faults;
mod ledger;
mod lists;
mod servers;
mod skins;
mod validation;

/// A simulator with a clock and a client.
struct Bench {
    simulator: Simulator,
    now: Duration,
}

impl Bench {
    fn new() -> Self {
        Self::of(Simulator::builder().create_time(Duration::from_secs(10)).build())
    }

    fn of(simulator: Simulator) -> Self {
        Self { simulator, now: Duration::ZERO }
    }

    fn with(rule: FaultRule) -> Self {
        let bench = Self::new();
        bench.simulator.add_fault(rule).unwrap();
        bench
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }

    fn send(&self, request: Request<Bytes>) -> Reply {
        self.simulator.handle(SimInstant::at(self.now), request)
    }

    fn try_call(&self, method: Method, path: &str, body: Option<Value>) -> Option<Response<Bytes>> {
        match self.send(request(method, path, body, Some(DEFAULT_TOKEN))).outcome {
            Outcome::Respond(response) => Some(response),
            Outcome::Cut => None,
        }
    }

    fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let response = self.try_call(method, path, body).expect("the connection was cut");
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, None)
    }

    /// Creates a server and returns its id and the id of its create action.
    fn create(&self, name: &str) -> (u64, u64) {
        let (status, body) = self.call(Method::POST, "/v1/servers", Some(order(name)));
        assert_eq!(status, 201, "{body}");
        (body["server"]["id"].as_u64().unwrap(), body["action"]["id"].as_u64().unwrap())
    }

    fn delete(&self, id: u64) -> (u16, Value) {
        self.call(Method::DELETE, &format!("/v1/servers/{id}"), None)
    }

    fn status(&self, id: u64) -> Value {
        self.get(&format!("/v1/servers/{id}")).1["server"]["status"].clone()
    }

    /// Returns the names that a list shows.
    fn names(&self, path: &str) -> Vec<String> {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{body}");
        let servers = body["servers"].as_array().unwrap();
        servers.iter().map(|server| server["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns how many servers exist, by the ledger.
    fn live(&self) -> usize {
        self.simulator.advance(SimInstant::at(self.now));
        self.simulator.ledger().live("default").count()
    }
}

fn order(name: &str) -> Value {
    json!({
        "name": name,
        "server_type": "cpx22",
        "image": "ubuntu-24.04",
        "location": "fsn1",
        "ssh_keys": ["ops"],
        "labels": {"vip-server": name},
    })
}

fn request(method: Method, path: &str, body: Option<Value>, token: Option<&str>) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(path).header("host", "sim.example");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    request.body(body).unwrap()
}

fn error_code(body: &Value) -> &str {
    body["error"]["code"].as_str().unwrap()
}
