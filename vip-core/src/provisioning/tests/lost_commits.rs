//! A store that has lost the latest commits of an attempt that goes on, as after a failover: what the attempt has made is found again.

use std::sync::Mutex;

use super::between_commits::now;
use super::*;
use crate::memory::{MemoryBackup, ProviderFault, ProviderMethod};
use crate::mocks::MockProviderClient;
use crate::model::ServerState;
use crate::ports::{Outlook, ProviderError, ProviderErrorKind, ServerView};
use crate::provisioning::check_token;

const LONG: Duration = Duration::from_secs(4 * 3600);

/// Says which request is under way while the store goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum During {
    /// The create, which is answered.
    Create,
    /// The first look by id, after a create without an answer.
    Look,
    /// The first look by name, after a create without an answer: it fails, so that nothing but a note follows.
    FailedLook,
}

/// Puts a store back to where it was when a create had its turn, which is before it is announced.
#[derive(Clone)]
struct Failover {
    memory: MemoryBackend,
    kept: Arc<Mutex<Option<MemoryBackup>>>,
}

impl Failover {
    fn remember(&self) {
        *self.kept.lock().unwrap() = Some(self.memory.backup());
    }

    /// Happens once; says whether it did now.
    fn happen(&self) -> bool {
        let kept = self.kept.lock().unwrap().take();
        kept.is_some_and(|kept| {
            self.memory.restore(&kept);
            true
        })
    }
}

/// Makes a client of the first account: of all creates there the one of this number finds stock, and a server is made.
fn client(product: &Product, number: u32, during: During) -> MockProviderClient {
    let failover = Failover { memory: product.memory.clone(), kept: Arc::default() };
    let mut client = MockProviderClient::new();
    client.expect_token_digest().return_const(product.provider.token_digest());
    client.expect_outlook().returning(Outlook::default);
    let (before, mut turns) = (failover.clone(), 0);
    client.expect_reserve().returning(move |_effect, request| {
        turns += 1;
        if turns == number {
            before.remember();
        }
        Ok(request)
    });
    let (meanwhile, provider, mut creates) = (failover.clone(), product.provider.clone(), 0);
    client.expect_create().returning(move |request, context| {
        creates += 1;
        if creates != number {
            return Err(ProviderError::new(ProviderErrorKind::Exhausted, "sold_out"));
        }
        let answer = now(provider.create(request, context));
        if during == During::Create {
            meanwhile.happen();
        }
        answer
    });
    let (meanwhile, provider) = (failover.clone(), product.provider.clone());
    client.expect_find().returning(move |name, context| {
        if during == During::FailedLook && meanwhile.happen() {
            return Err(ProviderError::new(ProviderErrorKind::NotSent, "no_connection"));
        }
        now(provider.find(name, context))
    });
    let provider = product.provider.clone();
    client.expect_get().returning(move |id, context| {
        failover.happen();
        now(provider.get(id, context))
    });
    client
}

/// Orders a server that two accounts may have, and demands that the one that is made in the first is the only one.
async fn one_server_though(number: u32, during: During) {
    let (first, second) =
        (MemoryProvider::new(Duration::ZERO), MemoryProvider::with_token(Duration::ZERO, "of the second account"));
    let product = Product::on(first.clone(), installation(1)).await;
    if during != During::Create {
        first.fail_next(ProviderMethod::Create, ProviderFault::LoseAnswer);
    }
    let (account, other) = (AccountId::default_account(), AccountId::new("second").unwrap());
    let here: Arc<dyn ProviderClient> = Arc::new(client(&product, number, during));
    let there: Arc<dyn ProviderClient> = Arc::new(second.clone());
    let providers = Arc::new(BTreeMap::from([(account.clone(), here), (other.clone(), there)]));
    let context = Context { providers, ..product.context.clone() };
    check_token(&context, &other).await.unwrap();
    let product = Product { converge: Converge::new(context.clone()).unwrap(), context, ..product };

    let spec = spec("web-1").server_type("b");
    let command = CreateServer { spec, accounts: vec![account, other], ..CreateServer::default() };
    let order = create_server(&product.context, &Product::caller(None), &command).await.unwrap().operation;
    product.settle_within(LONG).await;
    let what = format!("create {number}, {during:?}");
    assert!(second.ever_created().is_empty(), "{what}: it is paid for twice");
    let [made]: [ServerView; 1] = first.ever_created().try_into().unwrap();
    let server = product.server(order.server).await;
    assert_eq!((server.state, server.provider_ref.map(|own| own.id)), (ServerState::Running, Some(made.id)), "{what}");
    product.demand_audit().await;
}

/// The takeover is lost with the first announcement, and not with the second.
#[tokio::test(start_paused = true)]
async fn a_create_whose_announcement_is_lost_when_it_is_answered_is_looked_for_before_another_account_is_asked() {
    for number in [1, 2] {
        one_server_though(number, During::Create).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_look_says_of_a_server_that_its_record_no_longer_knows_of_is_not_taken_for_its_own() {
    for number in [1, 2] {
        one_server_though(number, During::Look).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_announcement_is_lost_while_nothing_but_a_note_follows_is_looked_for_all_the_same() {
    for number in [1, 2] {
        one_server_though(number, During::FailedLook).await;
    }
}
