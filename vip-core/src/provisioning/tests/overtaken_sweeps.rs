//! Sweeps that stand still while another one finds more missing and an operator vouches for that: what they read before is old.

use super::between_commits::now;
use super::*;
use crate::mocks::MockProviderClient;
use crate::model::{Gate, ServerState, Vouched};
use crate::ports::InventoryPage;
use crate::provisioning::confirm_token;
use crate::provisioning::sweep::{Sweep, SweepMode};

/// Servers that run, and are missing in the end.
const SERVERS: u64 = 4;

fn account() -> AccountId {
    AccountId::default_account()
}

async fn running() -> Arc<Product> {
    let (product, mut servers) = (Product::new().await, Vec::new());
    for number in 0..SERVERS {
        servers.push(product.order(&format!("web-{number}"), None).await.unwrap().operation.server);
    }
    product.settle_within(Duration::from_secs(600)).await;
    for server in servers {
        assert_eq!(product.server(server).await.state, ServerState::Running);
    }
    Arc::new(product)
}

fn client(product: &Product) -> MockProviderClient {
    let mut client = MockProviderClient::new();
    client.expect_token_digest().return_const(product.provider.token_digest());
    client
}

async fn sweep(context: Context) {
    Sweep::new(context, SweepMode::Repair).unwrap().once(&account()).await.unwrap();
}

/// All servers go away, another sweep closes the account for that, and an operator vouches for it.
fn close_and_vouch(product: &Product) {
    for server in product.provider.servers() {
        assert!(product.provider.vanish(&server.id));
    }
    now(sweep(product.context.clone()));
    let closed = now(product.context.store.account(&account())).unwrap();
    assert!(closed.missing_seen == SERVERS && closed.gates.iter().all(|entry| entry.gate != Gate::Open), "{closed:?}");
    let vouched = Vouched { by: Actor::operator("ops").unwrap(), at: START, missing: SERVERS };
    now(confirm_token(&product.context, &account(), &product.provider.token_digest(), &vouched)).unwrap();
}

/// Runs the sweep that is overtaken, and the next one; demands that what the operator has said still counts.
async fn demand_vouched(product: &Product, overtaken: MockProviderClient) {
    let client: Arc<dyn ProviderClient> = Arc::new(overtaken);
    let providers = Arc::new(BTreeMap::from([(account(), client)]));
    for context in [Context { providers, ..product.context.clone() }, product.context.clone()] {
        sweep(context).await;
        let known = product.context.store.account(&account()).await.unwrap();
        assert!(known.gates.iter().all(|entry| entry.gate == Gate::Open), "{known:?}");
        assert_eq!(known.missing_accepted, SERVERS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_stands_still_at_its_looks_closes_no_account_that_was_vouched_for_meanwhile() {
    let product = running().await;
    let mut client = client(&product);
    client.expect_inventory().returning(|_, _, _| Ok(InventoryPage { servers: vec![], next: None }));
    let (meanwhile, mut is_first) = (product.clone(), true);
    client.expect_get().returning(move |_id, _context| {
        if std::mem::take(&mut is_first) {
            close_and_vouch(&meanwhile);
        }
        Ok(None)
    });
    demand_vouched(&product, client).await;
}

#[tokio::test(start_paused = true)]
async fn a_sweep_whose_list_is_older_than_what_was_vouched_for_takes_none_of_it_back() {
    let product = running().await;
    let gone = product.provider.servers().pop().unwrap();
    assert!(product.provider.vanish(&gone.id));
    let mut client = client(&product);
    let meanwhile = product.clone();
    client.expect_inventory().times(1).returning(move |owner, page, context| {
        let listed = now(meanwhile.provider.inventory(owner, page, context));
        close_and_vouch(&meanwhile);
        listed
    });
    demand_vouched(&product, client).await;
}
