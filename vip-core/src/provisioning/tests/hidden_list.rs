//! Lists that hide servers: some of the missing are looked at before an account is closed. A list without an end is none.

use super::*;
use crate::mocks::MockProviderClient;
use crate::model::{Gate, OWNER_LABEL, ServerState};
use crate::ports::{InventoryPage, ProviderError, ProviderErrorKind, ServerView};
use crate::provisioning::gate::inventory;
use crate::provisioning::sweep::{Sweep, SweepMode};

/// Says what the first, second … look is answered, given the server that is looked at.
type Answer = fn(u32, ServerView) -> Result<Option<ServerView>, ProviderError>;

/// Sweeps four servers once with a list that hides all of them; says whether that closes the account, after so many looks.
async fn closes(looks: usize, answer: Answer) -> bool {
    let (product, account) = (Product::new().await, AccountId::default_account());
    let mut servers = Vec::new();
    for number in 0..4 {
        servers.push(product.order(&format!("web-{number}"), None).await.unwrap().operation.server);
    }
    product.settle_within(Duration::from_secs(600)).await;
    for server in servers {
        assert_eq!(product.server(server).await.state, ServerState::Running);
    }
    let mut client = MockProviderClient::new();
    client.expect_token_digest().return_const(product.provider.token_digest());
    client.expect_inventory().returning(|_, _, _| Ok(InventoryPage { servers: vec![], next: None }));
    let (provider, mut look) = (product.provider.clone(), 0);
    client.expect_get().times(looks).returning(move |id, _| {
        look += 1;
        answer(look, provider.servers().into_iter().find(|view| view.id == *id).unwrap())
    });
    let client: Arc<dyn ProviderClient> = Arc::new(client);
    let providers = Arc::new(BTreeMap::from([(account.clone(), client)]));
    let context = Context { providers, ..product.context.clone() };
    Sweep::new(context, SweepMode::Repair).unwrap().once(&account).await.unwrap();
    let gates = product.context.store.account(&account).await.unwrap().gates;
    assert_eq!(gates.len(), 1);
    gates.iter().any(|entry| entry.gate != Gate::Open)
}

#[tokio::test(start_paused = true)]
async fn one_that_is_missing_for_good_closes_no_account_when_a_list_hides_others() {
    let without_labels: Answer = |look, mut view| {
        if look == 1 {
            view.labels.clear();
        }
        Ok(Some(view))
    };
    let unreadable: Answer = |look, view| {
        if look == 1 {
            Err(ProviderError::new(ProviderErrorKind::Unknown, "unreadable_server"))
        } else {
            Ok(Some(view))
        }
    };
    for answer in [without_labels, unreadable] {
        assert!(!closes(2, answer).await);
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_is_closed_if_none_of_three_that_are_missing_is_there_and_ours() {
    let gone: Answer = |_look, _view| Ok(None);
    let unreadable: Answer = |_look, _view| Err(ProviderError::new(ProviderErrorKind::Unknown, "unreadable_server"));
    let of_another: Answer = |_look, mut view| {
        view.labels.insert(OWNER_LABEL.to_owned(), installation(2).to_string());
        Ok(Some(view))
    };
    for answer in [gone, unreadable, of_another] {
        assert!(closes(3, answer).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_has_ten_thousand_pages_at_most_and_one_with_more_is_not_read_as_a_shorter_one() {
    let product = Product::new().await;
    for (pages, code) in [(10_000, None), (10_001, Some("endless_inventory"))] {
        let mut client = MockProviderClient::new();
        client.expect_inventory().returning(move |_, page, _| {
            let next = (page < pages).then_some(page + 1);
            Ok(InventoryPage { servers: vec![], next })
        });
        let read = inventory(&product.context, &client).await;
        assert_eq!(read.err().map(|error| error.code).as_deref(), code, "{pages} pages");
    }
}
