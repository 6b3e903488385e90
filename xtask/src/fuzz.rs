//! Fuzzing: builds every fuzzer of `fuzz/`, gives each its seeds, and lets it look for what breaks for a while.
//!
//! ```text
//! fuzz/fuzz_targets/NAME.rs ── cargo build, instrumented ──▶ NAME ◀── fuzz/corpus/NAME: seeds, and what it found worth keeping
//!                                                              └─▶ fuzz/artifacts/NAME: the input that broke something
//! ```
//!
//! What cargo-fuzz does, without what it needs: coverage is a pass of the stable compiler, and only sanitizers, which code
//! without `unsafe` has little use for, would take a nightly one.
//!
//! Must not: know what a target checks.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::chores;

/// Runs every fuzzer, or those whose name has a word of `FUZZ_TARGETS` in it, for `FUZZ_SECONDS`.
pub fn run(root: &Path) -> Result<()> {
    let seconds = std::env::var("FUZZ_SECONDS").unwrap_or_else(|_| "30".to_owned());
    let _: u32 = seconds.parse().with_context(|| {
        format!("FUZZ_SECONDS is {seconds:?}: it takes a whole number of seconds")
    })?;
    let wanted = std::env::var("FUZZ_TARGETS").unwrap_or_default();
    let mut targets = targets(root)?;
    targets.retain(|target| {
        let mut words = wanted.split_whitespace().peekable();
        words.peek().is_none() || words.any(|word| target.contains(word))
    });
    if targets.is_empty() {
        bail!("FUZZ_TARGETS is {wanted:?}: no file of fuzz/fuzz_targets has such a name");
    }
    let folder = build(root, &targets)?;
    chores::run(
        Command::new("cargo")
            .args([
                "run",
                "--locked",
                "--quiet",
                "--package=weft-fuzz",
                "--bin=seeds",
                "--",
            ])
            .arg(root.join("fuzz/corpus"))
            .current_dir(root),
    )?;
    // All are run, so that one finding does not hide another.
    let mut broken = Vec::new();
    for target in targets {
        let corpus = root.join("fuzz/corpus").join(&target);
        let artifacts = root.join("fuzz/artifacts").join(&target);
        std::fs::create_dir_all(&artifacts)
            .with_context(|| format!("making {}", artifacts.display()))?;
        let run = Command::new(folder.join(&target))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-timeout=20", "-rss_limit_mb=2048", "-max_len=8192"])
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(&corpus)
            .current_dir(root)
            .status()
            .with_context(|| format!("starting the fuzzer {target}"))?;
        println!("-- {target}: {seconds} s, {run}");
        if !run.success() {
            broken.push(target);
        }
    }
    match broken.is_empty() {
        true => Ok(()),
        false => bail!(
            "broken: {}. What was found is above, its input is in fuzz/artifacts/NAME/, and \
             `cargo test -p weft-fuzz` runs it again from there",
            broken.join(", ")
        ),
    }
}

fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for file in
        std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
    {
        let path = file?.path();
        names.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

/// Builds the fuzzers; the folder they are in.
fn build(root: &Path, targets: &[String]) -> Result<PathBuf> {
    let host = host()?;
    let target = root.join("fuzz/target");
    // A target is named so that build scripts and macros, which run here and now, are not instrumented.
    chores::run(
        Command::new("cargo")
            .args(["build", "--release", "--locked", "--package=weft-fuzz"])
            .args(["--features=libfuzzer", "--target", &host, "--target-dir"])
            .arg(&target)
            .args(targets.iter().map(|target| format!("--bin={target}")))
            .env("RUSTFLAGS", INSTRUMENTED.join(" "))
            .current_dir(root),
    )?;
    Ok(target.join(host).join("release"))
}

fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("starting rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host
        .with_context(|| format!("rustc -vV names no host: {text}"))?
        .to_owned())
}

/// LLVM's coverage as libFuzzer reads it, and the checks of a debug build. One codegen unit: the pass takes no notice of others.
const INSTRUMENTED: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Clink-dead-code",
    "-Cdebug-assertions=yes",
    "-Coverflow-checks=yes",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];
