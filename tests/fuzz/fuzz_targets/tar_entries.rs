#![no_main]

#[path = "../checks/archive.rs"]
mod checks;
#[path = "../../content/tar_bytes.rs"]
mod tar_bytes;
#[path = "../../content/zip_bytes.rs"]
mod zip_bytes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::tar_entries(bytes));
