//! Texts of schemas: see `stillpoint_fuzz::schema`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stillpoint_fuzz::schema::run(input));
