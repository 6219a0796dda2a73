//! Where a transaction's versions lie: drafted while it is open, placed when it commits.
//!
//! # Words
//! A small value that is written is *drafted* in memory of the descriptor, which is used again with it. When the transaction commits, each of its
//! versions is *placed*: in a [room](crate::raw::rooms) of its slot, if the newest version there is such that a plain write would find one, and else
//! elsewhere. Larger values, removals and histories lie elsewhere from the start.
//!
//! # Steps
//! - **Place** (owner, pinned, once he knows what the version replaces, before he announces the descriptor): get the slot's right, take the room, move
//!   the draft there. The right is kept until the transaction is concluded or undone; so is the pin.
//! - **Conclude** (owner, all stamps are final): see to what was replaced, as a plain write does, and hand the right back.
//! - **Undo**, if nobody has ever helped: take the version off the head, leave the tag at the chain's end, hand the right back.
//! - **Undo**, if somebody has: *close* the slot's rooms, by a tag that is never safe, and hand the right back. **Open** them once no helper is left: get
//!   the right, take the version off, leave a tag that will be safe.
//!
//! # Why rooms come and go with the right only
//! A helper installs the version, and anybody takes a failed one off the head, without the right: but its owner has it. Take a helper who comes
//! late. If the transaction was committed, what it expects was in place when he was pinned, so its memory is not used again under his pin, and it
//! is never the head again: he does not succeed. If it was aborted he may, as long as he is pinned; until then the room is closed. So who gets the right
//! and finds a tag that is safe finds in the chain all rooms that ever come into it by what was begun before.
//!
//! # Why nobody meets a room's next version in place of a failed one
//! As in [`rooms`](crate::raw::rooms): whoever has met the failed version did so before it was off the head for good, which is before the one who
//! leaves the tag ends the pin under which he reads it. *Why not over an empty slot:* a chain that was emptied again has no end to leave
//! a tag at. A single write does not fail once it is installed; so it may be in the first room.
//!
//! # Why a closed slot is no matter
//! Its next writers have the right, and prune; they only write elsewhere. To keep the right instead would be simpler, but nobody else
//! could prune the key meanwhile: and the owner may come back to it a long time later, when he tidies up. If the slot was purged in between, and is
//! another key's, the room is that one's: so who opens looks at the generation, with the right, without which no slot is purged.
//!
//! # Progress
//! The right is a try-lock: whoever is refused takes a version from elsewhere, and leaves the slot in the backlog. An owner who stops holds up nobody. He
//! may hold several rights; he waits for none, so their order is no matter. No user code runs while he has one.

use std::mem::MaybeUninit;
use std::ptr;

use crate::raw::chain::{self, Latest, Newest, VersionHeader};
use crate::raw::commit::descriptor::{Access, Descriptor};
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::rooms::RoomLayout;
use crate::raw::slot::{self, SlotHeader};
use crate::raw::stamp::Stamp;
use crate::raw::version::VersionNode;
use crate::sync::rule::{self, Rule};
use crate::sync::watch;
use crate::tuning;

/// Where the version of an access lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// In memory of its own.
    Own,
    /// In the descriptor's.
    Draft,
    /// In a room of its slot, to which the owner has the right until he concludes it, or gives it up.
    Room,
}

/// Memory for drafted versions: allocated when it is first needed.
pub(super) struct Drafts {
    drafts: *mut Draft,
    used: usize,
}

/// Memory for one version of a value that fits rooms.
#[repr(C)]
struct Draft {
    header: VersionHeader,
    value: MaybeUninit<[u64; tuning::ROOM_VALUE_BYTES.div_ceil(size_of::<u64>())]>,
}

impl Drafts {
    pub(super) const fn new() -> Self {
        Self { drafts: ptr::null_mut(), used: 0 }
    }

    /// Forgets what was drafted. Nobody reads it any more.
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    /// Memory that was not taken yet, if there is any.
    #[inline]
    fn take(&mut self) -> Option<*mut VersionHeader> {
        if self.used == tuning::DRAFTS {
            return None;
        }
        if self.drafts.is_null() {
            self.drafts = Self::allocate();
        }
        // SAFETY: there are as many.
        let draft = unsafe { self.drafts.add(self.used) };
        self.used += 1;
        Some(draft.cast())
    }

    #[cold]
    fn allocate() -> *mut Draft {
        let draft = |_| Draft { header: VersionHeader::new(Stamp::UNDECIDED, false), value: MaybeUninit::uninit() };
        Box::into_raw(Box::new(std::array::from_fn::<Draft, { tuning::DRAFTS }, _>(draft))).cast()
    }
}

impl Drop for Drafts {
    fn drop(&mut self) {
        if !self.drafts.is_null() {
            // SAFETY: allocated as such.
            drop(unsafe { Box::from_raw(self.drafts.cast::<[Draft; tuning::DRAFTS]>()) });
        }
    }
}

impl Access {
    /// What the version of a write replaces, if that is a version. Only for the owner, under the pin under which he has found it.
    pub(super) fn over<'g>(&self) -> Option<Newest<'g>> {
        // SAFETY: a version, met under this pin.
        self.replaced.map(|stamp| Newest { version: unsafe { &*self.expected }, stamp })
    }
}

impl Descriptor {
    /// Writes the version of an access, which nobody looks at meanwhile: over the last one if that was drafted, or else as `apart` makes it. Returns the
    /// version of which it takes the place, if that lies elsewhere.
    #[inline]
    pub(crate) fn write<V>(
        &mut self,
        number: usize,
        value: Option<V>,
        apart: impl FnOnce(Option<V>) -> *mut VersionHeader,
    ) -> Option<*mut VersionHeader> {
        let (access, drafts) = self.access_and_drafts(number);
        if const { RoomLayout::fits::<V>() } && !access.component().rooms.is_none() {
            if !access.is_write()
                && let Some(draft) = drafts.take()
            {
                (access.version, access.home) = (draft, Home::Draft);
            }
            if access.home == Home::Draft {
                // SAFETY: memory for a version of a value that fits rooms, with a header, which is the caller's.
                unsafe { VersionNode::write(access.version, value, Stamp::UNDECIDED, slot::empty()) };
                return None;
            }
        }
        let before = std::mem::replace(&mut access.version, apart(value));
        (!before.is_null()).then_some(before)
    }
}

impl<'g> Worker<'g> {
    /// Places the version of a write, if it is not yet, given what it replaces; and whether the transaction has no other one, and validates nothing.
    pub(super) fn place(&self, write: &mut Access, latest: Latest<'g>, is_alone: bool) {
        if write.home != Home::Draft {
            return;
        }
        // SAFETY: slots and components live as long as the store.
        let (component, slot): (&'g Component, &'g SlotHeader) = unsafe { (&*write.component, &*write.slot) };
        let room = match latest {
            _ if write.own_version().is_tombstone() => None,
            Latest::Version(newest) => self.take_room_over(component, slot, newest),
            Latest::Empty if is_alone || !rule::holds(Rule::FailOverVersion) => self.take_room(component, slot),
            Latest::Empty | Latest::Purged => None,
        };
        (write.version, write.home) = match room {
            Some(room) => {
                // SAFETY: a draft of this component, and a room that was taken for it.
                unsafe { component.move_version(write.version, room.version()) };
                (room.version(), Home::Room)
            }
            // SAFETY: a draft of this component.
            None => (unsafe { component.move_version_apart(write.version) }, Home::Own),
        };
    }

    /// Gives a version up that was never installed.
    pub(super) fn give_up(&self, write: &Access) {
        match write.home {
            Home::Draft => {}
            Home::Room => {
                watch::given_back(write.version);
                // Who was refused the right meanwhile has left the slot in the backlog.
                write.slot().hand_back(write.component().rooms);
            }
            // SAFETY: never published.
            Home::Own => self.retire(unsafe { write.component().retire_version(write.version) }),
        }
    }

    /// Sees to what was replaced by a version in a room, both of which are final, and hands the right back. Returns whether a block of the backlog was
    /// filled, some of which is then to be worked off.
    #[inline]
    pub(super) fn conclude_room(&self, write: &Access) -> bool {
        // SAFETY: slots and components live as long as the store.
        let (component, slot): (&'g Component, &'g SlotHeader) = unsafe { (&*write.component, &*write.slot) };
        let Some(seen) = write.over() else {
            slot.hand_back(component.rooms);
            return false;
        };
        let version = write.own_version();
        self.settle_over(component, slot, seen, version, version.stamp())
    }

    /// Takes a failed version in a room out, which nobody can install any more, given a tag that was read under this pin, and hands the right back.
    pub(super) fn undo_room(&self, write: &Access, tag: u64) {
        chain::swing(write.slot(), write.own_version());
        watch::unlinked(write.version);
        if let Some(below) = write.over() {
            below.version.raise_tag(tag);
        }
        self.count_left_room();
        write.slot().hand_back(write.component().rooms);
    }

    /// Closes the rooms of a slot, in one of which lies a failed version that others may still install, and hands the right back.
    pub(super) fn close_rooms(&self, write: &Access) {
        if let Some(below) = write.over() {
            below.version.close_rooms();
        }
        write.slot().hand_back(write.component().rooms);
    }
}
