//! Many keys of a checked map at once.

use std::borrow::Borrow;
use std::hash::Hash;

use crate::Versioned;
use crate::checked::{CheckedPin, Refused};

impl<K, V, D> CheckedPin<'_, K, V, D>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Looks many keys up, and visits each with its value, in the order of the keys; see [`MapPin::get_many`](crate::MapPin::get_many).
    pub fn get_many<'p, 'k, Q>(
        &'p self,
        keys: impl IntoIterator<Item = &'k Q>,
        mut visit: impl FnMut(&'k Q, Option<&'p V>),
    ) where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized + 'k,
    {
        self.unchecked().find_many(keys, |key, slot| {
            visit(key, slot.and_then(|slot| self.versioned_at(slot)).map(Versioned::value));
        });
    }

    /// Replaces the values of many keys by what the closure makes of them, in the order of the keys; those that are absent are left out.
    /// Returns how many were there.
    ///
    /// # Consistency
    /// Each key by itself, as [`update`](Self::update) does. For all or none, there are [transactions](crate::Store::transact).
    ///
    /// # Errors
    /// Of the first key that is [refused](Refused::Invalid): those before it are updated, those behind it are not.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{MapOptions, Store};
    /// let options = MapOptions::<u64, u64>::new()
    ///     .validate(|write| if write.new.is_some_and(|new| *new > 11) { Err("too much") } else { Ok(()) });
    /// let map = Store::new().map_with("map", options)?;
    /// let pin = map.pin();
    /// for key in 0..10 {
    ///     pin.put(key, key)?;
    /// }
    /// assert_eq!(pin.update_many(&[3, 4, 500], |_, value| value + 7).ok(), Some(2));
    /// assert!(pin.update_many(&[1, 4, 2], |_, value| value + 1).is_err());
    /// assert_eq!((pin.get(&1), pin.get(&4), pin.get(&2)), (Some(&2), Some(&11), Some(&2)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn update_many<'p, 'k, Q>(
        &'p self,
        keys: impl IntoIterator<Item = &'k Q>,
        mut change: impl FnMut(&'k Q, &V) -> V,
    ) -> Result<usize, Refused<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized + 'k,
    {
        let (mut updated, mut refused) = (0, None);
        self.unchecked().find_many(keys, |key, slot| {
            let Some(slot) = slot.filter(|_| refused.is_none()) else { return };
            match self.update_at(slot, |value| change(key, value)) {
                Ok(new) => updated += usize::from(new.is_some()),
                Err(error) => refused = Some(error),
            }
        });
        refused.map_or(Ok(updated), Err)
    }
}
