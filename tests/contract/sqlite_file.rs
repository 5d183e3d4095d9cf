//! One file and several processes: claims, keys, dropped callers, crashes and what is left on the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::{Either, select};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vip_adapters::sqlite::{SqliteBackend, SqliteConfig};
use vip_core::model::{JobId, ServerState, verify_versions};
use vip_core::ports::{ChangeSet, Guard, JobQueue, Settled, Settlement, Store, StoreError, Verdict};

use vip_core::conformance::job_queue::{claim, job, settle};
use vip_core::conformance::samples::{change, job_of, key_of, order, server, tenant};
use vip_tests::unreadable::{UNREADABLE_HINTS, an_unreadable_hint_costs_no_job, an_unreadable_job_hurts_no_other};

/// Long enough for anything on a busy machine; a test that gets here has failed.
const NEVER: Duration = Duration::from_secs(30);

pub(crate) struct File {
    pub(crate) folder: TempDir,
}

impl File {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("vip.db")
    }

    /// Opens it as one process more would.
    pub(crate) async fn open(&self) -> SqliteBackend {
        open(&self.path()).await
    }
}

pub(crate) async fn open(path: &Path) -> SqliteBackend {
    SqliteBackend::open(path.to_str().unwrap(), SqliteConfig::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_on_one_file_claim_each_job_once() {
    let file = File::new();
    let (one, two) = (file.open().await, file.open().await);
    let jobs: Vec<_> = (0..120).map(|number| job(&format!("job-{number}"))).collect();
    one.enqueue(&jobs).await.unwrap();
    let mut workers = JoinSet::new();
    for backend in [&one, &two, &one, &two] {
        let backend = backend.clone();
        workers.spawn(async move {
            let mut done: Vec<JobId> = Vec::new();
            loop {
                let claimed = claim(&backend, 3).await;
                if claimed.is_empty() {
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
    one.close().await.unwrap();
    two.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixty_four_commits_with_one_key_one_wins() {
    let file = File::new();
    let backends = [file.open().await, file.open().await];
    let mut commits = JoinSet::new();
    for number in 0..64 {
        let backend = backends[number % 2].clone();
        commits.spawn(async move {
            let record = server(&tenant("acme"));
            let mut whole = order(record.clone());
            whole.key = Some(key_of(&record, "order-1"));
            (record, backend.commit(&whole).await)
        });
    }
    let answers = commits.join_all().await;
    let won: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_ok()).collect();
    assert_eq!(won.len(), 1);
    let lost = answers.iter().filter(|(_, answer)| matches!(answer, Err(StoreError::KeyTaken))).count();
    assert_eq!(lost, 63);
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
async fn is_applied(backend: &SqliteBackend, change: &ChangeSet) -> bool {
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

fn whole_order(number: usize) -> ChangeSet {
    let mut whole = order(server(&tenant("acme")));
    whole.key = Some(key_of(&whole.server, &format!("order-{number}")));
    whole
}

pub(crate) async fn yields(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_dropped_commit_is_whole_or_nothing() {
    let file = File::new();
    let backend = file.open().await;
    let mut random = fastrand::Rng::with_seed(7);
    let changes: Vec<ChangeSet> = (0..200).map(whole_order).collect();
    let mut answered = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        let patience = random.u64(1..60);
        let mut other = job(&format!("other-{}", change.id));
        other.payload = vip_core::model::Payload::encode(&change.id).unwrap();
        // Something else is on its way, so that commits are dropped in every stage of a group.
        let company = backend.enqueue(std::slice::from_ref(&other));
        let commit = futures_util::future::join(backend.commit(change), company);
        if number % 10 == 0 {
            // Dropped before it was begun: however fast the writer is, some are not applied.
            drop(commit);
            continue;
        }
        match select(Box::pin(commit), Box::pin(yields(patience))).await {
            Either::Left(((answer, _), _)) => answered.push(answer.unwrap().server.id),
            Either::Right(((), _dropped)) => {}
        }
    }
    // The writer works in order: once this one is answered, so are all before it.
    let last = whole_order(200);
    assert!(!backend.commit(&last).await.unwrap().replayed);
    let mut applied = 0;
    for change in &changes {
        let is_applied = is_applied(&backend, change).await;
        assert!(is_applied || !answered.contains(&change.server.id), "an answer was taken back");
        applied += usize::from(is_applied);
        // F7: whatever became of it, repeating it gives the one result.
        assert_eq!(backend.commit(change).await.unwrap().replayed, is_applied);
    }
    assert!(applied > answered.len() && applied < changes.len(), "{applied} applied, {} answered", answered.len());
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_dropped_read_leaves_no_snapshot_open() {
    let file = File::new();
    let backend = file.open().await;
    let mut random = fastrand::Rng::with_seed(11);
    for number in 0..100 {
        let change = whole_order(number);
        assert!(!backend.commit(&change).await.unwrap().replayed);
        let load = backend.load(&change.server.tenant, change.server.id);
        match select(load, Box::pin(yields(random.u64(0..10)))).await {
            Either::Left((loaded, _)) => assert!(loaded.unwrap().is_some()),
            Either::Right(((), dropped)) => drop(dropped),
        }
    }
    // A reader that still held an old snapshot would keep the log from being emptied.
    backend.checkpoint().await.unwrap();
    assert_eq!(log_bytes(&file), 0);
    backend.close().await.unwrap();
}

fn log_bytes(file: &File) -> u64 {
    std::fs::metadata(file.path().with_extension("db-wal")).unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_taken_while_writing_opens_and_is_consistent() {
    let file = File::new();
    let backend = file.open().await;
    // Few enough that SQLite makes no checkpoint meanwhile: a crash keeps file and log as they were at one moment.
    let changes: Vec<ChangeSet> = (0..60).map(whole_order).collect();
    let (answered, mut seen) = tokio::sync::watch::channel(0_usize);
    let mut writing = JoinSet::new();
    let (writer, to_write) = (backend.clone(), changes.clone());
    writing.spawn(async move {
        for (number, change) in to_write.iter().enumerate() {
            assert!(!writer.commit(change).await.unwrap().replayed);
            answered.send_replace(number + 1);
        }
    });
    for copy in 1..=5_usize {
        let before = *seen.wait_for(|count| *count >= copy * 10).await.unwrap();
        let crashed = file.folder.path().join(format!("copy-{copy}.db"));
        std::fs::copy(file.path(), &crashed).unwrap();
        std::fs::copy(file.path().with_extension("db-wal"), crashed.with_extension("db-wal")).unwrap();
        let survivor = open(&crashed).await;
        let mut applied = Vec::new();
        for change in &changes {
            applied.push(is_applied(&survivor, change).await);
        }
        let count = applied.iter().filter(|applied| **applied).count();
        assert!(count >= before, "{before} were answered, {count} survived");
        assert!(applied.is_sorted_by(|earlier, later| earlier >= later), "a later commit survived an earlier one");
        let versions = survivor.versions(&tenant("acme"), None, u32::MAX).await.unwrap();
        verify_versions(&versions.current, &versions.recorded).unwrap();
        survivor.close().await.unwrap();
    }
    writing.join_all().await;
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_worker_notices_jobs_of_its_own_and_of_another_process() {
    let file = File::new();
    let (one, two) = (file.open().await, file.open().await);
    assert!(claim(&two, 1).await.is_empty());
    for source in [&two, &one] {
        // What was committed until here is no news.
        two.wait(Duration::ZERO).await;
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
    one.close().await.unwrap();
    two.close().await.unwrap();
}

#[tokio::test]
async fn a_wait_ends_at_its_timeout_and_when_the_next_job_is_due() {
    let file = File::new();
    let backend = file.open().await;
    let mut soon = job("soon");
    soon.delay = Duration::from_millis(500);
    let mut far = job("far");
    far.delay = Duration::from_secs(3600);
    let mut unknown = job("unknown");
    unknown.kind = vip_core::model::JobKind::new("unknown").unwrap();
    backend.enqueue(&[far, unknown]).await.unwrap();
    assert!(claim(&backend, 1).await.is_empty());
    backend.wait(Duration::from_millis(1)).await;
    let started = Instant::now();
    // A due job of a kind that nobody here knows does not end the waiting.
    backend.wait(Duration::from_millis(30)).await;
    assert!(started.elapsed() >= Duration::from_millis(30));
    backend.enqueue(&[soon]).await.unwrap();
    assert!(claim(&backend, 1).await.is_empty());
    let started = Instant::now();
    while claim(&backend, 1).await.is_empty() {
        backend.wait(NEVER).await;
        assert!(started.elapsed() < NEVER / 2);
    }
    backend.close().await.unwrap();
}

#[tokio::test]
async fn erased_user_data_leaves_file_and_log() {
    let file = File::new();
    let backend = file.open().await;
    let record = backend.commit(&whole_order(1)).await.unwrap().server;
    let needle = b"#cloud-config secret";
    let is_on_disk = || {
        ["db", "db-wal"].iter().any(|extension| {
            let bytes = std::fs::read(file.path().with_extension(extension)).unwrap();
            bytes.windows(needle.len()).any(|window| window == needle)
        })
    };
    assert!(is_on_disk());
    let mut erased = record.clone();
    erased.spec.user_data = None;
    erased.state = ServerState::Running;
    let guard = Guard::Command { stamp: record.stamp };
    assert_eq!(backend.commit(&change(erased, guard)).await.unwrap().server.spec.user_data, None);
    backend.checkpoint().await.unwrap();
    assert!(!is_on_disk());
    backend.close().await.unwrap();
}

#[tokio::test]
async fn closing_answers_what_was_handed_in_and_refuses_the_rest() {
    let file = File::new();
    let backend = file.open().await;
    let changes: Vec<ChangeSet> = (0..40).map(whole_order).collect();
    let commits = futures_util::future::join_all(changes.iter().map(|change| backend.commit(change)));
    let (answers, closed) = futures_util::future::join(commits, backend.close()).await;
    closed.unwrap();
    let again = file.open().await;
    let mut counts: BTreeMap<bool, usize> = BTreeMap::new();
    for (change, answer) in changes.iter().zip(&answers) {
        let applied = is_applied(&again, change).await;
        assert!(answer.is_ok() == applied, "{answer:?}");
        assert!(matches!(answer, Ok(_) | Err(StoreError::Unavailable { .. })), "{answer:?}");
        *counts.entry(applied).or_default() += 1;
    }
    assert!(counts.contains_key(&true), "{counts:?}");
    again.close().await.unwrap();
}

#[tokio::test]
async fn a_job_that_cannot_be_read_hurts_no_other() {
    let file = File::new();
    let backend = file.open().await;
    let damage = async |id: JobId| {
        let mut connection = SqliteConnection::connect(file.path().to_str().unwrap()).await.unwrap();
        let damage = sqlx::query("UPDATE vip_jobs SET tenant = 'no name at all' WHERE id = ?").bind(id.to_string());
        assert_eq!(damage.execute(&mut connection).await.unwrap().rows_affected(), 1);
        connection.close().await.unwrap();
    };
    an_unreadable_job_hurts_no_other(&backend, damage).await;
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_job_whose_hints_cannot_be_read_is_done_without_them() {
    let file = File::new();
    let backend = file.open().await;
    let damage = async |id: JobId| {
        let mut connection = SqliteConnection::connect(file.path().to_str().unwrap()).await.unwrap();
        let [request, trace] = UNREADABLE_HINTS;
        let damage = sqlx::query("UPDATE vip_jobs SET request_id = ?, trace_parent = ? WHERE id = ?");
        let damage = damage.bind(request).bind(trace).bind(id.to_string());
        assert_eq!(damage.execute(&mut connection).await.unwrap().rows_affected(), 1);
        connection.close().await.unwrap();
    };
    an_unreadable_hint_costs_no_job(&backend, damage).await;
    backend.close().await.unwrap();
}

/// Takes files away from under an open database.
fn take_away(file: &File, suffixes: &[&str]) {
    for suffix in suffixes {
        std::fs::remove_file(file.folder.path().join(format!("vip.db{suffix}"))).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered_as_committed_once_the_file_is_removed_moved_or_replaced() {
    type Fate = (&'static str, fn(&File));
    let fates: [Fate; 6] = [
        ("removed with its log", |file| take_away(file, &["", "-wal", "-shm"])),
        ("its log removed", |file| take_away(file, &["-wal"])),
        ("its log replaced", |file| {
            take_away(file, &["-wal"]);
            std::fs::write(file.path().with_extension("db-wal"), b"").unwrap();
        }),
        ("its locks removed", |file| take_away(file, &["-shm"])),
        ("moved away", |file| std::fs::rename(file.path(), file.folder.path().join("old.db")).unwrap()),
        ("replaced by a copy", |file| {
            let copy = file.folder.path().join("copy.db");
            std::fs::copy(file.path(), &copy).unwrap();
            std::fs::rename(copy, file.path()).unwrap();
        }),
    ];
    for (fate, happen) in fates {
        let file = File::new();
        let backend = file.open().await;
        backend.enqueue(&[job("before")]).await.unwrap();
        assert!(Store::now(&backend).await.is_ok(), "{fate}");
        happen(&file);
        backend.enqueue(&[job("after")]).await.expect_err(fate);
        let error = Store::now(&backend).await.expect_err(fate);
        assert!(matches!(error, StoreError::Unavailable { .. }), "{fate}: {error:?}");
        // Also not after another try, which would make a new log with a new connection.
        backend.enqueue(&[job("again")]).await.expect_err(fate);
        Store::close(&backend).await.unwrap();
    }
}
