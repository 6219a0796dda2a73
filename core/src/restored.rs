//! Maps of each kind, as layers see them that keep them elsewhere and restore them.

use std::time::SystemTime;

use crate::index::Index;
use crate::map::Map;
use crate::pending::Pending;
use crate::raw::backlog::WaitsFor;
use crate::raw::chain::VersionHeader;
use crate::raw::lineage::{Mark, NEVER};
use crate::raw::stamp::Stamp;
use crate::readable::Readable;
use crate::snapshot::SnapshotOf;
use crate::time::{millis_of, time_of};
use crate::{CheckedMap, Version};

/// A map that a layer can restore: a [`Map`], a [`CheckedMap`]. What is brought in is not judged: it was, when it was written.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use stillpoint::{MapOptions, Restored, Store, Version};
/// let map = Store::new().map_with("map", MapOptions::<u64, u64>::new().keys_max(1))?;
/// map.begin_restoring();
/// assert!(map.bring_in(1, Version::from_u64(5), Some(10), None));
/// map.end_restoring();
/// assert_eq!(map.pin().get(&1), Some(&10));
/// assert!(map.pin().put(2, 20).is_err());            // its place is taken
/// # Ok(())
/// # }
/// ```
pub trait Restored<K, V, I>: Readable<K, V, I> {
    /// Says that what the map lacks may exist elsewhere; see [`Map::attach_base`].
    fn begin_restoring(&self);

    /// Says that everything has been brought in; see [`Map::detach_base`].
    fn end_restoring(&self);

    /// Brings in what is known of a key, with the version that it had and the time at which it expires, if the map knows nothing of the
    /// key; see [`MapPin::restore`](crate::MapPin::restore). A bound on keys counts it, and keeps none out.
    fn bring_in(&self, key: K, version: Version, value: Option<V>, expires: Option<SystemTime>) -> bool;
}

impl<K, V, I, M> Restored<K, V, I> for M
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
    M: Readable<K, V, I>,
{
    fn begin_restoring(&self) {
        self.map().attach_base();
    }

    fn end_restoring(&self) {
        self.map().detach_base();
    }

    fn bring_in(&self, key: K, version: Version, value: Option<V>, expires: Option<SystemTime>) -> bool {
        let map = self.map();
        let component = map.component();
        // Under the pin: see `detach_base`.
        let pin = map.pin();
        if !component.has_base() {
            return false;
        }
        let slot = pin.slot_for(key);
        let worker = pin.worker();
        let expires = expires.map_or(NEVER, millis_of);
        let (holds, mark) = (value.is_some(), Mark { expires, ..Mark::NONE });
        let new = Pending::stored(&worker, component, slot, value, Stamp::from_version(version), mark);
        let is_in = worker.restore(component, slot, new.version()).is_ok();
        if is_in {
            new.installed();
            if holds && let Some(bound) = component.bound() {
                bound.come();
            }
            if holds && expires != NEVER {
                worker.enqueue(component, slot, WaitsFor::Time(expires));
            }
        }
        worker.tidy();
        is_in
    }
}

impl<K, V, D, I> CheckedMap<K, V, D, I> {
    /// Whether the map's keys expire: then what keeps it elsewhere keeps their times, too; see [`MapOptions::expires`](crate::MapOptions::expires).
    pub fn expires(&self) -> bool {
        self.checks().expires()
    }
}

impl<K, V, I> SnapshotOf<'_, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// When a key's time is over, as the snapshot sees it; `None` if it is not bounded, or the key is absent.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use stillpoint::{ManualTime, MapOptions, Store};
    /// let store = Store::with_time(ManualTime::starting_at(UNIX_EPOCH));
    /// let minute = Duration::from_secs(60);
    /// let map = store.map_with("map", MapOptions::<u64, u64>::new().ttl(minute))?;
    /// map.pin().put(1, 10)?;
    /// assert_eq!(store.snapshot().of(&map)?.expires(&1), Some(UNIX_EPOCH + minute));
    /// # Ok(())
    /// # }
    /// ```
    pub fn expires(&self, key: &K) -> Option<SystemTime> {
        let _pin = self.pin();
        let slot = self.map().index().find_key(self.map().component(), key)?;
        self.map().expires_at(self.snapshot().version_of(slot)?)
    }
}

impl<K, V, I> Map<K, V, I> {
    /// When the time of a version's key is over, if it is bounded.
    pub(crate) fn expires_at(&self, version: &VersionHeader) -> Option<SystemTime> {
        let recording = self.component().recording().filter(|recording| recording.expiry.is_some())?;
        let expires = recording.lineage(version).expires;
        (!version.is_tombstone() && expires != NEVER).then(|| time_of(expires))
    }
}
