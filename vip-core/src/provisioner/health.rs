//! What health asks: the store, the queue, and the accounts at the provider.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::round_ends::{RoundEnds, RoundFault};
use crate::model::{AccountId, Gate, JobState, PageLimit, PageRequest, SightingClass};
use crate::ports::{Connections, Durability, JobQueue, PoolFigures, QueueError, QueueStats, StoreError, StoreStats};
use crate::provisioning::Context;
use crate::runtime::{HealthSource, HealthStatus, PartHealth};
use crate::telemetry::causes;

/// How long a removal may last until somebody has to look: longer than an action that holds a server, and than most outages. The server is
/// paid for meanwhile, and nothing else tells of a delete that the provider refuses, or accepts and never ends.
const REMOVAL_LASTS_MOST: Duration = Duration::from_secs(6 * 3600);

/// Asks the store: reachable, and whether it keeps changes. One that only reads is degraded: what callers ask for is answered, and
/// there is no better process to send them to.
#[derive(Debug)]
pub(super) struct StoreHealth(pub(super) Context);

#[async_trait]
impl HealthSource for StoreHealth {
    fn name(&self) -> &str {
        "store"
    }

    async fn parts(&self) -> Vec<PartHealth> {
        let store = &self.0.store;
        let part = match store.now().await {
            Ok(_) => of_store(store.durability(), store.writable().await),
            Err(error) => PartHealth::new("store", HealthStatus::Down, Some(causes(&error).to_string())),
        };
        vec![part]
    }
}

/// Asks the store what waits in it for somebody. A source of its own: counts that take long make no process unready.
#[derive(Debug)]
pub(super) struct RecordsHealth {
    pub(super) context: Context,
    /// Whether this process works: one that only accepts asks no provider.
    pub(super) works: bool,
}

#[async_trait]
impl HealthSource for RecordsHealth {
    fn name(&self) -> &str {
        "records"
    }

    async fn parts(&self) -> Vec<PartHealth> {
        let stats = match self.context.store.stats().await {
            Ok(stats) => stats,
            Err(error) => return vec![PartHealth::new("records", HealthStatus::Degraded, Some(error.to_string()))],
        };
        let unserved =
            stats.accounts.iter().filter(|account| self.works && !self.context.providers.contains_key(*account));
        std::iter::once(of_records(&stats)).chain(unserved.map(without_client)).collect()
    }
}

fn of_records(stats: &StoreStats) -> PartHealth {
    let sighted = |class| stats.sightings.get(&class).copied().unwrap_or(0);
    let waiting = sighted(SightingClass::Surplus) + sighted(SightingClass::Resurfaced);
    let unrecorded = sighted(SightingClass::Unrecorded);
    let mut detail = format!(
        "{} parked, {unrecorded} unrecorded, {waiting} looks or removals waiting, {} audit records unsealed",
        stats.parked, stats.unsealed
    );
    let lasts_long = stats.oldest_removal.filter(|age| *age > REMOVAL_LASTS_MOST);
    if let Some(age) = lasts_long {
        detail = format!("{detail}; a removal is not done after {} s", age.as_secs());
    }
    let troubled = unrecorded + waiting > 0 || lasts_long.is_some();
    let status = if troubled { HealthStatus::Degraded } else { HealthStatus::Ok };
    PartHealth::new("records", status, Some(detail))
}

/// Says that servers and orders of an account wait, and are not swept, because nobody here can ask for them.
fn without_client(account: &AccountId) -> PartHealth {
    let detail = "servers are recorded in it, or orders go to it next, and this process has no client of it".to_owned();
    PartHealth::new(format!("account:{account}"), HealthStatus::Degraded, Some(detail))
}

/// Shows how busy the connections are; asks nobody.
#[derive(Debug)]
pub(super) struct PoolHealth(pub(super) Arc<dyn Connections>);

#[async_trait]
impl HealthSource for PoolHealth {
    fn name(&self) -> &str {
        "pools"
    }

    async fn parts(&self) -> Vec<PartHealth> {
        self.0.figures().iter().map(of_pool).collect()
    }
}

fn of_pool(figures: &PoolFigures) -> PartHealth {
    let detail = format!(
        "{} of {} open, {} idle, {} wait, {} got none in time, longest wait {} ms",
        figures.open,
        figures.most,
        figures.idle,
        figures.waiting,
        figures.timed_out,
        figures.longest_wait.as_millis()
    );
    let status = if figures.is_exhausted() { HealthStatus::Degraded } else { HealthStatus::Ok };
    PartHealth::new(format!("pool:{}", figures.purpose), status, Some(detail))
}

/// Asks the queue: reachable, how much waits, and for how long.
#[derive(Debug)]
pub(super) struct QueueHealth(pub(super) Context);

#[async_trait]
impl HealthSource for QueueHealth {
    fn name(&self) -> &str {
        "queue"
    }

    async fn parts(&self) -> Vec<PartHealth> {
        let queue = &self.0.queue;
        let part = match queue.stats(&[]).await {
            Ok(stats) => {
                let oldest = stats.oldest_due.map_or(0, |age| age.as_secs());
                let detail = format!(
                    "{} due (oldest {oldest} s), {} later, {} leased, {} dead",
                    stats.due, stats.later, stats.leased, stats.dead
                );
                let late = stats.oldest_due.is_some_and(|age| age > self.0.timing.stall_after);
                let (is_sound, detail) = kept(queue.durability(), self.0.outbox.is_some(), detail);
                let is_well = is_sound && !late && stats.dead == 0;
                let status = if is_well { HealthStatus::Ok } else { HealthStatus::Degraded };
                PartHealth::new("queue", status, Some(detail))
            }
            Err(error) => PartHealth::new("queue", HealthStatus::Down, Some(error.to_string())),
        };
        vec![part]
    }
}

/// Adds what a queue apart from the store may lose; says whether that is as it should be. A queue in the store's own
/// database is as durable as the store, which speaks for itself.
fn kept(durability: Durability, is_apart: bool, detail: String) -> (bool, String) {
    match durability {
        Durability::BoundedLoss { because } if is_apart => (true, format!("{detail}; may lose jobs: {because}")),
        Durability::Volatile if is_apart => {
            (false, format!("{detail}; its settings lose jobs at any time, the sweep wakes what was lost"))
        }
        Durability::Durable | Durability::BoundedLoss { .. } | Durability::Volatile => (true, detail),
    }
}

/// Asks the store for committed jobs that are still to be relayed to a queue elsewhere.
#[derive(Debug)]
pub(super) struct RelayHealth {
    pub(super) outbox: Arc<dyn JobQueue>,
    pub(super) stall_after: Duration,
    pub(super) ends: Arc<RoundEnds>,
}

impl RelayHealth {
    /// Looks at the queue, and how many jobs of its first page were refused elsewhere: nobody else puts a job of the relay off.
    async fn look(&self) -> Result<(QueueStats, usize), QueueError> {
        let stats = self.outbox.stats(&[]).await?;
        let page = self.outbox.list(JobState::Waiting, &PageRequest::first(PageLimit::most())).await?;
        Ok((stats, page.items.iter().filter(|job| job.counts.snoozes > 0).count()))
    }
}

#[async_trait]
impl HealthSource for RelayHealth {
    fn name(&self) -> &str {
        "relay"
    }

    async fn parts(&self) -> Vec<PartHealth> {
        let part = match self.look().await {
            Ok((stats, refused)) => {
                let oldest = stats.oldest_due.unwrap_or_default();
                // What a round gives back is due from then on: of the oldest of jobs that nobody takes the age stays small.
                let fault = self.ends.fault();
                let is_late = oldest > self.stall_after || stats.dead > 0 || refused > 0 || fault.is_some();
                let told = fault.map(|it| format!("; rounds have failed for {} s: {}", it.lasts.as_secs(), it.cause));
                let detail = format!(
                    "{} committed jobs to relay (oldest {} s), {refused} put off, {} not taken elsewhere (dead){}",
                    stats.due,
                    oldest.as_secs(),
                    stats.dead,
                    told.unwrap_or_default()
                );
                let status = if is_late { HealthStatus::Degraded } else { HealthStatus::Ok };
                PartHealth::new("relay", status, Some(detail))
            }
            Err(error) => PartHealth::new("relay", HealthStatus::Down, Some(error.to_string())),
        };
        vec![part]
    }
}

/// Tells of trimming that fails for long: what should be forgotten is kept, and what was ordered with it. Else it says nothing.
#[derive(Debug)]
pub(super) struct TrimHealth(pub(super) Arc<RoundEnds>);

#[async_trait]
impl HealthSource for TrimHealth {
    fn name(&self) -> &str {
        "trim"
    }

    async fn parts(&self) -> Vec<PartHealth> {
        let of = |fault: RoundFault| {
            let lasts = fault.lasts.as_secs();
            let detail =
                format!("what has outlived its retention is kept: rounds have failed for {lasts} s: {}", fault.cause);
            PartHealth::new("trim", HealthStatus::Degraded, Some(detail))
        };
        self.0.fault().map(of).into_iter().collect()
    }
}

/// Shows the gates of this process's tokens; makes no request.
#[derive(Debug)]
pub(super) struct AccountHealth(pub(super) Context);

#[async_trait]
impl HealthSource for AccountHealth {
    fn name(&self) -> &str {
        "accounts"
    }

    async fn parts(&self) -> Vec<PartHealth> {
        let mut parts = Vec::new();
        for (id, client) in self.0.providers.iter() {
            let name = format!("account:{id}");
            let (status, detail) = match self.0.store.account(id).await {
                Ok(account) => match account.gate(&client.token_digest()).map(|entry| &entry.gate) {
                    Some(Gate::Open) => (HealthStatus::Ok, None),
                    Some(Gate::Blocked { .. }) => {
                        (HealthStatus::Degraded, Some("the provider refuses the token".to_owned()))
                    }
                    Some(Gate::Suspect { why }) => (HealthStatus::Degraded, Some(format!("suspect: {why}"))),
                    None => (HealthStatus::Degraded, Some("the token is not checked yet".to_owned())),
                },
                Err(error @ StoreError::Corrupt { .. }) => {
                    let detail = format!("what is kept of it cannot be read, and its orders wait: {}", causes(&error));
                    (HealthStatus::Degraded, Some(detail))
                }
                Err(error) => (HealthStatus::Degraded, Some(error.to_string())),
            };
            parts.push(PartHealth::new(name, status, detail));
        }
        parts
    }
}

fn of_store(kept: Durability, writable: Result<(), StoreError>) -> PartHealth {
    match writable {
        Ok(()) => durability("store", kept),
        Err(error) => PartHealth::new("store", HealthStatus::Degraded, Some(format!("only reads: {}", causes(&error)))),
    }
}

fn durability(name: &str, durability: Durability) -> PartHealth {
    match durability {
        Durability::Durable => PartHealth::new(name, HealthStatus::Ok, None),
        Durability::BoundedLoss { because } => {
            PartHealth::new(name, HealthStatus::Degraded, Some(format!("may lose the last moments: {because}")))
        }
        Durability::Volatile => {
            PartHealth::new(name, HealthStatus::Degraded, Some("everything is lost with the process".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_keeps_no_changes_is_degraded_and_says_why() {
        assert_eq!(of_store(Durability::Durable, Ok(())).status, HealthStatus::Ok);
        let part = of_store(Durability::Durable, Err(StoreError::Unavailable { source: "disk full".into() }));
        assert_eq!((part.name.as_str(), part.status), ("store", HealthStatus::Degraded));
        assert!(part.detail.is_some_and(|detail| detail.contains("only reads") && detail.contains("disk full")));
    }

    #[test]
    fn records_are_degraded_and_say_so_once_a_removal_lasts_longer_than_it_may() {
        let of = |age| of_records(&StoreStats { oldest_removal: age, ..StoreStats::default() });
        for age in [None, Some(Duration::ZERO), Some(REMOVAL_LASTS_MOST)] {
            let part = of(age);
            assert_eq!((part.name.as_str(), part.status), ("records", HealthStatus::Ok), "{age:?}");
            assert!(part.detail.is_some_and(|detail| !detail.contains("not done")), "{age:?}");
        }
        let part = of(Some(REMOVAL_LASTS_MOST + Duration::from_micros(1)));
        assert_eq!(part.status, HealthStatus::Degraded);
        assert!(part.detail.is_some_and(|detail| detail.ends_with("; a removal is not done after 21600 s")));
    }

    #[test]
    fn a_pool_is_degraded_while_callers_wait_because_all_its_connections_are_busy() {
        let mut figures = PoolFigures { purpose: "claims", most: 2, open: 2, ..PoolFigures::default() };
        assert_eq!(of_pool(&figures).status, HealthStatus::Ok, "busy, and nobody waits");
        figures.waiting = 1;
        let part = of_pool(&figures);
        assert_eq!((part.name.as_str(), part.status), ("pool:claims", HealthStatus::Degraded));
        figures.open = 1;
        assert_eq!(of_pool(&figures).status, HealthStatus::Ok, "one more is being opened");
    }
}
