//! A log on a disk that is full, for tests.

use std::sync::LazyLock;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, NoSubscriber, set_default};
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// Of a single subscriber, tracing believes that it hears every thread: a line that comes first on a thread without one is
/// then not heard on any. So there are two.
pub(super) static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));

/// Lets every line of this thread panic, until the guard is dropped.
pub(crate) fn unwritable() -> DefaultGuard {
    let _another = &*ANOTHER;
    set_default(Unwritable)
}

struct Unwritable;

impl Subscriber for Unwritable {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        panic!("no space left on device");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
