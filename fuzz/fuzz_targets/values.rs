//! Archived keys and values: see `stillpoint_fuzz::values`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stillpoint_fuzz::values::run(input));
