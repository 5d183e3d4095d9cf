//! Upkeep beside others on PostgreSQL: sealing while an earlier transaction is open, orders beside a seal, two sweeps at once.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::conformance::claim_id;
use vip_core::conformance::samples::{change, order, server as record, tenant};
use vip_core::model::{
    AccountId, ChainHead, ProviderServerId, Sighting, SightingClass, SightingKey, Timestamp, verify_chain,
};
use vip_core::ports::{Guard, SealReport, Store};

use crate::postgres_database::{open, until_yes};
use crate::server;

/// Sweeps of one account at once, and the servers that each has seen.
const SWEEPS: usize = 8;
const SEEN: usize = 200;
/// Times that they are made.
const ROUNDS: usize = 5;

#[tokio::test]
async fn records_are_sealed_in_the_order_of_their_commits_also_beside_an_earlier_transaction_that_is_open() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    let acme = tenant("acme");
    let first = backend.commit(&order(record(&acme))).await.unwrap().server;
    assert_eq!(backend.seal(9).await.unwrap().sealed, 1);
    // A host has written a record of its own order and has not committed: its position is the earlier one.
    let mut host = PgConnection::connect(&server().url(&database)).await.unwrap();
    let mut open_one = host.begin().await.unwrap();
    let copy = "INSERT INTO vip.audit (change_id, tenant, server, version, at, body)
        SELECT gen_random_uuid(), tenant, server, 2, at, body FROM vip.audit RETURNING position";
    let earlier: i64 = sqlx::query_scalar(copy).fetch_one(&mut *open_one).await.unwrap();
    let second = backend.commit(&order(record(&acme))).await.unwrap().server;
    let later: i64 = sqlx::query_scalar("SELECT max(position) FROM vip.audit").fetch_one(&mut *open_one).await.unwrap();
    assert!(earlier < later);

    assert_eq!(backend.seal(9).await.unwrap(), SealReport { sealed: 1, more: false }, "nobody waits for the host");
    open_one.commit().await.unwrap();
    assert_eq!(
        backend.seal(9).await.unwrap(),
        SealReport { sealed: 1, more: false },
        "and what it wrote is not left out"
    );
    let sealed = backend.sealed(&acme, 0, 9).await.unwrap();
    assert_eq!(verify_chain(&ChainHead::empty(&acme), &sealed).unwrap().sequence, 3);
    let servers: Vec<_> = sealed.iter().map(|sealed| sealed.record().unwrap().server).collect();
    assert_eq!(servers, [first.id, second.id, first.id]);
    host.close().await.unwrap();
    backend.close().await.unwrap();
}

/// Makes a seal wait at its end, with all that it writes held, until whoever has the lock lets it go.
fn held_up(name: &str, text: &'static str) -> Cow<'static, str> {
    match name {
        "audit_heads_move" => Cow::Owned(format!("{text} RETURNING pg_advisory_xact_lock_shared(7) IS NOT NULL")),
        _ => Cow::Borrowed(text),
    }
}

#[tokio::test]
async fn a_commit_does_not_wait_for_a_seal_of_the_same_tenant_that_is_open() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    let first = backend.commit(&order(record(&tenant("acme")))).await.unwrap().server;
    let long = Duration::from_secs(30);
    let config = PostgresConfig::default().call_deadline(long).lock_wait(long).query_filter(held_up);
    let sealing = PostgresBackend::connect(&server().url(&database), config).await.unwrap();
    let mut holder = PgConnection::connect(&server().url(&database)).await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_lock(7)").execute(&mut holder).await.unwrap();
    let mut seals = JoinSet::new();
    seals.spawn({
        let sealing = sealing.clone();
        async move { sealing.seal(9).await }
    });
    let is_open = "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until_yes(&mut holder, is_open).await;
    let guard = Guard::Operator { stamp: first.stamp, claim: claim_id() };
    assert_eq!(backend.commit(&change(first, guard)).await.unwrap().server.version, 2);
    assert!(seals.try_join_next().is_none(), "the seal is still open");
    sqlx::raw_sql("SELECT pg_advisory_unlock(7)").execute(&mut holder).await.unwrap();
    let sealed = seals.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(sealed, SealReport { sealed: 1, more: false });
    assert_eq!(backend.seal(9).await.unwrap(), SealReport { sealed: 1, more: false });
    holder.close().await.unwrap();
    for backend in [sealing, backend] {
        backend.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sweeps_of_one_account_at_once_one_list_stays_and_not_two() {
    let database = server().new_database().await;
    let backends = [open(&database).await, open(&database).await];
    let account = AccountId::default_account();
    for _ in 0..ROUNDS {
        let mut sweeps = JoinSet::new();
        for sweep in 0..SWEEPS {
            let (backend, account) = (backends[sweep % 2].clone(), account.clone());
            let seen: Vec<Sighting> =
                (0..SEEN).map(|number| sighting(&account, &format!("{sweep}-{number}"))).collect();
            sweeps.spawn(async move { backend.sight(&account, &seen).await });
        }
        assert!(sweeps.join_all().await.into_iter().all(|answer| answer.is_ok()));
        let kept = backends[0].sightings(&account).await.unwrap();
        let of = |sighting: &Sighting| sighting.key.id.as_str().split('-').next().unwrap().to_owned();
        let sweeps: BTreeSet<String> = kept.iter().map(of).collect();
        assert_eq!((kept.len(), sweeps.len()), (SEEN, 1), "{sweeps:?}");
    }
    for backend in backends {
        backend.close().await.unwrap();
    }
}

fn sighting(account: &AccountId, id: &str) -> Sighting {
    let key = SightingKey { account: account.clone(), id: ProviderServerId::new(id).unwrap() };
    let seen = Timestamp::from_micros(1);
    let class = SightingClass::Unrecorded;
    Sighting { key, server: None, class, first_seen: seen, last_seen: seen, count: 1, ripe: false }
}
