//! Processes of the suites: a simulator and workers, which end when their standard input closes.
//!
//! The kernel closes it when the test's process is gone, however that came about; so nothing outlives a killed test.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use vip_adapters::hetzner::simulator::Ledger;

/// Is a running process of the program `actor`.
#[derive(Debug)]
pub struct Actor {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Actor {
    /// Starts the program with a role.
    #[must_use]
    pub fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the actor starts");
        let output = child.stdout.take().map(BufReader::new);
        Self { child, output }
    }

    /// Reads the next line that it prints.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        let output = self.output.as_mut().expect("its output is ours");
        output.read_line(&mut line).await.expect("the actor prints a line");
        line.trim().to_owned()
    }

    /// Tells it something, and demands that it has done it.
    async fn tell(&mut self, order: &str) {
        let input = self.child.stdin.as_mut().expect("its input is ours");
        input.write_all(format!("{order}\n").as_bytes()).await.expect("the actor listens");
        assert_eq!(self.line().await, "done", "the actor did not obey");
    }

    /// Ends it as a power cut would.
    pub async fn kill(&mut self) {
        self.child.start_kill().expect("it can be killed");
        self.child.wait().await.expect("it ends");
    }

    /// Ends it in order and demands that it succeeds.
    pub async fn stop(mut self) {
        drop(self.child.stdin.take());
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        let status = ended.expect("it ends in time").expect("it can be waited for");
        assert!(status.success(), "the actor ended with {status}");
    }

    /// Says whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_some()
    }
}

/// Is a simulator in a process of its own, which nobody kills: its ledger is the truth.
#[derive(Debug)]
pub struct CloudActor {
    actor: Actor,
    url: String,
    client: reqwest::Client,
}

impl CloudActor {
    /// Starts it.
    pub async fn start(program: &Path, seed: u64, mood: &str) -> Self {
        let mut actor = Actor::start(program, &["simulator", &seed.to_string(), mood]);
        let url = actor.line().await;
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
        Self { actor, url, client }
    }

    /// Returns the address of its API.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Takes its API away: nobody listens there, and what it has goes on existing.
    pub async fn leave(&mut self) {
        self.actor.tell("leave").await;
    }

    /// Brings its API back, at the same address.
    pub async fn come_back(&mut self) {
        self.actor.tell("come back").await;
    }

    /// Reads its ledger.
    pub async fn ledger(&self) -> Ledger {
        let answer = self.client.get(format!("{}/_sim/ledger", self.url)).send().await.expect("it answers");
        answer.json().await.expect("a ledger")
    }

    /// Ends it.
    pub async fn stop(self) {
        self.actor.stop().await;
    }
}

/// Is some workers on one store.
#[derive(Debug)]
pub struct WorkerActors {
    program: PathBuf,
    store: String,
    endpoint: String,
    workers: Vec<Actor>,
}

impl WorkerActors {
    /// Starts them; `store` is a URL.
    #[must_use]
    pub fn start(program: &Path, store: &str, endpoint: &str, count: usize) -> Self {
        let mut actors = Self {
            program: program.to_owned(),
            store: store.to_owned(),
            endpoint: endpoint.to_owned(),
            workers: Vec::new(),
        };
        actors.workers = (0..count).map(|_| actors.one()).collect();
        actors
    }

    fn one(&self) -> Actor {
        Actor::start(&self.program, &["worker", &self.store, &self.endpoint])
    }

    /// Waits until all work.
    pub async fn ready(&mut self) {
        for worker in &mut self.workers {
            assert_eq!(worker.line().await, "ready", "a worker did not start");
        }
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// Kills one and starts another in its place.
    pub async fn kill_and_replace(&mut self, place: usize) {
        let fresh = self.one();
        let worker = self.workers.get_mut(place).expect("a worker at that place");
        assert!(!worker.has_ended(), "a worker ended by itself");
        worker.kill().await;
        *worker = fresh;
    }

    /// Ends all in order.
    pub async fn stop(self) {
        for worker in self.workers {
            worker.stop().await;
        }
    }
}
