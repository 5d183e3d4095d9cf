//! What becomes of a job, a record or an operation that nobody can read, the same for each adapter.

use std::collections::BTreeSet;
use std::time::Duration;

use vip_core::Provisioner;
use vip_core::conformance::job_queue::{claim, job, settle};
use vip_core::conformance::samples::{accepted, load};
use vip_core::conformance::{BackendFixture, account};
use vip_core::model::{
    Account, Actor, Gate, Job, JobId, JobKey, JobState, OperationId, Page, PageLimit, PageRequest, ParkReason,
    RequestId, Server, ServerId, TenantId, TokenDigest, TraceParent,
};
use vip_core::ports::{JobQueue, Settled, Verdict};

/// Enqueues five jobs and has the third one damaged: the others are claimed at once, it is counted among the dead, hides no
/// other in a list, is counted there once, and can be removed by its key.
///
/// # Panics
///
/// If it is not so.
pub async fn an_unreadable_job_hurts_no_other(queue: &dyn JobQueue, damage: impl AsyncFnOnce(JobId)) {
    let mut jobs = ["a", "b", "c", "d", "e"].map(job);
    // A list is in the order of ids: the damaged one stands between the others.
    let mut ids = jobs.each_ref().map(|job| job.id);
    ids.sort();
    for (job, id) in jobs.iter_mut().zip(ids) {
        job.id = id;
    }
    queue.enqueue(&jobs).await.expect("they are enqueued");
    damage(jobs[2].id).await;
    let mut claimed = claim(queue, 10).await;
    claimed.sort_by(|one, other| one.job.key.as_str().cmp(other.job.key.as_str()));
    let keys: Vec<&str> = claimed.iter().map(|claimed| claimed.job.key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "d", "e"]);
    let leases: Vec<_> = claimed.iter().map(|claimed| claimed.lease.reference).collect();
    let held = queue.heartbeat(&leases, Duration::from_secs(60)).await.expect("they are prolonged");
    assert_eq!(held, [true; 4], "the leases of the others are whole");
    let stats = queue.stats(&[]).await.expect("they are counted");
    assert_eq!((stats.dead, stats.leased, stats.due), (1, 4, 0), "an operator sees it among the dead");
    for (place, lease) in leases.iter().enumerate() {
        let is_outermost = matches!(place, 0 | 3);
        let verdict = if is_outermost { Verdict::Dead { code: "bad".to_owned() } } else { Verdict::Done };
        assert_ne!(settle(queue, *lease, verdict).await, Settled::Stale);
    }
    let page = PageRequest::first(PageLimit::new(1).expect("a limit"));
    let (mut dead, mut unreadable, mut next) = (Vec::new(), 0, Some(page));
    while let Some(page) = next {
        let found = queue.list(JobState::Dead, &page).await.expect("the dead are listed");
        dead.extend(found.items.into_iter().map(|job| job.key.as_str().to_owned()));
        unreadable += found.unreadable;
        next = found.next.map(|after| PageRequest::after(after, PageLimit::new(1).expect("a limit")));
    }
    assert_eq!(dead, ["a", "e"], "the list goes on behind it");
    assert_eq!(unreadable, 1, "it is counted on one page alone");
    assert!(queue.cancel(&JobKey::new("c").expect("a key")).await.expect("it is removed"));
    assert_eq!(queue.stats(&[]).await.expect("they are counted").dead, 2);
}

/// What a damage puts in the place of a job's request id and trace: no names in this version, as those of a newer one may be.
pub const UNREADABLE_HINTS: [&str; 2] = ["no name at all", "01-of-a-later-version"];

/// Enqueues a job and has its hints damaged, the request and the trace that it belongs to: it is found, listed and claimed without
/// them, and nothing else of it is lost.
///
/// # Panics
///
/// If it is not so.
pub async fn an_unreadable_hint_costs_no_job(queue: &dyn JobQueue, damage: impl AsyncFnOnce(JobId)) {
    let mut new = job("a");
    new.tenant = Some(TenantId::new("acme").expect("a name"));
    new.request_id = Some(RequestId::new("req-7").expect("a name"));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    new.trace_parent = Some(TraceParent::new(trace).expect("a trace"));
    queue.enqueue(std::slice::from_ref(&new)).await.expect("it is enqueued");
    damage(new.id).await;
    let shown = |job: &Job| (job.id, job.tenant.clone(), job.request_id.clone(), job.trace_parent.clone());
    let expected = Some((new.id, new.tenant.clone(), None, None));
    let found = queue.find(&new.key).await.expect("it can be read");
    assert_eq!(found.as_ref().map(shown), expected);
    let page = PageRequest::first(PageLimit::most());
    let listed = queue.list(JobState::Waiting, &page).await.expect("it is listed").items;
    assert_eq!(listed.first().map(shown), expected);
    let claimed = claim(queue, 10).await;
    assert_eq!(claimed.first().map(|claimed| shown(&claimed.job)), expected);
    assert_eq!(settle(queue, claimed.first().unwrap().lease.reference, Verdict::Done).await, Settled::Applied);
}

/// Has the first of two open orders of a tenant damaged, and later its operation: what comes behind it is listed, page by page and
/// while an account is closed, and all others are parked after a restore, also those of another tenant. Returns the server, whose
/// id is told four times.
///
/// # Panics
///
/// If it is not so.
pub async fn an_unreadable_record_hides_no_other(
    fixture: &dyn BackendFixture,
    damage: impl AsyncFnOnce(ServerId),
    damage_operation: impl AsyncFnOnce(OperationId),
) -> ServerId {
    let store = fixture.store();
    let mut orders = [accepted(fixture, "acme").await, accepted(fixture, "acme").await];
    orders.sort_by_key(|order| order.id);
    let [damaged, open] = orders;
    let other = accepted(fixture, "zeta").await;
    damage(damaged.id).await;
    assert_eq!(store.stats().await.expect("they are counted").accounts, BTreeSet::from([account()]));

    let (all, one) = (PageRequest::first(PageLimit::most()), PageLimit::new(1).expect("a limit"));
    let ids = |page: Page<Server>| page.items.into_iter().map(|server| server.id).collect::<Vec<_>>();
    let whole = store.servers(&open.tenant, &all).await.expect("they are listed");
    assert_eq!((whole.unreadable, whole.next, ids(whole)), (1, None, vec![open.id]));
    let first = store.servers(&open.tenant, &PageRequest::first(one)).await.expect("nothing is listed");
    let place = damaged.id.as_uuid();
    assert_eq!((first.unreadable, first.next, ids(first)), (1, Some(place), vec![]), "it goes on behind it");
    let second = store.servers(&open.tenant, &PageRequest::after(place, one)).await.expect("the rest is listed");
    assert_eq!((second.unreadable, second.next, ids(second)), (0, None, vec![open.id]));

    let gate = Gate::Blocked { probe_at: fixture.now().await };
    let closed = Account::unknown(account()).with_gate(&TokenDigest::of("old"), gate, 1);
    store.save_account(&closed).await.expect("it is closed");
    let product = Provisioner::builder(fixture.backend().clone()).client_only().await.expect("it starts");
    let shown = product.tenant("acme").operations(&all).await.expect("they are listed, as far as they can be read");
    assert_eq!(shown.items.len(), 2);

    let by = Actor::Operator { name: "on-call".to_owned() };
    let restored = product.operator().mark_restored(&by).await.expect("all others are parked");
    assert_eq!((restored.parked, restored.untouched, restored.unreadable), (2, 0, 1));
    for order in [&open, &other] {
        assert_eq!(load(store, order).await.server.park_reason, Some(ParkReason::Restored));
    }

    damage_operation(damaged.create_operation).await;
    let (mut operations, mut unreadable, mut next) = (Vec::new(), 0, Some(PageRequest::first(one)));
    while let Some(request) = next {
        let page = store.operations(&open.tenant, &request).await.expect("they are listed");
        operations.extend(page.items.into_iter().map(|operation| operation.id));
        unreadable += page.unreadable;
        next = page.next.map(|after| PageRequest::after(after, one));
    }
    assert_eq!((operations, unreadable), (vec![open.create_operation], 1));
    damaged.id
}
