//! Bringing back what maps held before, in one step.

use crate::error::HistoryError;
use crate::history::{Back, Past, Rewind};
use crate::index::{Index, Lookup};
use crate::raw::lineage::ChangeKind;
use crate::{Refused, Transaction, TransactionError, Versioned, Writable};

impl<'s> Transaction<'s> {
    /// Brings back what a key held before, as a part of the transaction; see [`MapPin::rollback`](crate::MapPin::rollback).
    ///
    /// # Consistency
    /// The way back is counted from what the key holds outside the transaction; if that changes before the commit, there is a conflict.
    ///
    /// # Errors
    /// [`TransactionError::History`] if what is meant is no longer kept, or the map keeps no history; else as [`put`](Self::put).
    pub fn rollback<K, V, I, M>(&mut self, map: &'s M, key: &K, back: Back) -> Result<(), M::Refused>
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        I: Lookup<K, K>,
        M: Writable<K, V, I>,
    {
        self.contains(map, key).map_err(Refused::from)?;
        let pin = map.map().pin();
        let value = pin.held_before(key, back).map_err(Refused::from)?.cloned();
        Ok(self.write_as(map, key, value, ChangeKind::Rollback)?)
    }

    /// Brings a whole map back to a moment of the past, as a part of the transaction; returns how many keys that changes.
    ///
    /// With this, any number of maps go back in one step: each in its turn, in one transaction. It reads every key of the map, so it suits
    /// maps of up to some thousand keys, or bound it by [`keys_max`](crate::TransactionOptions::keys_max); beyond, there is
    /// [`MapPin::rollback_all`](crate::MapPin::rollback_all), key by key.
    ///
    /// # Consistency
    /// All keys that the map has when this is called; if one of them changes before the commit, there is a conflict.
    ///
    /// # Errors
    /// [`TransactionError::History`] if what any key held is no longer known, or the map keeps no history; else as [`put`](Self::put).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{History, MapOptions, Store};
    ///
    /// let store = Store::new();
    /// let options = || MapOptions::<&str, u64>::new().history(History::last(5));
    /// let (stock, sold) = (store.map_with("stock", options())?, store.map_with("sold", options())?);
    /// stock.pin().put("apples", 3);
    /// let past = store.at(store.tick())?;
    /// stock.pin().put("apples", 2);
    /// sold.pin().put("apples", 1);
    ///
    /// let changed = store.transact(|tx| Ok(tx.rollback_all(&stock, &past)? + tx.rollback_all(&sold, &past)?))?;
    /// assert_eq!((changed, stock.pin().get("apples"), sold.pin().get("apples")), (2, Some(&3), None));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rollback_all<K, V, I, M>(&mut self, map: &'s M, past: &Past) -> Result<usize, M::Refused>
    where
        K: Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        I: Index<K>,
        M: Writable<K, V, I>,
    {
        Ok(self.rewind(map, past, &Rewind::of_map(V::clone))?)
    }

    /// As [`rollback_all`](Self::rollback_all), of a component whose type of values is known to others.
    pub(crate) fn rewind<K, V, I, M>(
        &mut self,
        map: &'s M,
        past: &Past,
        rewind: &Rewind<V>,
    ) -> Result<usize, Refused<V>>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
        M: Writable<K, V, I>,
    {
        // Before the walk: what it misses has come after the moment, in all maps, and what it meets that has is a conflict.
        self.hold_still()?;
        let pin = map.map().pin();
        let mut changed = 0;
        for (slot, then) in pin.at(past)?.slots()? {
            rewind.admits(map.map().name(), then)?;
            // Reads it: what is not written must stay as it is, too.
            if self.sees(map.map(), slot)? != then.map(Versioned::version) {
                let value = then.map(|then| (rewind.clone)(then.value()));
                self.write_in(map, slot, value, ChangeKind::Rollback)?;
                changed += 1;
            }
        }
        Ok(changed)
    }
}

impl From<HistoryError> for TransactionError {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}
