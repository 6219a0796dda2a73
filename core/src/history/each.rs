//! Bringing back what a map held before, key by key.

use crate::error::HistoryError;
use crate::history::Past;
use crate::history::Rewind;
use crate::index::Index;
use crate::map::MapPin;
use crate::raw::chain::Latest;
use crate::raw::lineage::{ChangeKind, Mark};
use crate::{CheckedPin, Refused, Versioned};

impl<K, V, I> MapPin<'_, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K>,
{
    /// Brings the whole map back to a moment of the past, key by key, with new versions. Returns how many keys have changed.
    ///
    /// # Consistency
    /// Each key by itself; for all in one step, see [`Transaction::rollback_all`](crate::Transaction::rollback_all). What all keys held is read
    /// before the first one is written: if anything is no longer known, nothing is done.
    /// Keys that are written meanwhile are brought back, or hold what was written after.
    ///
    /// # Cost
    /// A walk over the map, and the writes.
    ///
    /// # Errors
    /// [`HistoryError::TooOld`] if what any key held is no longer known.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{History, MapOptions, Store};
    /// let store = Store::new();
    /// let map = store.map_with("map", MapOptions::<u64, u64>::new().history(History::last(4)))?;
    /// let pin = map.pin();
    /// pin.put(1, 10);
    /// pin.put(2, 20);
    /// let before = store.at(store.tick())?;
    /// pin.put(1, 11);
    /// pin.remove(&2);
    /// pin.put(3, 30);
    /// assert_eq!(pin.rollback_all(&before)?, 3);
    /// assert_eq!((pin.get(&1), pin.get(&2), pin.get(&3)), (Some(&10), Some(&20), None));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rollback_all(&self, past: &Past) -> Result<usize, HistoryError> {
        self.rewind_each(past, &Rewind::of_map(V::clone))
    }
}

impl<K, V, I> MapPin<'_, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    pub(crate) fn rewind_each(&self, past: &Past, rewind: &Rewind<V>) -> Result<usize, HistoryError> {
        let mut changed = 0;
        for (mut slot, then) in self.at(past)?.slots()? {
            rewind.admits(self.map().name(), then)?;
            loop {
                let latest = self.worker().latest(slot);
                let now = self.seen(latest);
                if now.map(Versioned::version) == then.map(Versioned::version) {
                    break;
                }
                if let Latest::Purged = latest {
                    slot = self.renew(slot);
                    continue;
                }
                let value = then.map(|then| (rewind.clone)(then.value()));
                let new = self.pending_marked(slot, value, Mark::of_kind(ChangeKind::Rollback));
                if self.try_install(slot, latest, new).is_ok() {
                    self.worker().tidy();
                    changed += 1;
                    break;
                }
            }
        }
        Ok(changed)
    }
}

impl<K, V, D, I> CheckedPin<'_, K, V, D, I>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K>,
{
    /// Brings the whole map back to a moment of the past, key by key, if the validators let it; see [`MapPin::rollback_all`].
    ///
    /// # Errors
    /// [`Refused::History`] as there, when nothing is done yet; [`Refused::Invalid`] and [`Refused::Full`] of the first key that is refused: those
    /// before it are brought back, those behind it are not.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{History, MapOptions, Store};
    /// let store = Store::new();
    /// let options = MapOptions::<u64, u64>::new().history(History::last(4)).keys_max(2);
    /// let map = store.map_with("map", options)?;
    /// map.pin().put(1, 10)?;
    /// let before = store.at(store.tick())?;
    /// map.pin().put(1, 11)?;
    /// assert_eq!(map.pin().rollback_all(&before).ok(), Some(1));
    /// assert_eq!(map.pin().get(&1), Some(&10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rollback_all(&self, past: &Past) -> Result<usize, Refused<V>> {
        self.rewind_each(past, &Rewind::of_map(V::clone))
    }
}

impl<K, V, D, I> CheckedPin<'_, K, V, D, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    pub(crate) fn rewind_each(&self, past: &Past, rewind: &Rewind<V>) -> Result<usize, Refused<V>> {
        let mut changed = 0;
        for (slot, then) in self.unchecked().at(past)?.slots()? {
            rewind.admits(self.unchecked().map().name(), then)?;
            let is_changed = self.write_unless(slot, ChangeKind::Rollback, |now| {
                let is_there = now.map(Versioned::version) == then.map(Versioned::version);
                (!is_there).then(|| then.map(|then| (rewind.clone)(then.value())))
            })?;
            changed += usize::from(is_changed);
        }
        Ok(changed)
    }
}
