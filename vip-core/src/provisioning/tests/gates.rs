//! What a gate says to whom: to this process's token, to one without a client, and of which account.

use super::*;
use crate::model::{Account, Desired, Gate, Landing, ProviderRef, ProviderServerId, Removal, TokenDigest};
use crate::ports::Loaded;
use crate::provisioning::gate::{Others, others};
use crate::provisioning::{is_blocked, is_closed};

const SOON: Timestamp = Timestamp::from_micros(2_000_000_000_000);

fn blocked() -> Gate {
    Gate::Blocked { probe_at: SOON }
}

fn suspect() -> Gate {
    Gate::Suspect { why: "another project".to_owned() }
}

fn named(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

/// Is a gate for each of some tokens.
type Gates<'t> = Vec<(&'t TokenDigest, Gate)>;

/// Is an account with gates of tokens.
fn account(id: &AccountId, gates: &[(&TokenDigest, Gate)]) -> Account {
    gates.iter().fold(Account::unknown(id.clone()), |known, (digest, gate)| known.with_gate(digest, gate.clone(), 0))
}

#[tokio::test(start_paused = true)]
async fn an_account_is_closed_to_a_token_by_its_own_gate_and_without_one_if_all_are() {
    let product = Product::new().await;
    let (mine, other) = (product.provider.token_digest(), TokenDigest::of("exchanged"));
    let cases: [(&str, Gates<'_>, bool, bool); 7] = [
        ("nobody has looked", vec![], false, false),
        ("mine is good", vec![(&mine, Gate::Open)], false, false),
        ("mine is refused", vec![(&mine, blocked())], true, true),
        ("mine is of another project", vec![(&mine, suspect())], true, true),
        ("another one is refused", vec![(&other, blocked())], false, true),
        ("another one is good", vec![(&mine, blocked()), (&other, Gate::Open)], true, false),
        ("another one is bad", vec![(&mine, Gate::Open), (&other, suspect())], false, false),
    ];
    for (what, gates, is_closed_to_mine, is_closed_to_all) in cases {
        let (here, elsewhere) = (AccountId::default_account(), named("elsewhere"));
        assert_eq!(is_closed(&product.context, &account(&here, &gates)), is_closed_to_mine, "{what}");
        assert_eq!(is_closed(&product.context, &account(&elsewhere, &gates)), is_closed_to_all, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_goes_on_elsewhere_only_if_another_token_was_good_and_ours_is_not() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let loaded = product.context.store.load(&tenant(), order.server).await.unwrap().unwrap();
    let (mine, other) = (product.provider.token_digest(), TokenDigest::of("exchanged"));
    let cases: [(Gates<'_>, Others); 8] = [
        (vec![], Others::Closed),
        (vec![(&other, Gate::Open)], Others::Closed),
        (vec![(&mine, Gate::Open), (&other, Gate::Open)], Others::Closed),
        (vec![(&mine, blocked())], Others::Closed),
        (vec![(&mine, blocked()), (&other, blocked())], Others::Closed),
        (vec![(&mine, suspect()), (&other, suspect())], Others::Closed),
        (vec![(&mine, blocked()), (&other, Gate::Open)], Others::Open),
        (vec![(&mine, suspect()), (&other, Gate::Open)], Others::OpenAndOursIsSuspect(AccountId::default_account())),
    ];
    for (gates, expected) in cases {
        let accounts = vec![account(&AccountId::default_account(), &gates)];
        let loaded = Loaded { accounts, ..loaded.clone() };
        assert_eq!(others(&product.context, &loaded), expected, "{gates:?}");
    }
    // A process without a token of the account comes again soon, for those that have a good one, if there are any left.
    let without = product.context_without_client();
    for (gates, expected) in [
        (vec![(&other, Gate::Open)], Others::Open),
        (vec![(&other, blocked())], Others::Closed),
        (vec![], Others::Closed),
    ] {
        let loaded = Loaded { accounts: vec![account(&AccountId::default_account(), &gates)], ..loaded.clone() };
        assert_eq!(others(&without, &loaded), expected, "{gates:?}");
    }
}

/// The account that matters is where something may still live, and only then where it shall be created.
#[tokio::test(start_paused = true)]
async fn what_blocks_an_order_is_the_account_that_it_needs_next() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let loaded = product.context.store.load(&tenant(), order.server).await.unwrap().unwrap();
    let (digest, gone) = (TokenDigest::of("exchanged"), true);
    let blocked_by = |closed: &str, change: &dyn Fn(&mut Server)| {
        let mut loaded = loaded.clone();
        change(&mut loaded.server);
        let names = ["default", "removing", "own", "unproven"];
        let gate = |name: &str| if name == closed { blocked() } else { Gate::Open };
        loaded.accounts = names.map(|name| account(&named(name), &[(&digest, gate(name))])).into();
        is_blocked(&product.context_without_client(), &loaded)
    };
    let removing = |server: &mut Server, gone| {
        server.removing = Some(Removal {
            account: named("removing"),
            id: ProviderServerId::new("1").unwrap(),
            since: SOON,
            seen_by_id: true,
            accepted_at: None,
            first_accepted_at: None,
            looks: 0,
            gone,
        });
    };
    let own = |server: &mut Server, gone| {
        server.provider_ref = Some(ProviderRef {
            account: named("own"),
            id: ProviderServerId::new("2").unwrap(),
            owner: installation(1),
            at: SOON,
            seen_by_id: true,
            gone,
        });
    };
    let unproven = |server: &mut Server| {
        server.land.insert(named("unproven"), Landing { by: SOON, looked_at: None });
    };
    assert!(blocked_by("default", &|_server| {}) && !blocked_by("own", &|_server| {}));
    assert!(!blocked_by("default", &|server| server.desired = Desired::Absent), "nothing is to be created");
    assert!(blocked_by("unproven", &|server| unproven(server)) && !blocked_by("default", &|server| unproven(server)));
    let with_own = |is_gone| {
        move |server: &mut Server| {
            unproven(server);
            own(server, is_gone);
        }
    };
    assert!(blocked_by("own", &with_own(!gone)) && !blocked_by("unproven", &with_own(!gone)));
    assert!(blocked_by("unproven", &with_own(gone)) && !blocked_by("own", &with_own(gone)));
    let with_removal = |is_gone| {
        move |server: &mut Server| {
            own(server, !gone);
            removing(server, is_gone);
        }
    };
    assert!(blocked_by("removing", &with_removal(!gone)) && !blocked_by("own", &with_removal(!gone)));
    assert!(blocked_by("own", &with_removal(gone)) && !blocked_by("removing", &with_removal(gone)));
}

impl Product {
    fn context_without_client(&self) -> Context {
        Context { providers: Arc::default(), ..self.context.clone() }
    }
}
