//! The provider of a walk: what really is there, what is still on its way, and what it answers about it.

use super::super::*;
use crate::model::{Labels, ProviderActionId, Server, Timestamp};
use crate::ports::{ActionStatus, ActionView, Created, Deletion, ProviderErrorKind, ServerStatus, ServerView};
use crate::provisioning::converge::{Answer, Failure, Look, NameFinding};

/// Is one server that is or was there.
#[derive(Debug, Clone)]
pub(super) struct Real {
    pub(super) account: AccountId,
    pub(super) id: ProviderServerId,
    pub(super) is_ours: bool,
    /// From when on it is shown.
    pub(super) shown_from: Timestamp,
    pub(super) gone: bool,
    pub(super) is_protected: bool,
    /// A second one with our labels and another name, such as a copy that somebody made.
    pub(super) is_twin: bool,
}

impl Real {
    pub(super) fn new(account: &AccountId, id: ProviderServerId, is_ours: bool, shown_from: Timestamp) -> Self {
        Self { account: account.clone(), id, is_ours, shown_from, gone: false, is_protected: false, is_twin: false }
    }
}

/// Is a request that was sent and has not landed.
#[derive(Debug, Clone)]
struct Air {
    at: Timestamp,
    account: AccountId,
    effect: Effect,
    shown_after: Duration,
}

/// Is what is there.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) servers: Vec<Real>,
    air: Vec<Air>,
    made: u32,
    /// How often a deleted server is still shown.
    pub(super) lingers: u32,
    /// How often a list still shows one that a request for its id does not.
    pub(super) lags: u32,
}

pub(super) fn failed(kind: ProviderErrorKind, retry_after: Option<Duration>) -> Answer {
    Answer::Failed(Failure { kind, code: "code".to_owned(), correlation_id: None, retry_after })
}

impl Truth {
    pub(super) fn living(&self) -> Vec<&Real> {
        self.servers.iter().filter(|real| real.is_ours && !real.gone).collect()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.air.is_empty()
    }

    /// Takes away what stands in the way.
    pub(super) fn heal(&mut self) {
        (self.lingers, self.lags) = (0, 0);
        for real in &mut self.servers {
            real.is_protected = false;
            real.gone |= !real.is_ours;
        }
    }

    /// Lets land what is due.
    pub(super) fn pass(&mut self, now: Timestamp) {
        self.air.sort_by_key(|air| air.at);
        while self.air.first().is_some_and(|air| air.at <= now) {
            let air = self.air.remove(0);
            self.apply(&air.account, &air.effect, air.at, air.shown_after);
        }
        let living = self.living().into_iter().filter(|real| !real.is_twin).count();
        assert!(living <= 1, "P2: {living} servers live for one order: {:?}", self.servers);
    }

    /// Does something later.
    pub(super) fn later(&mut self, at: Timestamp, account: &AccountId, effect: &Effect, shown_after: Duration) {
        self.air.push(Air { at, account: account.clone(), effect: effect.clone(), shown_after });
    }

    fn named(&self, account: &AccountId) -> Option<&Real> {
        // A name is unique in an account, and taken from the first moment on.
        self.servers.iter().find(|real| !real.gone && !real.is_twin && &real.account == account)
    }

    /// Puts a server of somebody else there, under our name.
    pub(super) fn foreign(&mut self, account: &AccountId, now: Timestamp) {
        if self.named(account).is_none() {
            self.made += 1;
            self.servers.push(Real::new(account, id(&format!("foreign-{}", self.made)), false, now));
        }
    }

    /// Puts a second server with our labels there.
    pub(super) fn twin(&mut self, account: &AccountId, now: Timestamp, is_protected: bool) {
        self.made += 1;
        let twin = Real::new(account, id(&format!("twin-{}", self.made)), true, now);
        self.servers.push(Real { is_twin: true, is_protected, ..twin });
    }

    /// Does what is asked, and answers.
    pub(super) fn apply(&mut self, account: &AccountId, effect: &Effect, at: Timestamp, shown_after: Duration) -> Told {
        match effect {
            Effect::Create { .. } => {
                if self.named(account).is_some() {
                    return Told::Taken;
                }
                self.made += 1;
                let id = id(&format!("real-{}", self.made));
                self.servers.push(Real::new(account, id.clone(), true, at.plus(shown_after)));
                Told::Created(id)
            }
            Effect::Delete { id } => {
                let found = self
                    .servers
                    .iter_mut()
                    .find(|real| !real.gone && &real.account == account && &real.id == id && real.shown_from <= at);
                match found {
                    None => Told::AlreadyGone,
                    Some(real) if real.is_protected => Told::Protected,
                    Some(real) => {
                        assert!(real.is_ours, "P5: a server of somebody else was deleted: {real:?}");
                        real.gone = true;
                        Told::Accepted
                    }
                }
            }
        }
    }

    /// Answers a look truly.
    pub(super) fn show(&mut self, look: &Look, server: &Server, now: Timestamp, is_ready: Ready) -> Answer {
        let shown = |real: &&Real| !real.gone && real.shown_from <= now && &real.account == look.account();
        match look {
            Look::Name { .. } => {
                let named = self.servers.iter().filter(shown).find(|real| !real.is_twin);
                let was_named = |real: &&Real| real.is_ours && !real.is_twin && &real.account == look.account();
                let gone = self.servers.iter().filter(was_named).rfind(|real| real.gone);
                let late = gone.filter(|_| named.is_none() && self.lags > 0);
                self.lags -= u32::from(late.is_some());
                let named = named.or(late);
                let twins = self.servers.iter().filter(shown).filter(|real| real.is_twin);
                let labelled = twins.filter(|_| named.is_none_or(|real| !real.is_ours));
                Answer::Name(NameFinding {
                    labelled: labelled.map(|real| view(real, server, is_ready)).collect(),
                    named: named.map(|real| view(real, server, is_ready)),
                })
            }
            Look::Id { id, .. } => {
                let lingering = self.servers.iter().find(|real| real.gone && &real.id == id && self.lingers > 0);
                if let Some(real) = lingering {
                    self.lingers -= 1;
                    let seen = view(real, server, Ready::No);
                    return Answer::Server(Some(ServerView { status: ServerStatus::Deleting, ..seen }));
                }
                let seen = self.servers.iter().filter(shown).find(|real| &real.id == id);
                Answer::Server(seen.map(|real| view(real, server, is_ready)))
            }
            Look::Actions { ids, .. } => {
                let status = match is_ready {
                    Ready::Yes => ActionStatus::Succeeded,
                    Ready::No => ActionStatus::Running,
                    Ready::Never => ActionStatus::Failed { code: "code".to_owned() },
                };
                Answer::Actions(ids.iter().map(|id| ActionView { id: id.clone(), status: status.clone() }).collect())
            }
        }
    }
}

/// Says how far the work on a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    Yes,
    No,
    Never,
}

/// Is what became of an effect.
#[derive(Debug, Clone)]
pub(super) enum Told {
    Created(ProviderServerId),
    Taken,
    Accepted,
    AlreadyGone,
    Protected,
}

impl Told {
    pub(super) fn answer(self, account: &AccountId, server: &Server) -> Answer {
        match self {
            Self::Created(id) => {
                let action = ProviderActionId::new(format!("action-{id}")).unwrap();
                Answer::Created(created(account, id, server, vec![action]))
            }
            Self::Taken => failed(ProviderErrorKind::AlreadyExists, None),
            Self::Accepted => Answer::Deleted(Deletion::Accepted),
            Self::AlreadyGone => Answer::Deleted(Deletion::AlreadyGone),
            Self::Protected => failed(ProviderErrorKind::Protected, None),
        }
    }
}

pub(super) fn created(
    account: &AccountId,
    id: ProviderServerId,
    server: &Server,
    actions: Vec<ProviderActionId>,
) -> Created {
    let server = view(&Real::new(account, id, true, NOW), server, Ready::No);
    Created { server, actions, correlation_id: None }
}

pub(super) fn view(real: &Real, server: &Server, is_ready: Ready) -> ServerView {
    let labels =
        if real.is_ours { crate::provisioning::accept::provider_labels(server, installation()) } else { Labels::new() };
    ServerView {
        id: real.id.clone(),
        name: if real.is_twin { "another".to_owned() } else { server.provider_name.to_string() },
        status: if is_ready == Ready::Yes { ServerStatus::Running } else { ServerStatus::Starting },
        labels,
        addresses: crate::model::Addresses::default(),
        server_type: "a".to_owned(),
        location: "l".to_owned(),
        is_listed: false,
    }
}
