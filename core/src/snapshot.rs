//! Snapshots: a moment held still.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;
use std::ptr;
use std::sync::Arc;

use crate::map::Map;
use crate::raw::chain::{self, VersionHeader};
use crate::raw::engine::{Engine, Worker};
use crate::raw::registry::Registered;
use crate::raw::slot::{Head, Slot, SlotHeader};
use crate::raw::table::Position;
use crate::raw::version::VersionNode;
use crate::sync::{prefetch, watch};
use crate::{ForeignStore, Versioned, tuning};

/// A consistent view of all maps of a store at one moment. See [`Store::snapshot`](crate::Store::snapshot).
///
/// `Send` and `Sync`, and holds no pin: it may be kept for as long as you like, and what it returns borrows from it. While it is
/// kept, the values that it sees stay in memory; when it goes, they are given back by whoever writes next.
pub struct Snapshot {
    engine: Arc<Engine>,
    registered: Registered,
}

impl Snapshot {
    pub(crate) fn take(engine: Arc<Engine>) -> Self {
        let registered = engine.registry.take(&engine.clock);
        Self { engine, registered }
    }

    /// The snapshot's tick: it sees the versions with a [tick](crate::Version::tick) up to this one.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// let before = map.pin().put(1, 1);
    /// let still = store.snapshot();
    /// let after = map.pin().put(1, 2);
    /// assert!(before.tick() <= still.tick() && still.tick() < after.tick());
    /// # Ok(())
    /// # }
    /// ```
    pub fn tick(&self) -> u64 {
        self.registered.tick
    }

    /// Looks at one map.
    ///
    /// # Errors
    /// [`ForeignStore`] if the map is of another store.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// assert!(store.snapshot().of(&map)?.get(&1).is_none());
    /// assert!(stillpoint::Store::new().snapshot().of(&map).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn of<'s, K, V>(&'s self, map: &'s Map<K, V>) -> Result<SnapshotOf<'s, K, V>, ForeignStore> {
        if Arc::ptr_eq(&self.engine, map.engine()) {
            Ok(SnapshotOf { snapshot: self, map })
        } else {
            Err(ForeignStore { component: map.name().to_owned() })
        }
    }

    /// Returns the value that a key of a map had.
    ///
    /// # Panics
    /// If the map is of another store; [`of`](Self::of) returns an error instead.
    ///
    /// # Examples
    /// See [`Store::snapshot`](crate::Store::snapshot).
    #[track_caller]
    pub fn get<'s, K, V, Q>(&'s self, map: &'s Map<K, V>, key: &Q) -> Option<&'s V>
    where
        K: Borrow<Q> + Hash + Eq + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        Q: Hash + Eq + ?Sized,
    {
        self.own(map).get(key)
    }

    /// Iterates over the keys and values of a map. See [`SnapshotOf::iter`].
    ///
    /// # Panics
    /// If the map is of another store; [`of`](Self::of) returns an error instead.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// (0..10).for_each(|n| drop(map.pin().put(n, n)));
    /// let sum: u64 = store.snapshot().iter(&map).map(|(_, value)| *value).sum();
    /// assert_eq!(sum, 45);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn iter<'s, K, V>(&'s self, map: &'s Map<K, V>) -> Iter<'s, K, V>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        self.own(map).iter()
    }

    #[track_caller]
    fn own<'s, K, V>(&'s self, map: &'s Map<K, V>) -> SnapshotOf<'s, K, V> {
        match self.of(map) {
            Ok(view) => view,
            Err(foreign) => panic!("{foreign}"),
        }
    }

    /// The version of a slot that the snapshot sees, unless it is a tombstone.
    pub(crate) fn version_of(&self, slot: &SlotHeader) -> Option<&VersionHeader> {
        chain::at(slot, self.tick(), &self.engine.clock)
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.engine.registry.release(&self.registered);
        if self.engine.backlog.len() > 0 {
            // What it saw can go; whoever ends it makes a start.
            let session = self.engine.session();
            let guard = session.pin();
            Worker::new(&self.engine, &session, &guard).work_off(tuning::BACKLOG_STEP);
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("tick", &self.tick()).finish()
    }
}

/// One map as a snapshot sees it. See [`Snapshot::of`].
pub struct SnapshotOf<'s, K, V> {
    snapshot: &'s Snapshot,
    map: &'s Map<K, V>,
}

impl<K, V> Clone for SnapshotOf<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for SnapshotOf<'_, K, V> {}

impl<K, V> fmt::Debug for SnapshotOf<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotOf").field("snapshot", self.snapshot).field("map", &self.map.name()).finish()
    }
}

impl<'s, K, V> SnapshotOf<'s, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Returns the value that a key had.
    ///
    /// # Examples
    /// See [`Snapshot::of`].
    pub fn get<Q>(&self, key: &Q) -> Option<&'s V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.versioned(key).map(Versioned::value)
    }

    /// Returns the value and version that a key had.
    ///
    /// # Progress
    /// Lock-free. Pins for the lookup only.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// let version = map.pin().put(1, 10);
    /// let still = store.snapshot();
    /// map.pin().remove(&1);
    /// assert_eq!(still.of(&map)?.versioned(&1).unwrap().version(), version);
    /// # Ok(())
    /// # }
    /// ```
    pub fn versioned<Q>(&self, key: &Q) -> Option<Versioned<'s, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let session = self.snapshot.engine.session();
        let _guard = session.pin();
        let hash = self.map.hasher().hash_one(key);
        let slot = self
            .map
            .component()
            .table
            // SAFETY: a slot of this map that the table shows is occupied, and stays so under the pin.
            .find(hash, |slot| unsafe { Slot::<K>::key(slot) }.borrow() == key)?;
        self.read(slot, slot.head().1).map(|(_, seen)| seen)
    }

    /// The value and version that a slot of the map had.
    pub(crate) fn versioned_at(&self, slot: &SlotHeader) -> Option<Versioned<'s, V>> {
        let session = self.snapshot.engine.session();
        let _guard = session.pin();
        self.read(slot, slot.head().1).map(|(_, seen)| seen)
    }

    /// What the snapshot sees in a slot, from its head. The caller is pinned; what is returned needs no pin.
    #[inline]
    fn read(&self, slot: &SlotHeader, head: Head<'_>) -> Option<(&'s K, Versioned<'s, V>)> {
        let version = chain::at_from(head, self.snapshot.tick(), &self.snapshot.engine.clock)?;
        // SAFETY: a version of this map that the snapshot sees is not retired while the snapshot lives.
        let value = unsafe { VersionNode::<V>::value(version) }?;
        watch::lent(version);
        watch::lent(slot);
        // SAFETY: a slot in which a live snapshot sees a value is not purged.
        let key = unsafe { Slot::<K>::key(slot) };
        Some((key, Versioned::new(value, version.stamp().version())))
    }

    /// Iterates over keys and values, in no particular order.
    ///
    /// # Consistency
    /// Exactly what the map held at the snapshot's moment, each key once.
    ///
    /// # Progress
    /// Lock-free. Pins for each step only; writers go on.
    pub fn iter(&self) -> Iter<'s, K, V> {
        self.iter_from(Position::START)
    }

    fn iter_from(&self, position: Position) -> Iter<'s, K, V> {
        Iter {
            view: *self,
            position: Some(position),
            slots: Vec::with_capacity(tuning::SCAN_STEP),
            heads: Vec::with_capacity(tuning::SCAN_STEP),
            entries: Vec::with_capacity(tuning::SCAN_STEP),
            next: 0,
        }
    }

    /// Visits some entries from a position on, and says where to go on; `None` at the end. For scans in pieces: between them
    /// nothing is held but the snapshot.
    ///
    /// Visits at least `least` entries unless the map ends.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::ScanPosition;
    ///
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// (0..1000).for_each(|n| drop(map.pin().put(n, n)));
    /// let still = store.snapshot();
    /// let (mut position, mut sum) = (Some(ScanPosition::START), 0);
    /// while let Some(from) = position {
    ///     position = still.of(&map)?.scan(from, 100, |_, value| sum += *value);
    /// }
    /// assert_eq!(sum, 499_500);
    /// # Ok(())
    /// # }
    /// ```
    pub fn scan(
        &self,
        from: ScanPosition,
        least: usize,
        mut visit: impl FnMut(&'s K, Versioned<'s, V>),
    ) -> Option<ScanPosition> {
        let mut iter = self.iter_from(from.0);
        let mut visited = 0;
        while let Some(from) = iter.position.filter(|_| visited < least) {
            iter.refill(from);
            visited += iter.entries.len();
            iter.entries.drain(..).for_each(|(key, seen)| visit(key, seen));
        }
        iter.position.map(ScanPosition)
    }

    /// As [`iter`](Self::iter), with versions.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// let version = map.pin().put(1, 10);
    /// let still = store.snapshot();
    /// let found: Vec<_> = still.of(&map)?.iter_versioned().map(|(key, seen)| (*key, seen.version())).collect();
    /// assert_eq!(found, [(1, version)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn iter_versioned(&self) -> impl Iterator<Item = (&'s K, Versioned<'s, V>)> + use<'s, K, V> {
        let mut iter = self.iter();
        std::iter::from_fn(move || iter.next_versioned())
    }
}

/// Where a scan in pieces stands. See [`SnapshotOf::scan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanPosition(Position);

impl ScanPosition {
    /// Before the first entry.
    pub const START: Self = Self(Position::START);
}

/// The keys and values of a map at a snapshot. See [`SnapshotOf::iter`].
pub struct Iter<'s, K, V> {
    view: SnapshotOf<'s, K, V>,
    position: Option<Position>,
    /// Scratch of [`refill`](Self::refill), empty between its calls: these need its pin.
    slots: Vec<&'s SlotHeader>,
    /// As above: slots with their heads.
    heads: Vec<(&'s SlotHeader, Head<'s>)>,
    entries: Vec<(&'s K, Versioned<'s, V>)>,
    /// The entry that comes next.
    next: usize,
}

impl<K, V> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("of", &self.view).finish_non_exhaustive()
    }
}

impl<'s, K, V> Iter<'s, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn next_versioned(&mut self) -> Option<(&'s K, Versioned<'s, V>)> {
        loop {
            if let Some(&entry) = self.entries.get(self.next) {
                self.next += 1;
                return Some(entry);
            }
            self.refill(self.position?);
        }
    }

    /// Collects the next entries under one pin, in three passes over buckets, slots and versions: each asks for what the next
    /// one reads, so that the cache misses of a pass are waited for together.
    fn refill(&mut self, mut from: Position) {
        let session = self.view.snapshot.engine.session();
        let _guard = session.pin();
        self.entries.clear();
        self.next = 0;
        loop {
            let before = self.slots.len();
            self.position = self.view.map.component().table.step(from, &mut self.slots);
            self.slots[before..].iter().for_each(|slot| prefetch(ptr::from_ref(*slot)));
            match self.position {
                Some(next) if self.slots.len() < tuning::SCAN_STEP => from = next,
                _ => break,
            }
        }
        self.heads.extend(self.slots.drain(..).map(|slot| {
            let (address, head) = slot.head();
            prefetch(address);
            (slot, head)
        }));
        self.entries.extend(self.heads.drain(..).filter_map(|(slot, head)| self.view.read(slot, head)));
    }
}

impl<'s, K, V> Iterator for Iter<'s, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    type Item = (&'s K, &'s V);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_versioned().map(|(key, seen)| (key, seen.value()))
    }
}

impl<K, V> FusedIterator for Iter<'_, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashMap;

    use crate::Store;

    /// A step reads several slots in passes, and does not look at hashes where a walk stands at a bucket's start: neither may
    /// show a key twice, or miss one, when buckets move between two steps.
    #[test]
    fn an_iterator_shows_its_moment_while_the_table_grows_under_it() {
        let store = Store::new();
        let map = store.map::<u64, u64>("map").unwrap();
        let expected: HashMap<u64, u64> = (0..2_000).map(|n| (n, n)).collect();
        for (key, value) in &expected {
            map.pin().put(*key, *value);
        }
        let still = store.snapshot();
        let mut new = 1_000_000;
        let mut found = HashMap::new();
        for (key, value) in still.iter(&map) {
            let pin = map.pin();
            for _ in 0..20 {
                pin.put(new, new);
                new += 1;
            }
            pin.update(&(new % 2_000), |value| value + 1);
            pin.remove(&(new * 7 % 2_000));
            assert_eq!(found.insert(*key, *value), None, "{key} twice");
        }
        assert_eq!(found, expected);
    }
}
