//! A server that is killed, paused, restored: errors are seen, deadlines are the caller's, and nothing stale comes back.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use vip_adapters::redis::{RedisCache, RedisConfig};
use vip_core::ports::Cache;
use vip_tests::redis_server::RedisServer;

use super::{key, patient, until_it_answers};

const LIFE: Duration = Duration::from_secs(600);

fn open(server: &RedisServer) -> RedisCache {
    RedisCache::open(&server.url(), patient()).unwrap()
}

#[tokio::test]
async fn every_call_answers_its_error_while_the_server_is_away() {
    let mut server = RedisServer::start();
    let (cache, key) = (open(&server), key(None, "catalog"));
    cache.put(&key, b"old", LIFE).await.unwrap();
    server.kill();
    for _ in 0..3 {
        assert!(cache.put(&key, b"new", LIFE).await.is_err());
        assert!(cache.get(&key).await.is_err());
        assert!(cache.invalidate(&key).await.is_err());
    }
}

#[tokio::test]
async fn what_could_not_be_invalidated_is_served_to_nobody_once_the_server_is_back() {
    let mut server = RedisServer::start();
    let (cache, other, key) = (open(&server), open(&server), key(None, "catalog"));
    cache.put(&key, b"old", LIFE).await.unwrap();
    assert_eq!(other.get(&key).await.unwrap().as_deref(), Some(&b"old"[..]));
    server.kill();
    assert!(cache.invalidate(&key).await.is_err());
    server.restart();
    until_it_answers(&cache).await;
    assert_eq!(cache.get(&key).await.unwrap(), None, "whose invalidation failed");
    assert_eq!(other.get(&key).await.unwrap_or_default(), None, "and who saw nothing of the outage");
    cache.put(&key, b"new", LIFE).await.unwrap();
    until_it_answers(&other).await;
    assert_eq!(cache.get(&key).await.unwrap(), None, "the other one has been out of contact, too");
    cache.put(&key, b"newer", LIFE).await.unwrap();
    assert_eq!(other.get(&key).await.unwrap().as_deref(), Some(&b"newer"[..]), "and from here on they share again");
}

#[tokio::test]
async fn an_invalidation_whose_caller_went_away_is_made_good_by_the_next_call() {
    let server = RedisServer::start();
    let (other, cache, key) = (open(&server), open(&server), key(None, "catalog"));
    other.put(&key, b"old", LIFE).await.unwrap();
    let mut invalidation = cache.invalidate(&key);
    // One step: it has begun to connect, and has sent nothing.
    assert!(futures_util::poll!(&mut invalidation).is_pending());
    drop(invalidation);
    assert_eq!(cache.get(&key).await.unwrap(), None);
    assert_eq!(other.get(&key).await.unwrap(), None, "for nobody");
}

#[tokio::test]
async fn a_generation_that_the_server_threw_away_brings_back_nothing_of_before() {
    let server = RedisServer::start();
    let (other, cache) = (open(&server), open(&server));
    let [catalog, second] = ["catalog", "second"].map(|name| key(None, name));
    other.put(&catalog, b"old", LIFE).await.unwrap();
    let mut invalidation = cache.invalidate(&catalog);
    assert!(futures_util::poll!(&mut invalidation).is_pending());
    drop(invalidation);
    cache.put(&second, b"new", LIFE).await.unwrap();
    assert_eq!(other.get(&catalog).await.unwrap(), None, "put in a generation that is over");
    assert_eq!(server.ask::<i64>(&["DEL", "vip1:cache:{default}:generation"]), 1);
    assert_eq!(other.get(&catalog).await.unwrap(), None, "without a generation nothing is believed");
    other.put(&second, b"newer", LIFE).await.unwrap();
    assert_eq!(other.get(&catalog).await.unwrap(), None, "and the next one is none of those before");
    assert_eq!(cache.get(&second).await.unwrap().as_deref(), Some(&b"newer"[..]));
}

#[tokio::test]
async fn what_could_not_be_invalidated_is_answered_to_nobody_by_a_full_server_either() {
    let server = RedisServer::start();
    let (other, cache, key) = (open(&server), open(&server), key(None, "catalog"));
    other.put(&key, b"old", LIFE).await.unwrap();
    let set: String = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(set, "OK");
    let mut invalidation = cache.invalidate(&key);
    assert!(futures_util::poll!(&mut invalidation).is_pending());
    drop(invalidation);
    assert_eq!(cache.get(&key).await.unwrap(), None);
    assert_eq!(other.get(&key).await.unwrap(), None);
}

/// The process that failed to invalidate ended at once: the promised bound is the life of the value.
#[tokio::test]
async fn after_a_failed_invalidation_and_a_restart_another_process_reads_nothing_older_than_the_bound() {
    let bound = Duration::from_secs(1);
    let mut server = RedisServer::start();
    let (failing, key) = (RedisCache::open(&server.url(), patient().life_most(bound)).unwrap(), key(None, "catalog"));
    failing.put(&key, b"old", Duration::from_secs(24 * 3600)).await.unwrap();
    let put_at = Instant::now();
    server.kill();
    assert!(failing.invalidate(&key).await.is_err());
    drop(failing);
    server.restart();
    // Neither the restarted process nor the second one knows of the outage.
    let (restarted, second) = (open(&server), open(&server));
    loop {
        let asked_after = put_at.elapsed();
        for process in [&restarted, &second] {
            let found = process.get(&key).await.unwrap();
            assert!(found.is_none() || asked_after <= bound, "stale after {asked_after:?}");
        }
        // Both were asked beyond the bound, however long the restart took.
        if asked_after > bound {
            break;
        }
    }
}

#[tokio::test]
async fn the_callers_deadline_ends_a_call_and_the_caches_own_one_lengthens_none() {
    let server = RedisServer::start();
    let (patient, key) = (open(&server), key(None, "catalog"));
    let hasty = RedisConfig::cache().answer_deadline(Duration::from_millis(500));
    let hasty = RedisCache::open(&server.url(), hasty).unwrap();
    patient.put(&key, b"value", LIFE).await.unwrap();
    until_it_answers(&hasty).await;
    server.pause();
    let begin = Instant::now();
    assert!(timeout(Duration::from_millis(50), patient.get(&key)).await.is_err(), "its caller gave up first");
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    let begin = Instant::now();
    let error = hasty.get(&key).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}: {error}", begin.elapsed());
    server.resume();
    until_it_answers(&patient).await;
    until_it_answers(&hasty).await;
    for cache in [&patient, &hasty] {
        cache.put(&key, b"after", LIFE).await.unwrap();
        let found = cache.get(&key).await.unwrap();
        assert_eq!(found.as_deref(), Some(&b"after"[..]), "no late answer is taken for another call's");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_left_alone_for_moments() {
    let server = RedisServer::start();
    let config = RedisConfig::cache().connect_deadline(Duration::from_millis(200));
    let cache = RedisCache::open(&server.url(), config.answer_deadline(Duration::from_millis(200))).unwrap();
    let key = key(None, "catalog");
    until_it_answers(&cache).await;
    server.pause();
    assert!(cache.get(&key).await.is_err());
    let begin = Instant::now();
    for _ in 0..100 {
        assert!(cache.get(&key).await.is_err());
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "a hundred calls waited {:?}", begin.elapsed());
    server.resume();
    until_it_answers(&cache).await;
}

#[tokio::test]
async fn what_a_restored_server_brings_back_is_not_believed_by_who_lost_contact() {
    let mut server = RedisServer::start_with(&["--appendfsync", "always"]);
    let (cache, key) = (open(&server), key(None, "catalog"));
    cache.put(&key, b"old", LIFE).await.unwrap();
    let backup = tempfile::tempdir().unwrap();
    server.copy_data(backup.path());
    cache.invalidate(&key).await.unwrap();
    server.restore_data(backup.path());
    server.restart();
    until_it_answers(&cache).await;
    assert_eq!(cache.get(&key).await.unwrap(), None);
}

#[tokio::test]
async fn a_full_server_takes_no_value_and_answers_and_forgets_those_that_it_has() {
    let server = RedisServer::start();
    let (cache, key) = (open(&server), key(None, "catalog"));
    cache.put(&key, b"old", LIFE).await.unwrap();
    let set: String = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(set, "OK");
    for _ in 0..3 {
        assert!(cache.put(&key, b"new", LIFE).await.is_err(), "others need what memory there is");
        let found = cache.get(&key).await.unwrap();
        assert_eq!(found.as_deref(), Some(&b"old"[..]), "refused as a whole, and no outage");
    }
    cache.invalidate(&key).await.unwrap();
    assert_eq!(cache.get(&key).await.unwrap(), None);
}
