//! Growing: a next generation, buckets that move to it one by one, and its promotion.

use std::ptr;

use super::bucket::{Few, Hashed};
use super::{Generation, Table};
use crate::raw::component::Component;
use crate::raw::era::Retired;
use crate::raw::page::PageLayout;
use crate::raw::slot::SlotHeader;
use crate::sync::Ordering;
use crate::tuning::{GROW_KEYS, MOVE_STEP, OVERFLOW_SHARE};

impl Generation {
    /// Counts an overflow bucket, and begins a next generation when there are too many.
    ///
    /// It has twice the buckets, or as many if most entries are those of purged keys.
    pub(super) fn overflowed(&self, keys: impl Fn() -> usize) {
        // Relaxed: a count.
        let overflows = self.overflows.fetch_add(1, Ordering::Relaxed) + 1;
        if overflows <= self.buckets.len() / OVERFLOW_SHARE || self.next().is_some() {
            return;
        }
        let bits = u64::BITS - self.shift;
        let grown = if keys() > self.buckets.len() * GROW_KEYS { bits + 1 } else { bits };
        let next = Self::allocate(grown);
        // AcqRel [NEXT-1]: publishes the empty generation.
        if self.next.compare_exchange(ptr::null_mut(), next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            // SAFETY: never published.
            drop(unsafe { Box::from_raw(next) });
        }
    }

    /// Moves the bucket of a hash to the next generation, if it has not moved. Any number of threads may do this at once.
    pub(super) fn move_bucket_of(&self, hash: u64, next: &Self, pages: &PageLayout) {
        if self.move_bucket(self.index(hash), next, pages) {
            self.count_moved(1);
        }
    }

    /// The same for a bucket by its number; `true` for the one who is to count it.
    #[must_use]
    fn move_bucket(&self, index: usize, next: &Self, pages: &PageLayout) -> bool {
        let bucket = &self.buckets[index];
        if bucket.tags().is_moved() {
            return false;
        }
        let mut slots: Few<&SlotHeader> = Few::new();
        bucket.freeze(&mut slots);
        let factor = next.buckets.len() / self.buckets.len();
        debug_assert!(factor <= 2, "a next generation has at most twice the buckets");
        let mut shares: [Few<Hashed<'_>>; 2] = Default::default();
        // One after the other, so that the misses overlap.
        for slot in slots {
            let hash = slot.hash_in(pages);
            shares[next.index(hash) - index * factor].push((hash, slot));
        }
        for (target, share) in shares[..factor].iter().enumerate() {
            next.buckets[index * factor + target].fill(share);
        }
        bucket.set_moved()
    }

    fn count_moved(&self, buckets: usize) {
        // AcqRel [MOVED-1]: who sees the last count sees every bucket moved.
        self.moved.fetch_add(buckets, Ordering::AcqRel);
    }

    fn has_moved(&self) -> bool {
        // Acquire [MOVED-2]: with AcqRel [MOVED-1].
        self.moved.load(Ordering::Acquire) == self.buckets.len()
    }
}

impl Table {
    /// Moves some buckets of the oldest generation, and promotes the next one when all have moved.
    pub(super) fn help(&self, retire: &mut impl FnMut(Retired)) {
        let root = self.root();
        let Some(next) = root.next() else { return };
        let len = root.buckets.len();
        // Relaxed: hands out numbers; buckets are moved once whatever it says.
        let from = root.claimed.fetch_add(MOVE_STEP, Ordering::Relaxed);
        // Past the end it begins again: for buckets that somebody claimed and stopped moving.
        let claimed = (from..from + MOVE_STEP).map(|index| index % len);
        // All at once, so that their misses overlap.
        claimed.clone().for_each(|index| root.buckets[index].prefetch_sides(&self.pages));
        let moved = claimed.filter(|index| root.move_bucket(*index, next, &self.pages)).count();
        if moved > 0 {
            root.count_moved(moved);
        }
        if root.has_moved() {
            self.promote(root, next, retire);
        }
    }

    fn promote(&self, root: &Generation, next: &Generation, retire: &mut impl FnMut(Retired)) {
        let old = ptr::from_ref(root).cast_mut();
        // AcqRel [ROOT-1]: mate of Acquire [ROOT-2].
        if self.root.compare_exchange(old, ptr::from_ref(next).cast_mut(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            // SAFETY: unlinked by us alone.
            retire(unsafe { Retired::new(old.cast(), ptr::null(), reclaim_generation) });
        }
    }
}

/// # Safety
/// As [`Reclaim`](crate::raw::era::Reclaim): the item is a generation.
unsafe fn reclaim_generation(item: *mut u8, _component: *const Component) {
    // SAFETY: leaked once in `allocate`, retired once in `promote`.
    drop(unsafe { Box::from_raw(item.cast::<Generation>()) });
}
