//! Rooms: space inside a slot for two small versions, written again and again.
//!
//! A version of a small value without a `Drop` needs no allocation, no retirement and no cache line of its own: an update writes the
//! room of its slot that is free. A key that changes faster than memory gets safe takes versions from elsewhere meanwhile.
//!
//! # Words
//! A room is *taken* from before its version is installed until that is unlinked. The *rooms' word* of a slot says which are, and has
//! the *tag* of the last one that was freed. Who has the slot's *right*, the one to prune, may change the word, and take and free rooms; it is a
//! try-lock: who does not get it takes a version from elsewhere.
//!
//! # Steps
//! - **Take** (pinned): get the right; take a room that is not taken, if the tag is safe; write the version, install it, prune, and hand
//!   the right back. A version that could not be installed gives its room back as it was.
//! - **Free** (pinned, with the right): unlink the version; tag = the era read under this pin, + 1; the room is no longer taken.
//!
//! # Why nobody meets a room's next version in place of the last one
//! Take a reader that may have met a version in a room, whose unlinker read era *e* under its pin and tagged *e* + 1. The era was not moved
//! before that pin began, or the unlinker would have read *e* + 1: the pin's fence and the mover's [ERA-2] order them. So the closure that
//! makes *e* safe waits for the unlinker's pin; and the era is not moved from *e* + 1 before *e* is safe. The closure that makes *e* + 1 safe is
//! deferred after that: so after the unlinking. A reader that pinned before is waited for; one that pins later sees the version
//! unlinked. Nothing is fenced but pins and moves of the era.
//!
//! *Why not tag e:* it may be deferred already when the version is unlinked, and safe while a reader that pinned since stands on it.
//! *Why the word is looked at with the right:* of two writers that see one room free, the later would write over the other's version.
//! *Why tags only grow:* who gets the right sees what the last one who had it did, so reads no older era.

use std::ptr;

use crate::raw::chain::VersionHeader;
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::slot::SlotHeader;
use crate::raw::version::VersionNode;
use crate::sync::rule::{self, Rule};
use crate::sync::{Ordering, watch};
use crate::tuning::ROOM_VALUE_BYTES;

/// Rooms in a slot.
pub(crate) const ROOMS: usize = 2;

const TAKEN: u32 = (1 << ROOMS) - 1;
/// A room was freed since the slot got its key.
const TAGGED: u32 = 1 << ROOMS;
const TAG_SHIFT: u32 = ROOMS as u32 + 1;
/// Tags are compared as long as they are less than half their range behind; a room that was left for longer may be taken for one that
/// is not safe, and is passed by once.
const TAG_HALF: u32 = 1 << (u32::BITS - TAG_SHIFT - 1);

/// Where the rooms of a component's slots lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoomLayout {
    at: usize,
    /// Zero if there are no rooms.
    size: usize,
}

impl RoomLayout {
    /// Whether versions of such values fit rooms: small ones, which nothing has to drop.
    pub(crate) const fn fits<V>() -> bool {
        !std::mem::needs_drop::<V>()
            && size_of::<V>() <= ROOM_VALUE_BYTES
            && align_of::<VersionNode<V>>() == align_of::<VersionHeader>()
    }

    /// The rooms for values of type `V`, behind a slot of this size. Without rooms if they don't fit.
    pub(crate) const fn behind<V>(slot: usize) -> Self {
        let at = slot.next_multiple_of(align_of::<VersionHeader>());
        Self { at, size: if Self::fits::<V>() { size_of::<VersionNode<V>>() } else { 0 } }
    }

    /// No rooms.
    pub(crate) const NONE: Self = Self { at: 0, size: 0 };

    /// Where the rooms begin: the size of a slot without them.
    pub(crate) const fn at(self) -> usize {
        self.at
    }

    /// Where the slot ends.
    pub(crate) const fn end(self) -> usize {
        self.at + ROOMS * self.size
    }

    /// Whether a version lies in a room of the slot.
    #[inline]
    pub(crate) fn has(self, slot: &SlotHeader, version: *const VersionHeader) -> bool {
        self.room_of(slot, version).is_some()
    }

    /// The room of the slot that a version is in.
    #[inline]
    fn room_of(self, slot: &SlotHeader, version: *const VersionHeader) -> Option<usize> {
        let offset = version.addr().wrapping_sub(ptr::from_ref(slot).addr()).wrapping_sub(self.at);
        if offset >= ROOMS * self.size {
            return None;
        }
        Some(usize::from(offset >= self.size))
    }
}

/// A rooms' word.
#[derive(Clone, Copy)]
struct Word(u32);

impl Word {
    /// A room that is not taken, if what was in it can be met no more.
    #[inline]
    fn free(self, safe: u64) -> Option<usize> {
        let room = (!self.0 & TAKEN).trailing_zeros() as usize;
        let behind = (safe as u32).wrapping_sub(self.0 >> TAG_SHIFT) & (2 * TAG_HALF - 1);
        let is_safe = self.0 & TAGGED == 0 || behind < TAG_HALF || !rule::holds(Rule::RoomWhenSafe);
        (room < ROOMS && is_safe).then_some(room)
    }

    fn taking(self, room: usize) -> Self {
        Self(self.0 | 1 << room)
    }

    fn giving_back(self, room: usize) -> Self {
        Self(self.0 & !(1 << room))
    }

    fn freeing(self, room: usize, tag: u64) -> Self {
        Self((tag as u32) << TAG_SHIFT | TAGGED | self.giving_back(room).0 & TAKEN)
    }
}

/// A room that was taken, with the right to its slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    slot: *const SlotHeader,
    index: usize,
    version: *mut VersionHeader,
}

impl Room {
    /// Where the version is to be written.
    #[inline]
    pub(crate) fn version(self) -> *mut VersionHeader {
        self.version
    }

    /// Gives the room back, whose version was not installed, and the right.
    ///
    /// # Safety
    /// The store is alive, and the room was not installed or given back.
    pub(crate) unsafe fn give_back(self) {
        // SAFETY: slots live as long as their store.
        let slot = unsafe { &*self.slot };
        watch::given_back(self.version);
        let word = Word(slot.rooms().load(Ordering::Relaxed));
        // Relaxed: the right orders it.
        slot.rooms().store(word.giving_back(self.index).0, Ordering::Relaxed);
        // Who has asked for a look meanwhile has also left the slot in the backlog.
        slot.abandon_prune();
    }
}

impl Worker<'_> {
    /// Takes a room of a slot for a version, and the right to the slot; `None` if there is no room that is free and safe, or
    /// another has the right.
    #[inline]
    pub(crate) fn take_room(&self, component: &Component, slot: &SlotHeader) -> Option<Room> {
        let safe = self.engine.eras.safe();
        // Relaxed: a hint; so a key that changes too fast for its rooms does not pay for the right.
        Word(slot.rooms().load(Ordering::Relaxed)).free(safe)?;
        if rule::holds(Rule::RoomWithRight) && !slot.try_right() {
            return None;
        }
        // Relaxed: the right orders it.
        let word = Word(slot.rooms().load(Ordering::Relaxed));
        let Some(index) = word.free(safe) else {
            slot.abandon_prune();
            return None;
        };
        slot.rooms().store(word.taking(index).0, Ordering::Relaxed);
        let RoomLayout { at, size } = component.rooms;
        // The arena has exposed its memory: a reference to a slot's head gives no right to write what lies behind it.
        let address = ptr::from_ref(slot).addr() + at + index * size;
        let version = ptr::with_exposed_provenance_mut::<VersionHeader>(address);
        watch::reused(version);
        Some(Room { slot, index, version })
    }

    /// Retires a version that the caller, who has the right to the slot, has just unlinked: frees its room, or leaves it to be
    /// reclaimed.
    ///
    /// # Safety
    /// A version of the component that was in the slot, unlinked by the caller alone.
    pub(crate) unsafe fn retire_version(&self, component: &Component, slot: &SlotHeader, version: *mut VersionHeader) {
        self.record.tally.unlinked.add(1);
        let Some(room) = component.rooms.room_of(slot, version) else {
            self.record.tally.version_bytes_out.add(component.version_bytes as u64);
            // SAFETY: passed on.
            self.retire(unsafe { component.retire_version(version) });
            return;
        };
        watch::unlinked(version);
        let tag = self.engine.eras.tag_ahead();
        let word = Word(slot.rooms().load(Ordering::Relaxed));
        // Relaxed: the right orders it.
        slot.rooms().store(word.freeing(room, tag).0, Ordering::Relaxed);
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe { self.record.with_owned(|owned| owned.retired.count_freed_room()) };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_out_what_is_free_and_safe() {
        let fresh = Word(0);
        assert_eq!(
            (fresh.free(0), fresh.taking(0).free(0), fresh.taking(0).taking(1).free(9)),
            (Some(0), Some(1), None)
        );
        let freed = fresh.taking(0).taking(1).freeing(0, 7);
        assert_eq!((freed.free(6), freed.free(7), freed.free(8)), (None, Some(0), Some(0)));
        assert_eq!(freed.taking(0).giving_back(0).free(6), None);
    }

    #[test]
    fn a_tag_is_compared_also_where_it_wraps() {
        let range = u64::from(TAG_HALF) * 2;
        for tag in [range - 1, range, range + 1, 5 * range - 1, u64::from(u32::MAX)] {
            let freed = Word(0).taking(0).freeing(0, tag);
            assert_eq!((freed.free(tag - 1), freed.free(tag - 2)), (None, None));
            assert_eq!((freed.free(tag), freed.free(tag + 5)), (Some(0), Some(0)));
        }
    }

    #[test]
    fn small_plain_values_have_rooms() {
        assert!(RoomLayout::fits::<u64>() && RoomLayout::fits::<()>() && RoomLayout::fits::<[u64; 4]>());
        assert!(!RoomLayout::fits::<String>() && !RoomLayout::fits::<[u64; 16]>() && !RoomLayout::fits::<u128>());
        assert_eq!(RoomLayout::behind::<u64>(16).end(), 64);
    }
}
