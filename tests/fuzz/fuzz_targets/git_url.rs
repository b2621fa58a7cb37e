#![no_main]

#[path = "../checks/git_url.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|text: &str| checks::git_url(text));
