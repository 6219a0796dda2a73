//! How long steps take, in each of which some records are added, beside a snapshot file that is being written and otherwise.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time that is told apart.
const LONGEST_NS: u64 = 10_000_000_000;

/// Times of steps, in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Latencies {
    /// While no snapshot file was being written.
    pub(super) alone: Histogram<u64>,
    /// While one was.
    pub(super) beside: Histogram<u64>,
}

impl Latencies {
    pub(super) fn new() -> Self {
        let empty = || {
            let mut histogram = Histogram::new_with_max(LONGEST_NS, 3)
                .unwrap_or_else(|_| unreachable!("three digits up to ten seconds is a good range"));
            histogram.auto(true);
            histogram
        };
        Self { alone: empty(), beside: empty() }
    }

    /// Takes in one step's.
    pub(super) fn record(&mut self, time: Duration, beside_snapshot_file: bool) {
        let histogram = if beside_snapshot_file { &mut self.beside } else { &mut self.alone };
        histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(LONGEST_NS));
    }

    /// Adds another worker's.
    pub(super) fn add(&mut self, other: &Self) {
        for (mine, theirs) in [(&mut self.alone, &other.alone), (&mut self.beside, &other.beside)] {
            mine.add(theirs).unwrap_or_else(|_| unreachable!("both have the same range"));
        }
    }
}
