//! The house rules that no other tool checks (CONTRIBUTING.md, Style).
//!
//! Each rule is a function from the repository to findings; all run, all findings are printed, any of them fails
//! the check. Files are those git knows and those it would add: ignored files are nobody's business.
//!
//! Must not: change a file. `cargo xtask docs` writes what is generated.

mod documents;
mod sources;

use std::{collections::BTreeSet, fmt, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Something that breaks a rule, at a place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// A path from the repository's root, with `:line` where there is one.
    place: String,
    /// What is wrong and what to do.
    message: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding {
            place: place.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Checks every rule.
pub fn run(root: &Path) -> Result<()> {
    let files = repository_files(root)?;
    let metadata = cargo_metadata(root, &[])?;
    let mut findings = Vec::new();
    findings.extend(sources::check(root, &files, &metadata)?);
    findings.extend(documents::check(root, &files)?);
    for (path, text) in generated_documents() {
        if std::fs::read_to_string(root.join(path)).ok().as_deref() != Some(text.as_str()) {
            findings.push(Finding::new(
                path,
                "is not what the code generates: run make docs",
            ));
        }
    }
    findings.sort();
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("tidy: one finding"),
        count => bail!("tidy: {count} findings"),
    }
}

/// Path and text of each document that is written by the code it describes.
pub fn generated_documents() -> Vec<(&'static str, String)> {
    vec![("docs/pipeline.md", weft_compiler::pipeline::markdown())]
}

/// The names of the workspace's crates.
pub fn workspace_packages(root: &Path) -> Result<Vec<String>> {
    let metadata = cargo_metadata(root, &["--no-deps"])?;
    Ok(packages(&metadata)
        .filter_map(|package| Some(package.get("name")?.as_str()?.to_owned()))
        .collect())
}

fn repository_files(root: &Path) -> Result<BTreeSet<String>> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .current_dir(root)
        .output()
        .context("starting git")?;
    if !listed.status.success() {
        bail!(
            "git ls-files: {}",
            String::from_utf8_lossy(&listed.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&listed.stdout)
        .split('\0')
        // A file deleted from the work tree and not yet from the index is listed too.
        .filter(|path| !path.is_empty() && root.join(path).is_file())
        .map(str::to_owned)
        .collect())
}

fn cargo_metadata(root: &Path, arguments: &[&str]) -> Result<Value> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version=1"])
        .args(arguments)
        .current_dir(root)
        .output()
        .context("starting cargo")?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata
        .get("packages")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
