//! Rooms: space inside a slot for two small versions, written again and again.
//!
//! A version of a small value without a `Drop` needs no allocation, no retirement and no cache line of its own: an update writes the
//! room of its slot that is free. A key that changes faster than memory gets safe takes versions from elsewhere meanwhile.
//!
//! # Words
//! A slot has a *right*: to prune its chain, and to write its rooms. It is a try-lock; who does not get it leaves the slot in the backlog, or takes
//! a version from elsewhere. It stands in the first room's link, which only who has the right changes otherwise; so it is taken by a
//! compare-and-swap and handed back by a store, in the cache line that is written anyway. A room is *taken* while its version is in the chain. At the
//! chain's end stands the *tag* of the last room that was freed. A version in a room that was replaced, and that a snapshot may see, is *left* there.
//!
//! # Steps
//! - **Take** (pinned): get the right; take a room that is not in the chain, if the tag is safe; write the version, install it, prune, and hand
//!   the right back. A version that could not be installed is forgotten.
//! - **Free** (pinned, with the right): tag = the era read under this pin, + 1; unlink the version, and leave the tag at the chain's end.
//! - **Leave** (pinned, with the right, below a version that is final): the same tag, and the version stays: it is the chain's end.
//! - **Take over** (pinned, with the right): unlink the version that was left directly below the newest one, if no live snapshot is older than the
//!   newest one's tick; the tag is that with which it was left.
//!
//! # Why a room that is not in the chain is free
//! Rooms come into chains and leave them with the right only. What others do to a chain meanwhile, they do with versions from elsewhere, at the
//! head. So who has the right, and sees which rooms the chain has, knows it until the right is handed back. A chain that is empty has had no
//! version in a room since the slot got its key.
//!
//! # Why nobody meets a room's next version in place of the last one
//! Take a reader that may have met a version in a room, whose unlinker read era *e* under its pin and tagged *e* + 1. The era was not moved
//! before that pin began, or the unlinker would have read *e* + 1: the pin's fence and the mover's [ERA-2] order them. So the closure that
//! makes *e* safe waits for the unlinker's pin; and the era is not moved from *e* + 1 before *e* is safe. The closure that makes *e* + 1 safe is
//! deferred after that: so after the unlinking. A reader that pinned before is waited for; one that pins later sees the version
//! unlinked. Nothing is fenced but pins and moves of the era.
//!
//! *Why not tag e:* it may be deferred already when the version is unlinked, and safe while a reader that pinned since stands on it.
//! *Why the chain is looked at with the right:* of two writers that see one room free, the later would write over the other's version.
//! *Why tags only grow:* who gets the right sees what the last one who had it did, so reads no older era.
//!
//! # Why what was left needs no watch
//! An entry of the backlog would have to be written, and to bring the slot near once more when the snapshot ends; and no memory would come of it, since
//! the room is the slot's. Who can use it is the next writer of the key, and he is here. So a write beside snapshots costs what it costs without: it
//! does not even look whether what it replaces is seen. Only a removal watches what lies below it, for it is to be purged when that has gone.
//!
//! # Why nobody meets what is written over what was left
//! A reader comes upon the version that was left in three ways.
//! - As the newest, or below one that is not final: he pinned before the one above was final, and he who left the version saw that
//!   final under the pin under which he read the tag. It is the case above, with "replaced" in place of "unlinked".
//! - At a snapshot that sees it: older than the version above, so that is not taken over while the snapshot lives, and what was read at it
//!   stands before its end (see [`registry`](crate::raw::registry)).
//! - At a snapshot that is older still, on the way to what that one sees: the same. *Why it counts:* what is written into the room next has no
//!   stamp at first, or another one, and the one who passes by would take it for what he looks for.

use std::ptr;

use crate::raw::chain::VersionHeader;
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::record::Owned;
use crate::raw::slot::{Head, SlotHeader};
use crate::raw::stamp::Stamp;
use crate::raw::version::VersionNode;
use crate::sync::rule::{self, Rule};
use crate::sync::watch;
use crate::tuning::{ROOM_LOOKS, ROOM_VALUE_BYTES};

/// Rooms in a slot.
pub(crate) const ROOMS: usize = 2;

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
    ///
    /// So they lie in every slot with such a key, but for those of components that keep history, which have none.
    pub(crate) const fn behind<V>(slot: usize) -> Self {
        let at = slot.next_multiple_of(align_of::<VersionHeader>());
        Self { at, size: if Self::fits::<V>() { size_of::<VersionNode<V>>() } else { 0 } }
    }

    /// No rooms.
    pub(crate) const NONE: Self = Self { at: 0, size: 0 };

    /// Whether there are no rooms.
    #[inline]
    pub(crate) const fn is_none(self) -> bool {
        self.size == 0
    }

    /// Where the rooms begin: the size of a slot without them.
    pub(crate) const fn at(self) -> usize {
        self.at
    }

    /// Where the slot ends.
    pub(crate) const fn end(self) -> usize {
        self.at + ROOMS * self.size
    }

    /// Makes the headers of a new slot's rooms.
    ///
    /// # Safety
    /// Only the caller knows the slot, which has these rooms, and whose memory was never used.
    pub(crate) unsafe fn init(self, slot: *mut SlotHeader) {
        if self.size > 0 {
            for room in 0..ROOMS {
                // SAFETY: the slot has this room.
                let header = unsafe { slot.byte_add(self.at + room * self.size) }.cast::<VersionHeader>();
                // SAFETY: the caller's.
                unsafe { header.write(VersionHeader::new(Stamp::UNDECIDED, false)) };
            }
        }
    }

    /// The address of a room.
    #[inline]
    pub(super) fn room(self, slot: &SlotHeader, room: usize) -> *mut VersionHeader {
        // The arena has exposed its memory: a reference to a slot's head gives no right to write what lies behind it.
        ptr::with_exposed_provenance_mut(ptr::from_ref(slot).addr() + self.at + room * self.size)
    }

    /// The header of a slot's first room, if it has rooms: there is the slot's right.
    #[inline]
    pub(crate) fn first(self, slot: &SlotHeader) -> Option<&VersionHeader> {
        // SAFETY: a room has a header from its slot's beginning, of atomics, which is never overwritten.
        (self.size > 0).then(|| unsafe { &*self.room(slot, 0) })
    }

    /// The header of the room in which the version lies that stands directly below one, if it lies in one.
    #[inline]
    pub(super) fn below<'g>(self, slot: &SlotHeader, version: &VersionHeader) -> Option<&'g VersionHeader> {
        let room = self.room_of(slot, version.link())?;
        // SAFETY: as in `first`.
        Some(unsafe { &*self.room(slot, room) })
    }

    /// The room beside the one that a version lies in.
    #[inline]
    pub(super) fn beside(self, slot: &SlotHeader, version: *const VersionHeader) -> Option<*mut VersionHeader> {
        const { assert!(ROOMS == 2, "beside a room is one other") };
        let offset = version.addr().wrapping_sub(ptr::from_ref(slot).addr()).wrapping_sub(self.at);
        // As in `room`. The further one room is from the first, the nearer is the other.
        let beside = || ptr::from_ref(slot).addr() + self.at + self.size - offset;
        (offset < ROOMS * self.size).then(|| ptr::with_exposed_provenance_mut(beside()))
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

/// A room that was taken, with the right to its slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    slot: *const SlotHeader,
    rooms: RoomLayout,
    version: *mut VersionHeader,
}

impl Room {
    /// A room that was found to be free, by who has the right.
    #[inline]
    pub(super) fn taken(rooms: RoomLayout, slot: &SlotHeader, version: *mut VersionHeader) -> Self {
        watch::reused(version);
        Self { slot, rooms, version }
    }

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
        // Who was refused the right meanwhile has left the slot in the backlog.
        slot.hand_back(self.rooms);
    }
}

impl<'g> Worker<'g> {
    /// Takes a room of a slot for a version, and the right to the slot; `None` if there is no room that is free and safe, or
    /// another has the right.
    #[inline]
    pub(crate) fn take_room(&self, component: &Component, slot: &SlotHeader) -> Option<Room> {
        let rooms = component.rooms;
        if rooms.size == 0 || rule::holds(Rule::RoomWithRight) && !slot.try_right(rooms) {
            return None;
        }
        let Some(room) = self.free_room(rooms, slot) else {
            slot.hand_back(rooms);
            return None;
        };
        Some(Room::taken(rooms, slot, rooms.room(slot, room)))
    }

    /// A room that no version of the chain is in, if what was in it can be met no more. Only with the right.
    fn free_room(&self, rooms: RoomLayout, slot: &SlotHeader) -> Option<usize> {
        let mut next = match slot.head().1 {
            Head::Version(version) => Some(version),
            Head::Empty => None,
            Head::Purged => return None,
        };
        let (mut taken, mut tag) = ([false; ROOMS], 0);
        for _ in 0..ROOM_LOOKS {
            let Some(version) = next else { break };
            if let Some(room) = rooms.room_of(slot, version) {
                taken[room] = true;
            }
            next = version.prev();
            tag = version.end_tag().unwrap_or(tag);
        }
        if next.is_some() || !self.is_safe(tag) {
            return None;
        }
        taken.iter().position(|is_taken| !is_taken)
    }

    #[inline]
    pub(super) fn is_safe(&self, tag: u64) -> bool {
        tag <= self.engine.eras.safe() || !rule::holds(Rule::RoomWhenSafe)
    }

    /// Retires a version that the caller, who has the right to the slot, has just unlinked: counts its room, or leaves it to be reclaimed.
    ///
    /// # Safety
    /// A version of the component that was in the slot, unlinked by the caller alone.
    #[inline]
    pub(crate) unsafe fn retire_version(&self, component: &Component, slot: &SlotHeader, version: *mut VersionHeader) {
        if !component.rooms.has(slot, version) {
            self.record.tally.unlinked.add(1);
            self.record.tally.version_bytes_out.add(component.version_bytes as u64);
            // SAFETY: passed on.
            self.retire(unsafe { component.retire_version(version) });
            return;
        }
        self.record.tally.unlinked.add(1);
        watch::unlinked(version);
        self.count_left_room();
    }

    /// Counts a room that will be free when the eras have moved on: so that they do.
    #[inline(always)]
    pub(super) fn count_left_room(&self) {
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe { self.record.with_owned(Owned::count_garbage) };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn small_plain_values_have_rooms() {
        assert!(RoomLayout::fits::<u64>() && RoomLayout::fits::<()>() && RoomLayout::fits::<[u64; 4]>());
        assert!(!RoomLayout::fits::<String>() && !RoomLayout::fits::<[u64; 16]>() && !RoomLayout::fits::<u128>());
        assert_eq!(RoomLayout::behind::<u64>(16).end(), 64);
    }
}
