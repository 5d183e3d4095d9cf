//! Damage in one place of the file: what cannot be read, or not be gone on with, holds up nothing else, and is told.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use vip_core::conformance::samples::{accepted, change, load, moved, server, tenant};
use vip_core::conformance::{BackendFixture, account};
use vip_core::model::{AccountId, ChainHead, Desired, OperationId, Server, ServerId, ServerState, verify_chain};
use vip_core::ports::{Guard, Retention, SealReport, SinkName};
use vip_tests::lines::Lines;
use vip_tests::unreadable::an_unreadable_record_hides_no_other;
use vip_tests::unreadable_account::{
    CLOSED, an_unreadable_account_keeps_no_product_from_starting, an_unreadable_account_stops_its_own_orders_alone,
};

use crate::{SqliteFixture, sqlite};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// Runs statements past the adapter, as a person or a broken disk would.
async fn damage(fixture: &SqliteFixture, text: &str) {
    let path = fixture.folder.path().join("vip.db");
    let mut connection = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Makes a record that has ended, without operations and keys; the clock then moves on.
async fn ended(fixture: &SqliteFixture) -> Server {
    let record = fixture.store().commit(&change(server(&tenant("acme")), Guard::New)).await.unwrap().server;
    let ended = moved(fixture, record, ServerState::Failed).await.server;
    fixture.advance(Duration::from_secs(1)).await;
    ended
}

#[tokio::test]
async fn a_record_that_cannot_be_read_keeps_no_other_from_being_trimmed_and_is_told() {
    let (lines, _on_this_thread) = Lines::listen();
    let fixture = sqlite().await;
    let unreadable = [ended(&fixture).await.id, ended(&fixture).await.id];
    let sound = [ended(&fixture).await, ended(&fixture).await];
    for id in unreadable {
        damage(&fixture, &format!("UPDATE vip_servers SET body = '{{}}' WHERE id = '{id}'")).await;
    }
    fixture.advance(HOUR).await;
    // Fewer at once than there are damaged ones in front of them.
    let retention = Retention { now: fixture.now().await, keys: HOUR, records: HOUR, most: 1 };
    let mut records = Vec::new();
    for _ in 0..3 {
        records.push(fixture.store().trim(&retention).await.unwrap().records);
    }
    assert_eq!(records, [1, 1, 0]);
    for record in &sound {
        assert!(load(fixture.store(), record).await.server.spec.image.is_empty(), "its tombstone is left");
    }
    assert_eq!(lines.told("are not trimmed"), 3, "each round says so, once: {}", lines.text());
    assert_eq!(lines.told("count=2"), 3, "{}", lines.text());
    fixture.close().await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_hides_no_other_in_a_list_or_after_a_restore_and_is_told() {
    let (lines, _on_this_thread) = Lines::listen();
    let fixture = sqlite().await;
    let server = async |id: ServerId| {
        damage(&fixture, &format!("UPDATE vip_servers SET body = '{{}}' WHERE id = '{id}'")).await;
    };
    let operation = async |id: OperationId| {
        damage(&fixture, &format!("UPDATE vip_operations SET status = 'molten' WHERE id = '{id}'")).await;
    };
    let damaged = an_unreadable_record_hides_no_other(&fixture, server, operation).await;
    assert_eq!(lines.told(&format!("server.id={damaged}")), 4, "{}", lines.text());
    assert_eq!(lines.told("a stored operation cannot be read"), 1, "{}", lines.text());
    fixture.close().await;
}

#[tokio::test]
async fn what_a_damaged_record_may_have_at_the_provider_is_not_known_and_ends_no_sweep_of_the_others() {
    let fixture = sqlite().await;
    let damaged = accepted(&fixture, "acme").await;
    let sound = accepted(&fixture, "acme").await;
    for body in ["", "{", "{}", "[]", "7"] {
        let text =
            format!("UPDATE vip_servers SET body = '{body}', account = '{}' WHERE id = '{}'", account(), damaged.id);
        damage(&fixture, &text).await;
        let recorded = fixture.store().references(&account()).await.unwrap();
        let [record] = recorded.as_slice() else { panic!("{recorded:?}") };
        assert!(record.server == damaged.id && record.open, "{body}: {record:?}");
        let located = fixture.store().locate(&[damaged.id, sound.id]).await.unwrap();
        assert_eq!(located.len(), 2, "{body}: {located:?}");
        assert!(located.iter().all(|record| record.open == (record.server == damaged.id)), "{body}: {located:?}");
    }
    fixture.close().await;
}

#[tokio::test]
async fn a_state_or_a_wish_that_is_not_known_ends_no_sweep_of_the_others_and_its_server_stays_somebodys() {
    let (lines, _on_this_thread) = Lines::listen();
    let fixture = sqlite().await;
    let [unclear, sound] = [accepted(&fixture, "acme").await, accepted(&fixture, "acme").await];
    let place = format!("account = '{0}', provider_account = '{0}', provider_id = '7'", account());
    for (state, desired) in [("molten", "present"), ("running", "perhaps")] {
        let standing = format!("state = '{state}', desired = '{desired}'");
        damage(&fixture, &format!("UPDATE vip_servers SET {standing}, {place} WHERE id = '{}'", unclear.id)).await;
        let recorded = fixture.store().references(&account()).await.unwrap();
        let [record] = recorded.as_slice() else { panic!("{recorded:?}") };
        assert_eq!((record.state, record.desired), (ServerState::Parked, Desired::Present), "a sweep leaves it alone");
        assert!(record.server == unclear.id && record.id.as_ref().is_some_and(|id| id.as_str() == "7"), "{record:?}");
        let located = fixture.store().locate(&[unclear.id, sound.id]).await.unwrap();
        let of_sound = located.iter().find(|record| record.server == sound.id).map(|record| record.state);
        assert_eq!((located.len(), of_sound), (2, Some(ServerState::Requested)), "{located:?}");
    }
    assert_eq!(lines.told(&format!("server.id={}", unclear.id)), 4, "{}", lines.text());
    fixture.close().await;
}

#[tokio::test]
async fn an_account_that_cannot_be_read_is_closed_and_told_once_and_stops_no_order_of_another() {
    let (lines, _on_this_thread) = Lines::listen();
    let fixture = sqlite().await;
    let write = async |body: String| {
        damage(&fixture, &format!("UPDATE vip_accounts SET body = {body} WHERE id = '{CLOSED}'")).await;
    };
    let bodies = ["''", "'{'", "'{}'", "'[]'", "'7'", "CAST(x'7bff' AS TEXT)"];
    an_unreadable_account_stops_its_own_orders_alone(&fixture, &bodies, write).await;
    assert_eq!(lines.told("what is kept of an account cannot be read"), 1, "{}", lines.text());
    assert_eq!(lines.told("account.id=closed"), 1, "{}", lines.text());
    fixture.close().await;
}

#[tokio::test]
async fn a_product_starts_with_an_account_that_cannot_be_read_and_its_health_names_it() {
    let fixture = sqlite().await;
    let damage = async |id: AccountId| {
        damage(&fixture, &format!("UPDATE vip_accounts SET body = '{{}}' WHERE id = '{id}'")).await;
    };
    an_unreadable_account_keeps_no_product_from_starting(&fixture, damage).await;
    fixture.close().await;
}

#[tokio::test]
async fn the_accounts_that_are_needed_are_known_whatever_a_damaged_record_holds() {
    let fixture = sqlite().await;
    let damaged = accepted(&fixture, "acme").await;
    accepted(&fixture, "acme").await;
    let bodies = [
        "",
        "{",
        "7",
        "[]",
        r#"{"candidates":[{"account":[7]}],"cursor":0}"#,
        r#"{"candidates":[{"account":"no name"}],"cursor":0}"#,
        r#"{"candidates":7,"cursor":"0] x","land":7,"removing":7,"provider_ref":[]}"#,
        r#"{"candidates":[7],"cursor":-3,"land":[7],"removing":{"gone":false},"provider_ref":{"gone":0}}"#,
        r#"{"candidates":[],"cursor":0,"removing":{"since":"soon"}}"#,
        r#"{"candidates":[],"cursor":0,"removing":{"since":99999999999999999999}}"#,
    ];
    for body in bodies {
        let text = format!("UPDATE vip_servers SET body = '{body}', removing_id = '7' WHERE id = '{}'", damaged.id);
        damage(&fixture, &text).await;
        let needed = fixture.store().stats().await.unwrap().accounts;
        assert_eq!(needed, BTreeSet::from([account()]), "{body}");
    }
    fixture.close().await;
}

/// Puts records in front of all others that nobody can read.
async fn unreadable(fixture: &SqliteFixture, numbers: RangeInclusive<u32>) {
    let (first, last) = (numbers.start(), numbers.end());
    let text = format!(
        "INSERT INTO vip_servers (id, tenant, state, desired, stamp, version, holder_epoch, provider_name, create_hash, gone_at,
            quota_held, created_at, body)
        WITH RECURSIVE n (i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
        SELECT 'id-' || i, 'acme', 'failed', 'absent', 's', 1, 0, 'name-' || i, 'h', 0, 0, 0, '{{}}' FROM n"
    );
    damage(fixture, &text).await;
}

#[tokio::test]
async fn a_thousand_unreadable_records_are_passed_over_and_one_more_holds_up_the_rest() {
    let fixture = sqlite().await;
    ended(&fixture).await;
    ended(&fixture).await;
    fixture.advance(HOUR).await;
    let retention = Retention { now: fixture.now().await, keys: HOUR, records: HOUR, most: 1 };
    for (numbers, records) in [(1..=1000, 1), (1001..=1001, 0)] {
        unreadable(&fixture, numbers).await;
        assert_eq!(fixture.store().trim(&retention).await.unwrap().records, records);
    }
    fixture.close().await;
}

#[tokio::test]
async fn a_tenant_whose_chain_is_broken_keeps_no_other_tenants_records_from_being_sealed_and_is_told_once() {
    let report = |sealed, more| SealReport { sealed, more };
    let damages = [
        // Fewer at once than there are records of the broken chain in front.
        ("unreadable", 1, "UPDATE vip_audit_heads SET sequence = -1 WHERE tenant = 'acme'"),
        ("set back", 1, "UPDATE vip_audit_heads SET sequence = 0 WHERE tenant = 'acme'"),
        (
            "a place ahead is taken, which the second record shows",
            2,
            "INSERT INTO vip_audit (change_id, tenant, server, version, at, body, sequence, hash)
                VALUES ('c', 'acme', 's', 1, 1, '{}', 3, 'h')",
        ),
    ];
    let repair = "DROP TRIGGER vip_audit_is_not_deleted; DELETE FROM vip_audit WHERE change_id = 'c';
        UPDATE vip_audit_heads SET sequence = 1 WHERE tenant = 'acme'";
    for (what, most, text) in damages {
        let (lines, _on_this_thread) = Lines::listen();
        let fixture = sqlite().await;
        let store = fixture.store();
        let record = accepted(&fixture, "acme").await;
        assert_eq!(store.seal(9).await.unwrap().sealed, 1, "{what}");
        let record = moved(&fixture, record, ServerState::Creating).await.server;
        let record = moved(&fixture, record, ServerState::Confirming).await.server;
        let other = [accepted(&fixture, "other").await, accepted(&fixture, "other").await];
        damage(&fixture, text).await;
        for left in (0..2_u32.div_ceil(most)).rev() {
            assert_eq!(store.seal(most).await.unwrap(), report(most, left > 0), "{what}");
        }
        assert_eq!(store.seal(most).await.unwrap(), report(0, false), "{what}");
        assert_eq!(store.sealed(&other[0].tenant, 0, 9).await.unwrap().len(), 2, "{what}");
        assert_eq!(store.stats().await.unwrap().unsealed, 2, "{what}: none of them in part");
        assert_eq!(lines.told("acme"), 1, "{what}: {}", lines.text());
        damage(&fixture, repair).await;
        assert_eq!(store.seal(9).await.unwrap(), report(0, false), "{what}: it is left alone");
        fixture.advance(MINUTE).await;
        assert_eq!(store.seal(9).await.unwrap(), report(2, false), "{what}");
        let sealed = store.sealed(&record.tenant, 0, 9).await.unwrap();
        assert_eq!(verify_chain(&ChainHead::empty(&record.tenant), &sealed).unwrap().sequence, 3, "{what}");
        fixture.close().await;
    }
}

#[tokio::test]
async fn a_chain_that_breaks_again_is_told_again() {
    let (lines, _on_this_thread) = Lines::listen();
    let fixture = sqlite().await;
    let mut record = accepted(&fixture, "acme").await;
    fixture.store().seal(9).await.unwrap();
    for (head, times) in [(-1, 1), (1, 1), (-1, 2)] {
        record = moved(&fixture, record, ServerState::Creating).await.server;
        let last = fixture.store().sealed(&record.tenant, 0, 9).await.unwrap().len();
        let head = if head < 0 { head } else { i64::try_from(last).unwrap() };
        damage(&fixture, &format!("UPDATE vip_audit_heads SET sequence = {head} WHERE tenant = 'acme'")).await;
        // Found broken twice, it is told once.
        for _ in 0..2 {
            fixture.advance(MINUTE).await;
            fixture.store().seal(9).await.unwrap();
        }
        assert_eq!(lines.told("acme"), times, "{}", lines.text());
    }
    fixture.close().await;
}

#[tokio::test]
async fn a_tenant_whose_sealed_records_are_gone_keeps_no_other_tenants_from_a_sink() {
    let (fixture, sink) = (sqlite().await, SinkName::new("one").unwrap());
    let store = fixture.store();
    accepted(&fixture, "acme").await;
    let other = accepted(&fixture, "other").await.tenant;
    assert_eq!(store.seal(9).await.unwrap().sealed, 2);
    damage(&fixture, "DROP TRIGGER vip_audit_is_not_deleted; DELETE FROM vip_audit WHERE tenant = 'acme'").await;
    let batch = store.deliverable(&sink, 9).await.unwrap().unwrap();
    assert_eq!((&batch.tenant, batch.records.len()), (&other, 1));
    store.delivered(&sink, &other, 1).await.unwrap();
    assert_eq!(store.deliverable(&sink, 9).await.unwrap(), None);
    fixture.close().await;
}
