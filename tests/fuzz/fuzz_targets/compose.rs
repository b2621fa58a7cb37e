#![no_main]

#[path = "../checks/compose.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::compose(bytes));
