//! Tables of `next_step` and `absorb`, row by row, and whole orders on the memory backend.

mod absorb_create;
mod absorb_looks;
mod ahead;
mod bought;
mod delays;
mod kept;
mod kept_looks;
mod next_step;
mod removals;
mod rounds;
mod walk;

use std::collections::BTreeMap;
use std::time::Duration;

use super::step::{GateView, View};
use crate::model::{
    AccountId, Actor, ClaimId, Effect, InstallationId, Intent, IntentId, Labels, Landing, ProviderRef,
    ProviderServerId, Server, ServerId, ServerSpec, Sighting, SightingClass, SightingKey, Timestamp, Timing, Unsettled,
};
use crate::ports::{ServerStatus, ServerView};
use crate::provisioning::accept::CreateServer;

pub(super) const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000_000);

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(super) fn account() -> AccountId {
    AccountId::default_account()
}

pub(super) fn other_account() -> AccountId {
    AccountId::new("second").unwrap()
}

pub(super) fn installation() -> InstallationId {
    InstallationId::from_uuid(uuid::Uuid::from_u128(77))
}

/// Holds everything that a view borrows; the default is an open gate and a fresh order.
pub(super) struct World {
    pub(super) server: Server,
    pub(super) sightings: Vec<Sighting>,
    pub(super) gates: BTreeMap<AccountId, GateView>,
    pub(super) timing: Timing,
    pub(super) now: Timestamp,
}

impl World {
    pub(super) fn new() -> Self {
        let gates = BTreeMap::from([(account(), GateView::Open), (other_account(), GateView::Open)]);
        Self { server: order(), sightings: Vec::new(), gates, timing: Timing::default(), now: NOW }
    }

    pub(super) fn with(change: impl FnOnce(&mut Server)) -> Self {
        let mut world = Self::new();
        change(&mut world.server);
        world
    }

    pub(super) fn view(&self) -> View<'_> {
        View {
            server: &self.server,
            sightings: &self.sightings,
            gates: &self.gates,
            now: self.now,
            timing: &self.timing,
            installation: installation(),
            jitter: 1.0,
            usual_create: None,
        }
    }
}

/// Is an accepted order with two types in one location, in one account.
pub(super) fn order() -> Server {
    let spec = ServerSpec::new("web-1").server_type("a").server_type("b").image("i").location("l").ssh_key("k");
    let command = CreateServer { spec, accounts: vec![account()], ..CreateServer::default() };
    let tenant = crate::model::TenantId::new("acme").unwrap();
    let actor = Actor::principal("somebody").unwrap();
    let caller = crate::provisioning::accept::Caller { tenant, actor, request_id: None, trace_parent: None, key: None };
    let change = crate::provisioning::accept::change_for_tests(&caller, &command, uuid::Uuid::from_u128(5));
    change.written(NOW.minus(seconds(1000)))
}

pub(super) fn intent(effect: Effect, announced_at: Timestamp) -> Intent {
    Intent {
        id: IntentId::from_uuid(uuid::Uuid::from_u128(1)),
        effect,
        account: account(),
        attempt: 1,
        claim: ClaimId::from_uuid(uuid::Uuid::from_u128(2)),
        announced_at: Some(announced_at),
        request_deadline: seconds(30),
    }
}

pub(super) fn id(text: &str) -> ProviderServerId {
    ProviderServerId::new(text).unwrap()
}

pub(super) fn reference(text: &str) -> ProviderRef {
    ProviderRef {
        account: account(),
        id: id(text),
        owner: installation(),
        at: NOW.minus(seconds(5)),
        seen_by_id: false,
        gone: false,
    }
}

pub(super) fn unsettled(looked_at: Option<Timestamp>) -> Unsettled {
    Unsettled { account: account(), since: NOW.minus(seconds(60)), looked_at, taken_since: None }
}

pub(super) fn landing(by: Timestamp) -> Landing {
    Landing { by, looked_at: None }
}

pub(super) fn seen(world: &World, text: &str, status: ServerStatus) -> ServerView {
    ServerView {
        id: id(text),
        name: world.server.provider_name.to_string(),
        status,
        labels: crate::provisioning::accept::provider_labels(&world.server, installation()),
        addresses: crate::model::Addresses::default(),
        server_type: "a".to_owned(),
        location: "l".to_owned(),
        is_listed: false,
    }
}

pub(super) fn foreign(world: &World) -> ServerView {
    ServerView { labels: Labels::new(), ..seen(world, "9", ServerStatus::Running) }
}

pub(super) fn sighting(text: &str, server: ServerId, class: SightingClass) -> Sighting {
    Sighting {
        key: SightingKey { account: account(), id: id(text) },
        server: Some(server),
        class,
        first_seen: NOW.minus(seconds(4000)),
        last_seen: NOW,
        count: 9,
        ripe: true,
    }
}
