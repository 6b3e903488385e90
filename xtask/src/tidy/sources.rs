//! Rules about Rust files: a header, a size, a target that compiles them, and purity where it is promised.
//!
//! Which files a target compiles is found by following its `mod` lines from the target's root file, as rustc does.
//!
//! Must not: parse Rust further than lines; rustfmt keeps `mod name;` on a line of its own.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Finding, cargo_metadata, packages};

/// Lines of a file, its tests aside, past which it holds two concepts.
const LINES_MAX: usize = 800;

/// Folders and files that promise to be pure, and what they must not name. Whole crates promise it by their manifest and clippy.toml.
const PURE: &[&str] = &[
    "compiler/src",
    "expr/src",
    "northd/src/index",
    "northd/src/ipam",
    "ovsdb/src/database",
    "ovsdb/src/record.rs",
];
const IMPURE: &[&str] = &[
    "tokio::",
    "kube::",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::unix::net",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "rand::",
    "env::var",
];

pub(super) fn check(
    root: &Path,
    files: &BTreeSet<String>,
    metadata: &Value,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut compiled = BTreeSet::new();
    for target in target_roots(metadata) {
        follow(&target, true, &mut compiled);
    }
    if root.join("fuzz/Cargo.toml").exists() {
        let fuzz = cargo_metadata(&root.join("fuzz"), &["--no-deps"])?;
        for target in target_roots(&fuzz) {
            follow(&target, true, &mut compiled);
        }
    }
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        let path = root.join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {file}"))?;
        findings.extend(check_text(file, &text));
        if !compiled.contains(&path) {
            findings.push(Finding::new(
                file,
                "no target compiles this file: name it with `mod` or delete it",
            ));
        }
    }
    Ok(findings)
}

fn check_text(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !text.starts_with("//!") {
        findings.push(Finding::new(
            file,
            "does not open with `//!`: say what the file is for, its model and what it must not do",
        ));
    }
    let code = text
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text);
    let lines = code.lines().count();
    let is_tests = file.ends_with("/tests.rs") || file.contains("/tests/");
    if lines > LINES_MAX && !is_tests {
        findings.push(Finding::new(
            file,
            format!("has {lines} lines; past {LINES_MAX}, name the two concepts in it and split"),
        ));
    }
    if !is_tests
        && PURE.iter().any(|folder| {
            file.strip_prefix(folder)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    {
        for (number, line) in code
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
        {
            let line = line.split("//").next().unwrap_or(line);
            for word in IMPURE.iter().filter(|word| names(line, word)) {
                findings.push(Finding::new(format!("{file}:{number}"), format!("names `{word}` in a pure part: take the value as an argument, or move this to the edge")));
            }
        }
    }
    findings
}

/// Whether the line has the word, not as the tail of a longer one.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
    })
}

/// The root file of each target: library, binaries, tests, benches, examples, build script.
fn target_roots(metadata: &Value) -> Vec<PathBuf> {
    packages(metadata)
        .filter(|package| package.get("source").is_none_or(Value::is_null))
        .filter_map(|package| package.get("targets")?.as_array())
        .flatten()
        .filter_map(|target| Some(PathBuf::from(target.get("src_path")?.as_str()?)))
        .collect()
}

/// Adds the file and the files its `mod` lines name. `owns_folder`: its children lie beside it (`lib.rs`, `mod.rs`).
fn follow(file: &Path, owns_folder: bool, compiled: &mut BTreeSet<PathBuf>) {
    if !compiled.insert(file.to_owned()) {
        return;
    }
    let Ok(text) = std::fs::read_to_string(file) else {
        compiled.remove(file);
        return;
    };
    let beside = file.parent().unwrap_or(Path::new("")).to_owned();
    let children = if owns_folder {
        beside.clone()
    } else {
        file.with_extension("")
    };
    // Modules written inline, outermost first, by the indentation of their `mod name {`.
    let mut inline: Vec<(usize, String)> = Vec::new();
    let mut path_attribute = None;
    for line in text.lines() {
        let indentation = line.len() - line.trim_start().len();
        let line = line.trim();
        if line == "}" {
            inline.retain(|(at, _)| *at < indentation);
        }
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            path_attribute = rest.strip_suffix("\"]").map(str::to_owned);
            continue;
        }
        let declaration = line.strip_prefix("pub ").unwrap_or(line);
        let declaration = match declaration.strip_prefix("pub(") {
            Some(rest) => rest.split_once(") ").map_or(declaration, |(_, rest)| rest),
            None => declaration,
        };
        let Some(declaration) = declaration.strip_prefix("mod ") else {
            if !line.starts_with("#[") {
                path_attribute = None;
            }
            continue;
        };
        if let Some(name) = declaration.strip_suffix(" {") {
            inline.push((indentation, name.to_owned()));
            continue;
        }
        let Some(name) = declaration.split(';').next() else {
            continue;
        };
        if let Some(named) = path_attribute.take() {
            let target = beside.join(named);
            let owns = target.file_name().is_some_and(|name| name == "mod.rs");
            follow(&target, owns, compiled);
            continue;
        }
        let folder = inline
            .iter()
            .fold(children.clone(), |folder, (_, name)| folder.join(name));
        let flat = folder.join(format!("{name}.rs"));
        if flat.is_file() {
            follow(&flat, false, compiled);
        } else {
            follow(&folder.join(name).join("mod.rs"), true, compiled);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(file: &str, text: &str) -> Vec<String> {
        check_text(file, text)
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        let found = messages("ovsdb/src/atom.rs", "pub struct Atom;\n");
        assert!(
            found.len() == 1 && found[0].starts_with("ovsdb/src/atom.rs: does not open"),
            "{found:?}"
        );
        assert_eq!(
            messages("ovsdb/src/atom.rs", "//! An atom.\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_long_file_is_found_unless_the_length_is_its_tests() {
        let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(LINES_MAX));
        assert_eq!(messages("ovsdb/src/atom.rs", &long).len(), 1);
        assert_eq!(messages("ovsdb/src/atom/tests.rs", &long).len(), 0);
        let tested = format!(
            "//! Short.\n\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            "fn f() {}\n".repeat(LINES_MAX)
        );
        assert_eq!(messages("ovsdb/src/atom.rs", &tested).len(), 0);
    }

    #[test]
    fn a_clock_in_a_pure_folder_is_found_and_a_comment_about_one_is_not() {
        let found = messages(
            "compiler/src/unit.rs",
            "//! Unit.\nlet now = Instant::now();\n// never Instant::now\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("compiler/src/unit.rs:2: names `Instant::now`"),
            "{found:?}"
        );
        assert_eq!(
            messages(
                "controller/src/unit.rs",
                "//! Unit.\nlet now = Instant::now();\n"
            )
            .len(),
            0
        );
        assert_eq!(
            messages("compiler/src/unit.rs", "//! Unit.\nuse operand::X;\n").len(),
            0
        );
    }

    #[test]
    fn every_file_that_a_mod_line_names_is_followed_and_no_other() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write(
            "lib.rs",
            "mod plain;\npub(crate) mod folder;\nmod inline {\n    mod inner;\n}\n#[cfg(test)]\n#[path = \"odd/name.rs\"]\nmod named;\n",
        );
        write("plain.rs", "mod child;\n");
        write("plain/child.rs", "");
        write("folder/mod.rs", "mod leaf;\n");
        write("folder/leaf.rs", "");
        write("inline/inner.rs", "");
        write("odd/name.rs", "");
        write("forgotten.rs", "");
        let mut compiled = BTreeSet::new();
        follow(&folder.path().join("lib.rs"), true, &mut compiled);
        let names: Vec<_> = compiled
            .iter()
            .map(|path| {
                path.strip_prefix(folder.path())
                    .expect("inside")
                    .display()
                    .to_string()
            })
            .collect();
        assert_eq!(
            names,
            [
                "folder/leaf.rs",
                "folder/mod.rs",
                "inline/inner.rs",
                "lib.rs",
                "odd/name.rs",
                "plain/child.rs",
                "plain.rs"
            ]
        );
    }
}
