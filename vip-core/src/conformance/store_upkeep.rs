//! The contract of `Store`, second part: audit, tenants, sightings, accounts and retention.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Account, AccountId, Candidate, ChainHead, Desired, Gate, Landing, PageLimit, PageRequest, ProviderRef,
    ProviderServerId, Removal, Server, ServerId, ServerState, Sighting, SightingClass, SightingKey, Timestamp,
    TokenDigest, verify_chain, verify_versions,
};
use crate::ports::{Enqueued, Guard, Note, QuotaChange, RecordedRef, Retention, SealReport, SinkName, StoreError};

use super::fixture::{BackendFixture, account, random, seconds};
use super::job_queue::{enqueue, job, kill};
use super::samples::{accepted, change, holder, key_of, load, moved, order, server, takeover, tenant};

pub async fn one_audit_record_per_version(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let mut record = accepted(fixture, "acme").await;
    for version in 2..=4 {
        record = moved(fixture, record, ServerState::Creating).await.server;
        assert_eq!(record.version, version);
    }
    accepted(fixture, "other").await;
    let versions = store.versions(&record.tenant, None, u32::MAX).await.unwrap();
    assert_eq!(versions.current, BTreeMap::from([(record.id, 4)]));
    assert_eq!(versions.recorded[&record.id], BTreeMap::from([(1, 1), (2, 1), (3, 1), (4, 1)]));
    verify_versions(&versions.current, &versions.recorded).unwrap();
}

pub async fn sealing_makes_a_gapless_chain(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let mut record = accepted(fixture, "acme").await;
    accepted(fixture, "other").await;
    record = moved(fixture, record, ServerState::Creating).await.server;
    assert_eq!(store.chain_head(&record.tenant).await.unwrap(), ChainHead::empty(&record.tenant));
    assert_eq!(store.seal(2).await.unwrap(), SealReport { sealed: 2, more: true });
    record = moved(fixture, record, ServerState::Confirming).await.server;
    assert_eq!(store.seal(9).await.unwrap(), SealReport { sealed: 2, more: false });
    assert_eq!(store.seal(9).await.unwrap(), SealReport::default());
    let sealed = store.sealed(&record.tenant, 0, 9).await.unwrap();
    let head = verify_chain(&ChainHead::empty(&record.tenant), &sealed).unwrap();
    assert_eq!((head.sequence, &head), (3, &store.chain_head(&record.tenant).await.unwrap()));
    let versions: Vec<_> = sealed.iter().map(|sealed| sealed.record().unwrap().version).collect();
    assert_eq!(versions, [1, 2, 3]);
    assert_eq!(sealed[2].record().unwrap().change, record.stamp);
    assert_eq!(store.sealed(&record.tenant, 1, 1).await.unwrap(), sealed[1..2]);
    assert_eq!(store.stats().await.unwrap().unsealed, 0);
}

pub async fn a_sink_gets_every_record_once_it_is_told_so(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let (one, two) = (SinkName::new("one").unwrap(), SinkName::new("two").unwrap());
    let record = accepted(fixture, "acme").await;
    let other = accepted(fixture, "other").await;
    drop(moved(fixture, record.clone(), ServerState::Creating).await);
    assert_eq!(store.deliverable(&one, 9).await.unwrap(), None, "nothing is sealed yet");
    store.seal(9).await.unwrap();
    let first = store.deliverable(&one, 1).await.unwrap().unwrap();
    assert_eq!((&first.tenant, first.records.len()), (&record.tenant, 1));
    assert_eq!(store.deliverable(&one, 1).await.unwrap().unwrap(), first, "until it says that it has it");
    store.delivered(&one, &record.tenant, 1).await.unwrap();
    fixture.advance(seconds(1)).await;
    let turn = store.deliverable(&one, 9).await.unwrap().unwrap();
    assert_eq!(turn.tenant, other.tenant, "whose turn was longest ago");
    store.delivered(&one, &other.tenant, 1).await.unwrap();
    let rest = store.deliverable(&one, 9).await.unwrap().unwrap();
    assert_eq!((&rest.tenant, rest.records[0].sequence), (&record.tenant, 2));
    store.delivered(&one, &record.tenant, 2).await.unwrap();
    store.delivered(&one, &record.tenant, 1).await.unwrap();
    assert_eq!(store.deliverable(&one, 9).await.unwrap(), None, "never goes backwards");
    assert_eq!(store.deliverable(&two, 9).await.unwrap().unwrap().records.len(), 2);
}

pub async fn a_tenant_whose_records_were_not_taken_goes_behind_the_others(fixture: &dyn BackendFixture) {
    let (store, sink) = (fixture.store(), SinkName::new("one").unwrap());
    let (first, second) = (accepted(fixture, "acme").await.tenant, accepted(fixture, "other").await.tenant);
    drop(moved(fixture, accepted(fixture, "acme").await, ServerState::Creating).await);
    store.seal(9).await.unwrap();
    // The clock stands still: turns are in order by themselves, as they are when it was ahead and was set right.
    let next = async || {
        let batch = store.deliverable(&sink, 1).await.unwrap().unwrap();
        (batch.tenant, batch.records[0].sequence)
    };
    assert_eq!(next().await, (first.clone(), 1));
    store.delivered(&sink, &first, 0).await.unwrap();
    assert_eq!(next().await, (second.clone(), 1), "the other one had no turn yet");
    store.delivered(&sink, &second, 0).await.unwrap();
    assert_eq!(next().await, (first.clone(), 1), "and nothing counts as delivered");
    store.delivered(&sink, &first, 2).await.unwrap();
    store.delivered(&sink, &second, 0).await.unwrap();
    assert_eq!(next().await, (first.clone(), 3));
    store.delivered(&sink, &first, 1).await.unwrap();
    assert_eq!(next().await, (second.clone(), 1), "a number that is known already ends a turn, too");
    store.delivered(&sink, &second, 1).await.unwrap();
    assert_eq!(next().await, (first, 3), "and takes nothing back");
}

pub async fn tenants_do_not_meet(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let mine = server(&tenant("acme"));
    let mut whole = order(mine.clone());
    whole.key = Some(key_of(&mine, "order-1"));
    let mine = store.commit(&whole).await.unwrap().server;
    let (stranger, all) = (tenant("zeta"), PageRequest::first(PageLimit::most()));
    assert!(store.load(&stranger, mine.id).await.unwrap().is_none());
    assert!(store.operation(&stranger, mine.create_operation).await.unwrap().is_none());
    assert!(store.key(&stranger, &key_of(&mine, "order-1").key).await.unwrap().is_none());
    assert!(store.servers(&stranger, &all).await.unwrap().items.is_empty());
    assert!(store.operations(&stranger, &all).await.unwrap().items.is_empty());
    assert!(store.versions(&stranger, None, u32::MAX).await.unwrap().current.is_empty());
    store.seal(9).await.unwrap();
    assert!(store.sealed(&stranger, 0, 9).await.unwrap().is_empty());
    let claim = super::fixture::claim_id();
    let guard = takeover(mine.stamp, claim, 1);
    store.note(&Note { tenant: mine.tenant.clone(), guard, server: mine.clone() }).await.unwrap();
    let mut stolen = mine.clone();
    stolen.tenant = stranger.clone();
    for guard in [
        Guard::Command { stamp: mine.stamp },
        Guard::Operator { stamp: mine.stamp, claim: super::fixture::claim_id() },
        takeover(mine.stamp, claim, 9),
        holder(mine.stamp, claim),
    ] {
        let note = Note { tenant: stranger.clone(), guard: guard.clone(), server: stolen.clone() };
        assert!(matches!(store.commit(&change(stolen.clone(), guard)).await, Err(StoreError::Conflict)));
        assert!(matches!(store.note(&note).await, Err(StoreError::Conflict)));
    }
    // Not even the answer of a repeated commit is for a stranger.
    let mut repeated = whole.clone();
    repeated.server.tenant = stranger.clone();
    assert!(store.commit(&repeated).await.is_err());
    let mut meddling = change(mine.clone(), Guard::Command { stamp: mine.stamp });
    meddling.server = server(&stranger);
    meddling.guard = Guard::New;
    let status = crate::model::OperationStatus::Failed;
    let id = mine.create_operation;
    meddling.operations.push(crate::ports::OperationChange::Status { id, status, code: None });
    drop(store.commit(&meddling).await.unwrap());
    let operation = store.operation(&mine.tenant, id).await.unwrap().unwrap();
    assert_eq!(operation.status, crate::model::OperationStatus::Pending);
    let everyone = store.tenants(None, 9).await.unwrap();
    assert_eq!(everyone, [mine.tenant.clone(), stranger.clone()]);
    assert_eq!(store.tenants(Some(mine.tenant.clone()), 1).await.unwrap(), [stranger]);
}

pub async fn pages_hold_each_server_once(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    for _ in 0..5 {
        accepted(fixture, "acme").await;
    }
    let (owner, limit) = (tenant("acme"), PageLimit::new(2).unwrap());
    let mut request = PageRequest::first(limit);
    let (mut ids, mut operations) = (Vec::new(), 0);
    loop {
        let page = store.servers(&owner, &request).await.unwrap();
        ids.extend(page.items.iter().map(|server| server.id));
        let Some(next) = page.next else { break };
        request = PageRequest::after(next, limit);
    }
    assert!(ids.is_sorted() && ids.len() == 5);
    let mut request = PageRequest::first(limit);
    while let Some(next) = {
        let page = store.operations(&owner, &request).await.unwrap();
        operations += page.items.len();
        page.next
    } {
        request = PageRequest::after(next, limit);
    }
    assert_eq!(operations, 5);
}

fn confirmed(mut record: Server, id: &str) -> Server {
    record.account = Some(account());
    record.provider_ref = serde_json::from_value::<Option<ProviderRef>>(serde_json::json!({
        "account": account(), "id": id, "owner": random(crate::model::InstallationId::from_uuid), "at": 1,
        "seen_by_id": true, "gone": false,
    }))
    .unwrap();
    record
}

pub async fn references_are_what_may_live_in_an_account(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    accepted(fixture, "acme").await;
    let here = moved(fixture, confirmed(accepted(fixture, "acme").await, "7"), ServerState::Running).await.server;
    let gone = moved(fixture, confirmed(accepted(fixture, "other").await, "8"), ServerState::Deleted).await.server;
    assert_eq!(store.references(&account()).await.unwrap(), [RecordedRef::of(&here)]);
    assert!(store.references(&AccountId::new("elsewhere").unwrap()).await.unwrap().is_empty());
    let mut located = store.locate(&[gone.id, here.id, random(ServerId::from_uuid)]).await.unwrap();
    located.sort_by_key(|found| found.tenant.to_string());
    assert_eq!(located, [RecordedRef::of(&here), RecordedRef::of(&gone)]);
}

fn sighting(id: &str, server: Option<ServerId>, class: SightingClass, now: Timestamp) -> Sighting {
    let key = SightingKey { account: account(), id: ProviderServerId::new(id).unwrap() };
    let (first_seen, last_seen) = (now, now);
    Sighting { key, server, class, first_seen, last_seen, count: 2, ripe: class == SightingClass::Surplus }
}

pub async fn sightings_are_replaced_loaded_and_dealt_with(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let record = accepted(fixture, "acme").await;
    let surplus = sighting("1", Some(record.id), SightingClass::Surplus, fixture.now().await);
    let foreign = sighting("2", None, SightingClass::Unrecorded, fixture.now().await);
    store.sight(&account(), std::slice::from_ref(&foreign)).await.unwrap();
    store.sight(&account(), &[surplus.clone(), foreign.clone()]).await.unwrap();
    assert_eq!(store.sightings(&account()).await.unwrap(), [surplus.clone(), foreign.clone()]);
    assert_eq!(load(store, &record).await.sightings, std::slice::from_ref(&surplus));
    let stats = store.stats().await.unwrap();
    assert_eq!(stats.sightings, BTreeMap::from([(SightingClass::Surplus, 1), (SightingClass::Unrecorded, 1)]));
    let mut done = change(record.clone(), Guard::Command { stamp: record.stamp });
    done.sighting_done = Some(surplus.key);
    drop(store.commit(&done).await.unwrap());
    assert_eq!(store.sightings(&account()).await.unwrap(), [foreign]);
    store.sight(&account(), &[]).await.unwrap();
    assert!(store.sightings(&account()).await.unwrap().is_empty());
}

pub async fn the_accounts_of_records_are_known_until_these_are_final(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    assert!(store.stats().await.unwrap().accounts.is_empty());
    let mut expected = BTreeSet::new();
    for name in ["default", "second", "third", "second"] {
        let mut record = accepted(fixture, "acme").await;
        let account = AccountId::new(name).unwrap();
        record.account = Some(account.clone());
        let made = change(record.clone(), Guard::Command { stamp: record.stamp });
        drop(store.commit(&made).await.unwrap());
        expected.insert(account.clone());
        assert_eq!(store.stats().await.unwrap().accounts, expected);
        if name == "third" {
            let mut ended = load(store, &record).await.server;
            ended.state = ServerState::Failed;
            ended.gone_at = Some(fixture.now().await);
            let end = change(ended.clone(), Guard::Command { stamp: ended.stamp });
            drop(store.commit(&end).await.unwrap());
            expected.remove(&account);
        }
    }
    assert_eq!(store.stats().await.unwrap().accounts, expected);
}

/// Makes what a record knows of a server in an account.
fn reference(account: AccountId, gone: bool) -> ProviderRef {
    let (id, owner) = (ProviderServerId::new("7").unwrap(), random(crate::model::InstallationId::from_uuid));
    ProviderRef { account, id, owner, at: Timestamp::from_micros(1), seen_by_id: true, gone }
}

/// Makes the removal of a server in an account.
fn removal(account: AccountId, gone: bool) -> Removal {
    let (id, since) = (ProviderServerId::new("8").unwrap(), Timestamp::from_micros(1));
    Removal { account, id, since, seen_by_id: true, accepted_at: None, first_accepted_at: None, looks: 0, gone }
}

fn named(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

/// Is the name of the account that a record asks next, and the change after which it does.
type Moved = (&'static str, fn(&mut Server));

pub async fn the_account_that_a_record_asks_next_is_known_while_it_has_to_move(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let mut record = accepted(fixture, "acme").await;
    assert_eq!(store.stats().await.unwrap().accounts, BTreeSet::from([account()]), "nothing is announced yet");
    let candidate = record.candidates[0].clone();
    let of = |name| Candidate { account: named(name), ..candidate.clone() };
    record.candidates = vec![of("first"), of("second")];
    // The names, if there is one, that are known once a record is changed so, one change after the other.
    let changes: [Moved; 12] = [
        ("first", |_| {}),
        ("second", |record| record.cursor = 1),
        ("", |record| record.cursor = 2),
        ("north", |record| {
            let landing = Landing { by: record.created_at, looked_at: None };
            record.land = BTreeMap::from([(named("south"), landing.clone()), (named("north"), landing)]);
        }),
        ("own", |record| record.provider_ref = Some(reference(named("own"), false))),
        ("other", |record| record.removing = Some(removal(named("other"), false))),
        ("own", |record| record.removing = Some(removal(named("other"), true))),
        ("north", |record| record.provider_ref = Some(reference(named("own"), true))),
        ("first", |record| (record.cursor, record.land) = (0, BTreeMap::new())),
        ("", |record| record.desired = Desired::Absent),
        ("", |record| (record.desired, record.state) = (Desired::Present, ServerState::Failed)),
        ("", |record| (record.state, record.wake_at) = (ServerState::Requested, None)),
    ];
    for (place, (expected, changed)) in changes.into_iter().enumerate() {
        changed(&mut record);
        let written = change(record.clone(), Guard::Command { stamp: record.stamp });
        record = store.commit(&written).await.unwrap().server;
        let expected: BTreeSet<AccountId> = AccountId::new(expected).into_iter().collect();
        assert_eq!(store.stats().await.unwrap().accounts, expected, "change {place}");
    }
}

pub async fn an_account_is_written_by_whoever_read_it_last(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let unknown = store.account(&account()).await.unwrap();
    assert_eq!(unknown, Account::unknown(account()));
    let known = unknown.clone().with_gate(&TokenDigest::of("token"), Gate::Open, 0);
    store.save_account(&known).await.unwrap();
    assert!(matches!(store.save_account(&known).await, Err(StoreError::Conflict)));
    let read = store.account(&account()).await.unwrap();
    assert_eq!((read.version, &read.gates), (1, &known.gates));
    store.save_account(&read).await.unwrap();
    assert!(matches!(store.save_account(&read).await, Err(StoreError::Conflict)));
    let record = accepted(fixture, "acme").await;
    assert_eq!(load(store, &record).await.accounts, [store.account(&account()).await.unwrap()]);
}

pub async fn stalled_servers_are_listed_longest_ago_first(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let first = accepted(fixture, "acme").await;
    fixture.advance(seconds(10)).await;
    let second = accepted(fixture, "other").await;
    let third = accepted(fixture, "other").await;
    drop(moved(fixture, third, ServerState::Deleted).await);
    let stalled = async |after, most| {
        let found = store.stalled(seconds(after), seconds(4500), most).await.unwrap();
        found.into_iter().map(|stalled| stalled.server).collect::<Vec<_>>()
    };
    assert!(stalled(10, 9).await.is_empty());
    fixture.advance(seconds(1)).await;
    assert_eq!(stalled(10, 9).await, [first.id]);
    assert_eq!(stalled(0, 9).await, [first.id, second.id]);
    assert_eq!(stalled(0, 1).await, [first.id]);
    assert_eq!(store.stats().await.unwrap().next_wake, first.wake_at);
}

pub async fn a_server_that_waits_for_a_time_beyond_any_is_stalled(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let waits = async |wait, state| {
        let mut server = accepted(fixture, "acme").await;
        server.wake_at = Some(fixture.now().await.plus(wait));
        moved(fixture, server, state).await.server.id
    };
    let (furthest, year) = (seconds(4500), 365 * seconds(86_400));
    waits(furthest, ServerState::Creating).await;
    waits(year, ServerState::Deleted).await;
    // As a clock leaves it that was ahead for an hour, or for a year, and was set back.
    let ahead = waits(furthest + seconds(12), ServerState::Creating).await;
    let further = waits(year, ServerState::Running).await;
    let late = accepted(fixture, "other").await.id;
    fixture.advance(seconds(11)).await;
    let stalled = async |most| {
        let found = store.stalled(seconds(10), furthest, most).await.unwrap();
        found.into_iter().map(|stalled| stalled.server).collect::<Vec<_>>()
    };
    assert_eq!(stalled(9).await, [late, ahead, further]);
    assert_eq!(stalled(2).await, [late, ahead]);
}

pub async fn trimming_leaves_a_tombstone(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    assert_eq!(enqueue(fixture.queue(), job("dead")).await, Enqueued::Inserted);
    kill(fixture.queue()).await;
    let mut whole = order(server(&tenant("acme")));
    whole.key = Some(key_of(&whole.server, "order-1"));
    whole.quota = Some(QuotaChange::Take { limit: None });
    let record = store.commit(&whole).await.unwrap().server;
    let living = accepted(fixture, "acme").await;
    let gone = moved(fixture, confirmed(record, "7"), ServerState::Deleted).await.server;
    // One that has neither key nor operation goes by its own age, too.
    let bare = store.commit(&change(server(&tenant("acme")), Guard::New)).await.unwrap().server;
    drop(moved(fixture, bare, ServerState::Failed).await);
    let key = key_of(&gone, "order-1").key;
    let trimmed = async || {
        let now = fixture.now().await;
        let retention = Retention { now, keys: seconds(100), records: seconds(200), most: 10 };
        let trimmed = store.trim(&retention).await.unwrap();
        (trimmed.keys, trimmed.operations, trimmed.records)
    };
    fixture.advance(seconds(99)).await;
    assert_eq!(trimmed().await, (0, 0, 0));
    fixture.advance(seconds(1)).await;
    assert_eq!(trimmed().await, (1, 0, 0));
    assert!(store.key(&gone.tenant, &key).await.unwrap().is_none());
    fixture.advance(seconds(100)).await;
    assert_eq!(trimmed().await, (0, 1, 2));
    assert_eq!(trimmed().await, (0, 0, 0));
    assert_eq!(fixture.queue().stats(&[]).await.unwrap().dead, 1, "a dead job waits for a person, however long");
    let tombstone = load(store, &gone).await.server;
    assert!(tombstone.spec.user_data.is_none() && tombstone.candidates.is_empty() && tombstone.spec.labels.is_empty());
    assert_eq!((tombstone.id, &tombstone.tenant, tombstone.state), (gone.id, &gone.tenant, gone.state));
    assert_eq!((tombstone.provider_ref, tombstone.gone_at), (gone.provider_ref, gone.gone_at));
    assert_eq!((tombstone.version, tombstone.stamp), (gone.version, gone.stamp));
    assert_eq!(load(store, &living).await.server, living);
    let mut again = server(&tenant("acme"));
    again.provider_name = gone.provider_name;
    assert!(matches!(store.commit(&order(again)).await, Err(StoreError::Conflict)), "its name is never free again");
}
