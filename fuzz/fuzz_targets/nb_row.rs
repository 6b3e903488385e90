//! The fuzzer of rows of the northbound database; what must hold is in `fuzz/src/nb_row.rs`.
//!
//! Must not: hold more than this line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weft_fuzz::nb_row::check(data));
