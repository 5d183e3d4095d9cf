//! Creates that fail in one location: what is held back there, and what is not elsewhere.

use super::client::{Cloud, cloud};
use super::*;
use crate::memory::{ProviderFault, ProviderMethod};
use crate::model::{DisplayName, Labels, Power, ProviderName, ServerId};
use crate::ports::{CreateRequest, ProviderClient, ProviderError, ProviderErrorKind, RequestContext};
use crate::resilience::breaker::{Admission, BreakerMode, BreakerState, PLACES_MOST, Refused, Why};

impl Cloud {
    /// Creates a server in a location; each number is another name.
    async fn create(&self, location: &str, number: u128) -> Result<(), ProviderError> {
        let server = ServerId::from_uuid(uuid::Uuid::from_u128(number));
        let request = CreateRequest {
            name: ProviderName::derive(&DisplayName::new("web").unwrap(), &server),
            server_type: "small".to_owned(),
            location: location.to_owned(),
            image: "image".to_owned(),
            ssh_keys: Vec::new(),
            labels: Labels::new(),
            user_data: None,
            power: Power::On,
        };
        self.client.create(&request, &RequestContext::new(seconds(30))).await.map(drop)
    }

    /// Lets so many creates in a location fail.
    async fn fails_in(&self, location: &str, times: usize, kind: ProviderErrorKind) {
        for _ in 0..times {
            self.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(kind));
            assert_eq!(self.create(location, 1).await.unwrap_err().kind, kind);
        }
    }

    async fn code_in(&self, location: &str) -> String {
        let error = self.create(location, 1).await.unwrap_err();
        assert_eq!(error.kind, ProviderErrorKind::NotSent, "{error:?}");
        error.code
    }
}

#[tokio::test(start_paused = true)]
async fn creates_that_fail_in_one_location_are_held_back_there_and_nothing_is_elsewhere() {
    let cloud = cloud();
    cloud.fails_in("hel1", 5, ProviderErrorKind::Unknown).await;
    assert_eq!(cloud.code_in("hel1").await, "breaker_open_for_creates");
    assert_eq!(cloud.provider.calls(ProviderMethod::Create), 5);
    cloud.create("fsn1", 2).await.unwrap();
    cloud.get().await.unwrap();

    let state = cloud.breaker.view().state;
    assert!(matches!(state, BreakerState::Open { scope: Scope::Creates, .. }), "{state:?}");
    let outlook = cloud.client.outlook();
    assert_eq!(outlook.creates_shut_in.keys().collect::<Vec<_>>(), ["hel1"]);
    assert_eq!((outlook.shut, outlook.creates_shut), (None, None));
    // Nobody comes to probe it: it holds nobody back, and is no trouble for ever.
    tokio::time::advance(seconds(34)).await;
    assert_eq!(cloud.breaker.view().state, BreakerState::Closed);
    // It has not answered since, though: who waits there for stock loses no patience.
    let outlook = cloud.client.outlook();
    assert_eq!((outlook.creates_doubted, outlook.creates_shut_in.len()), (false, 0));
    assert_eq!(outlook.creates_doubted_in.iter().collect::<Vec<_>>(), ["hel1"]);
    cloud.create("hel1", 3).await.unwrap();
    tokio::time::advance(seconds(24 * 3_600)).await;
    assert_eq!(cloud.client.outlook().creates_doubted_in.len(), 0);
}

/// A location that is asked for the first time has a clock that begins then.
#[tokio::test(start_paused = true)]
async fn who_only_looks_ends_no_round_of_a_location_and_takes_away_no_doubt() {
    let cloud = cloud();
    tokio::time::advance(seconds(3_600)).await;
    cloud.fails_in("hel1", 5, ProviderErrorKind::Unknown).await;
    tokio::time::advance(seconds(50)).await;
    cloud.create("hel1", 2).await.unwrap();
    for _ in 0..3 {
        assert_eq!(cloud.client.outlook().creates_doubted_in.iter().collect::<Vec<_>>(), ["hel1"]);
    }
    let place = cloud.breaker.at("hel1").unwrap();
    let [one, two, three] = [(); 3].map(|()| place.admit(Scope::Creates));
    assert!(matches!(three, Admission::Refused(Refused { why: Why::Ramp, .. })), "{three:?}");
    drop((one, two));
    cloud.breaker.set_mode(BreakerMode::ForcedClosed);
    assert!(cloud.client.outlook().creates_doubted_in.is_empty(), "everything is let through");
}

#[tokio::test(start_paused = true)]
async fn a_location_that_goes_on_failing_is_tried_once_each_time_and_takes_no_turn_from_others() {
    let cloud = cloud();
    cloud.fails_in("hel1", 5, ProviderErrorKind::Unknown).await;
    for round in 1..=3 {
        tokio::time::advance(seconds(50)).await;
        // One cheap read, and one create.
        cloud.fails_in("hel1", 1, ProviderErrorKind::Unknown).await;
        assert_eq!(cloud.provider.calls(ProviderMethod::Find), round);
        assert_eq!(cloud.code_in("hel1").await, "breaker_open_for_creates");
        for number in 0..10 {
            cloud.create("fsn1", u128::from(round) * 100 + number).await.unwrap();
        }
    }
    tokio::time::advance(seconds(50)).await;
    for number in 1000..1100 {
        cloud.create("hel1", number).await.unwrap();
    }
    assert!(cloud.client.outlook().creates_shut_in.is_empty());
}

#[tokio::test(start_paused = true)]
async fn creates_that_are_not_sent_tell_of_no_location_and_hold_everything_back() {
    let cloud = cloud();
    for location in ["hel1", "fsn1", "nbg1", "ash", "hil"] {
        cloud.fails_in(location, 1, ProviderErrorKind::NotSent).await;
    }
    assert_eq!(cloud.code_in("sin").await, "breaker_open");
    assert!(cloud.get().await.is_err());
    assert!(cloud.client.outlook().creates_shut_in.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_says_holds_for_every_location() {
    let cloud = cloud();
    cloud.fails_in("hel1", 5, ProviderErrorKind::Unknown).await;
    cloud.breaker.set_mode(BreakerMode::ForcedClosed);
    for location in ["hel1", "fsn1"] {
        cloud.fails_in(location, 10, ProviderErrorKind::Unknown).await;
    }
    cloud.breaker.set_mode(BreakerMode::ForcedOpen);
    for location in ["hel1", "nbg1"] {
        assert_eq!(cloud.code_in(location).await, "breaker_forced_open");
    }
    cloud.breaker.set_mode(BreakerMode::Automatic);
    assert_eq!(cloud.code_in("hel1").await, "breaker_open_for_creates");
}

#[tokio::test(start_paused = true)]
async fn beyond_so_many_locations_creates_count_together_and_so_do_those_without_one() {
    let breaker = breaker();
    assert!(breaker.at("").is_none());
    let fill = |most: usize| (0..most).all(|number| breaker.at(&format!("place-{number}")).is_some());
    // Those that hold nothing back make room for another one.
    assert!(fill(PLACES_MOST) && breaker.at("one-more").is_some());
    breaker.set_mode(BreakerMode::ForcedClosed);
    assert!(fill(PLACES_MOST - 1) && breaker.at("one-more").is_some());
    assert!(breaker.at("too-many").is_none());
}
