//! The cases: real packets through real switches, each case in a sandbox of its own.
//!
//! ```text
//! cases (libtest-mimic) ─▶ this program again, in a sandbox, with the case's name ─▶ the case
//!                                                └─▶ this program again, as `weft`: never a stale binary
//! ```
//!
//! A case that is not done in its time is killed with everything it started. What a failed case prints (flows, rows,
//! logs) is shown.

use std::{
    env,
    ffi::OsString,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use tokio::runtime::Runtime;
use weft_e2e::{node::Datapath, patience::scaled, sandbox};

mod cases;

fn main() -> ExitCode {
    if let Some(code) = sandbox::become_init_if_asked() {
        return code;
    }
    if env::var_os(cases::AS_WEFT).is_some() {
        return weft_cli::main_from(env::args_os());
    }
    if env::var_os(cases::AS_WEFT_CNI).is_some() {
        return weft_cni::main_from(env::args_os());
    }
    if env::var_os(cases::HOLD).is_some() {
        return cases::hold();
    }
    if sandbox::is_inside() {
        return run_inside();
    }
    let arguments = Arguments::from_args();
    let only = env::var(ONLY).ok();
    let is_meant = |case: &cases::Case| match only.as_deref() {
        None => true,
        Some("both") => case.is_on_both,
        Some(files) => files.split(',').any(|file| file == case.module),
    };
    let trials = cases::ALL
        .iter()
        .filter(|case| is_meant(case))
        .map(|case| Trial::test(case.name, move || run_in_sandbox(case)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run_in_sandbox(case: &cases::Case) -> Result<(), Failed> {
    static TURNS: AtomicUsize = AtomicUsize::new(0);
    let turn = TURNS.fetch_add(1, Ordering::Relaxed);
    let mut time = CASE_TIME;
    if case.name.starts_with("random_changes") {
        time += cases::more_time();
    }
    let captured = Runtime::new()?.block_on(sandbox::run_captured(
        Vec::new(),
        vec![
            (OsString::from(CASE), OsString::from(case.name)),
            (OsString::from(TURN), OsString::from(turn.to_string())),
        ],
        scaled(time),
    ))?;
    if captured.status.success() {
        print_measurements(case.name, &captured.stderr);
        return Ok(());
    }
    let reason = if captured.is_timed_out {
        format!("not done after {:?}", scaled(time))
    } else {
        captured.status.to_string()
    };
    let stdout = String::from_utf8_lossy(&captured.stdout);
    let stderr = String::from_utf8_lossy(&captured.stderr);
    Err(format!("{reason}\n{stdout}{stderr}").into())
}

/// What a case measured is told also when it held.
fn print_measurements(case: &str, stderr: &[u8]) {
    use std::io::Write;
    let text = String::from_utf8_lossy(stderr);
    for line in text.lines().filter(|line| line.starts_with("measured: ")) {
        let _ = writeln!(std::io::stderr(), "{case}: {line}");
    }
}

fn run_inside() -> ExitCode {
    let name = env::var(CASE).unwrap_or_default();
    let Some(case) = cases::ALL.iter().find(|case| case.name == name) else {
        return fail(&format!("no case is called {name:?}"));
    };
    if let Err(error) = keep_order() {
        return fail(&format!("{error:#}"));
    }
    let outcome = Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on((case.run)()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    }
}

/// The kernel's datapath asks Open vSwitch about a packet from the processor that it came by, and there is a thread for each: two packets may
/// change places. A case and all that it starts stay on one processor, so that what comes after a packet says that it is through.
fn keep_order() -> nix::Result<()> {
    if Datapath::of_this_machine() == Datapath::Userspace {
        return Ok(());
    }
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let is_allowed = |processor: &usize| allowed.is_set(*processor).unwrap_or(false);
    let processors: Vec<usize> = (0..CpuSet::count()).filter(is_allowed).collect();
    let turn = env::var(TURN).ok().and_then(|turn| turn.parse().ok());
    let mut one = CpuSet::new();
    one.set(processors[turn.unwrap_or(0) % processors.len()])?;
    sched_setaffinity(this, &one)
}

fn fail(message: &str) -> ExitCode {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::FAILURE
}

/// `both`: only cases for both datapaths, as in the virtual machine; or the files that cases are in, as `l2,l3`.
const ONLY: &str = "WEFT_CASES";
/// Names the case to the worker.
const CASE: &str = "WEFT_CASE";
/// How many cases were started before it.
const TURN: &str = "WEFT_TURN";
/// A case that takes longer hangs.
const CASE_TIME: Duration = Duration::from_secs(90);
