//! Each background loop panics once: it is started again, health says so, and orders still become one server each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vip_core::Provisioner;
use vip_core::model::{SealedRecord, TenantId};
use vip_core::ports::{AuditSink, AuditSinkError, SinkName};
use vip_core::runtime::{HealthStatus, LoopStatus};
use vip_tests::site::{Site, spec};
use vip_tests::truth;

use crate::cloud::{PROJECT, TENANT, client, simulator};

/// Keeps the records of all tenants by their numbers.
#[derive(Debug, Clone, Default)]
struct Shelf(Arc<Mutex<BTreeMap<(TenantId, u64), String>>>);

#[async_trait::async_trait]
impl AuditSink for Shelf {
    fn name(&self) -> SinkName {
        SinkName::new("shelf").unwrap()
    }

    async fn deliver(&self, tenant: &TenantId, batch: &[SealedRecord]) -> Result<(), AuditSinkError> {
        let rows = batch.iter().map(|record| ((tenant.clone(), record.sequence), record.body.clone()));
        self.0.lock().unwrap().extend(rows);
        Ok(())
    }

    async fn close(&self) -> Result<(), AuditSinkError> {
        Ok(())
    }
}

fn status(provisioner: &Provisioner, name: &str) -> LoopStatus {
    provisioner.loops().into_iter().find(|status| status.name == name).unwrap()
}

/// Panics a loop, orders meanwhile, and waits until the loop and the order are well.
async fn panic_once(site: &Site, provisioner: &Provisioner, name: &str, number: usize) {
    let before = status(provisioner, name);
    assert!(!before.troubled, "{before:?}");
    assert!(provisioner.provoke_panic(name));
    let order = provisioner.tenant(TENANT).create_server(spec(format!("web-{number}"))).await.unwrap();
    let restarted = async || {
        let now = status(provisioner, name);
        now.running && now.restarts == before.restarts + 1
    };
    site.until(&format!("loop {name} is started again"), restarted).await;
    let now = status(provisioner, name);
    assert_eq!((now.panics, now.restarts, now.given_up), (1, 1, false), "{name}");
    let health = provisioner.health().await;
    let part = health.parts.iter().find(|part| part.name == format!("loop {name}")).unwrap();
    assert_eq!(part.status, HealthStatus::Degraded, "{part:?}");
    site.until(&format!("the order converges after a panic of {name}"), async || {
        order.progress().await.unwrap().operation.status.is_final()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_each_background_loop_is_counted_shown_and_costs_no_order() {
    let (simulator, site, shelf) = (simulator(), Site::default(), Shelf::default());
    let builder = site.builder().await.provider(client(&simulator)).audit_sink(shelf.clone());
    let provisioner = builder.start().await.unwrap();
    let loops: Vec<String> = provisioner.loops().into_iter().map(|status| status.name).collect();
    for expected in ["gates", "seal", "trim", "deliver:shelf"] {
        assert!(loops.iter().any(|name| name == expected), "{loops:?}");
    }
    println!("{loops:?}");
    assert!(!provisioner.provoke_panic("no such loop"));
    for (number, name) in loops.iter().enumerate() {
        panic_once(&site, &provisioner, name, number).await;
    }
    site.until_settled(&provisioner, TENANT).await;
    truth::demand_agreement(&provisioner, &[TENANT], &simulator.ledger()).await;
    assert_eq!(simulator.ledger().live(PROJECT.0).count(), loops.len());
    let tenant = TenantId::new(TENANT).unwrap();
    let records = provisioner.operator().verify_audit(&tenant, None).await.unwrap().records;
    let report = provisioner.shutdown(Duration::from_secs(5)).await;
    assert!(report.is_clean(), "{report}");
    assert!(report.loops.iter().all(|status| status.restarts == 1), "{report}");
    assert_eq!(shelf.0.lock().unwrap().len() as u64, records, "delivered in spite of the panics");
}
