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
    let batched = Batched::new(Arc::new(provider.clone()), owner(), &Timing::default());
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

/// Creates servers whose actions have these numbers; the cloud itself makes none.
async fn create_with_actions(batched: &Batched, numbers: std::ops::Range<u32>) -> Vec<ProviderActionId> {
    let mut actions = Vec::new();
    for n in numbers {
        let (id, action) = (create(batched, &format!("c-{n}")).await, ProviderActionId::new(n.to_string()).unwrap());
        batched.memory().usual.began(&id, "small", std::slice::from_ref(&action), Instant::now());
        actions.push(action);
    }
    actions
}

#[tokio::test(start_paused = true)]
async fn creates_that_another_process_looked_after_say_nothing_of_how_long_they_take() {
    let (provider, creator, _) = cloud(0);
    let other = Batched::new(Arc::new(provider.clone()), owner(), &Timing::default());
    let actions = create_with_actions(&creator, 0..3).await;
    let unrelated = [ProviderActionId::new("99").unwrap()];
    provider.put_actions(actions.iter().chain(&unrelated).cloned());
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(other.actions(&actions, &context()).await.unwrap().len(), 3);
    // Minutes later the first one asks for another action, and the request is filled up with these.
    tokio::time::advance(Duration::from_secs(289)).await;
    assert_eq!(creator.actions(&unrelated, &context()).await.unwrap().len(), 1);
    assert!(creator.memory().usual.open_actions(9).is_empty());
    assert!(creator.outlook().usual_creates.is_empty());
}

#[tokio::test(start_paused = true)]
async fn servers_that_a_page_shows_long_after_they_ran_say_nothing_of_how_long_creates_take() {
    let (provider, batched, _) = cloud(0);
    for name in ["a-1", "a-2", "a-3"] {
        create(&batched, name).await;
    }
    tokio::time::advance(Duration::from_secs(300)).await;
    let ids = [create(&batched, "a-4").await, create(&batched, "a-5").await];
    let looks = ids.iter().map(|id| async { batched.get(id, &context()).await.unwrap() });
    assert_eq!(join_all(looks).await.into_iter().flatten().count(), 2);
    assert_eq!((provider.calls(ProviderMethod::Inventory), batched.memory().usual.watched(Instant::now())), (1, 2));
    assert!(batched.outlook().usual_creates.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_action_that_nobody_knows_is_not_learned_from_and_one_that_is_looked_at_in_time_is() {
    let (provider, batched, _) = cloud(0);
    let unknown = create_with_actions(&batched, 0..3).await;
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(batched.actions(&unknown, &context()).await.unwrap().is_empty());
    assert!(batched.outlook().usual_creates.is_empty());
    let known = create_with_actions(&batched, 3..6).await;
    provider.put_actions(known.iter().cloned());
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(batched.actions(&known, &context()).await.unwrap().len(), 3);
    assert_eq!(batched.outlook().usual_creates.get("small").map(Duration::as_secs), Some(10));
}
