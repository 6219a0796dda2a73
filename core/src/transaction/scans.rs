//! Scans in transactions: ranges of an ordered map, without phantoms.
//!
//! What a scan meets is read key by key, also keys that are absent and have a slot. A key that has none yet can only come by a first version,
//! and before one is installed its component counts it. So a scan remembers the count from before it began, and a commit compares: if
//! it has not seen the count, the writer's clock comes later (see `raw/commit`), and the key comes after the transaction.

use std::borrow::Borrow;
use std::ops::{Bound, RangeBounds};

use crate::index::Sorted;
use crate::raw::engine::Worker;
use crate::raw::slot::{Head, Slot};
use crate::readable::Readable;
use crate::transaction::options::Isolation;
use crate::transaction::{Transaction, TransactionError, at_work};

impl<'s> Transaction<'s> {
    /// Returns the keys and values of a range, in order, with what the transaction has written itself.
    ///
    /// # Consistency
    /// Of the transaction's moment. A serializable transaction that writes conflicts if any of them has changed until it is committed, and if
    /// any new key has come into the map, in this range or another.
    ///
    /// # Cost
    /// That of a lookup for each key of the range, also for removed ones that are not yet purged.
    ///
    /// # Errors
    /// See [`Transaction`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let bookings = store.ordered_map::<u64, &str>("bookings")?;
    /// let book = |from: u64, until: u64, who| store.transact(|tx| {
    ///     let is_free = tx.range(&bookings, from..until)?.is_empty();
    ///     if is_free {
    ///         tx.put(&bookings, from, who)?;
    ///     }
    ///     Ok(is_free)
    /// });
    /// assert!(book(10, 12, "ann")?);
    /// assert!(!book(9, 11, "bob")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn range<K, V, Q>(
        &self,
        map: &'s impl Readable<K, V, Sorted<K>>,
        range: impl RangeBounds<Q>,
    ) -> Result<Vec<(K, &V)>, TransactionError>
    where
        K: Borrow<Q> + Ord + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        let map = map.map();
        self.check(map)?;
        if map.has_base() {
            return Err(TransactionError::Restoring { component: map.name().to_owned() });
        }
        at_work!(self, worker);
        if self.options.isolation == Isolation::Serializable
            && let Some(draft) = &mut self.work.borrow_mut().draft
        {
            draft.scan(map.component());
        }
        self.hold(&worker)?;
        let mut found = Vec::new();
        let mut from = match range.start_bound() {
            Bound::Included(key) | Bound::Excluded(key) => Some(key.to_owned()),
            Bound::Unbounded => None,
        };
        loop {
            let mut slots = Vec::new();
            let next = map.index().index().step::<K>(from.as_ref(), &mut slots);
            for slot in slots {
                // SAFETY: a slot of this map that the index shows, under the worker's pin.
                let key: &K = unsafe { Slot::key(slot) };
                if !range.contains(key.borrow()) || matches!(slot.head().1, Head::Purged) {
                    continue;
                }
                let value = self.value(map, &worker, slot)?;
                found.extend(value.map(|value| (key.clone(), value)));
            }
            let is_beyond = |next: &K| match range.end_bound() {
                Bound::Included(end) => next.borrow() > end,
                Bound::Excluded(end) => next.borrow() >= end,
                Bound::Unbounded => false,
            };
            from = match next {
                Some(next) if !is_beyond(&next) => Some(next),
                _ => return Ok(found),
            };
        }
    }
}
