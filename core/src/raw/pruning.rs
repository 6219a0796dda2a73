//! A worker that prunes: what [`chain::prune`] needs to know and to do, in a store.

use crate::raw::backlog::WaitsFor;
use crate::raw::chain::{self, Pruned, Pruner, VersionHeader};
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::registry::LiveView;
use crate::raw::slot::SlotHeader;

/// A worker that prunes a slot's chain.
pub(super) struct Pruning<'w, 'g> {
    pub(super) worker: Worker<'g>,
    pub(super) component: &'w Component,
    slot: &'w SlotHeader,
    /// A view that is there already.
    view: Option<&'w LiveView>,
    /// Whether the thread's block of the backlog was filled.
    pub(super) has_filled_a_block: bool,
    /// How many versions below the newest are kept: what the last look has found.
    pub(super) kept: u64,
    /// When the oldest of those was replaced that history keeps.
    pub(super) oldest_replaced: Option<u64>,
    /// The tick of the oldest of those that are kept for readers of every change.
    pub(super) oldest_unread: Option<u64>,
}

impl<'w, 'g> Pruning<'w, 'g> {
    pub(super) fn new(worker: Worker<'g>, component: &'w Component, slot: &'w SlotHeader) -> Self {
        let (kept, oldest_replaced, oldest_unread) = (0, None, None);
        Self { worker, component, slot, view: None, has_filled_a_block: false, kept, oldest_replaced, oldest_unread }
    }

    pub(super) fn judged_by(self, view: &'w LiveView) -> Self {
        Self { view: Some(view), ..self }
    }

    pub(super) fn prune(&mut self, looks: usize, watched: Option<u64>) -> Pruned {
        chain::prune(self.slot, &self.worker.engine.clock, looks, watched, self)
    }

    /// As [`prune`](Self::prune), by who has the right already, and hands it back.
    pub(super) fn prune_with_right(&mut self, looks: usize) -> Pruned {
        chain::prune_with_right(self.slot, &self.worker.engine.clock, looks, None, self)
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

    fn keeps(&mut self, above: u64, newer: &VersionHeader, older: &VersionHeader) -> bool {
        let Some(recording) = self.component.recording() else { return false };
        if above == 1 {
            (self.kept, self.oldest_replaced, self.oldest_unread) = (0, None, None);
        }
        let replaced = recording.lineage(newer).time;
        let now = self.worker.engine.time.known();
        let tick = older.stamp().tick();
        if recording.keep.keeps(above, replaced, now) && !recording.has_let_go() {
            self.oldest_replaced = Some(replaced);
        } else if !recording.lets_pass(tick) {
            self.oldest_unread = Some(tick);
        } else {
            return false;
        }
        self.kept = above;
        true
    }

    fn tag(&self, version: &VersionHeader) -> u64 {
        if self.component.rooms.has(self.slot, version) { self.worker.engine.eras.tag_ahead() } else { 0 }
    }

    fn try_right(&self) -> bool {
        self.slot.try_right(self.component.rooms)
    }

    fn hand_back(&self) {
        self.slot.hand_back(self.component.rooms);
    }

    fn retire(&mut self, version: *mut VersionHeader) {
        // SAFETY: the pruner has just unlinked it, alone.
        unsafe { self.worker.retire_version(self.component, self.slot, version) };
    }

    fn watch(&mut self, snapshot: u64) {
        self.enqueue(WaitsFor::Snapshot(snapshot));
    }
}
