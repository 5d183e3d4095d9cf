//! Tables of what a sweep finds and of what ripens.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::model::{
    Addresses, CreateHash, Desired, Labels, ProviderName, ProviderServerId, SERVER_LABEL, SPEC_LABEL, ServerState,
    SightingKey, Timestamp, Timing,
};
use crate::ports::{ServerStatus, ServerView};

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

fn account() -> AccountId {
    AccountId::default_account()
}

fn server(number: u128) -> ServerId {
    ServerId::from_uuid(uuid::Uuid::from_u128(number))
}

fn id(number: u128) -> ProviderServerId {
    ProviderServerId::new(number.to_string()).unwrap()
}

fn record(number: u128, state: ServerState) -> RecordedRef {
    RecordedRef {
        server: server(number),
        tenant: TenantId::new("acme").unwrap(),
        state,
        desired: Desired::Present,
        account: Some(account()),
        id: Some(id(number)),
        open: false,
        removing: None,
        provider_name: ProviderName::new(format!("web-{number}")).unwrap(),
        create_hash: CreateHash::from_stored("1-hash"),
    }
}

/// Shows the server of a record under the provider's id `shown`.
fn seen(number: u128, shown: u128) -> ServerView {
    let mut labels = Labels::new();
    labels.insert(SERVER_LABEL.to_owned(), server(number).to_string());
    labels.insert(SPEC_LABEL.to_owned(), "1-hash".to_owned());
    ServerView {
        id: id(shown),
        name: format!("web-{number}"),
        status: ServerStatus::Running,
        labels,
        addresses: Addresses::default(),
        server_type: "t".to_owned(),
        location: "l".to_owned(),
        is_listed: true,
    }
}

fn classes(records: &[RecordedRef], listed: &[ServerView]) -> Vec<(SightingClass, ProviderServerId)> {
    let located: BTreeMap<ServerId, RecordedRef> =
        records.iter().map(|record| (record.server, record.clone())).collect();
    let live: Vec<RecordedRef> = records.iter().filter(|record| !record.state.is_final()).cloned().collect();
    classify(&account(), &live, listed, &located).into_iter().map(|found| (found.class, found.key.id)).collect()
}

#[test]
fn a_recorded_server_that_is_listed_is_known() {
    for state in [
        ServerState::Creating,
        ServerState::Confirming,
        ServerState::Running,
        ServerState::Failing,
        ServerState::Deleting,
        ServerState::Parked,
    ] {
        assert_eq!(classes(&[record(1, state)], &[seen(1, 1)]), [], "{state:?}");
    }
}

#[test]
fn only_running_servers_can_be_missing() {
    assert_eq!(classes(&[record(1, ServerState::Running)], &[]), [(SightingClass::Missing, id(1))]);
    for state in [ServerState::Confirming, ServerState::Deleting, ServerState::Lost, ServerState::Deleted] {
        assert_eq!(classes(&[record(1, state)], &[]), [], "{state:?}");
    }
}

#[test]
fn all_that_may_be_there_are_counted_but_those_that_are_lost_already() {
    let states = [ServerState::Running, ServerState::Confirming, ServerState::Deleting, ServerState::Parked];
    let mut records: Vec<RecordedRef> =
        states.into_iter().zip(1..).map(|(state, number)| record(number, state)).collect();
    assert_eq!(classify::may_be_listed(&records), 4);
    records.push(record(5, ServerState::Lost));
    records.push(RecordedRef { id: None, ..record(6, ServerState::Creating) });
    assert_eq!(classify::may_be_listed(&records), 4);
}

#[test]
fn servers_of_final_records_resurface_and_second_ones_are_surplus() {
    for state in [ServerState::Failed, ServerState::Deleted] {
        assert_eq!(classes(&[record(1, state)], &[seen(1, 1)]), [(SightingClass::Resurfaced, id(1))]);
    }
    for state in [ServerState::Confirming, ServerState::Running, ServerState::Lost] {
        let found = classes(&[record(1, state)], &[seen(1, 1), seen(1, 2)]);
        assert!(found.contains(&(SightingClass::Surplus, id(2))), "{state:?}");
        assert!(!found.contains(&(SightingClass::Surplus, id(1))), "{state:?}");
    }
    for state in [ServerState::Requested, ServerState::Creating, ServerState::Deleting] {
        assert_eq!(classes(&[record(1, state)], &[seen(1, 2)]), [], "{state:?}: converge looks by itself");
    }
}

#[test]
fn the_server_of_an_order_that_knows_of_none_and_has_no_create_open_is_looked_at_at_once() {
    let knows_none = |state| RecordedRef { id: None, ..record(1, state) };
    let states = [
        ServerState::Requested,
        ServerState::Creating,
        ServerState::Failing,
        ServerState::Deleting,
        ServerState::Parked,
    ];
    for state in states {
        let located = BTreeMap::from([(server(1), knows_none(state))]);
        let found = classify(&account(), &[], &[seen(1, 7)], &located);
        let found: Vec<_> = found.into_iter().map(|it| (it.class, it.key.id, it.server, it.at_once)).collect();
        assert_eq!(found, [(SightingClass::Resurfaced, id(7), Some(server(1)), true)], "{state:?}");
        let open = RecordedRef { open: true, ..knows_none(state) };
        let unwanted = RecordedRef { desired: Desired::Absent, ..knows_none(state) };
        assert_eq!(classes(&[unwanted], &[seen(1, 7)]), [(SightingClass::Resurfaced, id(7))], "{state:?}");
        let leaving = RecordedRef { removing: Some(id(7)), ..knows_none(state) };
        for known in [open, leaving] {
            assert_eq!(classes(&[known], &[seen(1, 7)]), [], "{state:?}: converge looks by itself");
        }
    }
}

#[test]
fn ours_without_a_record_is_unrecorded_even_with_a_broken_label() {
    let mut broken = seen(1, 8);
    broken.labels.insert(SERVER_LABEL.to_owned(), "not an id".to_owned());
    let found = classes(&[], &[seen(1, 7), broken]);
    assert_eq!(found, [(SightingClass::Unrecorded, id(7)), (SightingClass::Unrecorded, id(8))]);
}

#[test]
fn another_name_or_order_is_drift() {
    let renamed = ServerView { name: "other".to_owned(), ..seen(1, 1) };
    let mut of_another_order = seen(1, 1);
    of_another_order.labels.insert(SPEC_LABEL.to_owned(), "1-other".to_owned());
    for drifted in [renamed, of_another_order] {
        assert_eq!(classes(&[record(1, ServerState::Running)], &[drifted]), [(SightingClass::Drift, id(1))]);
    }
}

#[test]
fn the_server_of_a_lost_record_is_resurfaced_and_one_that_is_being_removed_is_no_drift() {
    assert_eq!(classes(&[record(1, ServerState::Lost)], &[seen(1, 1)]), [(SightingClass::Resurfaced, id(1))]);
    let leaving = RecordedRef { removing: Some(id(8)), ..record(1, ServerState::Running) };
    let renamed = ServerView { name: "other".to_owned(), ..seen(1, 8) };
    assert_eq!(classes(&[leaving], &[seen(1, 1), renamed]), []);
}

#[test]
fn a_lost_server_that_is_listed_is_looked_at_at_once_and_one_of_a_final_record_is_not() {
    for (state, at_once) in [(ServerState::Lost, true), (ServerState::Failed, false), (ServerState::Deleted, false)] {
        let located = BTreeMap::from([(server(1), record(1, state))]);
        let found = classify(&account(), &[], &[seen(1, 1)], &located);
        assert_eq!(found.iter().map(|finding| finding.at_once).collect::<Vec<_>>(), [at_once], "{state:?}");
    }
}

#[test]
fn the_recorded_id_in_another_account_is_reported_and_never_taken_for_a_second_server_or_for_the_recorded_one() {
    let elsewhere = Some(AccountId::new("second").unwrap());
    for state in [ServerState::Confirming, ServerState::Running, ServerState::Lost] {
        let record = RecordedRef { account: elsewhere.clone(), ..record(1, state) };
        assert_eq!(classes(&[record], &[seen(1, 1)]), [(SightingClass::Drift, id(1))], "{state:?}");
    }
}

#[test]
fn the_recorded_server_of_one_record_with_the_labels_of_another_is_drift_of_the_first() {
    let two = [record(1, ServerState::Running), record(2, ServerState::Running)];
    assert_eq!(classes(&two, &[seen(2, 1), seen(2, 2)]), [(SightingClass::Drift, id(1))]);
    for state in [ServerState::Confirming, ServerState::Deleting, ServerState::Lost, ServerState::Deleted] {
        let two = [record(1, ServerState::Running), record(2, state)];
        assert_eq!(classes(&two, &[seen(2, 1)]), [(SightingClass::Drift, id(1))], "{state:?}");
    }
    let one = [record(1, ServerState::Lost)];
    assert_eq!(classes(&one, &[seen(9, 1)]), [(SightingClass::Drift, id(1))], "nobody has the record that it names");
    let found = classify(&account(), &one, &[seen(9, 1)], &BTreeMap::new());
    assert_eq!(found.iter().map(|finding| finding.server).collect::<Vec<_>>(), [Some(server(1))]);
}

#[test]
fn what_was_taken_away_while_the_list_was_read_is_not_missing_and_what_came_since_is_not_counted() {
    let running = |number| record(number, ServerState::Running);
    let mut recorded: Vec<RecordedRef> = (1..=5).map(running).collect();
    let mut findings = classify(&account(), &recorded, &[], &BTreeMap::new());
    assert_eq!(findings.len(), 5);
    let now = vec![
        running(1),
        RecordedRef { desired: Desired::Absent, ..running(2) },
        record(3, ServerState::Deleting),
        RecordedRef { id: Some(id(9)), ..running(4) },
        running(6),
    ];
    classify::forget_taken_away(&mut findings, &mut recorded, now);
    assert_eq!(findings.iter().map(|finding| finding.server).collect::<Vec<_>>(), [Some(server(1))]);
    assert_eq!(classify::may_be_listed(&recorded), 3);
}

fn finding(number: u128, class: SightingClass) -> Finding {
    let key = SightingKey { account: account(), id: id(number) };
    Finding { key, server: Some(server(number)), class, at_once: false }
}

fn later(after: Duration) -> Timestamp {
    NOW.plus(after)
}

fn rounds(class: SightingClass, mode: SweepMode, suspect: bool, times: &[Duration]) -> Ripened {
    let timing = Timing::default();
    let mut before = Ripened::default();
    for time in times {
        let findings = [finding(1, class)];
        before = ripen(&before.sightings, &findings, suspect, mode, later(*time), &timing);
    }
    before
}

#[test]
fn a_sighting_ripens_after_the_grace_and_a_second_look() {
    let grace = Timing::default().sweep_grace;
    let ripe = |times: &[Duration]| rounds(SightingClass::Surplus, SweepMode::Repair, false, times).sightings[0].ripe;
    assert!(!ripe(&[Duration::ZERO]));
    assert!(!ripe(&[Duration::ZERO, grace - Duration::from_secs(1)]));
    assert!(ripe(&[Duration::ZERO, grace]));
}

#[test]
fn two_looks_at_one_moment_are_one_whatever_the_grace_is() {
    let timing = Timing { sweep_grace: Duration::from_secs(1), ..Timing::default() };
    let half = timing.sweep_interval / 2;
    let found = [finding(1, SightingClass::Surplus)];
    let first = ripen(&[], &found, false, SweepMode::Repair, NOW, &timing).sightings;
    let ripe = |after| ripen(&first, &found, false, SweepMode::Repair, later(after), &timing).sightings[0].ripe;
    assert!(!ripe(half - Duration::from_micros(1)));
    assert!(ripe(half));
}

#[test]
fn what_is_looked_at_at_once_is_that_alone_and_is_not_counted_among_removals() {
    let at_once = Finding { at_once: true, ..finding(1, SightingClass::Resurfaced) };
    let findings = [at_once, finding(2, SightingClass::Resurfaced)];
    let found = ripen(&[], &findings, false, SweepMode::Report, NOW, &Timing::default());
    let seen: Vec<_> =
        found.sightings.iter().zip(&found.consequences).map(|(it, what)| (it.key.id.clone(), *what)).collect();
    assert_eq!(seen, [(id(1), Consequence::Look), (id(2), Consequence::NotYet)]);
    assert_eq!(found.wake, [server(1)], "to look is no removal: in report mode, too");
}

#[test]
fn a_sighting_that_is_not_repeated_or_changes_class_begins_anew() {
    let timing = Timing::default();
    let first = ripen(&[], &[finding(1, SightingClass::Surplus)], false, SweepMode::Repair, NOW, &timing);
    let other = [finding(1, SightingClass::Drift)];
    let second = ripen(&first.sightings, &other, false, SweepMode::Repair, later(timing.sweep_grace), &timing);
    assert_eq!(second.sightings[0].count, 1);
    assert!(ripen(&first.sightings, &[], false, SweepMode::Repair, NOW, &timing).sightings.is_empty());
}

#[test]
fn a_sighting_of_a_time_to_come_begins_anew_when_the_clock_is_set_back() {
    let timing = Timing::default();
    let found = [finding(1, SightingClass::Surplus)];
    let look =
        |before: &Ripened, after| ripen(&before.sightings, &found, false, SweepMode::Repair, later(after), &timing);
    let ahead = look(&Ripened::default(), Duration::from_secs(365 * 86_400));
    let back = look(&ahead, Duration::ZERO);
    assert_eq!((back.sightings[0].first_seen, back.sightings[0].count), (NOW, 1));
    assert!(look(&back, timing.sweep_grace).sightings[0].ripe);
}

#[test]
fn unrecorded_servers_and_drift_never_ripen() {
    let times: Vec<Duration> = (0..100).map(|n| Duration::from_secs(n * 3600)).collect();
    for class in [SightingClass::Unrecorded, SightingClass::Drift] {
        for mode in [SweepMode::Repair, SweepMode::Report] {
            let found = rounds(class, mode, false, &times);
            assert!(!found.sightings[0].ripe && found.wake.is_empty(), "{class:?}");
        }
    }
}

#[test]
fn report_mode_and_a_suspect_account_remove_nothing() {
    let times = [Duration::ZERO, Duration::from_secs(9000)];
    assert!(rounds(SightingClass::Resurfaced, SweepMode::Repair, false, &times).sightings[0].ripe);
    assert!(!rounds(SightingClass::Resurfaced, SweepMode::Report, false, &times).sightings[0].ripe);
    assert!(!rounds(SightingClass::Resurfaced, SweepMode::Repair, true, &times).sightings[0].ripe);
    assert!(!rounds(SightingClass::Missing, SweepMode::Repair, true, &times).sightings[0].ripe);
}

#[test]
fn at_most_five_removals_ripen_in_one_sweep_oldest_first() {
    let timing = Timing::default();
    let many: Vec<Finding> = (1..=7).map(|n| finding(n, SightingClass::Surplus)).collect();
    let first = ripen(&[], &many[..1], false, SweepMode::Repair, NOW.minus(Duration::from_secs(9)), &timing);
    let all = ripen(&first.sightings, &many, false, SweepMode::Repair, NOW, &timing);
    let ripe = ripen(&all.sightings, &many, false, SweepMode::Repair, later(timing.sweep_grace), &timing);
    assert_eq!(ripe.sightings.iter().filter(|sighting| sighting.ripe).count(), 5);
    assert_eq!(ripe.wake.len(), 5);
    assert!(ripe.sightings[0].ripe && ripe.sightings[0].key.id == id(1), "the oldest comes first");
}
