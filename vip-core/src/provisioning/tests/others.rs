//! A token that is refused here while another token of the account was good: what the order waits for.

use super::*;
use crate::model::{
    Gate, ProviderServerId, ServerState, Sighting, SightingClass, SightingKey, TokenDigest, WaitReason,
};
use crate::provisioning::gate;

/// Longest wait of an order that another process may be able to serve.
const SOON: Duration = Duration::from_secs(30);

/// Makes a product whose own token is blocked until `probe_at` from now, while another one was good.
async fn blocked_for(probe_in: Duration) -> (Product, Context) {
    let product = Product::new().await;
    let account = AccountId::default_account();
    let elsewhere: Arc<dyn ProviderClient> = Arc::new(MemoryProvider::with_token(Duration::ZERO, "exchanged"));
    let providers = Arc::new(BTreeMap::from([(account.clone(), elsewhere)]));
    let refused = Context { providers, ..product.context.clone() };
    let known = product.context.store.account(&account).await.unwrap();
    let probe_at = product.context.store.now().await.unwrap().plus(probe_in);
    let closed = known.with_gate(&TokenDigest::of("exchanged"), Gate::Blocked { probe_at }, 1);
    product.context.store.save_account(&closed).await.unwrap();
    (product, refused)
}

#[tokio::test(start_paused = true)]
async fn an_order_blocked_here_is_tried_again_within_thirty_seconds_where_another_token_was_good_and_never_hotly() {
    let (product, refused) = blocked_for(Duration::from_secs(3600)).await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let handler = Converge::new(refused).unwrap();
    let (begin, mut tries) = (Instant::now(), 0_u32);
    while begin.elapsed() < Duration::from_secs(600) {
        let Some(attempt) = product.claim().await else {
            tokio::time::advance(Duration::from_millis(100)).await;
            continue;
        };
        let outcome = handler.run(attempt.job().payload.decode().unwrap(), &attempt).await;
        let JobOutcome::Snooze { delay } = outcome else { panic!("{outcome:?}") };
        assert!(delay <= SOON && delay >= SOON / 2, "{delay:?}");
        let settled = Settlement { lease: attempt.lease(), verdict: Verdict::Snooze { delay } };
        product.context.queue.settle(&[settled]).await.unwrap();
        tries += 1;
        assert_eq!(product.server(order.server).await.wait_reason, Some(WaitReason::AccountBlocked));
    }
    assert!((20..=40).contains(&tries), "{tries} tries in ten minutes");
    // The process whose token is good takes it at its next turn.
    product.settle_within(SOON + Duration::from_secs(60)).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Running);
    assert_eq!(product.provider.ever_created().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_blocked_here_waits_for_the_probe_if_that_comes_sooner() {
    let (product, refused) = blocked_for(Duration::from_secs(10)).await;
    drop(product.order("web-1", None).await.unwrap());
    let attempt = product.claim().await.unwrap();
    let handler = Converge::new(refused).unwrap();
    let outcome = handler.run(attempt.job().payload.decode().unwrap(), &attempt).await;
    let JobOutcome::Snooze { delay } = outcome else { panic!("{outcome:?}") };
    assert!(delay <= Duration::from_secs(10) && delay > Duration::from_secs(1), "{delay:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_has_to_look_for_what_a_sweep_has_seen_is_blocked_and_left_to_others_like_an_order() {
    let (product, refused) = blocked_for(Duration::from_secs(3600)).await;
    let order = product.order("web-1", None).await.unwrap().operation;
    drop(product.delete(order.server).await.unwrap());
    let store = &product.context.store;
    let (account, now) = (AccountId::default_account(), store.now().await.unwrap());
    let seen = Sighting {
        key: SightingKey { account: account.clone(), id: ProviderServerId::new("7").unwrap() },
        server: Some(order.server),
        class: SightingClass::Resurfaced,
        first_seen: now,
        last_seen: now,
        count: 1,
        ripe: true,
    };
    store.sight(&account, &[seen]).await.unwrap();
    let attempt = product.claim().await.unwrap();
    let handler = Converge::new(refused.clone()).unwrap();
    let outcome = handler.run(attempt.job().payload.decode().unwrap(), &attempt).await;
    let JobOutcome::Snooze { delay } = outcome else { panic!("{outcome:?}") };
    assert!(delay <= SOON && delay >= SOON / 2, "{delay:?}");
    let loaded = store.load(&tenant(), order.server).await.unwrap().unwrap();
    assert_eq!(loaded.server.state, ServerState::Deleting);
    assert!(gate::is_blocked(&refused, &loaded));
    assert!(!gate::is_blocked(&product.context, &loaded), "another process may look for it");
}
