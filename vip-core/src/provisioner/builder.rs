//! Builds the product: a backend, providers, settings, and then either workers or a client alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::catalogs::Catalogs;
use super::health::{AccountHealth, PoolHealth, QueueHealth, RecordsHealth, RelayHealth, StoreHealth};
use super::placement::{Placement, Placer};
use super::provider_health::ProviderHealth;
use super::relay::Relay;
use super::round_ends::RoundEnds;
use super::sinks::Audit;
use super::{Inner, Provisioner, Shared, loops, relay};
use crate::model::{AccountId, JobId, NameError, Timing, TimingError};
use crate::ports::{
    AuditSink, Backend, Cache, Clock, ENQUEUE_MOST, ProviderClient, QueueError, Randomness, SinkName, StoreError,
    SystemClock, SystemRandomness,
};
use crate::provisioning::converge::Converge;
use crate::provisioning::sweep::{Sweep, SweepEnds, SweepMode};
use crate::provisioning::{Context, kinds};
use crate::resilience::cached::Ages;
use crate::resilience::{self, Around, SettingsError, Stack};
use crate::runtime::{Health, Supervisor};
use crate::telemetry;
use crate::worker::{JobHandler, Worker, WorkerBuilder, WorkerConfig, WorkerError};

/// How long the start waits for the first checks of tokens; afterwards a loop goes on with them.
const FIRST_CHECKS: Duration = Duration::from_secs(5);
/// Failed reads in a row before somebody who waits for an operation is told.
const WAIT_FAILURES: u32 = 30;

/// Says why the product could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The timings do not fit together.
    #[error(transparent)]
    Timing(#[from] TimingError),
    /// Workers need a provider; [`Builder::client_only`] does not.
    #[error("no provider was given: workers need one, a client alone does not")]
    NoProvider,
    /// [`Builder::client_only`] was given a handler or an audit sink, which workers run and feed.
    #[error("a handler or an audit sink was given: workers use them, a client alone does not")]
    NoWorkers,
    /// Two audit sinks have one name, and the store remembers by name how far it has delivered.
    #[error("two audit sinks are named {name}")]
    SinkTwice {
        /// The name.
        name: String,
    },
    /// The worker's settings or handlers do not fit together.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The queue cannot be used.
    #[error("the queue cannot be used")]
    Queue(#[from] QueueError),
    /// A setting of what stands around the providers is out of its bounds.
    #[error(transparent)]
    Resilience(#[from] SettingsError),
    /// A name of our own is not valid; a bug.
    #[error("a name is not valid")]
    Name(#[from] NameError),
}

/// Collects what the product is made of.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    backend: Backend,
    providers: BTreeMap<AccountId, Arc<dyn ProviderClient>>,
    accounts: Vec<AccountId>,
    timing: Timing,
    quota: Option<u32>,
    image_ids: BTreeSet<String>,
    config: WorkerConfig,
    worker: WorkerBuilder,
    sinks: Vec<Arc<dyn AuditSink>>,
    sweep: SweepMode,
    resilience: Option<resilience::Settings>,
    placement: Placement,
    cache: Option<Arc<dyn Cache>>,
    catalog_ages: Ages,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
}

impl Builder {
    pub(super) fn new(backend: Backend) -> Self {
        Self {
            worker: Worker::builder().queue(backend.queue.clone()),
            backend,
            providers: BTreeMap::new(),
            accounts: Vec::new(),
            timing: Timing::default(),
            quota: None,
            image_ids: BTreeSet::new(),
            config: WorkerConfig::default(),
            sinks: Vec::new(),
            sweep: SweepMode::default(),
            resilience: None,
            placement: Placement::default(),
            cache: None,
            catalog_ages: Ages::CATALOG,
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
        }
    }

    /// Sets the client of the account `default`.
    pub fn provider(self, client: impl ProviderClient) -> Self {
        self.account(AccountId::default_account(), client)
    }

    /// Adds an account and its client; orders prefer accounts in the order in which they were added.
    pub fn account(mut self, id: AccountId, client: impl ProviderClient) -> Self {
        if !self.accounts.contains(&id) {
            self.accounts.push(id.clone());
        }
        self.providers.insert(id, Arc::new(client));
        self
    }

    /// Adds an account of which other processes have the client: orders go there as well, and this process asks it nothing.
    ///
    /// For a product that only accepts and has no token.
    pub fn account_elsewhere(mut self, id: AccountId) -> Self {
        if !self.accounts.contains(&id) {
            self.accounts.push(id);
        }
        self
    }

    /// Sets durations and bounds; an unsound set is refused at the start.
    ///
    /// Give all processes of an installation the same, above all those with workers: each goes by its own, any of them may be the next to
    /// act, and none sees another's. Of `key_retention` and `record_retention` the shortest counts, and a repeat of an order after the first
    /// of them buys a second server. One process with a shorter `landing_allowance` ends an order whose create may still land.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Bounds the servers of each tenant; without it there is no bound.
    pub const fn quota(mut self, servers: u32) -> Self {
        self.quota = Some(servers);
        self
    }

    /// Sets the ids of images that every tenant may order, such as a golden snapshot; without it images are ordered by
    /// their names alone. White space around an id is none of it.
    ///
    /// A snapshot or a backup has an id and no name, and may be the disk of one tenant: whoever orders it gets a copy.
    pub fn image_ids(mut self, ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.image_ids = ids.into_iter().map(|id| id.into().trim().to_owned()).collect();
        self
    }

    /// Sets how this process's worker works: how much at once, how often it asks. Without workers it has no effect.
    pub const fn worker(mut self, config: WorkerConfig) -> Self {
        self.config = config;
        self
    }

    /// Adds a handler for a job kind of the host's own, to a process with workers.
    pub fn handler(mut self, handler: impl JobHandler) -> Self {
        self.worker = self.worker.handler(handler);
        self
    }

    /// Adds a sink that sealed audit records are delivered to, by a process with workers.
    pub fn audit_sink(mut self, sink: impl AuditSink) -> Self {
        self.sinks.push(Arc::new(sink));
        self
    }

    /// Sets what the sweeps that this process makes may lead to. Any process with workers may make the next one: where
    /// nothing is to be removed, say [`SweepMode::Report`] in all of them.
    pub const fn sweep(mut self, mode: SweepMode) -> Self {
        self.sweep = mode;
        self
    }

    /// Sets what stands around each provider: breaker, budget, repeats; see [`resilience`]. Without it the times of the
    /// breaker follow the timings.
    pub fn resilience(mut self, settings: resilience::Settings) -> Self {
        self.resilience = Some(settings);
        self
    }

    /// Sets in which order the accounts are tried by orders that name none.
    pub const fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Sets a cache that processes share, for catalogs; without it each process asks the provider for itself.
    pub fn cache(mut self, cache: impl Cache) -> Self {
        self.cache = Some(Arc::new(cache));
        self
    }

    /// Sets how old a catalog may be: from 10 minutes on it is loaded anew, from 24 hours on not shown, by default.
    pub const fn catalog_ages(mut self, ages: Ages) -> Self {
        self.catalog_ages = ages;
        self
    }

    /// Sets the clock that ids are made with; store and queue have their own. A process with workers forgets nothing while the store's is
    /// more than an hour away from it.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the source of ids and jitter.
    pub fn randomness(mut self, randomness: impl Randomness) -> Self {
        self.randomness = Arc::new(randomness);
        self
    }

    /// Starts a product that accepts and follows orders, and leaves the work to other processes.
    ///
    /// It decides account, quota and image of an order, so it gets the settings of the workers. It needs no client: with no
    /// account named, its orders go to the account `default`, that of workers with [`provider`](Self::provider). Where workers
    /// have others, name these ([`account_elsewhere`](Self::account_elsewhere)): an order in an account that no worker has
    /// is accepted and waits.
    ///
    /// What only workers use is left aside ([`worker`](Self::worker), [`sweep`](Self::sweep)), or refused where somebody would
    /// miss it ([`handler`](Self::handler), [`audit_sink`](Self::audit_sink)): give these to the processes that work.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what is missing or wrong.
    pub async fn client_only(self) -> Result<Provisioner, StartError> {
        if self.worker.has_handler() || !self.sinks.is_empty() {
            return Err(StartError::NoWorkers);
        }
        let (context, shared) = self.shared().await?;
        let supervisor = Supervisor::new(self.randomness.clone());
        let health = watch(&shared, RecordsHealth { context, works: false });
        health.watch(shared.catalogs.clone());
        Ok(Provisioner { inner: Arc::new(Inner { shared, supervisor, health, running: None }) })
    }

    /// Starts a product that accepts, follows and fulfils orders.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what is missing or wrong.
    pub async fn start(self) -> Result<Provisioner, StartError> {
        if self.providers.is_empty() {
            return Err(StartError::NoProvider);
        }
        let names: Vec<SinkName> = self.sinks.iter().map(|sink| sink.name()).collect();
        if let Some(twice) =
            names.iter().enumerate().find(|(place, name)| names.iter().take(*place).any(|n| n == *name))
        {
            return Err(StartError::SinkTwice { name: twice.1.as_str().to_owned() });
        }
        let (context, shared) = self.shared().await?;
        let sweep = Sweep::new(context.clone(), self.sweep)?;
        let sweep = sweep.with_prices(shared.catalogs.clone()).with_ends(shared.sweeps.clone());
        let worker = self
            .worker
            .handler(Converge::new(context.clone())?)
            .handler(sweep)
            .randomness(self.randomness.clone())
            .config(self.config)
            .timing(self.timing.clone())
            .build()?;
        first_checks(&context).await?;
        schedule_sweeps(&context).await?;

        let supervisor = Supervisor::new(self.randomness.clone());
        let health = watch(&shared, RecordsHealth { context: context.clone(), works: true });
        let relay = context.outbox.as_ref().map(|outbox| {
            let stall_after = context.timing.stall_after;
            let ends = Arc::new(RoundEnds::new(stall_after));
            health.watch(Arc::new(RelayHealth { outbox: outbox.clone(), stall_after, ends: ends.clone() }));
            relay::start(&supervisor, &context, Relay { outbox: outbox.clone(), kinds: worker.kinds(), ends })
        });
        let gates = loops::gates(&supervisor, &context);
        let trim = loops::trim(&supervisor, &context, &health);
        let sweeps = loops::sweeps(&supervisor, &context);
        let audit = Audit::start(&supervisor, &context, self.sinks);
        let worker = Arc::new(worker.start(&supervisor));
        health.watch(worker.clone());
        let early = [gates, trim, sweeps].into_iter().chain(relay).collect();
        let running = super::Running { worker, early, audit };
        Ok(Provisioner { inner: Arc::new(Inner { shared, supervisor, health, running: Some(running) }) })
    }

    async fn shared(&self) -> Result<(Context, Shared), StartError> {
        self.timing.check()?;
        let accounts =
            if self.accounts.is_empty() { vec![AccountId::default_account()] } else { self.accounts.clone() };
        let installation = self.backend.store.installation().await?;
        let settings = self.resilience.clone().unwrap_or_else(|| resilience::Settings::for_timing(&self.timing));
        let around = Around { settings: &settings, timing: &self.timing, randomness: &self.randomness };
        let mut stacks = BTreeMap::new();
        for (id, client) in &self.providers {
            stacks.insert(id.clone(), Stack::new(id.clone(), client.clone(), installation, &around)?);
        }
        let context = Context {
            store: self.backend.store.clone(),
            queue: self.backend.queue.clone(),
            outbox: self.backend.outbox.clone(),
            providers: Arc::new(stacks.iter().map(|(id, stack)| (id.clone(), stack.client.clone())).collect()),
            clock: self.clock.clone(),
            randomness: self.randomness.clone(),
            timing: Arc::new(self.timing.clone()),
            installation,
        };
        let accounts = Arc::new(accounts);
        let shared = Shared {
            context: context.clone(),
            catalogs: Arc::new(Catalogs::new(&context, self.catalog_ages, self.cache.as_ref())?),
            sweeps: Arc::new(SweepEnds::new(&self.timing)),
            placer: Arc::new(Placer::new(self.placement, &context, &accounts)),
            accounts,
            stacks: Arc::new(stacks),
            connections: self.backend.connections.clone(),
            quota: self.quota,
            image_ids: Arc::new(self.image_ids.clone()),
            wait_failures: WAIT_FAILURES,
            closing: Arc::new(AtomicBool::new(false)),
        };
        Ok((context, shared))
    }
}

/// Checks all tokens before the first job is claimed; a provider that does not answer, or a client that panics, does not hold up the
/// start.
async fn first_checks(context: &Context) -> Result<(), StartError> {
    let checks = async {
        for account in context.providers.keys() {
            match loops::check_token(context, account).await {
                Ok(_) => {}
                // It stays closed until somebody has put that right, and the others work.
                Err(error @ StoreError::Corrupt { .. }) => {
                    let error = telemetry::causes(&error);
                    telemetry::tell(|| tracing::error!(account.id = %account, %error, "an account cannot be checked"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    tokio::time::timeout(FIRST_CHECKS, checks).await.unwrap_or(Ok(())).map_err(StartError::Store)
}

/// Sees to it that each account has its sweep; a job that is there already stays as it is.
async fn schedule_sweeps(context: &Context) -> Result<(), StartError> {
    let mut jobs = Vec::new();
    for account in context.providers.keys() {
        let id = JobId::from_uuid(context.randomness.uuid_at(context.clock.now()));
        jobs.push(kinds::sweep_job(id, account)?);
    }
    for batch in jobs.chunks(ENQUEUE_MOST) {
        context.queue.enqueue(batch).await?;
    }
    Ok(())
}

/// Watches what every process has; only one that works looks at gates. Breakers are everybody's: one that an operator holds keeps
/// catalogs back where nobody works, too.
fn watch(shared: &Shared, records: RecordsHealth) -> Health {
    let (context, works, health) = (&shared.context, records.works, Health::new());
    health.watch(Arc::new(StoreHealth(context.clone())));
    health.watch(Arc::new(records));
    health.watch(Arc::new(QueueHealth(context.clone())));
    if let Some(connections) = &shared.connections {
        health.watch(Arc::new(PoolHealth(connections.clone())));
    }
    if works {
        health.watch(Arc::new(AccountHealth(context.clone())));
    }
    health.watch(Arc::new(ProviderHealth { stacks: shared.stacks.clone(), sweeps: shared.sweeps.clone() }));
    health.watch(shared.catalogs.clone());
    health
}
