//! What the log is told of a commit: that an order fails or is parked, once for each time that it comes to that.

use crate::model::{Server, ServerState};
use crate::ports::ChangeSet;
use crate::telemetry;

/// Tells the log that a commit, which is known to be written, lets an order fail or parks it.
///
/// The steps of an order that is failing or parked are in the audit: they are not told again, nor is one that has failed and is opened
/// again.
pub(super) fn tell(before: &Server, written: &ChangeSet) {
    let (after, audit) = (&written.server, &written.audit);
    let (what, reason) = if let (None, Some(reason)) = (before.fail_reason, after.fail_reason) {
        ("an order fails", reason.as_str())
    } else if let (ServerState::Parked, Some(reason)) = (after.state, after.park_reason)
        && (before.state, before.park_reason) != (after.state, after.park_reason)
    {
        ("an order is parked", reason.as_str())
    } else {
        return;
    };
    telemetry::tell(|| {
        tracing::warn!(
            { telemetry::SERVER_ID } = %after.id,
            { telemetry::TENANT } = %after.tenant,
            { telemetry::REASON } = reason,
            { telemetry::CODE } = audit.code.as_deref(),
            { telemetry::PROVIDER_CORRELATION_ID } = audit.correlation_id.as_deref(),
            { telemetry::REQUEST_ID } = audit.request_id.as_ref().map(|id| id.as_str()),
            "{what}"
        );
    });
}
