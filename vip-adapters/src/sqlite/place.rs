//! Whether the open file and what stands beside it are still where they were opened: what is written to others is lost with the process.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::Obstacle;

/// Is where the database stood when it was opened, and beside it the write-ahead log and the locks of those who use that.
///
/// SQLite itself does not look: a file that somebody has removed or replaced is written to as before, and every commit
/// succeeds until the process ends. With other locks another process writes to the same log at the same time.
#[derive(Debug)]
pub(super) struct Place {
    file: Spot,
    log: Spot,
    locks: Spot,
    /// Whether the log or the locks were found gone once: SQLite makes others, behind a hole, and nothing that follows can be read
    /// back. Or another file was found in the place of one of them: to open that beside the log of this one destroys both.
    is_lost: AtomicBool,
}

/// Is a path, and which file was found there.
#[derive(Debug)]
struct Spot {
    path: PathBuf,
    identity: Identity,
}

/// Says why a file is not found at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// Another one stands there.
    Replaced,
    /// None stands there.
    Gone,
    /// Nobody could look: it may stand there as ever.
    Unseen(ErrorKind),
}

impl Absence {
    fn of(error: &io::Error) -> Self {
        // That something above it is no folder any more is an answer, too: it was moved with its folder.
        let is_gone = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        if is_gone { Self::Gone } else { Self::Unseen(error.kind()) }
    }
}

impl From<Absence> for Obstacle {
    fn from(absence: Absence) -> Self {
        match absence {
            Absence::Replaced | Absence::Gone => Self::Moved,
            Absence::Unseen(why) => Self::Unseen(why),
        }
    }
}

/// Tells files apart that stood at one path one after the other: the device and the number there.
#[cfg(unix)]
type Identity = (u64, u64);
/// Here only that there is one is known.
#[cfg(not(unix))]
type Identity = ();

#[cfg(unix)]
fn identity_of(found: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (found.dev(), found.ino())
}

#[cfg(not(unix))]
fn identity_of(_found: &Metadata) -> Identity {}

impl Spot {
    fn of(path: PathBuf) -> io::Result<Self> {
        let identity = identity_of(&std::fs::metadata(&path)?);
        Ok(Self { path, identity })
    }

    /// Returns how many bytes the file has, if it is found.
    fn look(&self) -> Result<u64, Absence> {
        // A call of the system that is answered from memory: some microseconds beside a commit's way to the disk.
        let found = std::fs::metadata(&self.path).map_err(|error| Absence::of(&error))?;
        if identity_of(&found) == self.identity { Ok(found.len()) } else { Err(Absence::Replaced) }
    }
}

impl Place {
    /// Remembers where a file stands that is open, and what stands beside it: a connection that stays has read before, which makes
    /// both, and SQLite leaves them there until the last one ends.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        // As SQLite does: they stand beside the file that links lead to.
        let path = path.canonicalize()?;
        let beside = |suffix: &str| {
            let mut name = OsString::from(&path);
            name.push(suffix);
            Spot::of(name.into())
        };
        let (log, locks) = (beside("-wal")?, beside("-shm")?);
        Ok(Self { file: Spot::of(path)?, log, locks, is_lost: AtomicBool::new(false) })
    }

    /// Returns where the file is, whatever links led to it when it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Says what keeps the file apart from the log beside it, if that can be seen.
    #[cfg(unix)]
    pub(super) const fn fault(&self) -> Option<&'static str> {
        fault_of_devices(self.file.identity.0, self.log.identity.0)
    }

    /// Says what keeps the file apart from the log beside it, if that can be seen.
    #[cfg(not(unix))]
    pub(super) const fn fault(&self) -> Option<&'static str> {
        None
    }

    /// Checks that the file is still found there; one that cannot be looked at is not, until it can.
    pub(super) fn check(&self) -> Result<(), Obstacle> {
        let found = self.file.look();
        if found == Err(Absence::Replaced) {
            self.is_lost.store(true, Ordering::SeqCst);
        }
        if self.is_lost.load(Ordering::SeqCst) {
            return Err(Obstacle::Moved);
        }
        found.map(drop).map_err(Obstacle::from)
    }

    /// Says whether somebody has made other locks since: who uses those has a log under the old name, too, of which we know nothing.
    pub(super) fn has_successor(&self) -> bool {
        self.locks.look() == Err(Absence::Replaced)
    }

    /// Returns how many bytes the log has, if the file and what belongs to it are still found there. Once the log or the locks were
    /// gone, or others, only a new process knows what is left. A look that failed says nothing of them, and the next one may not.
    pub(super) fn log_of_kept(&self) -> Result<u64, Obstacle> {
        let [log, locks] = [&self.log, &self.locks].map(Spot::look);
        if [log, locks].iter().any(|found| matches!(found, Err(Absence::Replaced | Absence::Gone))) {
            self.is_lost.store(true, Ordering::SeqCst);
        }
        self.check()?;
        locks.and(log).map_err(Obstacle::from)
    }
}

/// Says what keeps a file apart from its log before it is opened, if that can be seen: the log stands beside the name.
#[cfg(unix)]
pub(super) fn fault_of_names(path: &Path) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;
    // One that is not there has none yet, and one that cannot be looked at is not opened either.
    let names = std::fs::metadata(path).ok().filter(Metadata::is_file).map_or(0, |found| found.nlink());
    (names > 1).then_some("has a second name, a hard link, beside which there would be another log")
}

/// Says what keeps a file apart from its log before it is opened, if that can be seen: the log stands beside the name.
#[cfg(not(unix))]
pub(super) const fn fault_of_names(_path: &Path) -> Option<&'static str> {
    None
}

/// Says whether the folder is there in which a file is, or is to be made; one that cannot be looked at may be.
pub(super) fn has_folder(path: &Path) -> bool {
    // A name alone is in the folder that the process works in.
    path.parent().is_none_or(|folder| folder.as_os_str().is_empty() || folder.try_exists().unwrap_or(true))
}

/// Says what is wrong with a file on one device whose log is on another, if they are two.
#[cfg(unix)]
const fn fault_of_devices(file: u64, log: u64) -> Option<&'static str> {
    if file == log { None } else { Some("is mounted by itself, and the log beside it stands on another disk") }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    const LOG_BYTES: u64 = 3;

    /// Makes a file with a log and locks beside it.
    fn place(folder: &Path) -> Place {
        let path = folder.join("vip.db");
        for suffix in ["", "-wal", "-shm"] {
            std::fs::write(folder.join(format!("vip.db{suffix}")), b"log").unwrap();
        }
        Place::of(&path).unwrap()
    }

    #[test]
    fn a_log_or_locks_that_cannot_be_looked_at_are_looked_for_again_and_once_they_were_gone_they_are_lost() {
        for name in ["vip.db-wal", "vip.db-shm"] {
            let folder = tempfile::tempdir().unwrap();
            let place = place(folder.path());
            let (there, away) = (folder.path().join(name), folder.path().join("away"));
            std::fs::rename(&there, &away).unwrap();
            std::os::unix::fs::symlink(&there, &there).unwrap();
            assert!(matches!(place.log_of_kept(), Err(Obstacle::Unseen(_))), "{name}: {place:?}");
            std::fs::remove_file(&there).unwrap();
            std::fs::rename(&away, &there).unwrap();
            assert_eq!(place.log_of_kept(), Ok(LOG_BYTES), "{name}");
            std::fs::rename(&there, &away).unwrap();
            assert_eq!(place.log_of_kept(), Err(Obstacle::Moved), "{name}");
            std::fs::rename(&away, &there).unwrap();
            assert_eq!(place.log_of_kept(), Err(Obstacle::Moved), "{name}: there may have been others");
            assert_eq!(place.check(), Err(Obstacle::Moved), "{name}");
        }
    }

    #[test]
    fn a_file_is_gone_where_its_path_leads_nowhere_and_not_where_nobody_can_follow_it() {
        for kind in [ErrorKind::NotFound, ErrorKind::NotADirectory] {
            assert_eq!(Absence::of(&io::Error::from(kind)), Absence::Gone);
        }
        for kind in [ErrorKind::PermissionDenied, ErrorKind::OutOfMemory, ErrorKind::TimedOut, ErrorKind::Other] {
            assert_eq!(Absence::of(&io::Error::from(kind)), Absence::Unseen(kind));
        }
    }

    #[test]
    fn a_file_and_its_log_on_two_devices_do_not_belong_together() {
        assert_eq!(fault_of_devices(7, 7), None);
        assert!(fault_of_devices(7, 8).is_some_and(|fault| fault.contains("mounted by itself")));
    }

    #[test]
    fn a_file_with_a_second_name_is_told_under_both_until_one_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a", "b"].map(|name| folder.path().join(name));
        assert_eq!(fault_of_names(&names[0]), None, "there is none");
        std::fs::write(&names[0], b"").unwrap();
        assert_eq!(fault_of_names(&names[0]), None);
        std::fs::hard_link(&names[0], &names[1]).unwrap();
        assert!(names.iter().all(|name| fault_of_names(name).is_some()));
        std::fs::remove_file(&names[1]).unwrap();
        assert_eq!(fault_of_names(&names[0]), None);
    }

    #[test]
    fn a_folder_has_names_inside_it_and_is_no_file_with_a_second_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        assert_eq!(fault_of_names(folder.path()), None);
    }
}
