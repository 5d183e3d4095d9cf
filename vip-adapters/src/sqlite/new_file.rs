//! Makes a missing file before SQLite does, which would let every user of the machine read it.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Who may open a file that is made, less what the umask takes away: SQLite's own choice (644) without the others, because user data
/// stands in it in plain text. SQLite makes the log and the locks with the rights of the file.
#[cfg(unix)]
const MODE: u32 = 0o640;
/// Most links that are followed, as many as Linux follows.
const LINKS_MOST: usize = 40;

/// Is held until the handle of a new file is closed, which takes away all locks that the process has on that file, also those of SQLite:
/// whoever opens a file here that may be missing has waited for that.
static MAKING: Mutex<()> = Mutex::new(());

/// Makes an empty file if there is none; one that is there stays as it is, also one that somebody else makes at the same time.
pub(super) fn make(path: &Path) -> io::Result<()> {
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if path.exists() {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    // Never one that is there: it may be open here, and would lose its locks.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, MODE);
    match options.open(target_of(path)).map(drop) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Follows links to where SQLite looks for the file: one that leads to a file that is not there counts as a file for `create_new`.
fn target_of(path: &Path) -> PathBuf {
    let mut target = path.to_path_buf();
    for _ in 0..LINKS_MOST {
        let Ok(next) = std::fs::read_link(&target) else { break };
        target.pop();
        target.push(next);
    }
    target
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_missing_file_is_made_empty_where_links_lead_and_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let volume = folder.path().join("volume");
        std::fs::create_dir(&volume).unwrap();
        let link = folder.path().join("vip.db");
        symlink("volume/current.db", &link).unwrap();
        symlink(volume.join("vip.db"), volume.join("current.db")).unwrap();
        make(&link).unwrap();
        let file = volume.join("vip.db");
        assert_eq!(mode_of(&file) & !MODE, 0, "{:o}", mode_of(&file));
        assert!(std::fs::read(&file).unwrap().is_empty());
        make(&link).unwrap();
        assert_eq!(std::fs::read_dir(&volume).unwrap().count(), 2);
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["vip.db", "circle"].map(|name| folder.path().join(name));
        std::fs::write(&file, b"something").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        // It leads to itself, and SQLite says so.
        symlink(&link, &link).unwrap();
        for path in [&file, &link, &folder.path().to_path_buf()] {
            make(path).unwrap();
        }
        assert_eq!((std::fs::read(&file).unwrap(), mode_of(&file)), (b"something".to_vec(), 0o666));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_missing_folder_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let error = make(&folder.path().join("no/vip.db")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
