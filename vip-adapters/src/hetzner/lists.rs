//! Reads lists of servers. One that cannot be read is set apart where it says nothing about the others; where it may be the one that is
//! looked for, there is no answer. Pure.

use vip_core::model::{InstallationId, OWNER_LABEL, ProviderName, SERVER_LABEL, ServerId};
use vip_core::ports::{InventoryPage, ServerView};

use super::error::BodyError;
use super::mapping::{Part, next_page, server_view, with_name};
use super::wire;

/// Most servers of an owner that are set apart on a page. They are missing for whoever counts, and of a page of 50 these are a tenth:
/// far below the share from which the account is taken for another one. More of them say that the API has changed.
pub(crate) const APART_MOST: usize = 5;

/// Is one page of servers, read as far as it can be.
#[derive(Debug)]
pub(crate) struct ServerPage {
    pub(crate) views: Vec<ServerView>,
    pub(crate) odd: Vec<wire::Odd>,
    pub(crate) next: Option<u32>,
}

/// Is a page of an owner's servers, and what is left out of it because it cannot be read.
#[derive(Debug)]
pub(crate) struct Inventory {
    pub(crate) page: InventoryPage,
    pub(crate) apart: Vec<wire::Id>,
}

/// Turns a page that was asked for by its number.
pub(crate) fn servers(body: wire::Servers, page: u32) -> Result<ServerPage, BodyError> {
    let next = next_page(&body.meta, page)?;
    // Nothing on it and more behind it proves no absence, and such pages may follow each other for ever.
    if next.is_some() && body.servers.is_empty() {
        return Err(BodyError::Other { what: "page" });
    }
    let (mut views, mut odd) = (Vec::with_capacity(body.servers.len()), Vec::new());
    for shown in body.servers {
        match shown {
            wire::Shown::Whole(server) => views.push(server_view(server)?),
            wire::Shown::Odd(it) => odd.push(it),
        }
    }
    Ok(ServerPage { views, odd, next })
}

/// Returns the server of a list that was filtered by name. A list with other servers was not filtered, so that it
/// proves nothing about this name; nor does one with a server that cannot be read, whatever its name is.
///
/// A name is unique, but for a mistake of the API. Of several servers with it the first is returned: who removes it looks again and finds
/// the next, who adopts it leaves the others to the sweep, and who finds that it is not ours looks by labels.
pub(crate) fn named(body: wire::Servers, name: &ProviderName) -> Result<Option<ServerView>, BodyError> {
    let page = servers(body, 0)?;
    if let Some(odd) = page.odd.into_iter().next() {
        return Err(odd.why);
    }
    let views: Vec<ServerView> = page.views.into_iter().map(|view| with_name(view, name)).collect::<Result<_, _>>()?;
    Ok(views.into_iter().next())
}

/// Keeps the servers that carry both labels now. One that cannot be read is none of them only if its labels say so.
pub(crate) fn labelled(
    body: wire::Servers,
    page: u32,
    owner: InstallationId,
    server: ServerId,
) -> Result<Part<ServerView>, BodyError> {
    let ServerPage { views, odd, next } = servers(body, page)?;
    let (owner_label, server_label) = (owner.to_string(), server.to_string());
    let may_be_it = |odd: &wire::Odd| !odd.lacks(OWNER_LABEL, &owner_label) && !odd.lacks(SERVER_LABEL, &server_label);
    if let Some(odd) = odd.into_iter().find(may_be_it) {
        return Err(odd.why);
    }
    let items = views.into_iter().filter(|view| view.is_ours(owner, server)).collect();
    Ok(Part { items, next })
}

/// Keeps the servers that carry the label now: a list is not a snapshot, and a label can have gone meanwhile.
///
/// One that cannot be read is left out if its id is known: whoever waits for that id asks for it alone, and whoever misses it looks by
/// it before anything follows. One without a readable id may be anyone's, and then there is no answer.
pub(crate) fn inventory(body: wire::Servers, page: u32, owner: InstallationId) -> Result<Inventory, BodyError> {
    let ServerPage { views: mut servers, mut odd, next } = self::servers(body, page)?;
    let owner = owner.to_string();
    servers.retain(|view| view.labels.get(OWNER_LABEL).is_some_and(|label| *label == owner));
    servers.sort_by_key(|view| wire::Id::parse(view.id.as_str()));
    odd.retain(|odd| !odd.lacks(OWNER_LABEL, &owner));
    let apart: Vec<wire::Id> = odd.iter().filter_map(|odd| odd.id).collect();
    // A list that begins with nothing that can be read shows nothing of the account, which would be taken for an empty one.
    let shows_something = page > 1 || !servers.is_empty();
    let may_be_left_out = apart.len() == odd.len() && apart.len() <= APART_MOST && shows_something;
    match odd.pop() {
        Some(odd) if !may_be_left_out => Err(odd.why),
        Some(_) | None => Ok(Inventory { page: InventoryPage { servers, next }, apart }),
    }
}
