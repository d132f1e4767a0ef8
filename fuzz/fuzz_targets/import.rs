//! `cargo fuzz` gives any bytes to `src/import.rs`.
#![no_main]

#[path = "../src/import.rs"]
mod import;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| import::try_input(bytes));
