//! Orders with a mishap of their own: something around them goes wrong, whatever the plan says.

use std::time::Duration;

use vip_core::memory::MemoryBackup;
use vip_core::model::{Actor, JobId, JobKey, JobKind, NewJob, Payload, ServerState, TenantId};
use vip_core::ports::{Backend, ProviderErrorKind};
use vip_core::provisioning::kinds::CONVERGE;

use crate::incarnation::End;
use crate::oracle::{self, ended};
use crate::orders::{Accepted, Client, Order, labels_of_a_renamed_copy, spec};
use crate::process::Site;
use crate::world::pause;

/// Attempts after which the job that nobody can read is dead.
const UNREADABLE_ATTEMPTS: u32 = 4;
/// How long after its sending a create lands that is still expected: when the one after it is made and gone.
const LATE: Duration = Duration::from_millis(2_600);
/// How long after its sending a create lands that nobody expects any more.
const VERY_LATE: Duration = Duration::from_secs(8);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Gives an order with a mishap; returns what was accepted.
pub async fn give(order: Order, site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    match order {
        Order::Quota => quota(site, client).await,
        Order::SecondAccount => second_account(site, client).await,
        Order::OtherProject => other_project(site, client).await,
        Order::Unreadable => unreadable(site, client).await,
        Order::RenamedCopy => renamed_copy(site, client).await,
        Order::RestoredBackup => restored_backup(site, client).await,
        Order::Outage => outage(site, client).await,
        Order::DeleteAtOnce => delete_at_once(site, client).await,
        Order::BetweenSweeps => between_sweeps(site, client).await,
        Order::VeryLate => very_late(site, client).await,
        Order::LandedTwice => landed_twice(site, client).await,
        Order::Refusals => crate::said_no::give(site, client).await,
        Order::ForeignThenDelete => {
            site.clouds[0].1.plant_foreign();
            let mut accepted = client.create("acme", "k1", &spec("web")).await;
            accepted.state = ServerState::Parked;
            ended(site, std::slice::from_ref(&accepted)).await;
            client.delete(&mut accepted).await;
            vec![accepted]
        }
        Order::ClocksApart => {
            let second = Client { processes: client.processes, first: 1 };
            let (web, db) = (spec("web"), spec("db"));
            let (one, two) = tokio::join!(client.create("acme", "k1", &web), second.create("globex", "k1", &db));
            vec![one, two]
        }
        Order::Suspended => {
            site.world.suspend_next();
            vec![client.create("acme", "k1", &spec("web")).await]
        }
        Order::Create
        | Order::CreateThenDelete
        | Order::DeleteWhileCreating
        | Order::FullLocation
        | Order::ForeignName
        | Order::TwoTenants
        | Order::SweepBeside => Vec::new(),
    }
}

/// Two of four orders fit; when one of them is gone, another one does. Each comes when the one before has usually been
/// committed.
async fn quota(site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    let order = async |place: u64| {
        pause(ms(150) * u32::try_from(place).unwrap_or(0)).await;
        let client = Client { processes: client.processes, first: usize::try_from(place).unwrap_or(0) };
        client.create_within_quota("acme", &format!("k{place}"), &spec(&format!("web-{place}"))).await
    };
    let (one, two, three, four) = tokio::join!(order(0), order(1), order(2), order(3));
    let mut accepted: Vec<Accepted> = [one, two, three, four].into_iter().flatten().collect();
    if accepted.len() != 2 {
        site.world.violated(format!("§9: {} orders accepted within a quota of 2", accepted.len()));
    }
    ended(site, &accepted).await;
    client.delete(&mut accepted[0]).await;
    ended(site, &accepted).await;
    match client.create_within_quota("acme", "k9", &spec("web-9")).await {
        Some(order) => accepted.push(order),
        None => site.world.violated("§9: an order is refused although one of the quota was given back"),
    }
    accepted
}

/// The first account has stock for one: the other order goes to the second account.
async fn second_account(site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    site.clouds[0].1.leave_one("here");
    let one = client.create("acme", "k1", &spec("web")).await;
    ended(site, std::slice::from_ref(&one)).await;
    let two = client.create("acme", "k2", &spec("db")).await;
    vec![one, two]
}

/// A process with a token of another project sees nothing of ours, and proves nothing by that.
async fn other_project(site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    let mut accepted = client.create("acme", "k1", &spec("web")).await;
    ended(site, std::slice::from_ref(&accepted)).await;
    site.mislead(1);
    client.processes.end(1, End::Cancelled);
    pause(ms(400)).await;
    client.delete(&mut accepted).await;
    let second = client.create("acme", "k2", &spec("db")).await;
    vec![accepted, second]
}

async fn unreadable(site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    let id = JobId::from_uuid(uuid::Uuid::from_u128(7));
    let key = JobKey::new("converge:unreadable").unwrap();
    let payload = Payload::from_text("{\"written\":\"by a newer version\"}").unwrap();
    let mut job = NewJob::new(id, key, JobKind::new(CONVERGE).unwrap(), payload);
    job.max_attempts = UNREADABLE_ATTEMPTS;
    let queue = Backend::from(site.memory.clone()).queue;
    queue.enqueue(&[job]).await.unwrap();
    vec![client.create("acme", "k1", &spec("web")).await]
}

/// A copy of the database under another name has the same records, and servers of its own.
async fn renamed_copy(site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    let accepted = client.create("acme", "k1", &spec("web")).await;
    ended(site, std::slice::from_ref(&accepted)).await;
    let cloud = &site.clouds[0].1;
    cloud.put("copy", labels_of_a_renamed_copy(&accepted));
    // Lists hide our own server for a while, as they do now and then; a look by its id shows it.
    cloud.hide(Some("web"));
    pause(ms(16_000)).await;
    cloud.hide(None);
    vec![accepted]
}

/// Store and queue go back to a backup: one order is as it was, one was deleted since, one came since, one was open.
async fn restored_backup(site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    let cloud = &site.clouds[0].1;
    let mut gone = client.create("acme", "k1", &spec("gone")).await;
    let kept = client.create("acme", "k2", &spec("kept")).await;
    // A third one: if all of two were missing, one of them hidden by a list, the account would be suspect (S7).
    let third = client.create("acme", "k5", &spec("third")).await;
    ended(site, &[gone.clone(), kept.clone(), third.clone()]).await;
    let begun = cloud.creates_begun();
    let open = client.create("acme", "k3", &spec("open")).await;
    while cloud.creates_begun() == begun {
        pause(ms(7)).await;
    }
    let backup = site.memory.backup();
    let late = client.create("acme", "k4", &spec("late")).await;
    client.delete(&mut gone).await;
    ended(site, &[gone.clone(), open.clone(), late.clone()]).await;
    client.processes.end_all(End::Crashed);
    restore(site, &backup);
    let late = oracle::ids_named(site, "late");
    site.unrecorded.lock().unwrap().extend(late);
    // As the how-to says: marked before workers start; then an operator looks and lets the open ones go on.
    mark_restored(site, &[gone.clone(), kept.clone(), third.clone(), open.clone()]).await;
    gone.state = ServerState::Lost;
    gone.delete = None;
    vec![gone, kept, third, open]
}

/// Puts a backup back; nothing that was on its way to the database arrives any more.
pub fn restore(site: &Site, backup: &MemoryBackup) {
    site.memory.restore(backup);
    site.history.restored();
    site.world.forget_writes();
}

/// Does what the how-to says: marks before workers start, and then lets go on what an operator has looked at.
pub async fn mark_restored(site: &Site, orders: &[Accepted]) {
    let product = site.client_only().await;
    let actor = Actor::operator("olga").unwrap();
    product.operator().mark_restored(&actor).await.unwrap();
    let store = Backend::from(site.memory.clone()).store;
    for (account, cloud) in &site.clouds {
        // A token that is younger than the backup: beside an open order nobody believes it by itself.
        if store.account(account).await.unwrap().gate(&cloud.digest()).is_none() {
            product.operator().confirm_token(&actor, account, &cloud.digest(), 0).await.unwrap();
        }
    }
    for order in orders {
        let tenant = TenantId::new(order.tenant.as_str()).unwrap();
        if oracle::load(site, order).await.is_some_and(|it| it.server.state == ServerState::Parked) {
            product.operator().resume(&actor, &tenant, order.server).await.unwrap();
        }
    }
}

/// For 20 s connections are refused, for 20 more nothing is answered.
async fn outage(site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    let cloud = &site.clouds[0].1;
    let before = client.create("acme", "k0", &spec("before")).await;
    ended(site, std::slice::from_ref(&before)).await;
    cloud.outage(Some(ProviderErrorKind::NotSent));
    let accepted = client.create("acme", "k1", &spec("web")).await;
    pause(ms(20_000)).await;
    cloud.outage(Some(ProviderErrorKind::Unknown));
    pause(ms(20_000)).await;
    cloud.outage(None);
    vec![before, accepted]
}

/// The delete is committed at about the time at which the create's job ends.
async fn delete_at_once(site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    let mut accepted = client.create("acme", "k1", &spec("web")).await;
    while oracle::load(site, &accepted).await.is_none_or(|it| it.server.state != ServerState::Running) {
        pause(ms(1)).await;
    }
    pause(ms(site.world.below(60))).await;
    client.delete(&mut accepted).await;
    vec![accepted]
}

/// Orders come when a sweep has just read the list: none of their servers is on it, and soon all of them are recorded.
async fn between_sweeps(site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    let cloud = &site.clouds[0].1;
    pause(ms(1_500)).await;
    let before = cloud.inventories();
    while cloud.inventories() == before {
        pause(ms(3)).await;
    }
    // By both processes, so that it matters little which of them sweeps.
    let order = async |place: usize| {
        let client = Client { processes: client.processes, first: place };
        client.create("acme", &format!("k{place}"), &spec(&format!("web-{place}"))).await
    };
    let (one, two, three, four) = tokio::join!(order(0), order(1), order(2), order(3));
    let mut accepted = vec![one, two, three, four];
    pause(ms(4_000)).await;
    ended(site, &accepted).await;
    for order in &mut accepted {
        client.delete(order).await;
    }
    accepted
}

/// One order is deleted before its create lands, one is fulfilled by a second create and its server removed by others.
async fn very_late(site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    site.history.surprised();
    let cloud = &site.clouds[0].1;
    cloud.delay_next_create("one", VERY_LATE);
    let mut one = client.create("acme", "k1", &spec("one")).await;
    while cloud.creates_begun() == 0 {
        pause(ms(7)).await;
    }
    client.delete(&mut one).await;
    let begun = cloud.creates_begun();
    cloud.delay_next_create("two", VERY_LATE);
    let mut two = client.create("acme", "k2", &spec("two")).await;
    while cloud.creates_begun() == begun {
        pause(ms(7)).await;
    }
    ended(site, &[one.clone(), two.clone()]).await;
    cloud.lose("two");
    two.state = ServerState::Lost;
    // Until it has landed, and two sweeps after the grace have seen it.
    pause(VERY_LATE + ms(18_000)).await;
    vec![one, two]
}

/// The first create has no answer, the second one makes the server; when that is deleted the name is free for the first.
async fn landed_twice(site: &Site, client: &Client<'_>) -> Vec<Accepted> {
    site.clouds[0].1.delay_next_create("web", LATE);
    let mut accepted = client.create("acme", "k1", &spec("web")).await;
    while oracle::load(site, &accepted).await.is_none_or(|it| it.server.state != ServerState::Running) {
        pause(ms(7)).await;
    }
    client.delete(&mut accepted).await;
    vec![accepted]
}
