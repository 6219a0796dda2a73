//! What a slot held at a tick that nobody has registered. Why it is true or refused: see [`lineage`](crate::raw::lineage).

use crate::raw::chain::{self, Latest, Newest, VersionHeader};
use crate::raw::clock::Clock;
use crate::raw::lineage::Recording;
use crate::raw::slot::SlotHeader;

/// What is known of a slot at a tick.
#[derive(Clone, Copy)]
pub(crate) enum Held<'g> {
    /// This version, which may be a tombstone.
    Version(&'g VersionHeader),
    /// Nothing: the slot came later. What its key held before is not the slot's matter.
    Nothing,
    /// It is no longer known. This version is the oldest from which on it is.
    Gone(&'g VersionHeader),
}

/// Reads what a slot held at a tick that the clock has passed, behind a fence. The caller is pinned.
pub(crate) fn held<'g>(slot: &SlotHeader, tick: u64, clock: &Clock, recording: &Recording) -> Held<'g> {
    let Latest::Version(Newest { version: newest, .. }) = chain::newest_at(slot, tick, clock) else {
        return Held::Nothing;
    };
    let mut newer = newest;
    if newer.stamp().tick() <= tick {
        return Held::Version(newer);
    }
    for older in run(newest, recording) {
        if older.stamp().tick() <= tick {
            return Held::Version(older);
        }
        newer = older;
    }
    if recording.is_first(newer) { Held::Nothing } else { Held::Gone(newer) }
}

/// The versions below this one that replaced each other, none between them having gone. The caller is pinned.
pub(crate) fn run<'g>(newest: &'g VersionHeader, recording: &Recording) -> impl Iterator<Item = &'g VersionHeader> {
    let next = |newer: &&'g VersionHeader| newer.prev().filter(|older| recording.is_next(newer, older));
    std::iter::successors(Some(newest), next).skip(1)
}

/// The tick from which on it is known what a slot held. The caller is pinned.
pub(crate) fn known_since(slot: &SlotHeader, clock: &Clock, recording: &Recording) -> u64 {
    let Latest::Version(Newest { version: newest, .. }) = chain::read(slot, clock) else { return 0 };
    let oldest = run(newest, recording).last().unwrap_or(newest);
    if recording.is_first(oldest) { 0 } else { oldest.stamp().tick() }
}
