//! The machine as seen from outside: a qemu process, its two serial lines, its end.
//!
//! ```text
//! ttyS0, the console ─▶ target/vm/console.log, whose end is shown when the machine fails
//! ttyS1, the commands ─▶ this program's standard output, until the line that says their exit status
//! ```
//!
//! Must not: outlive this program: `setpriv --pdeathsig` sees to that, also for `kill -9`.

use std::{
    fmt, fs,
    fs::OpenOptions,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::guest;

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// This machine's processor.
    Kvm,
    /// qemu itself, ten to twenty times slower.
    Emulation,
}

impl Accelerator {
    /// KVM where the processor has it and this user may use it.
    pub fn of_this_machine() -> Accelerator {
        let opened = OpenOptions::new().read(true).write(true).open("/dev/kvm");
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        // A virtual machine may offer the device without the means.
        if opened.is_ok() && has_virtualization(&processor) {
            Accelerator::Kvm
        } else {
            Accelerator::Emulation
        }
    }

    /// How many times longer than on a machine of its own things may take.
    pub fn time_scale(self) -> u32 {
        match self {
            Accelerator::Kvm => 2,
            Accelerator::Emulation => 8,
        }
    }

    fn option(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Emulation => "tcg,thread=multi",
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accelerator::Kvm => "KVM",
            Accelerator::Emulation => "an emulated processor",
        })
    }
}

/// Whether a processor's flags in /proc/cpuinfo name Intel's or AMD's extension.
fn has_virtualization(processor: &str) -> bool {
    let mut flags = processor.lines().filter(|line| line.starts_with("flags"));
    flags.any(|line| {
        line.split_whitespace()
            .any(|flag| flag == "vmx" || flag == "svm")
    })
}

/// A machine to be.
#[derive(Debug)]
pub struct Machine {
    /// What boots.
    pub kernel: PathBuf,
    /// Its first files.
    pub initramfs: PathBuf,
    /// Where the console goes.
    pub console: PathBuf,
    /// What runs it.
    pub accelerator: Accelerator,
}

impl Machine {
    /// Boots, shows what the commands print, and returns their exit status.
    pub fn run(&self, time: Duration) -> Result<u8> {
        let deadline = Instant::now() + time;
        let mut running = self.start(self.accelerator)?;
        if self.accelerator == Accelerator::Kvm
            && running.next_line(Instant::now() + KVM_BOOT_TIME)
                != Said::Line(guest::READY.to_owned())
        {
            println!(
                "-- /dev/kvm is there and boots nothing: going on with {}",
                Accelerator::Emulation
            );
            drop(running);
            running = self.start(Accelerator::Emulation)?;
        }
        loop {
            match running.next_line(deadline) {
                Said::Line(line) if line == guest::READY => {}
                Said::Line(line) => match line.strip_prefix(guest::STATUS) {
                    Some(status) => {
                        return status
                            .parse()
                            .with_context(|| format!("the machine's last line is {line:?}"));
                    }
                    None => writeln!(io::stdout(), "{line}")?,
                },
                Said::NothingInTime => bail!(
                    "the machine was not done after {} minutes; its console ended with:\n{}",
                    time.as_secs() / 60,
                    self.console_tail()
                ),
                Said::NothingAnyMore => {
                    let status = running.qemu.wait()?;
                    bail!(
                        "the machine ended without a result (qemu: {status}); its console ended with:\n{}",
                        self.console_tail()
                    )
                }
            }
        }
    }

    fn start(&self, accelerator: Accelerator) -> Result<Running> {
        let processors = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(PROCESSORS_MAX);
        // The kernel hands words that it does not know to the first process, as variables.
        let kernel_line = format!(
            "{KERNEL_LINE} {}={}",
            guest::TIME_SCALE,
            accelerator.time_scale()
        );
        let mut command = Command::new("setpriv");
        command
            .args([
                "--pdeathsig",
                "KILL",
                "qemu-system-x86_64",
                "-no-user-config",
                "-nodefaults",
            ])
            .args([
                "-machine",
                "q35",
                "-accel",
                accelerator.option(),
                "-cpu",
                "max",
            ])
            .args(["-smp", &processors.to_string(), "-m", MEMORY])
            .args(["-display", "none", "-no-reboot", "-append", &kernel_line])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.initramfs)
            .arg("-virtfs")
            .arg(format!(
                "local,path=/,mount_tag={},security_model=none,readonly=on,multidevs=remap",
                guest::ROOT_TAG
            ))
            .arg("-serial")
            .arg(format!("file:{}", self.console.display()))
            .args([
                "-chardev",
                "stdio,id=commands,signal=off",
                "-serial",
                "chardev:commands",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut qemu = command
            .spawn()
            .context("could not start qemu-system-x86_64: run xtask/setup.sh vm")?;
        let output = qemu.stdout.take();
        let mut running = Running { qemu, lines: None };
        running.lines = Some(lines_of(output.context("qemu has no standard output")?)?);
        Ok(running)
    }

    fn console_tail(&self) -> String {
        let text = fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(CONSOLE_TAIL)..].join("\n")
    }
}

/// A machine that runs; it ends with its owner.
struct Running {
    qemu: Child,
    lines: Option<Receiver<String>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Line(String),
    NothingInTime,
    NothingAnyMore,
}

impl Running {
    fn next_line(&self, deadline: Instant) -> Said {
        let Some(lines) = &self.lines else {
            return Said::NothingAnyMore;
        };
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Said::Line(line),
            Err(RecvTimeoutError::Timeout) => Said::NothingInTime,
            Err(RecvTimeoutError::Disconnected) => Said::NothingAnyMore,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already: then so is the reason to kill it.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Lines from a serial line. The channel is short: a slow reader slows the guest, nothing is lost.
fn lines_of(output: ChildStdout) -> Result<Receiver<String>> {
    let (sender, receiver) = sync_channel(16);
    thread::Builder::new()
        .name("serial line".to_owned())
        .spawn(move || {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line)
                    .trim_end_matches(['\r', '\n'])
                    .to_owned();
                line.clear();
                if sender.send(text).is_err() {
                    break;
                }
            }
        })?;
    Ok(receiver)
}

const PROCESSORS_MAX: usize = 8;
/// Two seconds are usual.
const KVM_BOOT_TIME: Duration = Duration::from_secs(20);
const MEMORY: &str = "3G";
const CONSOLE_TAIL: usize = 40;
/// A panic ends the machine at once. The clock source is the kernel's choice: an emulated processor's time stamps are measured wrongly
/// while this machine is busy, and a guest told to rely on them runs its clock several times too fast.
const KERNEL_LINE: &str = "console=ttyS0 loglevel=5 panic=-1 mitigations=off rdinit=/init";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_has_virtualization_when_its_flags_say_so() {
        for (flags, expected) in [
            ("flags\t\t: fpu vmx sse", true),
            ("flags\t\t: fpu svm", true),
            ("flags\t\t: fpu svm_lock hypervisor", false),
            ("vmx flags\t: ept", false),
        ] {
            let processor = format!("processor\t: 0\n{flags}\nbugs\t: vmx\n");
            assert_eq!(has_virtualization(&processor), expected, "{flags}");
        }
    }
}
