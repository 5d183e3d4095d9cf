//! Tells other processes of new jobs, and hears of theirs: LISTEN and NOTIFY as a hint beside the polling, never instead.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use vip_core::telemetry;

use super::session::Sessions;

/// The channel that `job_ring.sql` names, too.
const CHANNEL: &str = "vip_jobs";
/// Shortest time between two rings: the first job rings at once, those that follow within it share the next ring. The
/// server lets one notifying commit through after the other, so that a ring for each job would hold up all of them.
const DEBOUNCE: Duration = Duration::from_millis(5);
/// First and longest pause before a connection for listening is opened again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Is what both sides of the bell work with.
#[derive(Debug, Clone)]
pub(super) struct Bell {
    pub(super) sessions: Arc<Sessions>,
    /// A connection for listening alone.
    pub(super) pool: PgPool,
    /// Names us: our own rings are no news to us.
    pub(super) name: String,
    pub(super) closing: watch::Receiver<bool>,
    /// Changes when others are to be told.
    pub(super) rung: watch::Receiver<()>,
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
            let name = self.name.clone();
            if let Err(failure) = self.sessions.rows(|queries| queries.job_ring.query().bind(name.clone())).await {
                // Whoever waits elsewhere finds the job by polling.
                tracing::debug!(?failure, "other processes were not told of a job");
            }
            tokio::select! {
                () = tokio::time::sleep(DEBOUNCE) => {}
                _ = self.closing.changed() => {}
            }
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
        loop {
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                heard = self.hear(&mut pause) => if let Err(error) = heard {
                    tracing::debug!(error = %telemetry::causes(&error), "jobs of other processes are found by polling");
                }
            }
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                () = tokio::time::sleep(pause.mul_f64(0.5 + self.sessions.randomness.share() / 2.0)) => {}
            }
            pause = pause.saturating_mul(2).min(AGAIN.1);
        }
    }

    /// Listens on one connection after the other, until one cannot be opened.
    async fn hear(&self, pause: &mut Duration) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(CHANNEL).await?;
        *pause = AGAIN.0;
        // What came before we listened was not heard.
        self.wake();
        loop {
            match listener.try_recv().await? {
                Some(ring) if ring.payload() == self.name => {}
                // None: the connection was lost and is there again, and something may have been missed.
                Some(_) | None => self.wake(),
            }
        }
    }

    fn wake(&self) {
        self.sessions.arrivals.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Sessions {
    /// Rings inside a transaction of the host's own: it is heard when that has committed, by this process, too.
    pub(super) fn ring_in_host(&self) -> super::queries::Query {
        self.queries.job_ring.query().bind(String::new())
    }
}
