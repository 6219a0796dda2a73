//! A worker at components that keep history: what a change says of itself, and what waits for time.

use std::mem;
use std::num::NonZeroU64;

use crate::raw::backlog::WaitsFor;
use crate::raw::chain::{Newest, Pruned, VersionHeader};
use crate::raw::engine::Worker;
use crate::raw::lineage::Recording;
use crate::raw::pruning::Pruning;
use crate::raw::stamp::Stamp;
use crate::tuning;

impl<'g> Worker<'g> {
    /// Says of a version that is not yet published what follows from the one that it replaces. Asks the time, so it stands before anything is
    /// announced.
    #[cold]
    pub(crate) fn record_change(&self, recording: &Recording, new: *mut VersionHeader, replaced: Option<Newest<'g>>) {
        let now = self.engine.time.now();
        // SAFETY: the worker's own record; nothing in here comes back.
        let origin = unsafe { self.record.with_owned(|owned| owned.origin) };
        // SAFETY: the caller's alone.
        unsafe { recording.follow(new, replaced.map(|replaced| replaced.version), now, origin) };
    }

    /// Says who or what makes the thread's changes from now on; returns who did.
    pub(crate) fn set_origin(&self, origin: Option<NonZeroU64>) -> Option<NonZeroU64> {
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe { self.record.with_owned(|owned| mem::replace(&mut owned.origin, origin)) }
    }
}

impl Pruning<'_, '_> {
    /// Prunes the chain of a key that has a history, if it is time to look at it.
    #[cold]
    pub(super) fn prune_recorded(&mut self, recording: &Recording, newest: &VersionHeader, stamp: Stamp) {
        let lineage = recording.lineage(newest);
        if lineage.is_look_due() {
            let pruned = self.prune(tuning::PRUNE_LOOKS, None);
            lineage.has_looked(self.kept);
            self.wait(pruned, newest, stamp);
        } else if let Some(time) = recording.keep.look_again_at(lineage.time, lineage.time) {
            self.enqueue(WaitsFor::Time(time));
        }
    }

    /// Whether history keeps the removal of a key, of which nothing else is left.
    pub(super) fn keeps_removal(&self, tombstone: &VersionHeader) -> bool {
        let keeps = |recording: &Recording| {
            let now = self.worker.engine.time.known();
            recording.keep.is_young(recording.lineage(tombstone).time, now) && !recording.has_let_go()
        };
        self.component.recording().is_some_and(keeps)
    }

    /// Leaves the slot to be looked at again, if it waits for something by itself, besides its watched versions: a tombstone above such waits
    /// for them first.
    pub(super) fn wait(&mut self, pruned: Pruned, newest: &VersionHeader, stamp: Stamp) -> Option<WaitsFor> {
        let look_again_at = |recording: &Recording, replaced| {
            recording.keep.look_again_at(replaced, self.worker.engine.time.known()).map(WaitsFor::Time)
        };
        let waits_for = match pruned {
            Pruned::Single if !newest.is_tombstone() => None,
            Pruned::Single => match self.component.recording() {
                Some(recording) if self.keeps_removal(newest) => {
                    look_again_at(recording, recording.lineage(newest).time)
                }
                _ => Some(WaitsFor::Floor(stamp.tick())),
            },
            Pruned::Kept => {
                self.component.recording().and_then(|recording| look_again_at(recording, self.oldest_replaced))
            }
            Pruned::Seen => None,
            Pruned::Unfinished | Pruned::Busy => Some(WaitsFor::Look),
        }?;
        self.enqueue(waits_for);
        Some(waits_for)
    }
}
