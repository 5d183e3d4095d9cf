//! Connections of a lane outside its pool: on loan, kept for the next call, or cut. A pool would ask each one whether it is still there
//! when it gets it back, which is a way to the server and back for every call, and then believe in it for ever.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, Postgres};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long a connection that nobody uses is believed to be there still.
const WARM_MOST: Duration = Duration::from_secs(60);
/// A connection is renewed now and then, so that the memory of its process at the server does not grow for ever.
const CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// How long a connection that was cut keeps the turn of its call, if nothing more is heard of it and no spare one is free: about as long as
/// TCP waits for another end that is gone. Longer would keep a process standing whose network lost all twice.
const TURN_MOST: Duration = Duration::from_secs(15 * 60);
/// How long it keeps a spare one, which nobody waits for.
const SPARE_MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// Is a connection outside its pool.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) connection: PoolConnection<Postgres>,
    opened: Instant,
}

impl Lent {
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Self {
        Self { connection, opened: Instant::now() }
    }

    /// Closes it without a word, and makes room for another one.
    fn close(self) {
        drop(self.connection.detach());
    }

    /// Lets its pool take leave of the server, and then make room for another one.
    fn retire(mut self) {
        self.connection.close_on_drop();
    }
}

/// Keeps the connections of one lane, and says how many there may be.
#[derive(Debug)]
pub(super) struct Warm {
    /// One for each call that has a connection or opens one. Nobody waits for the pool, so that none is kept from who waits.
    turns: Arc<Semaphore>,
    /// One for each connection that was cut and has not ended, as many again as the lane has: so a network that loses all of them at once
    /// costs no turn. One more keeps the turn of its call, or a server that is silent would be left with more of them for each call.
    spare: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Each with the time from which on nobody has used it.
    kept: Vec<(Lent, Instant)>,
    /// One task for each that was cut.
    cut: JoinSet<()>,
    is_closed: bool,
}

impl State {
    fn forget_ended(&mut self) {
        while self.cut.try_join_next().is_some() {}
    }
}

impl Warm {
    /// Makes one for a lane of so many connections.
    pub(super) fn new(most: u32) -> Self {
        let most = usize::try_from(most).map_or(Semaphore::MAX_PERMITS, |most| most.min(Semaphore::MAX_PERMITS));
        let as_many = || Arc::new(Semaphore::new(most));
        Self { turns: as_many(), spare: as_many(), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a call may have a connection; there is no turn after the end.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// Takes the connection that was given back last, whose process at the server is the likeliest to be at hand.
    pub(super) fn take(&self) -> Option<Lent> {
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
        drop(state);
        // Asked, it could let the caller wait: what lies between here and the server may have forgotten it without a word.
        old.into_iter().for_each(Lent::close);
        found
    }

    /// Keeps a connection on which the server has just answered for the next caller.
    pub(super) fn give_back(&self, lent: Lent) {
        if lent.opened.elapsed() >= CONNECTION_AGE {
            return lent.retire();
        }
        let mut state = self.lock();
        if !state.is_closed {
            state.kept.push((lent, Instant::now()));
            return;
        }
        drop(state);
        // Back to its pool, which closes it.
        drop(lent);
    }

    /// Takes a connection out of use on which something may be under way, and counts it until the server has ended that.
    pub(super) fn cut(&self, lent: Lent, turn: OwnedSemaphorePermit) {
        let connection = lent.connection.detach();
        // Without a runtime, and after the end, nobody opens another one.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut state = self.lock();
        if !state.is_closed {
            state.forget_ended();
            state.cut.spawn_on(until_ended(connection, turn, Arc::clone(&self.spare)), &runtime);
        }
    }

    /// Gives all back to their pool, which is about to be closed, keeps none from now on, and waits for none that was cut.
    pub(super) async fn close(&self) {
        self.turns.close();
        let (kept, mut cut) = {
            let mut state = self.lock();
            state.is_closed = true;
            (std::mem::take(&mut state.kept), std::mem::take(&mut state.cut))
        };
        drop(kept);
        cut.shutdown().await;
    }

    /// Returns how many are kept, and how many were cut and have not ended.
    pub(super) fn figures(&self) -> (usize, usize) {
        let mut state = self.lock();
        state.forget_ended();
        (state.kept.len(), state.cut.len())
    }
}

impl Drop for Warm {
    /// A pool takes a connection back in a task of its own, for which there may be no runtime any more.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (lent, _) in std::mem::take(&mut state.kept) {
            lent.close();
        }
    }
}

/// Closes a connection as soon as the server has ended what it was at, and holds the turn of its call or a spare one until then: a server
/// that is in a commit does not notice that nobody waits for it any more. It is not told to cancel that, for then a commit that waits for
/// a standby would count without it.
async fn until_ended(mut connection: PgConnection, turn: OwnedSemaphorePermit, spare: Arc<Semaphore>) {
    // Whatever comes is the end: the answer, which is nobody's any more, a failure, or nothing at all for too long.
    let mut ended = pin!(connection.ping());
    let spare = tokio::select! {
        biased;
        _ = &mut ended => return,
        spare = spare.acquire_owned() => spare,
        () = sleep(TURN_MOST) => return,
    };
    drop(turn);
    drop(timeout(SPARE_MOST, ended).await);
    drop(spare);
}
