//! The table: from a key's hash to its slot. Lock-free, grows in small steps, and holds nothing but addresses of slots.
//!
//! # Words
//! A table has 2^n buckets; a hash's n high bits choose one, so that walking the buckets in order walks the hashes in order,
//! whatever the table's size. A bucket overflows into a chain. While a table is being replaced it has a *next* one; a bucket
//! *moves* there whole: every entry of its chain is frozen, then copied, then the bucket is marked MOVED.
//!
//! # Steps
//! - **Lookup**: load the tags; if MOVED, go to the next table; else look at the entries that match, and along the chain.
//! - **Insert**: if there is a next table, move the bucket and go there. Else walk the chain; the first null entry is the place.
//!   A frozen entry means that there is a next table. Set the entry's tag before going on; whoever meets an entry without
//!   a tag sets it.
//! - **Move**: freeze the chain's entries, one by one; each of the two (or the one) buckets that they go to takes its share in
//!   the chain's order, from its first entry on; mark the bucket MOVED. All who move a bucket compute the same, and each
//!   entry is set by compare-and-swap from null, so a late helper changes nothing.
//! - **Unlink** (of a purged slot): as an insert finds its place; then slot → TOMB.
//!
//! # Why this is right
//! - *One slot for a key*: entries never go back to null, so the first null entry of a chain is where every insert of the key
//!   must claim. A frozen chain has none; the next table's bucket takes inserts only when the old one has MOVED.
//! - *A lookup that finds nothing is right*: a slot gets its first version only when its tag is set. A lookup that loads the tags
//!   before that may say absent; one that loads them later finds it, unless the bucket has moved, which the same load shows.
//! - *No slot is met after it was reclaimed*: a bucket that has moved still names slots that were purged since. Nobody looks
//!   into it who has not loaded its tags unmarked, so has pinned before the purge.
//!
//! No step waits for another's: a bucket that somebody stopped moving is moved by whoever needs it.

mod bucket;
mod grow;

use std::ptr;

use bucket::{Bucket, ENTRIES, Entry, LAST, Meaning, tag_of};

use crate::raw::era::Retired;
use crate::raw::page::PageLayout;
use crate::raw::slot::SlotHeader;
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, Zeroed, prefetch, watch, zeroed_slice};
use crate::tuning::TABLE_BUCKETS;

/// A table of one size.
pub(crate) struct Generation {
    buckets: Zeroed<Bucket>,
    /// How far a hash is shifted to get its bucket.
    shift: u32,
    next: AtomicPtr<Generation>,
    overflows: AtomicUsize,
    /// The next bucket to be moved by whoever helps along.
    claimed: AtomicUsize,
    /// Buckets that have moved.
    moved: AtomicUsize,
}

/// The table of a component.
pub(crate) struct Table {
    root: AtomicPtr<Generation>,
    /// Where the sides of its slots lie.
    pages: PageLayout,
}

/// What an insert found or did.
pub(crate) enum Inserted<'g> {
    /// The key has a slot.
    Found(&'g SlotHeader),
    /// The offered slot is in the table now.
    Added,
}

/// Where a walk over the table stands: the least hash that it has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position(u64);

impl Position {
    /// Before the first hash.
    pub(crate) const START: Self = Self(0);
}

impl Generation {
    fn allocate(bits: u32) -> *mut Self {
        // SAFETY: a bucket of zeros is an empty bucket.
        let buckets = unsafe { zeroed_slice(1 << bits, Bucket::new) };
        let generation = Box::into_raw(Box::new(Self {
            buckets,
            shift: u64::BITS - bits,
            next: AtomicPtr::new(ptr::null_mut()),
            overflows: AtomicUsize::new(0),
            claimed: AtomicUsize::new(0),
            moved: AtomicUsize::new(0),
        }));
        watch::allocated(generation);
        generation
    }

    #[inline]
    fn index(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    #[inline]
    fn bucket(&self, hash: u64) -> &Bucket {
        // SAFETY: what is left of a hash is less than the buckets' number, which is 2 to the power of the bits that are left.
        unsafe { self.buckets.get_unchecked(self.index(hash)) }
    }

    fn next(&self) -> Option<&Self> {
        // Acquire [NEXT-2]: with AcqRel [NEXT-1] in `grow`.
        let next = self.next.load(Ordering::Acquire);
        // SAFETY: a generation is freed only when no pin that could have met it is left.
        unsafe { next.as_ref() }
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        for bucket in self.buckets.iter() {
            // SAFETY: exclusive.
            unsafe { bucket.free_links() };
        }
    }
}

impl Table {
    /// A table for slots in pages of this layout.
    pub(crate) fn new(pages: PageLayout) -> Self {
        Self { root: AtomicPtr::new(Generation::allocate(TABLE_BUCKETS.ilog2())), pages }
    }

    #[inline]
    fn root(&self) -> &Generation {
        // Acquire [ROOT-2]: with AcqRel [ROOT-1] in `promote`.
        // SAFETY: as in `next`; the caller is pinned.
        let root = unsafe { &*self.root.load(Ordering::Acquire) };
        watch::met(root);
        root
    }

    /// Bytes of the newest generation's buckets. The caller is pinned.
    pub(crate) fn bytes(&self) -> usize {
        let mut generation = self.root();
        while let Some(next) = generation.next() {
            generation = next;
        }
        size_of_val(&*generation.buckets)
    }

    /// Finds the slot of a key. The caller is pinned.
    #[inline]
    pub(crate) fn find<'g>(&self, hash: u64, is_key: impl Fn(&SlotHeader) -> bool + Copy) -> Option<&'g SlotHeader> {
        let bucket = self.root().bucket(hash);
        let tags = bucket.tags();
        if tags.is_moved() && rule::holds(Rule::MarkBeforeEntries) {
            return self.find_moved(hash, is_key);
        }
        match bucket.search(tags, hash, is_key) {
            None if tags.is_full() => bucket.search_overflow(hash, is_key),
            found => found,
        }
    }

    /// As [`find`](Self::find), where the root's bucket has moved.
    #[cold]
    #[inline(never)]
    fn find_moved<'g>(&self, hash: u64, is_key: impl Fn(&SlotHeader) -> bool + Copy) -> Option<&'g SlotHeader> {
        let mut generation = self.root();
        loop {
            let bucket = generation.bucket(hash);
            let tags = bucket.tags();
            if !tags.is_moved() {
                return match bucket.search(tags, hash, is_key) {
                    None if tags.is_full() => bucket.search_overflow(hash, is_key),
                    found => found,
                };
            }
            generation = generation.next()?;
        }
    }

    /// Asks for the bucket of a hash to be brought near. A hint: the caller is pinned, and reads it soon.
    #[inline]
    pub(crate) fn prefetch_bucket(&self, hash: u64) {
        prefetch(self.root().bucket(hash));
    }

    /// Asks for the slot that the bucket of a hash names to be brought near; if the bucket has moved, for none.
    #[inline]
    pub(crate) fn prefetch_slot(&self, hash: u64) {
        let bucket = self.root().bucket(hash);
        let tags = bucket.tags();
        if !tags.is_moved() {
            tags.matching(tag_of(hash)).for_each(|index| bucket.entry(index).prefetch());
        }
    }

    /// Finds the slot of a key, or puts the one that `offer` makes in its place. The caller is pinned.
    ///
    /// What the table outgrows goes to `retire`. `keys` tells how many keys the table should have room for.
    pub(crate) fn find_or_insert<'g>(
        &self,
        hash: u64,
        mut is_key: impl FnMut(&SlotHeader) -> bool,
        mut offer: impl FnMut() -> &'g SlotHeader,
        keys: impl Fn() -> usize,
        mut retire: impl FnMut(Retired),
    ) -> Inserted<'g> {
        let mut generation = self.root();
        'generation: loop {
            if let Some(next) = generation.next() {
                if rule::holds(Rule::MoveBeforeInsert) {
                    generation.move_bucket_of(hash, next, &self.pages);
                    self.help(&mut retire);
                }
                generation = next;
                continue;
            }
            let mut bucket = generation.bucket(hash);
            let mut index = 0;
            loop {
                let entry = bucket.entry(index);
                match entry.meaning() {
                    Meaning::Null if !entry.is_frozen() => {
                        let slot = offer();
                        if bucket.replace(index, entry, Entry::slot(slot)).is_ok() {
                            if rule::holds(Rule::TagBeforeUse) {
                                bucket.set_tag(index, hash);
                            }
                            return Inserted::Added;
                        }
                        continue;
                    }
                    Meaning::Slot(slot) => {
                        let tag = bucket.tags().of(index);
                        if rule::holds(Rule::TagBeforeUse) && tag.is_none() {
                            bucket.set_tag(index, slot.hash());
                        }
                        // Another key's tag saves the look at its slot: a cache miss.
                        let may_match = tag.is_none_or(|tag| tag == tag_of(hash));
                        if may_match && is_key(slot) {
                            return Inserted::Found(slot);
                        }
                        if index == LAST && !entry.is_frozen() {
                            let overflow = Bucket::overflow(&[(slot.hash(), slot)]);
                            if bucket.replace(LAST, entry, Entry::link(overflow)).is_ok() {
                                generation.overflowed(&keys);
                            } else {
                                // SAFETY: never published.
                                unsafe { Bucket::free_overflow(overflow) };
                            }
                            continue;
                        }
                    }
                    Meaning::Link(overflow) => {
                        (bucket, index) = (overflow, 0);
                        continue;
                    }
                    Meaning::Tomb if index == LAST && !entry.is_frozen() => {
                        let overflow = Bucket::overflow(&[]);
                        if bucket.replace(LAST, entry, Entry::link(overflow)).is_ok() {
                            generation.overflowed(&keys);
                        } else {
                            // SAFETY: never published.
                            unsafe { Bucket::free_overflow(overflow) };
                        }
                        continue;
                    }
                    Meaning::Null | Meaning::Tomb => {}
                }
                index += 1;
                if entry.is_frozen() && index == ENTRIES {
                    // Frozen throughout: the next table takes inserts.
                    continue 'generation;
                }
                if let (Meaning::Null, true) = (entry.meaning(), entry.is_frozen()) {
                    continue 'generation;
                }
            }
        }
    }

    /// Takes a purged slot out. Anyone may, any number of times. The caller is pinned.
    pub(crate) fn unlink(&self, slot: &SlotHeader, mut retire: impl FnMut(Retired)) {
        let hash = slot.hash();
        let mut generation = self.root();
        'generation: loop {
            if let Some(next) = generation.next() {
                generation.move_bucket_of(hash, next, &self.pages);
                self.help(&mut retire);
                generation = next;
                continue;
            }
            let mut bucket = generation.bucket(hash);
            'bucket: loop {
                let mut index = 0;
                while index < ENTRIES {
                    let entry = bucket.entry(index);
                    if entry.is_frozen() {
                        continue 'generation;
                    }
                    match entry.meaning() {
                        Meaning::Slot(found) if ptr::eq(found, slot) => {
                            if bucket.replace(index, entry, Entry::tomb()).is_ok() {
                                return;
                            }
                            // Frozen, linked, or unlinked by another: look again.
                        }
                        Meaning::Link(overflow) => {
                            bucket = overflow;
                            continue 'bucket;
                        }
                        Meaning::Null => return,
                        Meaning::Slot(_) | Meaning::Tomb => index += 1,
                    }
                }
                return;
            }
        }
    }

    /// Appends the slots whose hashes come next, and says where to go on. The caller is pinned, for this step only.
    pub(crate) fn step(&self, position: Position, found: &mut Vec<&SlotHeader>) -> Option<Position> {
        let mut generation = self.root();
        let mut bucket = generation.bucket(position.0);
        while bucket.tags().is_moved() {
            generation = generation.next()?;
            bucket = generation.bucket(position.0);
        }
        let index = generation.index(position.0);
        // At a bucket's first hash, the slots need not be looked at: a cache miss each.
        let is_at_start = position.0 == (index as u64) << generation.shift;
        loop {
            let mut link = None;
            for entry in 0..ENTRIES {
                match bucket.entry(entry).meaning() {
                    Meaning::Slot(slot) if is_at_start || slot.hash() >= position.0 => found.push(slot),
                    Meaning::Slot(_) | Meaning::Tomb => {}
                    Meaning::Link(overflow) => link = Some(overflow),
                    Meaning::Null => return generation.after(index),
                }
            }
            match link {
                Some(overflow) => bucket = overflow,
                None => return generation.after(index),
            }
        }
    }
}

impl Generation {
    /// Where a walk goes on after a bucket.
    fn after(&self, index: usize) -> Option<Position> {
        let next = index + 1;
        (next < self.buckets.len()).then(|| Position((next as u64) << self.shift))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let mut generation = self.root.load(Ordering::Relaxed);
        while !generation.is_null() {
            // SAFETY: exclusive; each was leaked once in `allocate`, and those that were replaced are retired.
            let freed = unsafe { Box::from_raw(generation) };
            generation = freed.next.load(Ordering::Relaxed);
        }
    }
}
