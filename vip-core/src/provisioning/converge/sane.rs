//! Answers that can be read and make no sense are no answers: nothing is decided by what was not asked for.

use crate::model::{InstallationId, ProviderActionId, ProviderName, ProviderServerId, ServerId};
use crate::ports::{ActionView, CreateRequest, Created, ProviderError, ProviderErrorKind, ServerView};

/// Takes the answer of a create, unless it shows another server than the one that was ordered.
pub(super) fn created(request: &CreateRequest, created: Created) -> Result<Created, ProviderError> {
    if created.server.name == request.name.as_str() { Ok(created) } else { Err(nonsense()) }
}

/// Takes the answer of a look by name, unless it shows a server with another name.
pub(super) fn named(name: &ProviderName, seen: Option<ServerView>) -> Result<Option<ServerView>, ProviderError> {
    only(seen, |seen| seen.name == name.as_str())
}

/// Takes the answer of a look by id, unless it shows a server with another id.
pub(super) fn with_id(id: &ProviderServerId, seen: Option<ServerView>) -> Result<Option<ServerView>, ProviderError> {
    only(seen, |seen| &seen.id == id)
}

/// Leaves out servers without the labels that were asked for; a list of such servers alone is no answer: it proves no
/// absence.
pub(super) fn labelled(
    owner: InstallationId,
    server: ServerId,
    mut seen: Vec<ServerView>,
) -> Result<Vec<ServerView>, ProviderError> {
    let is_empty = seen.is_empty();
    seen.retain(|seen| seen.is_ours(owner, server));
    if seen.is_empty() && !is_empty { Err(nonsense()) } else { Ok(seen) }
}

/// Leaves out actions that were not asked for.
pub(super) fn asked_for(ids: &[ProviderActionId], mut seen: Vec<ActionView>) -> Vec<ActionView> {
    seen.retain(|action| ids.contains(&action.id));
    seen
}

fn only(seen: Option<ServerView>, is_meant: impl Fn(&ServerView) -> bool) -> Result<Option<ServerView>, ProviderError> {
    match seen {
        Some(seen) if !is_meant(&seen) => Err(nonsense()),
        seen => Ok(seen),
    }
}

fn nonsense() -> ProviderError {
    ProviderError::new(ProviderErrorKind::Unknown, "another_server")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addresses, DisplayName, Labels, OWNER_LABEL, SERVER_LABEL};
    use crate::ports::{ActionStatus, ServerStatus};

    fn owner(number: u128) -> InstallationId {
        InstallationId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn server() -> ServerId {
        ServerId::from_uuid(uuid::Uuid::from_u128(2))
    }

    fn view(id: &str, name: &str, owner: InstallationId) -> ServerView {
        let labels = [(OWNER_LABEL, owner.to_string()), (SERVER_LABEL, server().to_string())];
        ServerView {
            id: ProviderServerId::new(id).unwrap(),
            name: name.to_owned(),
            status: ServerStatus::Running,
            labels: labels.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<Labels>(),
            addresses: Addresses::default(),
            server_type: "small".to_owned(),
            location: "here".to_owned(),
            is_listed: false,
        }
    }

    #[test]
    fn a_server_that_nobody_asked_for_is_no_answer() {
        let name = ProviderName::derive(&DisplayName::new("web").unwrap(), &server());
        let (right, wrong) = (view("1", name.as_str(), owner(1)), view("1", "another", owner(1)));
        assert_eq!(named(&name, Some(right.clone())).unwrap(), Some(right.clone()));
        assert_eq!(named(&name, Some(wrong)).unwrap_err().kind, ProviderErrorKind::Unknown);
        assert_eq!(named(&name, None).unwrap(), None);
        assert_eq!(with_id(&right.id, Some(right.clone())).unwrap(), Some(right.clone()));
        let other = ProviderServerId::new("2").unwrap();
        assert_eq!(with_id(&other, Some(right)).unwrap_err().kind, ProviderErrorKind::Unknown);
    }

    #[test]
    fn a_list_of_nothing_but_servers_of_others_does_not_say_that_there_is_none_of_ours() {
        assert_eq!(labelled(owner(1), server(), Vec::new()).unwrap(), Vec::new());
        let others = labelled(owner(1), server(), vec![view("2", "web", owner(9))]);
        assert_eq!(others.unwrap_err().kind, ProviderErrorKind::Unknown);
    }

    #[test]
    fn what_was_not_asked_for_is_left_out_of_a_list() {
        let seen = vec![view("1", "web", owner(1)), view("2", "web", owner(9))];
        let ids: Vec<_> = labelled(owner(1), server(), seen).unwrap().into_iter().map(|seen| seen.id).collect();
        assert_eq!(ids, [ProviderServerId::new("1").unwrap()]);
        let action = |id: &str| ActionView { id: ProviderActionId::new(id).unwrap(), status: ActionStatus::Succeeded };
        assert_eq!(asked_for(&[action("a").id], vec![action("a"), action("b")]), vec![action("a")]);
    }
}
