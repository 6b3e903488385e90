//! The fuzzer of transactions against the engine; what must hold is in `fuzz/src/ovsdb_transact.rs`.
//!
//! Must not: hold more than this line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weft_fuzz::ovsdb_transact::check(data));
