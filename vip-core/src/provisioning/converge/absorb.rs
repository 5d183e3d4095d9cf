//! The second of converge's two pure functions: what an answer changes (`docs/protocol.md` §4).

use super::step::{Change, Failure, Look, LookFor, View};
use super::{confirm, create, looks, moves, removal};
use crate::model::{Effect, Intent, Timestamp, Verb};
use crate::ports::{ActionView, Created, Deletion, ServerView};

pub use super::looks::NameFinding;

/// Is what the provider was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// To do what this intent announced.
    Effect(Intent),
    /// To show something; with the time at which the look began, by the store's clock.
    Look {
        /// What.
        look: Look,
        /// Since when.
        started: Timestamp,
    },
}

/// Is what the provider answered, or that it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To a create.
    Created(Created),
    /// To a delete.
    Deleted(Deletion),
    /// To a look by name.
    Name(NameFinding),
    /// To a look by id.
    Server(Option<ServerView>),
    /// To a look at actions.
    Actions(Vec<ActionView>),
    /// Nothing that settles the question.
    Failed(Failure),
}

/// Says what an answer changes; closes the intent if the question was one.
pub fn absorb(view: &View<'_>, asked: &Asked, answer: &Answer) -> Change {
    let unanswered = Failure::unanswered();
    let change = match asked {
        Asked::Effect(intent) => match (&intent.effect, answer) {
            (Effect::Create { .. }, Answer::Created(created)) => create::absorb_create(view, intent, Ok(created)),
            (Effect::Delete { .. }, Answer::Deleted(deletion)) => removal::absorb_delete(view, intent, Ok(*deletion)),
            (Effect::Create { .. }, Answer::Failed(failure)) => create::absorb_create(view, intent, Err(failure)),
            (Effect::Delete { .. }, Answer::Failed(failure)) => removal::absorb_delete(view, intent, Err(failure)),
            // An answer to another question settles nothing.
            (Effect::Create { .. }, _) => create::absorb_create(view, intent, Err(&unanswered)),
            (Effect::Delete { .. }, _) => removal::absorb_delete(view, intent, Err(&unanswered)),
        },
        Asked::Look { look, started } => match (look, answer) {
            (Look::Name { account }, Answer::Name(found)) => looks::absorb_name(view, account, *started, found),
            (Look::Id { account, id, why }, Answer::Server(seen)) => match why {
                LookFor::Confirm | LookFor::Timeout => confirm::absorb_confirm_look(view, seen.as_ref()),
                LookFor::Removal => removal::absorb_removal_look(view, seen.as_ref()),
                LookFor::Missing => looks::absorb_missing_look(view, account, seen.as_ref()),
                LookFor::Surplus | LookFor::Resurfaced => looks::absorb_sighting_look(view, account, id, seen.as_ref()),
            },
            (Look::Actions { .. }, Answer::Actions(seen)) => confirm::absorb_actions(view, seen),
            (_, Answer::Failed(failure)) => looks::absorb_failed_look(view, look, failure),
            (Look::Name { .. } | Look::Id { .. } | Look::Actions { .. }, _) => {
                looks::absorb_failed_look(view, look, &unanswered)
            }
        },
    };
    moves::resumed(view, change)
}

/// Closes an intent that nobody will answer any more.
pub(super) fn absorb_unanswered(view: &View<'_>, intent: &Intent) -> Change {
    absorb(view, &Asked::Effect(intent.clone()), &Answer::Failed(Failure::unanswered()))
}

/// Writes an effect down before it is called.
pub fn announce(view: &View<'_>, intent: Intent) -> Change {
    let mut server = view.server.clone();
    match &intent.effect {
        Effect::Create { .. } => {
            server.account = Some(intent.account.clone());
            if server.state == crate::model::ServerState::Requested {
                server.state = crate::model::ServerState::Creating;
            }
        }
        Effect::Delete { id } => removal::announce_delete(&mut server, &intent.account, id, view.now),
    }
    server.attempt = intent.attempt;
    let effect = intent.effect.as_str();
    server.intent = Some(intent);
    let mut change = Change::new(server, Verb::Announce);
    change.effect = Some(effect);
    change
}
