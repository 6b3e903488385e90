//! `xtask/setup.sh` on machines that have no Rust, or too old a one: a stand-in `rustup` takes the place of the
//! real one, whose download is not this repository's to test.
//!
//! The stand-in is also the `cargo` it would install, as rustup's proxies are: it answers with the version of the
//! toolchain that is selected.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

struct Machine {
    folder: tempfile::TempDir,
}

/// Whether a cargo is there before.
enum Cargo {
    Missing,
    Old,
}

impl Machine {
    fn new(cargo: Cargo) -> Machine {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let bin = folder.path().join("bin");
        fs::create_dir_all(folder.path().join("repository/xtask")).expect("made");
        fs::create_dir_all(&bin).expect("made");
        for file in ["Cargo.toml", "xtask/setup.sh"] {
            fs::copy(root.join(file), folder.path().join("repository").join(file)).expect("copied");
        }
        for tool in [
            "sh", "sed", "sort", "head", "dirname", "id", "cc", "ln", "cp",
        ] {
            let real = Command::new("sh")
                .args(["-c", &format!("command -v {tool}")])
                .output()
                .expect("sh runs");
            let real = String::from_utf8(real.stdout).expect("a path");
            symlink(real.trim(), bin.join(tool)).expect("linked");
        }
        let rustup = bin.join("rustup");
        fs::write(&rustup, STAND_IN).expect("written");
        fs::set_permissions(&rustup, fs::Permissions::from_mode(0o755)).expect("executable");
        if let Cargo::Old = cargo {
            symlink(&rustup, bin.join("cargo")).expect("linked");
        }
        Machine { folder }
    }

    /// What the script prints on stdout, or its stderr when it fails.
    fn setup(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(self.folder.path().join("repository/xtask/setup.sh"))
            .args(arguments)
            .env_clear()
            .env("PATH", self.folder.path().join("bin"))
            .env("HOME", self.folder.path())
            .output()
            .expect("the script runs");
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).expect("text"))
        } else {
            Err(String::from_utf8(output.stderr).expect("text"))
        }
    }

    fn rustup_was_told(&self) -> String {
        fs::read_to_string(self.folder.path().join("told")).unwrap_or_default()
    }
}

#[test]
fn a_machine_without_cargo_gets_the_stable_toolchain_from_the_rustup_it_has() {
    let machine = Machine::new(Cargo::Missing);
    let printed = machine.setup(&["build", "--", "cargo", "--version"]);
    assert_eq!(printed.as_deref(), Ok("cargo 99.0.0 (stand-in)\n"));
    assert_eq!(
        machine.rustup_was_told(),
        "toolchain install stable --profile minimal\n"
    );
}

#[test]
fn a_cargo_that_is_too_old_is_passed_over_for_the_stable_toolchain() {
    let machine = Machine::new(Cargo::Old);
    let printed = machine.setup(&["build", "--", "cargo", "--version"]);
    assert_eq!(printed.as_deref(), Ok("cargo 99.0.0 (stand-in)\n"));
    // Once installed it is found again: nothing is installed twice.
    let again = machine.setup(&["build", "--", "cargo", "--version"]);
    assert_eq!(again.as_deref(), Ok("cargo 99.0.0 (stand-in)\n"));
    assert_eq!(
        machine.rustup_was_told(),
        "toolchain install stable --profile minimal\n"
    );
}

#[test]
fn linting_adds_the_components_that_are_missing() {
    let machine = Machine::new(Cargo::Missing);
    machine.setup(&["build", "lint"]).expect("set up");
    assert_eq!(
        machine.rustup_was_told(),
        "toolchain install stable --profile minimal\ncomponent add rustfmt clippy\n"
    );
}

#[test]
fn a_job_nobody_knows_is_refused_by_name() {
    let machine = Machine::new(Cargo::Missing);
    let refused = machine
        .setup(&["biuld", "--", "true"])
        .expect_err("refused");
    assert_eq!(
        refused,
        "setup: unknown job 'biuld': build, lint, fabric, test, vm or fuzz, then -- and a command\n"
    );
}

const STAND_IN: &str = r#"#!/bin/sh
case ${0##*/} in
rustup)
    echo "$*" >>"$HOME/told"
    case $1 in
    toolchain) : >"$HOME/stable"; [ -e "${0%/*}/cargo" ] || ln -s rustup "${0%/*}/cargo" ;;
    component) : >"$HOME/components" ;;
    esac
    ;;
cargo)
    case $1 in
    fmt | clippy) [ -e "$HOME/components" ] ;;
    --version)
        if [ -e "$HOME/stable" ] && [ "$RUSTUP_TOOLCHAIN" = stable ]; then
            echo "cargo 99.0.0 (stand-in)"
        else
            echo "cargo 1.63.0 (stand-in)"
        fi
        ;;
    esac
    ;;
esac
"#;
