//! What the log says of orders that fail or are parked: once for each time, with the reason, and of nothing that was not written.

use super::between_commits::now;
use super::one_attempt::{client, context_with, mock_store, run_with};
use super::*;
use crate::memory::{ProviderFault, ProviderMethod};
use crate::model::{RequestId, ServerState};
use crate::ports::{Outlook, ProviderError, ProviderErrorKind, StoreError};
use crate::provisioning::converge::resume;
use crate::telemetry::heard::Heard;
use crate::telemetry::unwritable::unwritable;

/// Whatever is told: both lines begin so.
const TOLD: &str = "message=an order ";

fn refuse(product: &Product, kind: ProviderErrorKind, times: usize) {
    (0..times).for_each(|_| product.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(kind)));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_refused_for_good_is_told_once_with_what_its_operator_looks_for() {
    let product = Product::new().await;
    let caller = Caller { request_id: Some(RequestId::new("panel-77").unwrap()), ..Product::caller(None) };
    let command =
        CreateServer { spec: spec("web-1"), accounts: vec![AccountId::default_account()], ..CreateServer::default() };
    let order = create_server(&product.context, &caller, &command).await.unwrap().operation;
    let mut client = client(&product, Outlook::default());
    client.expect_reserve().returning(|_effect, request| Ok(request));
    client.expect_create().times(1).returning(|_request, _context| {
        let refused = ProviderError::new(ProviderErrorKind::InvalidInput, "invalid_input");
        Err(refused.with_correlation_id(Some("c-1".to_owned())))
    });
    let (heard, _on_this_thread) = Heard::listen();
    assert_eq!(run_with(&product, context_with(&product, client)).await, JobOutcome::Done);
    assert_eq!(product.server(order.server).await.state, ServerState::Failed);
    let lines = heard.lines(TOLD);
    let server = format!("server.id={} ", order.server);
    let parts = [
        "an order fails ",
        server.as_str(),
        "tenant=acme ",
        "reason=\"rejected\" ",
        "code=\"invalid_input\" ",
        "provider.correlation_id=\"c-1\" ",
        "request_id=\"panel-77\" ",
    ];
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(parts.iter().all(|part| lines[0].contains(part)), "{lines:?}");
}

/// Its cause is looked at again each hour, and each time a create is announced and refused.
#[tokio::test(start_paused = true)]
async fn an_order_that_is_parked_is_told_once_until_it_has_gone_on_and_is_parked_again() {
    let product = Product::new().await;
    refuse(&product, ProviderErrorKind::AccountLimit, 10);
    let (heard, _on_this_thread) = Heard::listen();
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(Duration::from_secs(3 * 3600)).await;
    assert!(product.provider.calls(ProviderMethod::Create) > 2, "it was looked at again");
    let lines = heard.lines(TOLD);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("is parked") && lines[0].contains("reason=\"provider_limit\""), "{lines:?}");

    resume(&product.context, &Product::caller(None).actor, &tenant(), order.server).await.unwrap();
    product.settle_within(Duration::from_secs(10)).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Parked);
    assert_eq!(heard.lines(TOLD).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_written_or_not_known_to_be_is_not_told() {
    type Make = fn() -> StoreError;
    let refused: Make = || StoreError::Conflict;
    let unknown: Make = || StoreError::OutcomeUnknown { source: "no answer".into() };
    for error in [refused, unknown] {
        let product = Product::new().await;
        refuse(&product, ProviderErrorKind::InvalidInput, 1);
        let order = product.order("web-1", None).await.unwrap().operation;
        let mut store = mock_store(&product);
        let memory = product.context.store.clone();
        store.expect_commit().returning(move |change| {
            if change.server.fail_reason.is_some() { Err(error()) } else { now(memory.commit(change)) }
        });
        let (heard, _on_this_thread) = Heard::listen();
        drop(run_with(&product, Context { store: Arc::new(store), ..product.context.clone() }).await);
        let server = product.server(order.server).await;
        assert!(server.intent.is_some() && product.provider.calls(ProviderMethod::Create) == 1, "{server:#?}");
        assert_eq!(heard.lines(TOLD), Vec::<String>::new(), "{:?}", error());
    }
}

/// The server is gone before it ran; for ten minutes that is not believed.
#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_written_keeps_no_order_from_its_end() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    drop(product.run(product.claim().await.unwrap()).await);
    let created = product.server(order.server).await.provider_ref.unwrap();
    assert!(product.provider.vanish(&created.id));
    let _log = unwritable();
    product.settle_within(Duration::from_secs(1200)).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Failed);
}
