//! The fuzzer of what an OVSDB server sends a client; what must hold is in `fuzz/src/ovsdb_reply.rs`.
//!
//! Must not: hold more than this line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weft_fuzz::ovsdb_reply::check(data));
