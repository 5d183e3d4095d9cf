//! Tests of repeats and deadlines.

use super::*;
use crate::memory::{MemoryProvider, ProviderFault, ProviderMethod};
use crate::model::Labels;
use crate::ports::SeededRandomness;

fn retrying(provider: &MemoryProvider, repeats: u32) -> Retrying {
    let policy = RetryPolicy { repeats, ..RetryPolicy::default() };
    Retrying::new(Arc::new(provider.clone()), policy, Arc::new(SeededRandomness::new(1)))
}

fn context() -> RequestContext {
    RequestContext::new(Duration::from_secs(30))
}

fn fail(provider: &MemoryProvider, method: ProviderMethod, kind: ProviderErrorKind, times: u32) {
    (0..times).for_each(|_| provider.fail_next(method, ProviderFault::Refuse(kind)));
}

#[tokio::test(start_paused = true)]
async fn a_read_is_repeated_as_often_as_the_policy_says_and_not_once_more() {
    for (failures, calls, found) in [(2, 3, true), (3, 3, false)] {
        let provider = MemoryProvider::default();
        let id = provider.put("web", Labels::new()).unwrap();
        fail(&provider, ProviderMethod::Get, ProviderErrorKind::Unknown, failures);
        let seen = retrying(&provider, 2).get(&id, &context()).await;
        assert_eq!((seen.is_ok(), provider.calls(ProviderMethod::Get)), (found, calls));
    }
}

#[tokio::test(start_paused = true)]
async fn an_effect_is_repeated_only_if_it_never_left() {
    for (kind, calls) in [(ProviderErrorKind::Unknown, 1), (ProviderErrorKind::NotSent, 2)] {
        let provider = MemoryProvider::default();
        let id = provider.put("web", Labels::new()).unwrap();
        fail(&provider, ProviderMethod::Delete, kind, 1);
        assert_eq!(retrying(&provider, 2).delete(&id, &context()).await.is_ok(), calls == 2);
        assert_eq!(provider.calls(ProviderMethod::Delete), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_or_limited_is_not_repeated() {
    let throttled = ProviderErrorKind::Throttled { retry_after: Duration::from_secs(1) };
    for kind in [throttled, ProviderErrorKind::Busy, ProviderErrorKind::Unauthorized] {
        let provider = MemoryProvider::default();
        let id = provider.put("web", Labels::new()).unwrap();
        fail(&provider, ProviderMethod::Get, kind, 1);
        assert_eq!(retrying(&provider, 2).get(&id, &context()).await.unwrap_err().kind, kind);
        assert_eq!(provider.calls(ProviderMethod::Get), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn repeats_end_when_the_credit_does_and_come_back_with_calls_that_go_well() {
    let provider = MemoryProvider::default();
    let id = provider.put("web", Labels::new()).unwrap();
    let client = retrying(&provider, 1);
    fail(&provider, ProviderMethod::Get, ProviderErrorKind::Unknown, 12);
    for _ in 0..7 {
        assert!(client.get(&id, &context()).await.is_err());
    }
    // Five repeats were paid for; two calls had none.
    assert_eq!(provider.calls(ProviderMethod::Get), 12);
    for _ in 0..9 {
        assert!(client.get(&id, &context()).await.is_ok());
    }
    fail(&provider, ProviderMethod::Get, ProviderErrorKind::Unknown, 1);
    assert!(client.get(&id, &context()).await.is_err());
    assert!(client.get(&id, &context()).await.is_ok());
    fail(&provider, ProviderMethod::Get, ProviderErrorKind::Unknown, 1);
    assert!(client.get(&id, &context()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_time_nothing_is_sent_and_a_repeat_that_does_not_fit_is_not_tried() {
    let provider = MemoryProvider::default();
    let id = provider.put("web", Labels::new()).unwrap();
    let client = retrying(&provider, 2);
    let error = client.get(&id, &RequestContext::new(Duration::ZERO)).await.unwrap_err();
    assert_eq!((error.kind, error.service), (ProviderErrorKind::NotSent, Service::Unasked));
    assert_eq!(provider.calls(ProviderMethod::Get), 0);
    fail(&provider, ProviderMethod::Get, ProviderErrorKind::Unknown, 1);
    assert!(client.get(&id, &RequestContext::new(Duration::from_micros(1))).await.is_err());
    assert_eq!(provider.calls(ProviderMethod::Get), 1);
}
