//! Snapshots: a moment held still.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;
use std::sync::Arc;
use std::vec;

use crate::map::Map;
use crate::raw::chain::{self, VersionHeader, VersionNode};
use crate::raw::engine::{Engine, Worker};
use crate::raw::registry::Registered;
use crate::raw::slot::{Slot, SlotHeader};
use crate::raw::table::Position;
use crate::sync::watch;
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
        self.read(slot).map(|(_, seen)| seen)
    }

    /// What the snapshot sees in a slot. The caller is pinned; what is returned needs no pin.
    fn read(&self, slot: &SlotHeader) -> Option<(&'s K, Versioned<'s, V>)> {
        let version = self.snapshot.version_of(slot)?;
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
        Iter { view: *self, position: Some(Position::START), buffer: Vec::new().into_iter() }
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

/// The keys and values of a map at a snapshot. See [`SnapshotOf::iter`].
pub struct Iter<'s, K, V> {
    view: SnapshotOf<'s, K, V>,
    position: Option<Position>,
    buffer: vec::IntoIter<(&'s K, Versioned<'s, V>)>,
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
            if let Some(entry) = self.buffer.next() {
                return Some(entry);
            }
            self.refill(self.position?);
        }
    }

    fn refill(&mut self, mut from: Position) {
        let session = self.view.snapshot.engine.session();
        let _guard = session.pin();
        let mut entries = Vec::with_capacity(tuning::SCAN_STEP);
        let mut slots = Vec::new();
        loop {
            self.position = self.view.map.component().table.step(from, &mut slots);
            entries.extend(slots.drain(..).filter_map(|slot| self.view.read(slot)));
            match self.position {
                Some(next) if entries.len() < tuning::SCAN_STEP => from = next,
                _ => break,
            }
        }
        self.buffer = entries.into_iter();
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
