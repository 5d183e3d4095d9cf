//! Plans on PostgreSQL: what was planned while tables were small and is kept reads no whole table that has grown.

use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool, Row};
use uuid::Uuid;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::conformance::claim_id;
use vip_core::conformance::job_queue::{claim, job, kind, settle};
use vip_core::conformance::samples::{change, key_of, order, server as record, tenant};
use vip_core::model::{JobId, JobState, PageLimit, PageRequest, ServerState};
use vip_core::ports::{Enqueued, Guard, JobQueue, QuotaChange, Retention, Settled, SinkName, Store, Verdict};

use crate::postgres_database::until_yes;
use crate::server;

/// Rows that come into each table after the plans were made.
const GROWN: i64 = 20_000;
/// Rows in each table when the plans are made. (With one row alone each way through a table costs the same.)
const SMALL: usize = 5;
/// More rows than all the calls here have to look at, and far fewer than one table has.
const LOOKED_AT_MOST: i64 = 2_000;
/// How many jobs end in each way on a server that believes that there are none.
const FEW: usize = 30;
/// More pages of one index than all of these calls have to look at, and far fewer than as many walks through it.
const PAGES_MOST: i64 = 1_500;
const MILLI: Duration = Duration::from_millis(1);

/// Rows of others, and keys of the same tenant, which come all at once, before the server has looked at the tables again.
const GROW: &str = "
    INSERT INTO vip.jobs (id, due, max_attempts, why, key, kind, payload)
        SELECT gen_random_uuid(), 0, 1, 1, 'other-' || number, 'other', 'null' FROM generate_series(1, 20000) AS number;
    INSERT INTO vip.servers (id, stamp, version, holder_epoch, created_at, quota_held, tenant, state, desired,
            provider_name, create_hash, body)
        SELECT gen_random_uuid(), gen_random_uuid(), 1, 0, 0, false, 'other', 'running', 'present', 'other-' || number, '', '{}'
        FROM generate_series(1, 20000) AS number;
    INSERT INTO vip.operations (id, server, created_at, updated_at, tenant, verb, status)
        SELECT gen_random_uuid(), gen_random_uuid(), 0, 0, 'other', 'create', 'pending' FROM generate_series(1, 20000);
    INSERT INTO vip.keys (tenant, key, fingerprint, operation, server)
        SELECT tenant, number, '', gen_random_uuid(), gen_random_uuid()
        FROM unnest(ARRAY['other', 'acme']) AS tenant, generate_series(1, 20000) AS number;
    INSERT INTO vip.quotas (tenant, used) SELECT 'other-' || number, 1 FROM generate_series(1, 20000) AS number;
    INSERT INTO vip.sightings (account, provider_id, server, class, first_seen, last_seen, count, ripe)
        SELECT 'other', number, gen_random_uuid(), 'surplus', 0, 0, 1, false FROM generate_series(1, 20000) AS number;";

/// Keys of many tenants, as long as each has one: a tenant is then as good as a key to find it by.
const FEW_KEYS: &str = "
    INSERT INTO vip.keys (tenant, key, fingerprint, operation, server)
        SELECT 'one-' || number, number, '', gen_random_uuid(), gen_random_uuid() FROM generate_series(1, 50) AS number";

/// Jobs of another kind, in one state.
const GROW_JOBS: &str = "
    INSERT INTO vip.jobs (id, due, max_attempts, why, key, kind, payload, state)
        SELECT gen_random_uuid(), 0, 1, 1, 'other-' || number, 'other', 'null', $state FROM generate_series(1, 20000) AS number";
const GROW_SIGHTINGS: &str = "
    INSERT INTO vip.sightings (account, provider_id, server, class, first_seen, last_seen, count, ripe)
        SELECT 'other', number, gen_random_uuid(), 'surplus', 0, 0, 1, false FROM generate_series(1, 20000) AS number";

/// Records that ended years ago and are kept still, without keys.
const GROW_ENDED: &str = "
    INSERT INTO vip.servers (id, stamp, version, holder_epoch, created_at, gone_at, quota_held, tenant, state, desired,
            provider_name, create_hash, body)
        SELECT gen_random_uuid(), gen_random_uuid(), 1, 0, 0, 1, false, 'other', 'deleted', 'absent', 'ended-' || number, '', '{}'
        FROM generate_series(1, 20000) AS number";

/// Uses every connection, and each of the calls that come all the time.
async fn one_of_each(backend: &PostgresBackend, name: &str) {
    let mut whole = order(record(&tenant("acme")));
    let key = key_of(&whole.server, &format!("order-{name}"));
    whole.key = Some(key.clone());
    whole.quota = Some(QuotaChange::Take { limit: None });
    let ordered = backend.commit(&whole).await.unwrap().server;
    assert!(backend.load(&ordered.tenant, ordered.id).await.unwrap().is_some());
    assert_eq!(Store::key(backend, &ordered.tenant, &key.key).await.unwrap().as_ref(), Some(&key));
    let guard = Guard::Operator { stamp: ordered.stamp, claim: claim_id() };
    assert_eq!(backend.commit(&change(ordered, guard)).await.unwrap().server.version, 2);
    assert_eq!(backend.seal(10).await.unwrap().sealed, 2);

    let [one, two, three] = ["one", "two", "three"].map(|it| job(&format!("{it}-{name}")));
    assert_eq!(backend.enqueue(&[one.clone(), two.clone()]).await.unwrap(), [Enqueued::Inserted; 2]);
    assert_eq!(backend.enqueue(std::slice::from_ref(&three)).await.unwrap(), [Enqueued::Inserted]);
    let claimed = claim(backend, 4).await;
    let [one, two, three, four] = <[_; 4]>::try_from(claimed).unwrap().map(|claimed| claimed.lease.reference);
    assert_eq!(backend.heartbeat(&[one, two], MILLI).await.unwrap(), [true; 2]);
    assert_eq!(settle(backend, one, Verdict::Done).await, Settled::Applied);
    let again = Verdict::Snooze { delay: Duration::from_secs(600) };
    assert_eq!(settle(backend, two, again).await, Settled::Applied);
    for lease in [three, four] {
        assert_eq!(settle(backend, lease, Verdict::Done).await, Settled::Applied);
    }
    backend.wait(MILLI).await;
    backend.reap(1, 10).await.unwrap();
    let now = backend.now().await.unwrap();
    let retention = Retention { now, keys: Duration::ZERO, records: Duration::ZERO, most: 10 };
    assert_eq!(backend.trim(&retention).await.unwrap().records, 0);
}

/// Uses a backend while its tables are small, lets them grow, and uses it again; demands that few rows were looked at.
async fn grows(database: &str, backend: PostgresBackend) {
    // The server makes one plan for all values, as it does by itself after a few uses, and does not look at tables again.
    for table in ["jobs", "servers", "operations", "keys", "quotas", "sightings", "leases"] {
        server().run(database, &format!("ALTER TABLE vip.{table} SET (autovacuum_enabled = off)")).await;
    }
    for number in 1..=SMALL {
        one_of_each(&backend, &format!("before-{number}")).await;
    }
    server().run(database, FEW_KEYS).await;
    server().run(database, "ANALYZE").await;
    one_of_each(&backend, "planned").await;
    server().run(database, GROW).await;
    one_of_each(&backend, "grown").await;
    backend.close().await.unwrap();
}

/// Returns how many rows all calls have looked at, and where.
async fn rows_looked_at(database: &str) -> (i64, Vec<(String, i64)>) {
    // The server adds up what a session has read when that ends.
    let mut watching = PgConnection::connect(&server().url(database)).await.unwrap();
    let ended =
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'vip'";
    until_yes(&mut watching, ended).await;
    let read = "SELECT relname AS name, seq_tup_read AS rows FROM pg_stat_user_tables WHERE schemaname = 'vip'
        UNION ALL SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE schemaname = 'vip' ORDER BY 2 DESC";
    let read = sqlx::raw_sql(read).fetch_all(&mut watching).await.unwrap();
    let read: Vec<(String, i64)> = read.iter().map(|row| (row.get("name"), row.get("rows"))).collect();
    watching.close().await.unwrap();
    let all: i64 = read.iter().map(|(_, rows)| rows).sum();
    assert!(all > 0, "nothing was counted");
    (all, read)
}

async fn assert_few_rows_were_looked_at(database: &str) {
    let (all, read) = rows_looked_at(database).await;
    assert!(all < LOOKED_AT_MOST && LOOKED_AT_MOST < GROWN, "{all} rows: {read:?}");
}

async fn database() -> String {
    let database = server().new_database().await;
    server().run(&database, &format!("ALTER DATABASE {database} SET plan_cache_mode = force_generic_plan")).await;
    database
}

#[tokio::test]
async fn plans_that_were_made_while_tables_were_small_walk_through_none_that_has_grown() {
    let database = database().await;
    let backend = PostgresBackend::connect(&server().url(&database), PostgresConfig::default()).await.unwrap();
    grows(&database, backend).await;
    assert_few_rows_were_looked_at(&database).await;
}

#[tokio::test]
async fn plans_on_the_pool_of_a_host_walk_through_no_table_that_has_grown_either() {
    let database = database().await;
    let pool = PgPool::connect(&server().url(&database)).await.unwrap();
    let backend = PostgresBackend::with_pool(pool.clone(), PostgresConfig::default()).await.unwrap();
    grows(&database, backend).await;
    pool.close().await;
    assert_few_rows_were_looked_at(&database).await;
}

/// Returns how many pages of each index were looked at until now, by sessions that have ended.
async fn pages_looked_at(database: &str) -> Vec<(String, i64)> {
    let mut watching = PgConnection::connect(&server().url(database)).await.unwrap();
    let read = "SELECT indexrelname AS name, idx_blks_read + idx_blks_hit AS pages
        FROM pg_statio_user_indexes WHERE schemaname = 'vip' ORDER BY 1";
    let read = sqlx::raw_sql(read).fetch_all(&mut watching).await.unwrap();
    watching.close().await.unwrap();
    read.iter().map(|row| (row.get("name"), row.get("pages"))).collect()
}

/// The calls of a worker about a few jobs, in every way that they can end.
async fn work_of_a_worker(database: &str, backend: &PostgresBackend) {
    let jobs: Vec<_> = (0..FEW).map(|number| job(&format!("burst-{number}"))).collect();
    assert_eq!(backend.enqueue(&jobs).await.unwrap().len(), FEW);
    let claimed = claim(backend, u32::try_from(FEW).unwrap()).await;
    let leases: Vec<_> = claimed.iter().map(|claimed| claimed.lease.reference).collect();
    assert_eq!(leases.len(), FEW);
    assert_eq!(backend.heartbeat(&leases, MILLI).await.unwrap(), [true; FEW]);
    let [done, put_off, lapsed]: [&[_]; 3] = leases.chunks(FEW / 3).collect::<Vec<_>>().try_into().unwrap();
    for lease in done {
        assert_eq!(settle(backend, *lease, Verdict::Done).await, Settled::Applied);
    }
    let again = Verdict::Snooze { delay: Duration::from_secs(600) };
    for lease in put_off {
        assert_eq!(settle(backend, *lease, again.clone()).await, Settled::Applied);
    }
    server()
        .run(database, "UPDATE vip.jobs SET lease_until = 1 WHERE state = 1; UPDATE vip.leases SET until = 1")
        .await;
    assert_eq!(backend.reap(100, 100).await.unwrap(), u32::try_from(lapsed.len()).unwrap());
}

#[tokio::test]
async fn a_server_that_counted_no_jobs_walks_through_no_index_when_there_are_many() {
    let database = database().await;
    let backend = PostgresBackend::connect(&server().url(&database), PostgresConfig::default()).await.unwrap();
    backend.close().await.unwrap();
    let tables = ["jobs", "servers", "operations", "keys", "quotas", "sightings", "leases"];
    for table in tables {
        server().run(&database, &format!("ALTER TABLE vip.{table} SET (autovacuum_enabled = off)")).await;
    }
    server().run(&database, &GROW.replace("20000", "500")).await;
    for table in tables {
        server().run(&database, &format!("DELETE FROM vip.{table}")).await;
    }
    // Pages without a row: from now on the server believes that there will be none.
    server().run(&database, "ANALYZE").await;
    server().run(&database, GROW).await;
    rows_looked_at(&database).await;
    let before = pages_looked_at(&database).await;

    let backend = PostgresBackend::connect(&server().url(&database), PostgresConfig::default()).await.unwrap();
    one_of_each(&backend, "burst").await;
    work_of_a_worker(&database, &backend).await;
    backend.close().await.unwrap();
    rows_looked_at(&database).await;
    let after = pages_looked_at(&database).await;
    let walked: Vec<_> = after
        .into_iter()
        .zip(before)
        .map(|((name, after), (_, before))| (name, after - before))
        .filter(|(_, pages)| *pages > PAGES_MOST)
        .collect();
    assert_eq!(walked, []);
}

/// Opens a database, puts rows of others into it, and makes calls; returns how many rows they looked at.
async fn looked_at(rows: &str, calls: impl AsyncFnOnce(&PostgresBackend)) -> i64 {
    let database = database().await;
    let backend = PostgresBackend::connect(&server().url(&database), PostgresConfig::default()).await.unwrap();
    backend.enqueue(&[job("one"), job("two")]).await.unwrap();
    let leased = claim(&backend, 1).await;
    assert_eq!(leased.len(), 1);
    server().run(&database, rows).await;
    server().run(&database, "ANALYZE").await;
    calls(&backend).await;
    backend.close().await.unwrap();
    rows_looked_at(&database).await.0
}

async fn page_of(backend: &PostgresBackend, state: JobState, after: Option<Uuid>) -> Vec<JobId> {
    let mut request = PageRequest::first(PageLimit::new(10).unwrap());
    request.after = after;
    backend.list(state, &request).await.unwrap().items.into_iter().map(|job| job.id).collect()
}

#[tokio::test]
async fn counts_of_jobs_look_at_each_dead_one_once_and_no_count_looks_at_those_of_another() {
    let dead = GROW_JOBS.replace("$state", "2");
    let rows = looked_at(&dead, async |backend| {
        let stats = JobQueue::stats(backend, &[]).await.unwrap();
        let counted = (stats.due, stats.later, stats.leased, stats.dead);
        assert_eq!(counted, (1, 0, 1, u64::try_from(GROWN).unwrap()));
        let stats = JobQueue::stats(backend, &[kind("test")]).await.unwrap();
        assert_eq!((stats.due, stats.later, stats.leased, stats.dead), (1, 0, 1, 0));
    });
    let rows = rows.await;
    assert!(rows < GROWN + LOOKED_AT_MOST, "{rows}");
}

#[tokio::test]
async fn lists_of_dead_and_leased_jobs_do_not_look_at_those_that_wait() {
    // One of two hundred is dead.
    let waiting = GROW_JOBS.replace("$state", "CASE WHEN number % 200 = 0 THEN 2 ELSE 0 END");
    let rows = looked_at(&waiting, async |backend| {
        let first = page_of(backend, JobState::Dead, None).await;
        assert!(first.len() == 10 && first.is_sorted());
        let next = page_of(backend, JobState::Dead, first.last().map(JobId::as_uuid)).await;
        assert!(next.len() == 10 && next.is_sorted() && first.last() < next.first());
        let leased = page_of(backend, JobState::Leased, None).await;
        assert_eq!(leased.len(), 1);
        assert!(page_of(backend, JobState::Leased, Some(leased[0].as_uuid())).await.is_empty());
    });
    let rows = rows.await;
    assert!(rows < LOOKED_AT_MOST, "{rows}");
}

#[tokio::test]
async fn a_page_begins_where_the_one_before_ended() {
    let lists = GROW.split_inclusive(';').take(3).collect::<String>();
    let of_one_tenant = lists.replace("'other',", "'acme',");
    let rows = looked_at(&of_one_tenant, async |backend| {
        let behind = PageRequest::after(Uuid::max(), PageLimit::new(10).unwrap());
        assert!(backend.servers(&tenant("acme"), &behind).await.unwrap().items.is_empty());
        assert!(backend.operations(&tenant("acme"), &behind).await.unwrap().items.is_empty());
        assert!(page_of(backend, JobState::Waiting, behind.after).await.is_empty());
    });
    let rows = rows.await;
    assert!(rows < LOOKED_AT_MOST, "{rows}");
}

#[tokio::test]
async fn counts_of_what_was_seen_at_the_provider_stop_at_their_bound() {
    let most = 100_000;
    for (number, counted) in [(most, most), (most + 1, most)] {
        let database = database().await;
        let backend = PostgresBackend::connect(&server().url(&database), PostgresConfig::default()).await.unwrap();
        server().run(&database, &GROW_SIGHTINGS.replace("20000", &number.to_string())).await;
        let seen = Store::stats(&backend).await.unwrap().sightings;
        assert_eq!(seen.into_values().collect::<Vec<_>>(), [counted]);
        backend.close().await.unwrap();
    }
}

#[tokio::test]
async fn trimming_looks_at_no_record_whose_keys_are_gone_until_it_is_trimmed_itself() {
    let years = Duration::from_secs(100 * 365 * 86_400);
    let rows = looked_at(GROW_ENDED, async |backend| {
        for number in 0..6 {
            let mut whole = order(record(&tenant("acme")));
            whole.key = Some(key_of(&whole.server, &format!("order-{number}")));
            let mut ended = backend.commit(&whole).await.unwrap().server;
            ended.state = ServerState::Failed;
            let guard = Guard::Operator { stamp: ended.stamp, claim: claim_id() };
            drop(backend.commit(&change(ended, guard)).await.unwrap());
        }
        let now = backend.now().await.unwrap();
        let retention = Retention { now, keys: Duration::ZERO, records: years, most: 2 };
        let mut keys = Vec::new();
        for _ in 0..4 {
            keys.push(backend.trim(&retention).await.unwrap().keys);
        }
        assert_eq!(keys, [2, 2, 2, 0]);
    });
    let rows = rows.await;
    assert!(rows < LOOKED_AT_MOST, "{rows}");
}

/// Sealed records of one tenant, of which no sink has any.
const GROW_SEALED: &str = "
    INSERT INTO vip.audit (change_id, server, version, at, sequence, tenant, hash, body)
        SELECT gen_random_uuid(), gen_random_uuid(), 1, 0, number, 'acme', '', '{}' FROM generate_series(1, 20000) AS number;
    INSERT INTO vip.audit_heads (tenant, sequence, hash) VALUES ('acme', 20000, '')";

/// The same of many tenants, one each.
const GROW_TENANTS: &str = "
    INSERT INTO vip.audit (change_id, server, version, at, sequence, tenant, hash, body)
        SELECT gen_random_uuid(), gen_random_uuid(), 1, 0, 1, 'tenant-' || number, '', '{}' FROM generate_series(1, 20000) AS number;
    INSERT INTO vip.audit_heads (tenant, sequence, hash)
        SELECT 'tenant-' || number, 1, '' FROM generate_series(1, 20000) AS number";

/// Asks for ten records, and demands as many as there are of one tenant, from its first one on.
async fn deliver(backend: &PostgresBackend, records: usize) {
    let batch = backend.deliverable(&SinkName::new("one").unwrap(), 10).await.unwrap().unwrap();
    let first = batch.records.first().map(|record| record.sequence);
    assert_eq!((batch.records.len(), first), (records, Some(1)));
}

#[tokio::test]
async fn a_delivery_looks_at_the_records_that_it_hands_out_however_far_the_sink_is_behind() {
    let rows = looked_at(GROW_SEALED, async |backend| deliver(backend, 10).await).await;
    assert!(rows < LOOKED_AT_MOST, "{rows}");
}

#[tokio::test]
async fn a_delivery_looks_at_the_records_of_one_tenant_and_at_each_other_tenant_once() {
    let rows = looked_at(GROW_TENANTS, async |backend| deliver(backend, 1).await).await;
    assert!(rows < GROWN + LOOKED_AT_MOST, "{rows}");
}
