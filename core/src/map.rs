//! Maps: keys to values, updated by many threads without locks.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::index::{self, Hashed, Index, Lookup};
use crate::pending::Pending;
use crate::raw::chain::{self, Latest, Newest};
use crate::raw::component::Component;
use crate::raw::engine::{Engine, Worker};
use crate::raw::session::Session;
use crate::raw::slot::{Head, Slot, SlotHeader};
use crate::raw::stamp::Stamp;
use crate::raw::version::VersionNode;
use crate::sync::Guard;
use crate::{Conflict, Version, Versioned};

/// A map of a [`Store`](crate::Store).
///
/// A handle, cheap to clone; all clones are the same map. Operations go through a [pin](Map::pin).
///
/// Each value is immutable: an update writes a new one. The old one is dropped when nobody can see it any more, some operations
/// later, on any thread that uses the store.
pub struct Map<K, V, I = Hashed> {
    engine: Arc<Engine>,
    shared: Arc<MapShared<K, V, I>>,
}

pub(crate) struct MapShared<K, V, I> {
    name: Box<str>,
    component: Arc<Component>,
    index: I,
    types: PhantomData<(K, V)>,
}

impl<K, V, I> MapShared<K, V, I> {
    pub(crate) fn new(name: &str, component: Arc<Component>, index: I) -> Self {
        Self { name: name.into(), component, index, types: PhantomData }
    }
}

impl<K, V, I> Map<K, V, I> {
    pub(crate) fn new(engine: Arc<Engine>, shared: Arc<MapShared<K, V, I>>) -> Self {
        Self { engine, shared }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// What all handles of the map share.
    pub(crate) fn shared(&self) -> Arc<MapShared<K, V, I>> {
        Arc::clone(&self.shared)
    }

    pub(crate) fn component(&self) -> &Arc<Component> {
        &self.shared.component
    }

    pub(crate) fn index(&self) -> &I {
        &self.shared.index
    }

    /// The map's name in its store.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Pins the calling thread: what it reads stays in memory until the pin is dropped. One pin serves many operations.
    ///
    /// # Progress
    /// Lock-free. A pin that is kept holds back the reclamation of everything that is replaced meanwhile, by all threads: keep
    /// it for a batch of operations, not across waiting. A snapshot may be kept for as long as you like.
    ///
    /// # Cost
    /// About 10 ns for a thread's outermost pin, 2 ns inside another. A thread's first pin in a store registers it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, String>("map")?;
    /// let pin = map.pin();
    /// for key in 0..100 {
    ///     pin.put(key, key.to_string());
    /// }
    /// assert_eq!(pin.len(), 100);
    /// # Ok(())
    /// # }
    /// ```
    #[inline(always)]
    pub fn pin(&self) -> MapPin<'_, K, V, I> {
        let session = self.engine.session();
        MapPin { guard: session.pin(), session, map: self }
    }

    /// How many keys have a value.
    ///
    /// # Consistency
    /// Exact when nobody writes; beside writers, a count that each of them has or has not yet changed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// map.pin().put(1, 1);
    /// assert_eq!(map.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn len(&self) -> usize {
        self.component().len()
    }

    /// Whether no key has a value; see [`len`](Self::len).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says that a base lies under the map: keys that it lacks may exist there, and whoever looks one up brings it in first
    /// with [`MapPin::restore`]. Until [`detach_base`](Self::detach_base), removed keys leave a trace, so that the base can't
    /// bring them back.
    ///
    /// For layers that restore a map, before the first operation on it.
    pub fn attach_base(&self) {
        self.component().attach_base();
    }

    /// Says that everything in the base has been brought in. From now on [`MapPin::restore`] brings nothing in.
    pub fn detach_base(&self) {
        self.component().detach_base(self.engine.eras.tag().0);
    }

    /// Whether a base lies under the map.
    pub fn has_base(&self) -> bool {
        self.component().has_base()
    }
}

impl<K, V, I> Map<K, V, I> {
    /// Bytes that the map's slots and index take, without values and what they own.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// map.pin().put(1, 1);
    /// assert!(map.index_bytes() > 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn index_bytes(&self) -> usize {
        let session = self.engine.session();
        let _guard = session.pin();
        self.component().index_bytes()
    }
}

impl<K, V> Map<K, V> {
    /// Whether both are handles of one map.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<K, V, I> Clone for Map<K, V, I> {
    fn clone(&self) -> Self {
        Self { engine: Arc::clone(&self.engine), shared: Arc::clone(&self.shared) }
    }
}

impl<K, V, I> fmt::Debug for Map<K, V, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("name", &self.name()).field("len", &self.len()).finish()
    }
}

/// A pinned map: where the operations are. See [`Map::pin`].
///
/// # Consistency
/// Every operation on a key is linearizable.
///
/// # Progress
/// Every operation is lock-free: a thread that is stopped in the middle of one holds up nobody. Closures may run again after a
/// race, and run outside the critical steps: one that panics leaves the map as it was.
pub struct MapPin<'m, K, V, I = Hashed> {
    // Before the session: a guard must not outlive its handle.
    guard: Guard,
    session: Rc<Session>,
    map: &'m Map<K, V, I>,
}

impl<K, V, I> fmt::Debug for MapPin<'_, K, V, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapPin").field("map", self.map).finish()
    }
}

/// The value of the newest version, unless it is a tombstone.
///
/// # Safety
/// The slot is one of a `Map<_, V>`, and the caller is pinned for `'g`.
unsafe fn value_of<'g, V>(newest: &Newest<'g>) -> Option<Versioned<'g, V>> {
    if newest.stamp.is_removal() {
        return None;
    }
    // SAFETY: passed on; no removal.
    let value = unsafe { VersionNode::<V>::value_there(newest.version) };
    Some(Versioned::new(value, newest.stamp.version()))
}

impl<K, V, I> MapPin<'_, K, V, I> {
    #[inline]
    pub(crate) fn worker(&self) -> Worker<'_> {
        Worker::new(&self.map.engine, &self.session, &self.guard)
    }

    /// Refuses a conditional write, and counts that.
    pub(crate) fn conflict<'p>(&self, actual: Option<Versioned<'p, V>>, value: V) -> Conflict<'p, V> {
        self.worker().tally().conflicts.add(1);
        Conflict { actual, value }
    }

    /// What keeps the thread pinned, without the map.
    #[inline]
    pub(crate) fn into_parts(self) -> (Guard, Rc<Session>) {
        (self.guard, self.session)
    }

    /// The map that is pinned.
    pub(crate) fn map(&self) -> &Map<K, V, I> {
        self.map
    }

    /// How many keys have a value; see [`Map::len`].
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether no key has a value; see [`Map::len`].
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// What the slot holds, if it holds a value.
    #[inline]
    pub(crate) fn seen<'p>(&'p self, latest: Latest<'p>) -> Option<Versioned<'p, V>> {
        match latest {
            // SAFETY: a slot of this map; the pin lives as long as the borrow of it.
            Latest::Version(newest) => unsafe { value_of(&newest) },
            Latest::Empty | Latest::Purged => None,
        }
    }
}

impl<K, V> MapPin<'_, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.map.index().hash(key)
    }

    /// The slot of a key whose hash is known.
    #[inline]
    pub(crate) fn find_hashed<Q>(&self, hash: u64, key: &Q) -> Option<&SlotHeader>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        index::find_hashed::<K, Q>(self.map.component(), hash, key)
    }

    /// The slot of a key whose hash is known, made if there is none.
    pub(crate) fn slot_for_hashed(&self, hash: u64, key: K) -> &SlotHeader {
        index::slot_for_hashed(self.map.component(), &self.worker(), hash, key)
    }
}

impl<K, V, I> MapPin<'_, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// The key of a slot that the index showed under this pin.
    pub(crate) fn key_of(&self, slot: &SlotHeader) -> &K {
        // SAFETY: a slot of this map that the index shows is occupied, and stays so under the pin.
        unsafe { Slot::<K>::key(slot) }
    }

    #[inline]
    pub(crate) fn find<Q: ?Sized>(&self, key: &Q) -> Option<&SlotHeader>
    where
        I: Lookup<K, Q>,
    {
        self.map.index().find(self.map.component(), key)
    }

    pub(crate) fn find_key(&self, key: &K) -> Option<&SlotHeader> {
        self.map.index().find_key(self.map.component(), key)
    }

    /// The key's slot, made if there is none.
    pub(crate) fn slot_for(&self, key: K) -> &SlotHeader {
        self.map.index().slot_for(self.map.component(), &self.worker(), key)
    }

    /// A slot for the key of one that was purged.
    #[cold]
    pub(crate) fn renew(&self, purged: &SlotHeader) -> &SlotHeader {
        let worker = self.worker();
        self.map.component().unlink(purged, |garbage| worker.retire(garbage));
        // SAFETY: purged, and not reclaimed under this pin.
        let key: &K = unsafe { Slot::<K>::key(purged) };
        self.slot_for(key.clone())
    }

    /// Returns the key's value.
    ///
    /// # Cost
    /// Allocates nothing, and writes nothing shared unless it meets a write that is not yet decided.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<String, u64>("map")?;
    /// map.pin().put("x".to_owned(), 1);
    /// assert_eq!(map.pin().get("x"), Some(&1));
    /// assert_eq!(map.pin().get("y"), None);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn get<Q: ?Sized>(&self, key: &Q) -> Option<&V>
    where
        I: Lookup<K, Q>,
    {
        self.versioned(key).map(Versioned::value)
    }

    /// Whether the key has a value.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, ()>("map")?;
    /// map.pin().put(1, ());
    /// assert!(map.pin().contains(&1) && !map.pin().contains(&2));
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn contains<Q: ?Sized>(&self, key: &Q) -> bool
    where
        I: Lookup<K, Q>,
    {
        self.versioned(key).is_some()
    }

    /// Returns the key's value and version.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let version = map.pin().put(1, 10);
    /// assert_eq!(map.pin().versioned(&1).unwrap().version(), version);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn versioned<Q: ?Sized>(&self, key: &Q) -> Option<Versioned<'_, V>>
    where
        I: Lookup<K, Q>,
    {
        self.versioned_at(self.find(key)?)
    }

    /// What a slot holds now.
    #[inline]
    pub(crate) fn versioned_at<'p>(&'p self, slot: &'p SlotHeader) -> Option<Versioned<'p, V>> {
        let head = slot.head().1;
        match chain::plain(head) {
            Some(newest) => {
                // SAFETY: as in `seen`; its stamp says that it has a value.
                let value = unsafe { VersionNode::value_there(newest.version) };
                Some(Versioned::new(value, newest.stamp.version()))
            }
            None => self.versioned_from(head),
        }
    }

    /// As [`versioned_at`](Self::versioned_at), where the head is not just a value that is final.
    #[cold]
    #[inline(never)]
    fn versioned_from<'p>(&'p self, head: Head<'p>) -> Option<Versioned<'p, V>> {
        self.seen(self.worker().read_from(head))
    }

    /// Sets the key's value, whatever it was, and returns the new version.
    ///
    /// # Cost
    /// For a value of up to 32 bytes without a `Drop`, no allocation, unless the key changes faster than memory gets free; else one. And a
    /// slot for a new key.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let pin = map.pin();
    /// assert!(pin.put(1, 10) < pin.put(1, 11));
    /// # Ok(())
    /// # }
    /// ```
    pub fn put(&self, key: K, value: V) -> Version {
        let slot = self.slot_for(key);
        self.put_at(slot, value).0
    }

    /// Replaces the key's value by what the closure makes of it. Returns the new value, or `None` if the key is absent: see
    /// [`upsert`](Self::upsert) for that case.
    ///
    /// The closure runs again if another thread has changed the value meanwhile.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let pin = map.pin();
    /// assert!(pin.update(&1, |n| n + 1).is_none());
    /// pin.put(1, 10);
    /// assert_eq!(pin.update(&1, |n| n + 1).map(|new| *new), Some(11));
    /// # Ok(())
    /// # }
    /// ```
    pub fn update<Q: ?Sized>(&self, key: &Q, mut change: impl FnMut(&V) -> V) -> Option<Versioned<'_, V>>
    where
        I: Lookup<K, Q>,
    {
        match self.try_update(key, |value| Ok::<V, Infallible>(change(value))) {
            Ok(updated) => updated,
            Err(never) => match never {},
        }
    }

    /// As [`update`](Self::update), with a closure that may refuse; then nothing changes.
    ///
    /// # Errors
    /// What the closure returns.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u32>("balance")?;
    /// let pin = map.pin();
    /// pin.put(1, 10);
    /// let spend = |amount: u32| pin.try_update(&1, |had| had.checked_sub(amount).ok_or("too little"));
    /// assert!(spend(4).is_ok());
    /// assert_eq!(spend(7).unwrap_err(), "too little");
    /// assert_eq!(pin.get(&1), Some(&6));
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_update<Q: ?Sized, E>(
        &self,
        key: &Q,
        change: impl FnMut(&V) -> Result<V, E>,
    ) -> Result<Option<Versioned<'_, V>>, E>
    where
        I: Lookup<K, Q>,
    {
        let Some(slot) = self.map.index().find_to_write(self.map.component(), key) else { return Ok(None) };
        self.try_update_at(slot, change)
    }

    /// Sets the key's value to what the closure makes of the old one, or of `None` if the key is absent. Returns the new value.
    ///
    /// The closure runs again if another thread has changed the value meanwhile.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<&str, u64>("count")?;
    /// let pin = map.pin();
    /// for _ in 0..3 {
    ///     pin.upsert("seen", |count| count.map_or(1, |n| n + 1));
    /// }
    /// assert_eq!(pin.get("seen"), Some(&3));
    /// # Ok(())
    /// # }
    /// ```
    pub fn upsert(&self, key: K, mut make: impl FnMut(Option<&V>) -> V) -> Versioned<'_, V> {
        let mut slot = match self.find_key(&key) {
            Some(slot) => slot,
            None => {
                // The closure runs before there is a slot, so that a panic leaves none.
                let value = make(None);
                let slot = self.slot_for(key);
                let latest = self.worker().latest(slot);
                if self.seen(latest).is_none()
                    && !matches!(latest, Latest::Purged)
                    && let Some(new) = self.install_value(slot, latest, value)
                {
                    return new;
                }
                slot
            }
        };
        loop {
            let latest = self.worker().latest(slot);
            if let Latest::Purged = latest {
                slot = self.renew(slot);
                continue;
            }
            let value = make(self.seen(latest).map(Versioned::value));
            if let Some(new) = self.install_value(slot, latest, value) {
                return new;
            }
        }
    }

    /// Returns the key's value, which the closure makes if the key is absent.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, String>("map")?;
    /// let pin = map.pin();
    /// assert_eq!(pin.get_or_insert_with(1, || "one".to_owned()), "one");
    /// assert_eq!(pin.get_or_insert_with(1, || unreachable!()), "one");
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> &V {
        if let Some(slot) = self.find_key(&key)
            && let Some(seen) = self.seen(self.worker().read(slot))
        {
            return seen.value();
        }
        match self.insert_or_see(key, make()) {
            Ok(new) | Err((new, _)) => new.value(),
        }
    }

    /// Sets the value of a key that is absent.
    ///
    /// # Errors
    /// [`Conflict`] with what is there, and the value given back.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let pin = map.pin();
    /// assert!(pin.insert(1, 10).is_ok());
    /// let conflict = pin.insert(1, 11).unwrap_err();
    /// assert_eq!((*conflict.actual.unwrap(), conflict.value), (10, 11));
    /// # Ok(())
    /// # }
    /// ```
    pub fn insert(&self, key: K, value: V) -> Result<Version, Conflict<'_, V>> {
        match self.insert_or_see(key, value) {
            Ok(new) => Ok(new.version()),
            Err((seen, value)) => Err(self.conflict(Some(seen), value)),
        }
    }

    /// Sets the value of an absent key, or hands back what is there, and the value.
    fn insert_or_see(&self, key: K, value: V) -> Result<Versioned<'_, V>, (Versioned<'_, V>, V)> {
        let mut slot = self.slot_for(key);
        let mut value = value;
        if let Head::Empty = slot.head().1 {
            match self.write_first(slot, value) {
                Ok(new) => return Ok(new),
                Err(given_back) => value = given_back,
            }
        }
        loop {
            let latest = self.worker().latest(slot);
            if let Latest::Purged = latest {
                slot = self.renew(slot);
                continue;
            }
            if let Some(seen) = self.seen(latest) {
                return Err((seen, value));
            }
            match self.try_install(slot, latest, self.pending(slot, Some(value))) {
                Ok((version, new)) => {
                    let Some(new) = new else { unreachable!("it was made with a value") };
                    self.worker().tidy();
                    return Ok(Versioned::new(new, version));
                }
                Err(new) => value = new.into_some(),
            }
        }
    }

    /// Replaces the key's value if it is at the expected version.
    ///
    /// # Errors
    /// [`Conflict`] with what is there, and the value given back.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let pin = map.pin();
    /// let first = pin.put(1, 10);
    /// assert!(pin.compare_exchange(&1, first, 11).is_ok());
    /// let conflict = pin.compare_exchange(&1, first, 12).unwrap_err();
    /// assert_eq!((conflict.actual.map(|seen| *seen), conflict.value), (Some(11), 12));
    /// # Ok(())
    /// # }
    /// ```
    pub fn compare_exchange<Q: ?Sized>(&self, key: &Q, expected: Version, value: V) -> Result<Version, Conflict<'_, V>>
    where
        I: Lookup<K, Q>,
    {
        self.exchange_if(key, |seen| seen.version() == expected, value)
    }

    /// Replaces the key's value if it equals the expected one.
    ///
    /// # Errors
    /// [`Conflict`] with what is there, and the value given back.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, &str>("phase")?;
    /// let pin = map.pin();
    /// pin.put(1, "setup");
    /// assert!(pin.compare_exchange_value(&1, &"setup", "build").is_ok());
    /// assert!(pin.compare_exchange_value(&1, &"setup", "test").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn compare_exchange_value<Q: ?Sized>(&self, key: &Q, expected: &V, value: V) -> Result<Version, Conflict<'_, V>>
    where
        I: Lookup<K, Q>,
        V: PartialEq,
    {
        self.exchange_if(key, |seen| seen.value() == expected, value)
    }

    fn exchange_if<'p, Q: ?Sized>(
        &'p self,
        key: &Q,
        is_expected: impl Fn(Versioned<'p, V>) -> bool,
        value: V,
    ) -> Result<Version, Conflict<'p, V>>
    where
        I: Lookup<K, Q>,
    {
        let Some(slot) = self.map.index().find_to_write(self.map.component(), key) else {
            return Err(self.conflict(None, value));
        };
        self.exchange_at(slot, is_expected, value)
    }

    /// Replaces what a slot holds, if it passes a test.
    pub(crate) fn exchange_at<'p>(
        &'p self,
        slot: &'p SlotHeader,
        is_expected: impl Fn(Versioned<'p, V>) -> bool,
        mut value: V,
    ) -> Result<Version, Conflict<'p, V>> {
        loop {
            let latest = self.worker().latest(slot);
            let actual = self.seen(latest);
            if !actual.is_some_and(&is_expected) {
                return Err(self.conflict(actual, value));
            }
            match self.try_install(slot, latest, self.pending(slot, Some(value))) {
                Ok((version, _)) => {
                    self.worker().tidy();
                    return Ok(version);
                }
                Err(new) => value = new.into_some(),
            }
        }
    }

    /// Removes the key. Returns the value that it had.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let pin = map.pin();
    /// pin.put(1, 10);
    /// assert_eq!(pin.remove(&1).map(|had| *had), Some(10));
    /// assert!(pin.remove(&1).is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove<Q: ?Sized>(&self, key: &Q) -> Option<Versioned<'_, V>>
    where
        I: Lookup<K, Q>,
    {
        self.remove_if(key, |_| true)
    }

    /// Removes the key if its value passes a test. Returns the value that it had.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let pin = map.pin();
    /// pin.put(1, 10);
    /// assert!(pin.remove_if(&1, |value| *value > 10).is_none());
    /// assert!(pin.remove_if(&1, |value| *value == 10).is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove_if<Q: ?Sized>(&self, key: &Q, test: impl FnMut(&V) -> bool) -> Option<Versioned<'_, V>>
    where
        I: Lookup<K, Q>,
    {
        let slot = self.map.index().find_to_write(self.map.component(), key)?;
        self.remove_at(slot, test)
    }

    /// Removes what a slot holds, if it passes a test.
    pub(crate) fn remove_at<'p>(
        &'p self,
        slot: &'p SlotHeader,
        mut test: impl FnMut(&V) -> bool,
    ) -> Option<Versioned<'p, V>> {
        loop {
            let latest = self.worker().latest(slot);
            let seen = self.seen(latest)?;
            if !test(&seen) {
                return None;
            }
            let tombstone = self.pending(slot, None);
            if self.install(slot, latest, &tombstone).is_some() {
                tombstone.installed();
                self.worker().tidy();
                return Some(seen);
            }
        }
    }

    /// Removes every key whose value fails a test.
    ///
    /// # Consistency
    /// Key by key: each removal takes effect by itself, on the value that was tested. Keys that are written meanwhile may or may
    /// not be tested.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let pin = map.pin();
    /// (0..10).for_each(|n| drop(pin.put(n, n)));
    /// pin.retain(|_, value| value % 2 == 0);
    /// assert_eq!(pin.len(), 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        for slot in self.slots() {
            let key = self.key_of(slot);
            self.remove_at(slot, |value| !keep(key, value));
        }
    }

    /// All slots that the index shows, in steps.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &SlotHeader> {
        let mut position = Some(I::START);
        let steps = std::iter::from_fn(move || {
            let mut slots = Vec::new();
            position = self.map.index().step(self.map.component(), position.as_ref()?, &mut slots);
            Some(slots)
        });
        steps.flatten()
    }

    /// Removes every key; see [`retain`](Self::retain) for what that means beside other writers.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// map.pin().put(1, 1);
    /// map.pin().clear();
    /// assert!(map.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn clear(&self) {
        self.retain(|_, _| false);
    }

    /// Brings in what the base says of a key, with the version that it had, if the map knows nothing of the key: `None` says that
    /// it was removed. Returns whether it came in; not if the base is detached.
    ///
    /// For layers that restore a map: see [`Map::attach_base`]. Consumers are not told.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// use stillpoint::Version;
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// map.attach_base();
    /// map.pin().put(1, 11);
    /// assert!(!map.pin().restore(1, Version::from_u64(5), Some(10)));
    /// assert!(map.pin().restore(2, Version::from_u64(6), Some(20)));
    /// assert_eq!((map.pin().get(&1), map.pin().get(&2)), (Some(&11), Some(&20)));
    /// map.detach_base();
    /// # Ok(())
    /// # }
    /// ```
    pub fn restore(&self, key: K, version: Version, value: Option<V>) -> bool {
        // Under the pin: see `detach_base`.
        if !self.map.component().has_base() {
            return false;
        }
        let slot = self.slot_for(key);
        let worker = self.worker();
        let new = Pending::stamped(&worker, self.map.component(), slot, value, Stamp::from_version(version));
        let restored = worker.restore(self.map.component(), slot, new.version()).is_ok();
        if restored {
            new.installed();
        }
        worker.tidy();
        restored
    }

    /// Whether the map itself knows the key, present or removed, without looking into the base.
    ///
    /// For layers that restore a map.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// map.attach_base();
    /// let pin = map.pin();
    /// assert!(!pin.knows(&1));
    /// pin.put(1, 1);
    /// pin.remove(&1);
    /// assert!(pin.knows(&1) && !pin.contains(&1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn knows<Q: ?Sized>(&self, key: &Q) -> bool
    where
        I: Lookup<K, Q>,
    {
        self.find(key).is_some_and(|slot| matches!(self.worker().read(slot), Latest::Version(_)))
    }
}
