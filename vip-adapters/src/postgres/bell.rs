//! Tells other processes of new jobs, and hears of theirs: LISTEN and NOTIFY as a hint beside the polling, never instead.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::time::timeout;
use vip_core::telemetry;

use super::session::Sessions;

/// Listens to the channel that `job_ring.sql` names, too; changes nothing for who listens already.
const LISTEN: &str = "LISTEN vip_jobs";
/// Longest silence after which a connection that listens is asked whether it is still there. It never sends anything by itself,
/// and if its other end is gone without a word, nothing ever comes.
const SILENCE: Duration = Duration::from_secs(10);
/// Longest wait for an answer on it.
const ANSWER: Duration = Duration::from_secs(5);
/// Shortest time between two rings: the first job rings at once, those that follow within it share the next ring. The
/// server lets one notifying commit through after the other, so that a ring for each job would hold up all of them.
const DEBOUNCE: Duration = Duration::from_millis(5);
/// First and longest pause before a connection for listening is opened again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Is what both sides of the bell work with.
#[derive(Debug, Clone)]
pub(super) struct Bell {
    pub(super) sessions: Arc<Sessions>,
    /// Names us: our own rings are no news to us.
    pub(super) name: String,
    pub(super) closing: watch::Receiver<bool>,
    /// Changes when others are to be told, and says whether somebody waits for jobs here.
    pub(super) rung: watch::Receiver<bool>,
    /// Whether anybody waits here: a process that only accepts needs no connection for listening.
    pub(super) wanted: watch::Receiver<bool>,
}

impl Bell {
    /// Rings whenever this process has put a job among the waiting ones, until the backend is closed.
    pub(super) async fn ring(mut self) {
        while !*self.closing.borrow_and_update() {
            tokio::select! {
                changed = self.rung.changed() => if changed.is_err() { return },
                changed = self.closing.changed() => {
                    if changed.is_err() {
                        // The backend was dropped without being closed.
                        return;
                    }
                    continue;
                }
            }
            if *self.rung.borrow_and_update() {
                // Whoever waits here heard of it already, and the server and the processors are for its claim now.
                self.rest().await;
            }
            let name = self.name.clone();
            let ring = self.sessions.rows(|queries| queries.job_ring_alone.query().bind(name.clone()));
            if let Err(failure) = ring.await {
                // Whoever waits elsewhere finds the job by polling.
                telemetry::tell(|| tracing::debug!(?failure, "other processes were not told of a job"));
            }
            self.rest().await;
        }
    }

    /// Waits for as long as rings are apart, and no longer than the backend is open.
    async fn rest(&self) {
        let mut closing = self.closing.clone();
        tokio::select! {
            () = tokio::time::sleep(DEBOUNCE) => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    }

    /// Listens as soon as somebody waits, until the backend is closed; a lost connection is opened again.
    pub(super) async fn listen(mut self) {
        let mut closing = self.closing.clone();
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            wanted = self.wanted.wait_for(|wanted| *wanted) => if wanted.is_err() { return },
        }
        let mut pause = AGAIN.0;
        while let Some(pool) = self.sessions.lanes.hints() {
            let lost = tokio::select! {
                _ = closing.wait_for(|closing| *closing) => None,
                error = self.hear(&pool, &mut pause) => Some(error),
            };
            let Some(error) = lost else {
                if timeout(ANSWER, pool.close()).await.is_err() {
                    telemetry::tell(|| {
                        tracing::debug!("the connection that listens did not answer when it was closed");
                    });
                }
                return;
            };
            telemetry::tell(|| {
                tracing::debug!(error = %telemetry::causes(&error), "jobs of other processes are found by polling");
            });
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                () = tokio::time::sleep(pause.mul_f64(0.5 + self.sessions.randomness.share() / 2.0)) => {}
            }
            pause = pause.saturating_mul(2).min(AGAIN.1);
        }
    }

    /// Listens on one connection, until that is lost; says why.
    async fn hear(&self, pool: &PgPool, pause: &mut Duration) -> sqlx::Error {
        let mut listener = match PgListener::connect_with(pool).await {
            Ok(listener) => listener,
            Err(error) => return error,
        };
        // Whoever calls opens the next one, with a pause that grows.
        listener.eager_reconnect(false);
        if let Err(error) = ask(&mut listener).await {
            return error;
        }
        *pause = AGAIN.0;
        // What came before we listened was not heard.
        self.wake();
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(ring))) if ring.payload() == self.name => {}
                Ok(Ok(Some(_))) => self.wake(),
                Ok(Ok(None)) => return std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into(),
                Ok(Err(error)) => return error,
                Err(_silent) => {
                    if let Err(error) = ask(&mut listener).await {
                        return error;
                    }
                }
            }
        }
    }

    fn wake(&self) {
        self.sessions.arrivals.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Listens, or listens on: whoever answers is there.
async fn ask(listener: &mut PgListener) -> Result<(), sqlx::Error> {
    let asked = timeout(ANSWER, sqlx::raw_sql(LISTEN).execute(listener)).await;
    asked.unwrap_or_else(|_silent| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())).map(drop)
}

impl Sessions {
    /// Rings inside a transaction of the host's own: it is heard when that has committed, by this process, too.
    pub(super) fn ring_in_host(&self) -> super::queries::Query {
        self.queries.job_ring.query().bind(String::new())
    }
}
