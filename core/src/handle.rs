//! Handles: a key that is looked up once.

use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;

use crate::map::{Map, MapPin};
use crate::raw::backlog::WaitsFor;
use crate::raw::place::Place;
use crate::raw::slot::SlotHeader;
use crate::{Conflict, Version, Versioned};

/// A key of a map, looked up once: reads and writes through it need no hashing and no search. See [`MapPin::handle`].
///
/// `Send` and `Sync`, and holds no pin: it may be kept for as long as you like. While it is there, the key's place in the map stays: also
/// when the key is removed, so that it is found when it comes back; some dozen bytes and the key.
///
/// # Consistency
/// Every operation is the map's own, on this key: linearizable.
///
/// # Progress
/// Lock-free.
///
/// # Panics
/// Every operation that takes a pin panics if the pin is of another map.
pub struct Handle<K, V> {
    pub(crate) map: Map<K, V>,
    pub(crate) key: K,
    pub(crate) place: Place,
}

impl<K, V> MapPin<'_, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Looks a key up once, for many reads and writes; `None` if it is absent.
    ///
    /// # Cost
    /// One lookup, and a clone of the key and of the map's handle.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<String, u64>("counts")?;
    /// map.pin().put("hits".to_owned(), 0);
    ///
    /// let hits = map.pin().handle("hits").unwrap();
    /// let pin = map.pin();
    /// for _ in 0..10 {
    ///     hits.update(&pin, |n| n + 1);
    /// }
    /// assert_eq!(hits.get(&pin), Some(&10));
    /// assert_eq!(pin.get("hits"), Some(&10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn handle<Q>(&self, key: &Q) -> Option<Handle<K, V>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let slot = self.find_hashed(self.hash(key), key)?;
        self.versioned_at(slot)?;
        Some(Handle { map: self.map().clone(), key: self.key_of(slot).clone(), place: Place::new(slot) })
    }
}

impl<K, V> Handle<K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The map that the key is of.
    pub fn map(&self) -> &Map<K, V> {
        &self.map
    }
}

impl<K, V> Handle<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The key's slot, if it has one.
    #[inline]
    pub(crate) fn slot<'p>(&self, pin: &'p MapPin<'_, K, V>) -> Option<&'p SlotHeader> {
        assert!(pin.map().is(&self.map), "the handle is of another map than the pin");
        match self.place.slot() {
            Some(slot) => Some(slot),
            None => self.find_again(pin),
        }
    }

    #[cold]
    fn find_again<'p>(&self, pin: &'p MapPin<'_, K, V>) -> Option<&'p SlotHeader> {
        let slot = pin.find_hashed(pin.hash(&self.key), &self.key)?;
        self.place.set(slot);
        Some(slot)
    }

    /// Returns the key's value.
    ///
    /// # Cost
    /// Two cache misses at most: the key's slot, and the value if it lies elsewhere. A small value lies in the slot.
    ///
    /// # Examples
    /// See [`MapPin::handle`].
    #[inline]
    pub fn get<'p>(&self, pin: &'p MapPin<'_, K, V>) -> Option<&'p V> {
        self.versioned(pin).map(Versioned::value)
    }

    /// Returns the key's value and version.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let pin = map.pin();
    /// let version = pin.put(1, 10);
    /// let handle = pin.handle(&1).unwrap();
    /// assert_eq!(handle.versioned(&pin).unwrap().version(), version);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn versioned<'p>(&self, pin: &'p MapPin<'_, K, V>) -> Option<Versioned<'p, V>> {
        pin.versioned_at(self.slot(pin)?)
    }

    /// Sets the key's value, whatever it was, also if it is absent by now. Returns the new version.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let pin = map.pin();
    /// pin.put(1, 10);
    /// let handle = pin.handle(&1).unwrap();
    /// pin.remove(&1);
    /// handle.put(&pin, 11);
    /// assert_eq!(pin.get(&1), Some(&11));
    /// # Ok(())
    /// # }
    /// ```
    pub fn put(&self, pin: &MapPin<'_, K, V>, value: V) -> Version {
        let slot = self.slot(pin).unwrap_or_else(|| pin.slot_for_hashed(pin.hash(&self.key), self.key.clone()));
        let (version, found) = pin.put_at(slot, value);
        if self.place.slot().is_none() {
            self.place.set(found);
        }
        version
    }

    /// Replaces the key's value by what the closure makes of it. Returns the new value, or `None` if the key is absent.
    ///
    /// The closure runs again if another thread has changed the value meanwhile.
    ///
    /// # Examples
    /// See [`MapPin::handle`].
    pub fn update<'p>(&self, pin: &'p MapPin<'_, K, V>, mut change: impl FnMut(&V) -> V) -> Option<Versioned<'p, V>> {
        match self.try_update(pin, |value| Ok::<V, Infallible>(change(value))) {
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
    /// let balance = pin.handle(&1).unwrap();
    /// let spend = |amount: u32| balance.try_update(&pin, |had| had.checked_sub(amount).ok_or("too little"));
    /// assert!(spend(4).is_ok());
    /// assert_eq!(spend(7).unwrap_err(), "too little");
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_update<'p, E>(
        &self,
        pin: &'p MapPin<'_, K, V>,
        change: impl FnMut(&V) -> Result<V, E>,
    ) -> Result<Option<Versioned<'p, V>>, E> {
        let Some(slot) = self.slot(pin) else { return Ok(None) };
        pin.try_update_at(slot, change)
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
    /// let handle = pin.handle(&1).unwrap();
    /// assert!(handle.compare_exchange(&pin, first, 11).is_ok());
    /// assert_eq!(handle.compare_exchange(&pin, first, 12).unwrap_err().value, 12);
    /// # Ok(())
    /// # }
    /// ```
    pub fn compare_exchange<'p>(
        &self,
        pin: &'p MapPin<'_, K, V>,
        expected: Version,
        value: V,
    ) -> Result<Version, Conflict<'p, V>> {
        match self.slot(pin) {
            Some(slot) => pin.exchange_at(slot, |seen| seen.version() == expected, value),
            None => Err(pin.conflict(None, value)),
        }
    }

    /// Removes the key. Returns the value that it had. The handle stays good: if the key comes back, it finds it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let pin = map.pin();
    /// pin.put(1, 10);
    /// let handle = pin.handle(&1).unwrap();
    /// assert_eq!(handle.remove(&pin).map(|had| *had), Some(10));
    /// assert_eq!(handle.get(&pin), None);
    /// pin.put(1, 11);
    /// assert_eq!(handle.get(&pin), Some(&11));
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove<'p>(&self, pin: &'p MapPin<'_, K, V>) -> Option<Versioned<'p, V>> {
        pin.remove_at(self.slot(pin)?, |_| true)
    }
}

impl<K, V> Drop for Handle<K, V> {
    fn drop(&mut self) {
        let pin = self.map.pin();
        if let Some(slot) = self.place.give_up() {
            pin.worker().enqueue(self.map.component(), slot, WaitsFor::Look);
        }
    }
}

impl<K: fmt::Debug, V> fmt::Debug for Handle<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("map", &self.map.name()).field("key", &self.key).finish()
    }
}

#[cfg(not(loom))]
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Handle<u64, u64>>();
};
