//! The `weft` program as a library: its command line, and the commands, a file each.
//!
//! ```text
//! main_from(arguments) ─▶ arguments ─▶ run · nb · show · demo ─▶ the crates that do the work
//!                                       status 0, or one line on stderr and status 1 (2: the command line itself)
//! ```
//!
//! A library, so that a test binary can be the program: a fabric starts its own executable again inside a sandbox, and
//! as `weft run`.
//!
//! Must not: hold logic that another crate could use; a command parses, calls, prints.

mod arguments;
mod certificates;
mod demo;
mod logging;
mod nb;
mod network;
mod pki;
mod run;
mod show;
mod shutdown;
mod terminal;
mod trace;

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{
    Parser,
    error::{ContextKind, ErrorKind},
};

pub use arguments::Arguments;
use arguments::Command;

/// The program: parses the arguments (the first is the program's name), runs the command, prints what went wrong.
///
/// Call it before anything else in `main`, and before any thread is started: a process of a sandbox ends here.
pub fn main_from(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    if let Some(code) = weft_e2e::sandbox::become_init_if_asked() {
        return code;
    }
    let given: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match Arguments::try_parse_from(&given) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error, &given),
    };
    let level = arguments
        .log
        .level
        .as_deref()
        .unwrap_or(match arguments.command {
            Command::Run(_) | Command::Nb(_) | Command::Northd(_) | Command::Controller(_) => {
                "info"
            }
            // That a server is not there yet is no news while everything starts.
            Command::Demo(_) => "warn,weft_ovsdb=error",
            // One question, one answer: what went wrong is told as that.
            _ => "error",
        });
    if let Err(message) = logging::start(arguments.log.log_format, level) {
        terminal::write_stderr(&format!("weft: {message}\n"));
        return ExitCode::from(USAGE);
    }
    // The demo has to be the first to start threads, and ends with a status of its own.
    if let Command::Demo(arguments) = arguments.command {
        return demo::main(arguments, given);
    }
    match on_runtime(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::write_stderr(&format!("weft: {}\n", in_one_line(&error)));
            ExitCode::FAILURE
        }
    }
}

fn on_runtime(command: Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Run(arguments) => run::run(arguments).await,
            Command::Nb(arguments) => nb::run(arguments).await,
            Command::Northd(arguments) => run::northd(arguments).await,
            Command::Controller(arguments) => run::controller(arguments).await,
            Command::Show(arguments) => show::run(arguments).await,
            Command::LsList(arguments) => show::switches(arguments).await,
            Command::LrList(arguments) => show::routers(arguments).await,
            Command::LspList(arguments) => show::ports(arguments).await,
            Command::LflowList(arguments) => network::list_logical_flows(arguments).await,
            Command::Trace(arguments) => trace::run(arguments).await,
            Command::Pki(command) => pki::run(command),
            Command::Demo(_) => unreachable!("the demo starts its own runtime"),
        }
    })
}

/// Help and version as they are; a bad value in one line that names the flag, what was found and what is right; the
/// rest with the usage, as clap prints it.
fn refuse(error: &clap::Error, given: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        // Help that nobody reads to its end is no failure.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let line = bad_value(error);
    // Only the demo knows --json; options that every command takes may stand before its name.
    if ["demo", "--json"]
        .iter()
        .all(|word| given.iter().any(|argument| argument == word))
    {
        let text = line.clone().unwrap_or_else(|| error.to_string());
        demo::print_failure(text.lines().next().unwrap_or(""));
    }
    match line {
        Some(line) => terminal::write_stderr(&format!("weft: {line}\n")),
        None => drop(error.print()),
    }
    ExitCode::from(USAGE)
}

fn bad_value(error: &clap::Error) -> Option<String> {
    if !matches!(
        error.kind(),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue
    ) {
        return None;
    }
    let flag = error.get(ContextKind::InvalidArg)?;
    let value = error.get(ContextKind::InvalidValue)?;
    let valid = error
        .get(ContextKind::ValidValue)
        .map(ToString::to_string)
        .filter(|valid| !valid.is_empty());
    let why = match (std::error::Error::source(error), valid) {
        (Some(source), _) if source.is::<std::num::ParseIntError>() => {
            "not a whole number, or too large a one".to_owned()
        }
        (Some(source), _) => source.to_string(),
        (None, Some(valid)) => format!("it takes one of: {valid}"),
        (None, None) => "it takes a value".to_owned(),
    };
    let value = value.to_string();
    // Some messages say what was found themselves.
    if value.is_empty() || why.contains(&value) {
        Some(format!("{flag}: {why}"))
    } else {
        Some(format!("{flag}: {value:?}: {why}"))
    }
}

/// An error and its causes, however many lines they were written in. A cause that the message before it has told
/// already is not told again.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut told: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause
            .to_string()
            .lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ");
        if told.last().is_none_or(|last| !last.contains(&text)) {
            told.push(text);
        }
    }
    told.join(": ")
}

/// The command line could not be understood, as other programs end with then.
const USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> String {
        let arguments = std::iter::once("weft").chain(arguments.iter().copied());
        let error = Arguments::try_parse_from(arguments).expect_err("a bad value");
        bad_value(&error).expect("one line")
    }

    #[test]
    fn a_bad_value_is_told_in_one_line_that_names_the_flag_and_what_is_right() {
        for (arguments, line) in [
            (
                &["demo", "--nodes", "x"][..],
                "--nodes <NUMBER>: \"x\": not a number of nodes: give one from 1 to 64",
            ),
            (
                &["demo", "--nodes", "0"],
                "--nodes <NUMBER>: \"0\": not a number of nodes: give one from 1 to 64",
            ),
            (
                &["demo", "--nodes", "-1"],
                "--nodes <NUMBER>: \"-1\": not a number of nodes: give one from 1 to 64",
            ),
            (&["demo", "--nodes"], "--nodes <NUMBER>: it takes a value"),
            (
                &["show", "--log-format", "xml"],
                "--log-format <FORMAT>: \"xml\": it takes one of: text, json",
            ),
            (
                &[
                    "run",
                    "--manifests",
                    "m",
                    "--nodes",
                    "n",
                    "--cluster-cidr",
                    "10.0.0.1/8",
                ],
                "--cluster-cidr <CIDR>: \"10.0.0.1/8\": has bits beyond its prefix length: did you mean 10.0.0.0/8?",
            ),
        ] {
            assert_eq!(refused(arguments), line);
        }
        for number in ["x", "1.5", "99999999999999999999"] {
            let line = refused(&["pki", "init", "/x", &format!("--days={number}")]);
            assert_eq!(
                line,
                format!("--days <DAYS>: {number:?}: not a whole number, or too large a one")
            );
        }
        for probe in [
            "tcp:x",
            "tcp:",
            "tcp",
            "tcp:0",
            "tcp:+80",
            "udp:70000",
            "sctp:1",
            "icmp:1",
        ] {
            let line = refused(&["demo", "--probe", &format!("icmp,{probe}")]);
            assert_eq!(
                line,
                format!(
                    "--probe <PROBES>: probe {probe:?} is none: write icmp, tcp:PORT or udp:PORT, with PORT from 1 to 65535"
                )
            );
        }
        let listen = refused(&["nb", "--listen", "ptcp:x"]);
        assert!(
            listen.starts_with("--listen <REMOTE>: ") && listen.contains("ptcp:x"),
            "{listen}"
        );
        let remote = refused(&["show", "--db", "nowhere"]);
        assert!(
            remote.starts_with("--db <REMOTE>: ") && remote.contains("unix:PATH"),
            "{remote}"
        );
    }

    #[test]
    fn the_command_line_is_well_formed() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let error = anyhow::anyhow!("no such file")
            .context("a.yaml: no such file; give another")
            .context("nodes");
        assert_eq!(
            in_one_line(&error),
            "nodes: a.yaml: no such file; give another"
        );
    }
}
