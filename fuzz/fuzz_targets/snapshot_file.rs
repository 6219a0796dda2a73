//! Snapshot files: see `stillpoint_fuzz::snapshot_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stillpoint_fuzz::snapshot_file::run(input));
