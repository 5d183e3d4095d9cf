//! After a backup was put back: no tenant, no order and no account of an order is left out.

use super::*;
use crate::memory::{MemoryStock, ProviderMethod};
use crate::model::{PageLimit, ServerState};
use crate::provisioning::check_token;
use crate::provisioning::converge::{mark_restored, resume};

const LONG: Duration = Duration::from_secs(4 * 3600);
/// One more than are read at once.
const TENANTS: u32 = 101;

fn operator() -> Actor {
    Actor::operator("on-call").unwrap()
}

#[tokio::test(start_paused = true)]
async fn all_orders_of_a_tenant_are_parked_though_a_page_does_not_hold_them() {
    let product = Product::new().await;
    let orders = PageLimit::most().items() + 1;
    for number in 0..orders {
        drop(product.order(&format!("web-{number}"), None).await.unwrap());
    }
    let marked = mark_restored(&product.context, &operator()).await.unwrap();
    assert_eq!((marked.parked, marked.untouched), (u64::from(orders), 0));
}

#[tokio::test(start_paused = true)]
async fn the_orders_of_all_tenants_are_parked_though_one_call_does_not_list_them() {
    let product = Product::new().await;
    let accounts = vec![AccountId::default_account()];
    let command = CreateServer { spec: spec("web-1"), accounts, ..CreateServer::default() };
    for number in 0..TENANTS {
        let tenant = TenantId::new(format!("tenant-{number}")).unwrap();
        let caller = Caller { tenant, ..Product::caller(None) };
        drop(create_server(&product.context, &caller, &command).await.unwrap());
    }
    let marked = mark_restored(&product.context, &operator()).await.unwrap();
    assert_eq!((marked.parked, marked.untouched), (u64::from(TENANTS), 0));
}

/// Makes a product with a second account, whose token was checked.
async fn with_two_accounts() -> (Product, AccountId, MemoryProvider) {
    let product = Product::new().await;
    let (second, elsewhere) =
        (AccountId::new("second").unwrap(), MemoryProvider::with_token(Duration::from_secs(10), "second"));
    let here: Arc<dyn ProviderClient> = Arc::new(product.provider.clone());
    let there: Arc<dyn ProviderClient> = Arc::new(elsewhere.clone());
    let providers = Arc::new(BTreeMap::from([(AccountId::default_account(), here), (second.clone(), there)]));
    let context = Context { providers, ..product.context.clone() };
    check_token(&context, &second).await.unwrap();
    (Product { converge: Converge::new(context.clone()).unwrap(), context, ..product }, second, elsewhere)
}

/// The history that was lost had gone on in the second account, for the first one had no stock then.
#[tokio::test(start_paused = true)]
async fn a_restored_order_is_looked_for_in_each_account_that_it_may_use_before_anything_is_created() {
    let (product, second, elsewhere) = with_two_accounts().await;
    let accounts = vec![AccountId::default_account(), second.clone()];
    let command = CreateServer { spec: spec("web-1"), accounts, ..CreateServer::default() };
    let order = create_server(&product.context, &Product::caller(None), &command).await.unwrap().operation;
    let backup = product.memory.backup();
    product.provider.stock("a", "l", MemoryStock::SoldOut);
    product.settle_within(LONG).await;
    let created = product.server(order.server).await.provider_ref.unwrap();
    assert_eq!(created.account, second);

    product.memory.restore(&backup);
    product.provider.stock("a", "l", MemoryStock::Available);
    assert_eq!(mark_restored(&product.context, &operator()).await.unwrap().parked, 1);
    resume(&product.context, &operator(), &tenant(), order.server).await.unwrap();
    product.settle_within(LONG).await;
    let server = product.server(order.server).await;
    assert_eq!(server.state, ServerState::Running, "{server:#?}");
    let found = server.provider_ref.unwrap();
    assert_eq!((found.account, found.id), (created.account, created.id));
    let made = [&product.provider, &elsewhere].map(|cloud| cloud.ever_created().len());
    assert_eq!(made, [0, 1]);
    let asked = [&product.provider, &elsewhere].map(|cloud| cloud.calls(ProviderMethod::Create));
    assert_eq!(asked, [1, 1], "before the backup was put back");
}
