//! What must hold of every decoder, whatever the bytes: no panic, and nothing lost in a round trip.
//!
//! ```text
//! fuzz_targets/NAME.rs ── libFuzzer, `make fuzz` ──▶ NAME::check(bytes) ◀── tests/: seeds cut at every length and with
//!                                                                          bytes changed, random bytes, `make test`
//! ```
//!
//! A module per target, each with `check`, which panics when something does not hold, and `seeds`, the inputs to start
//! from. Where a format is canonical, decoding and encoding gives the same bytes; elsewhere decoding, encoding and
//! decoding gives the same value. A panic found by a fuzzer becomes a named test beside the code that is at fault.
//!
//! Must not: be needed by anything else; take an input's side (what is refused is refused).
#![forbid(unsafe_code)]

pub mod expr_match;
pub mod frame;
pub mod nb_row;
pub mod openflow_message;
pub mod openflow_text;
pub mod ovsdb_message;
pub mod ovsdb_reply;
pub mod ovsdb_schema;
pub mod ovsdb_transact;
pub mod punt;
mod zoo;

/// A target: its name, what must hold, and the inputs to start from.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As in `fuzz/fuzz_targets/`.
    pub name: &'static str,
    /// Panics when something does not hold.
    pub check: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($( $name:ident, )*) => {
        /// All targets.
        pub const TARGETS: &[Target] = &[$( Target {
            name: stringify!($name),
            check: $name::check,
            seeds: $name::seeds,
        }, )*];
    };
}

targets! {
    expr_match,
    frame,
    nb_row,
    openflow_message,
    openflow_text,
    ovsdb_message,
    ovsdb_reply,
    ovsdb_schema,
    ovsdb_transact,
    punt,
}

/// The lines of a golden file that come in pairs: what it is, and its bytes in hexadecimal digits.
fn golden(text: &'static str) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let what = lines.next()?;
        let digits: Vec<u8> = lines.next()?.bytes().collect();
        let bytes = digits.chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).expect("a golden file is ASCII");
            u8::from_str_radix(pair, 16).expect("hexadecimal digits")
        });
        Some((what, bytes.collect()))
    })
}
