//! The file of a log: bytes at its end, made durable, or replaced as a whole.
//!
//! Must not: know what the bytes are.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::storage::beside;
use crate::storage::lock::LockFile;

/// What a log is kept on. Tests have one that fails and waits as they say.
pub(crate) trait Medium: Send + std::fmt::Debug {
    /// Writes bytes at an offset, which is the end. On failure: how many arrived before it.
    fn append(&mut self, offset: u64, bytes: &[u8]) -> Result<(), (usize, io::Error)>;

    /// Takes away all from an offset on, for good.
    fn cut(&mut self, offset: u64) -> io::Result<()>;

    /// Returns when all that was written would survive the end of the machine.
    fn sync(&mut self) -> io::Result<()>;

    /// Puts these bytes, durably, in the place of all there is; there is no moment at which neither is there.
    fn replace(&mut self, bytes: &[u8]) -> Result<(), NotReplaced>;
}

/// Why bytes are not, or not durably, in the place of others.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct NotReplaced {
    /// True if they are in place, and may be gone with the machine.
    pub(crate) is_in_place: bool,
    pub(crate) error: io::Error,
}

/// A file, and its lock.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    /// `None`: not made yet.
    file: Option<fs::File>,
    _lock: LockFile,
}

impl File {
    /// A file that is made when it is first replaced.
    pub(crate) fn new(path: &Path, lock: LockFile) -> File {
        File {
            path: path.to_owned(),
            file: None,
            _lock: lock,
        }
    }

    /// A file that is there.
    pub(crate) fn open(path: &Path, lock: LockFile) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(File {
            path: path.to_owned(),
            file: Some(file),
            _lock: lock,
        })
    }

    /// [`Medium::cut`]
    pub(crate) fn cut(&mut self, offset: u64) -> io::Result<()> {
        let file = self.file()?;
        file.set_len(offset)?;
        file.sync_all()
    }

    fn file(&self) -> io::Result<&fs::File> {
        self.file
            .as_ref()
            .ok_or_else(|| io::Error::other("the file was not made yet"))
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<fs::File> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(path)?;
        if let Some(old) = &self.file {
            let mode = old.metadata()?.permissions().mode();
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(file)
    }
}

impl Medium for File {
    fn append(&mut self, offset: u64, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let file = self.file().map_err(|error| (0, error))?;
        let mut written = 0_usize;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
            match file.write_at(rest, at) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(more) => written = written.saturating_add(more),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }

    fn cut(&mut self, offset: u64) -> io::Result<()> {
        File::cut(self, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), NotReplaced> {
        let refuse = |is_in_place| move |error| NotReplaced { is_in_place, error };
        let new = beside(&self.path, "tmp");
        let replaced = self.write_new(&new, bytes).and_then(|file| {
            fs::rename(&new, &self.path)?;
            Ok(file)
        });
        match replaced {
            Ok(file) => self.file = Some(file),
            Err(error) => {
                // What is half written must not take room that the log itself may need.
                let _ = fs::remove_file(&new);
                return Err(refuse(false)(error));
            }
        }
        // The name, too, has to survive.
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(refuse(true))
    }
}
