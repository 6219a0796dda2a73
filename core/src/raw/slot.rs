//! Slots: where a key lives, from its first write to its purge. A slot never moves.
//!
//! ```text
//! slot   head   newest version, or EMPTY, or PURGED; while the slot is free, the next free slot, which reads as PURGED
//!        key
//!        rooms  for two small versions, if values are such
//! side   state  | generation (39) | holders (16) | flags (9) |
//!        hash   of the key
//!        right  of a slot without rooms: to prune
//! ```
//!
//! A slot lies in a [page](crate::raw::page), its side in front of all slots there: what a lookup reads is head and key.
//!
//! A slot belongs to one component and is reused only by it: its memory is *type-stable*, so a stale address still points at
//! a slot header. `generation` moves each time the slot is freed.

use std::mem::MaybeUninit;
use std::ptr;

use crate::raw::backlog::WaitsFor;
use crate::raw::chain::VersionHeader;
use crate::raw::page::{self, PageLayout, Side};
use crate::raw::rooms::RoomLayout;
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicPtr, Ordering, keep, kept, watch};

/// The slot's tombstone stands in the backlog.
const QUEUED: u64 = 1 << 0;
/// The slot holds a key.
const OCCUPIED: u64 = 1 << 1;
/// The slot stands in the backlog for another look at its chain.
const QUEUED_FOR_LOOK: u64 = 1 << 2;

/// The slot stands in the backlog until some of its history has grown old.
const QUEUED_FOR_TIME: u64 = 1 << 3;
/// The slot is being purged, or was: nobody holds it any more. See [`place`](crate::raw::place).
const PURGING: u64 = 1 << 4;
/// A purge was kept off by holders: the last of them puts the slot into the backlog.
const OWED: u64 = 1 << 5;
/// The slot stands in the backlog until readers of every change have passed some of its versions.
const QUEUED_FOR_READERS: u64 = 1 << 6;

/// One holder.
const HOLDER: u64 = 1 << 9;
/// All of them. More are not counted: such a slot is held for good.
const HOLDERS: u64 = 0xFFFF << 9;

/// A slot is freed once in some microseconds at most: a holder of a generation would have to stay for a month to see it again.
const GENERATION_SHIFT: u32 = 25;

/// Set in a head that is no version's address.
const NO_VERSION: usize = 1;
/// A head: no version was ever installed. No address of a free slot with [`NO_VERSION`] is such a number.
const EMPTY: usize = NO_VERSION | 2;

/// The part of a slot that does not depend on the key's type.
#[repr(C)]
pub(crate) struct SlotHeader {
    head: AtomicPtr<VersionHeader>,
}

/// A slot and its key.
#[repr(C)]
pub(crate) struct Slot<K> {
    header: SlotHeader,
    key: MaybeUninit<K>,
}

/// What a slot's head says.
#[derive(Clone, Copy)]
pub(crate) enum Head<'g> {
    /// No version was ever installed.
    Empty,
    /// The slot is out of use: look the key up again.
    Purged,
    /// The newest version, decided or not.
    Version(&'g VersionHeader),
}

/// The outcome of putting a slot out of use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Purge {
    Done,
    /// The head has changed.
    Changed,
    /// It is held: the last holder sees to it.
    Held,
}

/// The mark that a slot bears while it stands in the backlog for this. None for a snapshot: there each watched version has its
/// own; and none for a slot without versions, which few leave.
fn mark_of(waits_for: WaitsFor) -> u64 {
    match waits_for {
        WaitsFor::Snapshot(_) | WaitsFor::Empty => 0,
        WaitsFor::Floor(_) => QUEUED,
        WaitsFor::Time(_) => QUEUED_FOR_TIME,
        WaitsFor::Readers(_) => QUEUED_FOR_READERS,
        WaitsFor::Look => QUEUED_FOR_LOOK,
    }
}

/// The head of a slot that has no version.
pub(crate) fn empty() -> *mut VersionHeader {
    ptr::without_provenance_mut(EMPTY)
}

/// The head of a slot that is out of use.
fn purged() -> *mut VersionHeader {
    ptr::without_provenance_mut(NO_VERSION)
}

impl SlotHeader {
    /// Makes a slot that holds a key and no version.
    ///
    /// # Safety
    /// Only the caller knows the slot, whose memory was never used.
    pub(crate) unsafe fn init(slot: *mut Self, hash: u64) {
        // SAFETY: the slot is the caller's.
        unsafe { slot.write(Self { head: AtomicPtr::new(empty()) }) };
        // SAFETY: passed on.
        unsafe { page::write_side(slot, Side::new(OCCUPIED, hash)) };
    }

    #[inline]
    fn side(&self) -> &Side {
        // SAFETY: written in `init`, and there for as long as the slot.
        unsafe { &*page::side_of(self) }
    }

    /// The head, as an address to compare against and as what it means.
    ///
    /// The reference lives as long as the caller's pin, which began before this load: what is unlinked later is not reclaimed
    /// under it.
    #[inline]
    pub(crate) fn head<'g>(&self) -> (*mut VersionHeader, Head<'g>) {
        // Acquire [HEAD-2]: with AcqRel [HEAD-1] in `replace_head`; else a reader meets a version before its value.
        let head = self.head.load(Ordering::Acquire);
        (head, Self::read(head))
    }

    fn read<'g>(head: *mut VersionHeader) -> Head<'g> {
        if head.addr() & NO_VERSION != 0 {
            if head.addr() == EMPTY { Head::Empty } else { Head::Purged }
        } else {
            // SAFETY: a head without the mark is a version; versions are reclaimed only when no pin that
            // could have met them is left, and callers hold one.
            let version = unsafe { &*head };
            watch::met(version);
            Head::Version(version)
        }
    }

    /// Makes `new` the head if `seen` still is. The linearization point of every write.
    #[inline]
    pub(crate) fn replace_head(&self, seen: *mut VersionHeader, new: *mut VersionHeader) -> bool {
        // AcqRel [HEAD-1]: publishes the version; Acquire so that what was replaced is seen whole.
        self.head.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Puts the slot out of use if `seen` still is its head, and nobody holds it. Only for the slot's one pruner.
    pub(crate) fn purge(&self, seen: *mut VersionHeader) -> Purge {
        let state = &self.side().state;
        let mut before = state.load(Ordering::Relaxed);
        loop {
            let is_held = before & HOLDERS != 0 && rule::holds(Rule::HeldStays);
            let mark = if is_held { OWED } else { PURGING };
            // AcqRel [HOLD-1]: who holds the slot after all sees what stood in it; who released it last has done with it; and who
            // releases it later sees the tombstone.
            match state.compare_exchange(before, before | mark, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if is_held => return Purge::Held,
                Ok(_) => break,
                Err(other) => before = other,
            }
        }
        if self.replace_head(seen, purged()) {
            return Purge::Done;
        }
        // Relaxed: it says no more than that the slot may be held again.
        state.fetch_and(!PURGING, Ordering::Relaxed);
        Purge::Changed
    }

    /// Keeps the slot from being purged; `false` if it is being. The caller is pinned, and the table shows the slot.
    pub(crate) fn hold(&self) -> bool {
        let state = &self.side().state;
        let mut before = state.load(Ordering::Relaxed);
        loop {
            if before & PURGING != 0 && rule::holds(Rule::NoHoldOncePurging) {
                return false;
            }
            if before & HOLDERS == HOLDERS {
                return true;
            }
            // AcqRel [HOLD-1].
            match state.compare_exchange(before, before + HOLDER, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => before = other,
            }
        }
    }

    /// Ends a hold; `true` if the slot is to be put into the backlog.
    pub(crate) fn release_hold(&self) -> bool {
        let state = &self.side().state;
        let mut before = state.load(Ordering::Relaxed);
        loop {
            if before & HOLDERS == HOLDERS {
                return false;
            }
            let is_owed = before & HOLDERS == HOLDER && before & OWED != 0;
            let after = (before & if is_owed { !OWED } else { !0 }) - HOLDER;
            // AcqRel [HOLD-1].
            match state.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return is_owed && rule::holds(Rule::LastHolderPays),
                Err(other) => before = other,
            }
        }
    }

    /// The hash of the key, [trimmed](crate::sync::trimmed).
    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        // Relaxed: written before the slot is published, and read only through a published pointer.
        kept(self.side().hash.load(Ordering::Relaxed))
    }

    /// As [`hash`](Self::hash), given how the component's pages are laid out.
    #[inline]
    pub(crate) fn hash_in(&self, pages: &PageLayout) -> u64 {
        // Relaxed: as in `hash`.
        kept(pages.side(self).hash.load(Ordering::Relaxed))
    }

    /// The component that the slot belongs to.
    pub(crate) fn component(&self) -> u16 {
        page::component_of(self)
    }

    /// Whether the slot holds a key.
    pub(crate) fn is_occupied(&self) -> bool {
        // Acquire [SLOT-2]: with Release [SLOT-1] in `reoccupy`, the key is there when the mark is.
        self.side().state.load(Ordering::Acquire) & OCCUPIED != 0
    }

    /// How often the slot was freed: tells a stale address from a good one.
    pub(crate) fn generation(&self) -> u64 {
        // Acquire [SLOT-2]: as in `is_occupied`.
        self.side().state.load(Ordering::Acquire) >> GENERATION_SHIFT
    }

    /// Takes the slot's right: to prune its chain, and to write its rooms. A try-lock: who does not get it must not wait for it.
    #[inline]
    pub(crate) fn try_right(&self, rooms: RoomLayout) -> bool {
        match rooms.first(self) {
            Some(room) => room.try_right(),
            None => self.try_own_right(),
        }
    }

    fn try_own_right(&self) -> bool {
        let right = &self.side().right;
        // Relaxed: a hint. Acquire [RIGHT-2]: with Release [RIGHT-1]: one pruner sees what the last one unlinked.
        right.load(Ordering::Relaxed) == 0 && right.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Hands the right back.
    #[inline]
    pub(crate) fn hand_back(&self, rooms: RoomLayout) {
        match rooms.first(self) {
            Some(room) => room.hand_back(),
            // Release [RIGHT-1]: mate of Acquire [RIGHT-2].
            None => self.side().right.store(0, Ordering::Release),
        }
    }

    /// Marks the slot as standing in the backlog for this; `false` if it did already.
    pub(crate) fn enqueue(&self, waits_for: WaitsFor) -> bool {
        let mark = mark_of(waits_for);
        // AcqRel [QUEUE-1]: whoever takes the mark away later sees what was written before it was set.
        mark == 0 || self.side().state.fetch_or(mark, Ordering::AcqRel) & mark == 0
    }

    /// Takes the mark away, before the slot is looked at: what happens later puts it back.
    pub(crate) fn dequeue(&self, waited_for: WaitsFor) {
        let mark = mark_of(waited_for);
        if mark != 0 {
            // AcqRel [QUEUE-1].
            self.side().state.fetch_and(!mark, Ordering::AcqRel);
        }
    }

    /// Frees the slot: its key is gone, its generation moves, and `next` follows it in the free list.
    ///
    /// Only when no pin that could have met the slot is left.
    pub(crate) fn release(&self, next: *mut SlotHeader, rooms: RoomLayout) {
        let side = self.side();
        let generation = (side.state.load(Ordering::Relaxed) >> GENERATION_SHIFT) + 1;
        // Relaxed: only stale notes still look here, and they check the mark; the free list publishes the slot.
        side.state.store(generation << GENERATION_SHIFT, Ordering::Relaxed);
        self.set_next_free(next);
        // Whoever purged the slot kept its right until now: so who gets it sees that the generation has moved.
        self.hand_back(rooms);
    }

    /// Sets the slot that follows in the free list.
    pub(crate) fn set_next_free(&self, next: *mut SlotHeader) {
        // Relaxed: published by the free list's own Release [FREE-1].
        self.head.store(next.map_addr(|address| address | NO_VERSION).cast(), Ordering::Relaxed);
    }

    /// The slot that follows in the free list.
    pub(crate) fn next_free(&self) -> *mut SlotHeader {
        // Relaxed: behind the free list's Acquire [FREE-2]. A stale value fails the list's compare-and-swap.
        self.head.load(Ordering::Relaxed).map_addr(|address| address & !NO_VERSION).cast()
    }

    /// Takes a free slot into use for another key, which the caller has just written.
    pub(crate) fn reoccupy(&self, hash: u64) {
        self.side().hash.store(keep(hash), Ordering::Relaxed);
        // Release [HEAD-3]: the generation stands before it. Mate: Acquire [HEAD-2] of a transaction, which looks at the head of an absent
        // key's slot and then at the generation.
        self.head.store(empty(), Ordering::Release);
        // Release [SLOT-1]: mate of Acquire [SLOT-2].
        self.side().state.fetch_or(OCCUPIED, Ordering::Release);
    }
}

impl<K> Slot<K> {
    /// The key of an occupied slot.
    ///
    /// # Safety
    /// 1. `header` is the header of a `Slot<K>`.
    /// 2. It is occupied for as long as `'g`: the caller is pinned, or a snapshot sees a value in it.
    #[inline]
    pub(crate) unsafe fn key<'g>(header: &SlotHeader) -> &'g K {
        watch::met(header);
        let slot = ptr::from_ref(header).cast::<Self>();
        // SAFETY: (1) gives the type, (2) that the key is initialised and stays.
        unsafe { (*slot).key.assume_init_ref() }
    }

    /// Writes the key of a slot that is not yet published.
    ///
    /// # Safety
    /// `header` is the header of a `Slot<K>` that only the caller knows.
    pub(crate) unsafe fn write_key(header: *mut SlotHeader, key: K) {
        // SAFETY: the caller owns the slot.
        unsafe { (*header.cast::<Self>()).key.write(key) };
    }

    /// Drops the key of a slot that nobody can reach any more.
    ///
    /// # Safety
    /// `header` is the header of an occupied `Slot<K>` that only the caller knows.
    pub(crate) unsafe fn drop_key(header: *mut SlotHeader) {
        // SAFETY: the caller owns the slot, and it is occupied.
        unsafe { (*header.cast::<Self>()).key.assume_init_drop() };
    }
}
