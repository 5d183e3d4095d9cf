//! The contract of `Cache`: one case for each bullet.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use std::time::Duration;

use super::fixture::{CacheFixture, seconds};
use super::samples::tenant;
use crate::ports::CacheKey;

const LIFE: Duration = seconds(60);

fn key(owner: Option<&str>) -> CacheKey {
    CacheKey::new(owner.map(tenant), "catalog").unwrap()
}

async fn get(fixture: &dyn CacheFixture, key: &CacheKey) -> Option<Vec<u8>> {
    fixture.cache().get(key).await.unwrap()
}

pub async fn a_value_lives_for_its_time(fixture: &dyn CacheFixture) {
    let key = key(None);
    assert_eq!(get(fixture, &key).await, None);
    fixture.cache().put(&key, b"value", LIFE).await.unwrap();
    assert_eq!(get(fixture, &key).await.as_deref(), Some(&b"value"[..]));
    fixture.advance(LIFE - Duration::from_millis(1)).await;
    assert_eq!(get(fixture, &key).await.as_deref(), Some(&b"value"[..]));
    fixture.advance(Duration::from_millis(1)).await;
    assert_eq!(get(fixture, &key).await, None, "its time is over");
}

pub async fn an_invalidated_value_is_gone(fixture: &dyn CacheFixture) {
    let (gone, kept) = (key(None), key(Some("acme")));
    for key in [&gone, &kept] {
        fixture.cache().put(key, b"value", LIFE).await.unwrap();
    }
    fixture.cache().invalidate(&gone).await.unwrap();
    assert_eq!(get(fixture, &gone).await, None);
    assert!(get(fixture, &kept).await.is_some(), "the others stay");
    fixture.cache().invalidate(&gone).await.unwrap();
}

pub async fn tenants_do_not_meet(fixture: &dyn CacheFixture) {
    let keys = [key(None), key(Some("acme")), key(Some("globex")), CacheKey::new(None, "acme:catalog").unwrap()];
    for (number, key) in (0..).zip(&keys) {
        assert_eq!(get(fixture, key).await, None, "{key:?}");
        fixture.cache().put(key, &[number], LIFE).await.unwrap();
    }
    for (number, key) in (0..).zip(&keys) {
        assert_eq!(get(fixture, key).await, Some(vec![number]), "{key:?}");
    }
}

pub async fn a_failure_is_not_a_miss(fixture: &dyn CacheFixture) {
    let (cache, key) = (fixture.cache(), key(None));
    cache.put(&key, b"value", LIFE).await.unwrap();
    fixture.break_down().await;
    assert!(cache.get(&key).await.is_err());
    assert!(cache.put(&key, b"newer", LIFE).await.is_err());
    assert!(cache.invalidate(&key).await.is_err());
    fixture.repair().await;
    cache.put(&key, b"newest", LIFE).await.unwrap();
    assert_eq!(get(fixture, &key).await.as_deref(), Some(&b"newest"[..]), "it goes on afterwards");
}

pub async fn a_newer_value_replaces_the_older_one(fixture: &dyn CacheFixture) {
    let key = key(None);
    fixture.cache().put(&key, b"older", seconds(600)).await.unwrap();
    fixture.cache().put(&key, &[0, 255, 10], LIFE).await.unwrap();
    assert_eq!(get(fixture, &key).await, Some(vec![0, 255, 10]), "any bytes are kept as they are");
    fixture.advance(LIFE).await;
    assert_eq!(get(fixture, &key).await, None, "with its own time to live");
}
