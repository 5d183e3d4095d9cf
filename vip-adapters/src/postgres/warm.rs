//! Connections that a call has just given back, kept for the next one: a pool asks each connection whether it is still there when it
//! gets it back, which is a way to the server and back for every call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use tokio::time::Instant;

/// How long a connection goes from call to call before its pool has it back, which looks at its age and at whether it answers; and how
/// long one that nobody uses is believed to be there still.
const WARM_MOST: Duration = Duration::from_secs(60);

/// Is a connection outside its pool.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) connection: PoolConnection<Postgres>,
    /// Since when its pool has not seen it.
    since: Instant,
}

impl Lent {
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Self {
        Self { connection, since: Instant::now() }
    }

    /// Closes it without a word, and makes room for another one.
    pub(super) fn close(self) {
        drop(self.connection.detach());
    }
}

/// Keeps the connections of one pool.
#[derive(Debug, Default)]
pub(super) struct Warm(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Each with the time from which on nobody has used it.
    kept: Vec<(Lent, Instant)>,
    /// Callers who wait for the pool. What is given back meanwhile is for them.
    waiting: u64,
    is_closed: bool,
}

/// Counts a caller that waits, for as long as it does: one that goes away meanwhile waits no more.
#[derive(Debug)]
pub(super) struct Waiting(Arc<Warm>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waiting = state.waiting.saturating_sub(1);
    }
}

impl Warm {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection that was given back last, whose process at the server is the likeliest to be at hand; without one
    /// the caller waits for the pool from this moment on.
    pub(super) fn take(self: &Arc<Self>) -> Result<Lent, Waiting> {
        let mut state = self.lock();
        let mut old = Vec::new();
        let mut found = None;
        while found.is_none()
            && let Some((lent, unused_since)) = state.kept.pop()
        {
            if unused_since.elapsed() < WARM_MOST {
                found = Some(lent);
            } else {
                old.push(lent);
            }
        }
        if found.is_none() {
            state.waiting += 1;
        }
        drop(state);
        // Its pool would ask it, and wait: what lies between here and the server may have forgotten it without a word.
        old.into_iter().for_each(Lent::close);
        found.ok_or_else(|| Waiting(Arc::clone(self)))
    }

    /// Keeps a connection for the next caller, unless one waits for the pool already.
    pub(super) fn give_back(&self, lent: Lent) {
        let mut state = self.lock();
        if state.waiting == 0 && !state.is_closed && lent.since.elapsed() < WARM_MOST {
            state.kept.push((lent, Instant::now()));
            return;
        }
        drop(state);
        // Back to its pool.
        drop(lent);
    }

    /// Gives all back to their pool, which is about to be closed, and keeps none from now on.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let kept = std::mem::take(&mut state.kept);
        drop(state);
        drop(kept);
    }

    /// Returns how many are kept, and how many callers wait for the pool.
    pub(super) fn figures(&self) -> (usize, u64) {
        let state = self.lock();
        (state.kept.len(), state.waiting)
    }
}

impl Drop for Warm {
    /// A pool takes a connection back in a task of its own, for which there may be no runtime any more.
    fn drop(&mut self) {
        let state = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (lent, _) in std::mem::take(&mut state.kept) {
            lent.close();
        }
    }
}
