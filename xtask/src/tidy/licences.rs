//! Rule about dependencies: a licence that deny.toml allows, from crates.io or this repository.
//!
//! The light half of what `make nightly` asks cargo-deny: that takes minutes to build on a machine that has nothing
//! installed, this reads `cargo metadata`. Both read the same list.
//!
//! Source of the expressions: the SPDX specification, annex "SPDX license expressions", and Cargo's older `A/B` for `A OR B`.
//!
//! Must not: hold a list of its own.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Finding, packages};

pub(super) fn check(root: &Path, metadata: &Value) -> Result<Vec<Finding>> {
    let configuration =
        std::fs::read_to_string(root.join("deny.toml")).context("reading deny.toml")?;
    let allowed = allowed(&configuration)?;
    let mut findings = Vec::new();
    for package in packages(metadata) {
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        let name = format!(
            "{} {}",
            text("name").unwrap_or("?"),
            text("version").unwrap_or("?")
        );
        match text("source") {
            None | Some("registry+https://github.com/rust-lang/crates.io-index") => {}
            Some(source) => findings.push(Finding::new(
                "Cargo.lock",
                format!("{name} comes from {source}: only crates.io is a source"),
            )),
        }
        match text("license").map(|licence| (licence, satisfied(licence, &allowed))) {
            Some((_, true)) => {}
            Some((licence, false)) => findings.push(Finding::new(
                "Cargo.lock",
                format!("{name} is licensed {licence}: deny.toml allows none of that"),
            )),
            None => findings.push(Finding::new(
                "Cargo.lock",
                format!("{name} states no licence"),
            )),
        }
    }
    Ok(findings)
}

/// The strings of `allow = [ … ]` under `[licenses]`.
fn allowed(configuration: &str) -> Result<Vec<&str>> {
    let list = configuration
        .split_once("[licenses]")
        .and_then(|(_, rest)| rest.split_once("\nallow = ["))
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(list, _)| list);
    match list {
        Some(list) => Ok(list.split('"').skip(1).step_by(2).collect()),
        None => bail!("deny.toml: no `allow = [` under [licenses]"),
    }
}

/// Whether the expression can be met with the allowed licences alone.
fn satisfied(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut met = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    match words.next() {
        Some("(") => {
            let met = any(words, allowed);
            words.next() == Some(")") && met
        }
        Some(licence) => {
            // An exception only adds permissions.
            if words.next_if_eq(&"WITH").is_some() {
                words.next();
            }
            allowed.contains(&licence)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_by_the_allowed_licences_or_not() {
        let allowed = ["MIT", "Apache-2.0"];
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT/GPL-3.0-only", true),
            ("GPL-3.0-only OR Apache-2.0", true),
            ("MIT AND GPL-3.0-only", false),
            ("(MIT OR GPL-3.0-only) AND Apache-2.0", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("(MIT", false),
            ("", false),
        ] {
            assert_eq!(satisfied(expression, &allowed), expected, "{expression:?}");
        }
    }

    #[test]
    fn the_list_is_the_one_of_the_licences_section() {
        let text = "[bans]\nallow = [\"no\"]\n[licenses]\n# why\nallow = [\n    \"MIT\",\n    \"ISC\",\n]\n";
        assert_eq!(allowed(text).expect("a list"), ["MIT", "ISC"]);
        assert!(allowed("[licenses]\n").is_err());
    }
}
