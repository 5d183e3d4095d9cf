//! What several callers want at one moment is one commit: whoever comes while others write goes along with the next.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use vip_core::model::TenantId;

use super::error::{Failure, Refusal};

/// Most callers of one commit.
pub(super) const TOGETHER_MOST: usize = 200;
/// Most callers that wait; one more is told at once that the store is not available.
pub(super) const WAITING_MOST: usize = 10_000;
/// Commits that are under way at once: one waits for the disk while the next one is made ready.
const WRITERS_MOST: u32 = 2;
/// How long a writer that has answered many waits for them to come back: less than a commit takes.
const MOMENT: Duration = Duration::from_millis(1);
/// So many answers of one commit are worth that wait.
const WORTH_A_MOMENT: usize = 8;

/// Is what a commit came to for one of its callers.
#[derive(Debug)]
pub(super) enum Shared<O> {
    /// It was committed.
    Answer(O),
    /// It was not, or nobody knows; the caller has to try by itself, so that what is wrong with one harms no other.
    Alone(Failure),
}

impl<O> Shared<O> {
    /// Takes the answer for one caller; without one nothing of its own was written.
    pub(super) fn of(answer: Option<O>) -> Self {
        answer.map_or_else(|| Self::Alone(Failure::Refused(Refusal::Conflict)), Self::Answer)
    }
}

/// Is somebody who waits for the next commit.
#[derive(Debug)]
pub(super) struct Waiting<I, O> {
    pub(super) item: I,
    pub(super) answer: oneshot::Sender<Shared<O>>,
}

/// Is where the answer comes from, and a turn if nobody else writes.
pub(super) type Joined<I, O> = (oneshot::Receiver<Shared<O>>, Option<Turn<I, O>>);

/// Collects what is to be written together.
#[derive(Debug)]
pub(super) struct Gather<I, O> {
    gathered: Mutex<Gathered<I, O>>,
    /// Rings when as many wait as a writer waits for.
    enough: Notify,
    /// Names the tenant whose row the commit of an item holds to its end, if there is such a row.
    row_of: fn(&I) -> Option<&TenantId>,
}

#[derive(Debug)]
struct Gathered<I, O> {
    waiting: VecDeque<Waiting<I, O>>,
    writers: u32,
    /// How many a writer waits for; nobody waits for more than there can be.
    wanted: usize,
    /// Whose rows the commits under way hold, each by one of them.
    held: BTreeSet<TenantId>,
}

impl<I, O> Gathered<I, O> {
    /// Says whether a commit under way holds a row: whoever needs it, too, would wait for it at the server until that commit is
    /// on the disk, and with it all who go along.
    fn holds(&self, row: Option<&TenantId>) -> bool {
        row.is_some_and(|row| self.held.contains(row))
    }

    fn let_go(&mut self, rows: &mut Vec<TenantId>) {
        for row in rows.drain(..) {
            self.held.remove(&row);
        }
    }
}

impl<I, O> Default for Gather<I, O> {
    /// Collects items whose commits do not wait for each other.
    fn default() -> Self {
        Self::with_rows(|_| None)
    }
}

impl<I, O> Gather<I, O> {
    /// Collects items of which some need the row of a tenant: of two commits at once only one is given such items of a tenant.
    pub(super) fn with_rows(row_of: fn(&I) -> Option<&TenantId>) -> Self {
        let gathered = Gathered { waiting: VecDeque::new(), writers: 0, wanted: usize::MAX, held: BTreeSet::new() };
        Self { gathered: Mutex::new(gathered), enough: Notify::new(), row_of }
    }

    fn lock(&self) -> MutexGuard<'_, Gathered<I, O>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the next commit, or nothing if too many wait; the turn, if there is one, has to write until nobody waits.
    pub(super) fn join(self: &Arc<Self>, item: I) -> Option<Joined<I, O>> {
        let (answer, answered) = oneshot::channel();
        let mut gathered = self.lock();
        if gathered.waiting.len() >= WAITING_MOST {
            gathered.waiting.retain(|one| !one.answer.is_closed());
            if gathered.waiting.len() >= WAITING_MOST {
                return None;
            }
        }
        // The writer that holds the row takes once more: it goes along then, and needs no writer of its own.
        let goes_along = gathered.holds((self.row_of)(&item));
        gathered.waiting.push_back(Waiting { item, answer });
        if gathered.waiting.len() >= gathered.wanted {
            gathered.wanted = usize::MAX;
            self.enough.notify_waiters();
        }
        let turn = (!goes_along && gathered.writers < WRITERS_MOST).then(|| {
            gathered.writers += 1;
            Turn { gather: Arc::clone(self), rows: Vec::new(), is_over: false }
        });
        Some((answered, turn))
    }
}

/// Is the turn of one writer.
#[derive(Debug)]
pub(super) struct Turn<I, O> {
    gather: Arc<Gather<I, O>>,
    /// Whose rows its commit holds. Empty once it is over.
    rows: Vec<TenantId>,
    is_over: bool,
}

impl<I, O> Turn<I, O> {
    /// Takes those who wait, and leaves those who need a row that the other commit under way holds: its writer takes them when it
    /// has ended. Whoever takes has ended the commit before. Nobody means that the turn is over.
    pub(super) fn take(&mut self) -> Vec<Waiting<I, O>> {
        let row_of = self.gather.row_of;
        let mut gathered = self.gather.lock();
        gathered.let_go(&mut self.rows);
        // Whoever went away or gave up wants nothing any more: written late, it would meet its own repeat in one commit.
        gathered.waiting.retain(|one| !one.answer.is_closed());
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        while taken.len() < TOGETHER_MOST
            && let Some(one) = gathered.waiting.pop_front()
        {
            let is_held = gathered.holds(row_of(&one.item));
            if is_held { left.push(one) } else { taken.push(one) }
        }
        // In front of all others again, in the order in which they came.
        for one in left.into_iter().rev() {
            gathered.waiting.push_front(one);
        }
        for row in taken.iter().filter_map(|one| row_of(&one.item)) {
            if gathered.held.insert(row.clone()) {
                self.rows.push(row.clone());
            }
        }
        if taken.is_empty() && !self.is_over {
            // In the same moment: whoever joins now gets a turn.
            gathered.writers = gathered.writers.saturating_sub(1);
            self.is_over = true;
        }
        taken
    }

    /// Waits for a moment until as many wait as were answered: most of them have more to say, and go along together instead of
    /// a few with each of the next commits.
    pub(super) async fn come_back(&self, answered: usize) {
        if answered < WORTH_A_MOMENT {
            return tokio::task::yield_now().await;
        }
        let come = async {
            loop {
                // Before the look, so that who comes in between is not missed.
                let enough = self.gather.enough.notified();
                {
                    let mut gathered = self.gather.lock();
                    if gathered.waiting.len() >= answered.min(TOGETHER_MOST) {
                        return;
                    }
                    gathered.wanted = gathered.wanted.min(answered);
                }
                enough.await;
            }
        };
        // Whoever is there after a moment is enough.
        drop(timeout(MOMENT, come).await);
    }
}

impl<I, O> Drop for Turn<I, O> {
    /// After a panic nobody may wait for this writer: those who do are let go, and try by themselves.
    fn drop(&mut self) {
        if !self.is_over {
            let mut gathered = self.gather.lock();
            gathered.writers = gathered.writers.saturating_sub(1);
            gathered.let_go(&mut self.rows);
            gathered.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(waiting: &[Waiting<usize, ()>]) -> Vec<usize> {
        waiting.iter().map(|one| one.item).collect()
    }

    #[test]
    fn as_many_as_may_write_get_a_turn_and_the_others_go_along() {
        let gather = Arc::new(Gather::<usize, ()>::default());
        let mut joined: Vec<_> = (0..4).filter_map(|number| gather.join(number)).collect();
        let mut turns: Vec<_> = joined.iter_mut().filter_map(|(_, turn)| turn.take()).collect();
        assert_eq!((joined.len(), turns.len()), (4, 2));
        let mut first = turns.pop().unwrap();
        assert_eq!(numbers(&first.take()), [0, 1, 2, 3]);
        assert!(first.take().is_empty());
        assert!(gather.join(4).unwrap().1.is_some(), "a turn that is over makes room for another");
    }

    #[test]
    fn a_commit_takes_no_more_than_its_bound() {
        let gather = Arc::new(Gather::<usize, ()>::default());
        let mut joined: Vec<_> = (0..=TOGETHER_MOST).filter_map(|number| gather.join(number)).collect();
        let mut turn = joined.first_mut().and_then(|(_, turn)| turn.take()).unwrap();
        assert_eq!((turn.take().len(), turn.take().len()), (TOGETHER_MOST, 1));
    }

    #[test]
    fn who_went_away_is_not_written_and_as_many_wait_as_may() {
        let gather = Arc::new(Gather::<usize, ()>::default());
        let (answered, turn) = gather.join(0).unwrap();
        let staying: Vec<_> = (1..WAITING_MOST).filter_map(|number| gather.join(number)).collect();
        assert_eq!(staying.len(), WAITING_MOST - 1);
        assert!(gather.join(WAITING_MOST).is_none(), "one more than may wait");
        drop(answered);
        let last = gather.join(WAITING_MOST);
        assert!(last.is_some(), "one has made room");
        assert_eq!(numbers(&turn.unwrap().take()).first(), Some(&1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_answered_many_waits_until_as_many_wait_and_for_a_moment_at_the_most() {
        let gather = Arc::new(Gather::<usize, ()>::default());
        let (_answered, turn) = gather.join(0).unwrap();
        let mut turn = turn.unwrap();
        assert_eq!(turn.take().len(), 1);
        let begun = tokio::time::Instant::now();
        turn.come_back(WORTH_A_MOMENT - 1).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "a few are not worth it");
        turn.come_back(WORTH_A_MOMENT).await;
        let waited = begun.elapsed();
        assert!(waited >= MOMENT && waited <= 2 * MOMENT, "nobody came, and it took {waited:?}");

        let begun = tokio::time::Instant::now();
        let joining = async {
            let mut joined = Vec::new();
            for number in 0..WORTH_A_MOMENT {
                tokio::task::yield_now().await;
                joined.push(gather.join(number).unwrap());
            }
            joined
        };
        let ((), joined) = tokio::join!(turn.come_back(WORTH_A_MOMENT), joining);
        assert_eq!((begun.elapsed(), joined.len()), (Duration::ZERO, WORTH_A_MOMENT));
        assert_eq!(turn.take().len(), WORTH_A_MOMENT);
    }

    /// Is somebody of a tenant whose row is needed, or somebody who needs none.
    type Numbered = (Option<TenantId>, usize);

    fn row_of((tenant, _number): &Numbered) -> Option<&TenantId> {
        tenant.as_ref()
    }

    /// Is a gather of such, and all who have joined it.
    struct Rows {
        gather: Arc<Gather<Numbered, ()>>,
        joined: Vec<oneshot::Receiver<Shared<()>>>,
    }

    impl Rows {
        fn new() -> Self {
            Self { gather: Arc::new(Gather::with_rows(row_of)), joined: Vec::new() }
        }

        fn join(&mut self, tenant: Option<&str>, number: usize) -> Option<Turn<Numbered, ()>> {
            let tenant = tenant.map(|tenant| TenantId::new(tenant).unwrap());
            let (answered, turn) = self.gather.join((tenant, number)).unwrap();
            self.joined.push(answered);
            turn
        }
    }

    fn taken(turn: &mut Turn<Numbered, ()>) -> Vec<usize> {
        turn.take().iter().map(|one| one.item.1).collect()
    }

    #[test]
    fn who_needs_a_row_of_a_commit_under_way_goes_along_with_the_next_one_of_its_writer_and_holds_up_no_other() {
        let mut rows = Rows::new();
        let mut first = rows.join(Some("acme"), 0).unwrap();
        assert_eq!(taken(&mut first), [0]);
        assert!(rows.join(Some("acme"), 1).is_none(), "a writer of its own would wait for the first one");
        let mut second = rows.join(Some("other"), 2).unwrap();
        for (tenant, number) in [(Some("acme"), 3), (None, 4), (Some("other"), 5)] {
            assert!(rows.join(tenant, number).is_none());
        }
        assert_eq!(taken(&mut second), [2, 4, 5]);
        assert!(taken(&mut second).is_empty(), "nobody is left for it");
        assert!(rows.join(Some("acme"), 6).is_none(), "there is room for a writer, and nothing for it to do");
        assert_eq!(taken(&mut first), [1, 3, 6]);
        assert!(taken(&mut first).is_empty());
        assert!(rows.join(Some("acme"), 7).is_some(), "nobody holds the row any more");
    }

    #[test]
    fn a_writer_that_finds_nobody_but_those_of_the_other_ends_and_the_other_takes_them() {
        let mut rows = Rows::new();
        let mut first = rows.join(Some("acme"), 0).unwrap();
        let mut second = rows.join(Some("acme"), 1).unwrap();
        assert_eq!(taken(&mut first), [0, 1]);
        assert!(rows.join(Some("acme"), 2).is_none());
        assert!(taken(&mut second).is_empty());
        assert_eq!(taken(&mut first), [2]);
    }

    #[test]
    fn a_writer_that_panics_holds_no_row_and_lets_those_go_who_waited_for_it() {
        let mut rows = Rows::new();
        let mut first = rows.join(Some("acme"), 0).unwrap();
        assert_eq!(taken(&mut first), [0]);
        assert!(rows.join(Some("acme"), 1).is_none());
        drop(first);
        assert_eq!(rows.joined[1].try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
        let mut next = rows.join(Some("acme"), 2).unwrap();
        assert_eq!(taken(&mut next), [2]);
    }

    #[test]
    fn a_writer_that_panics_leaves_nobody_waiting() {
        let gather = Arc::new(Gather::<usize, ()>::default());
        let (mut answered, turn) = gather.join(0).unwrap();
        drop(turn);
        assert_eq!(answered.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
        assert!(gather.join(1).unwrap().1.is_some());
    }
}
