//! Secrets leave no trace: not in the audit, not in what is printed, not in the file once they are used.

use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use vip_core::model::TenantId;
use vip_tests::site::{Site, spec};
use vip_tests::truth;

use crate::cloud::{PROJECT, TENANT, client, simulator};

const CANARY: &str = "canary-7c1f9e52-of-the-user-data";

/// Counts how often a secret stands in bytes.
fn hits(bytes: &[u8], secret: &str) -> usize {
    bytes.windows(secret.len()).filter(|window| *window == secret.as_bytes()).count()
}

fn hits_in_files(folder: &Path, secret: &str) -> usize {
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.map(|bytes| hits(&bytes, secret)).sum()
}

fn demand_silence(what: &str, shown: &[u8]) {
    for secret in [CANARY, PROJECT.1] {
        assert_eq!(hits(shown, secret), 0, "a secret stands in {what}");
    }
}

fn demand_silent_debug(what: &str, shown: &impl Debug) {
    demand_silence(what, format!("{shown:?} {shown:#?}").as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_not_in_the_audit_nor_in_what_is_shown_nor_in_the_file_after_use() {
    let logs = tempfile::tempdir().unwrap();
    let log = Arc::new(fs::File::create(logs.path().join("log")).unwrap());
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(log).finish();
    // For the whole process: a subscriber of one thread misses what another thread has asked about first.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let (simulator, site) = (simulator(), Site::default());
    let acceptor = site.builder().await.client_only().await.unwrap();
    let secret_spec = spec("web").user_data(format!("#cloud-config\npassword: {CANARY}"));
    let order = acceptor.tenant(TENANT).create_server(secret_spec.clone()).idempotency_key("one").await.unwrap();
    // It has to be kept until it was sent; this shows, too, that the search below can find it.
    assert!(hits_in_files(site.folder(), CANARY) > 0);
    demand_silent_debug("the order", &(&secret_spec, &order, &order.progress().await.unwrap()));

    let conflict = acceptor.tenant(TENANT).create_server(secret_spec.clone().user_data(format!("{CANARY} other")));
    let conflict = conflict.idempotency_key("one").await.unwrap_err();
    let invalid = spec("").user_data(CANARY.repeat(2_000));
    let invalid = acceptor.tenant(TENANT).create_server(invalid).await.unwrap_err();
    assert!(invalid.to_string().contains("user_data"), "{invalid}");
    for error in [conflict, invalid] {
        demand_silence("an error", format!("{error} {error:?} {:?}", std::error::Error::source(&error)).as_bytes());
    }

    let client = client(&simulator);
    demand_silent_debug("the client", &client);
    let provisioner = site.start(client).await;
    site.until_settled(&provisioner, TENANT).await;
    let servers = truth::all_servers(&provisioner, TENANT).await;
    assert_eq!(servers.len(), 1);
    demand_silent_debug("the product", &(&provisioner, &acceptor, &servers, provisioner.health().await));
    let tenant = TenantId::new(TENANT).unwrap();
    provisioner.operator().verify_audit(&tenant, None).await.unwrap();
    let records = provisioner.operator().audit(&tenant, 0).await.unwrap();
    assert!(records.len() >= 3);
    demand_silent_debug("the audit", &records);

    for product in [acceptor, provisioner] {
        demand_silent_debug("the report", &product.shutdown(Duration::from_secs(5)).await);
    }
    for secret in [CANARY, PROJECT.1] {
        assert_eq!(hits_in_files(site.folder(), secret), 0, "a secret stays in the file");
    }
    let logged = fs::read(logs.path().join("log")).unwrap();
    assert!(hits(&logged, "swept") > 0, "nothing was caught");
    demand_silence("the log", &logged);
}
