//! `weft demo`: a small cluster on this machine, and who reaches whom.
//!
//! ```text
//! weft demo ── checks, one at a time ──▶ sandbox ─▶ weft demo again, inside ─▶ stages ─▶ report
//!   (caller)                              (namespaces that end with the caller)  ├─ fabric: nodes with Open vSwitch
//!                                                                                ├─ weft run, a process of its own
//!                                                                                └─ pods, attached as CNI attaches them
//! ```
//!
//! Invariants: stdout holds exactly one JSON object with `--json`, whatever happens; the status is 0 only when the report
//! is `ok`; nothing is left behind.
//!
//! Must not: judge a pair with what the network says; `expected` comes from the manifests.

mod manifests;
mod matrix;
mod process;
mod progress;
mod report;
mod services;
mod stages;
mod way;

use std::{
    ffi::OsString,
    io::IsTerminal,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use weft_e2e::{
    node::check_open_vswitch,
    sandbox::{self, Ended},
};

use crate::{
    arguments::Demo,
    in_one_line, shutdown,
    terminal::{self, write_stderr},
};
use progress::Progress;
use report::Report;

/// Runs the demo. In the sandbox this is called again, with the same arguments.
///
/// Must be called before any thread is started.
pub(crate) fn main(arguments: Demo, given: Vec<OsString>) -> ExitCode {
    if sandbox::is_inside() {
        return inside(arguments);
    }
    match outside(&arguments, given) {
        Ok(ended) => {
            // What the run inside found it prints itself, unless it is killed before that.
            if arguments.json && !ended.has_written && !std::io::stdout().is_terminal() {
                print_failure("the demo was ended from outside");
            }
            ended.code
        }
        Err(error) => {
            let line = in_one_line(&error);
            if arguments.json {
                print_failure(&line);
            }
            write_stderr(&format!("weft demo: {line}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Prints the object of a run that did not happen.
pub(crate) fn print_failure(error: &str) {
    print_report(&Report {
        error: Some(error.to_owned()),
        ..Report::default()
    });
}

fn print_report(report: &Report) {
    let text = serde_json::to_string(report).expect("strings, numbers and lists are JSON");
    if let Err(error) = terminal::write_stdout(&(text + "\n")) {
        write_stderr(&format!("weft demo: stdout: {error}\n"));
    }
}

fn outside(arguments: &Demo, given: Vec<OsString>) -> Result<Ended> {
    sandbox::check_privileges()?;
    check_open_vswitch()?;
    if let Some(directory) = &arguments.manifests {
        manifests::facts(directory).context("--manifests")?;
        if let Some(hidden) = sandbox::hidden_by(directory) {
            let directory = directory.display();
            bail!(
                "--manifests: {directory}: a demo has a {hidden} of its own and does not see yours: give a directory elsewhere"
            );
        }
    }
    // Held until the sandbox has ended.
    let _only_one = only_one("weft-demo")?;
    sandbox::run_inside(given.into_iter().skip(1))
}

/// Claims a name that one process of a network namespace can have. It goes with the process, however that ends, and is
/// no file: nothing is left behind.
fn only_one(name: &str) -> Result<UnixListener> {
    match UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?) {
        Ok(claim) => Ok(claim),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "another weft demo is running on this machine: wait for it, or end it with Ctrl-C first"
            )
        }
        Err(error) => Err(error).context("making sure that no other weft demo is running"),
    }
}

fn inside(arguments: Demo) -> ExitCode {
    let progress = if arguments.json {
        Progress::on_stderr()
    } else {
        Progress::on_stdout()
    };
    let is_json = arguments.json;
    let is_printed = std::cell::Cell::new(false);
    let on_result = |report: &Report| {
        if is_json {
            print_report(report);
        }
        is_printed.set(true);
    };
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            runtime.block_on(async {
                Ok(stages::run(arguments, progress, on_result, shutdown::on_signal()?).await)
            })
        });
    let (mut report, ending) =
        ended.unwrap_or_else(|error| (Report::default(), stages::Ending::Failed(error)));
    report.error = match &ending {
        stages::Ending::Done => None,
        stages::Ending::Interrupted => Some("interrupted".to_owned()),
        stages::Ending::Failed(error) => Some(in_one_line(error)),
    };
    report.judge();
    if let Some(error) = &report.error {
        write_stderr(&format!("weft demo: {error}\n"));
    }
    if is_json && !is_printed.get() {
        print_report(&report);
    }
    match ending {
        stages::Ending::Interrupted => ExitCode::from(INTERRUPTED),
        _ if report.ok => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// 128 and SIGINT, as shells count.
const INTERRUPTED: u8 = 130;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_one_runs_a_second_is_refused_and_afterwards_it_is_not() {
        // A demo may be running on this machine: the test has a name of its own.
        let name = format!("weft-demo-test-{}", std::process::id());
        let first = only_one(&name).expect("none runs");
        let refused = only_one(&name).expect_err("one runs").to_string();
        assert!(
            refused.contains("another weft demo is running"),
            "{refused}"
        );
        drop(first);
        only_one(&name).expect("none runs any more");
    }
}
