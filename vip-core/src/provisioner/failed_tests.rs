//! A loop that cannot be kept up: the product says which, and ends in order all the same.

use super::*;
use crate::memory::{MemoryProvider, memory_backend};
use crate::runtime::HealthStatus;

/// Pause between two panics: after it the loop runs again, or panics as soon as it does.
const PAUSE: Duration = Duration::from_millis(500);
/// More panics than any loop is kept up after.
const PANICS_MOST: u32 = 20;

#[tokio::test(start_paused = true)]
async fn a_product_with_a_loop_that_cannot_be_kept_up_says_which_and_ends_in_order() {
    let product = Provisioner::builder(memory_backend()).provider(MemoryProvider::default()).start().await.unwrap();
    let mut said = None;
    for _ in 0..PANICS_MOST {
        assert!(product.provoke_panic("gates"));
        said = tokio::time::timeout(PAUSE, product.failed()).await.ok();
        if said.is_some() {
            break;
        }
    }
    let expected = "background loop gates failed 5 times within 60s, at last: panicked: provoked";
    assert_eq!(said.as_deref(), Some(expected), "{:?}", product.loops());
    let health = product.health().await;
    let part = health.parts.iter().find(|part| part.name == "loop gates").unwrap();
    assert_eq!(part.status, HealthStatus::Down, "{part:?}");
    let report = product.shutdown(Duration::from_secs(5)).await;
    assert!(report.is_clean() && report.within_deadline, "{report}");
    let given_up: Vec<&str> = report.loops.iter().filter(|it| it.given_up).map(|it| it.name.as_str()).collect();
    assert_eq!(given_up, ["gates"]);
}
