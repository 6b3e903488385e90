//! The lock file beside a database file, as Open vSwitch's programs take it: `.NAME.~lock~`, a POSIX record lock.
//!
//! Such a lock belongs to the process, so a second one in the same process would be granted: a list of what this
//! process holds stands in for it. The kernel drops the lock with the process, however that ends; the file stays.
//!
//! Must not: wait for a lock.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::storage::{StorageError, io_error};

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct LockFile {
    /// Closing it, or any other descriptor of the file, gives the lock up.
    _file: fs::File,
    path: PathBuf,
}

static HELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

impl LockFile {
    /// Takes the lock of a database file.
    pub(crate) fn take(database: &Path) -> Result<LockFile, StorageError> {
        let path = lock_path(database).ok_or_else(|| {
            let kind = std::io::ErrorKind::InvalidInput;
            io_error(database, "use it as a file", kind.into())
        })?;
        let locked = |holder| StorageError::Locked {
            path: database.to_owned(),
            lock: path.clone(),
            holder,
        };
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains(&path) {
            return Err(locked(i32::try_from(std::process::id()).ok()));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| io_error(&path, "open the lock file", source))?;
        let mut request = whole_file();
        match fcntl(&file, FcntlArg::F_SETLK(&request)) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => {
                let asked = fcntl(&file, FcntlArg::F_GETLK(&mut request));
                return Err(locked(
                    asked.ok().map(|_| request.l_pid).filter(|pid| *pid > 0),
                ));
            }
            Err(errno) => return Err(io_error(&path, "lock it", errno.into())),
        }
        held.insert(path.clone());
        drop(held);
        Ok(LockFile { _file: file, path })
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // The descriptor is closed after this: who comes in between is refused by the kernel's list, which is empty for
        // this process, so the order does not matter.
        HELD.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.path);
    }
}

/// In the folder of the file, whatever way leads to it.
fn lock_path(database: &Path) -> Option<PathBuf> {
    let folder = match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mut name = std::ffi::OsString::from(".");
    name.push(database.file_name()?);
    name.push(".~lock~");
    Some(folder.join(name))
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: WRITE_LOCK,
        l_whence: FROM_START,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

// The kernel's constants are wider than the fields that they are for.
#[allow(clippy::cast_possible_truncation)]
const WRITE_LOCK: libc::c_short = libc::F_WRLCK as libc::c_short;
#[allow(clippy::cast_possible_truncation)]
const FROM_START: libc::c_short = libc::SEEK_SET as libc::c_short;
