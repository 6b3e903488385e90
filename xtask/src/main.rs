//! `cargo xtask`: the repository's chores that are longer than a line of make.
//!
//! ```text
//! make VERB ─▶ xtask/setup.sh (what is missing) ─▶ cargo xtask VERB ─▶ tidy · vm · cargo fmt, clippy, doc, deny, fuzz
//! ```
//!
//! Invariant: a chore ends with a non-zero status when anything in it failed, and says what to do about it.
//!
//! Must not: be needed at run time, or by a build of the `weft` program.
#![allow(
    clippy::disallowed_macros,
    reason = "a program run by hand: its output is stdout and stderr"
)]

mod chores;
mod fuzz;
mod tidy;
mod vm;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// weft's repository chores.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// What must hold for every change: formatting, tidy, clippy, documentation and dependencies, warnings denied
    Lint,
    /// The house rules that no other tool checks: file headers and sizes, stray files, documents
    Tidy,
    /// Write the generated documents and build the API documentation
    Docs,
    /// Run every fuzz target for a while (FUZZ_SECONDS each, 30 when unset)
    Fuzz,
    /// What is too slow for every change: each crate alone, advisories, fuzzing, every case on the kernel datapath
    Nightly,
    /// The packet tests on the kernel datapath, in a virtual machine
    E2eKernel {
        #[command(flatten)]
        settings: vm::Settings,
        /// All cases, also those that are not expected to differ between the datapaths
        #[arg(long, conflicts_with = "cases")]
        all: bool,
        /// Arguments for the packet tests: names of cases, or parts of them
        cases: Vec<OsString>,
    },
    /// Run one command in the virtual machine
    Vm {
        #[command(flatten)]
        settings: vm::Settings,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    vm::run_if_first_process();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the repository")
        .to_owned();
    let outcome = match Arguments::parse().chore {
        Chore::Lint => chores::lint(&root),
        Chore::Tidy => tidy::run(&root),
        Chore::Docs => chores::docs(&root),
        Chore::Fuzz => fuzz::run(&root),
        Chore::Nightly => chores::nightly(&root),
        Chore::E2eKernel {
            settings,
            all,
            cases,
        } => {
            let which = if all {
                vm::Cases::All
            } else {
                vm::Cases::Usual
            };
            vm::packet_tests(&root, &settings, which, &cases)
        }
        Chore::Vm { settings, command } => vm::run(&root, &settings, &[command]),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
