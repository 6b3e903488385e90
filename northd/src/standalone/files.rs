//! The files of a manifest directory, read as they are now, and a wake-up when they may have changed.
//!
//! A wake-up says only that it is worth looking; what changed follows from the contents. Files
//! whose name begins with a dot are editors' and passed over. Must not: parse.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// Contents of each file, or why it cannot be read.
pub type Files = BTreeMap<Arc<Path>, Result<String, String>>;

/// A directory that cannot be read or watched.
#[derive(Debug, Error)]
pub enum FilesError {
    /// Not there, not a directory, or not readable.
    #[error("manifest directory {}: {source}; give a directory of .yaml, .yml or .json files", path.display())]
    Read {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No change would be noticed.
    #[error("manifest directory {}: it cannot be watched: {source}; see fs.inotify in sysctl(8)", path.display())]
    Watch {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: notify::Error,
    },
}

/// Reads the YAML and JSON files of a directory, not those of directories in it.
///
/// # Errors
/// The directory cannot be listed. A file that cannot be read is an entry of its own.
pub(crate) fn read(directory: &Path) -> Result<Files, FilesError> {
    let refuse = |source| FilesError::Read {
        path: directory.to_owned(),
        source,
    };
    let mut files = Files::new();
    for entry in std::fs::read_dir(directory).map_err(refuse)? {
        let path = entry.map_err(refuse)?.path();
        let is_manifest = path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| ["yaml", "yml", "json"].contains(&extension));
        let is_hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_manifest || is_hidden || path.is_dir() {
            continue;
        }
        match read_file(&path) {
            // Removed since it was listed: as if it had not been there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                files.insert(path.into(), Err(error.to_string()));
            }
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned());
                files.insert(path.into(), text);
            }
        }
    }
    Ok(files)
}

/// A pipe or a device may never come to an end; it is not read.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("not a file"));
    }
    if about.len() > FILE_MAX {
        let message = format!("{} bytes are more than {FILE_MAX}; split it", about.len());
        return Err(io::Error::other(message));
    }
    std::fs::read(path)
}

/// Wakes up when files of a directory may have changed.
pub(crate) struct FileWatch {
    wake_ups: mpsc::Receiver<()>,
    /// A wake-up was taken, and nobody looked yet: time to look, calm or not.
    due_by: Option<Instant>,
    rescan_at: Instant,
    _watcher: notify::RecommendedWatcher,
}

impl FileWatch {
    pub(crate) fn new(directory: &Path) -> Result<Self, FilesError> {
        // One wake-up waiting says all that ten would: when full, the rest is dropped.
        let (sender, wake_ups) = mpsc::channel(1);
        let refuse = |source| FilesError::Watch {
            path: directory.to_owned(),
            source,
        };
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Reading is an event too, and ours: it must not wake us up.
                if !event.is_ok_and(|event| event.kind.is_access()) {
                    let _ = sender.try_send(());
                }
            })
            .map_err(refuse)?;
        watcher
            .watch(directory, RecursiveMode::NonRecursive)
            .map_err(refuse)?;
        Ok(Self {
            wake_ups,
            due_by: None,
            rescan_at: after(RESCAN),
            _watcher: watcher,
        })
    }

    /// Returns when files may have changed and none did for a moment, or, at the latest, after
    /// [`RESCAN`]: a directory that was replaced wakes nobody up. Cancel-safe: a wake-up that was
    /// taken stays due until this has returned.
    pub(crate) async fn changed(&mut self) {
        if self.due_by.is_none() {
            let _ = timeout_at(self.rescan_at, self.wake_ups.recv()).await;
        }
        // An editor writes in several steps: look once they are over, but do not wait for ever.
        let due_by = *self.due_by.get_or_insert_with(|| after(CALM_MAX));
        let calm = async { while let Ok(Some(())) = timeout(CALM, self.wake_ups.recv()).await {} };
        let _ = timeout_at(due_by, calm).await;
        self.due_by = None;
        self.rescan_at = after(RESCAN);
    }
}

fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now)
}

/// Many times what a cluster of thousands of pods needs.
const FILE_MAX: u64 = 64 << 20;
const RESCAN: Duration = Duration::from_secs(10);
const CALM: Duration = Duration::from_millis(20);
const CALM_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_too_large_a_one_is_told_and_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("good.yaml"), "kind: Pod").expect("written");
        std::os::unix::fs::symlink("/dev/zero", path("endless.yaml")).expect("linked");
        let large = std::fs::File::create(path("large.yaml")).expect("made");
        large.set_len(FILE_MAX + 1).expect("sparse");
        let files = read(folder.path()).expect("listed");
        let of = |name: &str| files[&*path(name)].clone();
        assert_eq!(of("good.yaml"), Ok("kind: Pod".to_owned()));
        assert_eq!(of("endless.yaml"), Err("not a file".to_owned()));
        let refused = of("large.yaml").expect_err("too large");
        assert!(refused.ends_with("split it"), "{refused}");
    }
}
