//! What a thread has done in a store, counted for people to look at.

use std::iter::Sum;

use crate::sync::figure::Figure;

/// Counters of one thread, in its record: each is changed by its owner alone.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Versions that were installed, but for those that were written in place of another.
    pub(crate) installed: Figure,
    /// Versions that were taken out of their chains, but for those.
    pub(crate) unlinked: Figure,
    /// Versions that were written in place of another one, which was taken out.
    pub(crate) rewritten: Figure,
    /// Versions, slots and parts of indexes that were retired.
    pub(crate) retired: Figure,
    /// Those of them that were reclaimed.
    pub(crate) reclaimed: Figure,
    /// Writes that met another one at their key, and began anew.
    pub(crate) retries: Figure,
    /// Conditional writes that found another version than they expected.
    pub(crate) conflicts: Figure,
    /// Removed keys that were purged.
    pub(crate) purged: Figure,
    /// Bytes of versions that were installed outside of their slots.
    pub(crate) version_bytes_in: Figure,
    /// Bytes of those of them that were taken out of their chains.
    pub(crate) version_bytes_out: Figure,
    /// Bytes of versions that were retired.
    pub(crate) garbage_bytes_in: Figure,
    /// Bytes of those of them that were reclaimed.
    pub(crate) garbage_bytes_out: Figure,
}

/// The sum of all threads' counters.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tallied {
    pub(crate) installed: u64,
    pub(crate) unlinked: u64,
    pub(crate) retired: u64,
    pub(crate) reclaimed: u64,
    pub(crate) retries: u64,
    pub(crate) conflicts: u64,
    pub(crate) purged: u64,
    version_bytes_in: u64,
    version_bytes_out: u64,
    garbage_bytes_in: u64,
    garbage_bytes_out: u64,
}

impl Tallied {
    /// Versions in chains. A sum beside writers may miss what came and count what went.
    pub(crate) fn versions(self) -> u64 {
        self.installed.saturating_sub(self.unlinked)
    }

    /// What is retired and not reclaimed.
    pub(crate) fn garbage(self) -> u64 {
        self.retired.saturating_sub(self.reclaimed)
    }

    /// Bytes of versions in chains, outside of their slots.
    pub(crate) fn version_bytes(self) -> u64 {
        self.version_bytes_in.saturating_sub(self.version_bytes_out)
    }

    /// Bytes of versions that are retired and not reclaimed.
    pub(crate) fn garbage_bytes(self) -> u64 {
        self.garbage_bytes_in.saturating_sub(self.garbage_bytes_out)
    }
}

impl<'t> Sum<&'t Tally> for Tallied {
    fn sum<I: Iterator<Item = &'t Tally>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, tally| Self {
            // What goes is read before what comes, so that a sum beside writers is rather too large than below zero.
            unlinked: sum.unlinked.wrapping_add(tally.unlinked.value()).wrapping_add(tally.rewritten.value()),
            version_bytes_out: sum.version_bytes_out.wrapping_add(tally.version_bytes_out.value()),
            garbage_bytes_out: sum.garbage_bytes_out.wrapping_add(tally.garbage_bytes_out.value()),
            reclaimed: sum.reclaimed.wrapping_add(tally.reclaimed.value()),
            installed: sum.installed.wrapping_add(tally.installed.value()).wrapping_add(tally.rewritten.value()),
            retired: sum.retired.wrapping_add(tally.retired.value()),
            version_bytes_in: sum.version_bytes_in.wrapping_add(tally.version_bytes_in.value()),
            garbage_bytes_in: sum.garbage_bytes_in.wrapping_add(tally.garbage_bytes_in.value()),
            retries: sum.retries.wrapping_add(tally.retries.value()),
            conflicts: sum.conflicts.wrapping_add(tally.conflicts.value()),
            purged: sum.purged.wrapping_add(tally.purged.value()),
        })
    }
}
