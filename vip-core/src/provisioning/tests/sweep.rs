//! Sweeps of accounts with foreign, surplus, resurfaced, missing and unrecorded servers, and of other projects.

use super::*;
use crate::memory::ProviderMethod;
use crate::model::{Labels, OWNER_LABEL, SERVER_LABEL, ServerState, SightingClass, Vouched};
use crate::provisioning::sweep::{Sweep, SweepMode, SweepReport};
use crate::provisioning::{ConfirmError, TokenCheck, check_token, confirm_token};

const LONG: Duration = Duration::from_secs(4 * 3600);

/// Vouches for the token of a product as somebody who has seen that so many are missing.
async fn vouch(product: &Product, missing: u64) -> Result<(), ConfirmError> {
    let vouched = Vouched { by: Actor::operator("ops").unwrap(), at: Timestamp::from_micros(7), missing };
    confirm_token(&product.context, &account(), &product.provider.token_digest(), &vouched).await
}

fn account() -> AccountId {
    AccountId::default_account()
}

impl Product {
    async fn sweep(&self, mode: SweepMode) -> SweepReport {
        Sweep::new(self.context.clone(), mode).unwrap().once(&account()).await.unwrap()
    }

    /// Sweeps until sightings are ripe, and lets converge look at them.
    async fn sweep_ripe(&self, mode: SweepMode, rounds: u32) -> SweepReport {
        let mut report = self.sweep(mode).await;
        for _ in 0..rounds {
            tokio::time::advance(self.context.timing.sweep_grace).await;
            report = self.sweep(mode).await;
            self.settle_within(LONG).await;
        }
        report
    }

    async fn running(&self, count: usize) -> Vec<ServerId> {
        let mut servers = Vec::new();
        for number in 0..count {
            servers.push(self.order(&format!("web-{number}"), None).await.unwrap().operation.server);
        }
        self.settle_within(LONG).await;
        for id in &servers {
            assert_eq!(self.server(*id).await.state, ServerState::Running);
        }
        servers
    }
}

fn labels(owner: InstallationId, server: ServerId) -> Labels {
    Labels::from([(OWNER_LABEL.to_owned(), owner.to_string()), (SERVER_LABEL.to_owned(), server.to_string())])
}

#[tokio::test(start_paused = true)]
async fn foreign_servers_and_those_of_other_owners_are_not_touched_and_all_of_ours_are_found() {
    let product = Product::new().await;
    let servers = product.running(5).await;
    let ended = product.running(5).await;
    for id in &ended {
        drop(product.delete(*id).await.unwrap());
    }
    product.settle_within(LONG).await;
    for number in 0..50 {
        product.provider.put(format!("foreign-{number}"), Labels::new()).unwrap();
    }
    for number in 0..5 {
        product.provider.put(format!("other-{number}"), labels(installation(2), servers[0])).unwrap();
    }
    for (number, id) in servers.iter().enumerate() {
        product.provider.put(format!("surplus-{number}"), labels(product.context.installation, *id)).unwrap();
    }
    for (number, id) in ended.iter().enumerate() {
        product.provider.put(format!("resurfaced-{number}"), labels(product.context.installation, *id)).unwrap();
    }
    let first = product.sweep(SweepMode::Repair).await;
    let count = |class| first.sightings.iter().filter(|sighting| sighting.class == class).count();
    assert_eq!((count(SightingClass::Surplus), count(SightingClass::Resurfaced)), (5, 5));
    drop(product.sweep_ripe(SweepMode::Repair, 3).await);

    let names: Vec<String> = product.provider.servers().into_iter().map(|server| server.name).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("foreign")).count(), 50);
    assert_eq!(names.iter().filter(|name| name.starts_with("other")).count(), 5);
    assert!(!names.iter().any(|name| name.starts_with("surplus") || name.starts_with("resurfaced")), "{names:?}");
    assert_eq!(names.len(), 60, "five of ours, fifty foreign, five of another owner");
    for id in servers {
        assert_eq!(product.server(id).await.state, ServerState::Running);
    }
    for id in ended {
        assert_eq!(product.server(id).await.state, ServerState::Deleted);
    }
    product.demand_audit().await;
}

#[tokio::test(start_paused = true)]
async fn at_most_five_are_removed_in_one_sweep_and_none_in_report_mode() {
    let product = Product::new().await;
    let servers = product.running(8).await;
    for (number, id) in servers.iter().enumerate() {
        product.provider.put(format!("surplus-{number}"), labels(product.context.installation, *id)).unwrap();
    }
    drop(product.sweep_ripe(SweepMode::Report, 3).await);
    assert_eq!(product.provider.servers().len(), 16);
    drop(product.sweep_ripe(SweepMode::Repair, 1).await);
    assert_eq!(product.provider.servers().len(), 11);
}

#[tokio::test(start_paused = true)]
async fn unrecorded_servers_are_reported_and_never_removed() {
    let product = Product::new().await;
    for number in 0..10 {
        let lost = ServerId::from_uuid(uuid::Uuid::from_u128(1000 + number));
        product.provider.put(format!("lost-{number}"), labels(product.context.installation, lost)).unwrap();
    }
    let report = product.sweep_ripe(SweepMode::Repair, 10).await;
    assert_eq!(report.sightings.len(), 10);
    assert!(report.sightings.iter().all(|sighting| sighting.class == SightingClass::Unrecorded && !sighting.ripe));
    assert_eq!(product.provider.calls(ProviderMethod::Delete), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_vanished_is_lost_and_never_created_again() {
    let product = Product::new().await;
    let servers = product.running(8).await;
    let gone = product.server(servers[0]).await.provider_ref.unwrap().id;
    assert!(product.provider.vanish(&gone));
    drop(product.sweep_ripe(SweepMode::Repair, 2).await);
    assert_eq!(product.server(servers[0]).await.state, ServerState::Lost);
    assert_eq!(product.provider.ever_created().len(), 8);
    // A lost server can still be wished away, and gives its quota back.
    drop(product.delete(servers[0]).await.unwrap());
    product.settle_within(LONG).await;
    assert_eq!(product.server(servers[0]).await.state, ServerState::Deleted);
}

#[tokio::test(start_paused = true)]
async fn two_installations_in_one_project_do_not_touch_each_other() {
    let one = Product::new().await;
    let two = Product::on(one.provider.clone(), installation(2)).await;
    one.running(3).await;
    two.running(3).await;
    for product in [&one, &two] {
        let report = product.sweep_ripe(SweepMode::Repair, 3).await;
        assert_eq!((report.listed, report.sightings.len()), (3, 0));
    }
    assert_eq!(one.provider.servers().len(), 6);
    assert_eq!(one.provider.calls(ProviderMethod::Delete), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_project_is_not_believed_until_an_operator_vouches_for_it() {
    let product = Product::new().await;
    let servers = product.running(3).await;
    let elsewhere = MemoryProvider::with_token(Duration::from_secs(10), "another project");
    let mut moved = product.context.clone();
    let client: Arc<dyn ProviderClient> = Arc::new(elsewhere.clone());
    moved.providers = Arc::new(BTreeMap::from([(account(), client)]));
    let moved = Product {
        converge: Converge::new(moved.clone()).unwrap(),
        context: moved,
        provider: elsewhere,
        memory: product.memory.clone(),
    };

    assert!(matches!(check_token(&moved.context, &account()).await.unwrap(), TokenCheck::Suspect { .. }));
    drop(moved.delete(servers[0]).await.unwrap());
    drop(moved.order("web-9", None).await.unwrap());
    moved.settle_within(LONG).await;
    let before = moved.provider.calls(ProviderMethod::Inventory);
    assert!(moved.sweep(SweepMode::Repair).await.skipped.is_some());
    assert_eq!(moved.provider.calls(ProviderMethod::Inventory), before, "a suspect account is not even listed");
    for method in [ProviderMethod::Create, ProviderMethod::Delete, ProviderMethod::Find, ProviderMethod::Get] {
        assert_eq!(moved.provider.calls(method), 0, "{method:?}");
    }
    assert_eq!(moved.server(servers[0]).await.state, ServerState::Deleting);
    assert_eq!(moved.server(servers[0]).await.wait_reason, Some(crate::model::WaitReason::AccountBlocked));

    vouch(&moved, 0).await.unwrap();
    moved.settle_within(LONG).await;
    assert_eq!(moved.server(servers[0]).await.state, ServerState::Deleted);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_suddenly_misses_most_servers_is_suspect_and_nothing_is_lost() {
    let product = Product::new().await;
    let servers = product.running(10).await;
    for id in &servers[..7] {
        let gone = product.server(*id).await.provider_ref.unwrap().id;
        assert!(product.provider.vanish(&gone));
    }
    drop(product.sweep_ripe(SweepMode::Repair, 3).await);
    for id in servers {
        assert_eq!(product.server(id).await.state, ServerState::Running);
    }
    let account = product.context.store.account(&account()).await.unwrap();
    assert!(account.gates.iter().all(|entry| matches!(entry.gate, crate::model::Gate::Suspect { .. })));
}

#[cfg(feature = "mocks")]
#[tokio::test(start_paused = true)]
async fn a_list_that_hides_servers_which_are_there_closes_no_account_and_makes_nothing_missing() {
    for is_there in [true, false] {
        let product = Product::new().await;
        let servers = product.running(4).await;
        let mut client = crate::mocks::MockProviderClient::new();
        client.expect_token_digest().return_const(product.provider.token_digest());
        client.expect_inventory().returning(|_, _, _| Ok(crate::ports::InventoryPage { servers: vec![], next: None }));
        let provider = product.provider.clone();
        client
            .expect_get()
            .times(1..)
            .returning(move |id, _| Ok(provider.servers().into_iter().find(|view| is_there && view.id == *id)));
        let client: Arc<dyn crate::ports::ProviderClient> = Arc::new(client);
        let providers = Arc::new(std::collections::BTreeMap::from([(account(), client)]));
        let sweep = Sweep::new(Context { providers, ..product.context.clone() }, SweepMode::Repair).unwrap();
        for _ in 0..3 {
            sweep.once(&account()).await.unwrap();
            tokio::time::advance(product.context.timing.sweep_grace).await;
        }
        let gates = product.context.store.account(&account()).await.unwrap().gates;
        assert_eq!(gates.iter().all(|entry| entry.gate == crate::model::Gate::Open), is_there, "{gates:?}");
        product.settle_within(LONG).await;
        for id in servers {
            assert_eq!(product.server(id).await.state, ServerState::Running);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_wake_up_is_found_by_its_time() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let key = crate::model::JobKey::new(format!("converge:{}", order.server)).unwrap();
    assert!(product.context.queue.cancel(&key).await.unwrap());
    product.settle_within(Duration::from_secs(60)).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Requested);
    tokio::time::advance(product.context.timing.stall_after + Duration::from_secs(1)).await;
    assert_eq!(product.sweep(SweepMode::Repair).await.stalled, 1);
    product.settle_within(LONG).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Running);
}

#[cfg(feature = "mocks")]
#[tokio::test(start_paused = true)]
async fn a_server_whose_job_the_queue_cannot_take_keeps_no_other_asleep() {
    let product = Product::new().await;
    let mut orders = Vec::new();
    for name in ["web-1", "web-2", "web-3"] {
        let order = product.order(name, None).await.unwrap().operation;
        let key = crate::model::JobKey::new(format!("converge:{}", order.server)).unwrap();
        assert!(product.context.queue.cancel(&key).await.unwrap());
        orders.push((order, key));
    }
    tokio::time::advance(product.context.timing.stall_after + Duration::from_secs(1)).await;
    let (real, bad) = (product.context.queue.clone(), orders[1].1.clone());
    let mut queue = crate::mocks::MockJobQueue::new();
    let taken = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = taken.clone();
    queue.expect_enqueue().returning(move |jobs| {
        if jobs.iter().any(|job| job.key == bad) {
            return Err(crate::ports::QueueError::Corrupt { source: "unreadable".into() });
        }
        seen.lock().unwrap().extend_from_slice(jobs);
        Ok(vec![crate::ports::Enqueued::Inserted; jobs.len()])
    });
    let context = Context { queue: Arc::new(queue), ..product.context.clone() };
    Sweep::new(context, SweepMode::Repair).unwrap().once(&account()).await.unwrap();
    let woken = std::mem::take(&mut *taken.lock().unwrap());
    assert_eq!(woken.len(), 2);
    real.enqueue(&woken).await.unwrap();
    product.settle_within(LONG).await;
    for (place, (order, _)) in orders.iter().enumerate() {
        let expected = if place == 1 { ServerState::Requested } else { ServerState::Running };
        assert_eq!(product.server(order.server).await.state, expected);
    }
}

#[cfg(feature = "mocks")]
#[tokio::test(start_paused = true)]
async fn an_account_is_compared_though_the_queue_takes_no_wakes_and_the_sweep_fails_of_that() {
    let product = Product::new().await;
    let servers = product.running(3).await;
    let gone = product.server(servers[0]).await.provider_ref.unwrap().id;
    assert!(product.provider.vanish(&gone));
    drop(product.order("stalled", None).await.unwrap());
    tokio::time::advance(product.context.timing.stall_after + Duration::from_secs(1)).await;
    let mut queue = crate::mocks::MockJobQueue::new();
    queue
        .expect_enqueue()
        .times(1)
        .returning(|_| Err(crate::ports::QueueError::Unavailable { source: "out of memory".into() }));
    let context = Context { queue: Arc::new(queue), ..product.context.clone() };
    let error = Sweep::new(context, SweepMode::Repair).unwrap().once(&account()).await.unwrap_err();
    let told = crate::telemetry::causes(error.as_ref()).to_string();
    assert!(told.contains("queue failed") && told.contains("out of memory"), "{told}");
    let sightings = product.context.store.sightings(&account()).await.unwrap();
    let seen: Vec<_> = sightings.iter().map(|sighting| (sighting.server, sighting.class)).collect();
    assert_eq!(seen, [(Some(servers[0]), SightingClass::Missing)]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_job_that_nobody_parked_is_parked_by_the_sweep() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let attempt = product.claim().await.unwrap();
    let verdict = Verdict::Dead { code: "panic".to_owned() };
    product.context.queue.settle(&[Settlement { lease: attempt.lease(), verdict }]).await.unwrap();
    tokio::time::advance(product.context.timing.stall_after + Duration::from_secs(1)).await;
    product.sweep(SweepMode::Repair).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Parked);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_has_seen_missing_does_not_make_the_account_suspect_again() {
    let product = Product::new().await;
    let servers = product.running(2).await;
    for id in &servers {
        let gone = product.server(*id).await.provider_ref.unwrap().id;
        assert!(product.provider.vanish(&gone));
    }
    drop(product.sweep_ripe(SweepMode::Repair, 2).await);
    assert_eq!(product.server(servers[0]).await.state, ServerState::Running);
    // Who has seen one missing does not vouch for two.
    let refused = vouch(&product, 1).await.unwrap_err();
    assert!(matches!(refused, ConfirmError::MoreMissing { seen: 2, accepted: 1 }), "{refused:?}");
    drop(product.sweep_ripe(SweepMode::Repair, 2).await);
    assert_eq!(product.server(servers[0]).await.state, ServerState::Running);
    vouch(&product, 2).await.unwrap();
    // A repeat finds it done.
    vouch(&product, 2).await.unwrap();
    drop(product.sweep_ripe(SweepMode::Repair, 2).await);
    for id in servers {
        assert_eq!(product.server(id).await.state, ServerState::Lost);
    }
    // What was given up is no allowance for the next time.
    drop(product.sweep_ripe(SweepMode::Repair, 1).await);
    let known = product.context.store.account(&account()).await.unwrap();
    assert_eq!((known.missing_seen, known.missing_accepted), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn many_refusals_at_once_close_the_gate_for_a_minute_and_never_open_a_suspect_one() {
    let product = Product::new().await;
    let digest = product.provider.token_digest();
    let gate = || async {
        let account = product.context.store.account(&account()).await.unwrap();
        account.gate(&digest).unwrap().clone()
    };
    for _ in 0..16 {
        crate::provisioning::close_gate(&product.context, &account(), false).await.unwrap();
    }
    let now = product.context.store.now().await.unwrap();
    let crate::model::Gate::Blocked { probe_at } = gate().await.gate else { panic!("not blocked") };
    assert!(probe_at.since(now) <= Duration::from_secs(66), "{:?}", probe_at.since(now));

    crate::provisioning::close_gate(&product.context, &account(), true).await.unwrap();
    crate::provisioning::close_gate(&product.context, &account(), false).await.unwrap();
    tokio::time::advance(LONG).await;
    assert!(matches!(check_token(&product.context, &account()).await.unwrap(), TokenCheck::Suspect { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_protected_second_server_neither_stops_the_first_nor_its_removal() {
    let product = Product::new().await;
    let servers = product.running(1).await;
    product.provider.put("surplus", labels(product.context.installation, servers[0])).unwrap();
    let protected = crate::memory::ProviderFault::Refuse(crate::ports::ProviderErrorKind::Protected);
    product.provider.fail_next(ProviderMethod::Delete, protected);
    drop(product.sweep_ripe(SweepMode::Repair, 1).await);
    assert_eq!(
        product.provider.calls(ProviderMethod::Delete),
        1,
        "it was to be removed, and is not tried again at once"
    );
    let server = product.server(servers[0]).await;
    assert_eq!((server.state, server.park_reason), (ServerState::Running, None));
    drop(product.delete(servers[0]).await.unwrap());
    product.settle_within(LONG).await;
    assert_eq!(product.server(servers[0]).await.state, ServerState::Deleted);
    let left: Vec<String> = product.provider.servers().into_iter().map(|server| server.name).collect();
    assert!(!left.iter().any(|name| name.starts_with("web")), "{left:?}");
}
