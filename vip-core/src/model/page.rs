//! Keyset pages: a cursor is the last key that was seen, a limit is bounded.

use uuid::Uuid;

use super::NameError;
use super::limits;

/// Bounds a page: 1 to 200 items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit(u32);

impl PageLimit {
    /// Checks and wraps a limit.
    ///
    /// # Errors
    ///
    /// [`NameError`] unless it is from 1 to 200.
    pub fn new(items: u32) -> Result<Self, NameError> {
        if (1..=limits::PAGE).contains(&items) {
            Ok(Self(items))
        } else {
            Err(NameError::new(format!("must be from 1 to {}, is {items}", limits::PAGE)))
        }
    }

    /// Returns the largest page.
    #[must_use]
    pub const fn most() -> Self {
        Self(limits::PAGE)
    }

    /// Returns the number of items.
    #[must_use]
    pub const fn items(self) -> u32 {
        self.0
    }
}

/// Asks for the items after a key, in ascending order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageRequest {
    /// The last id of the page before; none asks for the first page.
    pub after: Option<Uuid>,
    /// How many items at the most.
    pub limit: PageLimit,
}

impl PageRequest {
    /// Asks for the first page.
    #[must_use]
    pub const fn first(limit: PageLimit) -> Self {
        Self { after: None, limit }
    }

    /// Asks for the page after `key`.
    #[must_use]
    pub const fn after(key: Uuid, limit: PageLimit) -> Self {
        Self { after: Some(key), limit }
    }
}

/// Holds some items and the key to ask for the next ones.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items, in ascending order of their ids.
    pub items: Vec<T>,
    /// The last id if there may be more, also that of an item that was left out; none if this was the last page.
    pub next: Option<Uuid>,
    /// How many items were left out because they cannot be read, as far as that was counted; the log names each.
    pub unreadable: u64,
}

impl<T> Page<T> {
    /// Makes a page of items and the key of the last one.
    #[must_use]
    pub const fn new(items: Vec<T>, next: Option<Uuid>) -> Self {
        Self { items, next, unreadable: 0 }
    }

    /// Returns this page, and how many items were left out of it.
    #[must_use]
    pub fn with_unreadable(self, unreadable: u64) -> Self {
        Self { unreadable, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_from_one_to_two_hundred() {
        assert!(PageLimit::new(0).is_err() && PageLimit::new(1).is_ok());
        assert!(PageLimit::new(200).is_ok() && PageLimit::new(201).is_err());
    }
}
