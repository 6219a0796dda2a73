//! A worker that prunes: what [`chain::prune`] needs to know and to do, in a store.

use crate::raw::backlog::WaitsFor;
use crate::raw::chain::{self, Pruned, Pruner, VersionHeader};
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::registry::LiveView;
use crate::raw::slot::SlotHeader;
use crate::raw::stamp::Stamp;

/// A worker that prunes a slot's chain.
pub(super) struct Pruning<'w, 'g> {
    worker: Worker<'g>,
    component: &'w Component,
    slot: &'w SlotHeader,
    /// A view that is there already.
    view: Option<&'w LiveView>,
    /// Whether the thread's block of the backlog was filled.
    pub(super) has_filled_a_block: bool,
}

impl<'w, 'g> Pruning<'w, 'g> {
    pub(super) fn new(worker: Worker<'g>, component: &'w Component, slot: &'w SlotHeader) -> Self {
        Self { worker, component, slot, view: None, has_filled_a_block: false }
    }

    pub(super) fn judged_by(self, view: &'w LiveView) -> Self {
        Self { view: Some(view), ..self }
    }

    pub(super) fn prune(&mut self, looks: usize, watched: Option<u64>) -> Pruned {
        chain::prune(self.slot, &self.worker.engine.clock, looks, watched, self)
    }

    /// Leaves the slot to be looked at again.
    pub(super) fn enqueue(&mut self, waits_for: WaitsFor) {
        self.has_filled_a_block |= self.worker.put_in_backlog(self.component, self.slot, waits_for);
    }
}

impl Pruner for Pruning<'_, '_> {
    fn witness(&mut self, from: u64, until: u64) -> Option<u64> {
        match self.view {
            Some(view) if until <= view.clock => view.oldest_within(from, until),
            _ => self.worker.witness(from, until),
        }
    }

    fn retire(&mut self, version: *mut VersionHeader) {
        self.worker.record.tally.unlinked.add(1);
        // SAFETY: the pruner has just unlinked it, alone.
        self.worker.retire(unsafe { self.component.retire_version(version) });
    }

    fn watch(&mut self, snapshot: u64) {
        self.enqueue(WaitsFor::Snapshot(snapshot));
    }
}

/// What a slot waits for by itself, besides its watched versions: a tombstone above such waits for them first.
pub(super) fn waits_for(pruned: Pruned, is_tombstone: bool, newest: Stamp) -> Option<WaitsFor> {
    match pruned {
        Pruned::Single => is_tombstone.then_some(WaitsFor::Floor(newest.tick())),
        Pruned::Seen => None,
        Pruned::Unfinished | Pruned::Busy => Some(WaitsFor::Look),
    }
}
