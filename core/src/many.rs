//! Many keys at once: their cache misses are waited for together.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::hash::Hash;

use crate::map::MapPin;
use crate::raw::slot::SlotHeader;
use crate::sync::prefetch;
use crate::tuning::MANY_STEP;
use crate::{Versioned, tuning};

const _: () = assert!(tuning::MANY_STEP > 0, "a step makes progress");

impl<K, V> MapPin<'_, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Looks many keys up, and visits each with its value, in the order of the keys.
    ///
    /// # Consistency
    /// Each key by itself, at a moment within the call. For many keys at one moment, ask a [snapshot](crate::Snapshot).
    ///
    /// # Cost
    /// On a map that is larger than the processor's caches, far less than as many single lookups: the keys are looked up in steps of
    /// some dozen, in passes over buckets, slots and values, so that the misses of a pass overlap. On a small map, no less.
    /// Allocates nothing.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let pin = map.pin();
    /// (0..100).for_each(|n| drop(pin.put(n, n * n)));
    ///
    /// let mut sum = 0;
    /// pin.get_many(&[3, 4, 500], |_, value| sum += value.unwrap_or(&0));
    /// assert_eq!(sum, 25);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_many<'p, 'k, Q>(
        &'p self,
        keys: impl IntoIterator<Item = &'k Q>,
        mut visit: impl FnMut(&'k Q, Option<&'p V>),
    ) where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized + 'k,
    {
        self.find_many(keys, |key, slot| {
            visit(key, slot.and_then(|slot| self.versioned_at(slot)).map(Versioned::value));
        });
    }

    /// Replaces the values of many keys by what the closure makes of them, in the order of the keys; those that are absent are left out.
    /// Returns how many were there.
    ///
    /// The closure runs again for a key that another thread has changed meanwhile.
    ///
    /// # Consistency
    /// Each key by itself, as [`update`](Self::update) does.
    ///
    /// # Cost
    /// As for [`get_many`](Self::get_many), and that of the writes.
    ///
    /// # Panics
    /// If the closure does: what was updated before stays updated.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let pin = map.pin();
    /// (0..100).for_each(|n| drop(pin.put(n, n)));
    /// assert_eq!(pin.update_many(&[3, 4, 500], |key, value| key + value), 2);
    /// assert_eq!((pin.get(&3), pin.get(&4)), (Some(&6), Some(&8)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn update_many<'k, Q>(
        &self,
        keys: impl IntoIterator<Item = &'k Q>,
        mut change: impl FnMut(&'k Q, &V) -> V,
    ) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized + 'k,
    {
        let mut updated = 0;
        self.find_many(keys, |key, slot| {
            let Some(slot) = slot else { return };
            let new = self.try_update_at(slot, |value| Ok::<V, Infallible>(change(key, value)));
            match new {
                Ok(new) => updated += usize::from(new.is_some()),
                Err(never) => match never {},
            }
        });
        updated
    }

    /// Finds the slots of keys, in steps: passes over buckets and slots, each of which asks for what the next one reads.
    #[inline]
    pub(crate) fn find_many<'p, 'k, Q>(
        &'p self,
        keys: impl IntoIterator<Item = &'k Q>,
        mut visit: impl FnMut(&'k Q, Option<&'p SlotHeader>),
    ) where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized + 'k,
    {
        let table = &self.map().component().table;
        let mut keys = keys.into_iter();
        let mut step: [Option<(&'k Q, u64)>; MANY_STEP] = [None; MANY_STEP];
        let mut slots: [Option<&'p SlotHeader>; MANY_STEP] = [None; MANY_STEP];
        loop {
            let mut taken = 0;
            for (place, key) in step.iter_mut().zip(keys.by_ref()) {
                let hash = self.hash(key);
                table.prefetch_bucket(hash);
                *place = Some((key, hash));
                taken += 1;
            }
            let step = &step[..taken];
            step.iter().flatten().for_each(|(_, hash)| table.prefetch_slot(*hash));
            for (slot, (key, hash)) in slots.iter_mut().zip(step.iter().flatten()) {
                *slot = self.find_hashed(*hash, *key);
                if let Some(found) = slot {
                    prefetch(found.head().0);
                }
            }
            for (slot, (key, _)) in slots.iter().zip(step.iter().flatten()) {
                visit(key, *slot);
            }
            if taken < MANY_STEP {
                return;
            }
        }
    }
}
