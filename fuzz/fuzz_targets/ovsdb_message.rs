//! The fuzzer of what a client sends an OVSDB server; what must hold is in `fuzz/src/ovsdb_message.rs`.
//!
//! Must not: hold more than this line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weft_fuzz::ovsdb_message::check(data));
