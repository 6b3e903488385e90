//! The chores that run other tools, in order, and stop at the first that fails.
//!
//! Must not: check anything itself; the checks of our own are in `tidy`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{fuzz, tidy, vm};

/// Formatting, tidy, clippy, documentation, dependencies: cheapest first.
pub fn lint(root: &Path) -> Result<()> {
    cargo(root, &["fmt", "--all", "--check"]).context("the code is not formatted: run make fmt")?;
    tidy::run(root)?;
    cargo(
        root,
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ],
    )?;
    api_documentation(root)?;
    run(Command::new(cargo_deny(root)?)
        .args(["--log-level=error", "check", "bans", "licenses", "sources"])
        .current_dir(root))
    .context("a dependency that deny.toml does not allow: its message is above")
}

/// cargo-deny: the one on PATH, or one built here, once. A build without optimization takes half as long, and is fast enough.
fn cargo_deny(root: &Path) -> Result<PathBuf> {
    let own = root.join("target/tools");
    let places = [PathBuf::from("cargo-deny"), own.join("bin/cargo-deny")];
    if let Some(program) = places
        .into_iter()
        .find(|program| succeeds(Command::new(program).arg("--version")))
    {
        return Ok(program);
    }
    run(Command::new("cargo")
        .args(["install", "--locked", "--debug", "--root"])
        .arg(&own)
        .arg("cargo-deny")
        // Its own folder: the workspace's may be cleaned, or be another one's.
        .env("CARGO_TARGET_DIR", own.join("build"))
        .current_dir(root))?;
    Ok(own.join("bin/cargo-deny"))
}

/// Writes the generated documents, then builds the API documentation.
pub fn docs(root: &Path) -> Result<()> {
    for (path, text) in tidy::generated_documents() {
        let path = root.join(path);
        if std::fs::read_to_string(&path).is_ok_and(|present| present == text) {
            continue;
        }
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    api_documentation(root)
}

fn api_documentation(root: &Path) -> Result<()> {
    run(Command::new("cargo")
        .args(["doc", "--workspace", "--no-deps", "--locked"])
        .env("RUSTDOCFLAGS", "--deny warnings")
        .current_dir(root))
}

/// Each crate alone, because one crate's features hide what another forgot; advisories; fuzzing; every case on the kernel
/// datapath.
pub fn nightly(root: &Path) -> Result<()> {
    for package in tidy::workspace_packages(root)? {
        cargo(
            root,
            &["check", "--locked", "--all-targets", "--package", &package],
        )
        .with_context(|| format!("{package} does not compile alone"))?;
    }
    let deny = cargo_deny(root)?;
    // A new advisory warns: it comes from outside, and no change of ours caused it.
    if let Err(error) = run(Command::new(&deny)
        .args(["check", "advisories"])
        .current_dir(root))
    {
        println!("warning: advisories: {error:#}");
    }
    fuzz::run(root)?;
    vm::packet_tests(root, &vm::Settings::of_minutes(90), vm::Cases::All, &[])
}

pub fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    run(Command::new("cargo").args(arguments).current_dir(root))
}

pub fn run(command: &mut Command) -> Result<()> {
    let shown = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    println!("-- {shown}");
    let begin = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("could not start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    println!("-- {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
