//! What a cloud refuses, and how: by an outage, or the next call about a certain server.

use std::collections::BTreeMap;

use vip_core::ports::{ProviderError, ProviderErrorKind};

use crate::method::Method;

/// Is what a cloud will refuse.
#[derive(Debug, Default)]
pub struct Refusals {
    all: Option<ProviderErrorKind>,
    always: BTreeMap<Method, Vec<(String, ProviderErrorKind)>>,
    next: BTreeMap<Method, Vec<(String, ProviderErrorKind)>>,
}

impl Refusals {
    /// Refuses everything in this way, or nothing.
    pub const fn all(&mut self, kind: Option<ProviderErrorKind>) {
        self.all = kind;
    }

    /// Refuses all calls of a method that are about a server whose name begins so.
    pub fn always(&mut self, method: Method, name: &str, kind: ProviderErrorKind) {
        self.always.entry(method).or_default().push((name.to_owned(), kind));
    }

    /// Refuses one more call of a method that is about a server whose name begins so.
    pub fn next(&mut self, method: Method, name: &str, kind: ProviderErrorKind) {
        self.next.entry(method).or_default().push((name.to_owned(), kind));
    }

    /// Uses up a refusal that fits; those for good are never used up.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn take(&mut self, method: Method, name: &str) -> Result<(), ProviderError> {
        if let Some(kind) = self.all {
            return Err(ProviderError::new(kind, "outage"));
        }
        let is_about = |(wanted, _): &&(String, ProviderErrorKind)| name.starts_with(wanted.as_str());
        if let Some((_, kind)) = self.always.get(&method).and_then(|refused| refused.iter().find(is_about)) {
            return Err(ProviderError::new(*kind, "refused"));
        }
        let Some(queued) = self.next.get_mut(&method) else { return Ok(()) };
        let Some(place) = queued.iter().position(|(wanted, _)| name.starts_with(wanted.as_str())) else {
            return Ok(());
        };
        let (_, kind) = queued.remove(place);
        Err(ProviderError::new(kind, "refused"))
    }
}

/// Says whether there was stock for a create when it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stock {
    /// There was.
    Left,
    /// There was none.
    None,
}

/// Says what somebody else does to a new server at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tamper {
    /// It gets another name.
    Rename,
    /// It gets the label of another order.
    Relabel,
    /// It is removed.
    Remove,
}

/// Says whether the list is asked for without the owner: only a seeded bug does so.
#[cfg(vip_seeded_bugs)]
pub(crate) fn lists_all() -> bool {
    vip_core::seeded_bugs::is_on(vip_core::seeded_bugs::SeededBug::SweepWithoutOwner)
}

#[cfg(not(vip_seeded_bugs))]
pub(crate) const fn lists_all() -> bool {
    false
}
