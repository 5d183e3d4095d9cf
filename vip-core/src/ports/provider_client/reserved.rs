//! What a client set aside for an effect before it is announced: opaque to everybody but the client that did it.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Holds what is set aside until the effect is sent; given back when the last copy is dropped.
#[derive(Clone)]
pub struct Reserved(Arc<Mutex<Option<Box<dyn Any + Send>>>>);

impl Reserved {
    /// Holds a value; its `Drop` gives back what it stands for.
    #[must_use]
    pub fn new<T: Any + Send>(value: T) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(value)))))
    }

    /// Takes the value out if it is of this type and fits; a second taker finds none.
    #[must_use]
    pub fn take<T: Any>(&self, fits: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref()?.downcast_ref::<T>().filter(|value| fits(value))?;
        held.take()?.downcast::<T>().ok().map(|value| *value)
    }
}

impl PartialEq for Reserved {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Reserved {}

impl fmt::Debug for Reserved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reserved")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_taken_once_and_only_by_whom_it_fits() {
        let reserved = Reserved::new(7_u32);
        assert_eq!(reserved.take::<u64>(|_| true), None);
        assert_eq!(reserved.take::<u32>(|value| *value == 8), None);
        assert_eq!(reserved.clone().take::<u32>(|value| *value == 7), Some(7));
        assert_eq!(reserved.take::<u32>(|_| true), None);
    }

    #[test]
    fn it_is_equal_to_its_copies_alone_and_shows_nothing_of_what_it_holds() {
        let (one, other) = (Reserved::new("held"), Reserved::new("held"));
        assert_eq!(one, one.clone());
        assert_ne!(one, other);
        assert_eq!(format!("{one:?}"), "Reserved");
    }
}
