//! Compares what the store says with what the provider's ledger says.

use std::collections::BTreeSet;

use vip_adapters::hetzner::simulator::Ledger;
use vip_core::Provisioner;
use vip_core::model::{PageLimit, PageRequest, Server, ServerState, TenantId};

/// Reads all servers of a tenant.
pub async fn all_servers(provisioner: &Provisioner, tenant: &str) -> Vec<Server> {
    let mut servers = Vec::new();
    let mut request = PageRequest::first(PageLimit::most());
    loop {
        let page = provisioner.tenant(tenant).servers(&request).await.unwrap();
        servers.extend(page.items);
        match page.next {
            Some(last) => request = PageRequest::after(last, PageLimit::most()),
            None => return servers,
        }
    }
}

/// Demands that store and ledger agree on every server of these tenants, and that each audit chain is whole.
pub async fn demand_agreement(provisioner: &Provisioner, tenants: &[&str], ledger: &Ledger) {
    let mut servers = Vec::new();
    for tenant in tenants {
        servers.extend(all_servers(provisioner, tenant).await);
        provisioner.operator().verify_audit(&TenantId::new(*tenant).unwrap(), None).await.unwrap();
    }
    let owner = provisioner.installation().to_string();
    let live: BTreeSet<String> = ledger
        .servers
        .iter()
        .filter(|server| server.is_live() && server.labels.get("vip-owner") == Some(&owner))
        .map(|server| server.id.to_string())
        .collect();
    let recorded: BTreeSet<String> = servers
        .iter()
        .filter(|server| server.state == ServerState::Running)
        .map(|server| server.provider_ref.as_ref().unwrap().id.to_string())
        .collect();
    assert_eq!(live, recorded, "live at the provider (left) and running in the store (right)");
    // Of an order that was wished away, a request that was still on its way may have landed in the freed name; it is
    // found before the order ends.
    let deleted: BTreeSet<String> = servers
        .iter()
        .filter(|server| server.state == ServerState::Deleted)
        .map(|server| server.id.to_string())
        .collect();
    let doubled: Vec<_> =
        ledger.duplicates().into_iter().filter(|it| !(it.is_late_landing() && deleted.contains(&it.mark))).collect();
    assert!(doubled.is_empty(), "ordered once, created twice: {doubled:?} in {ledger:?}");
    for server in servers {
        let settled = matches!(server.state, ServerState::Running | ServerState::Deleted | ServerState::Failed);
        assert!(settled, "{} is {:?}", server.provider_name, server.state);
    }
}
