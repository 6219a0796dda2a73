//! Snapshots: a moment held still.

use std::fmt;
use std::iter::FusedIterator;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use crate::index::{Find, Hashed, Index, Lookup};
use crate::map::Map;
use crate::raw::chain::{self, VersionHeader};
use crate::raw::engine::{Engine, Worker};
use crate::raw::registry::Registered;
use crate::raw::session::Session;
use crate::raw::slot::{Head, Slot, SlotHeader};
use crate::raw::version::VersionNode;
use crate::readable::Readable;
use crate::sync::{Guard, prefetch, watch};
use crate::{ForeignStore, Versioned, tuning};

/// A consistent view of all maps of a store at one moment. See [`Store::snapshot`](crate::Store::snapshot).
///
/// `Send` and `Sync`, and holds no pin: it may be kept for as long as you like, and what it returns borrows from it. While it is
/// kept, the values that it sees stay in memory; when it goes, they are given back by whoever writes next.
pub struct Snapshot {
    engine: Arc<Engine>,
    registered: Registered,
    /// The time by which the snapshot judges whether keys have expired.
    time: u64,
}

impl Snapshot {
    pub(crate) fn take(engine: Arc<Engine>) -> Self {
        // Before: it may ask the user's source.
        let time = engine.time_to_forget();
        let registered = engine.registry.take(&engine.clock);
        Self { engine, registered, time }
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
    pub fn of<'s, K, V, I>(&'s self, map: &'s impl Readable<K, V, I>) -> Result<SnapshotOf<'s, K, V, I>, ForeignStore> {
        let map = map.map();
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
    pub fn get<'s, K, V, I, Q: ?Sized>(&'s self, map: &'s impl Readable<K, V, I>, key: &Q) -> Option<&'s V>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Lookup<K, Q>,
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
    pub fn iter<'s, K, V, I>(&'s self, map: &'s impl Readable<K, V, I>) -> Iter<'s, K, V, I>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
    {
        self.own(map).iter()
    }

    #[track_caller]
    pub(crate) fn own<'s, K, V, I>(&'s self, map: &'s impl Readable<K, V, I>) -> SnapshotOf<'s, K, V, I> {
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
            let worker = Worker::new(&self.engine, &session, &guard);
            worker.work_off(tuning::BACKLOG_STEP);
            // Else the garbage would stay with a thread that never writes.
            worker.tidy();
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("tick", &self.tick()).finish()
    }
}

/// One map as a snapshot sees it. See [`Snapshot::of`].
pub struct SnapshotOf<'s, K, V, I = Hashed> {
    snapshot: &'s Snapshot,
    map: &'s Map<K, V, I>,
}

impl<K, V, I> Clone for SnapshotOf<'_, K, V, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V, I> Copy for SnapshotOf<'_, K, V, I> {}

impl<K, V, I> fmt::Debug for SnapshotOf<'_, K, V, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotOf").field("snapshot", self.snapshot).field("map", &self.map.name()).finish()
    }
}

impl<'s, K, V, I> SnapshotOf<'s, K, V, I> {
    pub(crate) fn map(&self) -> &'s Map<K, V, I> {
        self.map
    }

    pub(crate) fn snapshot(&self) -> &'s Snapshot {
        self.snapshot
    }

    /// Pins the calling thread, to look at slots.
    pub(crate) fn pin(&self) -> Pinned {
        let session = self.snapshot.engine.session();
        Pinned { _guard: session.pin(), _session: session }
    }
}

/// A thread's pin with its session.
pub(crate) struct Pinned {
    // Before the session: a guard must not outlive its handle.
    _guard: Guard,
    _session: Rc<Session>,
}

impl<'s, K, V, I> SnapshotOf<'s, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// Returns the value that a key had.
    ///
    /// # Examples
    /// See [`Snapshot::of`].
    pub fn get<Q: ?Sized>(&self, key: &Q) -> Option<&'s V>
    where
        I: Lookup<K, Q>,
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
    pub fn versioned<Q: ?Sized>(&self, key: &Q) -> Option<Versioned<'s, V>>
    where
        I: Lookup<K, Q>,
    {
        let session = self.snapshot.engine.session();
        let _guard = session.pin();
        let slot = self.map.index().find(self.map.component(), key)?;
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
        let recording = self.map.component().recording();
        if recording.is_some_and(|recording| recording.is_expired(version, self.snapshot.time)) {
            return None;
        }
        // SAFETY: a version of this map that the snapshot sees is not retired while the snapshot lives.
        let value = unsafe { VersionNode::<V>::value(version) }?;
        watch::lent(version);
        watch::lent(slot);
        // SAFETY: a slot in which a live snapshot sees a value is not purged.
        let key = unsafe { Slot::<K>::key(slot) };
        Some((key, Versioned::new(value, version.stamp().version())))
    }

    /// Reads the slots of an index, which the caller has met under a pin that it still has.
    pub(crate) fn read_all(&self, slots: Vec<&SlotHeader>) -> impl Iterator<Item = (&'s K, Versioned<'s, V>)> {
        slots.iter().for_each(|slot| prefetch(ptr::from_ref(*slot)));
        let heads: Vec<_> = slots.into_iter().map(|slot| (slot, slot.head())).collect();
        heads.iter().for_each(|(_, (address, _))| prefetch(*address));
        heads.into_iter().filter_map(|(slot, (_, head))| self.read(slot, head))
    }

    /// Iterates over keys and values: in the order of the keys on an ordered map, else in no particular one.
    ///
    /// # Consistency
    /// Exactly what the map held at the snapshot's moment, each key once.
    ///
    /// # Progress
    /// Lock-free. Pins for each step only; writers go on.
    pub fn iter(&self) -> Iter<'s, K, V, I> {
        self.iter_from(I::START)
    }

    fn iter_from(&self, position: I::Position) -> Iter<'s, K, V, I> {
        Iter {
            view: *self,
            position: Some(position),
            slots: Vec::with_capacity(tuning::SCAN_STEP),
            heads: Vec::with_capacity(tuning::SCAN_STEP),
            entries: Vec::with_capacity(tuning::SCAN_STEP),
            next: 0,
        }
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
    pub fn iter_versioned(&self) -> impl Iterator<Item = (&'s K, Versioned<'s, V>)> + use<'s, K, V, I> {
        let mut iter = self.iter();
        std::iter::from_fn(move || iter.next_versioned())
    }
}

impl<'s, K, V, I> SnapshotOf<'s, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
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
        from: ScanPosition<K, I>,
        least: usize,
        mut visit: impl FnMut(&'s K, Versioned<'s, V>),
    ) -> Option<ScanPosition<K, I>> {
        let mut iter = self.iter_from(from.0);
        let mut visited = 0;
        while let Some(from) = iter.position.take_if(|_| visited < least) {
            iter.refill(from);
            visited += iter.entries.len();
            iter.entries.drain(..).for_each(|(key, seen)| visit(key, seen));
        }
        iter.position.map(ScanPosition)
    }
}

/// Where a scan in pieces stands. See [`SnapshotOf::scan`].
#[expect(private_bounds, reason = "where a walk stands is the index's own matter")]
pub struct ScanPosition<K, I: Find<K> = Hashed>(I::Position);

impl<K, I: Index<K>> ScanPosition<K, I> {
    /// Before the first entry.
    pub const START: Self = Self(I::START);
}

impl<K, I: Index<K>> fmt::Debug for ScanPosition<K, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanPosition").finish_non_exhaustive()
    }
}

/// The keys and values of a map at a snapshot. See [`SnapshotOf::iter`].
#[expect(private_bounds, reason = "where a walk stands is the index's own matter")]
pub struct Iter<'s, K, V, I: Find<K> = Hashed> {
    view: SnapshotOf<'s, K, V, I>,
    position: Option<I::Position>,
    /// Scratch of [`refill`](Self::refill), empty between its calls: these need its pin.
    slots: Vec<&'s SlotHeader>,
    /// As above: slots with their heads.
    heads: Vec<(&'s SlotHeader, Head<'s>)>,
    entries: Vec<(&'s K, Versioned<'s, V>)>,
    /// The entry that comes next.
    next: usize,
}

impl<K, V, I: Index<K>> fmt::Debug for Iter<'_, K, V, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("of", &self.view).finish_non_exhaustive()
    }
}

impl<'s, K, V, I> Iter<'s, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    fn next_versioned(&mut self) -> Option<(&'s K, Versioned<'s, V>)> {
        loop {
            if let Some(&entry) = self.entries.get(self.next) {
                self.next += 1;
                return Some(entry);
            }
            let from = self.position.take()?;
            self.refill(from);
        }
    }

    /// Collects the next entries under one pin, in three passes over buckets, slots and versions: each asks for what the next
    /// one reads, so that the cache misses of a pass are waited for together.
    fn refill(&mut self, mut from: I::Position) {
        let session = self.view.snapshot.engine.session();
        let _guard = session.pin();
        self.entries.clear();
        self.next = 0;
        loop {
            let before = self.slots.len();
            let map = self.view.map;
            let next = map.index().step(map.component(), &from, &mut self.slots);
            self.slots[before..].iter().for_each(|slot| prefetch(ptr::from_ref(*slot)));
            match next {
                Some(next) if self.slots.len() < tuning::SCAN_STEP => from = next,
                next => {
                    self.position = next;
                    break;
                }
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

impl<'s, K, V, I> Iterator for Iter<'s, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    type Item = (&'s K, &'s V);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_versioned().map(|(key, seen)| (key, seen.value()))
    }
}

impl<K, V, I> FusedIterator for Iter<'_, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
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
