//! How a call runs: on a loaned connection, whole or not at all, and again while its cause may pass.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use vip_core::model::Timestamp;
use vip_core::ports::{Clock, Randomness};
use vip_core::telemetry;

use crate::backoff::Backoff;

use super::error::{Failure, Obstacle};
use super::lanes::{Lane, Lanes, Loan};
use super::queries::{Queries, Query};
use super::rows;
use super::settings;
use super::transaction::{Arrivals, Scope, Transaction};

/// Shortest pause before a call is tried again: about as long as a commit takes.
const BACKOFF_FIRST: Duration = Duration::from_millis(2);
/// Longest pause: a server that starts again is found soon, and not asked a thousand times.
const BACKOFF_MOST: Duration = Duration::from_millis(200);
/// How long after the deadline a call is cut: the server's own time-out should come first, and keeps the connection.
pub(super) const CUT_AFTER: Duration = Duration::from_millis(500);

/// Says how the statements of a write belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// All or none of them.
    Transaction,
    /// Each is a commit of its own: one way to the server and back.
    Statements,
}

/// Says whether a write may be sent again when nobody knows whether it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The second one changes nothing that the first one did not, and its answer is as good.
    Harmless,
    /// Whoever asked has to decide: the answer of a second one would mislead.
    Told,
}

/// Is something to write: all of it or nothing.
#[async_trait]
pub(super) trait Write: Send + Sync + 'static {
    /// What the caller is told.
    type Answer: Send + 'static;

    const LANE: Lane = Lane::Work;
    const FORM: Form = Form::Transaction;
    const REPEAT: Repeat = Repeat::Harmless;

    /// Says how its transaction begins.
    fn begin(lanes: &Lanes) -> &str {
        lanes.begin(Self::LANE)
    }

    /// Says how the statements belong together, if that depends on what is written.
    fn form(&self) -> Form {
        Self::FORM
    }

    /// Says how much longer than a call may take it is worth waiting for, while the server is at work on it.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// Writes inside the transaction; after an error nothing of it stays.
    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<Self::Answer, Failure>;
}

/// Runs calls.
pub(super) struct Sessions {
    pub(super) lanes: Lanes,
    pub(super) queries: Queries,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) randomness: Arc<dyn Randomness>,
    pub(super) call_deadline: Duration,
    /// Counts the jobs that this process put among the waiting ones, and what it heard of those of others.
    pub(super) arrivals: watch::Sender<u64>,
    /// Changes when others are to be told, and says whether somebody waits for jobs here.
    pub(super) rung: watch::Sender<bool>,
}

/// Shows the connections alone: their options hold the password, and the statements are many.
impl fmt::Debug for Sessions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sessions").field("connections", &self.lanes.figures()).finish_non_exhaustive()
    }
}

impl Sessions {
    /// Returns the time to bind where a statement would ask the server's clock.
    pub(super) fn bound_now(&self) -> Option<i64> {
        self.clock.as_ref().map(|clock| clock.now().as_micros())
    }

    /// Returns when a try that others can do without has to have answered.
    pub(super) fn early_deadline(&self) -> Instant {
        Instant::now() + settings::early(self.call_deadline)
    }

    /// Returns when a call that begins now has to have answered.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.call_deadline
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(Arc::clone(&self.randomness), BACKOFF_FIRST, BACKOFF_MOST)
    }

    /// Writes, again and again while the cause of a failure may pass and the deadline has not.
    pub(super) async fn write<W: Write>(&self, write: &W) -> Result<W::Answer, Failure> {
        self.write_until(write, self.deadline(), None).await
    }

    /// The same for a call that has begun before: `unknown` is an earlier try that may have been done.
    pub(super) async fn write_until<W: Write>(
        &self,
        write: &W,
        deadline: Instant,
        mut unknown: Option<Failure>,
    ) -> Result<W::Answer, Failure> {
        let mut backoff = self.backoff();
        loop {
            let failure = match self.attempt(write, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let again = match &failure {
                Failure::Unavailable(_) | Failure::Lost(_) => true,
                Failure::Unknown(_) => W::REPEAT == Repeat::Harmless,
                Failure::Refused(_) => return Err(failure),
                // A later try that failed for good does not undo what an earlier one may have done.
                Failure::Corrupt(_) => return Err(unknown.unwrap_or(failure)),
            };
            if matches!(failure, Failure::Unknown(_)) {
                unknown = Some(failure.clone());
            }
            // Of leases each try counts: a connection for claims that somebody gives back now is one for them.
            let in_vain = failure.waits_for_somebody() && W::LANE != Lane::Lease;
            if !again || in_vain || !backoff.pause(deadline).await {
                // What an earlier try may have done is not undone by a later one that did nothing.
                return Err(unknown.unwrap_or(failure));
            }
            telemetry::tell(|| tracing::debug!(error = ?failure, "a database call is tried again"));
        }
    }

    /// Tries once.
    pub(super) async fn attempt<W: Write>(&self, write: &W, deadline: Instant) -> Result<W::Answer, Failure> {
        let mut loan = self.lanes.lend(W::LANE, deadline).await?;
        let (committing, is_open) = (AtomicBool::new(false), AtomicBool::new(false));
        let form = if loan.shared { Form::Transaction } else { write.form() };
        let run = async {
            match form {
                Form::Transaction => self.transaction(write, &mut loan, (&committing, &is_open)).await,
                Form::Statements => {
                    committing.store(true, Ordering::Relaxed);
                    let now = self.clock.as_ref().map(|clock| clock.now());
                    let scope = Scope { now, named: self.lanes.named, commits_each: true };
                    let mut transaction = Transaction::new(loan.connection()?, &self.queries, scope);
                    let answer = write.write(&mut transaction).await.map_err(Failure::of_commit)?;
                    Ok((answer, transaction.arrivals(), transaction.is_lost()))
                }
            }
        };
        let Some(outcome) = self.patiently(run, deadline, write.patience()).await else {
            let silent = Arc::new(Obstacle::Silent);
            let may_be_done = committing.load(Ordering::Relaxed);
            return Err(if may_be_done { Failure::Unknown(silent) } else { Failure::Unavailable(silent) });
        };
        match outcome {
            Ok((answer, arrivals, is_lost)) => {
                if !is_lost {
                    loan.give_back();
                }
                self.tell(arrivals);
                Ok(answer)
            }
            Err(failure) => {
                // A transaction that is left open, as after a failed ROLLBACK, is taken back by closing its connection.
                if failure.spares_connection() && !is_open.load(Ordering::Relaxed) {
                    loan.give_back();
                }
                Err(failure)
            }
        }
    }

    /// Tells of jobs that a call has put among the waiting ones. Who waits for them here comes first: it is likely to claim them before
    /// anybody else could.
    fn tell(&self, arrivals: Arrivals) {
        if arrivals.outward {
            // One receiver is the watcher's own; each that waits has another.
            self.rung.send_replace(self.arrivals.receiver_count() > 1);
        }
        if arrivals.count > 0 {
            self.arrivals.send_modify(|count| *count = count.wrapping_add(arrivals.count));
        }
    }

    /// Waits for a call until its deadline, and longer while the server says that it is at work on it.
    async fn patiently<T>(
        &self,
        call: impl Future<Output = T> + Send,
        deadline: Instant,
        patience: Duration,
    ) -> Option<T> {
        let mut call = std::pin::pin!(call);
        let last = deadline + CUT_AFTER + patience;
        let mut cut = deadline + CUT_AFTER;
        loop {
            if let Ok(outcome) = timeout_at(cut, &mut call).await {
                return Some(outcome);
            }
            if cut >= last {
                return None;
            }
            tokio::select! {
                biased;
                outcome = &mut call => return Some(outcome),
                is_busy = self.is_busy() => if !is_busy { return None },
            }
            cut = last.min(self.deadline());
        }
    }

    /// Says whether the server has been at work on a claim for longer than half of the time of a call; also if there is no
    /// connection to ask it on, because then nobody knows. A claim that others have just begun says nothing.
    async fn is_busy(&self) -> bool {
        let least = rows::micros(self.call_deadline / 2);
        let query = |queries: &Queries| queries.session_busy.query().bind(least);
        let asked = self.read_on(Lane::Lease, &query, self.deadline()).await;
        let busy = asked.and_then(|rows| rows.first().map_or(Ok(false), |row| Ok(row.try_get("busy")?)));
        busy.unwrap_or_else(|failure| {
            telemetry::tell(|| tracing::debug!(?failure, "the server was not asked whether it is at work on a claim"));
            failure.is_of_busy_connections()
        })
    }

    async fn transaction<W: Write>(
        &self,
        write: &W,
        loan: &mut Loan,
        (committing, is_open): (&AtomicBool, &AtomicBool),
    ) -> Result<(W::Answer, Arrivals, bool), Failure> {
        let connection = loan.connection()?;
        is_open.store(true, Ordering::Relaxed);
        let time = begin(connection, W::begin(&self.lanes)).await?;
        let now = self.clock.as_ref().map_or(time, |clock| clock.now());
        let scope = Scope { now: Some(now), named: self.lanes.named, commits_each: false };
        let mut transaction = Transaction::new(connection, &self.queries, scope);
        let written = write.write(&mut transaction).await;
        let (arrivals, is_lost) = (transaction.arrivals(), transaction.is_lost());
        let connection = loan.connection()?;
        match written {
            Ok(answer) => {
                committing.store(true, Ordering::Relaxed);
                let committed = sqlx::raw_sql("COMMIT").execute(connection).await;
                committed.map_err(|error| Failure::from(error).of_commit())?;
                is_open.store(false, Ordering::Relaxed);
                Ok((answer, arrivals, is_lost))
            }
            Err(failure) => {
                // Of a connection that breaks here the server takes back everything, too.
                if failure.spares_connection() {
                    sqlx::raw_sql("ROLLBACK").execute(connection).await?;
                    is_open.store(false, Ordering::Relaxed);
                }
                Err(failure)
            }
        }
    }

    /// Reads with one statement, which is one snapshot; `query` is called again if the call is tried again.
    pub(super) async fn rows(&self, query: impl Fn(&Queries) -> Query + Send + Sync) -> Result<Vec<PgRow>, Failure> {
        let deadline = Instant::now() + self.call_deadline;
        let mut backoff = self.backoff();
        loop {
            match self.read(&query, deadline).await {
                Err(failure) if failure.waits_for_somebody() => return Err(failure),
                Err(Failure::Unavailable(_) | Failure::Lost(_)) if backoff.pause(deadline).await => {}
                other => return other,
            }
        }
    }

    /// Tries to read once.
    pub(super) async fn read(
        &self,
        query: &(impl Fn(&Queries) -> Query + Send + Sync),
        deadline: Instant,
    ) -> Result<Vec<PgRow>, Failure> {
        self.read_on(Lane::Work, query, deadline).await
    }

    async fn read_on(
        &self,
        lane: Lane,
        query: &(impl Fn(&Queries) -> Query + Send + Sync),
        deadline: Instant,
    ) -> Result<Vec<PgRow>, Failure> {
        let mut loan = self.lanes.lend(lane, deadline).await?;
        let shared = loan.shared;
        let run = async {
            let connection = loan.connection()?;
            if shared {
                begin(connection, self.lanes.begin(lane)).await?;
            }
            let rows = query(&self.queries).persistent(self.lanes.named).fetch_all(&mut *connection).await?;
            if shared {
                sqlx::raw_sql("COMMIT").execute(connection).await?;
            }
            Ok(rows)
        };
        let rows = timeout_at(deadline + CUT_AFTER, run).await;
        let rows: Result<_, Failure> = rows.unwrap_or_else(|_elapsed| Err(Failure::unavailable(Obstacle::Silent)));
        // A transaction that is left open is taken back by closing its connection.
        match &rows {
            Ok(_) => loan.give_back(),
            Err(failure) if !shared && failure.spares_connection() => loan.give_back(),
            Err(_) => {}
        }
        rows
    }

    /// Reads the first row of a statement.
    pub(super) async fn row(&self, query: impl Fn(&Queries) -> Query + Send + Sync) -> Result<Option<PgRow>, Failure> {
        Ok(self.rows(query).await?.into_iter().next())
    }
}

/// Begins a transaction; returns the server's time.
async fn begin(connection: &mut PgConnection, text: &str) -> Result<Timestamp, Failure> {
    // The text is ours; it has no values but numbers of our settings.
    let rows = sqlx::raw_sql(AssertSqlSafe(text.to_owned())).fetch_all(connection).await?;
    let row = rows.last().ok_or_else(|| Failure::unavailable(Obstacle::Silent))?;
    Ok(Timestamp::from_micros(row.try_get("now")?))
}
