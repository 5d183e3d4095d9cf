//! The contract of `ProviderClient`: one case for each bullet.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use std::collections::BTreeSet;
use std::time::Duration;

use super::fixture::{Lapse, ProviderFixture, seconds};
use crate::model::{
    InstallationId, Labels, OWNER_LABEL, ProviderActionId, ProviderName, ProviderServerId, SERVER_LABEL, ServerId,
};
use crate::ports::{
    ActionStatus, ActionView, CreateRequest, Created, Deletion, InventoryPage, ProviderError, ProviderErrorKind,
    RequestContext, Retryability, ServerStatus, ServerView,
};

/// More than fits on any page that we know.
const MANY: u32 = 120;
/// Looks after which a provider has had its chance; each takes it a moment.
const LOOKS: u32 = 100_000;

fn context() -> RequestContext {
    RequestContext::new(seconds(60))
}

fn owner() -> InstallationId {
    "11111111-1111-4111-8111-111111111111".parse().unwrap()
}

fn record(number: u32) -> ServerId {
    format!("22222222-2222-7222-8222-{number:012}").parse().unwrap()
}

/// Orders a server of ours with a label of its orderer.
fn order(fixture: &dyn ProviderFixture, number: u32) -> CreateRequest {
    let mut order = fixture.order();
    order.name = ProviderName::new(format!("web-{number}-0123456789ab")).unwrap();
    order.labels = Labels::from([
        (OWNER_LABEL.to_owned(), owner().to_string()),
        (SERVER_LABEL.to_owned(), record(number).to_string()),
        ("example.com/env".to_owned(), "prod".to_owned()),
    ]);
    order
}

async fn create(fixture: &dyn ProviderFixture, number: u32) -> Result<Created, ProviderError> {
    fixture.client().create(&order(fixture, number), &context()).await
}

async fn find(fixture: &dyn ProviderFixture, number: u32) -> Option<ServerView> {
    fixture.client().find(&order(fixture, number).name, &context()).await.unwrap()
}

/// Asks until the server is as wished.
async fn see(fixture: &dyn ProviderFixture, id: &ProviderServerId, is_wished: fn(Option<&ServerView>) -> bool) {
    for _ in 0..LOOKS {
        if is_wished(fixture.client().get(id, &context()).await.unwrap().as_ref()) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("server {id} never became what was wished");
}

const fn runs(found: Option<&ServerView>) -> bool {
    matches!(found, Some(ServerView { status: ServerStatus::Running, .. }))
}

pub async fn a_create_is_sent_once(fixture: &dyn ProviderFixture) {
    create(fixture, 1).await.unwrap();
    assert_eq!(fixture.creates_seen().await, 1);
    for (number, lapse) in (2..).zip([Lapse::AnswerLost, Lapse::Refused]) {
        let before = fixture.creates_seen().await;
        fixture.next_create(lapse).await;
        create(fixture, number).await.unwrap_err();
        assert_eq!(fixture.creates_seen().await, before + 1, "{lapse:?}");
    }
    let before = fixture.creates_seen().await;
    fixture.next_create(Lapse::RequestLost).await;
    create(fixture, 9).await.unwrap_err();
    assert!(fixture.creates_seen().await <= before + 1);
    assert_eq!(fixture.names().await.len(), 2, "nor is any of them sent later");
}

pub async fn a_lost_answer_is_unknown(fixture: &dyn ProviderFixture) {
    for (number, lapse, is_there) in [(1, Lapse::AnswerLost, true), (2, Lapse::RequestLost, false)] {
        fixture.next_create(lapse).await;
        let error = create(fixture, number).await.unwrap_err();
        assert_eq!(error.kind, ProviderErrorKind::Unknown, "{lapse:?}");
        assert_eq!(find(fixture, number).await.is_some(), is_there, "both are possible: {lapse:?}");
    }
    let id = find(fixture, 1).await.unwrap().id;
    for lapse in [Lapse::RequestLost, Lapse::AnswerLost] {
        fixture.next_delete(lapse).await;
        let error = fixture.client().delete(&id, &context()).await.unwrap_err();
        assert_eq!(error.kind, ProviderErrorKind::Unknown, "{lapse:?}");
    }
    see(fixture, &id, |found| found.is_none()).await;
}

pub async fn a_refusal_has_no_effect(fixture: &dyn ProviderFixture) {
    fixture.next_create(Lapse::Refused).await;
    let error = create(fixture, 1).await.unwrap_err();
    assert_ne!(error.retryability(), Retryability::OutcomeUnknown, "{error}");
    assert_eq!((fixture.names().await, find(fixture, 1).await), (Vec::new(), None));
    let created = create(fixture, 1).await.unwrap().server;
    fixture.next_delete(Lapse::Refused).await;
    let error = fixture.client().delete(&created.id, &context()).await.unwrap_err();
    assert_ne!(error.retryability(), Retryability::OutcomeUnknown, "{error}");
    assert_eq!(fixture.names().await, [created.name]);
}

pub async fn a_name_is_unique(fixture: &dyn ProviderFixture) {
    let first = create(fixture, 1).await.unwrap();
    assert_eq!(create(fixture, 1).await.unwrap_err().kind, ProviderErrorKind::AlreadyExists);
    // Also after an answer that was lost, which is what the name is for.
    fixture.next_create(Lapse::AnswerLost).await;
    create(fixture, 2).await.unwrap_err();
    assert_eq!(create(fixture, 2).await.unwrap_err().kind, ProviderErrorKind::AlreadyExists);
    assert_eq!(fixture.names().await.len(), 2);
    assert_eq!(find(fixture, 1).await.unwrap().id, first.server.id);
}

pub async fn labels_are_there_from_the_start(fixture: &dyn ProviderFixture) {
    let created = create(fixture, 1).await.unwrap().server;
    assert_eq!(created.labels, order(fixture, 1).labels);
    fixture.next_create(Lapse::AnswerLost).await;
    create(fixture, 2).await.unwrap_err();
    let found = find(fixture, 2).await.unwrap();
    assert!(found.is_ours(owner(), record(2)));
    assert_eq!(found.labels, order(fixture, 2).labels);
}

pub async fn deleting_twice_is_success(fixture: &dyn ProviderFixture) {
    let id = create(fixture, 1).await.unwrap().server.id;
    see(fixture, &id, runs).await;
    assert_eq!(fixture.client().delete(&id, &context()).await.unwrap(), Deletion::Accepted);
    see(fixture, &id, |found| found.is_none()).await;
    assert_eq!(fixture.client().delete(&id, &context()).await.unwrap(), Deletion::AlreadyGone);
    assert_eq!((find(fixture, 1).await, fixture.names().await), (None, Vec::new()));
}

pub async fn inventory_lists_all_of_an_owner(fixture: &dyn ProviderFixture) {
    let other = "33333333-3333-4333-8333-333333333333".to_owned();
    let mut wanted = Vec::new();
    for number in 1..=MANY {
        wanted.push(create(fixture, number).await.unwrap().server.id);
        if number % 40 == 0 {
            let mut foreign = order(fixture, 1000 + number);
            foreign.labels = Labels::new();
            fixture.client().create(&foreign, &context()).await.unwrap();
            let mut theirs = order(fixture, 2000 + number);
            theirs.labels.insert(OWNER_LABEL.to_owned(), other.clone());
            fixture.client().create(&theirs, &context()).await.unwrap();
        }
    }
    let listed: Vec<ServerView> = pages(fixture).await.into_iter().flat_map(|(_, part)| part.servers).collect();
    // In whichever order: ids need not grow, and one may stand on two pages.
    let found: BTreeSet<ProviderServerId> = listed.into_iter().map(|server| server.id).collect();
    assert_eq!(found, wanted.into_iter().collect::<BTreeSet<_>>());
}

/// Reads the inventory to its end.
async fn pages(fixture: &dyn ProviderFixture) -> Vec<(u32, InventoryPage)> {
    let (mut pages, mut page) = (Vec::new(), Some(1));
    while let Some(number) = page {
        let part = inventory(fixture, number).await;
        assert!(part.next.is_none_or(|next| next > number), "it comes to an end");
        page = part.next;
        pages.push((number, part));
    }
    pages
}

async fn inventory(fixture: &dyn ProviderFixture, page: u32) -> InventoryPage {
    fixture.client().inventory(owner(), page, &context()).await.unwrap()
}

pub async fn a_list_shows_what_a_look_by_id_shows(fixture: &dyn ProviderFixture) {
    // What an order is confirmed, adopted and removed by.
    let shown = |view: &ServerView| (view.name.clone(), view.status, view.addresses, view.labels.clone());
    for number in 1..=3 {
        let id = create(fixture, number).await.unwrap().server.id;
        see(fixture, &id, runs).await;
    }
    let listed: Vec<ServerView> = pages(fixture).await.into_iter().flat_map(|(_, part)| part.servers).collect();
    for number in 1..=3 {
        let found = find(fixture, number).await.unwrap();
        let by_id = fixture.client().get(&found.id, &context()).await.unwrap().unwrap();
        assert_eq!(shown(&found), shown(&by_id), "by its name");
        let by_page = listed.iter().find(|view| view.id == by_id.id).expect("it is listed");
        assert_eq!(shown(by_page), shown(&by_id), "in the inventory");
        let labelled = fixture.client().find_labelled(owner(), record(number), &context()).await.unwrap();
        assert_eq!(labelled.iter().map(shown).collect::<Vec<_>>(), [shown(&by_id)], "by its labels");
    }
}

pub async fn any_page_may_be_asked_for_at_any_time(fixture: &dyn ProviderFixture) {
    for number in 1..=MANY {
        create(fixture, number).await.unwrap();
    }
    let ids = |part: InventoryPage| part.servers.into_iter().map(|server| server.id).collect::<BTreeSet<_>>();
    let read = pages(fixture).await;
    let last = read.last().map_or(1, |(number, _)| *number);
    for (number, part) in read.into_iter().rev() {
        assert_eq!(ids(inventory(fixture, number).await), ids(part), "page {number} once more");
    }
    for beyond in [last + 1, last + 1000] {
        let part = inventory(fixture, beyond).await;
        assert_eq!((part.servers, part.next), (Vec::new(), None), "page {beyond} of {last}");
    }
}

/// Gives a call far less time than an answer takes that is slow.
fn soon() -> RequestContext {
    RequestContext::new(Duration::from_millis(200))
}

pub async fn a_deadline_ends_a_call(fixture: &dyn ProviderFixture) {
    let soon = soon();
    let limit = seconds(30);
    let client = fixture.client();
    let created = create(fixture, 1).await.unwrap().server;
    fixture.next_create(Lapse::Slow).await;
    let order = order(fixture, 2);
    let answer = tokio::time::timeout(limit, client.create(&order, &soon)).await.expect("the deadline ends it");
    assert_eq!(answer.unwrap_err().kind, ProviderErrorKind::Unknown, "it may have been applied");
    assert!(find(fixture, 2).await.is_some(), "and it was: that is why it is unknown");
    fixture.next_delete(Lapse::Slow).await;
    let answer = tokio::time::timeout(limit, client.delete(&created.id, &soon)).await.expect("the deadline ends it");
    assert_eq!(answer.unwrap_err().kind, ProviderErrorKind::Unknown);
}

/// Says whether a look failed or told the truth: only a mutation must not be repeated, and a client that asks again by itself meets
/// the lapse with its first request alone.
fn is_honest<T>(answer: Result<T, ProviderError>, is_true: impl FnOnce(T) -> bool) -> bool {
    match answer {
        Ok(shown) => is_true(shown),
        Err(_) => true,
    }
}

fn have_succeeded(shown: &[ActionView], asked: &[ProviderActionId]) -> bool {
    shown.len() == asked.len() && shown.iter().all(|action| action.status == ActionStatus::Succeeded)
}

pub async fn a_look_without_an_answer_is_an_error(fixture: &dyn ProviderFixture) {
    let Created { server, actions, .. } = create(fixture, 1).await.unwrap();
    see(fixture, &server.id, runs).await;
    let (client, name) = (fixture.client(), order(fixture, 1).name);
    let is_it = |shown: &ServerView| shown.id == server.id;
    for lapse in [Lapse::AnswerLost, Lapse::RequestLost, Lapse::Refused, Lapse::Slow] {
        let context = if lapse == Lapse::Slow { soon() } else { context() };
        fixture.next_look(lapse).await;
        let found = client.get(&server.id, &context).await;
        assert!(is_honest(found, |found| found.as_ref().is_some_and(is_it)), "by its id: {lapse:?}");
        fixture.next_look(lapse).await;
        let found = client.find(&name, &context).await;
        assert!(is_honest(found, |found| found.as_ref().is_some_and(is_it)), "by its name: {lapse:?}");
        fixture.next_look(lapse).await;
        let labelled = client.find_labelled(owner(), record(1), &context).await;
        assert!(is_honest(labelled, |labelled| labelled.iter().any(is_it)), "by its labels: {lapse:?}");
        fixture.next_look(lapse).await;
        let page = client.inventory(owner(), 1, &context).await;
        assert!(is_honest(page, |page| page.servers.iter().any(is_it)), "the inventory: {lapse:?}");
        // A client without actions asks nobody for them.
        if !actions.is_empty() {
            fixture.next_look(lapse).await;
            let shown = client.actions(&actions, &context).await;
            assert!(is_honest(shown, |shown| have_succeeded(&shown, &actions)), "its actions: {lapse:?}");
        }
    }
    assert_eq!(find(fixture, 1).await.map(|found| found.id), Some(server.id), "it was there all along");
}

pub async fn what_is_there_is_found(fixture: &dyn ProviderFixture) {
    let client = fixture.client();
    let (one, two) = (create(fixture, 1).await.unwrap().server, create(fixture, 2).await.unwrap().server);
    assert_eq!(find(fixture, 2).await.unwrap().id, two.id);
    assert_eq!(find(fixture, 3).await, None);
    assert_eq!(client.get(&one.id, &context()).await.unwrap().unwrap().name, order(fixture, 1).name.as_str());
    let labelled = client.find_labelled(owner(), record(1), &context()).await.unwrap();
    assert_eq!(labelled.iter().map(|server| &server.id).collect::<Vec<_>>(), [&one.id]);
    assert_eq!(client.find_labelled(owner(), record(3), &context()).await.unwrap(), []);
    let stranger = "33333333-3333-4333-8333-333333333333".parse().unwrap();
    assert_eq!(client.find_labelled(stranger, record(1), &context()).await.unwrap(), []);
    client.delete(&two.id, &context()).await.unwrap();
    see(fixture, &two.id, |found| found.is_none()).await;
    assert_eq!(find(fixture, 2).await, None);
}

pub async fn actions_end_and_unknown_ones_are_left_out(fixture: &dyn ProviderFixture) {
    let created = create(fixture, 1).await.unwrap();
    see(fixture, &created.server.id, runs).await;
    let mut asked = created.actions.clone();
    asked.push(ProviderActionId::new("9007199254740991").unwrap());
    let actions = fixture.client().actions(&asked, &context()).await.unwrap();
    assert_eq!(actions.len(), created.actions.len(), "{actions:?}");
    assert!(actions.iter().all(|action| action.status == ActionStatus::Succeeded), "{actions:?}");
}

pub async fn the_digest_stays(fixture: &dyn ProviderFixture) {
    let client = fixture.client();
    let digest = client.token_digest();
    let same = |when: &str| assert_eq!(client.token_digest(), digest, "{when}");
    let id = create(fixture, 1).await.unwrap().server.id;
    same("after the first calls");
    for lapse in [Lapse::Refused, Lapse::AnswerLost] {
        fixture.next_look(lapse).await;
        // The server, if the client repeats a look by itself.
        drop(client.get(&id, &context()).await);
    }
    same("after calls without success");
    fixture.end_session().await;
    // Whoever needs a new session may begin it with the call that finds the old one ended, or with the next.
    drop(client.get(&id, &context()).await);
    assert_eq!(client.get(&id, &context()).await.unwrap().map(|found| found.id), Some(id));
    same("in another session");
}
