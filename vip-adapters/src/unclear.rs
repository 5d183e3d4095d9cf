//! What a record counts as in a sweep whose state or wish this program cannot read: its server is there, and nobody touches it.

use std::fmt::Debug;

use vip_core::model::{Desired, ServerId, ServerState};
use vip_core::telemetry;

/// Says where a record stands and what is wished for it.
///
/// If one of them cannot be read, because it is damaged or of a later version, the record is not left out: its server would then be
/// nobody's, and be removed once somebody changes its labels, and a token of another project would have nothing to show. Parked and
/// wanted it holds its server, which is neither missing, surplus nor resurfaced.
pub(crate) fn standing<F: Debug>(
    server: ServerId,
    state: Result<ServerState, F>,
    desired: Result<Desired, F>,
) -> (ServerState, Desired) {
    match (state, desired) {
        (Ok(state), Ok(desired)) => (state, desired),
        (Err(failure), _) | (Ok(_), Err(failure)) => {
            telemetry::tell(|| {
                tracing::error!(
                    server.id = %server,
                    error = ?failure,
                    "the state of a stored server cannot be read: a sweep leaves it alone"
                );
            });
            (ServerState::Parked, Desired::Present)
        }
    }
}
