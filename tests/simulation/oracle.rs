//! What must be true in the end: P1 to P8 on store, queue, cloud and audit, whatever went wrong on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use vip_core::model::{AccountId, FailReason, PageLimit, PageRequest, ProviderServerId, Server, ServerState, TenantId};
use vip_core::ports::{Backend, Loaded};

use crate::cloud::{Cloud, Entry};
use crate::orders::Accepted;
use crate::process::Site;
use crate::world::pause;

/// Time between two looks of the oracle.
const LOOK: Duration = Duration::from_millis(250);

/// Reads a record as it really is.
pub async fn load(site: &Site, order: &Accepted) -> Option<Loaded> {
    let store = Backend::from(site.memory.clone()).store;
    let tenant = TenantId::new(order.tenant.as_str()).unwrap();
    store.load(&tenant, order.server).await.unwrap()
}

/// Waits until each record is where it must end, and nobody holds a lease.
pub async fn ended(site: &Site, orders: &[Accepted]) {
    'again: loop {
        for order in orders {
            let loaded = load(site, order).await;
            if !loaded.is_some_and(|it| it.server.state == order.state && it.server.is_converged()) {
                pause(LOOK).await;
                continue 'again;
            }
        }
        let queue = Backend::from(site.memory.clone()).queue;
        let stats = queue.stats(&[]).await.unwrap();
        if stats.leased == 0 && stats.dead == site.dead_jobs {
            return;
        }
        pause(LOOK).await;
    }
}

/// Waits until the cloud has what the records say: what landed late is removed by sweeps, of which some were hit by faults.
pub async fn tidied(site: &Site, orders: &[Accepted]) {
    loop {
        ended(site, orders).await;
        let mut broken = Vec::new();
        demand_ledger(site, orders, &mut broken).await;
        if broken.is_empty() {
            return;
        }
        pause(LOOK).await;
    }
}

/// Says in words where the orders are, for a run that does not end.
pub async fn describe(site: &Site, orders: &[Accepted]) -> String {
    let mut text = String::new();
    for order in orders {
        let server = load(site, order).await.map(|loaded| loaded.server);
        let parts = server.map(|it| (it.state, it.park_reason, it.wait_reason, it.intent, it.unsettled, it.land));
        text.push_str(&format!(" wanted {}, is {parts:?};", order.state.as_str()));
    }
    let queue = Backend::from(site.memory.clone()).queue;
    text.push_str(&format!(" {:?}", queue.stats(&[]).await));
    text
}

/// Demands the promises; returns those that are broken.
pub async fn demand(site: &Site, orders: &[Accepted]) -> Vec<String> {
    let mut broken = Vec::new();
    for order in orders {
        match load(site, order).await {
            None => broken.push(format!("P1: the record of {} is gone", order.key)),
            Some(loaded) => {
                demand_record(&loaded.server, order, &mut broken);
                demand_operations(site, order, &mut broken).await;
            }
        }
    }
    demand_ledger(site, orders, &mut broken).await;
    demand_counts(site, orders, &mut broken).await;
    demand_audit(site, orders, &mut broken).await;
    broken
}

fn demand_record(server: &Server, order: &Accepted, broken: &mut Vec<String>) {
    if server.state != order.state || !server.is_converged() {
        broken.push(format!("O3: {} is {}, not {}", order.key, server.state.as_str(), order.state.as_str()));
    }
    let open = server.intent.is_some() || (server.unsettled.is_some() && server.state != ServerState::Parked);
    if open {
        broken.push(format!("quiescence: {} has an open intent or an unsettled effect", order.key));
    }
    if server.quota_held == server.state.is_final() {
        broken.push(format!("§9: quota of {} held: {}", order.key, server.quota_held));
    }
}

async fn demand_operations(site: &Site, order: &Accepted, broken: &mut Vec<String>) {
    let store = Backend::from(site.memory.clone()).store;
    let tenant = TenantId::new(order.tenant.as_str()).unwrap();
    let status = async |id| store.operation(&tenant, id).await.unwrap().map(|operation| operation.status);
    let create = status(order.create).await;
    if !create.is_some_and(|status| order.create_ends().contains(&status)) {
        broken.push(format!("P6: the create of {} ended {create:?}", order.key));
    }
    if let Some(delete) = order.delete {
        let status = status(delete).await;
        if status != Some(order.delete_ends()) {
            broken.push(format!("P6: the delete of {} ended {status:?}", order.key));
        }
    }
}

fn named(account: &AccountId, id: &ProviderServerId) -> String {
    format!("{account}/{}", id.as_str())
}

/// Returns what identifies the servers that are there and whose name begins so.
#[must_use]
pub fn ids_named(site: &Site, name: &str) -> Vec<String> {
    let there = |(account, cloud): &(AccountId, Cloud)| {
        let found = cloud.live().into_iter().filter(|it| it.view.name.starts_with(name));
        found.map(|it| named(account, &it.view.id)).collect::<Vec<_>>()
    };
    site.clouds.iter().flat_map(there).collect()
}

/// Says where the orders ended, in words that hold for every run of an order: O3 compares them.
pub async fn end_state(site: &Site, orders: &[Accepted]) -> String {
    let mut ends = Vec::new();
    for order in orders {
        let server = load(site, order).await.map(|it| it.server);
        let parts = server.map(|it| (it.state, it.desired, why(it.fail_reason), it.park_reason, it.quota_held));
        ends.push(format!("{} {parts:?}; ", order.tenant));
    }
    // Which of several orders comes first is nobody's promise.
    ends.sort();
    let mut text = ends.concat();
    let live: usize = site.clouds.iter().map(|(_, cloud)| cloud.live().len()).sum();
    text.push_str(&format!("{live} servers"));
    text
}

/// Says why an order failed. A server that does not come up is told by its create's action, and where the answer with the
/// action was lost, by time.
fn why(reason: Option<FailReason>) -> Option<FailReason> {
    reason.map(|why| if why == FailReason::CreateTimeout { FailReason::ProviderFailed } else { why })
}

async fn demand_ledger(site: &Site, orders: &[Accepted], broken: &mut Vec<String>) {
    let (mut live, mut expected) = (BTreeSet::new(), site.unrecorded.lock().unwrap().clone());
    for order in orders {
        let server = load(site, order).await.map(|loaded| loaded.server);
        let running = server.filter(|server| server.state == ServerState::Running).and_then(|it| it.provider_ref);
        expected.extend(running.map(|it| named(&it.account, &it.id)));
    }
    if !site.other_project.live().is_empty() {
        broken.push("P2: a server was made in another project".to_owned());
    }
    for (account, cloud) in &site.clouds {
        let forgotten = site.forgotten.lock().unwrap();
        let is_known = |entry: &Entry| entry.view.server_label().is_none_or(|label| !forgotten.contains(&label));
        for entry in cloud.live().into_iter().filter(|entry| !entry.is_foreign && is_known(entry)) {
            live.insert(named(account, &entry.view.id));
        }
        let foreign = cloud.ledger().into_iter().filter(|entry| entry.is_foreign);
        if cloud.foreign_deletes() > 0 || foreign.into_iter().any(|entry| entry.deleted_at.is_some()) {
            broken.push(format!("P5: a foreign server in {account} was deleted"));
        }
    }
    if live != expected {
        broken.push(format!("P2: the cloud has {live:?}, the store {expected:?}"));
    }
}

async fn demand_counts(site: &Site, orders: &[Accepted], broken: &mut Vec<String>) {
    let backend = Backend::from(site.memory.clone());
    let tenants: BTreeSet<&str> = orders.iter().map(|order| order.tenant.as_str()).collect();
    for name in tenants {
        let tenant = TenantId::new(name).unwrap();
        let page = PageRequest::first(PageLimit::most());
        let servers = backend.store.servers(&tenant, &page).await.unwrap().items;
        let ordered = orders.iter().filter(|order| order.tenant == name).count();
        if servers.len() != ordered {
            broken.push(format!("P2: {} records of {name} for {ordered} orders", servers.len()));
        }
        let held = servers.iter().filter(|server| server.quota_held).count();
        if site.quota.is_some_and(|most| held > usize::try_from(most).unwrap()) {
            broken.push(format!("§9: {held} of {name} hold a part of a quota of {:?}", site.quota));
        }
    }
    let stats = backend.queue.stats(&[]).await.unwrap();
    if stats.leased > 0 || stats.dead != site.dead_jobs {
        broken.push(format!("quiescence: {} leased, {} dead jobs", stats.leased, stats.dead));
    }
}

async fn demand_audit(site: &Site, orders: &[Accepted], broken: &mut Vec<String>) {
    let product = site.client_only().await;
    let tenants: BTreeSet<&str> = orders.iter().map(|order| order.tenant.as_str()).collect();
    for name in tenants {
        if let Err(fault) = product.operator().verify_audit(&TenantId::new(name).unwrap(), None).await {
            broken.push(format!("P4: audit of {name}: {fault}"));
        }
        if site.has_sink {
            let tenant = TenantId::new(name).unwrap();
            let sealed = Backend::from(site.memory.clone()).store.sealed(&tenant, 0, 10_000).await.unwrap();
            if let Some(missed) = sealed.iter().find(|record| !site.delivered.has(&tenant, record)) {
                broken.push(format!("P4: record {} of {name} was not delivered", missed.sequence));
            }
        }
    }
}

/// Returns everything that a tenant can observe: its servers, operations and audit records, ids and times included.
pub async fn seen_by(site: &Site, tenant: &str) -> String {
    let store = Backend::from(site.memory.clone()).store;
    let tenant = TenantId::new(tenant).unwrap();
    let page = PageRequest::first(PageLimit::most());
    let servers = store.servers(&tenant, &page).await.unwrap().items;
    let operations = store.operations(&tenant, &page).await.unwrap().items;
    let audit = store.sealed(&tenant, 0, 10_000).await.unwrap();
    format!("{servers:?} {operations:?} {audit:?}")
}
