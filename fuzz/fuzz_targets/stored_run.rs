//! `cargo fuzz` gives any bytes to `src/stored_run.rs`.
#![no_main]

#[path = "../src/stored_run.rs"]
mod stored_run;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stored_run::try_input(bytes));
