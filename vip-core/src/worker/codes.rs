//! Why an attempt failed, where the handler could not say it.

/// The handler panicked.
pub const PANIC: &str = "panic";
/// The attempt reached its deadline.
pub const TIMED_OUT: &str = "timed_out";
/// The payload is not what the handler of its kind reads.
pub const UNDECODABLE: &str = "undecodable";
