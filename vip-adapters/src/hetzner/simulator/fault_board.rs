//! The fault rules in force, and what they hold for one request.

use std::time::Duration;

use fastrand::Rng;
use http::Method;

use super::catalog::{self, Location, ServerType};
use super::faults::{ById, Effect, Failure, Fault, FaultRule, When};
use super::records::{ActionFailure, Hidden};
use super::time::SimInstant;

/// How long after the stock ran out `GET /server_types` still says that there is some.
const STOCK_FLAG_LAG: Duration = Duration::from_secs(30);

/// What decides the answer of a request instead of the API.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    CutBefore,
    CutAfter,
    Fail { failure: Failure, effect: Effect },
    Late { failure: Option<Failure>, effect_after: Duration },
    TooManyRequests,
    Refuse { status: u16, code: String, message: String },
}

/// What changes how a request is carried out.
#[derive(Debug, Default, Clone)]
pub(super) struct Twist {
    pub(super) hidden: Option<Hidden>,
    pub(super) not_found_until: Option<SimInstant>,
    pub(super) out_of_stock: bool,
    pub(super) action_time: Option<Duration>,
    pub(super) action_failure: Option<ActionFailure>,
    pub(super) start_failure: Option<ActionFailure>,
}

/// Everything that the rules hold for one request.
#[derive(Debug, Default)]
pub(super) struct Draw {
    pub(super) verdict: Option<Verdict>,
    pub(super) twist: Twist,
    pub(super) answer_after: Duration,
}

/// What the rules look at in a request.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) method: &'a Method,
    pub(super) template: Option<&'static str>,
    /// What a create asks for, if it names things that exist.
    pub(super) server_type: Option<&'static ServerType>,
    pub(super) location: Option<&'static Location>,
}

#[derive(Debug)]
struct ActiveRule {
    rule: FaultRule,
    added: SimInstant,
    used: u32,
}

/// The rules in force, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct FaultBoard {
    rules: Vec<ActiveRule>,
}

impl FaultBoard {
    pub(super) fn add(&mut self, rule: FaultRule, now: SimInstant) {
        self.rules.push(ActiveRule { rule, added: now, used: 0 });
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Draws for one request; rules that are spent or over are dropped.
    pub(super) fn draw(&mut self, now: SimInstant, rng: &mut Rng, subject: &Subject<'_>) -> Draw {
        self.rules.retain(|active| !active.is_over(now));
        let mut draw = Draw::default();
        for active in &mut self.rules {
            if !active.concerns(subject) {
                continue;
            }
            let verdict = Verdict::of(&active.rule.fault);
            if verdict.is_some() && draw.verdict.is_some() {
                continue;
            }
            if !active.fires(now, rng) {
                continue;
            }
            match verdict {
                Some(verdict) => draw.verdict = Some(verdict),
                None => draw.modify(&active.rule.fault, now),
            }
        }
        draw
    }

    /// Tells what `GET /server_types` says about stock; it learns late.
    pub(super) fn shows_stock(&self, now: SimInstant, kind: &ServerType, place: &Location) -> bool {
        !self.rules.iter().any(|active| {
            let known = match active.rule.when {
                When::Always => now >= active.added + STOCK_FLAG_LAG,
                When::Window { after, length } => {
                    let opens = active.added + after;
                    now >= opens + STOCK_FLAG_LAG && now < opens + length
                }
                When::Next { .. } | When::Chance { .. } => false,
            };
            known && active.rule.fault.exhausts(Some(kind), Some(place))
        })
    }
}

impl ActiveRule {
    fn concerns(&self, subject: &Subject<'_>) -> bool {
        let is_stock = matches!(self.rule.fault, Fault::StockExhausted { .. });
        self.rule.route.matches(subject.method, subject.template)
            && (!is_stock || self.rule.fault.exhausts(subject.server_type, subject.location))
    }

    fn is_over(&self, now: SimInstant) -> bool {
        match self.rule.when {
            When::Always => false,
            When::Next { requests } => self.used >= requests,
            When::Window { after, length } => now >= self.added + after + length,
            When::Chance { length, .. } => length.is_some_and(|length| now >= self.added + length),
        }
    }

    fn fires(&mut self, now: SimInstant, rng: &mut Rng) -> bool {
        let fires = match self.rule.when {
            When::Always => true,
            When::Next { requests } => self.used < requests,
            When::Window { after, .. } => now >= self.added + after,
            When::Chance { probability, .. } => rng.f64() < probability,
        };
        self.used = self.used.saturating_add(u32::from(fires));
        fires
    }
}

impl Fault {
    /// Tells whether this fault takes a type in a location out of stock.
    fn exhausts(&self, kind: Option<&ServerType>, place: Option<&Location>) -> bool {
        let Self::StockExhausted { server_type, location } = self else {
            return false;
        };
        let names =
            |wanted: &Option<String>, name: Option<&str>| wanted.as_deref().is_none_or(|wanted| Some(wanted) == name);
        names(server_type, kind.map(|it| it.name)) && names(location, place.map(|it| it.name))
    }
}

impl Verdict {
    fn of(fault: &Fault) -> Option<Self> {
        match fault {
            Fault::CutBefore => Some(Self::CutBefore),
            Fault::CutAfter => Some(Self::CutAfter),
            Fault::Fail { failure, effect } => Some(Self::Fail { failure: *failure, effect: *effect }),
            Fault::Late { failure, effect_after } => {
                Some(Self::Late { failure: *failure, effect_after: *effect_after })
            }
            Fault::TooManyRequests => Some(Self::TooManyRequests),
            Fault::Refuse { status, code, message } => {
                Some(Self::Refuse { status: *status, code: code.clone(), message: message.clone() })
            }
            Fault::Delay { .. }
            | Fault::Hide { .. }
            | Fault::HideById { .. }
            | Fault::StockExhausted { .. }
            | Fault::ActionTakes { .. }
            | Fault::ActionFails { .. }
            | Fault::StartFails { .. } => None,
        }
    }
}

impl Draw {
    fn modify(&mut self, fault: &Fault, now: SimInstant) {
        match fault {
            Fault::Delay { answer_after } => self.answer_after += *answer_after,
            Fault::Hide { duration, by_id } => {
                let by_id_too = *by_id == ById::Hidden;
                self.twist.hidden = Some(Hidden { until: now + *duration, by_id_too });
            }
            Fault::HideById { duration } => self.twist.not_found_until = Some(now + *duration),
            Fault::ActionTakes { duration } => self.twist.action_time = Some(*duration),
            Fault::StockExhausted { .. } => self.twist.out_of_stock = true,
            Fault::ActionFails { code, message } => {
                self.twist.action_failure = Some(ActionFailure { code: code.clone(), message: message.clone() });
            }
            Fault::StartFails { code, message } => {
                self.twist.start_failure = Some(ActionFailure { code: code.clone(), message: message.clone() });
            }
            Fault::CutBefore
            | Fault::CutAfter
            | Fault::Fail { .. }
            | Fault::Late { .. }
            | Fault::TooManyRequests
            | Fault::Refuse { .. } => {}
        }
    }
}

/// Reads loosely what a create asks for: the strict reading comes later, and only if no fault came first.
pub(super) fn wanted(body: &[u8]) -> (Option<&'static ServerType>, Option<&'static Location>) {
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else {
        return (None, None);
    };
    let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str);
    let server_type = text("server_type").and_then(catalog::server_type);
    let location = match text("location") {
        Some(location) => catalog::location(location),
        None => server_type.and_then(|it| it.offered_in().next()),
    };
    (server_type, location)
}
