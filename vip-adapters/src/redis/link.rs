//! A connection that is made anew when it is lost, with a deadline for each call and a circuit around it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script, Value};
use tokio::time::{Instant, timeout};
use vip_core::ports::Randomness;
use vip_core::telemetry;

use super::circuit::Circuit;
use super::config::RedisConfig;
use super::error::{Failure, Obstacle, OpenError};
use super::soundness::{Demand, Soundness};

/// Speaks to one server.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    connect_deadline: Duration,
    answer_deadline: Duration,
    demand: Demand,
    randomness: Arc<dyn Randomness>,
    /// Held while a connection is made, so that many callers make one.
    connected: tokio::sync::Mutex<Option<Connected>>,
    watch: Mutex<Watch>,
}

#[derive(Debug, Clone)]
struct Connected {
    connection: MultiplexedConnection,
    number: u64,
}

#[derive(Debug, Default)]
struct Watch {
    circuit: Circuit,
    outages: u64,
    connections: u64,
    soundness: Option<Soundness>,
}

impl Link {
    pub(super) fn new(url: &str, config: &RedisConfig, demand: Demand) -> Result<Self, OpenError> {
        config.check()?;
        let client = super::tls::client(url, config)?;
        Ok(Self {
            client,
            connect_deadline: config.connect_deadline,
            answer_deadline: config.answer_deadline,
            demand,
            randomness: Arc::clone(&config.randomness),
            connected: tokio::sync::Mutex::default(),
            watch: Mutex::default(),
        })
    }

    /// Connects and looks at the server's settings, without the circuit.
    pub(super) async fn open(&self) -> Result<(), Failure> {
        self.connection().await.map(|_connected| ())
    }

    /// Returns what the last connection found out about the server's settings.
    pub(super) fn soundness(&self) -> Option<Soundness> {
        self.watch().soundness.clone()
    }

    /// Counts how often contact was lost: what happened meanwhile this process cannot know.
    pub(super) fn outages(&self) -> u64 {
        self.watch().outages
    }

    /// Runs a script.
    ///
    /// Dropped at any time, it may have been run or not; the connection stays usable.
    pub(super) async fn run(&self, script: &Script, keys: &[String], arguments: &[Vec<u8>]) -> Result<Value, Failure> {
        self.run_within(Duration::ZERO, script, keys, arguments).await
    }

    /// The same for what is lost if it is done and its answer is not waited for: it may take as long as any, or that long.
    pub(super) async fn run_within(
        &self,
        patience: Duration,
        script: &Script,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> Result<Value, Failure> {
        if !self.watch().circuit.admit(Instant::now(), self.connect_deadline + self.answer_deadline) {
            return Err(Failure::not_done(Obstacle::Open));
        }
        let deadline = self.answer_deadline.max(patience);
        let answer = self.run_once(deadline, script, keys, arguments).await;
        match &answer {
            Err(failure) if failure.is_outage() => {
                let mut watch = self.watch();
                watch.outages += 1;
                watch.circuit.failed(Instant::now(), &*self.randomness);
            }
            Ok(_) | Err(_) => self.watch().circuit.succeeded(),
        }
        answer
    }

    async fn run_once(
        &self,
        deadline: Duration,
        script: &Script,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> Result<Value, Failure> {
        let mut connected = self.connection().await?;
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        for argument in arguments {
            call.arg(argument);
        }
        let answer = match timeout(deadline, call.invoke_async(&mut connected.connection)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Failure::of_answer(error),
            Err(_elapsed) => Failure::unknown(Obstacle::NotAnswered(deadline)),
        };
        if answer.is_outage() {
            self.discard(connected.number).await;
        }
        Err(answer)
    }

    async fn connection(&self) -> Result<Connected, Failure> {
        let mut slot = self.connected.lock().await;
        if let Some(connected) = &*slot {
            return Ok(connected.clone());
        }
        let made = match timeout(self.connect_deadline, self.connect()).await {
            Ok(made) => made?,
            Err(_elapsed) => return Err(Failure::not_done(Obstacle::NotConnected(self.connect_deadline))),
        };
        *slot = Some(made.clone());
        Ok(made)
    }

    async fn connect(&self) -> Result<Connected, Failure> {
        let mut connection = self.connect_alone().await.map_err(Failure::not_done)?;
        let soundness = Soundness::ask(&mut connection, self.demand).await?;
        let is_refused = soundness.is_refused(self.demand);
        let mut watch = self.watch();
        if watch.soundness.as_ref() != Some(&soundness) && watch.connections > 0 {
            telemetry::tell(|| {
                tracing::warn!({ telemetry::REDIS_SETTINGS } = %soundness, "the server's settings are others than before");
            });
        }
        watch.soundness = Some(soundness);
        if is_refused {
            return Err(Failure::not_done(Obstacle::Unsafe));
        }
        watch.connections += 1;
        Ok(Connected { connection, number: watch.connections })
    }

    /// Makes a connection of its own: a call that blocks on the server would hold up all others on a shared one.
    ///
    /// The client ends a call after half a second unless it is told otherwise, which no blocking call survives. Callers
    /// here have deadlines of their own.
    pub(super) async fn connect_alone(&self) -> Result<MultiplexedConnection, RedisError> {
        let settings =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.connect_deadline)).set_response_timeout(None);
        self.client.get_multiplexed_async_connection_with_config(&settings).await
    }

    pub(super) const fn connect_deadline(&self) -> Duration {
        self.connect_deadline
    }

    /// Forgets a connection, unless somebody has replaced it.
    async fn discard(&self, number: u64) {
        let mut slot = self.connected.lock().await;
        if slot.as_ref().is_some_and(|connected| connected.number == number) {
            *slot = None;
        }
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        // No step under the lock can leave it half changed.
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
