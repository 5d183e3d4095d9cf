//! The schema on PostgreSQL: starting at once, failing midway, older and newer ones, statements, and what is refused.

use std::borrow::Cow;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::task::JoinSet;
use vip_adapters::ConnectError;
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::postgres::{OlderSchema, OpenError, PostgresBackend, PostgresConfig};
use vip_core::Provisioner;
use vip_core::conformance::job_queue::{claim, job};
use vip_core::memory::ManualClock;
use vip_core::model::Timestamp;
use vip_core::ports::{Durability, JobQueue, Store};

use crate::postgres_database::{open, until_yes, whole_order};
use crate::postgres_jobs::hold;
use crate::{ACTOR, server};

async fn refused(database: &str) -> OpenError {
    PostgresBackend::connect(&server().url(database), PostgresConfig::default()).await.unwrap_err()
}

async fn connection(database: &str) -> PgConnection {
    PgConnection::connect(&server().url(database)).await.unwrap()
}

async fn number(database: &str, text: &'static str) -> i64 {
    let mut connection = connection(database).await;
    sqlx::query_scalar(text).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn sixteen_openings_at_once_of_an_empty_database_agree_on_one_installation() {
    let database = server().new_database().await;
    let mut opening = JoinSet::new();
    for _ in 0..16 {
        let database = database.clone();
        opening.spawn(async move { open(&database).await });
    }
    let mut installations = Vec::new();
    for backend in opening.join_all().await {
        installations.push(backend.installation().await.unwrap());
        backend.close().await.unwrap();
    }
    installations.dedup();
    assert_eq!(installations.len(), 1);
    assert_eq!(number(&database, "SELECT count(*) FROM vip.migrations").await, 1);
}

#[tokio::test]
async fn openings_that_waited_for_another_one_find_what_it_made_whatever_the_level_of_transactions_is_by_default() {
    for level in ["repeatable read", "serializable"] {
        let database = server().new_database().await;
        let set = format!("ALTER DATABASE {database} SET default_transaction_isolation = '{level}'");
        server().run("postgres", &set).await;
        // Nobody migrates until all of them wait for their turn.
        let mut turn = connection(&database).await;
        let take = "SELECT pg_advisory_lock(hashtextextended('vip.migrations', 0))";
        sqlx::raw_sql(take).execute(&mut turn).await.unwrap();
        let mut opening = JoinSet::new();
        for _ in 0..3 {
            let database = database.clone();
            opening.spawn(async move { open(&database).await });
        }
        let all_wait = "SELECT count(*) = 3 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        until_yes(&mut turn, all_wait).await;
        turn.close().await.unwrap();
        for backend in opening.join_all().await {
            backend.close().await.unwrap();
        }
        assert_eq!(number(&database, "SELECT count(*) FROM vip.migrations").await, 1);
    }
}

#[tokio::test]
async fn sixteen_processes_that_open_an_empty_database_at_once_agree_on_one_installation() {
    let database = server().new_database().await;
    let start = || {
        let mut process = Command::new(ACTOR);
        process.args(["installation", &server().url(&database)]).stdin(Stdio::piped()).stdout(Stdio::piped());
        process.spawn().unwrap()
    };
    let mut processes: Vec<_> = (0..16).map(|_| start()).collect();
    // Each has started and reads when it is told to begin.
    for process in &mut processes {
        process.stdin.take().unwrap().write_all(b"open\n").unwrap();
    }
    let mut installations = std::collections::BTreeSet::new();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success());
        installations.insert(String::from_utf8(output.stdout).unwrap());
    }
    assert_eq!(installations.len(), 1, "{installations:?}");
    assert_eq!(number(&database, "SELECT count(*) FROM vip.migrations").await, 1);
    assert_eq!(number(&database, "SELECT count(*) FROM vip.installation").await, 1);
}

#[tokio::test]
async fn a_migration_that_fails_midway_leaves_nothing_and_a_later_one_succeeds() {
    let database = server().new_database().await;
    // The table is one of the last that are made.
    server().run(&database, "CREATE SCHEMA vip; CREATE TABLE vip.leases (a integer)").await;
    let error = refused(&database).await;
    assert!(matches!(error, OpenError::Migration { .. }), "{error:?}");
    let ours =
        "SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = 'vip'";
    assert_eq!(number(&database, ours).await, 1, "the host's table alone");
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(number(&database, locks).await, 0, "no lock is left");
    server().run(&database, "DROP TABLE vip.leases").await;
    open(&database).await.close().await.unwrap();
    open(&database).await.close().await.unwrap();
}

/// What a later version may do to the tables: the program before it can still use them.
const EXPANDS: (i64, &str, &str) =
    (2, "expands", "ALTER TABLE vip.servers ADD COLUMN rack text; CREATE INDEX servers_rack ON vip.servers (rack)");
/// The same, and it fails after its first half.
const FAILS: (i64, &str, &str) = (2, "fails", "ALTER TABLE vip.servers ADD COLUMN rack text; SELECT 1 / 0");

#[tokio::test]
async fn an_older_schema_is_refused_until_it_is_asked_to_be_migrated_and_keeps_what_is_in_it() {
    let database = server().new_database().await;
    let now = open(&database).await;
    let change = whole_order(1);
    let written = now.commit(&change).await.unwrap().server;
    let of_later = |migration, older| {
        let config = PostgresConfig::default().later_migrations(&[migration]).older_schema(older);
        let url = server().url(&database);
        async move { PostgresBackend::connect(&url, config).await }
    };
    let racks = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'vip' AND column_name = 'rack'";

    let error = of_later(EXPANDS, OlderSchema::Refuse).await.unwrap_err();
    assert!(matches!(error, OpenError::OlderSchema { found: 1, known: 2 }), "{error:?}");
    assert_eq!(number(&database, racks).await, 0);
    let error = of_later(FAILS, OlderSchema::Migrate).await.unwrap_err();
    assert!(matches!(error, OpenError::Migration { .. }), "{error:?}");
    assert_eq!((number(&database, racks).await, number(&database, NEWEST).await), (0, 1), "nothing of it is left");

    let later = of_later(EXPANDS, OlderSchema::Migrate).await.unwrap();
    assert_eq!((number(&database, racks).await, number(&database, NEWEST).await), (1, 2));
    let refusing = of_later(EXPANDS, OlderSchema::Refuse).await.unwrap();
    // The program before it was running all the time, and another one of it starts.
    let again = open(&database).await;
    for (number, backend) in [&now, &later, &refusing, &again].into_iter().enumerate() {
        let loaded = backend.load(&written.tenant, written.id).await.unwrap().unwrap();
        assert_eq!(loaded.server, written);
        drop(backend.commit(&whole_order(2 + number)).await.unwrap());
    }
    for backend in [now, later, refusing, again] {
        backend.close().await.unwrap();
    }
}

/// The newest migration that was made.
const NEWEST: &str = "SELECT max(version) FROM vip.migrations WHERE success";

#[tokio::test]
async fn a_newer_schema_is_used_if_it_says_that_it_can_be_and_else_refused_and_named() {
    let database = server().new_database().await;
    PostgresBackend::migrate(&server().url(&database)).await.unwrap();
    let newer = "INSERT INTO vip.migrations VALUES (7, 'of a later version', now(), true, '', 0)";
    server().run(&database, newer).await;
    open(&database).await.close().await.unwrap();
    server().run(&database, "UPDATE vip.compatibility SET readable_by = 7").await;
    let error = refused(&database).await;
    assert!(matches!(error, OpenError::NewerSchema { found: 7, known: 1 }), "{error:?}");
}

#[tokio::test]
async fn a_database_that_has_to_have_the_schema_is_not_given_one() {
    let database = server().new_database().await;
    let url = server().url(&database);
    for config in [PostgresConfig::default(), PostgresConfig::default().older_schema(OlderSchema::Migrate)] {
        let error = PostgresBackend::connect(&url, config.must_exist()).await.unwrap_err();
        assert!(matches!(error, OpenError::Missing), "{error:?}");
    }
    let error = vip_adapters::connect_existing(&url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Postgres(OpenError::Missing)), "{error:?}");
    let ours = "SELECT count(*) FROM pg_namespace WHERE nspname = 'vip'";
    assert_eq!(number(&database, ours).await, 0, "it was made");
    PostgresBackend::migrate(&url).await.unwrap();
    let found = vip_adapters::connect_existing(&url).await.unwrap();
    found.store.close().await.unwrap();
}

#[tokio::test]
async fn tables_that_another_text_of_the_same_version_has_made_are_refused_and_so_is_a_role_without_rights() {
    let database = server().new_database().await;
    PostgresBackend::migrate(&server().url(&database)).await.unwrap();
    server().run(&database, "CREATE ROLE vip_stranger LOGIN").await;
    for database in [database.clone(), server().new_database().await] {
        let url = server().url_for("vip_stranger", &database);
        let error = PostgresBackend::connect(&url, PostgresConfig::default()).await.unwrap_err();
        assert!(matches!(error, OpenError::Rights { .. }), "{error:?}");
    }
    // However the server writes bytes, they are the same.
    server().run("postgres", &format!("ALTER DATABASE {database} SET bytea_output = 'escape'")).await;
    open(&database).await.close().await.unwrap();
    server().run(&database, "UPDATE vip.migrations SET checksum = 'of another text'").await;
    let error = refused(&database).await;
    assert!(matches!(error, OpenError::OtherSchema { version: 1 }), "{error:?}");
}

#[tokio::test]
async fn tables_and_migrations_of_the_host_stay_as_they_are() {
    let database = server().new_database().await;
    let host = "CREATE TABLE orders (id bigint); INSERT INTO orders VALUES (7);
        CREATE TABLE _sqlx_migrations (version bigint); INSERT INTO _sqlx_migrations VALUES (99)";
    server().run(&database, host).await;
    open(&database).await.close().await.unwrap();
    assert_eq!(number(&database, "SELECT id FROM orders").await, 7);
    assert_eq!(number(&database, "SELECT count(*) FROM _sqlx_migrations").await, 1);
    let foreign = "SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = 'public' AND relname NOT IN ('orders', '_sqlx_migrations')";
    assert_eq!(number(&database, foreign).await, 0, "everything of ours is in our schema");
}

#[tokio::test]
async fn the_view_of_servers_shows_the_type_and_the_location_that_a_server_has() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    let mut change = whole_order(1);
    change.server.server_type = Some("cpx22".to_owned());
    change.server.location = Some("fsn1".to_owned());
    drop(backend.commit(&change).await.unwrap());
    let shown = "SELECT count(*) FROM vip.servers_readable WHERE server_type = 'cpx22' AND location = 'fsn1'";
    assert_eq!(number(&database, shown).await, 1);
    backend.close().await.unwrap();
}

/// Counts tables of which no row may be changed or deleted once they are published.
const UNPUBLISHABLE: &str = "SELECT count(*) FROM pg_class AS ours
    WHERE relnamespace = 'vip'::regnamespace AND relkind IN ('r', 'p') AND relreplident <> 'f' AND NOT (
        relreplident = 'd' AND EXISTS (SELECT FROM pg_index WHERE indrelid = ours.oid AND indisprimary)
    )";

#[tokio::test]
async fn leases_are_prolonged_and_rescued_also_where_somebody_publishes_all_tables() {
    let database = server().new_database().await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let config = PostgresConfig::default().clock(Arc::clone(&clock) as _);
    let backend = PostgresBackend::connect(&server().url(&database), config).await.unwrap();
    assert_eq!(number(&database, UNPUBLISHABLE).await, 0);
    server().run(&database, "CREATE PUBLICATION everything FOR ALL TABLES").await;
    backend.enqueue(&[job("a")]).await.unwrap();
    let claimed = claim(&backend, 1).await.pop().unwrap();
    // Where the row of a job is held, its lease goes on in the row of its claim.
    let holder = hold(&database, claimed.job.id).await;
    let held = backend.heartbeat(&[claimed.lease.reference], Duration::from_secs(60)).await.unwrap();
    assert_eq!(held, [true]);
    holder.close().await.unwrap();
    clock.advance(Duration::from_secs(600));
    assert_eq!(backend.reap(5, 10).await.unwrap(), 1);
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_wait_for_its_disk_is_refused_unless_allowed_and_then_told() {
    let database = server().new_database().await;
    server().run("postgres", &format!("ALTER DATABASE {database} SET synchronous_commit = off")).await;
    let error = refused(&database).await;
    assert!(matches!(error, OpenError::NotDurable { setting: "synchronous_commit", .. }), "{error:?}");
    let allowed = PostgresConfig::default().allow_bounded_loss();
    let allowed = PostgresBackend::connect(&server().url(&database), allowed).await.unwrap();
    assert!(matches!(Store::durability(&allowed), Durability::BoundedLoss { .. }));
    allowed.close().await.unwrap();
    let database = server().new_database().await;
    let full = open(&database).await;
    assert_eq!(Store::durability(&full), Durability::Durable);
    full.close().await.unwrap();
}

#[tokio::test]
async fn an_unreachable_server_is_an_error_without_the_password() {
    let nowhere = "postgres://someone:secret@127.0.0.1:1/nowhere";
    let error = PostgresBackend::connect(nowhere, PostgresConfig::default()).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Connect { .. }) && !format!("{error:?} {error}").contains("secret"),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_shown_of_a_backend_or_of_a_product_on_it_has_no_password() {
    let database = server().new_database().await;
    let url = server().url(&database).replacen("vip@", "vip:secret@", 1);
    let backend = PostgresBackend::connect(&url, PostgresConfig::default()).await.unwrap();
    let builder = Provisioner::builder(backend.backend()).provider(HetznerClient::simulated().unwrap());
    let shown = format!("{builder:?}");
    let provisioner = builder.start().await.unwrap();
    for shown in [shown, format!("{backend:?} {backend:#?}"), format!("{:?} {provisioner:?}", backend.backend())] {
        assert!(!shown.contains("secret"), "{shown}");
    }
    assert!(format!("{backend:?}").contains("commits and reads"));
    assert!(provisioner.shutdown(Duration::from_secs(10)).await.within_deadline);
}

/// Returns every statement with its name.
async fn statements(database: &str) -> Vec<(String, &'static str)> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&found);
    let config = PostgresConfig::default().query_filter(move |name, text| {
        seen.lock().unwrap().push((name.to_owned(), text));
        Cow::Borrowed(text)
    });
    PostgresBackend::connect(&server().url(database), config).await.unwrap().close().await.unwrap();
    std::mem::take(&mut *found.lock().unwrap())
}

/// Returns the ways through a table that a session for commits and reads never takes.
async fn forbidden(database: &str) -> Vec<&'static str> {
    let ways = ["enable_seqscan", "jit", "enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin"];
    let bits = ways.into_iter().enumerate();
    let bits = bits.map(|(bit, way)| format!("(current_setting('{way}') = 'off')::integer * {}", 1 << bit));
    let bits = format!("SELECT ({})::bigint AS now, $1::bigint", bits.collect::<Vec<_>>().join(" + "));
    let config = PostgresConfig::default().query_filter(move |name, text| {
        if name == "store_now" { Cow::Owned(bits.clone()) } else { Cow::Borrowed(text) }
    });
    let backend = PostgresBackend::connect(&server().url(database), config).await.unwrap();
    let bits = backend.now().await.unwrap().as_micros();
    backend.close().await.unwrap();
    ways.into_iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0).map(|(_, way)| way).collect()
}

/// Statements that read a whole table, each with the reason.
const WALKS: [(&str, &str, &str); 4] = [
    (
        "job_stats",
        "leases",
        "the claims of one lease time up to a bound; they are few, and say where the leased jobs are",
    ),
    ("job_list_leased", "leases", "the claims of one lease time; they are few, and say where the leased jobs are"),
    ("lease_prolong", "leases", "the claims of one lease time, and only if somebody holds the row of a leased job"),
    ("store_stats", "sightings", "up to a bound"),
];

#[tokio::test]
async fn every_statement_can_be_prepared_and_none_walks_through_a_table_that_grows() {
    let database = server().new_database().await;
    let statements = statements(&database).await;
    assert!(statements.len() > 50, "{}", statements.len());
    let mut connection = connection(&database).await;
    sqlx::raw_sql("SET plan_cache_mode = force_generic_plan").execute(&mut connection).await.unwrap();
    // Those for claims and leases have these settings, too, and more.
    for way in forbidden(&database).await {
        sqlx::raw_sql(AssertSqlSafe(format!("SET {way} = off"))).execute(&mut connection).await.unwrap();
    }
    let mut walks = Vec::new();
    for (name, text) in statements {
        let count = (1..30).rev().find(|number| text.contains(&format!("${number}"))).unwrap_or(0);
        // A value that a statement is given and does not use has no type by itself.
        let uses = |number| {
            text.match_indices(&format!("${number}"))
                .any(|(at, found)| !text[at + found.len()..].starts_with(|next: char| next.is_ascii_digit()))
        };
        let types: Vec<&str> = (1..=count).map(|number| if uses(number) { "unknown" } else { "text" }).collect();
        let types = if count == 0 { String::new() } else { format!("({})", types.join(", ")) };
        let prepared =
            sqlx::raw_sql(AssertSqlSafe(format!("PREPARE {name} {types} AS {text}"))).execute(&mut connection).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
        let values = if count == 0 { String::new() } else { format!("({})", vec!["NULL"; count].join(", ")) };
        let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE {name}{values}"));
        for row in sqlx::raw_sql(explain).fetch_all(&mut connection).await.unwrap() {
            let step: String = row.get(0);
            let tables = ["servers", "jobs", "audit", "operations", "keys", "leases", "sightings", "quotas"];
            let table = tables.into_iter().find(|table| step.contains(&format!("Seq Scan on {table}")));
            if table.is_some_and(|table| !WALKS.iter().any(|known| (known.0, known.1) == (name.as_str(), table))) {
                walks.push(format!("{name}: {step}"));
            }
        }
    }
    assert!(walks.is_empty(), "{walks:#?}");
}
