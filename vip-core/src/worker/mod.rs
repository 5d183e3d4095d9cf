//! Runs jobs: claims them, makes one attempt under one lease, settles. Knows no job kind.

mod attempt;
mod handler;

pub use attempt::{Attempt, LeaseLost};
pub use handler::{HandlerError, JobHandler, JobOutcome};
