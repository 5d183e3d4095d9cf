//! Verbs: accept turns a command into a wish, converge fulfils it, sweep finds what went astray. The product lives here.

pub mod accept;
mod context;
pub mod converge;
mod evidence;
mod gate;
pub mod kinds;
pub mod sweep;
mod verify;

#[cfg(test)]
mod tests;

pub use context::Context;
pub use gate::{ConfirmError, TokenCheck, check_token, close_gate, confirm_token};
pub(crate) use gate::{is_blocked, is_closed};
pub use verify::{AuditFault, AuditReport, verify_audit};
