//! Places: where a handle found its key, kept without a pin.
//!
//! # Words
//! A place *holds* a slot: the slot counts its holders, and is not purged while it has any. So the slot is the key's for as long as the
//! place is there, and a look needs no check: no generation, no key, no other cache line than the slot's. A place that could not
//! hold its key's slot is empty; whoever looks finds the key in the table, and has the place hold what it has found.
//!
//! # Steps
//! Holders, PURGING and OWED stand in one word of the slot's side, its *state*.
//! - **Hold** (pinned, with a slot that the table shows): count one more, if PURGING is not set.
//! - **Purge** (with the right to prune): if there are no holders, set PURGING; then swing the head, or take PURGING away if that has
//!   changed. If there are, set OWED, and leave the slot to the last of them.
//! - **Release**: count one less. The last one takes OWED away, and puts the slot into the backlog if it was set.
//!
//! # Why a slot that is held is not freed
//! Holding and setting PURGING are compare-and-swaps of one word, of which one comes first. If that is the hold, the purge sees it. If it is
//! the purge, the hold is refused, or the head had changed and PURGING has gone again. A purged slot keeps PURGING until it is freed,
//! which it is not under the pin of who found it in the table.
//!
//! # Why a slot that was held is purged at last
//! A purge that is kept off sets OWED on a state with holders. The last of them comes later in the state's order, and sees it.

use std::ptr;

use crate::raw::slot::SlotHeader;
use crate::sync::{AtomicPtr, Ordering};

/// Where a key was found.
pub(crate) struct Place {
    /// A slot that is held, or null. Set once.
    slot: AtomicPtr<SlotHeader>,
}

impl Place {
    /// A place that holds nothing.
    pub(crate) fn empty() -> Self {
        Self { slot: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The place of a slot that the table shows. The caller is pinned.
    pub(crate) fn new(slot: &SlotHeader) -> Self {
        let place = Self::empty();
        place.set(slot);
        place
    }

    /// The slot, if it is held. The caller keeps the store.
    #[inline]
    pub(crate) fn slot<'g>(&self) -> Option<&'g SlotHeader> {
        // Acquire [PLACE-2]: with AcqRel [PLACE-1]: what whoever found the slot had seen of it is seen.
        let slot = self.slot.load(Ordering::Acquire);
        // SAFETY: a slot of a component that the caller keeps; its memory is type-stable.
        unsafe { slot.as_ref() }
    }

    /// Says that the key is in a slot, which the table shows. The caller is pinned. Does nothing if the place has one already, or if
    /// the slot is about to be purged.
    pub(crate) fn set(&self, slot: &SlotHeader) {
        if !slot.hold() {
            return;
        }
        let held = ptr::from_ref(slot).cast_mut();
        // AcqRel [PLACE-1]: mate of Acquire [PLACE-2].
        let has_one = self.slot.compare_exchange(ptr::null_mut(), held, Ordering::AcqRel, Ordering::Relaxed).is_err();
        if has_one {
            let is_owed = slot.release_hold();
            debug_assert!(!is_owed, "the place holds the same slot, since its key has no other");
        }
    }

    /// Gives the slot up; returns it if it is to be put into the backlog. The caller is pinned, and keeps the store.
    pub(crate) fn give_up<'g>(&mut self) -> Option<&'g SlotHeader> {
        // Acquire [PLACE-2]: as in `slot`.
        let slot = self.slot.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: as in `slot`.
        let slot = unsafe { slot.as_ref() }?;
        slot.release_hold().then_some(slot)
    }
}
