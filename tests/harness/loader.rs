//! A client that orders many servers, remembers every answer, and goes to another process as a load balancer would.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::site::pause;

/// Callers that order at once.
const CALLERS: usize = 8;
/// Most requests for one order: with a second between two of them, a minute and more.
const TRIES: u32 = 120;
/// Longest time for one request; the longest wait that the API grants fits in.
const REQUEST: Duration = Duration::from_secs(45);
/// Pause when nobody takes a connection at all.
const NOBODY: Duration = Duration::from_millis(100);

/// Says what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// To order.
    Order,
    /// To show the operation.
    Show,
}

/// Says what was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// An answer.
    Answer {
        /// Its status.
        status: u16,
        /// Its `Retry-After`, in seconds.
        retry_after: Option<u64>,
        /// The code of its problem, or nothing.
        code: String,
    },
    /// Nobody took the connection.
    Refused,
    /// The connection ended before there was an answer.
    Broken,
}

/// Is one request and what was heard.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The number of the order.
    pub number: u32,
    /// Which process was asked.
    pub api: usize,
    /// When it was sent, and when it was over.
    pub time: Range<Instant>,
    /// What was asked.
    pub ask: Ask,
    /// What was heard.
    pub heard: Heard,
}

/// Is an operation, as an answer told it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// Its id.
    pub operation: String,
    /// The server that was ordered.
    pub server: String,
}

#[derive(Debug, Default)]
struct Memory {
    exchanges: Vec<Exchange>,
    /// What positive answers told of each order; more than one is a second server.
    told: BTreeMap<u32, Vec<Told>>,
    /// How each operation stood when it was last seen.
    status: BTreeMap<u32, String>,
}

#[derive(Debug)]
struct Shared {
    client: reqwest::Client,
    apis: Vec<String>,
    key: String,
    next: AtomicU32,
    turn: AtomicU32,
    released: watch::Sender<u32>,
    accepted: watch::Sender<u32>,
    memory: Mutex<Memory>,
}

/// Orders servers over HTTP: every order under a key of its own, which a repeat carries, too.
#[derive(Debug, Clone)]
pub struct Loader {
    shared: Arc<Shared>,
}

impl Loader {
    /// Makes a loader for processes that are one API; nothing is ordered before it is [released](Self::release).
    #[must_use]
    pub fn new(apis: Vec<String>, key: String) -> Self {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(REQUEST).build();
        let shared = Shared {
            client: client.expect("a client"),
            apis,
            key,
            next: AtomicU32::new(0),
            turn: AtomicU32::new(0),
            released: watch::Sender::new(0),
            accepted: watch::Sender::new(0),
            memory: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Allows orders up to a number.
    pub fn release(&self, up_to: u32) {
        self.shared.released.send_replace(up_to);
    }

    /// Waits until so many orders are accepted.
    pub async fn accepted(&self, count: u32) {
        let mut accepted = self.shared.accepted.subscribe();
        accepted.wait_for(|accepted| *accepted >= count).await.expect("the loader is there");
    }

    /// Orders so many servers, as they are released, and looks at each operation once.
    pub async fn run(&self, count: u32) {
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let loader = self.clone();
            callers.spawn(async move {
                loop {
                    let number = loader.shared.next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let mut released = loader.shared.released.subscribe();
                    released.wait_for(|up_to| *up_to > number).await.expect("the loader is there");
                    loader.order(number).await;
                    loader.show(number, 0).await;
                }
            });
        }
        callers.join_all().await;
    }

    /// Waits until the operation of every order has ended.
    pub async fn ended(&self) {
        let numbers: Vec<u32> = self.memory(|memory| memory.told.keys().copied().collect());
        let mut callers = JoinSet::new();
        for part in numbers.chunks(numbers.len().div_ceil(CALLERS).max(1)) {
            let (loader, part) = (self.clone(), part.to_vec());
            callers.spawn(async move {
                for number in part {
                    while !["succeeded", "failed", "superseded"].contains(&loader.show(number, 20).await.as_str()) {}
                }
            });
        }
        callers.join_all().await;
    }

    /// Returns every exchange so far.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.memory(|memory| memory.exchanges.clone())
    }

    /// Returns what positive answers told of each order.
    #[must_use]
    pub fn told(&self) -> BTreeMap<u32, Vec<Told>> {
        self.memory(|memory| memory.told.clone())
    }

    /// Returns how the operation of each order stood when it was last seen.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<u32, String> {
        self.memory(|memory| memory.status.clone())
    }

    fn memory<T>(&self, read: impl FnOnce(&mut Memory) -> T) -> T {
        read(&mut self.shared.memory.lock().expect("nobody panicked with it"))
    }

    /// Orders one server, until it is accepted.
    pub async fn order(&self, number: u32) {
        let body = json!({
            "name": format!("web-{number}"), "server_types": ["cpx22"], "image": "ubuntu-24.04",
            "locations": ["fsn1"], "ssh_keys": ["ops"],
        });
        let request = |api: &str| {
            let key = format!("order-{number}");
            self.shared.client.post(format!("{api}/v1/servers")).header("idempotency-key", key).json(&body)
        };
        let told = self.until_done(number, Ask::Order, request).await;
        let text = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let told = Told { operation: text("id"), server: text("server_id") };
        self.memory(|memory| {
            let known = memory.told.entry(number).or_default();
            if !known.contains(&told) {
                known.push(told);
            }
        });
        self.shared.accepted.send_modify(|accepted| *accepted += 1);
    }

    /// Shows the operation of an order, at the latest after some seconds; returns its status.
    async fn show(&self, number: u32, wait_seconds: u32) -> String {
        let told = self.memory(|memory| memory.told.get(&number).and_then(|told| told.first().cloned()));
        let id = told.expect("it was accepted").operation;
        let request = |api: &str| self.shared.client.get(format!("{api}/v1/operations/{id}?wait={wait_seconds}"));
        let shown = self.until_done(number, Ask::Show, request).await;
        let status = shown.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.memory(|memory| memory.status.insert(number, status.clone()));
        status
    }

    /// Asks one process after the other until one has done it; returns the document.
    async fn until_done(&self, number: u32, ask: Ask, request: impl Fn(&str) -> reqwest::RequestBuilder) -> Value {
        let apis = &self.shared.apis;
        for tried in 0..TRIES {
            let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed);
            let api = usize::try_from(turn).expect("a small number") % apis.len();
            let began = Instant::now();
            let address = apis.get(api).expect("a process");
            let (heard, body) = hear(request(address).bearer_auth(&self.shared.key)).await;
            let exchange = Exchange { number, api, time: began..Instant::now(), ask, heard: heard.clone() };
            self.memory(|memory| memory.exchanges.push(exchange));
            match heard {
                Heard::Answer { status: 200..=299, .. } => return body,
                Heard::Answer { status: 503, retry_after: Some(seconds), .. } => {
                    pause(Duration::from_secs(seconds)).await;
                }
                Heard::Answer { .. } => panic!("order {number}: {heard:?} {body}"),
                // The next process is asked at once; when all were asked in vain, a little later.
                Heard::Refused if tried % 2 == 1 => pause(NOBODY).await,
                Heard::Refused | Heard::Broken => {}
            }
        }
        panic!("order {number}: nobody did it in {TRIES} tries");
    }
}

async fn hear(request: reqwest::RequestBuilder) -> (Heard, Value) {
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return (Heard::Refused, Value::Null),
        Err(_broken) => return (Heard::Broken, Value::Null),
    };
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let Ok(body) = answer.json::<Value>().await else {
        return (Heard::Broken, Value::Null);
    };
    let code = body.get("code").filter(|_| status >= 400).and_then(Value::as_str).unwrap_or_default().to_owned();
    (Heard::Answer { status, retry_after, code }, body)
}
