//! Versions of transactions that were aborted while others helped: a late helper may still install one.

use std::collections::VecDeque;

use crate::raw::chain::{self, VersionHeader};
use crate::raw::commit::Access;
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::era::Retired;
use crate::raw::slot::SlotHeader;

/// A version that was never visible, and the slot that it may stand in.
#[derive(Clone, Copy)]
pub(crate) struct Failed {
    component: *const Component,
    slot: *const SlotHeader,
    generation: u64,
    version: *mut VersionHeader,
}

impl Failed {
    pub(super) fn new(write: &Access) -> Self {
        Self { component: write.component, slot: write.slot, generation: write.generation, version: write.version }
    }

    /// Its component.
    pub(crate) fn component<'g>(&self) -> &'g Component {
        // SAFETY: components live as long as their store.
        unsafe { &*self.component }
    }

    /// The slot that it was meant for.
    pub(crate) fn slot<'g>(&self) -> &'g SlotHeader {
        // SAFETY: slots are type-stable as long as their store.
        unsafe { &*self.slot }
    }

    /// Takes the version out of its slot. The caller is the transaction's owner, or took its place, and nobody is left who may install
    /// the version.
    pub(crate) fn take_out(&self) -> Retired {
        // SAFETY: not retired before.
        chain::swing(self.slot(), unsafe { &*self.version });
        // SAFETY: in no slot any more, and here once.
        unsafe { self.component().retire_version(self.version) }
    }
}

impl Worker<'_> {
    /// Takes failed versions out of their slots that no late helper can install any more.
    pub(in crate::raw) fn take_out_failed(&self) {
        let safe = self.engine.eras.safe();
        // SAFETY: the worker's own record; nothing in here comes back.
        while let Some(failed) = unsafe { self.record.with_owned(|owned| owned.failed.take_safe(safe)) } {
            self.retire(failed.take_out());
            self.leave_empty(failed.component(), failed.slot(), failed.generation);
        }
    }
}

/// A thread's failed versions, each with the era that has to be safe before it is taken out.
#[derive(Default)]
pub(crate) struct FailedQueue {
    waiting: VecDeque<(u64, Failed)>,
}

impl FailedQueue {
    pub(super) fn push(&mut self, tag: u64, failed: Failed) {
        self.waiting.push_back((tag, failed));
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The oldest one, if it may be taken out given up to which era memory is safe.
    pub(crate) fn take_safe(&mut self, safe: u64) -> Option<Failed> {
        let (tag, _) = self.waiting.front()?;
        if *tag > safe { None } else { self.waiting.pop_front().map(|(_, failed)| failed) }
    }

    /// Takes over what another thread left.
    pub(crate) fn adopt(&mut self, other: &mut Self) {
        self.waiting.append(&mut other.waiting);
        self.waiting.make_contiguous().sort_by_key(|(tag, _)| *tag);
    }
}
