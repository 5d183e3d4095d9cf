//! What may happen on a walk, drawn at random.

use proptest::prelude::*;

use super::super::*;
use super::provider::{Ready, Real, created, view};
use super::{Walk, failed, knows_none};
use crate::model::{ParkReason, ServerState};
use crate::ports::{ActionStatus, ActionView, Deletion, ProviderErrorKind};
use crate::provisioning::converge::{Answer, Look, NameFinding};

/// Is what happens around one step.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) before: Happening,
    pub(super) fate: Fate,
    pub(super) ready: Ready,
    /// Seconds until the answer is there.
    pub(super) elapsed: u8,
    /// Percent of the longest time for which a new server is not shown.
    pub(super) hidden: u8,
    /// Whether a deletion comes between the question and the record of its answer.
    pub(super) overtaken: bool,
    pub(super) jitter: f64,
}

impl Event {
    /// Is an event in which everything works.
    pub(super) const fn fine() -> Self {
        let (before, fate) = (Happening::Nothing, Fate::Answered);
        Self { before, fate, ready: Ready::Yes, elapsed: 0, hidden: 0, overtaken: false, jitter: 0.5 }
    }
}

/// Is what becomes of a request.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// It is done and answered truly.
    Answered,
    /// No answer; it lands at this share of its time, or never.
    Lost { lands: Option<u8> },
    /// It is refused and not done.
    Refused { kind: ProviderErrorKind, named: Option<Duration> },
    /// The attempt dies; the request lands or not.
    Crash { lands: Option<u8> },
    /// The answer can be read and is not true.
    Lie(Lie),
}

/// Is what happens before a step.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    Nothing,
    Pass { seconds: u16 },
    Crash,
    Delete,
    Resume,
    Park(ParkReason),
    Gate { other: bool, gate: u8, seconds: u16 },
    Sweep { hides: bool },
    Vanish,
    Foreign { other: bool },
    ForeignLeaves,
    Protect { is_protected: bool },
    Twin { is_protected: bool },
    Lingers { looks: u8 },
    Lags { looks: u8 },
    Late,
}

/// Is an answer that need not be true.
#[derive(Debug, Clone)]
pub(super) enum Lie {
    Created { id: u8 },
    Deleted { accepted: bool },
    Nothing,
    Taken,
    Ours { id: u8, has_hash: bool, is_listed: bool, ready: bool },
    Foreign { id: u8 },
    Labelled { count: u8 },
    Action { failed: bool },
}

impl Walk {
    pub(super) fn happen(&mut self, happening: &Happening) {
        let pick = |other: bool| if other { other_account() } else { account() };
        let now = self.world.now;
        match happening {
            Happening::Nothing => {}
            Happening::Pass { seconds } => self.pass(Duration::from_secs(u64::from(*seconds))),
            Happening::Crash => self.crash(),
            Happening::Delete => self.delete(),
            Happening::Resume => self.resume(),
            Happening::Park(reason) => self.park(*reason),
            Happening::Gate { other, gate, seconds } => {
                let until = now.plus(Duration::from_secs(u64::from(*seconds)));
                let gate = match gate {
                    0 => GateView::Closed { until },
                    1 => GateView::Resting { until },
                    _ => GateView::Easing { until },
                };
                self.world.gates.insert(pick(*other), gate);
            }
            Happening::Sweep { hides } => self.sweep(*hides),
            Happening::Vanish => self.truth.servers.iter_mut().for_each(|real| real.gone |= real.shown_from <= now),
            Happening::Foreign { other } => self.truth.foreign(&pick(*other), now),
            Happening::ForeignLeaves => {
                self.truth.servers.iter_mut().filter(|real| !real.is_ours).for_each(|real| real.gone = true);
            }
            Happening::Protect { is_protected } => {
                self.truth.servers.iter_mut().for_each(|real| real.is_protected = *is_protected);
            }
            Happening::Twin { is_protected } => {
                let state = self.committed.state;
                if let Some(own) = self.committed.provider_ref.as_ref().filter(|_| is_done(state)) {
                    self.truth.twin(&own.account, now, *is_protected);
                }
            }
            Happening::Lingers { looks } => self.truth.lingers = u32::from(*looks),
            Happening::Lags { looks } => self.truth.lags = u32::from(*looks),
            // A create lands that nobody expects any more, and a sweep sees it.
            Happening::Late => {
                let is_nothing_there = self.truth.is_quiet() && self.truth.living().is_empty();
                let next = self.committed.candidate().map(|candidate| candidate.account.clone());
                if let Some(account) = next.filter(|_| is_nothing_there && knows_none(&self.committed)) {
                    let create = Effect::Create { candidate: self.committed.cursor };
                    drop(self.truth.apply(&account, &create, now, Duration::ZERO));
                    self.sweep(false);
                }
            }
        }
    }

    /// Answers untruly; what was asked for by id or name has that id or name, for nothing else reaches a decision.
    pub(super) fn lie(&mut self, lie: &Lie, look: Option<&Look>) -> Answer {
        self.lied = true;
        let server = &self.world.server;
        let seen = |number: u8, is_ours: bool, ready: bool| {
            let id = match look {
                Some(Look::Id { id, .. }) => id.clone(),
                _ => id(&format!("{}-{number}", if is_ours { "ours" } else { "foreign" })),
            };
            view(&Real::new(&account(), id, is_ours, NOW), server, if ready { Ready::Yes } else { Ready::No })
        };
        let one = |seen: ServerView| match look {
            Some(Look::Name { .. }) => Answer::Name(NameFinding { named: Some(seen), labelled: Vec::new() }),
            _ => Answer::Server(Some(seen)),
        };
        match lie {
            Lie::Created { id: number } => {
                Answer::Created(created(&account(), id(&format!("ours-{number}")), server, Vec::new()))
            }
            Lie::Deleted { accepted: true } => Answer::Deleted(Deletion::Accepted),
            Lie::Deleted { accepted: false } => Answer::Deleted(Deletion::AlreadyGone),
            Lie::Nothing => match look {
                Some(Look::Name { .. }) => Answer::Name(NameFinding::default()),
                Some(Look::Actions { .. }) => Answer::Actions(Vec::new()),
                _ => Answer::Server(None),
            },
            Lie::Taken => failed(ProviderErrorKind::AlreadyExists, None),
            Lie::Ours { id, has_hash, is_listed, ready } => {
                let mut seen = seen(*id, true, *ready);
                seen.is_listed = *is_listed;
                if !has_hash {
                    seen.labels.remove(crate::model::SPEC_LABEL);
                }
                one(seen)
            }
            Lie::Foreign { id } => one(seen(*id, false, true)),
            Lie::Labelled { count } => {
                let labelled =
                    (0..*count).map(|number| ServerView { name: "renamed".to_owned(), ..seen(number, true, true) });
                Answer::Name(NameFinding { named: None, labelled: labelled.collect() })
            }
            Lie::Action { failed } => {
                let status =
                    if *failed { ActionStatus::Failed { code: "code".to_owned() } } else { ActionStatus::Running };
                let ids = server.actions.iter().cloned();
                Answer::Actions(ids.map(|id| ActionView { id, status: status.clone() }).collect())
            }
        }
    }
}

/// Says whether an order has come to an end, so that a second server is found by the sweep.
const fn is_done(state: ServerState) -> bool {
    matches!(state, ServerState::Running | ServerState::Lost | ServerState::Failed | ServerState::Deleted)
}

fn percent() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0), 0..=100_u8, Just(100)]
}

fn lands() -> impl Strategy<Value = Option<u8>> {
    prop::option::weighted(0.7, percent())
}

fn refusals() -> impl Strategy<Value = ProviderErrorKind> {
    prop_oneof![
        2 => Just(ProviderErrorKind::Exhausted),
        1 => Just(ProviderErrorKind::NotSent),
        1 => prop_oneof![(0..4000_u64).prop_map(seconds), Just(Duration::MAX)]
            .prop_map(|retry_after| ProviderErrorKind::Throttled { retry_after }),
        1 => Just(ProviderErrorKind::Busy),
        1 => Just(ProviderErrorKind::AlreadyExists),
        1 => Just(ProviderErrorKind::InvalidInput),
        1 => Just(ProviderErrorKind::Placement),
        1 => Just(ProviderErrorKind::Protected),
        1 => Just(ProviderErrorKind::AccountLimit),
        1 => Just(ProviderErrorKind::Unauthorized),
        1 => Just(ProviderErrorKind::ReadOnly),
        1 => Just(ProviderErrorKind::Bug),
    ]
}

fn lies() -> impl Strategy<Value = Lie> {
    prop_oneof![
        1 => (0..3_u8).prop_map(|id| Lie::Created { id }),
        1 => any::<bool>().prop_map(|accepted| Lie::Deleted { accepted }),
        2 => Just(Lie::Nothing),
        1 => Just(Lie::Taken),
        3 => (0..3_u8, any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(id, has_hash, is_listed, ready)| Lie::Ours { id, has_hash, is_listed, ready }),
        1 => (0..3_u8).prop_map(|id| Lie::Foreign { id }),
        1 => (0..3_u8).prop_map(|count| Lie::Labelled { count }),
        1 => any::<bool>().prop_map(|failed| Lie::Action { failed }),
    ]
}

fn fates(lies_too: bool) -> BoxedStrategy<Fate> {
    let named = prop::option::weighted(0.3, prop_oneof![(0..9000_u64).prop_map(seconds), Just(Duration::MAX)]);
    let honest = prop_oneof![
        8 => Just(Fate::Answered),
        4 => lands().prop_map(|lands| Fate::Lost { lands }),
        3 => (refusals(), named).prop_map(|(kind, named)| Fate::Refused { kind, named }),
        2 => lands().prop_map(|lands| Fate::Crash { lands }),
    ];
    if lies_too { prop_oneof![4 => honest, 5 => lies().prop_map(Fate::Lie)].boxed() } else { honest.boxed() }
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        24 => Just(Happening::Nothing),
        3 => prop_oneof![0..120_u16, 0..4000_u16].prop_map(|seconds| Happening::Pass { seconds }),
        1 => Just(Happening::Crash),
        2 => Just(Happening::Delete),
        1 => Just(Happening::Resume),
        1 => Just(Happening::Park(ParkReason::HandlerFailed)),
        1 => Just(Happening::Park(ParkReason::Restored)),
        1 => (any::<bool>(), 0..3_u8, 1..3000_u16)
            .prop_map(|(other, gate, seconds)| Happening::Gate { other, gate, seconds }),
        2 => any::<bool>().prop_map(|hides| Happening::Sweep { hides }),
        1 => Just(Happening::Vanish),
        1 => any::<bool>().prop_map(|other| Happening::Foreign { other }),
        1 => Just(Happening::ForeignLeaves),
        1 => any::<bool>().prop_map(|is_protected| Happening::Protect { is_protected }),
        2 => any::<bool>().prop_map(|is_protected| Happening::Twin { is_protected }),
        1 => (0..4_u8).prop_map(|looks| Happening::Lingers { looks }),
        1 => (0..60_u8).prop_map(|looks| Happening::Lags { looks }),
        2 => Just(Happening::Late),
    ]
}

pub(super) fn events(lies_too: bool) -> impl Strategy<Value = Vec<Event>> {
    let ready = prop_oneof![5 => Just(Ready::Yes), 3 => Just(Ready::No), 1 => Just(Ready::Never)];
    let elapsed = prop_oneof![3 => Just(0_u8), 1 => 0..=30_u8];
    let overtaken = prop::bool::weighted(0.04);
    let event = (happenings(), fates(lies_too), ready, elapsed, percent(), overtaken, 0.0..1.0_f64).prop_map(
        |(before, fate, ready, elapsed, hidden, overtaken, jitter)| Event {
            before,
            fate,
            ready,
            elapsed,
            hidden,
            overtaken,
            jitter,
        },
    );
    prop::collection::vec(event, 0..60)
}
