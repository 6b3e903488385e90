//! The fuzzer of flows, groups and matches as text; what must hold is in `fuzz/src/openflow_text.rs`.
//!
//! Must not: hold more than this line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weft_fuzz::openflow_text::check(data));
