//! What is taken away while a list is read is not missing from it, and speaks against no token.

use futures_util::FutureExt as _;

use super::*;
use crate::memory::{ProviderFault, ProviderMethod};
use crate::mocks::MockProviderClient;
use crate::model::{Gate, ServerState, TokenDigest, Vouched};
use crate::ports::ProviderErrorKind;
use crate::provisioning::evidence::taken_away;
use crate::provisioning::sweep::{Sweep, SweepMode};
use crate::provisioning::{TokenCheck, check_token};

const LONG: Duration = Duration::from_secs(4 * 3600);

/// Is what becomes of a server while the list is read.
type Act = fn(&Product, ServerId);

fn account() -> AccountId {
    AccountId::default_account()
}

/// Every port of the memory backend answers at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

/// Begins to delete a server: the provider has removed it, and nobody has looked yet whether it is gone.
fn begin_to_delete(product: &Product, server: ServerId) {
    drop(now(product.delete(server)).unwrap());
    drop(now(product.run(now(product.claim()).unwrap())));
    assert_eq!(now(product.server(server)).state, ServerState::Deleting);
}

/// Deletes a server and brings that to its end.
fn delete(product: &Product, server: ServerId) {
    let own = now(product.server(server)).provider_ref.unwrap();
    drop(now(product.delete(server)).unwrap());
    // Gone already, so that no look has to wait.
    assert!(product.provider.vanish(&own.id));
    drop(now(product.run(now(product.claim()).unwrap())));
    assert_eq!(now(product.server(server)).state, ServerState::Deleted);
}

async fn running(count: usize) -> (Arc<Product>, Vec<ServerId>) {
    let (product, mut servers) = (Product::new().await, Vec::new());
    for number in 0..count {
        servers.push(product.order(&format!("web-{number}"), None).await.unwrap().operation.server);
    }
    product.settle_within(LONG).await;
    for id in &servers {
        assert_eq!(product.server(*id).await.state, ServerState::Running);
    }
    (Arc::new(product), servers)
}

/// Makes a context whose list is read when something has just been done to some servers.
fn interrupted(product: &Arc<Product>, token: &TokenDigest, servers: &[ServerId], act: Act) -> Context {
    let mut client = MockProviderClient::new();
    client.expect_token_digest().return_const(token.clone());
    client.expect_get().returning(|_id, _context| Ok(None));
    let (meanwhile, mut servers) = (product.clone(), servers.to_vec());
    client.expect_inventory().returning(move |owner, page, context| {
        std::mem::take(&mut servers).into_iter().for_each(|server| act(&meanwhile, server));
        now(meanwhile.provider.inventory(owner, page, context))
    });
    let client: Arc<dyn ProviderClient> = Arc::new(client);
    Context { providers: Arc::new(BTreeMap::from([(account(), client)])), ..product.context.clone() }
}

async fn gate(product: &Product, token: &TokenDigest) -> Option<Gate> {
    let known = product.context.store.account(&account()).await.unwrap();
    known.gate(token).map(|entry| entry.gate.clone())
}

#[tokio::test(start_paused = true)]
async fn servers_that_are_deleted_while_a_sweep_reads_the_list_close_no_account() {
    let acts: [Act; 2] = [delete, begin_to_delete];
    for act in acts {
        for (recorded, deleted) in [(2, 2), (8, 6)] {
            let (product, servers) = running(recorded).await;
            let context = interrupted(&product, &product.provider.token_digest(), &servers[..deleted], act);
            let report = Sweep::new(context, SweepMode::Repair).unwrap().once(&account()).await.unwrap();
            assert_eq!((report.recorded, report.listed), (recorded, recorded - deleted));
            assert_eq!(report.sightings, []);
            let gates = product.context.store.account(&account()).await.unwrap().gates;
            assert!(gates.iter().all(|entry| entry.gate == Gate::Open), "{deleted} of {recorded}: {gates:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn servers_that_are_deleted_while_a_new_token_is_checked_do_not_speak_against_it() {
    let token = TokenDigest::of("new");
    let (product, servers) = running(2).await;
    let context = interrupted(&product, &token, &servers, delete);
    assert_eq!(check_token(&context, &account()).await.unwrap(), TokenCheck::Open);
    assert_eq!(gate(&product, &token).await, Some(Gate::Open));

    // Servers that are about to be gone say nothing; they are asked for again when that is settled.
    let (product, servers) = running(2).await;
    let context = interrupted(&product, &token, &servers, begin_to_delete);
    assert_eq!(check_token(&context, &account()).await.unwrap(), TokenCheck::Unanswered);
    assert_eq!(gate(&product, &token).await, None);
    product.settle_within(LONG).await;
    assert_eq!(check_token(&context, &account()).await.unwrap(), TokenCheck::Open);
}

/// Both tokens are of one project; the second one was opened while nothing was recorded there.
#[tokio::test(start_paused = true)]
async fn a_server_whose_removal_was_accepted_lately_does_not_speak_against_a_token_that_is_checked_again() {
    let token = TokenDigest::of("new");
    let (product, servers) = running(1).await;
    delete(&product, servers[0]);
    let second = interrupted(&product, &token, &[], delete);
    assert_eq!(check_token(&second, &account()).await.unwrap(), TokenCheck::Open);

    let server = product.order("web-9", None).await.unwrap().operation.server;
    product.settle_within(LONG).await;
    assert_eq!(gate(&product, &token).await, None, "it has to show one, too");
    begin_to_delete(&product, server);
    assert_eq!(check_token(&second, &account()).await.unwrap(), TokenCheck::Unanswered);
    assert_eq!(gate(&product, &token).await, None);
    product.settle_within(LONG).await;
    assert_eq!(check_token(&second, &account()).await.unwrap(), TokenCheck::Open);
}

/// Else a token of another project would be asked again for ever, and nobody told.
#[tokio::test(start_paused = true)]
async fn a_removal_that_is_refused_or_does_not_end_speaks_against_a_token_that_does_not_show_its_server() {
    let token = TokenDigest::of("new");
    for is_refused in [true, false] {
        let (product, servers) = running(1).await;
        let context = interrupted(&product, &token, &[], delete);
        if is_refused {
            product.provider.fail_next(ProviderMethod::Delete, ProviderFault::Refuse(ProviderErrorKind::Busy));
            begin_to_delete(&product, servers[0]);
            // As in the list of another project.
            let own = product.server(servers[0]).await.provider_ref.unwrap();
            assert!(product.provider.vanish(&own.id));
        } else {
            begin_to_delete(&product, servers[0]);
            let almost = product.context.timing.landing_allowance - Duration::from_secs(1);
            tokio::time::advance(almost).await;
            assert_eq!(check_token(&context, &account()).await.unwrap(), TokenCheck::Unanswered);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let check = check_token(&context, &account()).await.unwrap();
        assert!(matches!(check, TokenCheck::Suspect { .. }), "refused: {is_refused}, {check:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_those_that_are_about_to_be_gone_a_thousand_are_read_and_no_more() {
    let (product, servers) = running(2).await;
    servers.iter().for_each(|server| begin_to_delete(&product, *server));
    let recorded = product.context.store.references(&account()).await.unwrap();
    let [first, last] = recorded.as_slice() else { panic!("{recorded:?}") };
    for (before, is_read) in [(999, true), (1000, false)] {
        let mut recorded = vec![first.clone(); before];
        recorded.push(last.clone());
        let found = taken_away(&product.context, &account(), &recorded).await.unwrap();
        assert_eq!(
            (found.contains(&first.server), found.contains(&last.server)),
            (true, is_read),
            "{before} before it"
        );
    }
}

/// Finds the token that is being checked suspect.
fn suspect(product: &Product, _server: ServerId) {
    let known = now(product.context.store.account(&account())).unwrap();
    let closed = known.with_gate(&TokenDigest::of("new"), Gate::Suspect { why: "somebody said so".to_owned() }, 0);
    now(product.context.store.save_account(&closed)).unwrap();
}

/// Vouches for the token that is being checked, which shows nothing of what is recorded.
fn vouch(product: &Product, server: ServerId) {
    let own = now(product.server(server)).provider_ref.unwrap();
    assert!(product.provider.vanish(&own.id));
    let vouched = Vouched { by: Actor::operator("ops").unwrap(), at: START, missing: 1 };
    let known = now(product.context.store.account(&account())).unwrap();
    now(product.context.store.save_account(&known.vouched_for(&TokenDigest::of("new"), &vouched))).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_somebody_says_of_a_token_while_its_list_is_read_counts_more_than_the_list() {
    let token = TokenDigest::of("new");
    let acts: [(Act, Gate); 2] = [(suspect, Gate::Suspect { why: "somebody said so".to_owned() }), (vouch, Gate::Open)];
    for (act, said) in acts {
        let (product, servers) = running(1).await;
        let context = interrupted(&product, &token, &servers, act);
        check_token(&context, &account()).await.unwrap();
        assert_eq!(gate(&product, &token).await, Some(said));
    }
}
