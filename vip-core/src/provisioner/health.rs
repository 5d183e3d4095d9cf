//! What health asks: the store, the queue, and the accounts at the provider.

use async_trait::async_trait;

use crate::model::{Gate, SightingClass};
use crate::ports::Durability;
use crate::provisioning::Context;
use crate::runtime::{HealthSource, HealthStatus, PartHealth};

/// Asks the store: reachable, and what waits in it for somebody.
#[derive(Debug)]
pub(super) struct StoreHealth(pub(super) Context);

#[async_trait]
impl HealthSource for StoreHealth {
    fn name(&self) -> &str {
        "store"
    }

    async fn parts(&self) -> Vec<PartHealth> {
        let store = &self.0.store;
        let mut parts = vec![match store.now().await {
            Ok(_) => durability("store", store.durability()),
            Err(error) => PartHealth::new("store", HealthStatus::Down, Some(error.to_string())),
        }];
        let stats = match store.stats().await {
            Ok(stats) => stats,
            Err(error) => {
                parts.push(PartHealth::new("records", HealthStatus::Degraded, Some(error.to_string())));
                return parts;
            }
        };
        let sighted = |class| stats.sightings.get(&class).copied().unwrap_or(0);
        let waiting = sighted(SightingClass::Surplus) + sighted(SightingClass::Resurfaced);
        let unrecorded = sighted(SightingClass::Unrecorded);
        let detail = format!(
            "{} parked, {unrecorded} unrecorded, {waiting} removals waiting, {} audit records unsealed",
            stats.parked, stats.unsealed
        );
        let troubled = unrecorded + waiting > 0;
        let status = if troubled { HealthStatus::Degraded } else { HealthStatus::Ok };
        parts.push(PartHealth::new("records", status, Some(detail)));
        parts
    }
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
                let status = if late || stats.dead > 0 { HealthStatus::Degraded } else { HealthStatus::Ok };
                PartHealth::new("queue", status, Some(detail))
            }
            Err(error) => PartHealth::new("queue", HealthStatus::Down, Some(error.to_string())),
        };
        vec![part]
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
                Err(error) => (HealthStatus::Degraded, Some(error.to_string())),
            };
            parts.push(PartHealth::new(name, status, detail));
        }
        parts
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
