//! Maps that are being restored.

use std::borrow::{Borrow, ToOwned};
use std::fmt;
use std::hash::Hash;

use arc_swap::ArcSwapOption;
use rkyv::util::AlignedVec;
use stillpoint::{Conflict, Map, MapPin, Version, Versioned};

use super::base::Base;
use crate::durable::{decode, encode};
use crate::error::{Part, ReadError};
use crate::hash::HashKey;
use crate::log::{Frame, Record};
use crate::snapshot_file::Chunk;
use crate::sync::Arc;
use crate::{Durable, MapError};

/// A durable map that serves reads and writes while it is still being restored.
///
/// What was stored lies in a mapped file. An operation on a key brings the key's block into memory first, if it is not there yet; a
/// background thread brings in the rest. [`warm`](Self::warm) waits for that, and hands out the plain [`Map`], whose operations can't
/// fail.
///
/// A handle, cheap to clone.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let store = stillpoint_persist::open(directory.path())?;
/// let names = store.map::<u64, String>("names")?;
/// names.pin().put(1, "one".to_owned())?;
/// assert_eq!(names.pin().get(&1)?, Some(&"one".to_owned()));
///
/// let names = names.warm()?;                 // a plain map
/// assert_eq!(names.pin().get(&1).unwrap(), "one");
/// # Ok(())
/// # }
/// ```
pub struct Warming<K, V> {
    shared: Arc<WarmingShared<K, V>>,
}

/// The state of a map that is being restored.
pub(crate) struct WarmingShared<K, V> {
    map: Map<K, V>,
    hash_key: HashKey,
    /// What lies under the map; gone when all of it has come in.
    base: ArcSwapOption<Base>,
}

impl<K, V> Clone for Warming<K, V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, V> fmt::Debug for Warming<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warming").field("map", &self.shared.map).field("is_warm", &!self.shared.map.has_base()).finish()
    }
}

impl<K, V> WarmingShared<K, V>
where
    K: Durable + Hash + Eq + Clone,
    V: Durable,
{
    /// A map over a base, with the log's tail laid over it.
    pub(crate) fn new(
        map: Map<K, V>,
        hash_key: HashKey,
        base: Option<Base>,
        component: u32,
        tail: &[Frame],
    ) -> Result<Self, MapError> {
        map.attach_base();
        let shared = Self { map, hash_key, base: ArcSwapOption::empty() };
        shared.lay_over(component, tail)?;
        match base {
            Some(base) => shared.base.store(Some(Arc::new(base))),
            None => shared.map.detach_base(),
        }
        Ok(shared)
    }

    /// Brings in what the log's tail says, newest first: a key that is there already has a newer version.
    fn lay_over(&self, component: u32, tail: &[Frame]) -> Result<(), ReadError> {
        for frame in tail.iter().rev() {
            let pin = self.map.pin();
            let undecodable = |part, error: rkyv::rancor::Error| {
                self.undecodable(&crate::format::names::log_name(frame.segment()), part, &error)
            };
            let key_of = |key| decode::<K>(key).map_err(|error| undecodable(Part::Keys, error));
            let version_of = |version| {
                self.version(version, frame.info().cut_tick, || crate::format::names::log_name(frame.segment()))
            };
            for record in frame.records() {
                match record {
                    Record::Put { component: of, version, key, value } if of == component => {
                        let value = decode::<V>(value).map_err(|error| undecodable(Part::Values, error))?;
                        pin.restore(key_of(key)?, version_of(version)?, Some(value));
                    }
                    Record::Remove { component: of, version, key } if of == component => {
                        pin.restore(key_of(key)?, version_of(version)?, None);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    pub(crate) fn map(&self) -> &Map<K, V> {
        &self.map
    }

    /// Brings in the block of a key that the map does not know.
    fn bring_in<Q>(&self, key: &Q, pin: &MapPin<'_, K, V>) -> Result<(), ReadError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if !self.map.has_base() || pin.knows(key) {
            return Ok(());
        }
        // Gone meanwhile: then all has come in.
        let Some(base) = self.base.load_full() else { return Ok(()) };
        let mut archived = AlignedVec::new();
        if encode(&key.to_owned(), &mut archived).is_err() {
            // Such a key was never stored.
            return Ok(());
        }
        for position in base.component()?.find(self.hash_key.hash(&archived)) {
            self.load(&base, position?.chunk)?;
        }
        Ok(())
    }

    /// Brings in all of a chunk.
    fn load(&self, base: &Base, number: u32) -> Result<(), ReadError> {
        let Some(chunk) = base.missing_chunk(number)? else { return Ok(()) };
        // Verified and decoded before the pin: a fault or a slow disk holds up no reclamation.
        let entries = self.decode(base, &chunk)?;
        let pin = self.map.pin();
        for (key, version, value) in entries {
            pin.restore(key, version, Some(value));
        }
        drop(pin);
        if base.set_loaded(number) {
            self.map.detach_base();
            self.base.store(None);
        }
        Ok(())
    }

    fn decode(&self, base: &Base, chunk: &Chunk<'_>) -> Result<Vec<(K, Version, V)>, ReadError> {
        let undecodable = |part, error| self.undecodable(base.file_name(), part, &error);
        chunk
            .entries()
            .map(|entry| {
                let key = decode::<K>(entry.key).map_err(|error| undecodable(Part::Keys, error))?;
                let value = decode::<V>(entry.value).map_err(|error| undecodable(Part::Values, error))?;
                Ok((key, self.version(entry.version, base.cut_tick(), || base.file_name().to_owned())?, value))
            })
            .collect()
    }

    /// A version that was stored under a cut. No snapshot would see one that is later, and the clock starts behind the cuts only.
    fn version(&self, number: u64, cut_tick: u64, file: impl FnOnce() -> String) -> Result<Version, ReadError> {
        let version = Version::from_u64(number);
        if version.tick() <= cut_tick {
            return Ok(version);
        }
        let reason = format!("version {version} is later than the cut at {cut_tick}");
        Err(ReadError::Undecodable { map: self.map.name().to_owned(), file: file(), part: Part::Values, reason })
    }

    fn undecodable(&self, file: &str, part: Part, error: &rkyv::rancor::Error) -> ReadError {
        let (map, file) = (self.map.name().to_owned(), file.to_owned());
        ReadError::Undecodable { map, file, part, reason: error.to_string() }
    }

    /// Brings in some chunks from a number on, and says where to go on.
    pub(crate) fn warm(&self, from: u32, count: u32) -> Result<Option<u32>, ReadError> {
        let Some(base) = self.base.load_full() else { return Ok(None) };
        let until = base.chunks().min(from.saturating_add(count));
        (from..until).try_for_each(|number| self.load(&base, number))?;
        Ok((until < base.chunks()).then_some(until))
    }

    /// Brings in everything.
    pub(crate) fn warm_all(&self) -> Result<(), ReadError> {
        self.warm(0, u32::MAX).map(drop)
    }
}

impl<K, V> Warming<K, V>
where
    K: Durable + Hash + Eq + Clone,
    V: Durable,
{
    pub(crate) fn new(shared: Arc<WarmingShared<K, V>>) -> Self {
        Self { shared }
    }

    /// Pins the calling thread; see [`Map::pin`].
    pub fn pin(&self) -> WarmingPin<'_, K, V> {
        WarmingPin { shared: &self.shared, pin: self.shared.map.pin() }
    }

    /// Whether everything is in memory: then [`warm`](Self::warm) returns at once, and no operation can fail.
    pub fn is_warm(&self) -> bool {
        !self.shared.map.has_base()
    }

    /// Brings in what is still missing, and hands out the plain map.
    ///
    /// # Progress
    /// Blocking: reads the rest of the file, beside the background thread. Reads and writes go on meanwhile.
    ///
    /// # Errors
    /// [`ReadError`] if a block is damaged. What could be read stays usable through the [pin](Self::pin).
    pub fn warm(&self) -> Result<Map<K, V>, ReadError> {
        self.shared.warm_all()?;
        Ok(self.shared.map.clone())
    }
}

/// A pinned map that is being restored: the operations of [`MapPin`], each of which may have to bring a block in.
///
/// # Progress
/// A key that is in memory: lock-free, as in [`MapPin`]. The first touch of a block reads and verifies it, and may wait for the disk; as
/// the pin lends references, it stays meanwhile, and holds back the reclamation of what is replaced in that time.
///
/// # Errors
/// Every operation returns [`ReadError`] if the key's block is damaged; then nothing has changed.
pub struct WarmingPin<'m, K, V> {
    shared: &'m WarmingShared<K, V>,
    pin: MapPin<'m, K, V>,
}

impl<K, V> fmt::Debug for WarmingPin<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmingPin").field("map", &self.shared.map).finish()
    }
}

impl<K, V> WarmingPin<'_, K, V>
where
    K: Durable + Hash + Eq + Clone,
    V: Durable,
{
    /// The pin, once the key is in memory.
    fn with<Q>(&self, key: &Q) -> Result<&MapPin<'_, K, V>, ReadError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.shared.bring_in(key, &self.pin)?;
        Ok(&self.pin)
    }

    /// Returns the key's value. See [`MapPin::get`].
    pub fn get<Q>(&self, key: &Q) -> Result<Option<&V>, ReadError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        Ok(self.with(key)?.get(key))
    }

    /// Whether the key has a value. See [`MapPin::contains`].
    pub fn contains<Q>(&self, key: &Q) -> Result<bool, ReadError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        Ok(self.with(key)?.contains(key))
    }

    /// Returns the key's value and version. See [`MapPin::versioned`].
    pub fn versioned<Q>(&self, key: &Q) -> Result<Option<Versioned<'_, V>>, ReadError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        Ok(self.with(key)?.versioned(key))
    }

    /// Sets the key's value. See [`MapPin::put`].
    pub fn put(&self, key: K, value: V) -> Result<Version, ReadError> {
        Ok(self.with(&key)?.put(key, value))
    }

    /// Replaces the key's value by what the closure makes of it. See [`MapPin::update`].
    pub fn update<Q>(&self, key: &Q, change: impl FnMut(&V) -> V) -> Result<Option<Versioned<'_, V>>, ReadError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        Ok(self.with(key)?.update(key, change))
    }

    /// As [`update`](Self::update), with a closure that may refuse. See [`MapPin::try_update`].
    pub fn try_update<Q, E>(
        &self,
        key: &Q,
        change: impl FnMut(&V) -> Result<V, E>,
    ) -> Result<Result<Option<Versioned<'_, V>>, E>, ReadError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        Ok(self.with(key)?.try_update(key, change))
    }

    /// Sets the key's value to what the closure makes of the old one, or of `None`. See [`MapPin::upsert`].
    pub fn upsert(&self, key: K, make: impl FnMut(Option<&V>) -> V) -> Result<Versioned<'_, V>, ReadError> {
        Ok(self.with(&key)?.upsert(key, make))
    }

    /// Returns the key's value, which the closure makes if the key is absent. See [`MapPin::get_or_insert_with`].
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> Result<&V, ReadError> {
        Ok(self.with(&key)?.get_or_insert_with(key, make))
    }

    /// Sets the value of a key that is absent. See [`MapPin::insert`].
    pub fn insert(&self, key: K, value: V) -> Result<Result<Version, Conflict<'_, V>>, ReadError> {
        Ok(self.with(&key)?.insert(key, value))
    }

    /// Replaces the key's value if it is at the expected version. See [`MapPin::compare_exchange`].
    pub fn compare_exchange<Q>(
        &self,
        key: &Q,
        expected: Version,
        value: V,
    ) -> Result<Result<Version, Conflict<'_, V>>, ReadError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        Ok(self.with(key)?.compare_exchange(key, expected, value))
    }

    /// Replaces the key's value if it equals the expected one. See [`MapPin::compare_exchange_value`].
    pub fn compare_exchange_value<Q>(
        &self,
        key: &Q,
        expected: &V,
        value: V,
    ) -> Result<Result<Version, Conflict<'_, V>>, ReadError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        V: PartialEq,
    {
        Ok(self.with(key)?.compare_exchange_value(key, expected, value))
    }

    /// Removes the key. See [`MapPin::remove`].
    pub fn remove<Q>(&self, key: &Q) -> Result<Option<Versioned<'_, V>>, ReadError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        Ok(self.with(key)?.remove(key))
    }

    /// Removes the key if its value passes a test. See [`MapPin::remove_if`].
    pub fn remove_if<Q>(&self, key: &Q, test: impl FnMut(&V) -> bool) -> Result<Option<Versioned<'_, V>>, ReadError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        Ok(self.with(key)?.remove_if(key, test))
    }
}
