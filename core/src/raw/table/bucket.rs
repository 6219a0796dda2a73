//! Buckets: one cache line with seven entries (under the model, two), found by one-byte tags.
//!
//! ```text
//! word 0      tags of entries 0 to 6, a byte each (0 = none yet), and in the last byte the bucket's marks
//! words 1-7   entries: null | slot | slot + FROZEN | TOMB | TOMB + FROZEN | null + FROZEN
//!             the last entry also: LINK + overflow bucket, in which entry 0 is the slot that stood here
//! ```
//!
//! An entry goes null → slot → TOMB, and any of them → frozen. It never goes back, so the first null entry along a bucket's
//! chain is the one place where a new key can be claimed: two inserts of one key meet there.

use std::ptr;

use smallvec::SmallVec;

use crate::raw::page::PageLayout;
use crate::raw::slot::SlotHeader;
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicPtr, AtomicU64, EqualBytes, Ordering, TAG_SHIFT, equal_bytes, prefetch};
use crate::tuning::BUCKET_ENTRIES;

/// Entries in a bucket.
pub(crate) const ENTRIES: usize = BUCKET_ENTRIES;
/// The entry that may hold a link.
pub(crate) const LAST: usize = ENTRIES - 1;

const FROZEN: usize = 1;
const LINK: usize = 2;
const TOMB: usize = 4;
const BITS: usize = FROZEN | LINK | TOMB;

/// In the last byte of the tags' word: the bucket's entries are in the next table. The sign is told by one instruction.
const MOVED: u64 = 1 << 63;
/// A bucket of a table, or an overflow bucket behind one.
#[repr(C, align(64))]
pub(crate) struct Bucket {
    tags: AtomicU64,
    entries: [AtomicPtr<SlotHeader>; ENTRIES],
}

#[cfg(not(any(loom, shuttle, stillpoint_stall)))]
const _: () = assert!(size_of::<Bucket>() == 64, "a bucket is a cache line");
const _: () = assert!(align_of::<SlotHeader>() >= 8, "an entry's three low bits are free");

/// A slot, and the hash that it has: to be read once, since it is a cache miss.
pub(crate) type Hashed<'g> = (u64, &'g SlotHeader);

/// What is found in a bucket: seldom more than it has entries.
pub(crate) type Few<T> = SmallVec<[T; 2 * ENTRIES]>;

/// The one-byte tag of a hash; never zero.
#[inline]
pub(crate) fn tag_of(hash: u64) -> u8 {
    // Low bits of those that are kept: the high ones choose the bucket.
    let byte = (hash >> TAG_SHIFT) as u8;
    byte + u8::from(byte == 0)
}

/// An entry's word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(*mut SlotHeader);

/// What an entry's word means.
#[derive(Clone, Copy)]
pub(crate) enum Meaning<'g> {
    /// Never used.
    Null,
    /// Holds a key's slot.
    Slot(&'g SlotHeader),
    /// Held one that was purged.
    Tomb,
    /// The chain goes on in an overflow bucket.
    Link(&'g Bucket),
}

impl Entry {
    pub(crate) fn slot(slot: &SlotHeader) -> Self {
        Self(ptr::from_ref(slot).cast_mut())
    }

    pub(crate) fn tomb() -> Self {
        Self(ptr::without_provenance_mut(TOMB))
    }

    pub(crate) fn link(bucket: *mut Bucket) -> Self {
        Self(bucket.cast::<SlotHeader>().map_addr(|address| address | LINK))
    }

    pub(crate) const fn null() -> Self {
        Self(ptr::null_mut())
    }

    #[inline]
    pub(crate) fn is_frozen(self) -> bool {
        self.0.addr() & FROZEN != 0
    }

    fn frozen(self) -> Self {
        Self(self.0.map_addr(|address| address | FROZEN))
    }

    /// Asks for what the entry holds to be brought near.
    #[inline]
    pub(crate) fn prefetch(self) {
        prefetch(self.0.map_addr(|address| address & !BITS));
    }

    /// The slot that the entry holds, if it has not been purged, and the entry is no link.
    ///
    /// # Safety
    /// 1. The entry has a tag that was loaded before it: so it was claimed, and never goes back to null.
    /// 2. The caller is pinned as for [`meaning`](Self::meaning).
    #[inline]
    unsafe fn slot_behind_tag<'g>(self) -> Option<&'g SlotHeader> {
        if self.0.addr() & BITS == 0 {
            // SAFETY: (1) no null, (2) as in `meaning`.
            return Some(unsafe { &*self.0 });
        }
        match self.meaning() {
            Meaning::Slot(slot) => Some(slot),
            Meaning::Null | Meaning::Tomb | Meaning::Link(_) => None,
        }
    }

    /// What the entry holds, frozen or not. The caller is pinned since before it loaded the entry from a bucket that had not
    /// moved.
    #[inline]
    pub(crate) fn meaning<'g>(self) -> Meaning<'g> {
        let address = self.0.map_addr(|address| address & !BITS);
        if self.0.addr() & LINK != 0 {
            // SAFETY: an overflow bucket is freed only with its table, which pins protect.
            return Meaning::Link(unsafe { &*address.cast::<Bucket>() });
        }
        if self.0.addr() & TOMB != 0 {
            return Meaning::Tomb;
        }
        // SAFETY: slots are type-stable; one that is linked here is not reused under the caller's pin.
        unsafe { address.as_ref() }.map_or(Meaning::Null, Meaning::Slot)
    }
}

/// A bucket's tags and marks as loaded once.
#[derive(Clone, Copy)]
pub(crate) struct Tags(u64);

impl Tags {
    /// Whether the bucket's entries are in the next table.
    #[inline]
    pub(crate) fn is_moved(self) -> bool {
        self.0 & MOVED != 0
    }

    /// The entries that may hold a key with this tag, lowest first. A false match costs one comparison.
    #[inline]
    pub(crate) fn matching(self, tag: u8) -> EqualBytes {
        equal_bytes::<{ ENTRIES as u32 }>(self.0, tag)
    }

    /// Whether every entry has its tag, so that the last one may be a link.
    #[inline]
    pub(crate) fn is_full(self) -> bool {
        self.0 & (0xFF << (8 * LAST)) != 0
    }

    /// The entry's tag, if it has it.
    #[inline]
    pub(crate) fn of(self, index: usize) -> Option<u8> {
        let tag = (self.0 >> (8 * index)) as u8;
        (tag != 0).then_some(tag)
    }
}

impl Bucket {
    /// An empty bucket.
    pub(crate) fn new() -> Self {
        Self { tags: AtomicU64::new(0), entries: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())) }
    }

    /// An overflow bucket that begins with these slots; those that do not fit go into further ones.
    pub(crate) fn overflow(slots: &[Hashed<'_>]) -> *mut Self {
        let bucket = Self::new();
        bucket.fill(slots);
        Box::into_raw(Box::new(bucket))
    }

    /// Frees an overflow bucket and those behind it.
    ///
    /// # Safety
    /// Nobody else can reach them.
    pub(crate) unsafe fn free_overflow(bucket: *mut Self) {
        // SAFETY: leaked once in `overflow`.
        let bucket = unsafe { Box::from_raw(bucket) };
        // SAFETY: passed on.
        unsafe { bucket.free_links() };
    }

    /// Frees the overflow buckets behind this one.
    ///
    /// # Safety
    /// Nobody else can reach them.
    pub(crate) unsafe fn free_links(&self) {
        // Relaxed: exclusive.
        let last = Entry(self.entries[LAST].load(Ordering::Relaxed));
        if let Meaning::Link(overflow) = last.meaning() {
            // SAFETY: passed on.
            unsafe { Self::free_overflow(ptr::from_ref(overflow).cast_mut()) };
        }
    }

    #[inline]
    pub(crate) fn tags(&self) -> Tags {
        // Acquire [TAG-2]: with AcqRel [TAG-1]: an entry is there when its tag is, and the next table's entries are when
        // the mark is.
        Tags(self.tags.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn entry(&self, index: usize) -> Entry {
        // Acquire [ENTRY-2]: with AcqRel [ENTRY-1]: a slot's key is there when its address is.
        Entry(self.entries[index].load(Ordering::Acquire))
    }

    /// The slot of a key among the bucket's own entries, given tags that say that the bucket has not moved. The caller is pinned.
    #[inline]
    pub(crate) fn search<'g>(
        &self,
        tags: Tags,
        hash: u64,
        is_key: impl Fn(&SlotHeader) -> bool + Copy,
    ) -> Option<&'g SlotHeader> {
        let mut matching = tags.matching(tag_of(hash));
        // Nearly always the first one is the key's.
        let index = matching.next()?;
        // SAFETY: (1) a tag is never zero, and matches one; (2) the caller's pin.
        match unsafe { self.entry(index).slot_behind_tag() } {
            Some(slot) if is_key(slot) => Some(slot),
            _ => self.search_further(matching, is_key),
        }
    }

    #[cold]
    #[inline(never)]
    fn search_further<'g>(
        &self,
        matching: EqualBytes,
        is_key: impl Fn(&SlotHeader) -> bool + Copy,
    ) -> Option<&'g SlotHeader> {
        // SAFETY: as in `search`.
        let mut slots = matching.filter_map(|index| unsafe { self.entry(index).slot_behind_tag() });
        slots.find(|slot| is_key(slot))
    }

    /// The slot of a key in the overflow buckets behind this one, which is full. The caller is pinned.
    #[cold]
    #[inline(never)]
    pub(crate) fn search_overflow<'g>(
        &self,
        hash: u64,
        is_key: impl Fn(&SlotHeader) -> bool + Copy,
    ) -> Option<&'g SlotHeader> {
        let mut full = self;
        while let Meaning::Link(bucket) = full.entry(LAST).meaning() {
            let tags = bucket.tags();
            let found = bucket.search(tags, hash, is_key);
            if found.is_some() || !tags.is_full() {
                return found;
            }
            full = bucket;
        }
        None
    }

    /// Replaces an entry; on failure says what is there.
    pub(crate) fn replace(&self, index: usize, seen: Entry, new: Entry) -> Result<(), Entry> {
        // AcqRel [ENTRY-1]: mate of Acquire [ENTRY-2].
        self.entries[index]
            .compare_exchange(seen.0, new.0, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(Entry)
    }

    /// Sets an entry's tag. Anyone may, any number of times: an entry's tag never changes.
    #[inline]
    pub(crate) fn set_tag(&self, index: usize, hash: u64) {
        // AcqRel [TAG-1]: mate of Acquire [TAG-2].
        self.tags.fetch_or(u64::from(tag_of(hash)) << (8 * index), Ordering::AcqRel);
    }

    /// Sets the tags of the first entries.
    fn set_tags(&self, hashes: impl Iterator<Item = u64>) {
        let tags = hashes.enumerate().fold(0, |tags, (index, hash)| tags | u64::from(tag_of(hash)) << (8 * index));
        if tags != 0 {
            // AcqRel [TAG-1]: mate of Acquire [TAG-2].
            self.tags.fetch_or(tags, Ordering::AcqRel);
        }
    }

    /// Says that all entries are in the next table; `true` for the first to say so.
    pub(crate) fn set_moved(&self) -> bool {
        // AcqRel [TAG-1]: mate of Acquire [TAG-2].
        self.tags.fetch_or(MOVED, Ordering::AcqRel) & MOVED == 0
    }

    /// Asks for the sides of the slots here to be brought near, if they are to be moved. The caller is pinned.
    pub(crate) fn prefetch_sides(&self, pages: &PageLayout) {
        if self.tags().is_moved() {
            return;
        }
        for index in 0..ENTRIES {
            if let Meaning::Slot(slot) = self.entry(index).meaning() {
                pages.prefetch_side(slot);
            }
        }
    }

    /// Freezes every entry of the chain that begins here, and appends the slots found, in order. All who do this find the
    /// same.
    pub(crate) fn freeze(&self, found: &mut Few<&SlotHeader>) {
        for index in 0..ENTRIES {
            let mut entry = self.entry(index);
            while rule::holds(Rule::FreezeBeforeCopy) && !entry.is_frozen() {
                match self.replace(index, entry, entry.frozen()) {
                    Ok(()) => entry = entry.frozen(),
                    Err(other) => entry = other,
                }
            }
            match entry.meaning() {
                Meaning::Slot(slot) => found.push(slot),
                Meaning::Link(overflow) => overflow.freeze(found),
                Meaning::Null | Meaning::Tomb => {}
            }
        }
    }

    /// Places slots into the first entries, in order; what does not fit goes into overflow buckets. Several helpers may do
    /// this at once with the same slots: each entry takes what the first of them put there.
    pub(crate) fn fill(&self, slots: &[Hashed<'_>]) {
        let here = if slots.len() > ENTRIES { LAST } else { slots.len() };
        for (index, (_, slot)) in slots[..here].iter().enumerate() {
            let _ = self.replace(index, Entry::null(), Entry::slot(slot));
        }
        if slots.len() > ENTRIES && self.entry(LAST) == Entry::null() {
            let overflow = Self::overflow(&slots[LAST..]);
            if self.replace(LAST, Entry::null(), Entry::link(overflow)).is_err() {
                // SAFETY: never published.
                unsafe { Self::free_overflow(overflow) };
            }
        }
        self.set_tags(slots.iter().take(ENTRIES).map(|(hash, _)| *hash));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn matching_finds_every_entry_with_the_tag_and_never_the_marks() {
        let bucket = Bucket::new();
        for (index, hash) in [1_u64, 0, 0x80, 0xFF, 1, 0x7F, 0xFF].into_iter().enumerate() {
            bucket.set_tag(index, hash << TAG_SHIFT);
        }
        bucket.set_moved();
        for tag in 1..=255_u8 {
            let expected: Vec<usize> = [1_u8, 1, 0x80, 0xFF, 1, 0x7F, 0xFF]
                .into_iter()
                .enumerate()
                .filter_map(|(index, has)| (has == tag).then_some(index))
                .collect();
            let found: Vec<usize> = bucket.tags().matching(tag).collect();
            assert!(expected.iter().all(|index| found.contains(index)), "{tag}: {found:?}");
            assert!(found.iter().all(|index| *index < ENTRIES));
        }
        assert!(bucket.tags().is_moved() && bucket.tags().is_full());
    }

    #[test]
    fn an_entry_has_the_tag_that_was_set_and_no_other() {
        let bucket = Bucket::new();
        bucket.set_moved();
        bucket.set_tag(2, 0x1_05 << TAG_SHIFT);
        bucket.set_tag(LAST, 0);
        let tags: Vec<Option<u8>> = (0..ENTRIES).map(|index| bucket.tags().of(index)).collect();
        assert_eq!(tags, [None, None, Some(5), None, None, None, Some(1)]);
    }
}
