//! Places: where a handle found its key, kept without a pin.
//!
//! # Words
//! A *place* is a slot's address and the slot's generation then. It pins nothing: the slot may be purged, freed, and used for
//! another key. Slots are type-stable, so the address always points at a slot header.
//!
//! # Steps
//! - **Look** (pinned): read address and generation, together; read the slot's head, then its generation. The slot is the key's if
//!   the head is a version and the generation is the same; else the key must be looked up.
//! - **Set** (pinned, with a slot that the table shows): by whoever found the key again, if nobody else is at it.
//!
//! # Why a look never takes another key's slot
//! A slot goes version → PURGED → unlinked → retired → freed (its generation moves) → used again (its head is empty, then a
//! version). Take a look with the generation of an earlier use. Either the slot was retired before the look's pin, early enough
//! to be freed under it, or not.
//! - If it was, the head that the look loads is PURGED, empty, or a version of a later use. The first two are refused. A version was
//!   published by a thread that had met the slot in its later use, so after it was freed: the generation, *read after the head*,
//!   shows it.
//! - If it was not, the slot is not freed under the pin. It either is still in the use that the place speaks of, or has left it
//!   before the pin, and then both head and generation show it.
//!
//! Address and generation are two words. A *turn* is odd while they change, and moves with each change, so a look knows whether
//! what it has read belongs together. One that is not sure looks the key up; it never waits.

use std::ptr;

use crate::raw::slot::{Head, SlotHeader};
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicPtr, AtomicU64, Ordering};

/// In a turn: address and generation are being changed.
const CHANGING: u64 = 1;

/// Where a key was found.
pub(crate) struct Place {
    turn: AtomicU64,
    slot: AtomicPtr<SlotHeader>,
    generation: AtomicU64,
}

impl Place {
    /// The place of a slot that the table shows. The caller is pinned.
    pub(crate) fn new(slot: &SlotHeader) -> Self {
        Self {
            turn: AtomicU64::new(0),
            slot: AtomicPtr::new(ptr::from_ref(slot).cast_mut()),
            generation: AtomicU64::new(slot.generation()),
        }
    }

    /// The slot, if it still holds a version of the key. The caller is pinned for `'g`, and keeps the store.
    #[inline]
    pub(crate) fn slot<'g>(&self) -> Option<&'g SlotHeader> {
        // Acquire [PLACE-2]: with Release [PLACE-1]: both words are at least as new as the turn.
        let turn = self.turn.load(Ordering::Acquire);
        // Acquire [PLACE-3]: with Release [PLACE-4] in `set`: who reads a word of a change sees below that the turn has moved.
        let slot = self.slot.load(Ordering::Acquire);
        let generation = self.generation.load(Ordering::Acquire);
        // Relaxed: ordered behind the two loads above, which acquire.
        let is_whole = turn & CHANGING == 0 && self.turn.load(Ordering::Relaxed) == turn;
        if !is_whole && rule::holds(Rule::PlaceReadWhole) {
            return None;
        }
        // SAFETY: set from a slot of a component that the caller keeps; its memory is type-stable.
        let slot = unsafe { &*slot };
        let checked_early = !rule::holds(Rule::HeadBeforeGeneration) && slot.generation() == generation;
        // Acquire [HEAD-2]: with AcqRel [HEAD-1]: see above.
        let Head::Version(_) = slot.head().1 else { return None };
        let is_same = checked_early || slot.generation() == generation || !rule::holds(Rule::PlaceChecksGeneration);
        is_same.then_some(slot)
    }

    /// Says that the key is in another slot, which the table shows. The caller is pinned. Does nothing if another is saying so.
    pub(crate) fn set(&self, slot: &SlotHeader) {
        let generation = slot.generation();
        // Relaxed: a hint; the compare-and-swap decides.
        let turn = self.turn.load(Ordering::Relaxed);
        if turn & CHANGING != 0 {
            return;
        }
        // Acquire [PLACE-2]: the last change stands before this one.
        if self.turn.compare_exchange(turn, turn + 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        // Release [PLACE-4]: the odd turn stands before them. Mate: Acquire [PLACE-3].
        self.slot.store(ptr::from_ref(slot).cast_mut(), Ordering::Release);
        self.generation.store(generation, Ordering::Release);
        // Release [PLACE-1]: mate of Acquire [PLACE-2].
        self.turn.store(turn + 2, Ordering::Release);
    }
}
