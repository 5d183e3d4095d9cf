//! Sets of fault rules that are added together.

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::faults::{ById, Effect, Failure, Fault, FaultRule, RouteMatcher, When};

/// A list of fault rules; as JSON, an array of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct FaultPlan {
    /// The rules, in the order in which they are asked.
    pub rules: Vec<FaultRule>,
}

/// How long a rough plan lasts; afterwards the cloud is calm.
const ROUGH_LENGTH: Duration = Duration::from_secs(12);

impl FaultPlan {
    /// Makes a plan of these rules.
    #[must_use]
    pub fn of(rules: Vec<FaultRule>) -> Self {
        Self { rules }
    }

    /// Makes a plan without faults.
    #[must_use]
    pub fn calm() -> Self {
        Self::default()
    }

    /// Makes a mix that never ends, until the faults are cleared: lost answers, effects that come late and denied, 504
    /// on what exists, servers that lists or requests by id do not show yet, slow and failing actions, slow answers.
    ///
    /// `latest_effect` bounds how late a denied effect comes; give it less than the client's landing allowance, or
    /// more to see what a client does when its assumption does not hold.
    #[must_use]
    pub fn endless(latest_effect: Duration) -> Self {
        let always = |probability| When::Chance { probability, length: None };
        let fail = |failure, effect| Fault::Fail { failure, effect };
        let late = |failure, share| Fault::Late { failure, effect_after: latest_effect.mul_f64(share) };
        let hour = Duration::from_secs(3600);
        let text = "the action failed".to_owned();
        let creates = [
            (0.05, Fault::CutAfter),
            (0.03, Fault::CutBefore),
            (0.05, fail(Failure::Timeout, Effect::Applied)),
            (0.03, fail(Failure::BadGatewayHtml, Effect::Applied)),
            (0.03, fail(Failure::ServerError, Effect::None)),
            (0.03, late(Some(Failure::Timeout), 1.0)),
            (0.03, late(None, 0.3)),
            (0.02, late(Some(Failure::Unavailable), 0.05)),
            (0.05, Fault::Hide { duration: Duration::from_secs(20), by_id: ById::Visible }),
            (0.03, Fault::Hide { duration: Duration::from_secs(45), by_id: ById::Hidden }),
            (0.03, Fault::HideById { duration: Duration::from_secs(30) }),
            (0.02, Fault::ActionTakes { duration: hour / 4 }),
            (0.05, Fault::Delay { answer_after: Duration::from_secs(9) }),
        ];
        let deletes = [
            (0.05, Fault::CutAfter),
            (0.03, Fault::CutBefore),
            (0.05, fail(Failure::Timeout, Effect::Applied)),
            (0.03, late(Some(Failure::Timeout), 0.2)),
            (0.03, Fault::ActionFails { code: "action_failed".to_owned(), message: text }),
            (0.02, Fault::ActionTakes { duration: hour / 30 }),
        ];
        let others = [
            (0.02, fail(Failure::Unavailable, Effect::None)),
            (0.01, fail(Failure::BadGateway, Effect::None)),
            (0.01, Fault::TooManyRequests),
            (0.01, Fault::CutAfter),
        ];
        let on = |route: RouteMatcher| move |(odds, fault)| FaultRule::new(route.clone(), always(odds), fault);
        let mut rules: Vec<_> = creates.into_iter().map(on(RouteMatcher::create_server())).collect();
        rules.extend(deletes.into_iter().map(on(RouteMatcher::delete_server())));
        rules.extend(others.into_iter().map(on(RouteMatcher::any())));
        Self { rules }
    }

    /// Makes a rough quarter of a minute out of a seed: an outage of some seconds, bursts of 503 and 429, lost
    /// answers, late effects, hidden servers and slow answers. After 12 s nothing new goes wrong.
    #[must_use]
    pub fn rough(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut rules = rough_windows(&mut rng);
        rules.extend(rough_creates(&mut rng));
        let html = Fault::Fail { failure: Failure::BadGatewayHtml, effect: Effect::Applied };
        for (probability, fault) in [(0.10, Fault::CutAfter), (0.05, html)] {
            rules.push(FaultRule::new(RouteMatcher::delete_server(), chance(probability), fault));
        }
        let error = Fault::Fail { failure: Failure::ServerError, effect: Effect::None };
        rules.push(FaultRule::new(RouteMatcher::any(), chance(0.02), error));
        Self { rules }
    }
}

/// An outage, a burst of 503 and a burst of 429, which hit every request.
fn rough_windows(rng: &mut Rng) -> Vec<FaultRule> {
    let unavailable = Fault::Fail { failure: Failure::Unavailable, effect: Effect::None };
    let outage = if rng.bool() { Fault::CutBefore } else { unavailable.clone() };
    let outage_start = millis(rng, 4_000..7_000);
    vec![
        FaultRule::outage(outage_start, millis(rng, 1_500..3_000), outage),
        FaultRule::outage(millis(rng, 500..2_500), Duration::from_millis(300), unavailable),
        FaultRule::outage(millis(rng, 2_500..4_000), Duration::from_millis(400), Fault::TooManyRequests),
    ]
}

/// What goes wrong with the creation of servers.
fn rough_creates(rng: &mut Rng) -> Vec<FaultRule> {
    let timeout = Fault::Fail { failure: Failure::Timeout, effect: Effect::Applied };
    let html = Fault::Fail { failure: Failure::BadGatewayHtml, effect: Effect::Applied };
    let effect_after = millis(rng, 500..3_000);
    let late_error = Fault::Late { failure: Some(Failure::Timeout), effect_after };
    let late_cut = Fault::Late { failure: None, effect_after };
    let hide = Fault::Hide { duration: millis(rng, 500..2_500), by_id: ById::Visible };
    let slow = Fault::Delay { answer_after: millis(rng, 100..400) };
    [
        (0.10, Fault::CutAfter),
        (0.08, timeout),
        (0.06, html),
        (0.05, late_error),
        (0.05, late_cut),
        (0.05, Fault::CutBefore),
        (0.15, hide),
        (0.10, slow),
    ]
    .into_iter()
    .map(|(probability, fault)| FaultRule::new(RouteMatcher::create_server(), chance(probability), fault))
    .collect()
}

fn chance(probability: f64) -> When {
    When::Chance { probability, length: Some(ROUGH_LENGTH) }
}

fn millis(rng: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}
