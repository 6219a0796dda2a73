//! The plain write: a small value replaces another one, with its slot's right from the beginning to the end.
//!
//! What nearly every write is: the newest version is final and has a value, and below it stands nothing, or one version in a room, which a snapshot
//! sees. With the right that stays so, and everything is known that [`replace`](Worker::replace) would have to find out: whether a room is free,
//! and which, what is unlinked by the write, or left, and that nothing else is to be done. If no room is free, the version lies elsewhere, as when
//! a key changes faster than memory gets safe; the next one has a room again.

use std::ptr;

use crate::raw::chain::{Newest, VersionHeader};
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::rooms::{ROOMS, Room, RoomLayout};
use crate::raw::slot::SlotHeader;
use crate::raw::stamp::Stamp;
use crate::raw::version::VersionNode;
use crate::sync::rule::{self, Rule};
use crate::sync::watch;
use crate::tuning;

impl<'g> Worker<'g> {
    /// Replaces a value by another one, if that is a plain write. As [`replace`](Self::replace), with everything about it.
    ///
    /// Gives the value back if it is not so simple, or the head has changed: then nothing was done.
    ///
    /// # Safety
    /// `seen` was met in the slot under this worker's pin, is final and has a value; all are of the component, whose values are of type `V`.
    #[inline]
    pub(crate) unsafe fn rewrite<V>(
        &self,
        component: &'g Component,
        slot: &'g SlotHeader,
        seen: Newest<'g>,
        value: V,
    ) -> Result<(Stamp, &'g V), V> {
        let rooms = component.rooms;
        if rooms.is_none() || rule::holds(Rule::RoomWithRight) && !slot.try_right(rooms) {
            return Err(value);
        }
        let Some(last) = self.last_of_plain(component, slot, seen) else {
            slot.hand_back(rooms);
            return Err(value);
        };
        let room = self.room_beside(rooms, slot, seen.version, last);
        let new = match room {
            Some(room) => {
                watch::reused(room);
                // SAFETY: a room for such values, which nobody can meet, and the caller's by the right.
                unsafe { VersionNode::write(room, Some(value), Stamp::UNDECIDED, seen.address()) };
                room
            }
            None => {
                let new = VersionNode::allocate_unrecorded(Some(value), Stamp::UNDECIDED);
                // SAFETY: just made.
                unsafe { &*new }.set_prev(seen.address());
                new
            }
        };
        // SAFETY: just written; reclaimed, if it is replaced, only when no pin is left that was there.
        let version = unsafe { &*new };
        let Some(stamp) = self.install(slot, seen.address(), Some(seen.stamp), version, Stamp::UNDECIDED) else {
            // SAFETY: written just now with a `V`, and not installed.
            let value = unsafe {
                if room.is_some() {
                    watch::given_back(new);
                    VersionNode::read_out(new)
                } else {
                    VersionNode::take(new)
                }
            };
            slot.hand_back(rooms);
            let Some(value) = value else { unreachable!("it was made with a value") };
            return Err(value);
        };
        self.record.clear();
        self.record.tally.installed.add(1);
        if room.is_none() {
            self.count_version(component);
        }
        if self.settle_over(component, slot, seen, version, stamp) {
            self.work_off(tuning::BACKLOG_STEP);
        }
        // SAFETY: of this type, with a value, and not reclaimed under this pin.
        Ok((stamp, unsafe { VersionNode::value_there(version) }))
    }

    /// Sees to what was replaced by a version with a value, both final, and hands the right back, which was held since before that. Returns what
    /// [`clean_up_with_right`](Self::clean_up_with_right) does.
    #[inline(always)]
    pub(super) fn settle_over(
        &self,
        component: &'g Component,
        slot: &'g SlotHeader,
        seen: Newest<'g>,
        version: &VersionHeader,
        stamp: Stamp,
    ) -> bool {
        let rooms = component.rooms;
        let is_in_room = rooms.has(slot, seen.version);
        if seen.stamp.tick() == stamp.tick() {
            version.splice(seen.version, if is_in_room { self.engine.eras.tag_ahead() } else { 0 });
            // SAFETY: unlinked by the right.
            unsafe { self.retire_version(component, slot, seen.address()) };
        } else if is_in_room && seen.version.end_tag().is_some() {
            seen.version.leave(self.engine.eras.tag_ahead());
            self.count_left_room();
        } else {
            return self.clean_up_with_right(component, slot, version, stamp);
        }
        slot.hand_back(rooms);
        false
    }

    /// Takes the room for a version over the newest one, and the right to the slot, if what is needed is a plain write.
    #[inline]
    pub(super) fn take_room_over(
        &self,
        component: &'g Component,
        slot: &'g SlotHeader,
        seen: Newest<'g>,
    ) -> Option<Room> {
        let rooms = component.rooms;
        let is_unsafe = seen.version.end_tag().is_some_and(|tag| !self.is_safe(tag));
        if rooms.is_none() || is_unsafe || rule::holds(Rule::RoomWithRight) && !slot.try_right(rooms) {
            return None;
        }
        let last = self.last_of_plain(component, slot, seen);
        let Some(version) = last.and_then(|last| self.room_beside(rooms, slot, seen.version, last)) else {
            slot.hand_back(rooms);
            return None;
        };
        Some(Room::taken(rooms, slot, version))
    }

    /// The last version of a chain, if the newest is what was seen, and the last is that or stands directly below it. Only with the right.
    ///
    /// What every live snapshot has passed is taken out before.
    #[inline]
    fn last_of_plain(
        &self,
        component: &'g Component,
        slot: &'g SlotHeader,
        seen: Newest<'g>,
    ) -> Option<&'g VersionHeader> {
        if slot.head().0 != seen.address() {
            return None;
        }
        if seen.version.end_tag().is_some() {
            return Some(seen.version);
        }
        let in_room = component.rooms.below(slot, seen.version);
        let below = in_room.or_else(|| seen.version.prev())?;
        let newest = below.end_tag()?;
        if !self.is_passed(below, seen.stamp.tick()) {
            return Some(below);
        }
        match in_room.and_then(VersionHeader::left_with) {
            // Taken over.
            Some(tag) => {
                seen.version.cut(tag);
                self.record.tally.unlinked.add(1);
                watch::unlinked(below);
            }
            None => {
                let tag = if in_room.is_some() { self.engine.eras.tag_ahead() } else { 0 };
                seen.version.cut(tag.max(newest));
                // SAFETY: unlinked by the right.
                unsafe { self.retire_version(component, slot, ptr::from_ref(below).cast_mut()) };
            }
        }
        Some(seen.version)
    }

    /// Whether every live snapshot sees what stands over a version, with this tick, or something newer.
    #[inline]
    fn is_passed(&self, below: &VersionHeader, until: u64) -> bool {
        if !rule::holds(Rule::PruneChecksSnapshots) {
            return true;
        }
        if !rule::holds(Rule::LeftForPassers) {
            return self.witness(below.stamp().tick(), until).is_none();
        }
        self.is_below_snapshots(until)
    }

    /// A room that is neither the newest version's nor the last one's, if what was in it can be met no more. Only with the right.
    #[inline]
    fn room_beside(
        &self,
        rooms: RoomLayout,
        slot: &SlotHeader,
        newest: &VersionHeader,
        last: &VersionHeader,
    ) -> Option<*mut VersionHeader> {
        if !last.end_tag().is_some_and(|tag| self.is_safe(tag)) {
            return None;
        }
        let mut all = (0..ROOMS).map(|room| rooms.room(slot, room));
        all.find(|room| !ptr::eq(*room, newest) && !ptr::eq(*room, last))
    }
}
