//! A sandbox: network, mount and process namespaces of its own, which end with the process that asked for them.
//!
//! ```text
//! caller ──stdin pipe──▶ init (pid 1: mounts, reaps, passes signals on) ──▶ worker (the same program, same arguments)
//!    thread that waits        /proc and /run of its own                       everything else, Open vSwitch included
//! ```
//!
//! The program starts itself again: `main` calls [`become_init_if_asked`] first, and [`is_inside`] tells the worker
//! from the caller. When init ends the kernel kills every process of its process namespace, and with the last of them go
//! the network namespaces, the mounts and the files on them. Init ends with the worker, with the thread that waits for
//! it (parent-death signal), and with the pipe that only the caller holds (so that no moment is uncovered). Thus
//! `kill -9` of the caller, or of init, leaves nothing behind.
//!
//! Must not: write outside its own `/run`; need a terminal; change a namespace of the calling thread.

use std::{
    env,
    ffi::OsString,
    fs, io,
    io::{IsTerminal, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitCode, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        signal::{SigSet, Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, Uid},
};
use tokio::sync::oneshot;

/// Whether this process is the worker of a sandbox.
#[must_use]
pub fn is_inside() -> bool {
    env::var_os(ROLE).is_some_and(|role| role == WORKER)
}

/// The sandbox's first process as everybody outside numbers it: `/proc/PID/root` is what the sandbox sees as `/`.
#[must_use]
pub fn host_pid() -> Option<u32> {
    env::var(HOST_PID).ok()?.parse().ok()
}

/// Says why a sandbox cannot be made here, if so.
///
/// # Errors
/// When the caller is not root.
pub fn check_privileges() -> anyhow::Result<()> {
    if !Uid::effective().is_root() {
        bail!("network namespaces and Open vSwitch need root: run this with sudo");
    }
    Ok(())
}

/// Which of the directories that a sandbox has for itself hides this path from it, if one does.
#[must_use]
pub fn hidden_by(path: &Path) -> Option<&'static str> {
    let path = path.canonicalize().ok()?;
    OWN.into_iter().find(|own| path.starts_with(own))
}

/// The first thing a `main` that uses sandboxes does. In the process that is to be a sandbox's init this never returns
/// before the sandbox ends; everywhere else it returns `None` at once.
#[must_use]
pub fn become_init_if_asked() -> Option<ExitCode> {
    let role = env::var_os(ROLE)?;
    if role != INIT {
        // A started program inherits the signals that its starter has blocked.
        let mut signals = passed_signals();
        signals.add(Signal::SIGCHLD);
        let _ = signals.thread_unblock();
        return None;
    }
    Some(init().unwrap_or_else(|error| {
        report(&format!("sandbox: {error:#}"));
        ExitCode::from(INIT_FAILED)
    }))
}

/// How a program that was run by [`run_inside`] ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub code: ExitCode,
    /// Whether it wrote anything to standard output.
    pub has_written: bool,
}

/// Starts this very program once more, with these arguments, inside a new sandbox, and waits for its end. Standard
/// error is shared, what it writes to standard output is passed on, standard input is not. SIGINT, SIGTERM and SIGHUP
/// sent to this process reach the worker, which takes things down and ends; the caller ends after it, with its status.
///
/// Standard output is shared where it is a terminal, so that the worker sees one, too.
///
/// # Errors
/// When namespaces cannot be made; the message says what is missing.
pub fn run_inside(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<Ended> {
    check_privileges()?;
    // Blocked before any thread is made, so that only the one thread below takes them.
    let signals = passed_signals();
    signals.thread_block()?;
    let mut command = Command::new(own_program()?);
    command.args(arguments);
    if !io::stdout().is_terminal() {
        command.stdout(Stdio::piped());
    }
    let (started, init) = std::sync::mpsc::sync_channel(1);
    let waiting = thread::Builder::new()
        .name("sandbox".to_owned())
        .spawn(move || {
            let mut child = match spawn_init(command) {
                Ok(child) => child,
                Err(error) => return Err(error),
            };
            let _ = started.send(child.id());
            // The pipe in `child.stdin` stays open until the child has ended: `wait` would close it.
            let lifeline = child.stdin.take();
            let has_written = child.stdout.take().is_some_and(pass_on);
            let status = child.wait();
            drop(lifeline);
            Ok((status?, has_written))
        })?;
    if let Ok(init) = init.recv() {
        let init = Pid::from_raw(i32::try_from(init)?);
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                while let Ok(signal) = signals.wait() {
                    // Gone already: then so is the reason to tell it.
                    let _ = kill(init, signal);
                }
            })?;
    }
    let (status, has_written) = waiting.join().map_err(|_| anyhow::anyhow!(PANICKED))??;
    Ok(Ended {
        code: exit_code(status),
        has_written,
    })
}

/// What came of a program that was run in a sandbox by [`run_captured`].
#[derive(Debug)]
pub struct Captured {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output and standard error, in this order.
    pub stdout: Vec<u8>,
    /// See `stdout`.
    pub stderr: Vec<u8>,
    /// Whether it was killed because its time was over.
    pub is_timed_out: bool,
}

/// Runs this program with these arguments and variables inside a new sandbox, catches its output, and kills all of it
/// when the time is over.
///
/// # Errors
/// When namespaces cannot be made.
pub async fn run_captured(
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    time: Duration,
) -> anyhow::Result<Captured> {
    check_privileges()?;
    let mut command = Command::new(own_program()?);
    command
        .args(arguments)
        .envs(variables)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (started, start) = oneshot::channel();
    let (ended, end) = oneshot::channel();
    thread::Builder::new()
        .name("sandbox".to_owned())
        .spawn(move || {
            let mut child = match spawn_init(command) {
                Ok(child) => child,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let lifeline = child.stdin.take();
            let _ = started.send(Ok((child.id(), child.stdout.take(), child.stderr.take())));
            let status = child.wait();
            drop(lifeline);
            let _ = ended.send(status);
        })?;
    let (init, stdout, stderr) = start.await.context(PANICKED)??;
    let outputs = [read_to_end(stdout), read_to_end(stderr)];
    let mut end = std::pin::pin!(end);
    let (status, is_timed_out) = match tokio::time::timeout(time, &mut end).await {
        Ok(status) => (status, false),
        Err(_) => {
            let _ = kill(Pid::from_raw(i32::try_from(init)?), Signal::SIGKILL);
            (end.await, true)
        }
    };
    let [stdout, stderr] = outputs;
    Ok(Captured {
        status: status.context(PANICKED)??,
        stdout: stdout.await?,
        stderr: stderr.await?,
        is_timed_out,
    })
}

/// Must run on a thread that lives until the child has ended, as the parent-death signal is about the thread; that
/// thread can start no other thread any more, as its next child belongs to the new process namespace.
fn spawn_init(mut command: Command) -> anyhow::Result<Child> {
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC).map_err(
        |error| anyhow::anyhow!("namespaces cannot be made here ({error}): run on a machine or in a container that allows it (docker run --privileged)"),
    )?;
    // A process group of its own: a Ctrl-C reaches the caller alone, which passes it on, once.
    command
        .env(ROLE, INIT)
        .stdin(Stdio::piped())
        .process_group(0);
    let mut child = command
        .spawn()
        .with_context(|| format!("start {} again", command.get_program().display()))?;
    // Only from here can it learn its own number outside its process namespace.
    let pid = child.id().to_ne_bytes();
    child
        .stdin
        .as_mut()
        .context("the pipe to the sandbox")?
        .write_all(&pid)?;
    Ok(child)
}

fn init() -> anyhow::Result<ExitCode> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if process::id() != 1 {
        bail!(
            "not the first process of a process namespace; {ROLE} is not meant to be set by hand"
        );
    }
    let mut pid = [0; 4];
    io::stdin()
        .read_exact(&mut pid)
        .context("the caller has ended")?;
    let pid = u32::from_ne_bytes(pid);
    // Before the thread below is made: it must not take them.
    let mut signals = passed_signals();
    signals.add(Signal::SIGCHLD);
    signals.thread_block()?;
    // The caller's end of this pipe closes when the caller ends, however it ends, also between the start of this
    // process and the line above.
    thread::Builder::new()
        .name("lifeline".to_owned())
        .spawn(|| {
            let _ = io::stdin().read(&mut [0]);
            process::exit(i32::from(INIT_FAILED));
        })?;
    mounts()?;

    let mut worker = Command::new(own_program()?);
    worker
        .args(env::args_os().skip(1))
        .env(ROLE, WORKER)
        .env(HOST_PID, pid.to_string())
        .stdin(Stdio::null());
    let worker = worker.spawn().context("start the worker")?;
    let worker = Pid::from_raw(i32::try_from(worker.id())?);
    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {
                if let Some(code) = reap(worker)? {
                    return Ok(code);
                }
            }
            signal => {
                let _ = kill(worker, signal);
            }
        }
    }
}

/// Takes the exit status of everything that has ended; the worker's, when it was among them.
fn reap(worker: Pid) -> anyhow::Result<Option<ExitCode>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == worker => {
                return Ok(Some(ExitCode::from(
                    u8::try_from(code).unwrap_or(INIT_FAILED),
                )));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == worker => {
                report(&format!("sandbox: the worker was ended by {signal}"));
                return Ok(Some(ExitCode::from(
                    128u8.saturating_add(u8::try_from(signal as i32).unwrap_or(0)),
                )));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Private mounts: what is mounted here is seen by nobody else. `/run` is empty and in memory, `/proc` shows this
/// process namespace only. Programs that look for `/var/run` find `/run`, as everywhere.
fn mounts() -> anyhow::Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("make the mounts private")?;
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        none,
    )
    .context("mount /proc")?;
    // Network files in /sys show the namespace of whoever mounted it. Nothing here needs them, so a container that
    // allows no mount of it is fine.
    let _ = mount(
        Some("sysfs"),
        "/sys",
        Some("sysfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        none,
    );
    mount(
        Some("tmpfs"),
        "/run",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=0755"),
    )
    .context("mount /run")?;
    if fs::canonicalize("/var/run").is_ok_and(|path| path.as_os_str() != "/run") {
        mount(Some("/run"), "/var/run", none, MsFlags::MS_BIND, none).context("mount /var/run")?;
    }
    fs::create_dir_all("/run/netns")?;
    Ok(())
}

/// `/proc/self/exe` as a path would be read by the child as its own; the file it stands for is also right when the
/// program was replaced on disk meanwhile.
fn own_program() -> anyhow::Result<PathBuf> {
    env::current_exe().context("find this program's own file")
}

fn passed_signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect()
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| signal.saturating_add(128)));
    ExitCode::from(
        code.and_then(|code| u8::try_from(code).ok())
            .unwrap_or(INIT_FAILED),
    )
}

/// Copies to standard output until nobody writes any more, and says whether anything came. When nobody reads this
/// process's output, the writer is told so in the usual way: its pipe is closed.
fn pass_on(mut source: impl Read) -> bool {
    let mut stdout = io::stdout().lock();
    let mut buffer = [0; 8192];
    let mut has_written = false;
    loop {
        match source.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return has_written,
            Ok(length) => {
                has_written = true;
                let text = buffer.get(..length).unwrap_or_default();
                if stdout
                    .write_all(text)
                    .and_then(|()| stdout.flush())
                    .is_err()
                {
                    return has_written;
                }
            }
        }
    }
}

fn read_to_end(source: Option<impl Read + Send + 'static>) -> tokio::task::JoinHandle<Vec<u8>> {
    tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        if let Some(mut source) = source {
            // What came before an error is all there is to show.
            let _ = source.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Init has no logger: what it has to say is one line on standard error.
fn report(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

const ROLE: &str = "WEFT_SANDBOX";
const HOST_PID: &str = "WEFT_SANDBOX_PID";
const INIT: &str = "init";
const WORKER: &str = "worker";
const INIT_FAILED: u8 = 70;
/// Where [`mounts`] mounts something; `/var/run` leads to one of them, or is replaced as well.
const OWN: [&str; 4] = ["/run", "/var/run", "/proc", "/sys"];
const PANICKED: &str = "the thread that waits for the sandbox panicked";
