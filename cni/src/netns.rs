//! Network namespaces: making, opening and entering them.
//!
//! A thread, not a process, is in a network namespace. Entering one therefore always happens on a thread made for it,
//! which ends afterwards; no thread of a runtime ever changes its namespace. A socket belongs to the namespace of the
//! thread that made it for as long as it lives, wherever it is used afterwards.
//!
//! Must not: change the namespace of the calling thread.

use std::{
    fs::{self, File},
    future::Future,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};
use tokio::{runtime, sync::oneshot};

/// An open network namespace. It lives at least as long as this handle.
#[derive(Clone, Debug)]
pub struct Netns {
    path: PathBuf,
    file: Arc<File>,
}

impl Netns {
    /// Opens the namespace that a file (`/run/netns/NAME`, `/proc/PID/ns/net`) stands for.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Netns> {
        let path = path.into();
        let file = Arc::new(File::open(&path)?);
        Ok(Netns { path, file })
    }

    /// The calling thread's own namespace.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn current() -> io::Result<Netns> {
        Netns::open("/proc/thread-self/ns/net")
    }

    /// Makes a namespace and binds it to a new file, as `ip netns add` does.
    ///
    /// # Errors
    /// When the caller is not root, or the file exists already.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Netns> {
        let path = path.into();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        File::create_new(&path)?;
        let bound = on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            mount(
                Some("/proc/thread-self/ns/net"),
                &path,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            )
        })
        .and_then(|result| result.map_err(io::Error::from));
        if let Err(error) = bound {
            // The error matters more than a file that stays.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Netns::open(path)
    }

    /// Unbinds the file that [`Netns::create`] made. The namespace ends with its last user.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(path: &Path) -> io::Result<()> {
        match umount2(path, MntFlags::MNT_DETACH) {
            // Not a mount point any more, or no file at all: that is what was wanted.
            Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The file it was opened from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs blocking code inside, on a thread of its own.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the code panicked.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET)?;
            Ok(inside())
        })?
    }

    /// Runs asynchronous code inside, on a thread and a runtime of its own. Dropping the returned future drops the
    /// code at its next await.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the code panicked.
    pub async fn run_async<T, F>(
        &self,
        inside: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let file = Arc::clone(&self.file);
        let (mut report, result) = oneshot::channel();
        let span = tracing::Span::current();
        thread::Builder::new()
            .name("netns".to_owned())
            .spawn(move || {
                let _in_span = span.enter();
                let runtime = setns(&file, CloneFlags::CLONE_NEWNET)
                    .map_err(io::Error::from)
                    .and_then(|()| runtime::Builder::new_current_thread().enable_all().build());
                match runtime {
                    Ok(runtime) => runtime.block_on(async {
                        tokio::select! {
                            // The caller is gone: nobody wants the result.
                            () = report.closed() => {}
                            value = async { inside().await } => { let _ = report.send(Ok(value)); }
                        }
                    }),
                    Err(error) => {
                        let _ = report.send(Err(error));
                    }
                }
            })?;
        result.await.map_err(|_| panicked())?
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)?
            .join()
            .map_err(|_| panicked())
    })
}

fn panicked() -> io::Error {
    io::Error::other("the code run inside a network namespace panicked")
}
