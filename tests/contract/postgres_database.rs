//! One database and several processes: claims, keys, dropped callers and an order from end to end.

use std::time::Duration;

use futures_util::future::{Either, select};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::JoinSet;
use tokio::time::Instant;
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::Provisioner;
use vip_core::conformance::BackendFixture;
use vip_core::conformance::job_queue::{claim, job, settle};
use vip_core::conformance::samples::{job_of, key_of, order, server as record, tenant};
use vip_core::model::{JobId, JobState, PageLimit, PageRequest, ServerState};
use vip_core::ports::{ChangeSet, JobQueue, LeaseRef, Retention, Settled, Settlement, Store, StoreError, Verdict};
use vip_tests::{site, timing};

use crate::server;

/// Long enough for anything on a busy machine; a test that gets here has failed.
const NEVER: Duration = Duration::from_secs(30);

/// Opens a database as one process more would.
pub(crate) async fn open(database: &str) -> PostgresBackend {
    PostgresBackend::connect(&server().url(database), PostgresConfig::default()).await.unwrap()
}

/// Asks a server until it says yes, for as long as anything may take.
pub(crate) async fn until_yes(connection: &mut PgConnection, question: &str) {
    let is_yes = async || {
        let question = AssertSqlSafe(question.to_owned());
        sqlx::query_scalar::<sqlx::Postgres, bool>(question).fetch_one(&mut *connection).await.unwrap()
    };
    site::until(question, is_yes).await;
}

/// Waits until so many sessions wait for what a connection holds. It is the one that is asked for: other tests run on this server,
/// and have sessions of theirs that wait.
pub(crate) async fn until_waited_for(holder: &mut PgConnection, sessions: u32) {
    let waited_for = format!(
        "SELECT count(DISTINCT pid) >= {sessions} FROM pg_locks
         WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    );
    until_yes(holder, &waited_for).await;
}

/// A claim that holds a prolonged lease beside an expired one gives back the expired one alone.
pub(crate) async fn a_prolonged_lease(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    queue.enqueue(&[job("a"), job("b")]).await.unwrap();
    let leases: Vec<_> = claim(queue, 2).await.iter().map(|claimed| claimed.lease.reference).collect();
    let [prolonged, expired] = <[LeaseRef; 2]>::try_from(leases).unwrap();
    assert_eq!(queue.heartbeat(&[prolonged], Duration::from_secs(90)).await.unwrap(), [true]);
    fixture.advance(Duration::from_secs(60)).await;
    assert_eq!(queue.reap(5, 10).await.unwrap(), 1);
    assert_eq!(settle(queue, expired, Verdict::Done).await, Settled::Stale);
    assert_eq!(queue.reap(5, 10).await.unwrap(), 0);
    fixture.advance(Duration::from_secs(30)).await;
    assert_eq!(queue.reap(5, 10).await.unwrap(), 1, "it is found again when its own time has come");
    assert_eq!(settle(queue, prolonged, Verdict::Done).await, Settled::Stale);
    assert_eq!(queue.stats(&[]).await.unwrap().due, 2);
}

#[tokio::test]
async fn a_prolonged_lease_outlives_an_expired_one_of_the_same_claim() {
    let fixture = crate::postgres().await;
    a_prolonged_lease(&fixture).await;
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_on_postgres_becomes_one_running_server_and_a_delete_removes_it() {
    let database = server().new_database().await;
    let backend = vip_adapters::connect(&server().url(&database)).await.unwrap();
    let builder = Provisioner::builder(backend).provider(HetznerClient::simulated().unwrap());
    let provisioner = builder.timing(timing::quick()).start().await.unwrap();
    let tenant = provisioner.tenant("acme");
    let order = tenant.create_server(site::spec("web-1")).idempotency_key("order-1").await.unwrap();
    let running = order.wait().await.unwrap();
    assert_eq!(running.state, ServerState::Running);
    let again = tenant.create_server(site::spec("web-1")).idempotency_key("order-1").await.unwrap();
    assert!(again.is_replayed() && again.server_id() == running.id);
    let gone = tenant.delete_server(running.id).await.unwrap().wait().await.unwrap();
    assert_eq!(gone.state, ServerState::Deleted);
    let servers = tenant.servers(&PageRequest::first(PageLimit::most())).await.unwrap().items;
    assert_eq!(servers.len(), 1);
    assert!(provisioner.shutdown(Duration::from_secs(10)).await.within_deadline);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_on_one_database_claim_each_job_once() {
    let database = server().new_database().await;
    let backends = [open(&database).await, open(&database).await];
    let jobs: Vec<_> = (0..300).map(|number| job(&format!("job-{number}"))).collect();
    backends[0].enqueue(&jobs).await.unwrap();
    let mut workers = JoinSet::new();
    for number in 0..4 {
        let backend = backends[number % 2].clone();
        workers.spawn(async move {
            let mut done: Vec<JobId> = Vec::new();
            loop {
                let claimed = claim(&backend, 3).await;
                if claimed.is_empty() && JobQueue::stats(&backend, &[]).await.unwrap().due == 0 {
                    return done;
                }
                done.extend(claimed.iter().map(|claimed| claimed.job.id));
                let settle = |lease| Settlement { lease, verdict: Verdict::Done };
                let all: Vec<_> = claimed.iter().map(|claimed| settle(claimed.lease.reference)).collect();
                assert!(backend.settle(&all).await.unwrap().iter().all(|settled| *settled == Settled::Applied));
            }
        });
    }
    let mut done: Vec<JobId> = workers.join_all().await.into_iter().flatten().collect();
    done.sort();
    let mut expected: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    expected.sort();
    assert_eq!(done, expected);
    for backend in backends {
        backend.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixty_four_commits_with_one_key_one_wins_and_the_others_leave_nothing() {
    let database = server().new_database().await;
    let backends = [open(&database).await, open(&database).await];
    let mut commits = JoinSet::new();
    for number in 0..64 {
        let backend = backends[number % 2].clone();
        commits.spawn(async move {
            let record = record(&tenant("acme"));
            let mut whole = order(record.clone());
            whole.key = Some(key_of(&record, "order-1"));
            (record, backend.commit(&whole).await)
        });
    }
    let answers = commits.join_all().await;
    assert_eq!(answers.iter().filter(|(_, answer)| answer.is_ok()).count(), 1);
    assert_eq!(answers.iter().filter(|(_, answer)| matches!(answer, Err(StoreError::KeyTaken))).count(), 63);
    for (record, answer) in &answers {
        let found = backends[0].load(&record.tenant, record.id).await.unwrap().is_some();
        assert_eq!(found, answer.is_ok());
        assert_eq!(backends[1].find(&job_of(record).key).await.unwrap().is_some(), answer.is_ok());
    }
    for backend in backends {
        backend.close().await.unwrap();
    }
}

/// Says whether a change set was applied, and fails if it was applied in part.
pub(crate) async fn is_applied(backend: &PostgresBackend, change: &ChangeSet) -> bool {
    let record = &change.server;
    let key = &change.key.as_ref().unwrap().key;
    let parts = [
        backend.load(&record.tenant, record.id).await.unwrap().is_some(),
        backend.operation(&record.tenant, record.create_operation).await.unwrap().is_some(),
        backend.key(&record.tenant, key).await.unwrap().is_some(),
        backend.find(&job_of(record).key).await.unwrap().is_some(),
        backend.versions(&record.tenant, None, u32::MAX).await.unwrap().recorded.contains_key(&record.id),
    ];
    assert!(parts.iter().all(|part| *part == parts[0]), "applied in part: {parts:?}");
    parts[0]
}

pub(crate) fn whole_order(number: usize) -> ChangeSet {
    let mut whole = order(record(&tenant("acme")));
    whole.key = Some(key_of(&whole.server, &format!("order-{number}")));
    whole
}

async fn yields(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_dropped_call_leaves_no_half_commit_and_no_open_transaction() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    let mut random = fastrand::Rng::with_seed(7);
    let changes: Vec<ChangeSet> = (0..60).map(whole_order).collect();
    let mut answered = 0;
    for change in &changes {
        let patience = yields(random.u64(0..300));
        let company = backend.load(&change.server.tenant, change.server.id);
        let calls = futures_util::future::join(backend.commit(change), company);
        match select(Box::pin(calls), Box::pin(patience)).await {
            Either::Left(((answer, _), _)) => {
                assert!(!answer.unwrap().replayed);
                answered += 1;
            }
            Either::Right(((), _dropped)) => {}
        }
    }
    // Closing waits for the calls that nobody waits for any more.
    backend.close().await.unwrap();
    let backend = open(&database).await;
    let mut applied = 0;
    for change in &changes {
        let is_applied = is_applied(&backend, change).await;
        applied += usize::from(is_applied);
        // F7: whatever became of it, repeating it gives the one result.
        assert_eq!(backend.commit(change).await.unwrap().replayed, is_applied);
    }
    assert!(applied >= answered && answered < changes.len(), "{applied} applied, {answered} answered");
    backend.close().await.unwrap();
    let mut watching = <sqlx::PgConnection as sqlx::Connection>::connect(&server().url(&database)).await.unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'vip'";
    // A process of the server ends some moments after it was told to.
    let all_gone = async {
        while sqlx::query_scalar::<_, i64>(open).fetch_one(&mut watching).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(std::time::Duration::from_secs(10), all_gone).await;
    assert!(gone.is_ok(), "a connection was not closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_worker_notices_jobs_of_its_own_and_of_another_process() {
    let database = server().new_database().await;
    let (one, two) = (open(&database).await, open(&database).await);
    assert!(claim(&two, 1).await.is_empty());
    for source in [&two, &one] {
        let mut waiting = JoinSet::new();
        let worker = two.clone();
        waiting.spawn(async move { worker.wait(NEVER).await });
        let started = Instant::now();
        source.enqueue(&[job("a")]).await.unwrap();
        waiting.join_all().await;
        assert!(started.elapsed() < NEVER / 2);
        let lease = claim(&two, 1).await.pop().unwrap().lease.reference;
        assert_eq!(settle(&two, lease, Verdict::Done).await, Settled::Applied);
    }
    // Written by hand: nobody rings.
    let unknown = "INSERT INTO vip.jobs (id, due, max_attempts, why, key, kind, payload)
        VALUES (gen_random_uuid(), 0, 1, 2, 'unknown', 'unknown', 'null')";
    server().run(&database, unknown).await;
    // A due job of a kind that nobody here knows does not end the waiting; a ring for the jobs before may come late, once.
    let lasts = async || {
        let started = Instant::now();
        two.wait(Duration::from_millis(30)).await;
        started.elapsed() >= Duration::from_millis(30)
    };
    assert!(lasts().await || lasts().await);
    assert_eq!(one.list(JobState::Waiting, &PageRequest::first(PageLimit::most())).await.unwrap().items.len(), 1);
    for backend in [one, two] {
        backend.close().await.unwrap();
    }
}

#[tokio::test]
async fn any_number_of_records_is_trimmed_by_one_statement_and_each_keeps_its_own_tombstone() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    let records: Vec<_> = (0..40).map(|number| whole_order(number).server).collect();
    for record in &records {
        assert_eq!(backend.commit(&order(record.clone())).await.unwrap().server.version, 1);
    }
    let gone = "UPDATE vip.servers SET state = 'failed', gone_at = 0; DELETE FROM vip.operations; DELETE FROM vip.keys;
        CREATE TABLE statements (at timestamptz);
        CREATE FUNCTION note_statement() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO statements VALUES (now()); RETURN NULL; END $$;
        CREATE TRIGGER noted AFTER UPDATE ON vip.servers FOR EACH STATEMENT EXECUTE FUNCTION note_statement()";
    server().run(&database, gone).await;
    let trim = async |most| {
        let now = backend.now().await.unwrap();
        let retention = Retention { now, keys: Duration::ZERO, records: Duration::ZERO, most };
        backend.trim(&retention).await.unwrap().records
    };
    assert_eq!((trim(39).await, trim(39).await, trim(39).await), (39, 1, 0));
    let mut watching = <sqlx::PgConnection as sqlx::Connection>::connect(&server().url(&database)).await.unwrap();
    let statements: i64 = sqlx::query_scalar("SELECT count(*) FROM statements").fetch_one(&mut watching).await.unwrap();
    assert_eq!(statements, 2, "one for each trim that found something");
    for record in records {
        let kept = backend.load(&record.tenant, record.id).await.unwrap().unwrap().server;
        assert_eq!((kept.id, kept.provider_name, kept.spec.image.as_str()), (record.id, record.provider_name, ""));
    }
    backend.close().await.unwrap();
}
