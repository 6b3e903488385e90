//! The fuzzer of OpenFlow messages as bytes; what must hold is in `fuzz/src/openflow_message.rs`.
//!
//! Must not: hold more than this line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weft_fuzz::openflow_message::check(data));
