//! What may be said about a caught panic.

use std::any::Any;

/// Returns the message of a panic if it is a literal.
///
/// A formatted message may hold what a log must not (the value in a failed `unwrap`), so it is withheld here; the
/// process's panic hook has shown it already, to whom the host lets it.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("a message with values, see the panic hook's output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_shown_and_a_formatted_message_is_not() {
        let secret = "s3cret";
        let literal = std::panic::catch_unwind(|| panic!("a literal")).unwrap_err();
        let formatted = std::panic::catch_unwind(|| panic!("with {}", std::hint::black_box(secret))).unwrap_err();
        assert_eq!(panic_message(&*literal), "a literal");
        assert!(!panic_message(&*formatted).contains(secret));
    }
}
