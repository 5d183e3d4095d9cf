//! The private seam between the adapter and whatever carries its requests.

use std::error::Error;

use async_trait::async_trait;
use bytes::Bytes;

/// Carries one request to the API and brings back its answer.
#[async_trait]
pub(crate) trait Transport: std::fmt::Debug + Send + Sync + 'static {
    /// Sends `request` once; never repeats it by itself.
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError>;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// The request was not sent: it cannot have had an effect.
    #[error("the request was not sent")]
    NotSent(#[source] Box<dyn Error + Send + Sync>),
    /// The request was not sent: this process, or its machine, has no file descriptor left for a connection.
    #[error("no file descriptor was left for a connection")]
    NoDescriptor(#[source] Box<dyn Error + Send + Sync>),
    /// The request was sent and its answer did not arrive: it may have had an effect.
    #[error("the answer was lost")]
    Lost(#[source] Box<dyn Error + Send + Sync>),
    /// The request was sent and its answer has more bytes than are read: it may have had an effect.
    #[error("the answer has more than {limit_bytes} bytes")]
    TooLarge {
        /// The most bytes that are read.
        limit_bytes: usize,
    },
}
