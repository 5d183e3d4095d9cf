//! Compares the store with the provider's ledger, and verifies the audit chain.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;

use vip_adapters::hetzner::simulator::Ledger;
use vip_adapters::vip_core::Provisioner;
use vip_adapters::vip_core::model::{PageLimit, PageRequest, Server, ServerState, TenantId};

use crate::arguments::Arguments;
use crate::cloud::Cloud;
use crate::orders::TENANTS;

/// Is what became of all orders.
#[derive(Debug)]
pub(crate) struct Verdict {
    ordered: usize,
    running: usize,
    deleted: usize,
    duplicates: usize,
    orphans: usize,
    lost: usize,
    requests: u64,
    seed: u64,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ordered, running, deleted, duplicates, orphans, lost, requests, seed } = self;
        #[expect(clippy::cast_precision_loss, reason = "a few hundred requests")]
        let each = *requests as f64 / (*ordered).max(1) as f64;
        write!(
            formatter,
            "{ordered} ordered, {running} running, {deleted} deleted, {duplicates} duplicates, {orphans} orphans, \
             {lost} lost, {each:.1} API requests per server, seed {seed}"
        )
    }
}

/// Reaches the verdict; anything but full agreement is an error.
pub(crate) async fn reach(
    provisioner: &Provisioner,
    cloud: &Cloud,
    arguments: &Arguments,
    seed: u64,
) -> Result<Verdict, Box<dyn Error + Send + Sync>> {
    let mut servers = Vec::new();
    for tenant in TENANTS {
        servers.extend(all_servers(provisioner, tenant).await?);
        provisioner.operator().verify_audit(&TenantId::new(tenant)?, None).await?;
    }
    let verdict = compare(&servers, &cloud.ledger().await?, provisioner.installation().to_string(), seed);
    let expected = arguments.servers as usize;
    let deleted = expected / 3;
    let agreed = verdict.ordered == expected
        && verdict.running == expected - deleted
        && verdict.deleted == deleted
        && verdict.duplicates + verdict.orphans + verdict.lost == 0;
    if agreed { Ok(verdict) } else { Err(format!("the ledger and the store disagree: {verdict}").into()) }
}

fn compare(servers: &[Server], ledger: &Ledger, owner: String, seed: u64) -> Verdict {
    let live: BTreeSet<String> = ledger
        .servers
        .iter()
        .filter(|server| server.is_live() && server.labels.get("vip-owner") == Some(&owner))
        .map(|server| server.id.to_string())
        .collect();
    let in_state = |state: ServerState| servers.iter().filter(move |server| server.state == state);
    let recorded: BTreeSet<String> = in_state(ServerState::Running)
        .filter_map(|server| server.provider_ref.as_ref().map(|reference| reference.id.to_string()))
        .collect();
    // What was still on its way when its order was deleted may land in the freed name: it is removed with the order.
    let wished_away = |mark: &str| in_state(ServerState::Deleted).any(|server| server.id.to_string() == mark);
    Verdict {
        ordered: servers.len(),
        running: in_state(ServerState::Running).count(),
        deleted: in_state(ServerState::Deleted).count(),
        duplicates: ledger.duplicates().iter().filter(|it| !(it.is_late_landing() && wished_away(&it.mark))).count(),
        orphans: live.difference(&recorded).count(),
        lost: recorded.difference(&live).count(),
        requests: ledger.request_total(),
        seed,
    }
}

async fn all_servers(provisioner: &Provisioner, tenant: &str) -> Result<Vec<Server>, Box<dyn Error + Send + Sync>> {
    let mut servers = Vec::new();
    let mut request = PageRequest::first(PageLimit::most());
    loop {
        let page = provisioner.tenant(tenant).servers(&request).await?;
        servers.extend(page.items);
        match page.next {
            Some(last) => request = PageRequest::after(last, PageLimit::most()),
            None => return Ok(servers),
        }
    }
}

/// Writes an error with everything beneath it.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(beneath) = cause {
        text.push_str(": ");
        text.push_str(&beneath.to_string());
        cause = beneath.source();
    }
    text
}
