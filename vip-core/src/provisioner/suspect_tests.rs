//! A token of another project in every process: what orders that nobody can serve cost all others.

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
