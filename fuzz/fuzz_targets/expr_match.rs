//! The fuzzer of match expressions and actions; what must hold is in `fuzz/src/expr_match.rs`.
//!
//! Must not: hold more than this line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weft_fuzz::expr_match::check(data));
