//! The records that are built into the program, so that a demonstration needs no file. See `data/README.md` for where they
//! come from.

/// Holds 200,000 flights of January 2001 as text compressed with zstd.
pub static FLIGHTS: &[u8] = include_bytes!("../data/flights-200k.csv.zst");

/// Counts the records in [`FLIGHTS`].
pub const FLIGHTS_RECORDS: u64 = 200_000;
