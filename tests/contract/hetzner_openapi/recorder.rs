//! A simulator behind a real socket that writes down what it was asked and what it answered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{Outcome, SimInstant, Simulator};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Respond, ResponseTemplate};

pub(crate) const TOKEN: &str = "contract0token00000000000000000000000000000000000000000000000000";
pub(crate) const READER: &str = "reader00token00000000000000000000000000000000000000000000000000";
/// How much simulated time passes with each request.
const STEP: Duration = Duration::from_millis(40);

/// One request and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    /// Without the version.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) request: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) answer: Vec<u8>,
}

#[derive(Debug, Default)]
struct Notes {
    now: Duration,
    exchanges: Vec<Exchange>,
}

pub(crate) struct Recorder {
    pub(crate) simulator: Simulator,
    server: MockServer,
    notes: Arc<Mutex<Notes>>,
}

struct Answers {
    simulator: Simulator,
    notes: Arc<Mutex<Notes>>,
}

impl Respond for Answers {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let mut asked = http::Request::builder().method(request.method.clone()).uri(request.url.as_str());
        for (name, value) in &request.headers {
            asked = asked.header(name, value);
        }
        let mut notes = self.notes.lock().unwrap();
        notes.now += STEP;
        let asked = asked.body(Bytes::copy_from_slice(&request.body)).unwrap();
        let Outcome::Respond(response) = self.simulator.handle(SimInstant::at(notes.now), asked).outcome else {
            panic!("no fault here cuts a connection");
        };
        notes.exchanges.push(Exchange {
            method: request.method.to_string(),
            path: request.url.path().trim_start_matches("/v1").to_owned(),
            query: request.url.query_pairs().into_owned().collect(),
            request: request.body.clone(),
            status: response.status().as_u16(),
            answer: response.body().to_vec(),
        });
        let mut template = ResponseTemplate::new(response.status());
        for (name, value) in response.headers() {
            template = template.insert_header(name, value);
        }
        template.set_body_bytes(response.body().to_vec())
    }
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let simulator = Simulator::builder()
            .create_time(STEP * 3)
            .delete_time(STEP)
            .project("default", TOKEN)
            .read_only_token("default", READER)
            .build();
        let notes = Arc::new(Mutex::new(Notes::default()));
        let server = MockServer::start().await;
        let answers = Answers { simulator: simulator.clone(), notes: notes.clone() };
        Mock::given(any()).respond_with(answers).mount(&server).await;
        Self { simulator, server, notes }
    }

    pub(crate) fn client(&self, token: &str) -> HetznerClient {
        HetznerClient::at(format!("{}/v1", self.server.uri()), token).unwrap()
    }

    /// Asks what the client does not ask.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let mut request = client.request(method, format!("{}/v1{path}", self.server.uri())).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&answer).unwrap_or_default()
    }

    /// Lets running work end.
    pub(crate) async fn pass(&self) {
        for _ in 0..10 {
            self.ask(Method::GET, "/locations", None).await;
        }
    }

    pub(crate) fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.notes.lock().unwrap().exchanges)
    }
}
