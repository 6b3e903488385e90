//! The chores that run other tools, in order, and stop at the first that fails.
//!
//! Must not: check anything itself; the checks of our own are in `tidy`.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::tidy;

/// Formatting, tidy, clippy, documentation: cheapest first.
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
    api_documentation(root)
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

/// Runs every fuzz target for `FUZZ_SECONDS`.
pub fn fuzz(root: &Path) -> Result<()> {
    if !root.join("fuzz/Cargo.toml").exists() {
        bail!("there is no fuzz/Cargo.toml, so there is nothing to fuzz");
    }
    let seconds = std::env::var("FUZZ_SECONDS").unwrap_or_else(|_| "30".to_owned());
    let _: u32 = seconds.parse().with_context(|| {
        format!("FUZZ_SECONDS is {seconds:?}: it takes a whole number of seconds")
    })?;
    if !succeeds(Command::new("cargo").args(["+nightly", "--version"])) {
        run(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile=minimal"]))
            .context("fuzzing needs a nightly Rust, which rustup installs")?;
    }
    if !succeeds(Command::new("cargo").args(["fuzz", "--version"])) {
        cargo(root, &["install", "--locked", "cargo-fuzz"])?;
    }
    let listed = Command::new("cargo")
        .args(["+nightly", "fuzz", "list"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()?;
    let targets = String::from_utf8_lossy(&listed.stdout).into_owned();
    if !listed.status.success() || targets.trim().is_empty() {
        bail!("cargo fuzz list names no target");
    }
    for target in targets.lines() {
        let limit = format!("-max_total_time={seconds}");
        cargo(root, &["+nightly", "fuzz", "run", target, "--", &limit])
            .with_context(|| format!("fuzz target {target}: the input is under fuzz/artifacts"))?;
    }
    Ok(())
}

/// Each crate alone, because one crate's features hide what another forgot; cargo-deny; fuzzing.
pub fn nightly(root: &Path) -> Result<()> {
    for package in tidy::workspace_packages(root)? {
        cargo(
            root,
            &["check", "--locked", "--all-targets", "--package", &package],
        )
        .with_context(|| format!("{package} does not compile alone"))?;
    }
    if !succeeds(Command::new("cargo").args(["deny", "--version"])) {
        cargo(root, &["install", "--locked", "cargo-deny"])?;
    }
    cargo(root, &["deny", "check", "bans", "licenses", "sources"])?;
    // A new advisory warns: it comes from outside, and no change of ours caused it.
    if let Err(error) = cargo(root, &["deny", "check", "advisories"]) {
        println!("warning: advisories: {error:#}");
    }
    if root.join("fuzz/Cargo.toml").exists() {
        fuzz(root)?;
    }
    Ok(())
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    run(Command::new("cargo").args(arguments).current_dir(root))
}

fn run(command: &mut Command) -> Result<()> {
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
