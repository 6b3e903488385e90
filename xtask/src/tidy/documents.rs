//! Rule about documents: a path named in one exists.
//!
//! Looked at are relative Markdown links, and code in backticks that looks like a path of this repository: its first
//! part is a root folder. Placeholders (`<file>`, `*`, `NAME`) and `file:line` are understood.
//!
//! Must not: follow links off the repository.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context, Result};

use super::Finding;

pub(super) fn check(root: &Path, files: &BTreeSet<String>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".md")) {
        let text =
            std::fs::read_to_string(root.join(file)).with_context(|| format!("reading {file}"))?;
        findings.extend(check_text(file, &text, files));
    }
    Ok(findings)
}

fn check_text(file: &str, text: &str, files: &BTreeSet<String>) -> Vec<Finding> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    let mut fenced = false;
    for (number, line) in text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
    {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for link in links(line) {
            let path = normal(folder, link);
            if !path.is_empty() && !exists(&path, files) {
                findings.push(Finding::new(
                    format!("{file}:{number}"),
                    format!("links to {link}, which does not exist"),
                ));
            }
        }
        for path in line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|code| looks_like_a_path(code, files))
        {
            let path = path.split_once(':').map_or(path, |(path, _)| path);
            if !exists(path.trim_end_matches('/'), files) {
                findings.push(Finding::new(
                    format!("{file}:{number}"),
                    format!("names {path}, which does not exist"),
                ));
            }
        }
    }
    findings
}

/// Targets of `[text](target)` within the repository, without their `#anchor`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split_once(')')?.0;
        let target = target.split_once('#').map_or(target, |(path, _)| path);
        (!target.contains("://") && !target.starts_with("mailto:") && !target.is_empty())
            .then_some(target)
    })
}

fn normal(folder: &str, link: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn looks_like_a_path(code: &str, files: &BTreeSet<String>) -> bool {
    let plain = code.chars().all(|c| {
        c.is_ascii_lowercase()
            || c.is_ascii_digit()
            || "._-/:".contains(c)
            || c.is_ascii_uppercase()
    });
    let Some((first, rest)) = code.split_once('/') else {
        return false;
    };
    // target/ is what a build makes; NAME stands for something.
    let placeholder = rest.split(['/', '.']).any(|part| {
        part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase()) && !files.contains(code)
    });
    plain
        && !placeholder
        && files
            .iter()
            .any(|file| file.split_once('/').is_some_and(|(root, _)| root == first))
}

/// Whether the path is a file, or a folder with one in it.
fn exists(path: &str, files: &BTreeSet<String>) -> bool {
    files.contains(path)
        || files
            .range(format!("{path}/")..)
            .next()
            .is_some_and(|file| file.starts_with(&format!("{path}/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_link_and_a_dead_path_are_found_and_live_ones_are_not() {
        let files: BTreeSet<String> = [
            "README.md",
            "docs/pipeline.md",
            "cli/src/lib.rs",
            "docs/a.md",
        ]
        .map(str::to_owned)
        .into();
        let text = "[ok](../README.md) [dead](gone.md) [out](https://example.org/x) [anchor](#here)\n\
                    `cli/src/lib.rs:12` and `cli/` live; `cli/src/gone.rs` does not; `GET /x`, `target/release/weft` and `cli/src/NAME.rs` are no paths\n\
                    ```\n`cli/src/fenced.rs`\n```\n";
        let found: Vec<String> = check_text("docs/a.md", text, &files)
            .iter()
            .map(Finding::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "docs/a.md:1: links to gone.md, which does not exist",
                "docs/a.md:2: names cli/src/gone.rs, which does not exist"
            ]
        );
    }
}
