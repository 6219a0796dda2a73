//! Directories: see `stillpoint_fuzz::directory`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stillpoint_fuzz::directory::run(input));
