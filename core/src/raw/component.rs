//! A component without its types: table, arena, counters, and how to drop what is in them.

use std::alloc::Layout;
use std::any::Any;
use std::ptr;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::raw::arena::{Arena, Fresh};
use crate::raw::bound::Bound;
use crate::raw::chain::VersionHeader;
use crate::raw::era::Retired;
use crate::raw::lineage::{Mark, RecordedNode, Recording};
use crate::raw::page::PageLayout;
use crate::raw::rooms::RoomLayout;
use crate::raw::slot::{Head, Slot, SlotHeader};
use crate::raw::stamp::Stamp;
use crate::raw::table::{Position, Table};
use crate::raw::unread::Unread;
use crate::raw::version::VersionNode;
use crate::sync::{AtomicI64, AtomicU64, Ordering, watch};
use crate::tuning::LEN_STRIPES;

/// While it is in a component's `purge_from`, no tombstone is purged: a base is attached.
const NEVER: u64 = u64::MAX;

/// A key whose type only its map knows.
pub(crate) type ErasedKey = Arc<dyn Any + Send + Sync>;

/// A map, as the protocols see it.
pub(crate) struct Component {
    /// Finds slots by hash; unused if there is another index.
    pub(crate) table: Table,
    /// Another index, which slots are taken out of when they are purged.
    index: Option<Arc<dyn Unlink>>,
    pub(crate) arena: Arena,
    /// Whether it keeps history, and how.
    recording: Option<Recording>,
    bound: Option<Arc<Bound>>,
    make_tombstone: fn() -> *mut VersionHeader,
    move_version: unsafe fn(*mut VersionHeader, *mut VersionHeader),
    move_version_apart: unsafe fn(*mut VersionHeader) -> *mut VersionHeader,
    /// Where the rooms of its slots lie.
    pub(crate) rooms: RoomLayout,
    /// Bytes of a version that lies outside of its slot, with its value.
    pub(crate) version_bytes: usize,
    drop_version: unsafe fn(*mut VersionHeader),
    drop_key: unsafe fn(*mut SlotHeader),
    clone_key: unsafe fn(&SlotHeader) -> ErasedKey,
    counts: [CachePadded<Counts>; LEN_STRIPES],
    /// The era from which on tombstones are purged: see [`detach_base`](Self::detach_base).
    purge_from: AtomicU64,
    /// Removals up to this tick may have left no trace.
    forgotten: AtomicU64,
}

/// An index from which slots can be taken out.
pub(crate) trait Unlink: Send + Sync {
    /// Takes a purged slot out. Anyone may, any number of times. The caller is pinned.
    fn unlink(&self, slot: &SlotHeader, retire: &mut dyn FnMut(Retired));

    /// Bytes of the index, without slots. The caller is pinned.
    fn bytes(&self) -> usize;

    /// Appends all slots. The caller is pinned.
    fn slots(&self, found: &mut Vec<&SlotHeader>);
}

/// A stripe of a component's counters.
struct Counts {
    values: AtomicI64,
    slots: AtomicI64,
}

impl Counts {
    fn new() -> Self {
        Self { values: AtomicI64::new(0), slots: AtomicI64::new(0) }
    }
}

impl Component {
    /// A component with keys of type `K` and values of type `V`.
    pub(crate) fn new<K: Clone + Send + Sync + 'static, V>(id: u16) -> Self {
        Self::with_index::<K, V>(id, None)
    }

    /// As [`new`](Self::new), with keys that are found by another index than the table.
    pub(crate) fn with_index<K, V>(id: u16, index: Option<Arc<dyn Unlink>>) -> Self
    where
        K: Clone + Send + Sync + 'static,
    {
        const {
            let slot = Layout::new::<Slot<K>>();
            assert!(
                RoomLayout::behind::<V>(slot.size()).end() <= PageLayout::SLOT_MAX
                    && slot.align() <= PageLayout::SLOT_MAX,
                "a key takes at most 4,000 bytes, and is aligned to at most 4,096: put another one into a box"
            );
        }
        let slot = Layout::new::<Slot<K>>();
        let rooms = RoomLayout::behind::<V>(slot.size());
        let layout = Layout::from_size_align(rooms.end(), slot.align()).expect("a slot is smaller than a page");
        let arena = Arena::new(layout, id);
        Self {
            table: Table::new(arena.pages()),
            index,
            arena,
            rooms,
            recording: None,
            bound: None,
            make_tombstone: || VersionNode::<V>::allocate_unrecorded(None, Stamp::UNDECIDED),
            move_version: VersionNode::<V>::move_to,
            move_version_apart: VersionNode::<V>::move_apart,
            version_bytes: size_of::<VersionNode<V>>(),
            drop_version: VersionNode::<V>::drop_node,
            drop_key: Slot::<K>::drop_key,
            // SAFETY: passed on, by `key`.
            clone_key: |slot| Arc::new(unsafe { Slot::<K>::key(slot) }.clone()),
            counts: std::array::from_fn(|_| CachePadded::new(Counts::new())),
            purge_from: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
        }
    }

    /// The same component, recording. It has the values of type `V` that it was made with, and no slot yet.
    pub(crate) fn recorded<V>(mut self, recording: Recording) -> Self {
        debug_assert_eq!(self.slots(), 0, "no version without a lineage");
        // A version with a lineage fits no room.
        self.arena = self.arena.with_slots_of(self.rooms.at());
        self.table = Table::new(self.arena.pages());
        self.rooms = RoomLayout::NONE;
        self.recording = Some(recording);
        self.make_tombstone = || RecordedNode::<V>::allocate(None, Stamp::UNDECIDED, Mark::NONE);
        self.version_bytes = size_of::<RecordedNode<V>>();
        self.drop_version = RecordedNode::<V>::drop_node;
        self
    }

    /// The same component, with a bound on its keys, which whoever writes looks at.
    pub(crate) fn bounded(mut self, bound: Option<Arc<Bound>>) -> Self {
        self.bound = bound;
        self
    }

    /// The bound on keys.
    pub(crate) fn bound(&self) -> Option<&Bound> {
        self.bound.as_deref()
    }

    /// How the component keeps history, if it does.
    #[inline]
    pub(crate) fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// What is kept for those who are told every change, if that is so.
    pub(crate) fn unread(&self) -> Option<&Arc<Unread>> {
        self.recording()?.unread()
    }

    /// Above which tick readers of every change want all versions.
    pub(crate) fn unread_floor(&self) -> u64 {
        self.recording().map_or(u64::MAX, Recording::unread_floor)
    }

    /// Takes a purged slot out of the index. Anyone may, any number of times. The caller is pinned.
    pub(crate) fn unlink(&self, slot: &SlotHeader, mut retire: impl FnMut(Retired)) {
        match &self.index {
            Some(index) => index.unlink(slot, &mut retire),
            None => self.table.unlink(slot, retire),
        }
    }

    /// Appends the slots that come next in a walk over all, and says where to go on. The caller is pinned for the step. Another index than
    /// the table is walked over in one.
    pub(crate) fn step(&self, from: Position, found: &mut Vec<&SlotHeader>) -> Option<Position> {
        match &self.index {
            Some(index) => {
                index.slots(found);
                None
            }
            None => self.table.step(from, found),
        }
    }

    /// Bytes of slots and of the index that finds them. The caller is pinned.
    pub(crate) fn index_bytes(&self) -> usize {
        self.arena.bytes() + self.index.as_ref().map_or_else(|| self.table.bytes(), |index| index.bytes())
    }

    /// The component's number in its store.
    pub(crate) fn id(&self) -> u16 {
        self.arena.component()
    }

    /// Keys that have a value; exact when nobody writes.
    pub(crate) fn len(&self) -> usize {
        self.sum(|counts| &counts.values)
    }

    /// Keys in the table, also removed ones that are not yet purged.
    pub(crate) fn slots(&self) -> usize {
        self.sum(|counts| &counts.slots)
    }

    fn sum(&self, count: impl Fn(&Counts) -> &AtomicI64) -> usize {
        let sum: i64 = self.counts.iter().map(|stripe| count(stripe).load(Ordering::Relaxed)).sum();
        // A sum beside writers may miss what came and count what went.
        usize::try_from(sum).unwrap_or(0)
    }

    /// Counts a key that came or went.
    #[inline]
    pub(crate) fn count(&self, stripe: usize, change: i64) {
        // Relaxed: a count.
        self.counts[stripe % LEN_STRIPES].values.fetch_add(change, Ordering::Relaxed);
    }

    /// Counts a slot that came into the table or went.
    pub(crate) fn count_slot(&self, stripe: usize, change: i64) {
        // Relaxed: a count.
        self.counts[stripe % LEN_STRIPES].slots.fetch_add(change, Ordering::Relaxed);
    }

    /// Asks for what a write of a slot touches beside it to be brought near. A slot with rooms has all that it needs in it.
    #[inline]
    pub(crate) fn prefetch_to_write(&self, slot: &SlotHeader) {
        if self.rooms.is_none() {
            self.prefetch_side(slot);
        }
    }

    /// Asks for what of a slot lies beside it to be brought near.
    #[inline]
    pub(crate) fn prefetch_side(&self, slot: &SlotHeader) {
        self.arena.prefetch_side(slot);
    }

    /// Makes a slot for a key, which is not yet published. The caller is pinned.
    pub(crate) fn make_slot<'g, K>(&self, hash: u64, key: K) -> &'g SlotHeader {
        let slot = match self.arena.allocate() {
            Fresh::Unused(slot) => {
                // SAFETY: memory of a `Slot<K>` that only we know.
                unsafe { SlotHeader::init(slot, hash) };
                // SAFETY: as above.
                unsafe { self.rooms.init(slot) };
                // SAFETY: as above.
                unsafe { Slot::write_key(slot, key) };
                slot
            }
            Fresh::Recycled(slot) => {
                // SAFETY: a free slot of this arena that only we have taken.
                unsafe { Slot::write_key(slot, key) };
                // SAFETY: as above; its header is initialised for good.
                unsafe { &*slot }.reoccupy(hash);
                slot
            }
        };
        watch::allocated(slot);
        // SAFETY: type-stable memory; reclaimed only after the caller's pin.
        unsafe { &*slot }
    }

    /// Clones the key that a slot had in a use with this generation; `None` if that use is over. Runs user code. The caller is pinned.
    pub(crate) fn key(&self, slot: &SlotHeader, generation: u64) -> Option<ErasedKey> {
        // Who is purged by now may be freed under the pin.
        let is_occupied = !matches!(slot.head().1, Head::Purged) && slot.generation() == generation;
        // SAFETY: a slot of this component, which is occupied, and stays so under the pin.
        is_occupied.then(|| unsafe { (self.clone_key)(slot) })
    }

    /// Makes a version that says that a key was removed. It must be installed, or [dropped](Self::drop_unpublished).
    pub(crate) fn make_tombstone(&self) -> *mut VersionHeader {
        (self.make_tombstone)()
    }

    /// Moves a version that is not published into a room.
    ///
    /// # Safety
    /// Both are for values of this component, which keeps no history, and the caller's. What is moved is not read again.
    #[inline]
    pub(crate) unsafe fn move_version(&self, version: *mut VersionHeader, room: *mut VersionHeader) {
        // SAFETY: passed on.
        unsafe { (self.move_version)(version, room) };
    }

    /// Moves a version that is not published into memory of its own.
    ///
    /// # Safety
    /// As for [`move_version`](Self::move_version).
    #[inline]
    pub(crate) unsafe fn move_version_apart(&self, version: *mut VersionHeader) -> *mut VersionHeader {
        // SAFETY: passed on.
        unsafe { (self.move_version_apart)(version) }
    }

    /// Drops a version that was never published.
    ///
    /// # Safety
    /// It was made for this component, and only the caller knows it.
    pub(crate) unsafe fn drop_unpublished(&self, version: *mut VersionHeader) {
        // SAFETY: passed on.
        unsafe { (self.drop_version)(version) };
    }

    /// Garbage: a version that was unlinked.
    ///
    /// # Safety
    /// As [`Retired::new`] (1) and (2); a version of this component, which lives as long as its store.
    pub(crate) unsafe fn retire_version(&self, version: *mut VersionHeader) -> Retired {
        // SAFETY: passed on.
        unsafe { Retired::new(version.cast(), self, reclaim_version) }.of_bytes(self.version_bytes)
    }

    /// Garbage: a slot that was unlinked, or never published.
    ///
    /// # Safety
    /// As for [`retire_version`](Self::retire_version).
    pub(crate) unsafe fn retire_slot(&self, slot: &SlotHeader) -> Retired {
        // SAFETY: passed on.
        unsafe { Retired::new(ptr::from_ref(slot).cast_mut().cast(), self, reclaim_slot) }
    }

    /// Says that a removal with this tick leaves no trace, before it does.
    pub(crate) fn forget_removals(&self, tick: u64) {
        // Relaxed: ordered by the fences [PURGE-1] and [PURGE-2].
        if self.forgotten.load(Ordering::Relaxed) < tick {
            self.forgotten.fetch_max(tick, Ordering::Relaxed);
        }
    }

    /// Whether all removals after a tick have left a trace. Behind the fence [PURGE-2].
    pub(crate) fn remembers_since(&self, tick: u64) -> bool {
        // Relaxed: as above.
        !self.has_base() && self.forgotten.load(Ordering::Relaxed) <= tick
    }

    /// The tick from which on all removals have left a trace.
    pub(crate) fn remembers_from(&self) -> u64 {
        // Relaxed: a hint.
        self.forgotten.load(Ordering::Relaxed)
    }

    /// From now on tombstones stay: a base lies under the table.
    pub(crate) fn attach_base(&self) {
        // Release [BASE-1]: before any key is looked up.
        self.purge_from.store(NEVER, Ordering::Release);
    }

    /// Tombstones may go once `era` is safe: then nobody who has seen the base attached is still bringing a key in.
    pub(crate) fn detach_base(&self, era: u64) {
        // Release [BASE-1]: mate of Acquire [BASE-2].
        self.purge_from.store(era, Ordering::Release);
    }

    /// Whether a base lies under the table.
    pub(crate) fn has_base(&self) -> bool {
        // Acquire [BASE-2]: with Release [BASE-1].
        self.purge_from.load(Ordering::Acquire) == NEVER
    }

    /// Whether tombstones may be purged, given up to which era memory is safe.
    pub(crate) fn may_purge(&self, safe: u64) -> bool {
        // Acquire [BASE-2]: with Release [BASE-1].
        self.purge_from.load(Ordering::Acquire) <= safe
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let (drop_key, drop_version) = (self.drop_key, self.drop_version);
        let rooms = self.rooms;
        let mut contents =
            Contents { slots: self.arena.slots(), slot: None, version: None, rooms, drop_key, drop_version };
        while contents.drop_next() {}
    }
}

/// Keys and versions of a component that goes. Each is taken out before it is dropped, so a `Drop` that panics keeps no other
/// from it.
struct Contents<'g, S: Iterator<Item = *mut SlotHeader>> {
    slots: S,
    /// The slot whose key is next, behind its versions.
    slot: Option<*mut SlotHeader>,
    version: Option<&'g VersionHeader>,
    rooms: RoomLayout,
    drop_version: unsafe fn(*mut VersionHeader),
    drop_key: unsafe fn(*mut SlotHeader),
}

impl<S: Iterator<Item = *mut SlotHeader>> Contents<'_, S> {
    /// Drops one key or version; `false` if there is none.
    fn drop_next(&mut self) -> bool {
        if let Some(version) = self.version.take() {
            self.version = version.prev();
            // SAFETY: its slot is visited until its last version is dropped.
            let is_in_slot = self.slot.is_some_and(|slot| self.rooms.has(unsafe { &*slot }, version));
            if !is_in_slot {
                // SAFETY: exclusive access; each version is in one chain.
                unsafe { (self.drop_version)(ptr::from_ref(version).cast_mut()) };
            }
        } else if let Some(slot) = self.slot.take() {
            // SAFETY: exclusive access to an occupied slot.
            unsafe { (self.drop_key)(slot) };
        } else if let Some(slot) = self.slots.next() {
            // SAFETY: handed out, so its header is initialised.
            let header = unsafe { &*slot };
            if header.is_occupied() {
                self.slot = Some(slot);
                if let (_, Head::Version(newest)) = header.head() {
                    self.version = Some(newest);
                }
            }
        } else {
            return false;
        }
        true
    }
}

impl<S: Iterator<Item = *mut SlotHeader>> Drop for Contents<'_, S> {
    fn drop(&mut self) {
        while self.drop_next() {}
    }
}

/// # Safety
/// As [`Reclaim`](crate::raw::era::Reclaim): the item is a version of the component.
unsafe fn reclaim_version(item: *mut u8, component: *const Component) {
    // SAFETY: the component is alive.
    let drop_version = unsafe { (*component).drop_version };
    // SAFETY: of this component, and nobody can reach it.
    unsafe { drop_version(item.cast()) };
}

/// # Safety
/// As [`Reclaim`](crate::raw::era::Reclaim): the item is a slot of the component.
unsafe fn reclaim_slot(item: *mut u8, component: *const Component) {
    struct Release<'a>(&'a Component, *mut SlotHeader);
    impl Drop for Release<'_> {
        fn drop(&mut self) {
            // SAFETY: of this arena, and no pin that could have met it is left.
            unsafe { self.0.arena.release(self.1, self.0.rooms) };
        }
    }
    // SAFETY: the component is alive.
    let component = unsafe { &*component };
    // Back into the arena, also if the key's `Drop` panics.
    let release = Release(component, item.cast());
    // SAFETY: occupied until now, and nobody can reach it.
    unsafe { (component.drop_key)(release.1) };
}
