//! Whoever owns the file can change the audit; the verification says where.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};
use vip_core::Provisioner;
use vip_core::model::{ChainFault, ChainHead, TenantId};
use vip_core::provisioning::AuditFault;
use vip_tests::site::{Site, spec};
use vip_tests::truth;

use crate::cloud::{TENANT, client, names, simulator};

/// Is a store with a whole chain, and a connection that may do anything to it.
struct Evidence {
    site: Site,
    provisioner: Provisioner,
    file: SqliteConnection,
    /// The end of the chain as it was before anything was changed.
    head: ChainHead,
}

fn tenant() -> TenantId {
    TenantId::new(TENANT).unwrap()
}

async fn connect(file: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap()
}

impl Evidence {
    async fn collect() -> Self {
        let (simulator, site) = (simulator(), Site::default());
        let worker = site.start(client(&simulator)).await;
        site.running(&worker, TENANT, names("web", 3)).await;
        assert!(worker.shutdown(Duration::from_secs(5)).await.is_clean());
        let provisioner = site.builder().await.client_only().await.unwrap();
        let report = provisioner.operator().verify_audit(&tenant(), None).await.unwrap();
        assert!(report.records >= 9 && report.head.sequence == report.records && report.servers == 3, "{report:?}");
        let file = connect(&site.file()).await;
        let mut evidence = Self { site, provisioner, file, head: report.head };
        for trigger in ["vip_audit_is_not_deleted", "vip_audit_is_sealed_once"] {
            evidence.execute(&format!("DROP TRIGGER {trigger}")).await;
        }
        evidence
    }

    async fn execute(&mut self, sql: &str) -> u64 {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut self.file).await.unwrap().rows_affected()
    }

    async fn body(&mut self, sequence: u64) -> String {
        let sql = format!("SELECT body FROM vip_audit WHERE sequence = {sequence}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut self.file).await.unwrap().get("body")
    }

    async fn set_body(&mut self, sequence: u64, body: &str) {
        let sql = format!("UPDATE vip_audit SET body = ?1 WHERE sequence = {sequence}");
        let done = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(body).execute(&mut self.file).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
    }

    async fn fault(&self, exported: Option<&ChainHead>) -> AuditFault {
        self.provisioner.operator().verify_audit(&tenant(), exported).await.unwrap_err()
    }

    /// Demands a fault of the chain, with the exported head and without it.
    async fn demand(&self, expected: &ChainFault) {
        for exported in [None, Some(&self.head)] {
            let fault = self.fault(exported).await;
            assert!(matches!(&fault, AuditFault::Chain(found) if found == expected), "{fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untouched_chain_verifies_and_a_flipped_byte_names_its_record() {
    let mut evidence = Evidence::collect().await;
    for sequence in 1..=evidence.head.sequence {
        let body = evidence.body(sequence).await;
        // One bit of one byte, wherever it stays text.
        let middle = body.len() / 2;
        let place = (middle..body.len()).find(|place| body.as_bytes()[*place].is_ascii_alphanumeric()).unwrap();
        let mut bytes = body.clone().into_bytes();
        bytes[place] ^= 1;
        evidence.set_body(sequence, &String::from_utf8(bytes).unwrap()).await;
        evidence.demand(&ChainFault::Changed { sequence }).await;
        evidence.set_body(sequence, &body).await;
    }
    let report = evidence.provisioner.operator().verify_audit(&tenant(), Some(&evidence.head)).await.unwrap();
    assert_eq!(report.head, evidence.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_record_is_named() {
    let mut evidence = Evidence::collect().await;
    assert_eq!(evidence.execute("DELETE FROM vip_audit WHERE sequence = 4").await, 1);
    evidence.demand(&ChainFault::Gap { expected: 4, found: 5 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_swapped_records_are_named() {
    let mut evidence = Evidence::collect().await;
    let (third, sixth) = (evidence.body(3).await, evidence.body(6).await);
    evidence.set_body(3, &sixth).await;
    evidence.set_body(6, &third).await;
    evidence.demand(&ChainFault::Changed { sequence: 3 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_tail_is_named_by_the_head_that_remains() {
    let mut evidence = Evidence::collect().await;
    let last = evidence.head.sequence;
    assert_eq!(evidence.execute(&format!("DELETE FROM vip_audit WHERE sequence > {}", last - 2)).await, 2);
    evidence.demand(&ChainFault::Truncated { found: last - 2, exported: last }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_is_cut_together_with_its_head_is_named_by_the_exported_head_and_found_by_version() {
    let mut evidence = Evidence::collect().await;
    let last = evidence.head.sequence;
    assert_eq!(evidence.execute(&format!("DELETE FROM vip_audit WHERE sequence > {}", last - 2)).await, 2);
    let forged = "UPDATE vip_audit_heads SET (sequence, hash) = \
        (SELECT sequence, hash FROM vip_audit ORDER BY sequence DESC LIMIT 1)";
    assert_eq!(evidence.execute(forged).await, 1);
    let fault = evidence.fault(Some(&evidence.head)).await;
    let expected = ChainFault::Truncated { found: last - 2, exported: last };
    assert!(matches!(&fault, AuditFault::Chain(found) if *found == expected), "{fault:?}");
    let fault = evidence.fault(None).await;
    assert!(matches!(&fault, AuditFault::Version(version) if version.found == 0), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_written_anew_is_not_the_exported_one() {
    let mut evidence = Evidence::collect().await;
    // A forger takes one record away and has everything after it sealed again by the product itself.
    evidence.execute("UPDATE vip_audit SET sequence = NULL, hash = NULL WHERE sequence >= 4").await;
    evidence.execute("UPDATE vip_audit SET body = replace(body, 'acme', 'acne') WHERE sequence IS NULL").await;
    let forged = "UPDATE vip_audit_heads SET (sequence, hash) = \
        (SELECT sequence, hash FROM vip_audit WHERE sequence = 3)";
    assert_eq!(evidence.execute(forged).await, 1);
    let fault = evidence.fault(Some(&evidence.head)).await;
    let expected = ChainFault::OtherHistory { sequence: evidence.head.sequence };
    assert!(matches!(&fault, AuditFault::Chain(found) if *found == expected), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_removed_before_it_was_sealed_is_found_by_version() {
    let mut evidence = Evidence::collect().await;
    // Nothing seals in a product that only accepts, until somebody verifies.
    let order = evidence.provisioner.tenant(TENANT).create_server(spec("late")).await.unwrap();
    assert_eq!(truth::all_servers(&evidence.provisioner, TENANT).await.len(), 4);
    assert_eq!(evidence.execute("DELETE FROM vip_audit WHERE sequence IS NULL").await, 1);
    let fault = evidence.fault(Some(&evidence.head)).await;
    let AuditFault::Version(version) = &fault else { panic!("{fault:?}") };
    assert_eq!((version.server, version.version, version.found), (order.server_id(), 1, 0));
    assert!(evidence.site.file().exists());
}
