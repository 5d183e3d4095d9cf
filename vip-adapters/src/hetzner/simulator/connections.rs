//! Counts the open connections of the HTTP skin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many connections are open; a cheap handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections {
    open: Arc<AtomicUsize>,
}

/// One open connection. It is counted until it is dropped, or as long as it has asked only the control interface.
#[derive(Debug)]
pub(super) struct Connection {
    open: Arc<AtomicUsize>,
    counted: AtomicBool,
    has_used_api: AtomicBool,
}

impl Connections {
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Counts a new connection.
    pub(super) fn enter(&self) -> Connection {
        self.open.fetch_add(1, Ordering::SeqCst);
        Connection {
            open: Arc::clone(&self.open),
            counted: AtomicBool::new(true),
            has_used_api: AtomicBool::new(false),
        }
    }
}

impl Connection {
    /// Notes a request to the API: the connection is a client's.
    pub(super) fn uses_api(&self) {
        self.has_used_api.store(true, Ordering::SeqCst);
        if !self.counted.swap(true, Ordering::SeqCst) {
            self.open.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Notes a request to the control interface: a connection that does nothing else is the observer's own.
    pub(super) fn uses_control(&self) {
        if !self.has_used_api.load(Ordering::SeqCst) && self.counted.swap(false, Ordering::SeqCst) {
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.counted.load(Ordering::SeqCst) {
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
