//! Where an order goes if several accounts may take it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::model::AccountId;
use crate::ports::StoreError;
use crate::provisioning::{Context, is_closed};
use crate::resilience::cached::{Ages, CachedSource, Source};
use crate::telemetry;

/// Says in which order the accounts of a product are tried by an order that names none itself.
///
/// It is decided once, when the order is accepted; an order that names accounts is placed as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Placement {
    /// As the builder lists them.
    #[default]
    Named,
    /// The account with the fewest recorded servers first; of equals the one that the builder lists first. Those whose gate is
    /// closed to this process come last, however few they have.
    ///
    /// Counts and gates are some seconds old: loads come out even, not equal. An order is recorded in an account once a create is
    /// announced there; before that only the process that accepted it counts it, until it reads the counts anew.
    LeastLoaded,
}

/// Orders accounts.
#[derive(Debug)]
pub(super) struct Placer {
    placement: Placement,
    loads: CachedSource<RecordedLoads>,
    accepted: Mutex<Accepted>,
}

/// Is what speaks against an account.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Load {
    /// Whether its gate is closed: what is placed there waits, and is recorded nowhere meanwhile, so that the account stays the one
    /// with the fewest servers.
    is_closed: bool,
    servers: u64,
}

type Loads = BTreeMap<AccountId, Load>;

/// Is what this process placed since the counts were read.
#[derive(Debug, Default)]
struct Accepted {
    since: Option<Arc<Loads>>,
    more: BTreeMap<AccountId, u64>,
}

/// Counts the servers that are recorded in each account and not gone, and looks at its gate.
#[derive(Debug)]
struct RecordedLoads {
    context: Context,
    accounts: Arc<Vec<AccountId>>,
}

#[async_trait]
impl Source for RecordedLoads {
    type Value = Loads;
    type Error = StoreError;

    fn name(&self) -> String {
        "account_loads".to_owned()
    }

    async fn load(&self) -> Result<Loads, StoreError> {
        let mut loads = Loads::new();
        for account in self.accounts.iter() {
            let recorded = self.context.store.references(account).await?.len();
            let servers = u64::try_from(recorded).unwrap_or(u64::MAX);
            loads.insert(account.clone(), Load { is_closed: self.is_closed(account).await?, servers });
        }
        Ok(loads)
    }
}

impl RecordedLoads {
    async fn is_closed(&self, account: &AccountId) -> Result<bool, StoreError> {
        match self.context.store.account(account).await {
            Ok(known) => Ok(is_closed(&self.context, &known)),
            // One that cannot be read is closed to all, and puts no order of the others off.
            Err(StoreError::Corrupt { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

impl Placer {
    pub(super) fn new(placement: Placement, context: &Context, accounts: &Arc<Vec<AccountId>>) -> Self {
        let source = RecordedLoads { context: context.clone(), accounts: accounts.clone() };
        Self { placement, loads: CachedSource::new(source, Ages::COUNTS), accepted: Mutex::default() }
    }

    /// Returns the accounts in the order in which a new order shall try them.
    pub(super) async fn order(&self, accounts: &[AccountId]) -> Vec<AccountId> {
        let mut ordered = accounts.to_vec();
        if self.placement == Placement::Named || accounts.len() < 2 {
            return ordered;
        }
        let loads = match self.loads.get().await {
            Ok(loads) => loads.value,
            Err(error) => {
                // A preference, not a promise: the commit of the order says whether the store works.
                telemetry::tell(|| {
                    tracing::warn!({ telemetry::ERROR } = %telemetry::causes(&error), "accounts are placed as they are listed");
                });
                return ordered;
            }
        };
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if !accepted.since.as_ref().is_some_and(|since| Arc::ptr_eq(since, &loads)) {
            *accepted = Accepted { since: Some(loads.clone()), more: BTreeMap::new() };
        }
        ordered.sort_by_key(|account| {
            let load = loads.get(account).copied().unwrap_or_default();
            let more = accepted.more.get(account).copied().unwrap_or(0);
            (load.is_closed, load.servers.saturating_add(more))
        });
        if let Some(first) = ordered.first() {
            *accepted.more.entry(first.clone()).or_default() += 1;
        }
        ordered
    }

    pub(super) async fn close(&self) {
        self.loads.close().await;
    }
}
