//! The story from the first order to the verdict.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use vip_adapters::vip_core::Provisioner;
use vip_adapters::vip_core::model::OperationStatus;
use vip_adapters::vip_core::provisioner::OperationHandle;

use crate::arguments::Arguments;
use crate::cloud::Cloud;
use crate::orders::{self, Order, TENANTS};
use crate::progress::Progress;
use crate::settings;
use crate::verdict::{self, Verdict};
use crate::workers::Workers;

/// Longest time for all creates, or for all deletes, to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at the orders.
const LOOK: Duration = Duration::from_millis(100);

/// Tells the story once; on failure the folder with the store is kept and named.
pub(crate) async fn tell(arguments: &Arguments, seed: u64) -> Result<Verdict, Box<dyn Error + Send + Sync>> {
    let folder = tempfile::Builder::new().prefix("vip-quickstart-").tempdir()?;
    let store = arguments.store.clone().unwrap_or_else(|| folder.path().join("vip.db"));
    match scenes(arguments, seed, &store).await {
        Ok(verdict) => Ok(verdict),
        Err(error) => {
            let kept: PathBuf = folder.keep();
            Err(format!("{} (the store is kept in {})", verdict::with_causes(error.as_ref()), kept.display()).into())
        }
    }
}

async fn scenes(arguments: &Arguments, seed: u64, store: &Path) -> Result<Verdict, Box<dyn Error + Send + Sync>> {
    let cloud = Cloud::open(arguments, seed).await?;
    let backend = vip_adapters::connect(&format!("sqlite://{}", store.display())).await?;
    let provisioner = Provisioner::builder(backend).timing(settings::quick()).client_only().await?;
    let mut workers = Workers::start(store, cloud.url())?;

    let orders = orders::place(&provisioner, arguments.servers).await?;
    let mut progress = Progress::begin(&by_tenant(&orders, |_| true));
    let acts = async {
        creates(arguments, &cloud, &orders, &mut workers, &mut progress).await?;
        deletes(&provisioner, &orders, &mut workers, &mut progress).await
    };
    let interrupted = tokio::select! {
        ended = acts => { ended?; false }
        signal = tokio::signal::ctrl_c() => { signal?; true }
    };
    progress.end();
    workers.stop().await?;
    if interrupted {
        let report = provisioner.shutdown(Duration::from_secs(1)).await;
        return Err(format!("interrupted; the workers finished what they had begun, nothing is lost ({report})").into());
    }
    let verdict = verdict::reach(&provisioner, &cloud, arguments, seed).await;
    let report = provisioner.shutdown(Duration::from_secs(5)).await;
    cloud.close().await;
    if !report.within_deadline {
        return Err(format!("the shutdown took too long: {report}").into());
    }
    verdict
}

/// Waits until all orders have ended; kills both workers when a third of the servers exist, and again at two thirds.
async fn creates(
    arguments: &Arguments,
    cloud: &Cloud,
    orders: &[Order],
    workers: &mut Workers,
    progress: &mut Progress,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let end = Instant::now() + PATIENCE;
    let third = orders.len() / 3;
    loop {
        let done = ended(orders).await?;
        progress.show(&done, orders.len());
        if done.iter().sum::<u64>() == orders.len() as u64 {
            return Ok(());
        }
        workers.check()?;
        let kills = workers.kills() as usize / 2;
        let created = cloud.ledger().await?.servers.len();
        if !arguments.calm && kills < 2 && created >= third * (kills + 1) {
            workers.kill_and_replace().await?;
            progress.say(&format!("both workers killed with {created} servers created, and replaced"));
        }
        if Instant::now() > end {
            return Err("the orders did not end in time".into());
        }
        sleep(LOOK).await;
    }
}

/// Deletes every third server and waits until they are gone.
async fn deletes(
    provisioner: &Provisioner,
    orders: &[Order],
    workers: &mut Workers,
    progress: &mut Progress,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut deletions: Vec<OperationHandle> = Vec::new();
    for order in orders.iter().skip(2).step_by(3) {
        let tenant = TENANTS.get(order.tenant).copied().unwrap_or("acme");
        deletions.push(provisioner.tenant(tenant).delete_server(order.operation.server_id()).await?);
    }
    progress.say(&format!("{} servers are to be deleted", deletions.len()));
    let end = Instant::now() + PATIENCE;
    loop {
        let mut gone = 0;
        for deletion in &deletions {
            gone += usize::from(deletion.progress().await?.operation.status.is_final());
        }
        if gone == deletions.len() {
            return Ok(());
        }
        workers.check()?;
        if Instant::now() > end {
            return Err("the deletions did not end in time".into());
        }
        sleep(LOOK).await;
    }
}

/// Counts, for each tenant, the orders that have ended; one that did not succeed ends the story.
async fn ended(orders: &[Order]) -> Result<Vec<u64>, Box<dyn Error + Send + Sync>> {
    let mut done = Vec::new();
    for order in orders {
        let progress = order.operation.progress().await?;
        match progress.operation.status {
            OperationStatus::Pending => {}
            OperationStatus::Succeeded => done.push(order.operation.id()),
            other @ (OperationStatus::Parked | OperationStatus::Failed | OperationStatus::Superseded | _) => {
                let name = &progress.server.provider_name;
                return Err(format!("the order of {name} ended {}", other.as_str()).into());
            }
        }
    }
    Ok(by_tenant(orders, |order| done.contains(&order.operation.id())))
}

fn by_tenant(orders: &[Order], wanted: impl Fn(&Order) -> bool) -> Vec<u64> {
    (0..TENANTS.len())
        .map(|tenant| orders.iter().filter(|order| order.tenant == tenant && wanted(order)).count() as u64)
        .collect()
}
