//! Ends a process in ordered phases under one deadline, and says what became of everything.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::LoopStatus;
use super::panics::panic_message;
use super::supervisor::LoopsStopped;
use crate::telemetry;

/// Runs the phases of a shutdown one after the other, each with the time that is left. A log that cannot be written takes none of
/// them away.
///
/// The order is the caller's: not ready any more → stop claiming → attempts end, or are cut and handed back →
/// settlements written → audit delivered → listeners, pools and caches closed → loops ended.
#[derive(Debug)]
pub struct Shutdown {
    begin: Instant,
    limit: Duration,
    /// What the phases may take though the deadline is over, all together.
    promised: Duration,
    report: ShutdownReport,
}

impl Shutdown {
    /// Starts the time: all phases together should end within `limit`.
    #[must_use]
    pub fn within(limit: Duration) -> Self {
        Self { begin: Instant::now(), limit, promised: Duration::ZERO, report: ShutdownReport::default() }
    }

    /// Returns the time that is left until the deadline.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.limit.saturating_sub(self.begin.elapsed())
    }

    /// Returns the report, for a phase's counts.
    pub const fn report(&mut self) -> &mut ShutdownReport {
        &mut self.report
    }

    /// Runs a phase until the deadline, but for at least `least`; returns what it made, or none if it was cut or
    /// panicked.
    ///
    /// `least` is what a phase needs even when the deadline is over: handing leases back takes one call, and without
    /// it they would stay until they expire.
    pub async fn phase<T>(&mut self, name: &str, least: Duration, work: impl Future<Output = T>) -> Option<T> {
        let limit = self.left().max(least);
        self.promised = self.promised.saturating_add(least);
        self.bounded(name, limit, PhaseEnd::Cut, work).await
    }

    /// Notes that the phase before came to its end by cutting off some of its work.
    pub fn was_cut(&mut self) {
        if let Some(phase) = self.report.phases.last_mut().filter(|phase| phase.end == PhaseEnd::Completed) {
            phase.end = PhaseEnd::Cut;
        }
    }

    /// Waits for work to end by itself until the deadline; says whether it did. What is then left is for a later phase.
    pub async fn drain(&mut self, name: &str, work: impl Future<Output = ()>) -> bool {
        self.bounded(name, self.left(), PhaseEnd::Deadline, work).await.is_some()
    }

    /// Runs work for a time; a port that panics in it neither ends the host nor keeps later phases from their work.
    async fn bounded<T>(
        &mut self,
        name: &str,
        limit: Duration,
        late: PhaseEnd,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let begin = Instant::now();
        let (made, end) = match AssertUnwindSafe(tokio::time::timeout(limit, work)).catch_unwind().await {
            Ok(Ok(made)) => (Some(made), PhaseEnd::Completed),
            Ok(Err(_elapsed)) => (None, late),
            Err(payload) => {
                let code = panic_message(&*payload);
                telemetry::tell(|| tracing::error!({ telemetry::CODE } = code, "a phase of the shutdown panicked"));
                (None, PhaseEnd::Panicked)
            }
        };
        self.note(name, begin, end);
        made
    }

    fn note(&mut self, name: &str, begin: Instant, end: PhaseEnd) {
        let took = begin.elapsed();
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        telemetry::tell(|| {
            tracing::info!(
                { telemetry::PHASE } = name,
                { telemetry::OUTCOME } = ?end,
                { telemetry::DURATION_MS } = duration_ms,
                "a phase of the shutdown ended"
            );
        });
        self.report.phases.push(PhaseReport { name: name.to_owned(), took, end });
    }

    /// Ends the shutdown with what the supervisor says, and returns the report.
    pub fn finish(mut self, stopped: LoopsStopped) -> ShutdownReport {
        self.report.tasks_left += stopped.tasks_left;
        self.report.loops = stopped.loops;
        self.report.took = self.begin.elapsed();
        self.report.within_deadline = self.report.took <= self.limit.saturating_add(self.promised);
        self.report
    }
}

/// Says how long a phase took and whether it came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PhaseReport {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub end: PhaseEnd,
}

/// Says how a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseEnd {
    /// It came to its end.
    Completed,
    /// It waited for work until the deadline; a later phase took care of the rest.
    Deadline,
    /// Its time was over before it came to its end.
    Cut,
    /// It panicked; the phases after it ran all the same.
    Panicked,
}

/// Says what a process did in its life with the jobs it claimed, and what became of everything when it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Jobs claimed since the start; the sum of the next three.
    pub claimed: u64,
    /// Attempts that ran to their end.
    pub finished: u64,
    /// Claimed jobs that were not begun, or ended themselves at a safe point, and were handed back.
    pub handed_back: u64,
    /// Attempts that were cut at the deadline and handed back.
    pub cancelled: u64,
    /// Settlements that were written during the shutdown.
    pub settlements_flushed: u64,
    /// Settlements that could not be written: their jobs come back when their leases expire.
    pub settlements_lost: u64,
    /// Audit records delivered during the shutdown.
    pub audit_delivered: u64,
    /// Tasks that did not end: they block their thread.
    pub tasks_left: usize,
    /// How each background loop fared.
    pub loops: Vec<LoopStatus>,
    /// The phases in their order.
    pub phases: Vec<PhaseReport>,
    /// How long the shutdown took.
    pub took: Duration,
    /// Whether it ended in time: the limit, and the little that phases are promised beyond it.
    pub within_deadline: bool,
}

impl ShutdownReport {
    /// Says whether nothing was left or lost.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let is_cut = |phase: &PhaseReport| matches!(phase.end, PhaseEnd::Cut | PhaseEnd::Panicked);
        self.tasks_left == 0 && self.settlements_lost == 0 && !self.phases.iter().any(is_cut)
    }
}

/// Shows the counts in one line, then each phase that was cut and each loop that failed.
impl fmt::Display for ShutdownReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "claimed {} = finished {} + handed back {} + cancelled {}; settlements flushed {}, lost {}; \
             audit records delivered {}; tasks left {}; took {:?}, {}",
            self.claimed,
            self.finished,
            self.handed_back,
            self.cancelled,
            self.settlements_flushed,
            self.settlements_lost,
            self.audit_delivered,
            self.tasks_left,
            self.took,
            if self.within_deadline { "within the deadline" } else { "beyond the deadline" }
        )?;
        for phase in &self.phases {
            match phase.end {
                PhaseEnd::Cut => write!(formatter, "; phase {} was cut after {:?}", phase.name, phase.took)?,
                PhaseEnd::Panicked => write!(formatter, "; phase {} panicked after {:?}", phase.name, phase.took)?,
                PhaseEnd::Completed | PhaseEnd::Deadline => {}
            }
        }
        for status in self.loops.iter().filter(|status| status.last_failure.is_some()) {
            write!(formatter, "; loop {} restarted {} times", status.name, status.restarts)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::SeededRandomness;
    use crate::runtime::Supervisor;
    use crate::telemetry::unwritable::unwritable;

    async fn no_loops() -> LoopsStopped {
        Supervisor::new(std::sync::Arc::new(SeededRandomness::new(1))).shutdown(Duration::ZERO).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_phase_has_the_time_that_is_left_and_a_later_one_what_it_is_promised() {
        let s = Duration::from_secs;
        let mut shutdown = Shutdown::within(s(10));
        assert_eq!(shutdown.phase("quick", s(0), async { 7 }).await, Some(7));
        assert_eq!(shutdown.phase("hung", s(1), std::future::pending::<()>()).await, None);
        assert_eq!(shutdown.left(), s(0));
        assert_eq!(shutdown.phase("last", s(2), std::future::pending::<()>()).await, None);
        assert_eq!(shutdown.phase("partly", s(0), async { 8 }).await, Some(8));
        shutdown.was_cut();
        let report = shutdown.finish(no_loops().await);
        let took: Vec<(Duration, PhaseEnd)> = report.phases.iter().map(|phase| (phase.took, phase.end)).collect();
        let cut = [(s(10), PhaseEnd::Cut), (s(2), PhaseEnd::Cut), (s(0), PhaseEnd::Cut)];
        assert_eq!(took, [&[(s(0), PhaseEnd::Completed)][..], &cut].concat());
        assert!(report.within_deadline && !report.is_clean());
        assert!(report.to_string().contains("phase hung was cut after 10s"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_phase_that_panics_is_reported_and_the_next_one_runs() {
        let s = Duration::from_secs;
        let mut shutdown = Shutdown::within(s(10));
        assert_eq!(shutdown.phase("settlements", s(1), async { panic!("of a port") }).await, None::<()>);
        assert!(!shutdown.drain("attempts", async { panic!("of a handler") }).await);
        assert_eq!(shutdown.phase("audit", s(1), async { 7 }).await, Some(7));
        let report = shutdown.finish(no_loops().await);
        assert!(report.to_string().contains("phase attempts panicked after 0ns"), "{report}");
        assert!(!report.is_clean() && report.to_string().contains("phase settlements panicked after 0ns"), "{report}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_cannot_be_written_takes_no_phase_from_a_shutdown() {
        let _log = unwritable();
        let s = Duration::from_secs;
        let mut shutdown = Shutdown::within(s(10));
        assert_eq!(shutdown.phase("claims", s(1), async { 7 }).await, Some(7));
        assert_eq!(shutdown.phase("settlements", s(1), async { panic!("of a port") }).await, None::<()>);
        assert_eq!(shutdown.phase("audit", s(1), async { 8 }).await, Some(8));
        let report = shutdown.finish(no_loops().await);
        let ends: Vec<PhaseEnd> = report.phases.iter().map(|phase| phase.end).collect();
        assert_eq!(ends, [PhaseEnd::Completed, PhaseEnd::Panicked, PhaseEnd::Completed]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_that_reaches_the_deadline_is_no_fault() {
        let mut shutdown = Shutdown::within(Duration::from_secs(3));
        assert!(shutdown.drain("empty", async {}).await);
        assert!(!shutdown.drain("attempts", std::future::pending()).await);
        let report = shutdown.finish(no_loops().await);
        assert_eq!((report.phases[1].end, report.took), (PhaseEnd::Deadline, Duration::from_secs(3)));
        assert!(report.is_clean() && report.within_deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_that_takes_longer_than_its_limit_and_what_it_promised_says_so() {
        let s = Duration::from_secs;
        for (over, within) in [(Duration::ZERO, true), (Duration::from_millis(1), false)] {
            let mut shutdown = Shutdown::within(s(3));
            assert!(shutdown.phase("promised", s(1), async {}).await.is_some());
            tokio::time::advance(s(4) + over).await;
            assert_eq!(shutdown.finish(no_loops().await).within_deadline, within);
        }
    }
}
