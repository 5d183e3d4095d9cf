//! The claim loop: takes due jobs while there is room, and begins their attempts.

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::attempt::{Attempt, Hold};
use super::core::Core;
use super::run::make_attempt;
use crate::model::ClaimId;
use crate::ports::{ClaimRequest, Claimed};
use crate::runtime::{Backoff, LoopError, Tick};
use crate::seeded_bugs::{SeededBug, is_on};
use crate::telemetry;

/// Most claims at once: the second one keeps the queue at work while the jobs of the first are begun.
const CLAIMS_MOST: usize = 2;
/// Settlements without an answer beyond which nothing is claimed: a queue that takes none should give none.
pub(super) const UNSETTLED_MOST: usize = 1000;
/// First pause after a hint that led to nothing; doubles up to the poll interval, so that a queue whose hints are
/// always wrong is asked no more often than one without hints.
const FALSE_HINT_PAUSE: Duration = Duration::from_millis(5);

/// Claims until told to stop. It is never dropped in the middle of a claim: what the queue gave would be lost until
/// its lease expires.
pub(super) async fn claim_loop(core: Arc<Core>, tick: Tick) -> Result<(), LoopError> {
    let mut claims = Claims::default();
    let mut hints = Hints::default();
    loop {
        tick.beat();
        if tick.is_stopping() {
            while claims.next().await.is_some() {}
            claims.go_on_with_a_panic();
            return Ok(());
        }
        while let Some(asked) = core.may_ask_for(&claims) {
            claims.begin(&core, asked);
        }
        match claims.next().await {
            None => core.wait_until_it_may_ask(&tick).await,
            // What another one brings must not wait for a pause: its leases are running.
            Some(_) if !claims.is_empty() => {}
            Some(ended) => {
                claims.go_on_with_a_panic();
                if claims.had_no_answer() {
                    tick.pause(core.pause_after_silence()).await;
                } else if ended == Ended::Short {
                    hints.wait(&core, &tick, claims.brought_work()).await;
                }
            }
        }
    }
}

/// Says how a claim ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It brought all that it asked for: there is more.
    Full,
    /// It brought less than it asked for: nothing more is due.
    Short,
    NoAnswer,
}

/// Is what came of a call that may have panicked.
type Caught<T> = Result<T, Box<dyn Any + Send>>;

/// Holds the claims under way: one, or two while there is more than one brings. Then the queue works on the next one
/// while the jobs of the last are begun.
#[derive(Default)]
struct Claims {
    under_way: FuturesUnordered<BoxFuture<'static, (u32, Caught<Option<u32>>)>>,
    /// Jobs that they may bring.
    asked: u32,
    is_plenty: bool,
    /// Whether one has brought a job since the last wait.
    brought_work: bool,
    /// Whether one had no answer, and none was full since: what it would have brought is still due, so that one which
    /// ends short beside it is no reason to wait for a hint.
    was_unanswered: bool,
    /// What one of them panicked with: the other one ends first, so that what it brings is not lost.
    panic: Option<Box<dyn Any + Send>>,
}

impl Claims {
    fn begin(&mut self, core: &Arc<Core>, asked: u32) {
        let core = Arc::clone(core);
        self.asked = self.asked.saturating_add(asked);
        let claim = async move { core.claim(asked).await };
        self.under_way.push(Box::pin(AssertUnwindSafe(claim).catch_unwind().map(move |claimed| (asked, claimed))));
    }

    /// Waits for one of them; none if there is none.
    async fn next(&mut self) -> Option<Ended> {
        let (asked, claimed) = self.under_way.next().await?;
        self.asked = self.asked.saturating_sub(asked);
        let claimed = claimed.unwrap_or_else(|panic| {
            self.panic = Some(panic);
            None
        });
        self.brought_work |= claimed.is_some_and(|claimed| claimed > 0);
        let ended = match claimed {
            Some(claimed) if claimed >= asked => Ended::Full,
            Some(_) => Ended::Short,
            None => Ended::NoAnswer,
        };
        self.is_plenty = ended == Ended::Full;
        match ended {
            Ended::Full => self.was_unanswered = false,
            Ended::NoAnswer => self.was_unanswered = true,
            Ended::Short => {}
        }
        Some(ended)
    }

    fn may_begin(&self) -> bool {
        let rests = self.panic.is_some() || self.was_unanswered;
        !rests && self.under_way.len() < if self.is_plenty { CLAIMS_MOST } else { 1 }
    }

    fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    fn had_no_answer(&mut self) -> bool {
        std::mem::take(&mut self.was_unanswered)
    }

    /// Lets a panic of a claim end the loop, as if nothing had been between.
    fn go_on_with_a_panic(&mut self) {
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
    }

    fn brought_work(&mut self) -> bool {
        std::mem::take(&mut self.brought_work)
    }
}

/// Remembers whether the hints of the queue are true.
#[derive(Debug, Default)]
struct Hints {
    /// Hints in a row that led to nothing.
    false_ones: u32,
    was_hinted: bool,
}

impl Hints {
    async fn wait(&mut self, core: &Core, tick: &Tick, had_work: bool) {
        self.false_ones = if self.was_hinted && !had_work { self.false_ones.saturating_add(1) } else { 0 };
        self.was_hinted = core.wait_for_work(tick).await;
        if self.was_hinted && self.false_ones > 0 {
            let pauses = Backoff::new(FALSE_HINT_PAUSE, core.config.poll_interval);
            tick.pause(pauses.half_jitter(self.false_ones.saturating_sub(1), &*core.randomness)).await;
        }
    }
}

impl Core {
    /// Returns for how many jobs another claim may ask now; none if there is to be none.
    fn may_ask_for(&self, claims: &Claims) -> Option<u32> {
        if !claims.may_begin() || self.outbox.len() >= UNSETTLED_MOST || self.others_come_first().is_some() {
            return None;
        }
        Some(self.room().saturating_sub(claims.asked).min(self.config.claim_most)).filter(|room| *room > 0)
    }

    async fn wait_until_it_may_ask(&self, tick: &Tick) {
        match self.others_come_first() {
            Some(pause) => tick.pause(pause).await,
            None => self.wait_for_room(tick).await,
        }
    }

    async fn wait_for_room(&self, tick: &Tick) {
        tokio::select! {
            // In a fixed order: under the paused clock one seed is then one run.
            biased;
            () = self.room.notified() => {}
            () = tick.interrupted() => {}
            // Settlements that are given up make room too, and ring no bell here.
            () = tokio::time::sleep(self.config.poll_interval), if self.room() > 0 => {}
        }
    }

    /// Claims once and begins the attempts; returns how many, or none if there was no answer.
    async fn claim(self: &Arc<Self>, most: u32) -> Option<u32> {
        let request = ClaimRequest {
            kinds: self.kinds.clone(),
            most,
            lease: self.timing.lease,
            claim: ClaimId::from_uuid(self.randomness.uuid()),
        };
        // F5 counts from before the request: the queue cannot have granted the lease earlier.
        let sent = Instant::now();
        let answer = tokio::select! {
            // In a fixed order: under the paused clock one seed is then one run.
            biased;
            answer = self.queue.claim(&request) => Some(answer),
            () = self.claim_is_of_no_use() => None,
        };
        match answer {
            Some(Ok(claimed)) => {
                self.heard();
                let count = u32::try_from(claimed.len()).unwrap_or(u32::MAX);
                claimed.into_iter().for_each(|claimed| self.begin(claimed, sent));
                return Some(count);
            }
            Some(Err(error)) => telemetry::tell(|| {
                tracing::warn!({ telemetry::ERROR } = %telemetry::causes(&error), "a claim had no answer");
            }),
            None => telemetry::tell(|| tracing::warn!("a claim had no answer in time")),
        }
        self.counters.claim_failures.one();
        None
    }

    /// Resolves when an answer to a claim that was sent now would bring no job that could begin a request to the provider.
    ///
    /// Not sooner: a claim that is given up and granted all the same leases jobs to nobody, and a queue that takes longer
    /// than a commit for some minutes would let every due job die of that. A worker that stops waits no longer than a commit.
    async fn claim_is_of_no_use(&self) {
        let begins_nothing = self.timing.request_deadline.saturating_add(self.timing.margin);
        let stopped = async {
            self.signals.stopping.cancelled().await;
            tokio::time::sleep(self.timing.commit_deadline).await;
        };
        tokio::select! {
            biased;
            () = tokio::time::sleep(self.timing.lease.saturating_sub(begins_nothing)) => {}
            () = stopped => {}
        }
    }

    fn begin(self: &Arc<Self>, claimed: Claimed, sent: Instant) {
        let hold = Arc::new(Hold::new(claimed.lease, self.timing.margin, sent));
        self.counters.claimed.one();
        self.holds.add(Arc::clone(&hold));
        let attempt = Attempt::new(claimed.job, hold, Arc::clone(&self.signals));
        // Boxed at once: whatever wraps it would move all of it again. It is small enough to cost an allocator little.
        self.attempts.spawn(Box::pin(make_attempt(Arc::clone(self), attempt)));
    }

    /// Waits for a hint of the queue, or for the time of the next poll; says whether it was a hint.
    async fn wait_for_work(&self, tick: &Tick) -> bool {
        let mut poll = self.around(self.config.poll_interval);
        if is_on(SeededBug::LostWakeUp) {
            // Whoever brings work rings the bell.
            poll = Duration::from_secs(24 * 3600);
        }
        let begin = Instant::now();
        tokio::select! {
            biased;
            () = tick.interrupted() => false,
            () = self.queue.wait(poll) => begin.elapsed() < poll,
            // Polling is the truth: a queue that waits longer than it was told does not delay it.
            () = tokio::time::sleep(poll) => false,
        }
    }

    /// Returns a time more or less a quarter around `time`, so that workers do not ask in step.
    pub(super) fn around(&self, time: Duration) -> Duration {
        time.mul_f64(self.randomness.share().mul_add(0.5, 0.75))
    }

    /// Notes that the queue did not answer; returns how long to leave it alone.
    pub(super) fn pause_after_silence(&self) -> Duration {
        let pauses = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        pauses.half_jitter(self.not_heard(), &*self.randomness)
    }
}
