//! The program `weft-cni`: everything is in the library, so that tests can be the program too.
//!
//! Must not: hold logic.

use std::process::ExitCode;

fn main() -> ExitCode {
    weft_cni::main_from(std::env::args_os())
}
