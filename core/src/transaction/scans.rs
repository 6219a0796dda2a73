//! Scans in transactions: ranges of an ordered map, without phantoms.
//!
//! What a scan meets is read key by key, also keys that are absent and have a slot. A key that has none yet can only come by a slot, which puts another
//! leaf in the place of the one that the scan has gone over. So a scan remembers its leaves, and a commit compares (see `raw/commit`).
//!
//! A leaf changes also when a key comes beside the range, when one goes, or by what the transaction writes itself. So a transaction that finds its
//! leaves changed before it commits scans its ranges again, at its moment: now it knows each slot that has come into them, and what those held then.
//! What a key far away does is no conflict; what one nearby does is one only if it comes between this and the commit.

use std::borrow::Borrow;
use std::ops::{Bound, RangeBounds};

use crate::Map;
use crate::index::Sorted;
use crate::raw::commit::{Access, Descriptor};
use crate::raw::engine::Worker;
use crate::raw::slot::{Head, Slot, SlotHeader};
use crate::readable::Readable;
use crate::transaction::options::Isolation;
use crate::transaction::{Transaction, TransactionError, at_work};

impl<'s> Transaction<'s> {
    /// Returns the keys and values of a range, in order, with what the transaction has written itself.
    ///
    /// # Consistency
    /// Of the transaction's moment. A serializable transaction that writes conflicts if any of them has changed until it is committed, or if a
    /// key has come into the range. Keys that come elsewhere are no conflict, but, now and then, close by: within some hundred keys.
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
        self.hold(&worker)?;
        let owned = |bound: Bound<&Q>| bound.map(ToOwned::to_owned);
        let range = Scanned { map, range: (owned(range.start_bound()), owned(range.end_bound())) };
        let mut found = Vec::new();
        range.scan(self, &worker, |key, slot| {
            let value = self.value(map, &worker, slot)?;
            found.extend(value.map(|value| (key.clone(), value)));
            Ok(())
        })?;
        if self.is_serializable() {
            self.rare.borrow_mut().get_or_insert_default().ranges.push(Box::new(range));
        }
        Ok(found)
    }

    fn is_serializable(&self) -> bool {
        self.options.isolation == Isolation::Serializable
    }

    /// Scans again what it has scanned, if that has changed and is going to be compared: what was read was read at the transaction's moment.
    pub(super) fn scan_again(&mut self) -> Result<(), TransactionError> {
        let rare = self.rare.get_mut().as_mut();
        let ranges = rare.map(|rare| std::mem::take(&mut rare.ranges)).unwrap_or_default();
        let draft = self.work.get_mut().draft.as_mut();
        let is_due =
            |draft: &&mut Box<Descriptor>| !draft.has_no_news() && draft.accesses().iter().any(Access::is_write);
        if let Some(draft) = draft.filter(is_due) {
            draft.forget_scans();
            at_work!(self, worker);
            ranges.iter().try_for_each(|range| range.scan_again(self, &worker))?;
        }
        Ok(())
    }
}

/// A range that a transaction has scanned.
struct Scanned<'s, K, V> {
    map: &'s Map<K, V, Sorted<K>>,
    range: (Bound<K>, Bound<K>),
}

/// What can be scanned again, whatever its types.
pub(super) trait Rescan<'s>: Send {
    /// Reads each slot of the range as a key, also those that the transaction writes.
    fn scan_again(&self, transaction: &Transaction<'s>, worker: &Worker<'_>) -> Result<(), TransactionError>;
}

impl<'s, K, V> Scanned<'s, K, V>
where
    K: Ord + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Visits the slots of the range, in order; remembers what it goes over if that is to be compared.
    fn scan(
        &self,
        transaction: &Transaction<'s>,
        worker: &Worker<'_>,
        mut visit: impl FnMut(&K, &SlotHeader) -> Result<(), TransactionError>,
    ) -> Result<(), TransactionError> {
        let (component, index) = (self.map.component(), self.map.index().index());
        let mut from = match &self.range.0 {
            Bound::Included(key) | Bound::Excluded(key) => Some(key.clone()),
            Bound::Unbounded => None,
        };
        loop {
            let mut slots = Vec::new();
            let next = if transaction.is_serializable() {
                let (next, place) = index.step_over(from.as_ref(), &mut slots, |garbage| worker.retire(garbage));
                if let Some(draft) = &mut transaction.work.borrow_mut().draft {
                    draft.scan(component, place);
                }
                next
            } else {
                index.step(from.as_ref(), &mut slots)
            };
            for slot in slots {
                // SAFETY: a slot of this map that the index shows, under the worker's pin.
                let key: &K = unsafe { Slot::key(slot) };
                if self.range.contains(key) && !matches!(slot.head().1, Head::Purged) {
                    visit(key, slot)?;
                }
            }
            let is_beyond = |next: &K| match &self.range.1 {
                Bound::Included(end) => next > end,
                Bound::Excluded(end) => next >= end,
                Bound::Unbounded => false,
            };
            from = match next {
                Some(next) if !is_beyond(&next) => Some(next),
                _ => return Ok(()),
            };
        }
    }
}

impl<'s, K, V> Rescan<'s> for Scanned<'s, K, V>
where
    K: Ord + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn scan_again(&self, transaction: &Transaction<'s>, worker: &Worker<'_>) -> Result<(), TransactionError> {
        self.scan(transaction, worker, |_, slot| transaction.see(self.map, worker, slot))
    }
}
