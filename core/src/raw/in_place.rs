//! Writing in place: what nearly every write of a small value is, in as few instructions as can be.
//!
//! How long a loop of writes takes depends on how many of them are under way at once: so on their length, like on their misses. What is done here is
//! what [`rewrite`](Worker::rewrite) and [`replace`](Worker::replace) do where it is simple; whatever is not is left to them, before
//! anything is done. Where the rooms lie is known from the types.

use std::ptr;

use crate::raw::chain::Newest;
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::rooms::RoomLayout;
use crate::raw::slot::{self, Slot, SlotHeader};
use crate::raw::stamp::Stamp;
use crate::raw::version::VersionNode;
use crate::sync::rule::{self, Rule};
use crate::sync::watch;

impl<'g> Worker<'g> {
    /// Replaces a value that lies in one room of its slot, alone, by a value in the other one. As [`replace`](Self::replace), with everything
    /// about it.
    ///
    /// Gives the value back if it is not so simple, or the head has changed: then nothing was done.
    ///
    /// # Safety
    /// `seen` was met in the slot under this worker's pin, is final and has a value; its component has keys of type `K` and values of type `V`.
    #[inline(always)]
    pub(crate) unsafe fn rewrite_alone<K, V>(
        &self,
        slot: &'g SlotHeader,
        seen: Newest<'g>,
        value: V,
    ) -> Result<(Stamp, &'g V), V> {
        // Where there are none, no version lies there either.
        let rooms = const { RoomLayout::behind::<V>(size_of::<Slot<K>>()) };
        let Some(new) = rooms.beside(slot, seen.version) else { return Err(value) };
        let Some(right) = rooms.first(slot) else { return Err(value) };
        let Some(end) = seen.version.end().filter(|end| self.is_safe(end.tag())) else { return Err(value) };
        if rule::holds(Rule::RoomWithRight) && !right.try_right() {
            return Err(value);
        }
        // With the right: if the head is what was seen, and the chain ends there as it did, then the other room is free, and safe.
        if slot.head().0 != seen.address() || !seen.version.ends_as(end) {
            right.hand_back();
            return Err(value);
        }
        watch::reused(new);
        // SAFETY: a room for such values, which nobody can meet, and the caller's by the right.
        unsafe { VersionNode::write(new, Some(value), Stamp::UNDECIDED, seen.address()) };
        // SAFETY: just written; reclaimed, if it is replaced, only when no pin is left that was there.
        let version = unsafe { &*new };
        let Some(stamp) = self.install(slot, seen.address(), Some(seen.stamp), version, Stamp::UNDECIDED) else {
            watch::given_back(new);
            // SAFETY: written just now, with a value, and not installed.
            let value = unsafe { ptr::read(VersionNode::value_there(version)) };
            right.hand_back();
            return Err(value);
        };
        self.record.clear();
        if seen.stamp.tick() == stamp.tick() {
            version.cut(self.engine.eras.tag_ahead());
            self.record.tally.rewritten.add(1);
            watch::unlinked(seen.address());
        } else {
            seen.version.leave(self.engine.eras.tag_ahead());
            self.record.tally.installed.add(1);
        }
        right.hand_back();
        self.count_left_room();
        // SAFETY: of this type, with a value, and not reclaimed under this pin.
        Ok((stamp, unsafe { VersionNode::value_there(version) }))
    }

    /// Writes the first value of a slot, into its first room: what a write of a small value for a new key nearly always is. As
    /// [`replace`](Self::replace), with everything about it.
    ///
    /// Gives the value back if it is not so simple, or the slot is empty no more: then nothing was done.
    ///
    /// # Safety
    /// The slot was found under this worker's pin, and is of the component, which has keys of type `K` and values of type `V`.
    #[inline(always)]
    pub(crate) unsafe fn write_first<K, V>(
        &self,
        component: &'g Component,
        slot: &'g SlotHeader,
        value: V,
    ) -> Result<(Stamp, &'g V), V> {
        let rooms = const { RoomLayout::behind::<V>(size_of::<Slot<K>>()) };
        if component.rooms.is_none() {
            return Err(value);
        }
        let Some(first) = rooms.first(slot) else { return Err(value) };
        if rule::holds(Rule::RoomWithRight) && !first.try_right() {
            return Err(value);
        }
        // With the right: no version has been in a room since the slot got its key, so both are free.
        if slot.head().0 != slot::empty() {
            first.hand_back();
            return Err(value);
        }
        let new = rooms.room(slot, 0);
        watch::reused(new);
        // SAFETY: a room for such values, which nobody can meet, and the caller's by the right.
        unsafe { VersionNode::write(new, Some(value), Stamp::UNDECIDED, slot::empty()) };
        // SAFETY: just written; reclaimed, if it is replaced, only when no pin is left that was there.
        let version = unsafe { &*new };
        let Some(stamp) = self.install(slot, slot::empty(), None, version, Stamp::UNDECIDED) else {
            watch::given_back(new);
            // SAFETY: written just now, with a value, and not installed.
            let value = unsafe { ptr::read(VersionNode::value_there(version)) };
            first.hand_back();
            return Err(value);
        };
        self.record.clear();
        self.record.tally.installed.add(1);
        self.count_change(component, false, false);
        first.hand_back();
        // SAFETY: of this type, with a value, and not reclaimed under this pin.
        Ok((stamp, unsafe { VersionNode::value_there(version) }))
    }
}
