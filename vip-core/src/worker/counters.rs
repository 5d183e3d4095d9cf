//! Counts what a worker did.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// Counts what a worker has done since its start.
        ///
        /// `claimed` = `finished` + `handed_back` + `cancelled` + `running`, also while attempts begin and end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct WorkerCounts {
            /// Attempts that run now.
            pub running: u64,
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)*
        }

        impl Counters {
            pub(super) fn snapshot(&self) -> WorkerCounts {
                // In the order of the list: what ends while it is read makes fewer run, never more than there is room for.
                WorkerCounts { running: 0, $($name: self.$name.get(),)* }.adding_up()
            }
        }
    };
}

// `claimed` is read first: see `Counters::snapshot`.
counters! {
    /// Jobs claimed.
    claimed
    /// Attempts that ran to their end, whatever it was.
    finished
    /// Claimed jobs that were not begun, or ended themselves at a safe point, and were handed back.
    handed_back
    /// Attempts that were cut at the deadline of the shutdown and handed back.
    cancelled
    /// Settlements that ended their lease.
    settled
    /// Settlements that found another lease, or were a repeat of one whose answer was lost.
    stale
    /// Settlements that were given up; their jobs come back when their leases expire.
    settlements_lost
    /// Jobs that are dead by their settlement.
    died
    /// Leases that the queue said are over while their attempt was running.
    leases_lost
    /// Expired leases of any worker that were reaped.
    reaped
    /// Attempts that panicked.
    panicked
    /// Attempts whose payload could not be read.
    undecodable
    /// Attempts that reached their deadline.
    timed_out
    /// Ends of dead jobs that could not be written yet.
    ends_not_written
    /// Claims without an answer.
    claim_failures
    /// Heartbeats without an answer.
    heartbeat_failures
    /// Settlement batches without an answer.
    settle_failures
}

impl WorkerCounts {
    /// Returns what was read, claims first, as counts that add up: what ended after the claims were read was claimed too.
    const fn adding_up(self) -> Self {
        let ended = self.finished + self.handed_back + self.cancelled;
        let running = self.claimed.saturating_sub(ended);
        Self { claimed: ended + running, running, ..self }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn one(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::SeqCst);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Counters {
    /// Counts attempts that run now.
    pub(super) fn running(&self) -> u64 {
        // As in a snapshot.
        let claimed = self.claimed.get();
        claimed.saturating_sub(self.finished.get() + self.handed_back.get() + self.cancelled.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads, and what each of them counts.
    const THREADS: u64 = 8;
    const EACH: u64 = 20_000;

    fn add_up(counts: WorkerCounts) -> bool {
        counts.claimed == counts.finished + counts.handed_back + counts.cancelled + counts.running
    }

    #[test]
    fn what_ended_after_the_claims_were_read_was_claimed_too() {
        for ((claimed, finished, handed_back, cancelled), expected) in
            [((10, 11, 0, 0), (11, 0)), ((10, 4, 3, 5), (12, 0)), ((10, 5, 3, 2), (10, 0)), ((10, 4, 3, 2), (10, 1))]
        {
            let read = WorkerCounts { claimed, finished, handed_back, cancelled, ..WorkerCounts::default() };
            let counts = read.adding_up();
            assert_eq!((counts.claimed, counts.running), expected, "{read:?}");
            assert!(add_up(counts), "{counts:?}");
        }
    }

    #[test]
    fn what_many_threads_count_at_once_is_counted_in_full_and_never_more_ends_than_claims() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        counters.claimed.one();
                        counters.finished.one();
                        assert!(counters.running() <= THREADS);
                        let counts = counters.snapshot();
                        assert!(add_up(counts) && counts.running <= THREADS, "{counts:?}");
                    }
                });
            }
        });
        let counts = counters.snapshot();
        assert_eq!((counts.claimed, counts.finished, counts.running), (THREADS * EACH, THREADS * EACH, 0));
    }
}
