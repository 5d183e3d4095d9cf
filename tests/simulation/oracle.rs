//! What must be true in the end: P1 to P8 on store, queue, cloud and audit, whatever went wrong on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use vip_core::Provisioner;
use vip_core::model::{PageLimit, PageRequest, Server, ServerState, TenantId};
use vip_core::ports::{Backend, Loaded};

use crate::orders::Accepted;
use crate::process::Site;
use crate::world::pause;

/// Time between two looks of the oracle.
const LOOK: Duration = Duration::from_millis(250);

async fn load(site: &Site, order: &Accepted) -> Option<Loaded> {
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
        if queue.stats(&[]).await.unwrap().leased == 0 {
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
    let mut running = BTreeSet::new();
    for order in orders {
        match load(site, order).await {
            None => broken.push(format!("P1: the record of {} is gone", order.key)),
            Some(loaded) => {
                demand_record(&loaded.server, order, &mut broken);
                if loaded.server.state == ServerState::Running {
                    running.extend(loaded.server.provider_ref.map(|it| it.id.as_str().to_owned()));
                }
                demand_operations(site, order, &mut broken).await;
            }
        }
    }
    demand_ledger(site, &running, &mut broken);
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
        if status != Some(vip_core::model::OperationStatus::Succeeded) {
            broken.push(format!("P6: the delete of {} ended {status:?}", order.key));
        }
    }
}

fn demand_ledger(site: &Site, running: &BTreeSet<String>, broken: &mut Vec<String>) {
    let mut live = BTreeSet::new();
    for (account, cloud) in &site.clouds {
        for entry in cloud.live().into_iter().filter(|entry| !entry.is_foreign) {
            live.insert(entry.view.id.as_str().to_owned());
        }
        let foreign = cloud.ledger().into_iter().filter(|entry| entry.is_foreign);
        if cloud.foreign_deletes() > 0 || foreign.into_iter().any(|entry| entry.deleted_at.is_some()) {
            broken.push(format!("P5: a foreign server in {account} was deleted"));
        }
    }
    if &live != running {
        broken.push(format!("P2: the cloud has {live:?}, the store {running:?}"));
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
    }
    let stats = backend.queue.stats(&[]).await.unwrap();
    if stats.leased > 0 || stats.dead > 0 {
        broken.push(format!("quiescence: {} leased, {} dead jobs", stats.leased, stats.dead));
    }
}

async fn demand_audit(site: &Site, orders: &[Accepted], broken: &mut Vec<String>) {
    let product = Provisioner::builder(site.memory.clone()).timing(site.timing.clone()).client_only().await.unwrap();
    let tenants: BTreeSet<&str> = orders.iter().map(|order| order.tenant.as_str()).collect();
    for name in tenants {
        if let Err(fault) = product.operator().verify_audit(&TenantId::new(name).unwrap(), None).await {
            broken.push(format!("P4: audit of {name}: {fault}"));
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
