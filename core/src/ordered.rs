//! Ordered maps: keys in order, and ranges of them at a snapshot.

use std::borrow::{Borrow, ToOwned};
use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Bound, RangeBounds};

use crate::index::Sorted;
use crate::map::{Map, MapPin};
use crate::snapshot::{Snapshot, SnapshotOf};
use crate::{Versioned, tuning};

/// A map whose keys are in order. See [`Store::ordered_map`](crate::Store::ordered_map).
///
/// It has all operations of a [`Map`], and ranges at a snapshot. A key is found by comparisons, in a tree of small arrays: a lookup costs
/// a few cache misses more than in a `Map`, and a new key a copy of one such array.
pub type OrderedMap<K, V> = Map<K, V, Sorted<K>>;

/// A pinned [`OrderedMap`].
pub type OrderedMapPin<'m, K, V> = MapPin<'m, K, V, Sorted<K>>;

/// What has beginnings: texts and slices.
pub trait Prefix: Ord {
    /// Whether this is what the other begins with. Everything of which that is true must stand together in the order, from this one on.
    fn is_prefix_of(&self, other: &Self) -> bool;
}

impl Prefix for str {
    fn is_prefix_of(&self, other: &Self) -> bool {
        other.starts_with(self)
    }
}

impl<T: Ord> Prefix for [T] {
    fn is_prefix_of(&self, other: &Self) -> bool {
        other.starts_with(self)
    }
}

impl Snapshot {
    /// The entries of a range of keys, in order.
    ///
    /// # Panics
    /// If the map is of another store, or the range ends before it begins.
    ///
    /// # Cost
    /// One descent, then a few comparisons for each array of keys. Holds no pin between calls of the iterator.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let levels = store.ordered_map::<u64, &str>("levels")?;
    /// for (price, name) in [(99, "a"), (100, "b"), (101, "c"), (102, "d")] {
    ///     levels.pin().put(price, name);
    /// }
    /// let still = store.snapshot();
    /// assert!(still.range(&levels, 100..102).eq([(&100, &"b"), (&101, &"c")]));
    /// assert_eq!(still.range(&levels, ..).next_back(), Some((&102, &"d")));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn range<'s, K, V, Q>(&'s self, map: &'s OrderedMap<K, V>, range: impl RangeBounds<Q>) -> Range<'s, K, V>
    where
        K: Borrow<Q> + Ord + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        self.own(map).range(range)
    }

    /// The entries whose keys begin with this, in order.
    ///
    /// # Panics
    /// If the map is of another store.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let files = store.ordered_map::<String, u64>("files")?;
    /// for path in ["a/1", "a/2", "b/1"] {
    ///     files.pin().put(path.to_owned(), 0);
    /// }
    /// let still = store.snapshot();
    /// assert!(still.prefix(&files, "a/").map(|(path, _)| path).eq(["a/1", "a/2"]));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn prefix<'s, K, V, Q>(
        &'s self,
        map: &'s OrderedMap<K, V>,
        prefix: &'s Q,
    ) -> impl Iterator<Item = (&'s K, &'s V)>
    where
        K: Borrow<Q> + Ord + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        Q: Prefix + ToOwned<Owned = K> + ?Sized,
    {
        let from = self.range::<K, V, Q>(map, (Bound::Included(prefix), Bound::Unbounded));
        from.take_while(move |(key, _)| prefix.is_prefix_of((*key).borrow()))
    }
}

impl<'s, K, V> SnapshotOf<'s, K, V, Sorted<K>>
where
    K: Ord + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The entries of a range of keys, in order. See [`Snapshot::range`].
    ///
    /// # Panics
    /// If the range ends before it begins.
    #[track_caller]
    pub fn range<Q>(&self, range: impl RangeBounds<Q>) -> Range<'s, K, V>
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        let owned = |bound: Bound<&Q>| bound.map(ToOwned::to_owned);
        let (from, until) = (owned(range.start_bound()), owned(range.end_bound()));
        if let (Bound::Included(first) | Bound::Excluded(first), Bound::Included(last) | Bound::Excluded(last)) =
            (&from, &until)
        {
            assert!(first <= last, "a range ends before it begins");
        }
        Range { view: *self, rest: Some((from, until)), front: VecDeque::new(), back: VecDeque::new() }
    }
}

type Entry<'s, K, V> = (&'s K, Versioned<'s, V>);

/// The entries of a range of keys at a snapshot, from either end. See [`Snapshot::range`].
pub struct Range<'s, K, V> {
    view: SnapshotOf<'s, K, V, Sorted<K>>,
    /// What lies between the two ends and was not yet looked at.
    rest: Option<(Bound<K>, Bound<K>)>,
    front: VecDeque<Entry<'s, K, V>>,
    /// In ascending order, too.
    back: VecDeque<Entry<'s, K, V>>,
}

impl<K, V> fmt::Debug for Range<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").field("of", &self.view).finish_non_exhaustive()
    }
}

impl<'s, K, V> Range<'s, K, V>
where
    K: Ord + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The next entry with its version, from the front.
    pub fn next_versioned(&mut self) -> Option<(&'s K, Versioned<'s, V>)> {
        while self.front.is_empty() && self.rest.is_some() {
            self.refill_front();
        }
        self.front.pop_front().or_else(|| self.back.pop_front())
    }

    /// The next entry with its version, from the back.
    pub fn next_back_versioned(&mut self) -> Option<(&'s K, Versioned<'s, V>)> {
        while self.back.is_empty() && self.rest.is_some() {
            self.refill_back();
        }
        self.back.pop_back().or_else(|| self.front.pop_back())
    }

    /// Looks at some leaves from the front, under one pin.
    fn refill_front(&mut self) {
        let _pin = self.view.pin();
        let index = self.view.map().index().index();
        while let Some((from, until)) = self.rest.take() {
            let mut slots = Vec::with_capacity(tuning::LEAF_KEYS);
            let step = match &from {
                Bound::Included(key) | Bound::Excluded(key) => index.step(Some(key), &mut slots),
                Bound::Unbounded => index.step::<K>(None, &mut slots),
            };
            let entries = self.view.read_all(slots).filter(|(key, _)| (from.as_ref(), until.as_ref()).contains(*key));
            self.front.extend(entries);
            self.rest = step.map(|next| (Bound::Included(next), until)).filter(is_possible);
            if self.front.len() >= tuning::SCAN_STEP {
                break;
            }
        }
    }

    /// Looks at some leaves from the back, under one pin.
    fn refill_back(&mut self) {
        let _pin = self.view.pin();
        let index = self.view.map().index().index();
        while let Some((from, until)) = self.rest.take() {
            let mut slots = Vec::with_capacity(tuning::LEAF_KEYS);
            let step = match &until {
                Bound::Excluded(key) => index.step_back(Some(key), &mut slots),
                Bound::Included(key) => {
                    // The last key by itself: a step back is of what lies below.
                    slots.extend(index.find(key));
                    let entries = self.view.read_all(slots);
                    entries.for_each(|entry| self.back.push_front(entry));
                    self.rest = Some((from, Bound::Excluded(key.clone()))).filter(is_possible);
                    continue;
                }
                Bound::Unbounded => index.step_back::<K>(None, &mut slots),
            };
            let entries = self.view.read_all(slots).filter(|(key, _)| (from.as_ref(), until.as_ref()).contains(*key));
            entries.for_each(|entry| self.back.push_front(entry));
            self.rest = step.map(|next| (from, Bound::Excluded(next))).filter(is_possible);
            if self.back.len() >= tuning::SCAN_STEP {
                break;
            }
        }
    }
}

/// Whether a key can lie within the bounds.
fn is_possible<K: Ord>((from, until): &(Bound<K>, Bound<K>)) -> bool {
    match (from, until) {
        (Bound::Included(from), Bound::Included(until)) => from <= until,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(until) | Bound::Excluded(until)) => {
            from < until
        }
        _ => true,
    }
}

impl<'s, K, V> Iterator for Range<'s, K, V>
where
    K: Ord + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    type Item = (&'s K, &'s V);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_versioned().map(|(key, seen)| (key, seen.value()))
    }
}

impl<K, V> DoubleEndedIterator for Range<'_, K, V>
where
    K: Ord + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn next_back(&mut self) -> Option<Self::Item> {
        self.next_back_versioned().map(|(key, seen)| (key, seen.value()))
    }
}

impl<K, V> FusedIterator for Range<'_, K, V>
where
    K: Ord + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
}
