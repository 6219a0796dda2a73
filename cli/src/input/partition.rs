//! Which record belongs to which partition, and how far each partition has come.

use std::fmt;

/// Counts the lines of a block. At 32 bytes a line a block fits a core's first-level cache, and what handing it over
/// costs is spread over a thousand records.
pub const BLOCK_RECORDS: u64 = 1024;

/// Counts the partitions. Fixed, so that positions that were kept stay true when the number of workers changes.
pub const PARTITIONS: usize = 8;

/// Names one of the [`PARTITIONS`] that the records are dealt out to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u8);

impl Partition {
    /// Makes the partition of this number, or nothing if there is none.
    pub const fn new(number: usize) -> Option<Self> {
        if number < PARTITIONS { Some(Self(number as u8)) } else { None }
    }

    /// Returns the partition of the record with this index.
    #[inline]
    pub const fn of_record(record: u64) -> Self {
        Self::of_block(record / BLOCK_RECORDS)
    }

    /// Returns the partition of the block with this index.
    #[inline]
    pub const fn of_block(block: u64) -> Self {
        Self((block % PARTITIONS as u64) as u8)
    }

    /// Returns all partitions, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + Clone {
        (0..PARTITIONS as u8).map(Self)
    }

    /// Returns the partition's number, below [`PARTITIONS`].
    #[inline]
    pub const fn number(self) -> usize {
        self.0 as usize
    }

    /// Returns which of `workers` owns the partition.
    #[inline]
    pub const fn owner(self, workers: usize) -> usize {
        self.number() % workers
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Says, for each partition, from which record on it still needs records: its records with a smaller index are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Positions([u64; PARTITIONS]);

impl Positions {
    /// Nothing is applied.
    pub const START: Self = Self([0; PARTITIONS]);

    /// Returns the first record that `partition` may still need.
    #[inline]
    pub const fn next(&self, partition: Partition) -> u64 {
        self.0[partition.number()]
    }

    /// Says that `partition` needs the records from `next` on.
    #[inline]
    pub const fn set(&mut self, partition: Partition, next: u64) {
        self.0[partition.number()] = next;
    }

    /// Counts the records that are applied, over all partitions.
    pub fn applied(&self) -> u64 {
        Partition::all().map(|partition| records_before(partition, self.next(partition))).sum()
    }
}

/// Counts the records of `partition` whose index is below `next`.
const fn records_before(partition: Partition, next: u64) -> u64 {
    let round = BLOCK_RECORDS * PARTITIONS as u64;
    let into_round = (next % round).saturating_sub(partition.number() as u64 * BLOCK_RECORDS);
    let of_this_round = if into_round < BLOCK_RECORDS { into_round } else { BLOCK_RECORDS };
    next / round * BLOCK_RECORDS + of_this_round
}

const _: () = assert!(PARTITIONS <= u8::MAX as usize, "a partition's number is kept in a byte");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_go_round_the_partitions() {
        assert_eq!(Partition::of_record(0).number(), 0);
        assert_eq!(Partition::of_record(1023).number(), 0);
        assert_eq!(Partition::of_record(1024).number(), 1);
        assert_eq!(Partition::of_record(8 * 1024).number(), 0);
        assert_eq!(Partition::new(PARTITIONS), None);
    }

    #[test]
    fn what_is_applied_is_what_counting_says() {
        let mut counted = [0; PARTITIONS];
        for next in 0..20_000 {
            for partition in Partition::all() {
                assert_eq!(records_before(partition, next), counted[partition.number()]);
            }
            counted[Partition::of_record(next).number()] += 1;
        }
    }
}
