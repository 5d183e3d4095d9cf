//! Where the file is, and callers that go away: one that has to be there, links that lead elsewhere, a second name, a backup in the place
//! of an open file, claims for nobody.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use tokio::task::JoinSet;
use vip_adapters::sqlite::{OpenError, SqliteBackend, SqliteConfig};
use vip_core::conformance::job_queue::{claim, job};
use vip_core::model::AccountId;
use vip_core::ports::{JobQueue, Store};
use vip_core::telemetry::causes;
use vip_tests::site::pause;

use crate::sqlite_file::{File, open, yields};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_caller_went_away_while_another_process_wrote_leases_no_job_to_nobody() {
    let file = File::new();
    let backend = file.open().await;
    backend.enqueue(&[job("a")]).await.unwrap();
    let mut other = SqliteConnection::connect(&format!("sqlite://{}", file.path().display())).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    // The first one is on its way to the file; the second one waits behind it.
    let mut first = JoinSet::new();
    first.spawn({
        let backend = backend.clone();
        async move { backend.enqueue(&[job("b")]).await }
    });
    yields(1_000).await;
    let gone = tokio::time::timeout(Duration::from_millis(50), claim(&backend, 9)).await;
    assert!(gone.is_err());
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    first.join_next().await.unwrap().unwrap().unwrap();
    backend.enqueue(&[job("c")]).await.unwrap();
    let stats = JobQueue::stats(&backend, &[]).await.unwrap();
    assert_eq!((stats.due, stats.leased), (3, 0));
    other.close().await.unwrap();
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_file_that_has_to_be_there_is_neither_made_nor_taken_from_somebody_else() {
    let file = File::new();
    let address = file.path().to_str().unwrap().to_owned();
    let open = async || SqliteBackend::open(&address, SqliteConfig::default().must_exist()).await;
    let is_refused = async || {
        let error = open().await.unwrap_err();
        assert!(matches!(&error, OpenError::Missing { path } if *path == file.path()), "{error:?}");
        assert!(error.to_string().contains("vip.db; is its volume there?"), "{error}");
    };
    is_refused().await;
    assert!(!file.path().exists(), "it was made");
    std::fs::write(file.path(), b"").unwrap();
    is_refused().await;
    assert!(std::fs::read(file.path()).unwrap().is_empty(), "an empty file was changed");
    let mut host = SqliteConnection::connect(&format!("sqlite://{address}")).await.unwrap();
    sqlx::raw_sql("CREATE TABLE orders (id INTEGER)").execute(&mut host).await.unwrap();
    host.close().await.unwrap();
    let before = std::fs::read(file.path()).unwrap();
    is_refused().await;
    assert!(std::fs::read(file.path()).unwrap() == before, "a file of the host was changed");
    let made = file.open().await;
    let installation = made.installation().await.unwrap();
    // Beside a process that has it open, and after the last one has ended.
    let beside = open().await.unwrap();
    assert_eq!(beside.installation().await.unwrap(), installation);
    for backend in [made, beside] {
        backend.close().await.unwrap();
    }
    let later = open().await.unwrap();
    assert_eq!(later.installation().await.unwrap(), installation);
    later.close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_made_and_what_stands_beside_it_are_closed_to_others_and_one_that_is_there_keeps_its_rights() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    let rights = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (direct, linked, given) = (File::new(), File::new(), File::new());
    // It leads to a file that is not there yet.
    let link = linked.folder.path().join("current.db");
    std::os::unix::fs::symlink("vip.db", &link).unwrap();
    for (file, path) in [(&direct, direct.path()), (&linked, link)] {
        let backend = open(&path).await;
        backend.enqueue(&[job("a")]).await.unwrap();
        for extension in ["db", "db-wal", "db-shm"] {
            let found = rights(file.path().with_extension(extension));
            assert_eq!(found & 0o027, 0, "{extension}: {found:o}");
        }
        backend.close().await.unwrap();
    }
    std::fs::write(given.path(), b"").unwrap();
    std::fs::set_permissions(given.path(), Permissions::from_mode(0o666)).unwrap();
    given.open().await.close().await.unwrap();
    assert_eq!(rights(given.path()), 0o666);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_leads_elsewhere_later_changes_nothing_for_who_has_opened_it() {
    let (file, other) = (File::new(), File::new());
    other.open().await.close().await.unwrap();
    file.open().await.close().await.unwrap();
    let link = file.folder.path().join("current.db");
    std::os::unix::fs::symlink(file.path(), &link).unwrap();
    let backend = open(&link).await;
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(other.path(), &link).unwrap();
    backend.enqueue(&[job("a")]).await.unwrap();
    let mut reads = JoinSet::new();
    for _ in 0..16 {
        let backend = backend.clone();
        reads.spawn(async move { backend.find(&job("a").key).await.unwrap().is_some() });
    }
    assert!(reads.join_all().await.into_iter().all(|found| found), "a reader was led elsewhere");
    backend.close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_put_in_the_place_of_an_open_file_stays_as_it_was() {
    let file = File::new();
    let backend = file.open().await;
    backend.enqueue(&[job("before")]).await.unwrap();
    backend.checkpoint().await.unwrap();
    let backup = file.folder.path().join("backup.db");
    std::fs::copy(file.path(), &backup).unwrap();
    let jobs: Vec<_> = (0..300).map(|number| job(&format!("after-{number}"))).collect();
    backend.enqueue(&jobs).await.unwrap();
    let put_back = std::fs::read(&backup).unwrap();
    std::fs::rename(&backup, file.path()).unwrap();
    for _ in 0..3 {
        backend.enqueue(&[job("lost")]).await.unwrap_err();
    }
    let mut reads = JoinSet::new();
    for _ in 0..16 {
        let backend = backend.clone();
        reads.spawn(async move { backend.find(&job("before").key).await.is_err() });
    }
    assert!(reads.join_all().await.into_iter().all(|refused| refused), "a reader has opened what stands there now");
    backend.close().await.unwrap();
    assert!(std::fs::read(file.path()).unwrap() == put_back, "the backup was written to");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_with_a_second_name_is_opened_under_neither_because_each_would_have_a_log_of_its_own() {
    let file = File::new();
    let backend = file.open().await;
    backend.enqueue(&[job("before")]).await.unwrap();
    let elsewhere = file.folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let second = elsewhere.join("vip.db");
    std::fs::hard_link(file.path(), &second).unwrap();
    for path in [&second, &file.path()] {
        for config in [SqliteConfig::default(), SqliteConfig::default().must_exist()] {
            let error = SqliteBackend::open(path.to_str().unwrap(), config).await.unwrap_err();
            assert!(matches!(&error, OpenError::Apart { path: found, .. } if found == path), "{error:?}");
            assert!(error.to_string().contains("mount the folder that the file is in"), "{error}");
        }
    }
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 1, "a log was made beside the second name");
    // Whoever has it open is in nobody's way, and nobody in its.
    backend.enqueue(&[job("after")]).await.unwrap();
    backend.close().await.unwrap();
    std::fs::remove_file(&second).unwrap();
    let again = file.open().await;
    assert!(again.find(&job("after").key).await.unwrap().is_some());
    again.close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_cannot_be_looked_at_for_a_while_is_used_again_afterwards() {
    let file = File::new();
    let [folder, away] = ["folder", "away"].map(|name| file.folder.path().join(name));
    std::fs::create_dir(&folder).unwrap();
    let backend = open(&folder.join("vip.db")).await;
    backend.enqueue(&[job("before")]).await.unwrap();
    std::fs::rename(&folder, &away).unwrap();
    // It leads to itself: whoever looks for something inside it is told that there are too many links.
    std::os::unix::fs::symlink(&folder, &folder).unwrap();
    let refused = backend.enqueue(&[job("meanwhile")]).await.unwrap_err();
    assert!(causes(&refused).to_string().contains("cannot be looked at"), "{refused:?}");
    let refused = Store::now(&backend).await.unwrap_err();
    assert!(causes(&refused).to_string().contains("cannot be looked at"), "{refused:?}");
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    backend.enqueue(&[job("after")]).await.unwrap();
    assert!(Store::now(&backend).await.is_ok());
    for (key, is_kept) in [("before", true), ("meanwhile", false), ("after", true)] {
        assert_eq!(backend.find(&job(key).key).await.unwrap().is_some(), is_kept, "{key}");
    }
    backend.close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_was_gone_when_something_was_to_be_kept_is_left_to_a_new_process_when_it_is_back() {
    for has_follower in [false, true] {
        let file = File::new();
        let [folder, away] = ["folder", "away"].map(|name| file.folder.path().join(name));
        std::fs::create_dir(&folder).unwrap();
        let backend = open(&folder.join("vip.db")).await;
        backend.enqueue(&[job("before")]).await.unwrap();
        std::fs::rename(&folder, &away).unwrap();
        if has_follower {
            std::fs::write(&folder, b"a file in its place").unwrap();
        }
        backend.enqueue(&[job("meanwhile")]).await.unwrap_err();
        if has_follower {
            std::fs::remove_file(&folder).unwrap();
        }
        std::fs::rename(&away, &folder).unwrap();
        let refused = backend.enqueue(&[job("after")]).await.unwrap_err();
        assert!(causes(&refused).to_string().contains("start anew"), "{refused:?}");
        Store::now(&backend).await.unwrap_err();
        backend.close().await.unwrap();
        let again = open(&folder.join("vip.db")).await;
        for (key, is_kept) in [("before", true), ("meanwhile", false), ("after", false)] {
            assert_eq!(again.find(&job(key).key).await.unwrap().is_some(), is_kept, "{key}");
        }
        again.close().await.unwrap();
    }
}

/// As another process sees to that opens the file once its locks are gone.
#[cfg(unix)]
#[tokio::test]
async fn who_has_lost_its_locks_leaves_the_log_to_its_successor() {
    let file = File::new();
    let backend = file.open().await;
    backend.enqueue(&[job("before")]).await.unwrap();
    let [log, locks] = ["db-wal", "db-shm"].map(|extension| file.path().with_extension(extension));
    let bytes = || std::fs::metadata(&log).unwrap().len();
    let before = bytes();
    assert!(before > 0);
    // Held open, so that the other file has another number.
    let _held = std::fs::File::open(&locks).unwrap();
    std::fs::remove_file(&locks).unwrap();
    backend.checkpoint().await.unwrap();
    assert_eq!(bytes(), before, "it was cut off by a checkpoint");
    std::fs::write(&locks, b"").unwrap();
    backend.enqueue(&[job("after")]).await.unwrap_err();
    backend.close().await.unwrap();
    assert_eq!(bytes(), before);
    assert!(locks.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_connection_that_is_lost_takes_neither_the_log_nor_the_locks_with_it() {
    use std::os::unix::fs::MetadataExt;

    let file = File::new();
    // The connection that writes is given up after each sighting; nothing was read, so that no other is open.
    let ending =
        |name: &str, text: &'static str| if name == "sighting_clear" { "ROLLBACK".into() } else { text.into() };
    let config = SqliteConfig::default().query_filter(ending);
    let backend = SqliteBackend::open(file.path().to_str().unwrap(), config).await.unwrap();
    // Held open, so that none that is made anew has the same number.
    let beside =
        ["db-wal", "db-shm"].map(|extension| std::fs::File::open(file.path().with_extension(extension)).unwrap());
    for number in 0..3 {
        backend.sight(&AccountId::default_account(), &[]).await.unwrap_err();
        // A connection that is given up ends in a thread of its own, whenever that is: nothing of it is to be seen.
        for _ in 0..20 {
            pause(Duration::from_millis(10)).await;
            let are_there = beside.iter().all(|open| open.metadata().unwrap().nlink() == 1);
            assert!(are_there, "the log or the locks were removed");
        }
        backend.enqueue(&[job(&format!("job-{number}"))]).await.unwrap();
    }
    backend.close().await.unwrap();
}
