//! Keys, quotas, and deletes that overtake creates.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::memory::ProviderMethod;
use crate::model::{OperationStatus, RequestId, ServerState};

#[tokio::test(start_paused = true)]
async fn an_order_becomes_one_running_server_and_a_delete_removes_it() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(seconds(600)).await;
    assert_eq!(product.operation(order.id).await.status, OperationStatus::Succeeded);
    assert_eq!(product.server(order.server).await.state, ServerState::Running);
    assert_eq!(product.provider.servers().len(), 1);

    let deletion = product.delete(order.server).await.unwrap().operation;
    product.settle_within(seconds(600)).await;
    assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Succeeded);
    assert_eq!(product.server(order.server).await.state, ServerState::Deleted);
    assert!(product.provider.servers().is_empty());
    assert_eq!(product.provider.calls(ProviderMethod::Create), 1);
    product.demand_audit().await;
}

#[tokio::test(start_paused = true)]
async fn sixty_four_concurrent_accepts_with_one_key_are_one_order() {
    let (product, store) = Product::yielding().await;
    let product = Arc::new(product);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let product = product.clone();
        tasks.spawn(async move { product.order("web-1", Some("order-1")).await.unwrap() });
    }
    let accepted = tasks.join_all().await;
    assert!(store.keys_taken() > 0, "each found the key of the one before: they were not at once");
    assert!(accepted.iter().all(|one| one.operation.id == accepted[0].operation.id));
    assert_eq!(accepted.iter().filter(|one| !one.replayed).count(), 1);
    product.settle_within(seconds(600)).await;
    assert_eq!(product.provider.ever_created().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_after_the_delete_answers_the_old_operation_and_buys_nothing() {
    let product = Product::new().await;
    let first = product.order("web-1", Some("order-1")).await.unwrap().operation;
    product.settle_within(seconds(600)).await;
    drop(product.delete(first.server).await.unwrap());
    product.settle_within(seconds(600)).await;
    let again = product.order("web-1", Some("order-1")).await.unwrap();
    assert!(again.replayed && again.operation.id == first.id);
    product.settle_within(seconds(600)).await;
    assert_eq!(product.provider.ever_created().len(), 1);
    assert_eq!(product.server(first.server).await.state, ServerState::Deleted);
}

#[tokio::test(start_paused = true)]
async fn another_command_under_the_same_key_is_a_conflict() {
    let product = Product::new().await;
    let order = product.order("web-1", Some("key")).await.unwrap().operation;
    assert!(matches!(product.order("web-2", Some("key")).await, Err(CommandError::IdempotencyConflict)));
    let command = DeleteServer { server: order.server };
    let delete = delete_server(&product.context, &Product::caller(Some("key")), command).await;
    assert!(matches!(delete, Err(CommandError::IdempotencyConflict)));
}

/// Returns an order that names an account, for a product that has the account `default`.
fn named(account: &str) -> CreateServer {
    let (named, accounts) = (AccountId::new(account).unwrap(), vec![AccountId::default_account()]);
    CreateServer { spec: spec("web-1"), named: Some(vec![named]), accounts, ..CreateServer::default() }
}

fn refused_fields(answer: &Result<Accepted, CommandError>) -> Vec<&str> {
    let Err(CommandError::Invalid(invalid)) = answer else { panic!("it is not refused as invalid: {answer:?}") };
    invalid.errors.iter().map(|error| error.field.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_accounts_that_an_order_names_are_a_part_of_what_its_key_stands_for() {
    let product = Product::new().await;
    let caller = Product::caller(Some("key"));
    let first = create_server(&product.context, &caller, &named("default")).await.unwrap().operation;
    let again = create_server(&product.context, &caller, &named("default")).await.unwrap();
    assert!(again.replayed && again.operation.id == first.id);
    // The account has another name by now: the key answers, and a new order is refused.
    let mut renamed = named("default");
    renamed.accounts = vec![AccountId::new("other").unwrap()];
    assert!(create_server(&product.context, &caller, &renamed).await.unwrap().replayed);
    let other_key = Product::caller(Some("other"));
    assert_eq!(refused_fields(&create_server(&product.context, &other_key, &renamed).await), ["account"]);
    renamed.spec = spec("Not A Name");
    assert_eq!(refused_fields(&create_server(&product.context, &other_key, &renamed).await), ["name", "account"]);
    let elsewhere = create_server(&product.context, &caller, &named("other")).await;
    assert!(matches!(elsewhere, Err(CommandError::IdempotencyConflict)), "{elsewhere:?}");
    let anywhere = product.order("web-1", Some("key")).await.unwrap();
    assert!(anywhere.replayed && anywhere.operation.id == first.id, "wherever it is");
}

/// What the product chose stands in the record, as what was named does.
#[tokio::test(start_paused = true)]
async fn a_repeat_that_names_accounts_is_of_an_order_that_may_use_these_alone() {
    let product = Product::new().await;
    let first = product.order("web-1", Some("key")).await.unwrap().operation;
    let caller = Product::caller(Some("key"));
    let [here, elsewhere] = ["default", "other"].map(|name| AccountId::new(name).unwrap());
    for accounts in [vec![here.clone()], vec![elsewhere.clone(), here]] {
        let command = CreateServer { named: Some(accounts), ..named("default") };
        let again = create_server(&product.context, &caller, &command).await.unwrap();
        assert!(again.replayed && again.operation.id == first.id);
    }
    for command in [named("other"), CreateServer { spec: spec("web-2"), ..named("default") }] {
        let refused = create_server(&product.context, &caller, &command).await;
        assert!(matches!(refused, Err(CommandError::IdempotencyConflict)), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_by_the_id_of_an_image_goes_on_and_is_answered_when_the_id_is_allowed_no_more() {
    let product = Product::new().await;
    let (accounts, id) = (vec![AccountId::default_account()], "161547269");
    let image_ids = Arc::new(BTreeSet::from([id.to_owned()]));
    let mut command = CreateServer { spec: spec("web-1").image(id), accounts, image_ids, ..CreateServer::default() };
    let caller = Product::caller(Some("key"));
    let first = create_server(&product.context, &caller, &command).await.unwrap().operation;
    command.image_ids = Arc::default();
    assert!(create_server(&product.context, &caller, &command).await.unwrap().replayed);
    let other_key = Product::caller(Some("other"));
    assert_eq!(refused_fields(&create_server(&product.context, &other_key, &command).await), ["image"]);
    product.settle_within(seconds(600)).await;
    assert_eq!(product.server(first.server).await.state, ServerState::Running);
    assert_eq!(product.provider.ever_created().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_command_uses_up_no_key() {
    let product = Product::new().await;
    assert!(matches!(product.order("Not A Name", Some("key")).await, Err(CommandError::Invalid(_))));
    assert!(matches!(
        product.order_within("web-1", Some("key"), Some(0)).await,
        Err(CommandError::QuotaExceeded { limit: 0 })
    ));
    assert!(!product.order("web-1", Some("key")).await.unwrap().replayed);
}

#[tokio::test(start_paused = true)]
async fn a_quota_of_q_accepts_q_of_four_times_as_many_concurrent_orders() {
    let (product, store) = Product::yielding().await;
    let product = Arc::new(product);
    let quota = 8;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..quota * 4 {
        let product = product.clone();
        tasks.spawn(async move { product.order_within(&format!("web-{number}"), None, Some(quota)).await.is_ok() });
    }
    let accepted = tasks.join_all().await.into_iter().filter(|accepted| *accepted).count();
    assert_eq!(accepted, quota as usize);
    assert_eq!(store.commits_at_once(), quota as usize * 4);
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_given_back_when_the_server_is_gone_and_not_before() {
    let product = Product::new().await;
    let order = product.order_within("web-1", None, Some(1)).await.unwrap().operation;
    product.settle_within(seconds(600)).await;
    drop(product.delete(order.server).await.unwrap());
    assert!(product.order_within("web-2", None, Some(1)).await.is_err(), "still being deleted");
    product.settle_within(seconds(600)).await;
    assert!(product.order_within("web-2", None, Some(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_delete_overtakes_a_create_that_was_never_announced_without_a_request() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let deletion = product.delete(order.server).await.unwrap().operation;
    assert_eq!(product.operation(order.id).await.status, OperationStatus::Superseded);
    product.settle_within(seconds(600)).await;
    assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Succeeded);
    assert_eq!(product.provider.calls(ProviderMethod::Create) + product.provider.calls(ProviderMethod::Delete), 0);
    product.demand_audit().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_delete_answers_the_first_one_and_one_of_a_deleted_server_succeeds_at_once() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let first = product.delete(order.server).await.unwrap();
    let second = product.delete(order.server).await.unwrap();
    assert!(second.replayed && second.operation.id == first.operation.id);
    product.settle_within(seconds(600)).await;
    assert_eq!(product.delete(order.server).await.unwrap().operation.status, OperationStatus::Succeeded);
    let unknown = ServerId::from_uuid(uuid::Uuid::from_u128(9));
    assert!(matches!(product.delete(unknown).await, Err(CommandError::NotFound)));
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(start_paused = true)]
async fn a_request_id_is_in_the_operation_the_job_and_every_audit_record_of_the_order() {
    let product = Product::new().await;
    let request_id = RequestId::new("req-7").unwrap();
    let caller = Caller { request_id: Some(request_id.clone()), ..Product::caller(None) };
    let command =
        CreateServer { spec: spec("web-1"), accounts: vec![AccountId::default_account()], ..CreateServer::default() };
    let order = create_server(&product.context, &caller, &command).await.unwrap().operation;
    assert_eq!(order.request_id.as_ref(), Some(&request_id));
    let attempt = product.claim().await.unwrap();
    assert_eq!(attempt.job().request_id.as_ref(), Some(&request_id));
    drop(product.run(attempt).await);
    product.settle_within(seconds(600)).await;
    product.demand_audit().await;
    let records = product.context.store.sealed(&tenant(), 0, 200).await.unwrap();
    assert!(records.len() >= 3, "accepted, announced, running");
    for record in records {
        assert!(record.body.contains("\"request_id\":\"req-7\""), "{}", record.body);
    }
}

/// The first try may be on its way still, and be applied when the quota is free again: "refused" would be too much said.
#[cfg(feature = "mocks")]
#[tokio::test(start_paused = true)]
async fn an_order_whose_repeated_commit_meets_the_quota_has_an_unknown_outcome() {
    use crate::ports::StoreError;
    let product = Product::new().await;
    let command = CreateServer {
        spec: spec("web-1"),
        accounts: vec![AccountId::default_account()],
        quota: Some(1),
        ..CreateServer::default()
    };
    for (unknown_first, is_unknown) in [(false, false), (true, true)] {
        let mut store = crate::mocks::MockStore::new();
        let mut tries = 0;
        store.expect_commit().returning(move |_change| {
            tries += 1;
            let lost = unknown_first && tries == 1;
            Err(if lost {
                StoreError::OutcomeUnknown { source: "lost".into() }
            } else {
                StoreError::QuotaExceeded { limit: 1 }
            })
        });
        let context = Context { store: Arc::new(store), ..product.context.clone() };
        let refused = create_server(&context, &Product::caller(None), &command).await.unwrap_err();
        assert_eq!(matches!(refused, CommandError::OutcomeUnknown { .. }), is_unknown, "{refused:?}");
        assert_eq!(matches!(refused, CommandError::QuotaExceeded { limit: 1 }), !is_unknown, "{refused:?}");
    }
}
