//! How a log is written.

use super::position::{ClosedSegment, NextFrame};

/// How a log is written.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The store that writes it.
    pub store: u128,
    /// Where the log continues.
    pub next: NextFrame,
    /// A random number, new for each process: old bytes that a disk brings back must not count.
    pub salt: u64,
    /// A segment is closed once it is longer.
    pub segment_bytes: u64,
    /// Segments grow by this many bytes at a time, written as zeros: a power of two, at least two pages.
    pub zero_step: u32,
    /// Segments of earlier processes, for [`LogWriter::remove_covered`](super::LogWriter::remove_covered).
    pub closed: Vec<ClosedSegment>,
}

impl LogOptions {
    /// The defaults: segments of 16 MiB that grow by 4 MiB, in a new log.
    pub fn new(store: u128, salt: u64) -> Self {
        let (segment_bytes, zero_step) = (16 << 20, 4 << 20);
        Self { store, next: NextFrame::default(), salt, segment_bytes, zero_step, closed: Vec::new() }
    }
}
