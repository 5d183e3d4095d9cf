//! A backup that is put back knows nothing of the servers made since: they are reported and stay.

use std::fs;
use std::path::Path;
use std::time::Duration;

use vip_adapters::hetzner::HetznerClient;
use vip_core::Provisioner;
use vip_core::model::{AccountId, SightingClass};
use vip_core::provisioning::sweep::SweepMode;
use vip_core::runtime::HealthStatus;
use vip_tests::site::{Site, patient};
use vip_tests::truth;

use crate::cloud::{PROJECT, TENANT, client, names, simulator};

const FILES: [&str; 3] = ["vip.db", "vip.db-wal", "vip.db-shm"];

/// Copies the store, with what stands beside it, and removes there what has no counterpart.
fn copy(from: &Path, to: &Path) {
    for name in FILES {
        let target = to.join(name);
        if target.exists() {
            fs::remove_file(&target).unwrap();
        }
        if from.join(name).exists() {
            fs::copy(from.join(name), target).unwrap();
        }
    }
}

/// Demands that sweeps report ten unrecorded servers, over and over, and that health says so.
async fn demand_ten_unrecorded(site: &Site, provisioner: &Provisioner) {
    let account = AccountId::default_account();
    for _ in 0..5 {
        let report = provisioner.operator().sweep(&account, SweepMode::Repair).await.unwrap();
        assert_eq!(report.skipped, None);
        assert_eq!((report.listed, report.recorded, report.woken), (13, 3, 0));
        let unrecorded = report.sightings.iter().filter(|it| it.class == SightingClass::Unrecorded && !it.ripe);
        assert_eq!((unrecorded.count(), report.sightings.len()), (10, 10));
        site.run(patient().sweep_grace * 2).await;
    }
    let health = provisioner.health().await;
    let records = health.parts.iter().find(|part| part.name == "records").unwrap();
    assert_eq!(records.status, HealthStatus::Degraded);
    assert!(records.detail.as_ref().unwrap().contains("10 unrecorded"), "{records:?}");
    assert_eq!(health.status(), HealthStatus::Degraded);
}

async fn end(provisioner: Provisioner) {
    let report = provisioner.shutdown(Duration::from_secs(5)).await;
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_made_after_a_restored_backup_are_reported_and_never_removed() {
    let (simulator, site, backup) = (simulator(), Site::default(), tempfile::tempdir().unwrap());
    let start = async || site.start(client(&simulator)).await;

    let first = start().await;
    site.running(&first, TENANT, names("kept", 3)).await;
    end(first).await;
    copy(site.folder(), backup.path());

    let second = start().await;
    site.running(&second, TENANT, names("later", 10)).await;
    end(second).await;
    copy(backup.path(), site.folder());

    for _ in 0..3 {
        let restored = start().await;
        demand_ten_unrecorded(&site, &restored).await;
        assert_eq!(truth::all_servers(&restored, TENANT).await.len(), 3);
        end(restored).await;
    }
    let ledger = simulator.ledger();
    assert_eq!((ledger.servers.len(), ledger.live(PROJECT.0).count()), (13, 13));
    assert_eq!(ledger.requests_of("DELETE", "/servers/{id}"), 0);
    assert_eq!(ledger.requests_of("POST", "/servers"), 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_copied_from_under_a_running_process_can_be_put_back() {
    let (simulator, site, backup) = (simulator(), Site::default(), tempfile::tempdir().unwrap());
    let running = site.start(HetznerClient::in_process(&simulator, PROJECT.1).unwrap()).await;
    site.running(&running, TENANT, names("kept", 3)).await;
    // The file and its log, as they are after a power cut; the index beside them is made anew.
    for name in &FILES[..2] {
        fs::copy(site.folder().join(name), backup.path().join(name)).unwrap();
    }
    site.running(&running, TENANT, names("later", 10)).await;
    end(running).await;
    copy(backup.path(), site.folder());

    let restored = site.start(client(&simulator)).await;
    demand_ten_unrecorded(&site, &restored).await;
    end(restored).await;
    assert_eq!(simulator.ledger().live(PROJECT.0).count(), 13);
}
