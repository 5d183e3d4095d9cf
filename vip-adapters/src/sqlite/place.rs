//! Whether the open file still stands where it was opened: what is written to one that does not is lost with the process.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Is where the database and its write-ahead log stood when they were opened.
///
/// SQLite itself does not look: a file that somebody has removed or replaced is written to as before, and every commit
/// succeeds until the process ends.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    log: PathBuf,
    identity: Identity,
    /// Whether the log was found gone once: SQLite makes another one, behind a hole, and nothing that follows can be read back.
    /// Or another file was found in its place: to open that beside the log of this one destroys both.
    is_lost: AtomicBool,
}

/// Tells files apart that stood at one path one after the other.
#[cfg(unix)]
type Identity = (u64, u64);
/// Here only that there is one is known.
#[cfg(not(unix))]
type Identity = ();

#[cfg(unix)]
fn identity_of(path: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    // Two calls of the system that are answered from memory: some microseconds beside a commit's way to the disk.
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity_of(path: &Path) -> io::Result<Identity> {
    std::fs::metadata(path).map(drop)
}

impl Place {
    /// Remembers where a file stands that is open.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        // As SQLite does: the log stands beside the file that links lead to.
        let path = path.canonicalize()?;
        let mut log = OsString::from(&path);
        log.push("-wal");
        let identity = identity_of(&path)?;
        Ok(Self { path, log: log.into(), identity, is_lost: AtomicBool::new(false) })
    }

    /// Returns where the file is, whatever links led to it when it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Says whether the file is still found there; one that cannot be looked at is not.
    pub(super) fn is_kept(&self) -> bool {
        let found = identity_of(&self.path);
        if found.as_ref().is_ok_and(|found| *found != self.identity) {
            self.is_lost.store(true, Ordering::SeqCst);
        }
        found.is_ok() && !self.is_lost.load(Ordering::SeqCst)
    }

    /// Returns how many bytes the log has, if file and log are still found there. The log is there from the first write on,
    /// until the last connection has ended; once it was gone, only a new process knows what is left.
    pub(super) fn log_of_kept(&self) -> Option<u64> {
        let log = std::fs::metadata(&self.log);
        if log.is_err() {
            self.is_lost.store(true, Ordering::SeqCst);
        }
        log.ok().filter(|_| self.is_kept()).map(|found| found.len())
    }
}
