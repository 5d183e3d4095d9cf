//! Orders that are sent many times, or by many at once, over several processes' worth of products on one file.

use std::time::Duration;

use vip_core::Provisioner;
use vip_core::model::{OperationId, ServerState};
use vip_core::provisioner::OperationHandle;
use vip_core::provisioning::accept::CommandError;
use vip_tests::site::{Site, patient, spec};
use vip_tests::truth;

use tokio::task::JoinSet;

use crate::cloud::{PROJECT, TENANT, client, simulator};

/// Starts products that only accept, each with a backend of its own.
async fn acceptors(site: &Site, count: usize, quota: u32) -> Vec<Provisioner> {
    let mut products = Vec::new();
    for _ in 0..count {
        products.push(site.builder().await.quota(quota).client_only().await.unwrap());
    }
    products
}

/// Sends orders at once, in turn through all products.
async fn at_once(
    products: &[Provisioner],
    count: usize,
    key: Option<&'static str>,
) -> Vec<Result<OperationHandle, CommandError>> {
    let mut orders = JoinSet::new();
    for product in products.iter().cycle().take(count) {
        let product = product.clone();
        orders.spawn(async move {
            let order = product.tenant(TENANT).create_server(spec("web"));
            match key {
                Some(key) => order.idempotency_key(key).await,
                None => order.await,
            }
        });
    }
    orders.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_concurrent_orders_with_one_key_are_one_order_even_after_its_server_was_deleted() {
    let (simulator, site) = (simulator(), Site::default());
    let products = acceptors(&site, 4, 100).await;
    let answers: Vec<OperationHandle> =
        at_once(&products, 64, Some("order-1")).await.into_iter().map(Result::unwrap).collect();
    let first: OperationId = answers[0].id();
    assert!(answers.iter().all(|answer| answer.id() == first && answer.server_id() == answers[0].server_id()));
    assert_eq!(answers.iter().filter(|answer| !answer.is_replayed()).count(), 1);

    let worker = site.start(client(&simulator)).await;
    site.until_settled(&worker, TENANT).await;
    assert_eq!(truth::all_servers(&worker, TENANT).await.len(), 1);
    drop(worker.tenant(TENANT).delete_server(answers[0].server_id()).await.unwrap());
    site.until_settled(&worker, TENANT).await;

    let repeats = at_once(&products, 8, Some("order-1")).await;
    assert!(repeats.iter().all(|repeat| repeat.as_ref().is_ok_and(|it| it.id() == first && it.is_replayed())));
    site.run(patient().sweep_grace * 2).await;
    let servers = truth::all_servers(&worker, TENANT).await;
    assert_eq!(servers.iter().map(|server| server.state).collect::<Vec<_>>(), [ServerState::Deleted]);
    let ledger = simulator.ledger();
    assert_eq!((ledger.servers.len(), ledger.live(PROJECT.0).count()), (1, 0));
}

/// The simulated cloud takes an image by its id as the real one does, where it may be the snapshot of another tenant.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_ordered_by_an_id_only_if_the_host_allows_that_one() {
    const ID: &str = "161547269";
    let (simulator, site) = (simulator(), Site::default());
    let worker = site.start(client(&simulator)).await;
    for image in [ID, "0161547269", "+161547269", "161547270"] {
        let refused = worker.tenant(TENANT).create_server(spec("web").image(image)).await;
        let Err(CommandError::Invalid(invalid)) = &refused else { panic!("{image} is taken: {refused:?}") };
        assert_eq!(invalid.errors.iter().map(|it| it.field.as_str()).collect::<Vec<_>>(), ["image"], "{image}");
    }
    assert!(truth::all_servers(&worker, TENANT).await.is_empty());
    drop(worker.shutdown(Duration::from_secs(5)).await);
    let ledger = simulator.ledger();
    assert_eq!((ledger.servers.len(), ledger.requests_of("POST", "/servers")), (0, 0));

    let builder = site.builder().await.provider(client(&simulator)).image_ids([ID]);
    let allowing = builder.start().await.unwrap();
    drop(allowing.tenant(TENANT).create_server(spec("web").image(ID)).await.unwrap());
    assert!(allowing.tenant(TENANT).create_server(spec("web").image("161547270")).await.is_err());
    site.until_settled(&allowing, TENANT).await;
    assert_eq!(simulator.ledger().live(PROJECT.0).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_four_times_the_quota_exactly_the_quota_is_accepted() {
    const QUOTA: u32 = 7;
    let site = Site::default();
    let products = acceptors(&site, 4, QUOTA).await;
    let answers = at_once(&products, 4 * QUOTA as usize, None).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((accepted.len(), refused.len()), (7, 21));
    for answer in refused {
        assert!(matches!(answer, Err(CommandError::QuotaExceeded { limit: QUOTA })), "{answer:?}");
    }
    let servers = truth::all_servers(&products[0], TENANT).await;
    assert_eq!(servers.len(), 7);
    // What is given back can be taken once more, and not twice.
    drop(products[1].tenant(TENANT).delete_server(servers[0].id).await.unwrap());
    let worker = site.start(client(&simulator())).await;
    site.until_settled(&worker, TENANT).await;
    let answers = at_once(&products, 4, None).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
}
