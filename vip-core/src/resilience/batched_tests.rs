//! Tests of looks that share requests.

use super::*;
use crate::memory::{MemoryProvider, ProviderMethod};
use crate::model::{Labels, OWNER_LABEL};

fn owner() -> InstallationId {
    InstallationId::from_uuid(uuid::Uuid::from_u128(1))
}

fn context() -> RequestContext {
    RequestContext::new(Duration::from_secs(30))
}

/// Makes a cloud with so many servers of ours, one foreign one, and a batching client of it.
fn cloud(count: u32) -> (MemoryProvider, Batched, Vec<ProviderServerId>) {
    let provider = MemoryProvider::default();
    let labels = Labels::from([(OWNER_LABEL.to_owned(), owner().to_string())]);
    let ids = (0..count).map(|n| provider.put(format!("s{n}"), labels.clone()).unwrap()).collect();
    let batched = Batched::new(Arc::new(provider.clone()), owner(), Duration::from_secs(3));
    (provider, batched, ids)
}

#[tokio::test(start_paused = true)]
async fn looks_at_many_servers_share_one_page_and_a_hidden_one_is_asked_for_by_its_id() {
    let (provider, batched, mut ids) = cloud(30);
    let gone = ProviderServerId::new("999").unwrap();
    ids.push(gone.clone());
    let answers = join_all(ids.iter().map(|id| async { batched.get(id, &context()).await.unwrap() })).await;
    for (id, answer) in ids.iter().zip(answers) {
        assert_eq!(answer.map(|seen| seen.id), Some(id.clone()).filter(|id| id != &gone));
    }
    assert_eq!((provider.calls(ProviderMethod::Inventory), provider.calls(ProviderMethod::Get)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_a_page_shows_is_marked_as_listed_and_what_was_asked_for_by_its_id_is_not() {
    let (_, batched, ids) = cloud(2);
    let answers = join_all(ids.iter().map(|id| async { batched.get(id, &context()).await.unwrap() })).await;
    assert!(answers.into_iter().flatten().all(|seen| seen.is_listed));
    assert!(!batched.get(&ids[0], &context()).await.unwrap().unwrap().is_listed);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_has_to_be_by_id_alone_is_never_answered_by_a_page() {
    let (provider, batched, _) = cloud(0);
    let ids = [create(&batched, "a-1").await, create(&batched, "a-2").await, create(&batched, "a-3").await];
    let context = RequestContext { by_id_alone: true, ..context() };
    for gets in [3, 6] {
        let answers = join_all(ids.iter().map(|id| async { batched.get(id, &context).await.unwrap() })).await;
        assert!(answers.into_iter().all(|seen| seen.is_some_and(|seen| !seen.is_listed)));
        assert_eq!((provider.calls(ProviderMethod::Inventory), provider.calls(ProviderMethod::Get)), (0, gets));
    }
}

/// Creates a server through the client.
async fn create(batched: &Batched, name: &str) -> ProviderServerId {
    let request = CreateRequest {
        name: ProviderName::new(name).unwrap(),
        server_type: "small".to_owned(),
        location: "here".to_owned(),
        image: "i".to_owned(),
        ssh_keys: Vec::new(),
        labels: Labels::from([(OWNER_LABEL.to_owned(), owner().to_string())]),
        user_data: None,
        power: crate::model::Power::On,
    };
    batched.create(&request, &context()).await.unwrap().server.id
}

#[tokio::test(start_paused = true)]
async fn a_look_at_a_new_server_finds_what_a_page_showed_a_moment_ago_but_not_once_it_is_being_removed() {
    let (provider, batched, _) = cloud(0);
    let ids = [create(&batched, "a-1").await, create(&batched, "a-2").await, create(&batched, "a-3").await];
    let looks = ids.iter().take(2).map(|id| async { batched.get(id, &context()).await.unwrap() });
    assert_eq!(join_all(looks).await.into_iter().flatten().count(), 2);
    assert!(batched.get(&ids[2], &context()).await.unwrap().is_some());
    assert_eq!((provider.calls(ProviderMethod::Inventory), provider.calls(ProviderMethod::Get)), (1, 0));
    batched.delete(&ids[2], &context()).await.unwrap();
    assert!(batched.get(&ids[2], &context()).await.unwrap().is_none());
    assert_eq!(provider.calls(ProviderMethod::Get), 1);
    // Later it is looked at anew, on the page where it stood.
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(batched.get(&ids[0], &context()).await.unwrap().is_some());
    assert_eq!((provider.calls(ProviderMethod::Inventory), provider.calls(ProviderMethod::Get)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_server_that_a_page_showed_running_waits_for_its_look_and_is_shown_once() {
    let (provider, batched, _) = cloud(0);
    let ids = [create(&batched, "a-1").await, create(&batched, "a-2").await, create(&batched, "a-3").await];
    tokio::time::advance(Duration::from_secs(60)).await;
    let looks = ids.iter().take(2).map(|id| async { batched.get(id, &context()).await.unwrap() });
    assert_eq!(join_all(looks).await.into_iter().flatten().count(), 2);
    // Its look comes long after the page was read: it has run since then.
    tokio::time::advance(Duration::from_secs(50)).await;
    assert!(batched.get(&ids[2], &context()).await.unwrap().is_some());
    assert_eq!((provider.calls(ProviderMethod::Inventory), provider.calls(ProviderMethod::Get)), (1, 0));
    // Those that were shown are looked at anew, and so is this one from now on.
    for (id, gets) in ids.iter().zip(1..) {
        assert!(batched.get(id, &context()).await.unwrap().is_some());
        assert_eq!(provider.calls(ProviderMethod::Get), gets);
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_look_asks_for_itself() {
    let (provider, batched, ids) = cloud(3);
    let context = context();
    assert!(batched.get(&ids[0], &context).await.unwrap().is_some());
    assert_eq!((provider.calls(ProviderMethod::Inventory), provider.calls(ProviderMethod::Get)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn actions_share_one_request_and_each_look_gets_its_own() {
    let (provider, batched, _) = cloud(0);
    let id = |n: u32| ProviderActionId::new(n.to_string()).unwrap();
    provider.put_actions((0..110).map(id));
    let looks = (0..10).map(|n| {
        let batched = &batched;
        async move { batched.actions(&[id(n), id(n + 100)], &context()).await.unwrap() }
    });
    for (n, seen) in join_all(looks).await.into_iter().enumerate() {
        let n = u32::try_from(n).unwrap();
        assert_eq!(seen.into_iter().map(|a| a.id).collect::<Vec<_>>(), [id(n), id(n + 100)]);
    }
    assert_eq!(provider.calls(ProviderMethod::Actions), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_request_is_told_to_all_and_shows_nothing_as_absent() {
    let (provider, batched, ids) = cloud(5);
    let fault = crate::memory::ProviderFault::Refuse(ProviderErrorKind::Unknown);
    provider.fail_next(ProviderMethod::Inventory, fault);
    let answers = join_all(ids.iter().map(|id| async { batched.get(id, &context()).await })).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|e| e.kind == ProviderErrorKind::Unknown)));
}
