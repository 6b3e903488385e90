//! The fuzzer of database schemas; what must hold is in `fuzz/src/ovsdb_schema.rs`.
//!
//! Must not: hold more than this line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weft_fuzz::ovsdb_schema::check(data));
