//! Log segments: see `stillpoint_fuzz::frames`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stillpoint_fuzz::frames::run(input));
