//! A token of another project in every process: what orders that nobody can serve cost all others, and where new ones go.

use super::account_tests::{backend, cloud, order_in, start, stop};
use super::*;

#[tokio::test(start_paused = true)]
async fn an_account_that_no_process_has_a_good_token_of_slows_no_other_one_down() {
    let backend = backend();
    let (a, b) = (cloud("a"), cloud("b"));
    let before = start(&backend, &a, &b, Placement::Named).await;
    order_in(&before, "old", &["a"]).await.wait().await.unwrap();
    stop(before).await;

    // The gate of the token before is as open as ever, and nobody has that token any more.
    let elsewhere = cloud("another project");
    let product = start(&backend, &elsewhere, &b, Placement::Named).await;
    for number in 0..300 {
        drop(order_in(&product, &format!("stopped-{number}"), &["a"]).await);
    }
    let order = order_in(&product, "web-1", &["b"]).await;
    let fulfilled = tokio::time::timeout(Duration::from_secs(60), order.wait()).await;
    assert!(matches!(fulfilled, Ok(Ok(_))), "{fulfilled:?}");
    assert_eq!((elsewhere.ever_created().len(), b.servers().len()), (0, 1));
    stop(product).await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_closed_gets_no_order_that_another_may_take() {
    let backend = backend();
    let (a, b) = (cloud("a"), cloud("b"));
    let before = start(&backend, &a, &b, Placement::Named).await;
    for (name, account) in [("old-1", "a"), ("old-2", "a"), ("old-3", "a"), ("old-4", "b")] {
        order_in(&before, name, &[account]).await.wait().await.unwrap();
    }
    stop(before).await;

    // `b` has the fewest servers and is closed: what would wait there is recorded nowhere, so that it would get all that follow, too.
    let elsewhere = cloud("another project");
    let product = start(&backend, &a, &elsewhere, Placement::LeastLoaded).await;
    for number in 0..3 {
        let order = order_in(&product, &format!("new-{number}"), &[]).await;
        let server = order.wait().await.unwrap();
        assert_eq!(server.candidates.first().map(|first| first.account.as_str()), Some("a"));
    }
    assert_eq!((a.servers().len(), b.servers().len(), elsewhere.ever_created().len()), (6, 1, 0));
    stop(product).await;

    // With the right token it is the least loaded one again.
    let product = start(&backend, &a, &b, Placement::LeastLoaded).await;
    order_in(&product, "last", &[]).await.wait().await.unwrap();
    assert_eq!((a.servers().len(), b.servers().len()), (6, 2));
    stop(product).await;
}
