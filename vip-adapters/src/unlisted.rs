//! What becomes of a stored item that cannot be read when it is to be listed: it is told and counted, and hides no other.

use std::fmt::Debug;

use uuid::Uuid;
use vip_core::model::Page;
use vip_core::telemetry;

/// Makes a page of the items with these ids, as far as they can be read.
pub(crate) fn page<T, F>(
    ids: &[Uuid],
    next: Option<Uuid>,
    read: impl Iterator<Item = Result<T, F>>,
    tell: impl Fn(Uuid, &F),
) -> Page<T> {
    let readable = |(id, item): (&Uuid, Result<T, F>)| item.map_err(|failure| tell(*id, &failure)).ok();
    let items: Vec<T> = ids.iter().zip(read).filter_map(readable).collect();
    let unreadable = ids.len().saturating_sub(items.len());
    Page::new(items, next).with_unreadable(u64::try_from(unreadable).unwrap_or(u64::MAX))
}

/// Says which server a list leaves out; what its record holds is not shown.
pub(crate) fn server(id: Uuid, failure: &impl Debug) {
    telemetry::tell(|| {
        tracing::error!(server.id = %id, error = ?failure, "a stored server cannot be read and is left out of a list");
    });
}

/// Says which operation a list leaves out.
pub(crate) fn operation(id: Uuid, failure: &impl Debug) {
    telemetry::tell(|| {
        tracing::error!(operation.id = %id, error = ?failure, "a stored operation cannot be read and is left out of a list");
    });
}
