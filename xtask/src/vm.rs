//! A small virtual machine with the distribution's kernel, for what this machine's own kernel cannot do: Open vSwitch's
//! kernel datapath.
//!
//! ```text
//! cargo xtask ─┬─ kernel: apt-get download, unpacked below target/vm
//!              ├─ initramfs: this very program as /init, its libraries, four modules, the commands to run
//!              └─ qemu ──9p, read-only──▶ this machine's / ─overlay in memory─▶ the guest's /
//!                   └── serial lines ◀── console · what the commands print, then their exit status
//! ```
//!
//! The guest sees this machine's own files: the programs that were just built, under their own paths, and the same
//! Open vSwitch. There is no image to build or to keep. What the guest writes stays in its memory.
//!
//! Invariants: the commands' exit status is the chore's; a machine that says none has failed. The machine ends with this
//! program, however that ends.
//!
//! Must not: need root; write outside `target/vm`.

mod guest;
mod initramfs;
mod kernel;
mod machine;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

pub use guest::run_if_first_process;
use machine::{Accelerator, Machine};

/// How the machine is to run.
#[derive(clap::Args, Debug)]
pub struct Settings {
    /// Emulate the processor even where /dev/kvm would do it
    #[arg(long)]
    emulate: bool,
    /// Minutes after which the machine is ended
    #[arg(long, default_value_t = 20)]
    minutes: u64,
}

impl Settings {
    /// As this machine is, for so long.
    pub fn of_minutes(minutes: u64) -> Settings {
        Settings {
            emulate: false,
            minutes,
        }
    }
}

/// Runs commands in the machine, one after the other, in the repository's folder, and fails when one of them does.
pub fn run(root: &Path, settings: &Settings, commands: &[Vec<OsString>]) -> Result<()> {
    let begin = Instant::now();
    let folder = root.join("target/vm");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let lock = fs::File::create(folder.join("lock"))?;
    if lock.try_lock().is_err() {
        println!(
            "-- waiting for the machine that another cargo xtask runs in {}",
            folder.display()
        );
        lock.lock()?;
    }
    let kernel = kernel::fetch(root, &folder)?;
    let accelerator = if settings.emulate {
        Accelerator::Emulation
    } else {
        Accelerator::of_this_machine()
    };
    let initramfs = folder.join("initramfs");
    let job = guest::Job {
        modules: kernel.modules.clone(),
        folder: root.to_owned(),
        commands: commands.to_vec(),
    };
    fs::write(&initramfs, initramfs::build(&kernel, &job)?)
        .with_context(|| initramfs.display().to_string())?;
    println!(
        "-- {} on {accelerator}, ready to boot after {:.1} s",
        kernel.release,
        begin.elapsed().as_secs_f64()
    );
    let machine = Machine {
        kernel: kernel.image,
        initramfs,
        console: folder.join("console.log"),
        accelerator,
    };
    let status = machine.run(Duration::from_secs(settings.minutes.saturating_mul(60)))?;
    println!(
        "-- the machine ended after {:.1} min",
        begin.elapsed().as_secs_f64() / 60.0
    );
    ensure!(
        status == 0,
        "a command in the machine ended with {status}: what it said is above"
    );
    Ok(())
}

/// Builds the packet tests and runs them on the kernel datapath: those for both datapaths, those that are
/// named, or all.
pub fn packet_tests(
    root: &Path,
    settings: &Settings,
    which: Cases,
    arguments: &[OsString],
) -> Result<()> {
    let cases = build_cases(root)?;
    let mut test: Vec<OsString> = Vec::new();
    if which == Cases::Usual && arguments.is_empty() {
        test.extend(["env", "WEFT_CASES=both"].map(OsString::from));
    }
    test.push(cases.into_os_string());
    test.extend(["--test-threads", TEST_THREADS].map(OsString::from));
    test.extend_from_slice(arguments);
    run(root, settings, &[test])
}

/// Which packet tests run in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cases {
    /// Those for both datapaths, unless some are named.
    Usual,
    /// All.
    All,
}

/// One more than the processors that the machine often has: a case waits now and then.
const TEST_THREADS: &str = "3";

/// The program of the packet tests, built.
fn build_cases(root: &Path) -> Result<PathBuf> {
    let output = Command::new("cargo")
        .args([
            "test",
            "--package",
            "weft-e2e",
            "--test",
            "cases",
            "--locked",
            "--no-run",
        ])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("could not start cargo")?;
    if !output.status.success() {
        bail!("the packet tests do not build: cargo's messages are above");
    }
    let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    for message in messages {
        let message: serde_json::Value = message.context("cargo's list of what it built")?;
        let is_cases = message["target"]["name"] == "cases";
        if let (true, Some(program)) = (is_cases, message["executable"].as_str()) {
            return Ok(PathBuf::from(program));
        }
    }
    bail!("cargo built the packet tests and named no program")
}
