//! Handles of checked maps: a key that is looked up once, and written through the checks.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;

use crate::checked::{CheckedPin, Refused};
use crate::{Handle, Version, Versioned};

/// A key of a checked map, looked up once: see [`CheckedPin::handle`]. Like a [`Handle`], with writes that may be refused.
///
/// # Panics
/// Every operation that takes a pin panics if the pin is of another map.
pub struct CheckedHandle<K, V, D = Infallible> {
    handle: Handle<K, V>,
    deltas: std::marker::PhantomData<fn(D)>,
}

impl<K, V, D> CheckedPin<'_, K, V, D>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Looks a key up once, for many reads and writes; `None` if it is absent.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{MapOptions, Store};
    /// let options = MapOptions::<&str, u64>::new()
    ///     .validate(|write| if write.new.is_some_and(|new| *new > 2) { Err("too many") } else { Ok(()) });
    /// let map = Store::new().map_with("count", options)?;
    /// let pin = map.pin();
    /// pin.put("a", 1)?;
    /// let a = pin.handle("a").unwrap();
    /// assert!(a.update(&pin, |n| n + 1).is_ok());
    /// assert!(a.update(&pin, |n| n + 1).is_err());
    /// assert_eq!(a.get(&pin), Some(&2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn handle<Q>(&self, key: &Q) -> Option<CheckedHandle<K, V, D>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.versioned(key)?;
        let handle = self.unchecked().handle(key)?;
        Some(CheckedHandle { handle, deltas: std::marker::PhantomData })
    }
}

impl<K, V, D> CheckedHandle<K, V, D> {
    /// The key.
    pub fn key(&self) -> &K {
        self.handle.key()
    }
}

impl<K, V, D> CheckedHandle<K, V, D>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Returns the key's value.
    #[inline]
    pub fn get<'p>(&self, pin: &'p CheckedPin<'_, K, V, D>) -> Option<&'p V> {
        self.versioned(pin).map(Versioned::value)
    }

    /// Returns the key's value and version.
    #[inline]
    pub fn versioned<'p>(&self, pin: &'p CheckedPin<'_, K, V, D>) -> Option<Versioned<'p, V>> {
        pin.versioned_at(self.handle.slot(pin.unchecked())?)
    }

    /// Sets the key's value, whatever it was, also if it is absent by now. Returns the new version.
    ///
    /// # Errors
    /// As [`CheckedPin::put`].
    pub fn put(&self, pin: &CheckedPin<'_, K, V, D>, value: V) -> Result<Version, Refused<V>> {
        match self.handle.slot(pin.unchecked()) {
            Some(slot) => pin.put_at(slot, value),
            None => pin.put(self.key().clone(), value),
        }
    }

    /// Replaces the key's value by what the closure makes of it. Returns the new value, or `None` if the key is absent.
    ///
    /// # Errors
    /// As [`CheckedPin::update`].
    pub fn update<'p>(
        &self,
        pin: &'p CheckedPin<'_, K, V, D>,
        change: impl FnMut(&V) -> V,
    ) -> Result<Option<Versioned<'p, V>>, Refused<V>> {
        match self.handle.slot(pin.unchecked()) {
            Some(slot) => pin.update_at(slot, change),
            None => Ok(None),
        }
    }
}

impl<K: fmt::Debug, V, D> fmt::Debug for CheckedHandle<K, V, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckedHandle").field(&self.handle).finish()
    }
}

#[cfg(not(loom))]
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<CheckedHandle<u64, u64, u64>>();
};
