//! Scripts: what a program does with a store, step by step.

use super::random::Random;
use super::tables::TABLES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Sets a key of a component; asks for the component if this process has not.
    Put(usize, u64, u64),
    /// Removes a key of a component.
    Remove(usize, u64),
    /// Does these as one step.
    Transact(&'static [Write]),
    /// Drops a component, asked for or not.
    Drop(usize),
    /// Lets so many seconds pass.
    Wait(u64),
    /// Has what waits be done in memory: keys whose time is over are removed.
    Maintain,
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

/// A part of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Set(usize, u64, u64),
    Unset(usize, u64),
}

/// The components, as scripts name them.
pub(crate) const NUMBERS: usize = 0;
pub(crate) const NAMES: usize = 1;
pub(crate) const ORDERS: usize = 2;
pub(crate) const BLOBS: usize = 3;
pub(crate) const NESTED: usize = 4;
pub(crate) const SET: usize = 5;
/// An ordered map.
pub(crate) const LADDER: usize = 6;
/// A cell.
pub(crate) const CONFIG: usize = 7;
/// A map whose keys expire.
pub(crate) const SESSIONS: usize = 8;
/// An ordered one.
pub(crate) const LEASES: usize = 9;
/// A map with a validator and a bound on keys.
pub(crate) const STRICT: usize = 10;
/// A map that keeps history.
pub(crate) const KEPT: usize = 11;

/// A transaction that writes every kind of component.
pub(crate) const EVERYWHERE: &[Write] = &[
    Write::Set(NUMBERS, 1, 1),
    Write::Set(LADDER, 1, 1),
    Write::Set(CONFIG, 0, 1),
    Write::Set(SESSIONS, 1, 1),
    Write::Set(LEASES, 2, 1),
    Write::Set(STRICT, 1, 1),
    Write::Set(KEPT, 1, 1),
];

/// One that takes back some of what the other does.
pub(crate) const ELSEWHERE: &[Write] = &[
    Write::Unset(NUMBERS, 1),
    Write::Unset(LADDER, 1),
    Write::Set(LADDER, 2, 2),
    Write::Set(CONFIG, 0, 2),
    Write::Unset(SESSIONS, 1),
    Write::Set(STRICT, 1, 2),
    Write::Unset(KEPT, 1),
];

/// Transactions for random scripts. Each writes several components, and the last two are refused now and then.
const TRANSACTIONS: &[&[Write]] = &[
    &[Write::Set(NUMBERS, 1, 41), Write::Set(LADDER, 1, 41), Write::Set(CONFIG, 0, 41), Write::Set(SESSIONS, 1, 41)],
    &[Write::Unset(NUMBERS, 1), Write::Unset(LADDER, 1), Write::Set(LADDER, 2, 42), Write::Unset(SESSIONS, 1)],
    &[Write::Set(ORDERS, 0, 43), Write::Set(LEASES, 0, 43), Write::Set(KEPT, 0, 43), Write::Set(LEASES, 1, 44)],
    &[Write::Set(NAMES, 3, 1), Write::Set(NAMES, 3, 2), Write::Unset(LEASES, 0), Write::Set(CONFIG, 0, 45)],
    &[Write::Set(STRICT, 1, 46), Write::Set(KEPT, 1, 46), Write::Set(STRICT, 5, 47), Write::Unset(STRICT, 2)],
    &[Write::Set(CONFIG, 0, 48), Write::Unset(STRICT, 1), Write::Set(STRICT, 6, 49), Write::Set(SET, 1, 0)],
];

/// A random script. Short ones, with few keys, so that keys are overwritten and removed.
pub(crate) fn random_script(seed: u64) -> Vec<Step> {
    let mut random = Random::new(seed);
    let steps = 10 + random.below(40);
    let (first, tables) = (random.below(TABLES.len() as u64), 1 + random.below(TABLES.len() as u64));
    let keys = 1 + random.below(12);
    (0..steps)
        .map(|_| {
            let table = ((first + random.below(tables)) % TABLES.len() as u64) as usize;
            let is_cell = TABLES[table].rules().is_cell;
            let key = if is_cell { 0 } else { random.below(keys) };
            match random.below(25) {
                0..8 => Step::Put(table, key, random.below(1000)),
                8..10 if is_cell => Step::Put(table, key, random.below(1000)),
                8..10 => Step::Remove(table, key),
                10..14 => Step::Frame,
                14 => Step::SnapshotFile,
                15..18 => Step::Turn,
                18 => Step::Close { file: random.below(2) == 0 },
                19 => Step::Die,
                20..22 => Step::Transact(TRANSACTIONS[random.below(TRANSACTIONS.len() as u64) as usize]),
                22 => Step::Wait(random.below(30)),
                23 => Step::Drop(table),
                _ => Step::Maintain,
            }
        })
        .collect()
}
