//! A cloud whose lists say less of a server than a look by its id: no server is lost by it.

use futures_util::FutureExt as _;

use super::*;
use crate::memory::ProviderMethod;
use crate::mocks::MockProviderClient;
use crate::model::{Addresses, FailReason, ServerState};
use crate::ports::{Outlook, ServerStatus, ServerView};

/// The memory provider answers at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

/// Is what a list of summaries shows of a server: neither how it is nor its addresses.
fn summary(view: ServerView) -> ServerView {
    ServerView { status: ServerStatus::Other, addresses: Addresses::default(), is_listed: true, ..view }
}

/// Makes a product whose looks by id are answered by such a list, unless they have to be by id alone.
async fn on_summaries(create_time: Duration) -> Product {
    let mut product = Product::on(MemoryProvider::new(create_time), installation(1)).await;
    let mut client = MockProviderClient::new();
    client.expect_token_digest().return_const(product.provider.token_digest());
    client.expect_outlook().returning(Outlook::default);
    client.expect_reserve().returning(|_effect, request| Ok(request));
    let provider = product.provider.clone();
    client.expect_create().returning(move |request, context| now(provider.create(request, context)));
    let provider = product.provider.clone();
    client.expect_delete().returning(move |id, context| now(provider.delete(id, context)));
    let provider = product.provider.clone();
    client.expect_get().returning(move |id, context| {
        let seen = now(provider.get(id, context))?;
        Ok(if context.by_id_alone { seen } else { seen.map(summary) })
    });
    let client: Arc<dyn ProviderClient> = Arc::new(client);
    let providers = Arc::new(BTreeMap::from([(AccountId::default_account(), client)]));
    product.converge = Converge::new(Context { providers, ..product.context.clone() }).unwrap();
    product
}

/// Orders a server and lets the time go by that a create may take, and some more.
async fn ordered(product: &Product) -> Server {
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(product.context.timing.create_timeout + Duration::from_secs(600)).await;
    product.server(order.server).await
}

#[tokio::test(start_paused = true)]
async fn a_server_that_runs_is_kept_though_no_list_ever_says_so() {
    let product = on_summaries(Duration::from_secs(10)).await;
    let server = ordered(&product).await;
    assert_eq!((server.state, product.provider.calls(ProviderMethod::Delete)), (ServerState::Running, 0));
    assert_ne!(server.addresses, Addresses::default());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_itself_that_it_does_not_run_in_time_is_removed() {
    let product = on_summaries(Duration::from_secs(24 * 3600)).await;
    let server = ordered(&product).await;
    assert_eq!((server.state, server.fail_reason), (ServerState::Failed, Some(FailReason::CreateTimeout)));
    assert_eq!(product.provider.servers(), []);
}
