//! The state machine as a client sees it.
