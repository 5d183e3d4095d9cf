//! The reference orders, and how a client gives them: it repeats a command with its key until it is answered.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use uuid::Uuid;
use vip_core::CommandError;
use vip_core::model::{
    InstallationId, Labels, OWNER_LABEL, OperationId, OperationStatus, SERVER_LABEL, ServerId, ServerSpec, ServerState,
};
use vip_core::provisioner::OperationHandle;

use crate::mishaps;
use crate::process::{Processes, Site};
use crate::world::pause;

/// Time between two tries of a client.
const AGAIN: Duration = Duration::from_millis(50);

/// How long a write may be on its way to the store.
const ON_ITS_WAY: Duration = Duration::from_millis(2_600);

/// Names a reference order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// A create.
    Create,
    /// A create, and a delete once it runs.
    CreateThenDelete,
    /// A delete while the create is under way.
    DeleteWhileCreating,
    /// A create whose first location is full.
    FullLocation,
    /// A create under a name that a foreign server takes first.
    ForeignName,
    /// Creates of two tenants under one key.
    TwoTenants,
    /// A create with a delete, and sweeps beside.
    SweepBeside,
    /// Four orders, one after the other, of a tenant that may have two servers.
    Quota,
    /// Two orders where the first account has stock for one.
    SecondAccount,
    /// A process that starts again with a token of another project.
    OtherProject,
    /// A job whose payload nobody can read, beside an order.
    Unreadable,
    /// A server of a renamed copy of the database, with our record's id.
    RenamedCopy,
    /// A backup that is put back after orders were fulfilled.
    RestoredBackup,
    /// A provider that is down for 40 seconds.
    Outage,
    /// A foreign server under our name, and then a delete.
    ForeignThenDelete,
    /// A delete in the moment in which the create ends.
    DeleteAtOnce,
    /// Processes whose clocks are a minute apart.
    ClocksApart,
    /// A process that is suspended when it has claimed a job.
    Suspended,
    /// Orders between two sweeps, deleted after the second.
    BetweenSweeps,
    /// A create that lands after everything that was allowed for it.
    VeryLate,
    /// A first create that lands when the server of the second one is gone.
    LandedTwice,
    /// Every way in which a provider says no.
    Refusals,
}

impl Order {
    /// The reference orders: nothing unusual happens but the faults of the plan.
    pub const ALL: [Self; 7] = [
        Self::Create,
        Self::CreateThenDelete,
        Self::DeleteWhileCreating,
        Self::FullLocation,
        Self::ForeignName,
        Self::TwoTenants,
        Self::SweepBeside,
    ];

    /// Orders with a mishap of their own, whatever the plan says.
    pub const MISHAPS: [Self; 15] = [
        Self::Quota,
        Self::SecondAccount,
        Self::OtherProject,
        Self::Unreadable,
        Self::RenamedCopy,
        Self::RestoredBackup,
        Self::Outage,
        Self::ForeignThenDelete,
        Self::DeleteAtOnce,
        Self::ClocksApart,
        Self::Suspended,
        Self::BetweenSweeps,
        Self::VeryLate,
        Self::LandedTwice,
        Self::Refusals,
    ];

    /// Returns both lists.
    pub fn every() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain(Self::MISHAPS)
    }

    /// Returns the name, as printed and parsed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::CreateThenDelete => "create-then-delete",
            Self::DeleteWhileCreating => "delete-while-creating",
            Self::FullLocation => "full-location",
            Self::ForeignName => "foreign-name",
            Self::TwoTenants => "two-tenants",
            Self::SweepBeside => "sweep-beside",
            Self::Quota => "quota",
            Self::SecondAccount => "second-account",
            Self::OtherProject => "other-project",
            Self::Unreadable => "unreadable",
            Self::RenamedCopy => "renamed-copy",
            Self::RestoredBackup => "restored-backup",
            Self::Outage => "outage",
            Self::ForeignThenDelete => "foreign-then-delete",
            Self::DeleteAtOnce => "delete-at-once",
            Self::ClocksApart => "clocks-apart",
            Self::Suspended => "suspended",
            Self::BetweenSweeps => "between-sweeps",
            Self::VeryLate => "very-late",
            Self::LandedTwice => "landed-twice",
            Self::Refusals => "refusals",
        }
    }
}

/// Is an order that was accepted, and what must become of it.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its tenant.
    pub tenant: String,
    /// Its key.
    pub key: String,
    /// Its record.
    pub server: ServerId,
    /// Operation of the create.
    pub create: OperationId,
    /// Operation of the delete.
    pub delete: Option<OperationId>,
    /// Where the record ends.
    pub state: ServerState,
}

impl Accepted {
    /// Returns how the operation of the create ends: both ways, where the delete may come before or after it.
    #[must_use]
    pub const fn create_ends(&self) -> &'static [OperationStatus] {
        match (self.state, self.delete) {
            (ServerState::Parked, None) => &[OperationStatus::Parked],
            (ServerState::Failed, _) => &[OperationStatus::Failed],
            (ServerState::Parked, Some(_)) | (_, None) => &[OperationStatus::Succeeded],
            (_, Some(_)) => &[OperationStatus::Succeeded, OperationStatus::Superseded],
        }
    }

    /// Returns how the operation of the delete ends.
    #[must_use]
    pub const fn delete_ends(&self) -> OperationStatus {
        if matches!(self.state, ServerState::Parked) { OperationStatus::Parked } else { OperationStatus::Succeeded }
    }
}

/// Is a client of the product.
#[derive(Debug)]
pub struct Client<'a> {
    /// Processes that it may ask.
    pub processes: &'a Processes,
    /// The one that it asks first.
    pub first: usize,
}

impl Client<'_> {
    async fn repeat<F>(&self, command: impl Fn(vip_core::Provisioner) -> F) -> Option<OperationHandle>
    where
        F: Future<Output = Result<OperationHandle, CommandError>>,
    {
        // Until when a try whose outcome is unknown may still be applied.
        let mut open_until = Instant::now();
        for which in self.first.. {
            let (provisioner, life) = self.processes.up(which).await;
            let answer = tokio::select! {
                biased;
                answer = AssertUnwindSafe(command(provisioner)).catch_unwind() => answer,
                _ = life.ended() => {
                    open_until = Instant::now() + ON_ITS_WAY;
                    continue;
                }
            };
            match answer {
                Ok(Ok(handle)) => return Some(handle),
                // A refusal says nothing about a try that is still on its way.
                Ok(Err(CommandError::QuotaExceeded { .. })) if Instant::now() >= open_until => return None,
                Ok(Err(CommandError::OutcomeUnknown { .. })) | Err(_) => open_until = Instant::now() + ON_ITS_WAY,
                Ok(Err(_)) => {}
            }
            pause(AGAIN).await;
        }
        unreachable!("clients do not give up")
    }

    /// Orders a server of a tenant that may have one more.
    pub async fn create(&self, tenant: &str, key: &str, spec: &ServerSpec) -> Accepted {
        self.create_within_quota(tenant, key, spec).await.expect("there is a quota left")
    }

    /// Orders a server; none if the tenant has as many as it may.
    pub async fn create_within_quota(&self, tenant: &str, key: &str, spec: &ServerSpec) -> Option<Accepted> {
        let command = |provisioner: vip_core::Provisioner| {
            let order = provisioner.tenant(tenant).create_server(spec.clone()).idempotency_key(key);
            async move { order.await }
        };
        let handle = self.repeat(command).await?;
        Some(Accepted {
            tenant: tenant.to_owned(),
            key: key.to_owned(),
            server: handle.server_id(),
            create: handle.id(),
            delete: None,
            state: ServerState::Running,
        })
    }

    /// Wishes a server away.
    pub async fn delete(&self, order: &mut Accepted) {
        let key = format!("delete-{}", order.key);
        let command = |provisioner: vip_core::Provisioner| {
            let deletion = provisioner.tenant(&order.tenant).delete_server(order.server).idempotency_key(&key);
            async move { deletion.await }
        };
        let handle = self.repeat(command).await.expect("a delete takes no quota");
        order.delete = Some(handle.id());
        order.state = ServerState::Deleted;
    }
}

/// Returns what is ordered.
pub fn spec(name: &str) -> ServerSpec {
    ServerSpec::new(name).server_type("small").image("debian-12").location("here").ssh_key("ops")
}

/// A database that was copied and renamed has the same records under another owner.
pub(crate) fn labels_of_a_renamed_copy(order: &Accepted) -> Labels {
    let owner = InstallationId::from_uuid(Uuid::from_u128(u128::MAX));
    let pairs = [(OWNER_LABEL, owner.to_string()), (SERVER_LABEL, order.server.to_string())];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Gives a reference order; returns what was accepted. `other` names what a second tenant orders.
pub async fn give(order: Order, site: &Site, processes: &Processes, other: &str) -> Vec<Accepted> {
    let client = Client { processes, first: 0 };
    let cloud = &site.clouds[0].1;
    match order {
        Order::Create => vec![client.create("acme", "k1", &spec("web")).await],
        Order::CreateThenDelete | Order::SweepBeside => {
            let mut accepted = client.create("acme", "k1", &spec("web")).await;
            crate::oracle::ended(site, std::slice::from_ref(&accepted)).await;
            if order == Order::SweepBeside {
                pause(Duration::from_secs(7)).await;
            }
            client.delete(&mut accepted).await;
            crate::oracle::ended(site, std::slice::from_ref(&accepted)).await;
            // A late repeat buys nothing, whatever became of the order since.
            let again = client.create("acme", "k1", &spec("web")).await;
            if (again.server, again.create) != (accepted.server, accepted.create) {
                site.world.violated("P2: a late repeat of an order is another order");
            }
            vec![accepted]
        }
        Order::DeleteWhileCreating => {
            let mut accepted = client.create("acme", "k1", &spec("web")).await;
            while cloud.creates_begun() == 0 {
                pause(Duration::from_millis(7)).await;
            }
            client.delete(&mut accepted).await;
            vec![accepted]
        }
        Order::FullLocation => {
            cloud.fill("here");
            vec![client.create("acme", "k1", &spec("web").location("there")).await]
        }
        Order::ForeignName => {
            cloud.plant_foreign();
            let mut accepted = client.create("acme", "k1", &spec("web")).await;
            accepted.state = ServerState::Parked;
            vec![accepted]
        }
        Order::TwoTenants => {
            let second = Client { processes, first: 1 };
            let (web, db) = (spec("web"), spec(other));
            let (one, two) = tokio::join!(client.create("acme", "k1", &web), second.create("globex", "k1", &db));
            vec![one, two]
        }
        Order::Quota
        | Order::SecondAccount
        | Order::OtherProject
        | Order::Unreadable
        | Order::RenamedCopy
        | Order::RestoredBackup
        | Order::Outage
        | Order::ForeignThenDelete
        | Order::DeleteAtOnce
        | Order::ClocksApart
        | Order::Suspended
        | Order::BetweenSweeps
        | Order::VeryLate
        | Order::LandedTwice
        | Order::Refusals => mishaps::give(order, site, &client).await,
    }
}
