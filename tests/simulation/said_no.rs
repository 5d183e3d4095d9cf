//! An account that says no in every way that a provider knows.

use std::time::Duration;

use vip_core::model::{AccountId, Actor, ServerState};
use vip_core::ports::ProviderErrorKind;

use crate::method::Method;
use crate::oracle::{ended, load};
use crate::orders::{Accepted, Client, spec};
use crate::process::Site;
use crate::refusals::Tamper;
use crate::world::pause;

const THROTTLED: ProviderErrorKind = ProviderErrorKind::Throttled { retry_after: Duration::from_millis(200) };

/// Answers that pass: whoever waits gets through.
const PASSING: [ProviderErrorKind; 6] = [
    ProviderErrorKind::Busy,
    THROTTLED,
    ProviderErrorKind::Unauthorized,
    ProviderErrorKind::Bug,
    ProviderErrorKind::Unknown,
    ProviderErrorKind::NotSent,
];

/// Answers that tell a look or a delete to come again.
const AGAIN: [ProviderErrorKind; 5] = [
    ProviderErrorKind::Exhausted,
    ProviderErrorKind::AlreadyExists,
    ProviderErrorKind::InvalidInput,
    ProviderErrorKind::Placement,
    ProviderErrorKind::AccountLimit,
];

/// Orders servers that are refused for a while, for good, by a limit, and by a protection.
pub async fn give(site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    let cloud = &site.clouds[0].1;
    for kind in PASSING {
        for method in [Method::Create, Method::Find, Method::Get, Method::Delete, Method::Actions] {
            cloud.refuse(method, "patient", kind);
        }
    }
    for kind in AGAIN {
        for method in [Method::Find, Method::Get, Method::Delete, Method::Actions] {
            cloud.refuse(method, "patient", kind);
        }
    }
    for method in [Method::Find, Method::Get, Method::Actions] {
        cloud.refuse(method, "patient", ProviderErrorKind::Protected);
    }
    cloud.refuse(Method::Create, "choosy", ProviderErrorKind::Exhausted);
    cloud.refuse(Method::Create, "placed", ProviderErrorKind::Placement);
    cloud.tamper("vanished", Tamper::Remove);
    // A provider that refuses an input refuses it again when it is asked again, because the first answer was lost.
    cloud.refuse_always(Method::Create, "rejected", ProviderErrorKind::InvalidInput);
    cloud.refuse_always(Method::Create, "limited", ProviderErrorKind::AccountLimit);
    cloud.refuse_always(Method::Delete, "guarded", ProviderErrorKind::Protected);
    cloud.refuse(Method::Create, "reader", ProviderErrorKind::ReadOnly);
    cloud.fail_actions_of("unlucky");
    let mut orders = Vec::new();
    let ends = [
        ("patient", ServerState::Running),
        ("rejected", ServerState::Failed),
        ("limited", ServerState::Parked),
        ("guarded", ServerState::Running),
        ("unlucky", ServerState::Failed),
        ("vanished", ServerState::Failed),
        ("choosy", ServerState::Running),
        ("placed", ServerState::Running),
    ];
    for (name, state) in ends {
        let mut order = client.create("acme", name, &spec(name).location("there")).await;
        order.state = state;
        orders.push(order);
    }
    ended(site, &orders).await;
    client.delete(&mut orders[0]).await;
    client.delete(&mut orders[3]).await;
    orders[3].state = ServerState::Parked;
    ended(site, &orders).await;
    for (name, how) in [("renamed", Tamper::Rename), ("relabelled", Tamper::Relabel)] {
        orders.push(tampered(site, client, name, how).await);
    }
    orders.push(reader(site, client).await);
    // What is protected stays.
    site.unrecorded.lock().unwrap().extend(crate::oracle::ids_named(site, "guarded"));
    orders
}

/// The server of a create without an answer is found with another name, or with the label of another order.
async fn tampered(site: &Site, client: &Client<'_>, name: &str, how: Tamper) -> Accepted {
    let cloud = &site.clouds[0].1;
    cloud.tamper(name, how);
    cloud.delay_next_create(name, Duration::from_millis(1));
    let mut order = client.create("acme", name, &spec(name)).await;
    order.state = ServerState::Parked;
    ended(site, std::slice::from_ref(&order)).await;
    // An operator decides; what is there meanwhile is nobody's mistake.
    let ids = crate::oracle::ids_named(site, if how == Tamper::Rename { "renamed" } else { name });
    site.unrecorded.lock().unwrap().extend(ids);
    order
}

/// A token that may only read stays closed until an operator vouches for it.
async fn reader(site: &Site, client: &Client<'_>) -> Accepted {
    let order = client.create("acme", "reader", &spec("reader")).await;
    let (account, actor) = (AccountId::default_account(), Actor::operator("ops").unwrap());
    loop {
        pause(Duration::from_millis(500)).await;
        if load(site, &order).await.is_some_and(|it| it.server.state == order.state) {
            return order;
        }
        let (product, _life) = client.processes.up(0).await;
        // A process that dies meanwhile is asked again in the next round.
        let (operator, digest) = (product.operator(), site.clouds[0].1.digest());
        let confirmed = operator.confirm_token(&actor, &account, &digest, 0);
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_millis(200), confirmed).await {
            site.world.note(0, Method::SaveAccount, &"confirm", &error);
        }
    }
}
