//! The one task that writes: it takes what callers hand in and commits it in groups.
//!
//! A caller that is dropped leaves nothing half done: its write was handed in whole, or not at all, and the transaction
//! belongs to this task. Callers that come while a commit is on its way to the disk share the next one, because the
//! way to the disk is what takes the time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection, Row, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use vip_core::ports::Clock;
use vip_core::telemetry;

use super::caught::caught;
use super::connection::Connector;
use super::error::{Failure, Obstacle, is_busy};
use super::group::{Written, run_each};
use super::log_watch::LogWatch;
use super::outcomes::Outcomes;
use super::queries::Queries;
use super::transaction::WriteTransaction;

/// Most writes that share one commit: one more row to the disk costs little, but each waits for all.
pub(super) const GROUP_MOST: usize = 64;
/// Most writes that wait; further callers wait for a place, up to their deadline.
pub(super) const QUEUE_MOST: usize = 256;

/// How long a checkpoint waits for those who read or write at this moment; nothing is written meanwhile.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(250);

/// Is something to write: all of it or nothing.
#[async_trait]
pub(super) trait Write: Send + 'static {
    /// What the caller is told.
    type Answer: Send + 'static;

    /// Writes inside the transaction; after an error nothing of it stays.
    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Self::Answer, Failure>;
}

/// Hands a write to the writer and brings back its answer.
struct Envelope<W: Write> {
    write: W,
    answer: Option<Result<W::Answer, Failure>>,
    reply: oneshot::Sender<Result<W::Answer, Failure>>,
    deadline: Instant,
}

/// Is an [`Envelope`] whatever its write is.
#[async_trait]
pub(super) trait Pending: Send {
    fn deadline(&self) -> Instant;

    /// Says whether nobody waits for the answer any more: nothing of it is begun then. A claim would lease jobs to nobody.
    fn is_abandoned(&self) -> bool;

    /// Writes; says whether it shall stay, and what was in its way if that was more than a rule.
    async fn run(&mut self, transaction: &mut WriteTransaction<'_>) -> Kept;

    /// Tells the caller its own answer if the commit came through, else why not.
    fn finish(self: Box<Self>, commit: &Result<(), Failure>);
}

/// Says whether what a write did shall stay in the transaction.
#[derive(Debug)]
pub(super) enum Kept {
    Yes,
    /// A rule refused it, or what is stored.
    No,
    /// The file could not be written.
    Hindered(Failure),
}

#[async_trait]
impl<W: Write> Pending for Envelope<W> {
    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    async fn run(&mut self, transaction: &mut WriteTransaction<'_>) -> Kept {
        let answer = self.write.write(transaction).await;
        let kept = match &answer {
            Ok(_) => Kept::Yes,
            Err(Failure::Refused(_) | Failure::Corrupt(_)) => Kept::No,
            Err(failure @ (Failure::Unavailable(_) | Failure::Unknown(_))) => Kept::Hindered(failure.clone()),
        };
        self.answer = Some(answer);
        kept
    }

    fn finish(self: Box<Self>, commit: &Result<(), Failure>) {
        let answer = match (commit, self.answer) {
            // Also instead of a refusal: it may rest on the write of a neighbour that did not come through either.
            (Err(failure), _) => Err(failure.clone()),
            (Ok(()), Some(answer)) => answer,
            (Ok(()), None) => Err(Failure::unavailable(Obstacle::Closed)),
        };
        if self.reply.send(answer).is_err() {
            telemetry::tell(|| tracing::debug!("nobody waits for the answer of a write any more"));
        }
    }
}

/// Is a write that waits for its turn, and whoever waits for it.
pub(super) type Request = Box<dyn Pending>;

/// Is what the writer does on request.
enum Order {
    Write(Request),
    Checkpoint(oneshot::Sender<()>),
}

/// Takes writes for the writer.
#[derive(Debug, Clone)]
pub(super) struct WriterHandle {
    orders: mpsc::Sender<Order>,
}

impl WriterHandle {
    /// Writes, and waits for the commit.
    pub(super) async fn write<W: Write>(&self, write: W, deadline: Instant) -> Result<W::Answer, Failure> {
        let (reply, answer) = oneshot::channel();
        let envelope = Envelope { write, answer: None, reply, deadline };
        self.hand_in(Order::Write(Box::new(envelope)), deadline).await?;
        answer.await.unwrap_or_else(|lost| {
            telemetry::tell(|| tracing::warn!(error = %lost, "the writer did not answer: it ended, or panicked"));
            Err(Failure::Unknown(Arc::new(Obstacle::AnswerLost)))
        })
    }

    /// Moves the write-ahead log into the file and empties it, if nobody reads at this moment.
    pub(super) async fn checkpoint(&self, deadline: Instant) -> Result<(), Failure> {
        let (reply, done) = oneshot::channel();
        self.hand_in(Order::Checkpoint(reply), deadline).await?;
        done.await.map_err(|_lost| Failure::unavailable(Obstacle::AnswerLost))
    }

    async fn hand_in(&self, order: Order, deadline: Instant) -> Result<(), Failure> {
        match tokio::time::timeout_at(deadline, self.orders.send(order)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_closed)) => Err(Failure::unavailable(Obstacle::Closed)),
            Err(_elapsed) => Err(Failure::unavailable(Obstacle::Busy)),
        }
    }
}

/// Owns the connection that writes.
pub(super) struct Writer {
    connector: Connector,
    /// None after a failure or a panic that leaves the state of the connection in doubt; the next group opens another.
    connection: Option<SqliteConnection>,
    queries: Arc<Queries>,
    clock: Arc<dyn Clock>,
    orders: mpsc::Receiver<Order>,
    closing: watch::Receiver<bool>,
    arrivals: watch::Sender<u64>,
    outcomes: Arc<Outcomes>,
    log: LogWatch,
}

/// Is what the writer works with.
pub(super) struct WriterParts {
    pub(super) connector: Connector,
    pub(super) connection: SqliteConnection,
    pub(super) queries: Arc<Queries>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) closing: watch::Receiver<bool>,
    pub(super) arrivals: watch::Sender<u64>,
    pub(super) outcomes: Arc<Outcomes>,
}

impl Writer {
    pub(super) fn new(parts: WriterParts) -> (Self, WriterHandle) {
        let (sender, orders) = mpsc::channel(QUEUE_MOST);
        let WriterParts { connector, connection, queries, clock, closing, arrivals, outcomes } = parts;
        let (connection, log) = (Some(connection), LogWatch::default());
        let writer = Self { connector, connection, queries, clock, orders, closing, arrivals, outcomes, log };
        (writer, WriterHandle { orders: sender })
    }

    /// Works until it is told to close; what was handed in before is still done.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.work(order).await,
                    None => break,
                },
                // An error means that the backend is gone: nobody can hand in anything any more.
                changed = self.closing.changed() => {
                    if changed.is_err() || *self.closing.borrow() {
                        self.orders.close();
                        while let Some(order) = self.orders.recv().await {
                            self.work(order).await;
                        }
                        break;
                    }
                },
            }
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            telemetry::tell(|| {
                tracing::warn!(%error, "the database was not closed cleanly; the next opening repairs it");
            });
        }
    }

    /// Serves an order and what came with it. A panic (of the driver, a host's clock) costs no more than the answers that were to
    /// be given: whoever waits for one reads that the outcome is unknown.
    async fn work(&mut self, first: Order) {
        let Err(message) = caught(self.serve(first)).await else { return };
        // Its thread closes it a moment later, which takes back what was open; until then the next group waits for the lock.
        self.connection = None;
        self.outcomes.failed(&Failure::Unknown(Arc::new(Obstacle::Panicked)));
        telemetry::tell(|| {
            tracing::error!(code = message, "the writer panicked; it goes on with another connection");
        });
    }

    async fn serve(&mut self, first: Order) {
        let (mut group, mut checkpoint) = (Vec::new(), None);
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Write(request) if request.is_abandoned() => {}
                Order::Write(request) => group.push(request),
                Order::Checkpoint(reply) => checkpoint = Some(reply),
            }
            next = if checkpoint.is_none() && group.len() < GROUP_MOST { self.orders.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            self.commit_group(group).await;
        }
        if let Some(reply) = checkpoint {
            self.checkpoint().await;
            if reply.send(()).is_err() {
                telemetry::tell(|| tracing::debug!("nobody waits for the checkpoint any more"));
            }
        }
    }

    async fn commit_group(&mut self, mut group: Vec<Request>) {
        self.outcomes.begun(Instant::now());
        let outcome = match self.begin(&mut group).await {
            // All deadlines have passed while others wrote.
            Ok(None) => return,
            Ok(Some(connection)) => self.write_group(connection, &mut group).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = &outcome {
            self.outcomes.failed(failure);
        }
        for request in group {
            request.finish(&outcome);
        }
    }

    /// Begins a transaction that may write, as soon as no other process has one.
    async fn begin(&mut self, group: &mut Vec<Request>) -> Result<Option<SqliteConnection>, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                // Beside the log of a file that was here before, another one must not be opened.
                self.connector.log_in_place().map_err(Failure::unavailable)?;
                self.connector.reconnect().await?
            }
        };
        let mut backoff = self.connector.backoff();
        loop {
            // Never a plain BEGIN: a transaction that turns from reading to writing can be refused for good.
            match sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await {
                Ok(_) => return Ok(Some(connection)),
                Err(error) if is_busy(&error) => {
                    let latest = group.iter().map(|request| request.deadline()).max();
                    let again = match latest {
                        Some(latest) => backoff.pause(latest).await,
                        None => false,
                    };
                    let now = Instant::now();
                    let expired = |request: &mut Request| !again || request.deadline() <= now;
                    for request in group.extract_if(.., expired) {
                        request.finish(&Err(Failure::unavailable(Obstacle::Busy)));
                    }
                    if group.is_empty() {
                        self.connection = Some(connection);
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes a group and ends its transaction.
    ///
    /// The connection is kept only if it is known to be outside of a transaction; else it is closed, which rolls back.
    async fn write_group(&mut self, mut connection: SqliteConnection, group: &mut [Request]) -> Result<(), Failure> {
        // Read inside the transaction: times of commits then never go backwards between processes.
        let mut transaction = WriteTransaction::new(&mut connection, &self.queries, self.clock.now());
        let written = run_each(&mut transaction, group).await?;
        // Before the commit: with other locks somebody else may be writing to the same place of the log. The connection goes with it,
        // and takes the transaction back.
        self.connector.log_in_place().map_err(Failure::unavailable)?;
        if written.requests == 0 {
            match transaction.control("ROLLBACK").await {
                Ok(()) => self.connection = Some(connection),
                Err(error) => telemetry::tell(|| tracing::debug!(%error, "the transaction had ended by itself")),
            }
            self.had_turn(&written);
            return Ok(());
        }
        transaction.control("COMMIT").await.map_err(Failure::of_commit)?;
        // Asked once more: it may have gone while this was written, and a commit is answered only where the next process finds it.
        let log_bytes = self.connector.log_in_place().map_err(|obstacle| Failure::Unknown(Arc::new(obstacle)))?;
        self.connection = Some(connection);
        if written.has_changed {
            self.outcomes.kept(Instant::now());
        } else {
            self.had_turn(&written);
        }
        self.log.written(log_bytes);
        if written.arrivals > 0 {
            // Rung by the writer, after the commit: a caller that was dropped meanwhile could not.
            self.arrivals.send_modify(|count| *count = count.wrapping_add(written.arrivals));
        }
        Ok(())
    }

    /// Remembers what a group tells that has kept nothing.
    fn had_turn(&self, written: &Written) {
        match &written.hindrance {
            Some(failure) => self.outcomes.failed(failure),
            None => self.outcomes.had_turn(),
        }
    }

    async fn checkpoint(&mut self) {
        let Some(connection) = self.connection.as_mut() else { return };
        if self.connector.log_in_place().is_err() {
            // By what we know of the log it would cut off what others have written to it.
            return;
        }
        let (mut backoff, deadline) = (self.connector.backoff(), Instant::now() + CHECKPOINT_WAIT);
        loop {
            // That somebody was in the way is no error but the first column of its answer.
            let answer = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await;
            match answer.and_then(|row| row.try_get::<i64, _>(0)) {
                Ok(0) => return self.log.emptied(),
                Ok(_) if backoff.pause(deadline).await => {}
                Ok(_) => return self.log.stayed(self.connector.log_in_place().unwrap_or(0)),
                // The log is emptied by a later one.
                Err(error) => return telemetry::tell(|| tracing::warn!(%error, "no checkpoint was made")),
            }
        }
    }
}
