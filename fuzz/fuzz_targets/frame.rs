//! The fuzzer of packets as bytes; what must hold is in `fuzz/src/frame.rs`.
//!
//! Must not: hold more than this line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weft_fuzz::frame::check(data));
