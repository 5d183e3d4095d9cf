//! A walk: one order through any sequence of outcomes, with nothing but `next_step`, `absorb` and a provider that
//! is a list.

mod fates;
mod properties;
mod provider;
mod rules;

use self::fates::{Event, Fate};
use self::provider::{Truth, failed};
use self::rules::Rules;
use super::*;
use crate::model::{Desired, ParkReason, ServerState};
use crate::ports::{Loaded, ProviderErrorKind};
use crate::provisioning::converge::{Answer, Asked, Change, Look, Step, absorb, announce, moves, next_step};

/// Most steps and longest time until an order is where it belongs, once everything works.
const MOST_STEPS: u32 = 300;
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// Is one order under way.
struct Walk {
    world: World,
    /// The record as it was committed; what was not is lost with the attempt.
    committed: Server,
    truth: Truth,
    rules: Rules,
    jitter: f64,
    /// Whether the provider has lied: then only what holds in spite of that is demanded.
    lied: bool,
}

impl Walk {
    fn new(two_accounts: bool) -> Self {
        let mut world = World::new();
        if two_accounts {
            world.server.candidates[1].account = other_account();
        }
        let (committed, rules) = (world.server.clone(), Rules::new(&world.server));
        Self { world, committed, truth: Truth::default(), rules, jitter: 0.0, lied: false }
    }

    fn view(&self) -> View<'_> {
        View { jitter: self.jitter, ..self.world.view() }
    }

    fn pass(&mut self, time: Duration) {
        self.world.now = self.world.now.plus(time);
        let now = self.world.now;
        if !self.lied {
            self.truth.pass(now);
        }
        for gate in self.world.gates.values_mut() {
            if let GateView::Closed { until } | GateView::Resting { until } | GateView::Easing { until } = *gate
                && until <= now
            {
                *gate = GateView::Open;
            }
        }
    }

    /// Begins anew from what was committed.
    fn crash(&mut self) {
        self.world.server = self.committed.clone();
        self.rules.interrupted();
    }

    fn go(&mut self, event: &Event) -> Step {
        self.happen(&event.before);
        self.pass(Duration::ZERO);
        self.jitter = event.jitter;
        let step = next_step(&self.view());
        let view = View { jitter: self.jitter, ..self.world.view() };
        self.rules.check_step(&view, &step);
        match step.clone() {
            Step::Settled => self.note(seconds(60)),
            Step::Wait { until, .. } => self.note(until.since(self.world.now)),
            Step::Move(change) => self.apply(*change),
            Step::Look(look) => self.look(look, event),
            Step::Call { effect, account } => self.call(effect, account, event),
        }
        step
    }

    /// Writes down what changed without a commit, and lets time pass.
    fn note(&mut self, time: Duration) {
        self.committed = self.world.server.clone();
        self.pass(time);
    }

    fn apply(&mut self, change: Change) {
        self.rules.check_change(&self.world.server, &change);
        if let Some(refusal) = &change.refused_by {
            let until = self.world.now.plus(seconds(60));
            self.world.gates.insert(refusal.account.clone(), GateView::Closed { until });
        }
        let is_bug = change.bug;
        self.world.server = change.server;
        if !change.only_work {
            self.commit(change.sighting_done.as_ref());
        }
        if is_bug {
            self.crash();
        }
    }

    /// Does what a store does in a commit.
    fn commit(&mut self, done: Option<&SightingKey>) {
        let now = self.world.now;
        let server = &mut self.world.server;
        server.version += 1;
        if let Some(intent) = server.intent.as_mut() {
            intent.announced_at.get_or_insert(now);
        }
        if server.state.is_final() {
            server.gone_at.get_or_insert(now);
        }
        self.world.sightings.retain(|sighting| Some(&sighting.key) != done);
        self.committed = server.clone();
        self.rules.check_record(&self.committed);
    }

    fn look(&mut self, look: Look, event: &Event) {
        let started = self.world.now;
        let answer = match &event.fate {
            Fate::Answered | Fate::Lost { .. } => self.truth.show(&look, &self.world.server, started, event.ready),
            Fate::Refused { kind, named } => failed(*kind, *named),
            Fate::Lie(lie) => self.lie(lie, Some(&look)),
            Fate::Crash { .. } => return self.crash(),
        };
        let answer =
            if matches!(event.fate, Fate::Lost { .. }) { failed(ProviderErrorKind::Unknown, None) } else { answer };
        self.answered(&Asked::Look { look, started }, &answer, event);
    }

    fn call(&mut self, effect: Effect, account: AccountId, event: &Event) {
        let intent = Intent {
            announced_at: None,
            account,
            attempt: self.world.server.attempt + 1,
            ..intent(effect, self.world.now)
        };
        self.apply(announce(&self.view(), intent));
        let intent = self.world.server.intent.clone().unwrap();
        let (effect, account) = (&intent.effect, &intent.account);
        let now = self.world.now;
        let answer = match &event.fate {
            Fate::Answered => {
                let hidden = share(self.world.timing.landing_allowance, event.hidden);
                self.truth.apply(account, effect, now, hidden).answer(account, &self.world.server)
            }
            Fate::Refused { kind, named } if is_refusal_of(*kind, effect) => failed(*kind, *named),
            Fate::Refused { .. } => {
                self.truth.apply(account, effect, now, Duration::ZERO).answer(account, &self.world.server)
            }
            Fate::Lost { lands } | Fate::Crash { lands } => {
                self.send(&intent, *lands, event.hidden);
                failed(ProviderErrorKind::Unknown, None)
            }
            Fate::Lie(lie) => self.lie(lie, None),
        };
        if matches!(event.fate, Fate::Crash { .. }) {
            if matches!(effect, Effect::Create { .. }) {
                self.rules.unanswered(account, intent.lands_by(self.world.timing.landing_allowance).unwrap());
            }
            return self.crash();
        }
        self.answered(&Asked::Effect(intent), &answer, event);
    }

    /// Sends a request whose answer nobody sees: it lands at some share of the time that it has, or never.
    fn send(&mut self, intent: &Intent, lands: Option<u8>, hidden: u8) {
        let by = intent.lands_by(self.world.timing.landing_allowance).unwrap();
        let Some(lands) = lands else { return };
        let at = self.world.now.plus(share(by.since(self.world.now), lands));
        let shown_after = share(by.since(at), hidden);
        self.truth.later(at, &intent.account, &intent.effect, shown_after);
    }

    fn answered(&mut self, asked: &Asked, answer: &Answer, event: &Event) {
        self.pass(Duration::from_secs(u64::from(event.elapsed)));
        if event.overtaken {
            // A command came in between: it is decided again on the fresh record.
            self.delete();
        }
        let view = View { jitter: self.jitter, ..self.world.view() };
        self.rules.learn(&view, asked, answer);
        let change = absorb(&view, asked, answer);
        self.apply(change);
    }

    fn delete(&mut self) {
        if self.committed.delete_operation.is_some() {
            return;
        }
        let loaded =
            Loaded { server: self.committed.clone(), sightings: Vec::new(), accounts: Vec::new(), now: self.world.now };
        let actor = Actor::principal("somebody").unwrap();
        let caller = crate::provisioning::accept::Caller {
            tenant: loaded.server.tenant.clone(),
            actor,
            request_id: None,
            trace_parent: None,
            key: None,
        };
        let change = crate::provisioning::accept::deletion_for_tests(&caller, &loaded, uuid::Uuid::from_u128(99));
        self.rules.move_operations(&change.operations);
        self.world.server = change.written(self.world.now);
        self.committed = self.world.server.clone();
        self.rules.check_record(&self.committed);
        self.rules.interrupted();
    }

    fn park(&mut self, reason: ParkReason) {
        let server = &self.committed;
        if server.is_converged() || server.state == ServerState::Parked && reason == ParkReason::HandlerFailed {
            return;
        }
        self.crash();
        let change = moves::park_for_good(&self.view(), reason);
        self.apply(change);
    }

    fn resume(&mut self) {
        self.crash();
        if self.committed.state == ServerState::Parked {
            let change = moves::resume(&self.view());
            self.apply(change);
        }
    }

    /// Reads what is there and writes down what disagrees, ripe at once; converge has to look again.
    fn sweep(&mut self, hides: bool) {
        let server = &self.committed;
        let own = server.provider_ref.as_ref().map(|own| own.id.clone());
        let living: Vec<_> =
            self.truth.living().into_iter().map(|real| (real.account.clone(), real.id.clone())).collect();
        let is_there = living.iter().any(|(_, id)| Some(id) == own.as_ref());
        let mut sightings = Vec::new();
        for (account, id) in living {
            let is_own = Some(&id) == own.as_ref();
            let is_lost = server.state == ServerState::Lost && is_own;
            let class = if server.state.is_final() || is_lost || knows_none(server) {
                SightingClass::Resurfaced
            } else if matches!(server.state, ServerState::Running | ServerState::Lost) && !is_own {
                SightingClass::Surplus
            } else {
                continue;
            };
            sightings.push(Sighting { key: SightingKey { account, id }, ..sighting("0", server.id, class) });
        }
        if let Some(own) = server.provider_ref.as_ref().filter(|_| server.state == ServerState::Running)
            && (hides || !is_there)
        {
            let key = SightingKey { account: own.account.clone(), id: own.id.clone() };
            sightings.push(Sighting { key, ..sighting("0", server.id, SightingClass::Missing) });
        }
        self.world.sightings = sightings;
    }

    /// Lets everything work, and demands that the order comes to its end.
    fn recovers(&mut self) {
        if self.lied {
            self.truth = Truth::default();
        }
        self.lied = false;
        self.truth.heal();
        self.world.gates.values_mut().for_each(|gate| *gate = GateView::Open);
        self.crash();
        let begin = self.world.now;
        for _ in 0..MOST_STEPS {
            if self.committed.park_reason == Some(ParkReason::Restored) && self.committed.is_resting_parked() {
                self.resume();
            }
            let step = self.go(&Event::fine());
            let rests = step == Step::Settled && self.truth.is_quiet();
            if rests && self.committed.state != ServerState::Parked {
                self.sweep(false);
                if self.world.sightings.is_empty() {
                    return self.check_end(self.world.now.since(begin));
                }
            }
        }
        panic!("it does not come to its end: {:?}", self.committed);
    }

    fn check_end(&self, took: Duration) {
        let server = &self.committed;
        assert!(took <= LONGEST, "it took {took:?}");
        let living: Vec<_> = self.truth.living().into_iter().map(|real| real.id.clone()).collect();
        match server.state {
            ServerState::Running => {
                assert_eq!(server.desired, Desired::Present);
                assert_eq!(living, [server.provider_ref.as_ref().unwrap().id.clone()]);
            }
            ServerState::Lost => assert_eq!((server.desired, living), (Desired::Present, vec![])),
            // The deletion of an order that had failed is done at once.
            ServerState::Failed => assert_eq!(living, []),
            ServerState::Deleted => assert_eq!((server.desired, living), (Desired::Absent, vec![])),
            ServerState::Requested
            | ServerState::Creating
            | ServerState::Confirming
            | ServerState::Failing
            | ServerState::Deleting
            | ServerState::Parked => panic!("{:?} is no end", server.state),
        }
        self.rules.check_record(server);
    }
}

/// Says whether an order knows of no server, nor of a create that may make one.
fn knows_none(server: &Server) -> bool {
    !server.state.is_final()
        && server.removing.is_none()
        && server.provider_ref.is_none()
        && server.intent.is_none()
        && server.land.is_empty()
}

fn share(time: Duration, percent: u8) -> Duration {
    time * u32::from(percent) / 100
}

/// Says whether a provider may answer so without having done anything: a name is taken only if it is.
fn is_refusal_of(kind: ProviderErrorKind, effect: &Effect) -> bool {
    kind != ProviderErrorKind::AlreadyExists || matches!(effect, Effect::Delete { .. })
}
