//! Scripts: what a program does with a store, step by step.

use super::random::Random;
use super::tables::TABLES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Sets a key of a map; asks for the map if this process has not.
    Put(usize, u64, u64),
    /// Removes a key of a map.
    Remove(usize, u64),
    /// Writes a frame.
    Frame,
    /// Writes a snapshot file at once.
    SnapshotFile,
    /// Does what the thread would do: begins a snapshot file, writes a piece of it, brings in some of a map.
    Turn,
    /// Closes the store; the next step opens it.
    Close {
        /// Whether a snapshot file is written for however short a log.
        file: bool,
    },
    /// Ends the process without closing; the next step opens the store.
    Die,
}

/// The maps, as scripts name them.
pub(crate) const NUMBERS: usize = 0;
pub(crate) const NAMES: usize = 1;
pub(crate) const ORDERS: usize = 2;
pub(crate) const BLOBS: usize = 3;
pub(crate) const NESTED: usize = 4;
pub(crate) const SET: usize = 5;

/// A random script. Short ones, with few keys, so that keys are overwritten and removed.
pub(crate) fn random_script(seed: u64) -> Vec<Step> {
    let mut random = Random::new(seed);
    let steps = 10 + random.below(40);
    let tables = 1 + random.below(TABLES.len() as u64);
    let keys = 1 + random.below(12);
    (0..steps)
        .map(|_| {
            let table = random.below(tables) as usize;
            let key = random.below(keys);
            match random.below(20) {
                0..8 => Step::Put(table, key, random.below(1000)),
                8..10 => Step::Remove(table, key),
                10..14 => Step::Frame,
                14 => Step::SnapshotFile,
                15..18 => Step::Turn,
                18 => Step::Close { file: random.below(2) == 0 },
                _ => Step::Die,
            }
        })
        .collect()
}
