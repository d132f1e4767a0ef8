//! `cargo fuzz` gives any bytes to `src/trace.rs`.
#![no_main]

#[path = "../src/trace.rs"]
mod trace;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trace::try_input(bytes));
