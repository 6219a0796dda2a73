//! Versions of transactions that were aborted while others helped: a late helper may still install one.

use std::collections::VecDeque;

use crate::raw::chain::{self, Latest, VersionHeader};
use crate::raw::commit::Access;
use crate::raw::commit::placed::Home;
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::era::Retired;
use crate::raw::slot::SlotHeader;
use crate::sync::watch;

/// A version that was never visible, and the slot that it may stand in.
#[derive(Clone, Copy)]
pub(crate) struct Failed {
    component: *const Component,
    slot: *const SlotHeader,
    generation: u64,
    version: *mut VersionHeader,
    home: Home,
}

impl Failed {
    pub(super) fn new(write: &Access) -> Self {
        let Access { component, slot, generation, version, home, .. } = *write;
        Self { component, slot, generation, version, home }
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

    /// Takes the version off its slot, if it does not lie in a room of that. The caller is the transaction's owner, or took its place, and nobody is
    /// left who may install the version.
    pub(crate) fn take_off(&self) -> Option<Retired> {
        if self.home == Home::Room {
            return None;
        }
        // SAFETY: not retired before.
        chain::swing(self.slot(), unsafe { &*self.version });
        // SAFETY: in no slot any more, and here once.
        Some(unsafe { self.component().retire_version(self.version) })
    }
}

impl Worker<'_> {
    /// Takes failed versions out of their slots that no late helper can install any more.
    pub(in crate::raw) fn take_out_failed(&self) {
        let safe = self.engine.eras.safe();
        // SAFETY: the worker's own record; nothing in here comes back.
        while let Some(failed) = unsafe { self.record.with_owned(|owned| owned.failed.take_safe(safe)) } {
            match failed.take_off() {
                Some(garbage) => {
                    self.retire(garbage);
                    self.leave_empty(failed.component(), failed.slot(), failed.generation);
                }
                None if self.open_rooms(&failed) => {}
                // Another has the right: later.
                None => self.leave_failed(self.engine.eras.now() + 1, failed),
            }
        }
    }

    /// Leaves a failed version until this tag is safe.
    pub(super) fn leave_failed(&self, tag: u64, failed: Failed) {
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe {
            self.record.with_owned(|owned| {
                owned.count_garbage();
                owned.failed.push(tag, failed);
            });
        }
    }

    /// Takes a failed version out of its slot, in a room of which it lies, and opens the rooms; `false` if another has the slot's right. See
    /// [`placed`](crate::raw::commit).
    fn open_rooms(&self, failed: &Failed) -> bool {
        let (slot, rooms) = (failed.slot(), failed.component().rooms);
        if !slot.try_right(rooms) {
            return false;
        }
        // A slot is purged with its right, which is kept until its generation moves: so this use of it is not over before the right is handed back.
        if slot.generation() == failed.generation {
            // SAFETY: the room is the failed version's until now.
            chain::swing(slot, unsafe { &*failed.version });
            watch::unlinked(failed.version);
            if let Latest::Version(newest) = chain::newest_final(slot, &self.engine.clock) {
                newest.version.open_rooms(self.engine.eras.tag_ahead());
            }
        }
        self.count_left_room();
        slot.hand_back(rooms);
        true
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
