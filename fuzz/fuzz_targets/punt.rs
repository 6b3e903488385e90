//! The fuzzer of packets that are handed over; what must hold is in `fuzz/src/punt.rs`.
//!
//! Must not: hold more than this line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weft_fuzz::punt::check(data));
