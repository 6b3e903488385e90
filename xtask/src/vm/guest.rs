//! The machine as seen from inside: the first process, which is this very program.
//!
//! 1. Load the modules with which this machine's files can be read, and mount those as `/`, with memory over them.
//! 2. Run the commands, one after the other; what they print goes out by the second serial line.
//! 3. Say the exit status there, and switch the machine off.
//!
//! Must not: run anywhere but as the first process of a machine.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{self, Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, ensure};
use nix::{
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        wait::{WaitStatus, wait},
    },
    unistd::{Pid, chdir, chroot},
};

/// What the guest is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Folder of the kernel's modules, as the caller's machine names it.
    pub modules: PathBuf,
    /// Where the commands run.
    pub folder: PathBuf,
    /// Programs with their arguments.
    pub commands: Vec<Vec<OsString>>,
}

impl Job {
    /// Words, each ended by a zero byte, which no path or argument can hold; an empty word ends a command.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut word = |word: &[u8]| bytes.extend(word.iter().copied().chain([0]));
        word(self.modules.as_os_str().as_bytes());
        word(self.folder.as_os_str().as_bytes());
        for command in &self.commands {
            for argument in command {
                ensure!(
                    !argument.is_empty(),
                    "a command in the machine cannot have an empty argument: {command:?}"
                );
                word(argument.as_bytes());
            }
            word(b"");
        }
        Ok(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Job> {
        let mut words = bytes
            .strip_suffix(&[0])
            .unwrap_or(bytes)
            .split(|byte| *byte == 0);
        let mut word = || words.next().context("the job ends early");
        let (modules, folder) = (word()?, word()?);
        let mut commands = Vec::new();
        let mut command = Vec::new();
        for word in words {
            if word.is_empty() {
                commands.push(std::mem::take(&mut command));
            } else {
                command.push(OsString::from_vec(word.to_vec()));
            }
        }
        let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
        Ok(Job {
            modules: path(modules),
            folder: path(folder),
            commands,
        })
    }
}

/// Does everything and never returns in the first process of a machine; returns at once in any other.
pub fn run_if_first_process() {
    if process::id() != 1 || !Path::new(JOB).exists() {
        return;
    }
    if let Err(error) = run() {
        // The console, as nothing else may be there yet. No exit status is said: that is a failure to the caller.
        eprintln!("the virtual machine's first process: {error:#}");
    }
    let Err(error) = reboot(RebootMode::RB_POWER_OFF);
    eprintln!("the machine does not switch itself off: {error}");
}

fn run() -> Result<()> {
    let job = Job::from_bytes(&fs::read(JOB)?).context(JOB)?;
    for module in sorted_files(Path::new(MODULES_FOLDER))? {
        let parameters = Default::default();
        finit_module(File::open(&module)?, parameters, ModuleInitFlags::empty())
            .with_context(|| format!("load module {}", module.display()))?;
    }
    mount_root().context("mount the root")?;
    mount_rest(&job)?;
    let mut line = OpenOptions::new()
        .write(true)
        .open(COMMANDS_LINE)
        .context(COMMANDS_LINE)?;
    writeln!(line, "{READY}")?;
    let mut outcome = 0;
    for command in &job.commands {
        let status = run_command(&job, command, &line)?;
        if !status.success() {
            writeln!(line, "{}: {status}", command[0].display())?;
            let signal = status.signal().map(|signal| signal.saturating_add(128));
            let code = status
                .code()
                .or(signal)
                .and_then(|code| u8::try_from(code).ok());
            outcome = if outcome == 0 {
                code.unwrap_or(1)
            } else {
                outcome
            };
        }
    }
    writeln!(line, "{STATUS}{outcome}")?;
    nix::sys::termios::tcdrain(&line)?;
    Ok(())
}

/// The caller's files, read-only, with a memory file system over them that takes what is written.
fn mount_root() -> Result<()> {
    let none = None::<&str>;
    mount(
        Some(ROOT_TAG),
        LOWER,
        Some("9p"),
        MsFlags::MS_RDONLY,
        Some("trans=virtio,version=9p2000.L,cache=loose,msize=512000"),
    )
    .context("the caller's files")?;
    mount(Some("tmpfs"), UPPER, Some("tmpfs"), MsFlags::empty(), none)?;
    for folder in ["/upper/files", "/upper/work"] {
        fs::create_dir(folder)?;
    }
    let layers = format!("lowerdir={LOWER},upperdir=/upper/files,workdir=/upper/work");
    mount(
        Some("overlay"),
        ROOT,
        Some("overlay"),
        MsFlags::empty(),
        Some(layers.as_str()),
    )
    .context("memory over them")?;
    chdir(ROOT)?;
    mount(Some("."), "/", none, MsFlags::MS_MOVE, none)?;
    chroot(".")?;
    chdir("/")?;
    Ok(())
}

fn mount_rest(job: &Job) -> Result<()> {
    for (kind, at) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/dev/shm"),
        ("devpts", "/dev/pts"),
    ] {
        fs::create_dir_all(at)?;
        mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("mount {at}"))?;
    }
    // What is needed of the kernel from now on it loads itself, with modprobe.
    let release = job.modules.file_name().context("modules have a release")?;
    let modules = Path::new("/lib/modules").join(release);
    fs::create_dir_all(&modules)?;
    mount(
        Some(&job.modules),
        &modules,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .context("the kernel's modules")
}

/// Runs a program to its end, and takes in whatever else ends meanwhile: orphans are the first process's.
fn run_command(job: &Job, command: &[OsString], line: &File) -> Result<ExitStatus> {
    // A pipe, so that programs do not take the line for somebody's terminal.
    let (mut reader, writer) = io::pipe()?;
    let mut started = Command::new(&command[0]);
    started
        .args(&command[1..])
        .current_dir(&job.folder)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .env("RUST_BACKTRACE", "1")
        .envs(env::var(TIME_SCALE).map(|scale| (TIME_SCALE, scale)))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let child = started
        .spawn()
        .with_context(|| format!("start {}", command[0].display()))?;
    // It holds the pipe's other end.
    drop(started);
    let mut copy_to = line.try_clone()?;
    let copying = std::thread::Builder::new()
        .name("commands' output".to_owned())
        .spawn(move || io::copy(&mut reader, &mut copy_to))?;
    let child = Pid::from_raw(i32::try_from(child.id())?);
    let status = loop {
        match wait()? {
            WaitStatus::Exited(pid, code) if pid == child => break ExitStatus::from_raw(code << 8),
            WaitStatus::Signaled(pid, signal, _) if pid == child => {
                break ExitStatus::from_raw(signal as i32);
            }
            _ => {}
        }
    };
    let _ = copying.join();
    Ok(status)
}

fn sorted_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// What it takes to read the caller's files, and what no program would ask the kernel to load.
pub const MODULES: &[&str] = &["virtio_pci", "9pnet_virtio", "9p", "overlay", "tun"];
/// Where they are in the initramfs.
pub const MODULES_FOLDER: &str = "/modules";
/// Where the job is in the initramfs.
pub const JOB: &str = "/job";
/// Folders of the initramfs on which something is mounted.
pub const MOUNTS: &[&str] = &[LOWER, UPPER, ROOT, "/dev"];
/// Name of the caller's files, under which the machine offers them.
pub const ROOT_TAG: &str = "root";
/// The first line that the guest says.
pub const READY: &str = "weft-vm-ready";
/// A variable that says how many times longer than usual things may take.
pub const TIME_SCALE: &str = "WEFT_TIME_SCALE";
/// Opens the last line that the guest says.
pub const STATUS: &str = "weft-vm-exit-status: ";
const LOWER: &str = "/lower";
const UPPER: &str = "/upper";
const ROOT: &str = "/root";
const COMMANDS_LINE: &str = "/dev/ttyS1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_the_same_after_its_way_into_the_machine() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        for commands in [
            vec![],
            vec![words(&["true"])],
            vec![
                words(&["/bin/echo", "two words", "ü"]),
                words(&["ls", "-l"]),
            ],
        ] {
            let job = Job {
                modules: "/somewhere/lib/modules/6.1".into(),
                folder: "/a folder".into(),
                commands,
            };
            assert_eq!(
                Job::from_bytes(&job.to_bytes().expect("fits")).expect("is whole"),
                job
            );
        }
    }
}
