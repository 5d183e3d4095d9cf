//! Sweeps that come to no end: that nothing is swept has to be told.

use std::error::Error;
use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures_util::FutureExt as _;

use super::*;
use crate::model::{Labels, OWNER_LABEL, SERVER_LABEL};
use crate::ports::Catalog;
use crate::provisioning::kinds::SweepPayload;
use crate::provisioning::sweep::{Prices, Sweep, SweepEnds, SweepMode};

/// Longest attempt of a worker.
const ATTEMPT: Duration = Duration::from_secs(15 * 60);

/// Keeps a sweep that asks for a price from its end.
#[derive(Debug)]
enum Unpriced {
    Hangs,
    Panics,
}

#[async_trait]
impl Prices for Unpriced {
    async fn catalog(&self, _account: &AccountId) -> Result<Arc<Catalog>, Box<dyn Error + Send + Sync>> {
        match self {
            Self::Hangs => std::future::pending().await,
            Self::Panics => panic!("a bug of the host"),
        }
    }
}

/// Runs a sweep as a worker does.
async fn run(sweep: &Sweep, attempt: &Attempt) {
    let payload = SweepPayload { account: AccountId::default_account() };
    let caught = AssertUnwindSafe(sweep.run(payload, attempt)).catch_unwind();
    let ended = tokio::time::timeout(ATTEMPT, caught).await;
    assert!(!matches!(ended, Ok(Ok(_))), "it has come to its end");
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_are_cut_or_panic_have_failed_but_not_those_that_a_shutdown_cuts() {
    let account = AccountId::default_account();
    for (prices, is_shut_down) in [(Unpriced::Hangs, false), (Unpriced::Panics, false), (Unpriced::Hangs, true)] {
        let product = Product::new().await;
        let (owner, nobody) = (product.context.installation.to_string(), product.context.server_id().to_string());
        let labels = Labels::from([(OWNER_LABEL.to_owned(), owner), (SERVER_LABEL.to_owned(), nobody)]);
        product.provider.put("unrecorded", labels).unwrap();
        let ends = Arc::new(SweepEnds::new(&product.context.timing));
        let sweep = Sweep::new(product.context.clone(), SweepMode::Report).unwrap();
        let sweep = sweep.with_prices(Arc::new(prices)).with_ends(ends.clone());
        drop(product.order("any", None).await.unwrap());
        let attempt = product.claim().await.unwrap();
        if is_shut_down {
            attempt.cut();
        }
        for _ in 0..3 {
            run(&sweep, &attempt).await;
            tokio::time::advance(ATTEMPT).await;
        }
        let told = ends.fault(&account).map(|fault| fault.code);
        assert_eq!(told.as_deref(), (!is_shut_down).then_some("cut"));
        assert_eq!(ends.age(&account).is_some(), !is_shut_down);
    }
}
