//! How each part of a process fares, and whether it should get work.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

/// Says how a part fares; the worst of all parts is the process's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HealthStatus {
    /// It works.
    Ok,
    /// It works, but somebody should look.
    Degraded,
    /// It does not work.
    Down,
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        })
    }
}

/// Says how one part fares.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartHealth {
    /// Which part.
    pub name: String,
    /// How it fares.
    pub status: HealthStatus,
    /// What somebody who looks should know; no data of a tenant.
    pub detail: Option<String>,
}

impl PartHealth {
    /// Says how a part fares.
    #[must_use]
    pub fn new(name: impl Into<String>, status: HealthStatus, detail: Option<String>) -> Self {
        Self { name: name.into(), status, detail }
    }
}

/// Answers for some parts of the process.
#[async_trait]
pub trait HealthSource: fmt::Debug + Send + Sync + 'static {
    /// Names the source, should it not answer in time.
    fn name(&self) -> &str;

    /// Says how its parts fare.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time: a source that takes longer than a second is reported as down.
    async fn parts(&self) -> Vec<PartHealth>;
}

/// Asks all sources, and knows whether the process still wants work.
#[derive(Debug, Default)]
pub struct Health {
    draining: AtomicBool,
    sources: Mutex<Vec<Arc<dyn HealthSource>>>,
}

/// How long a source may take to answer; a probe of an orchestrator waits about as long.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

impl Health {
    /// Makes a health without sources, ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a source.
    pub fn watch(&self, source: Arc<dyn HealthSource>) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// Makes the process not ready, for good: the first step of a shutdown.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Says whether the process was told to be not ready.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Asks all sources at once.
    pub async fn report(&self) -> HealthReport {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.ask(&sources).await
    }

    /// Asks the sources with these names at once.
    pub async fn report_of(&self, names: &[&str]) -> HealthReport {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sources.retain(|source| names.contains(&source.name()));
        self.ask(&sources).await
    }

    async fn ask(&self, sources: &[Arc<dyn HealthSource>]) -> HealthReport {
        let asked = sources.iter().map(|source| async {
            let silent = || vec![PartHealth::new(source.name(), HealthStatus::Down, Some("no answer".to_owned()))];
            tokio::time::timeout(ANSWER_LIMIT, source.parts()).await.unwrap_or_else(|_| silent())
        });
        let parts = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
        HealthReport { draining: self.is_draining(), parts }
    }
}

/// Says how all parts fare.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthReport {
    /// Whether the process is shutting down.
    pub draining: bool,
    /// All parts, in the order in which their sources were added.
    pub parts: Vec<PartHealth>,
}

impl HealthReport {
    /// Says whether the process should get work: it is not shutting down and nothing is down.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.draining && self.status() < HealthStatus::Down
    }

    /// Returns the worst status of all parts.
    #[must_use]
    pub fn status(&self) -> HealthStatus {
        self.parts.iter().map(|part| part.status).max().unwrap_or(HealthStatus::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(Option<HealthStatus>);

    #[async_trait]
    impl HealthSource for Fixed {
        fn name(&self) -> &'static str {
            "fixed"
        }

        async fn parts(&self) -> Vec<PartHealth> {
            match self.0 {
                Some(status) => vec![PartHealth::new("part", status, None)],
                None => std::future::pending().await,
            }
        }
    }

    async fn report_of(sources: &[Option<HealthStatus>]) -> HealthReport {
        let health = Health::new();
        sources.iter().for_each(|status| health.watch(Arc::new(Fixed(*status))));
        health.report().await
    }

    #[tokio::test(start_paused = true)]
    async fn the_worst_part_decides_and_only_down_is_not_ready() {
        use HealthStatus::{Degraded, Down, Ok};
        let cases = [
            (vec![], Ok, true),
            (vec![Some(Ok), Some(Degraded)], Degraded, true),
            (vec![Some(Degraded), Some(Down), Some(Ok)], Down, false),
        ];
        for (sources, status, is_ready) in cases {
            let report = report_of(&sources).await;
            assert_eq!((report.status(), report.is_ready()), (status, is_ready));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_does_not_answer_is_down_and_hides_no_other() {
        let report = report_of(&[None, Some(HealthStatus::Ok)]).await;
        assert_eq!(report.parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["fixed", "part"]);
        assert_eq!(report.status(), HealthStatus::Down);
    }

    #[tokio::test(start_paused = true)]
    async fn a_draining_process_is_not_ready_though_all_is_well() {
        let health = Health::new();
        health.drain();
        let report = health.report().await;
        assert!(!report.is_ready() && report.status() == HealthStatus::Ok);
    }
}
