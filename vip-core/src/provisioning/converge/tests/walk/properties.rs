//! What holds for every sequence of outcomes.

use proptest::prelude::*;

use super::fates::events;
use super::rules::MOST_AT_ONCE;
use super::*;

/// Steps in which nothing else happens: more than there may be in one moment, so that a circle is seen here.
const STILL: u32 = MOST_AT_ONCE + 10;

/// Walks through all that happens, and then to the end.
fn walk(two_accounts: bool, events: &[Event]) {
    let mut walk = Walk::new(two_accounts);
    for event in events {
        walk.go(event);
    }
    // With all as it is: what cannot be had now is waited for, and not asked for again and again.
    for _ in 0..STILL {
        walk.go(&Event::fine());
    }
    walk.recovers();
}

proptest! {
    /// The provider tells the truth, if it answers: one server at most, none of somebody else's is touched, and the order
    /// ends where its wish and the provider say.
    #[test]
    fn any_sequence_of_outcomes_ends_in_one_server_or_none(two in any::<bool>(), events in events(false)) {
        walk(two, &events);
    }

    /// The provider may answer anything: what is decided is still in order, and an end is reached.
    #[test]
    fn any_sequence_of_answers_true_or_not_breaks_no_rule(two in any::<bool>(), events in events(true)) {
        walk(two, &events);
    }
}
