//! The skin in the same process: carries requests of the adapter to the simulator on tokio's clock.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};

use super::{Outcome, Simulator};
use crate::hetzner::transport::{Transport, TransportError};

/// A transport that asks a simulator; works under tokio's paused clock.
#[derive(Debug, Clone)]
pub(crate) struct InProcess {
    simulator: Simulator,
}

impl Simulator {
    /// Makes a transport for the adapter. All transports of one simulator share its time.
    pub(crate) fn transport(&self) -> InProcess {
        self.start_clock();
        InProcess { simulator: self.clone() }
    }
}

#[async_trait]
impl Transport for InProcess {
    /// The effect of the request happens at the first poll: dropping the future later does not undo it.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let reply = self.simulator.handle(self.simulator.clock_now(), request);
        if !reply.after.is_zero() {
            tokio::time::sleep(reply.after).await;
        }
        match reply.outcome {
            Outcome::Respond(response) => Ok(response),
            Outcome::Cut => Err(TransportError::Lost("the simulator cut the connection".into())),
        }
    }
}
