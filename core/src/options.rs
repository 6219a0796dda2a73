//! What a map is built with.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::History;
use crate::checked::{Checked, Checking, Facts, Proposal, Unchecked};
use crate::raw::component::Component;
use crate::raw::lineage::{Keep, Recording};
use crate::raw::unread::{Unread, WhenFull};
use crate::time::millis_in;
use crate::tuning::UNREAD_CHANGE_BYTES;

/// What a map checks and keeps. See [`Store::map_with`](crate::Store::map_with).
///
/// What is not asked for costs nothing. A check makes the map a [`CheckedMap`](crate::CheckedMap), whose writes may be refused; without one it
/// is a [`Map`](crate::Map).
///
/// # Limits
/// What is restored from disk begins with the newest versions: of the history before, files know nothing.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use stillpoint::{MapOptions, Store};
///
/// let store = Store::new();
/// let options = MapOptions::<&str, i64>::new()
///     .validate(|write| if write.new.is_none_or(|new| *new >= 0) { Ok(()) } else { Err("less than nothing") })
///     .merge(|had, paid_in: &i64| Ok::<i64, &str>(had.unwrap_or(&0) + paid_in))
///     .keys_max(1000);
/// let accounts = store.map_with("accounts", options)?;
/// let pin = accounts.pin();
/// pin.merge("ann", &70)?;
/// assert!(pin.merge("ann", &-100).is_err());
/// let refused = pin.put("ann", -30).unwrap_err();
/// assert_eq!(refused.to_string(), "a validator has refused the write: less than nothing");
/// assert_eq!((refused.into_value(), pin.get("ann")), (Some(-30), Some(&70)));
/// # Ok(())
/// # }
/// ```
pub struct MapOptions<K, V, C = Unchecked> {
    pub(crate) checks: C,
    pub(crate) history: Option<Kept<V>>,
    every_change: Option<(usize, WhenFull)>,
    types: PhantomData<fn(K, V)>,
}

impl<K, V> MapOptions<K, V> {
    /// No checks, and no history.
    pub fn new() -> Self {
        Self { checks: Unchecked::default(), history: None, every_change: None, types: PhantomData }
    }
}

impl<K, V> Default for MapOptions<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// How much history is kept, and how what it holds is brought back.
pub(crate) struct Kept<V> {
    pub(crate) history: History,
    pub(crate) clone: fn(&V) -> V,
}

impl<K, V, C> MapOptions<K, V, C> {
    /// Keeps so much history of each key. See [`MapPin::history`](crate::MapPin::history), [`Store::at`](crate::Store::at) and
    /// [`MapPin::rollback`](crate::MapPin::rollback).
    ///
    /// # Cost
    /// 64 bytes more for each version, and the time of day for each write.
    ///
    /// What is brought back is a clone: put values that are dear to clone into an [`Arc`](std::sync::Arc).
    pub fn history(self, history: History) -> Self
    where
        V: Clone,
    {
        Self { history: Some(Kept { history, clone: V::clone }), ..self }
    }

    /// Keeps every change until all who [subscribe to every change](crate::Feed::every) have read it, or more than so many bytes wait
    /// for one of them: then that one [has lagged](crate::Lagged), and nothing is kept for it. While nobody subscribes, nothing is kept.
    ///
    /// Each change counts 128 bytes and the size of a value, of a removal too; what values own on the heap is not counted. At least one change is
    /// kept.
    ///
    /// # Consistency
    /// Never more is waited for: the write that would pass the bound gives the slowest subscriber up, before it returns.
    ///
    /// # Cost
    /// 64 bytes more for each version, the time of day for each write, and for each subscriber a count that all writers share. What was read is taken
    /// out by the subscriber that was the last to read it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{Feed, MapOptions, Store};
    ///
    /// let store = Store::new();
    /// let map = store.map_with("map", MapOptions::<u64, u64>::new().every_change(3 * (128 + 8)))?;
    /// let mut subscriber = map.subscribe(Feed::every())?;
    /// (0..3).for_each(|n| _ = map.pin().put(1, n));
    /// assert_eq!(subscriber.poll()?.unwrap().len(), 3);
    /// (0..4).for_each(|n| _ = map.pin().put(1, n));
    /// let lagged = subscriber.poll().unwrap_err();
    /// assert_eq!(lagged.changes, Some(4));
    /// let still = subscriber.resync(); // and on from here
    /// assert_eq!(still.get(&map, &1), Some(&3));
    /// # Ok(())
    /// # }
    /// ```
    pub fn every_change(self, bytes_max: usize) -> Self {
        Self { every_change: Some((bytes_max, WhenFull::GiveUp)), ..self }
    }
}

impl<K, V, C: Checking<K, V>> MapOptions<K, V, C> {
    fn with<D>(self, check: impl FnOnce(Checked<K, V, C::Delta>) -> D) -> MapOptions<K, V, D> {
        let Self { checks, history, every_change, .. } = self;
        MapOptions { checks: check(checks.checks()), history, every_change, types: PhantomData }
    }

    /// Lets a write pass only if the validator does, which sees what the key holds and what it would hold. Of several validators, all must;
    /// the first one that refuses is heard.
    ///
    /// # Consistency
    /// What a validator has seen as old is what the write replaces: it runs again if another thread was faster. It may run for
    /// writes that never come about.
    ///
    /// # Panics
    /// If a validator does, so does the write, and the map is as it was.
    pub fn validate<E>(
        self,
        validator: impl Fn(&Proposal<'_, K, V>) -> Result<(), E> + Send + Sync + 'static,
    ) -> MapOptions<K, V, Checked<K, V, C::Delta>>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.with(|mut checks| {
            checks.validate(Box::new(move |proposal| validator(proposal).map_err(Into::into)));
            checks
        })
    }

    /// Lets keys expire: so long after each write, or, for `None`, only where [`put_for`](crate::CheckedPin::put_for) says so.
    ///
    /// # Consistency
    /// Judged by the store's [time](crate::TimeSource), to the millisecond: a read sees nothing of a key whose time was over when the read
    /// began; a snapshot judges by the time at which it was taken, and never changes. What has expired is removed by a write of its own, by
    /// whoever works at the store next or calls [`maintain`](crate::Store::maintain): that is what feeds and consumers are told. Until then the
    /// key counts, in [`len`](crate::CheckedMap::len) and under [`keys_max`](Self::keys_max). If a key's time is cut short by a later write, its
    /// removal may come as late as the longer time would have been over. [Moments of the past](crate::Store::at) go by the removal.
    ///
    /// # Cost
    /// 64 bytes more for each version, and the time of day for each operation.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use stillpoint::{ManualTime, MapOptions, Store};
    ///
    /// let time = ManualTime::starting_at(UNIX_EPOCH);
    /// let store = Store::with_time(time.clone());
    /// let sessions = store.map_with("sessions", MapOptions::<u64, &str>::new().ttl(Duration::from_secs(60)))?;
    /// sessions.pin().put(1, "ann")?;
    /// sessions.pin().put_for(2, "bob", Duration::from_secs(90))?;
    /// let still = store.snapshot();
    /// time.advance(Duration::from_secs(60));
    /// assert_eq!((sessions.pin().get(&1), sessions.pin().get(&2)), (None, Some(&"bob")));
    /// assert_eq!(still.get(&sessions, &1), Some(&"ann"));
    /// assert_eq!(store.snapshot().get(&sessions, &1), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn ttl(self, default: impl Into<Option<Duration>>) -> MapOptions<K, V, Checked<K, V, C::Delta>> {
        let default = default.into().map(millis_in);
        self.with(|mut checks| {
            checks.ttl(default);
            checks
        })
    }

    /// As [`every_change`](Self::every_change), but when so many bytes wait for a subscriber, writes are
    /// [refused](crate::Refused::Unread) until it has read.
    ///
    /// # Consistency
    /// Never more is waited for. A write may be refused while another one, which is refused in the end, has the last place; a transaction has
    /// a place for each of its changes from the call that drafts it on. The removal of a key whose [time is over](Self::ttl) is never refused.
    ///
    /// # Progress
    /// The one case in which a subscriber that is slow, or never read, holds up writers.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{Feed, MapOptions, Refused, Store};
    ///
    /// let store = Store::new();
    /// let map = store.map_with("map", MapOptions::<u64, u64>::new().every_change_or_refuse(2 * (128 + 8)))?;
    /// let mut subscriber = map.subscribe(Feed::every())?;
    /// map.pin().put(1, 10)?;
    /// map.pin().put(1, 11)?;
    /// assert!(matches!(map.pin().put(1, 12), Err(Refused::Unread { changes: 2, .. })));
    /// assert_eq!(subscriber.poll()?.unwrap().len(), 2);
    /// map.pin().put(1, 12)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn every_change_or_refuse(self, bytes_max: usize) -> MapOptions<K, V, Checked<K, V, C::Delta>> {
        let options = self.with(|checks| checks);
        MapOptions { every_change: Some((bytes_max, WhenFull::Refuse)), ..options }
    }

    /// Whether keys expire; see [`ttl`](Self::ttl).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use stillpoint::MapOptions;
    /// let options = MapOptions::<u64, u64>::new();
    /// assert!(!options.expires() && options.ttl(Duration::from_secs(1)).expires());
    /// ```
    pub fn expires(&self) -> bool {
        self.checks.facts().expires
    }

    /// What the map's component records, and its bound.
    pub(crate) fn shape(&self, component: Component) -> Component {
        let Facts { expires, bound } = self.checks.facts();
        let component = component.bounded(bound);
        let unread = self.every_change.map(|(bytes_max, when_full)| {
            let changes = bytes_max / (UNREAD_CHANGE_BYTES + size_of::<V>());
            Unread::new(changes.max(1) as u64, when_full)
        });
        let records = expires || unread.is_some();
        let recording = match self.history.as_ref().map(|kept| kept.history.keep()).or(records.then_some(Keep::NOTHING))
        {
            Some(keep) if expires => Recording::of_expiring::<V>(keep),
            Some(keep) => Recording::of::<V>(keep),
            None => return component,
        };
        component.recorded::<V>(recording.for_readers(unread))
    }

    /// Lets the map hold so many keys at most.
    ///
    /// # Consistency
    /// There are never more. A new key may be refused while another write, which is refused in the end, has the last place.
    pub fn keys_max(self, max: usize) -> MapOptions<K, V, Checked<K, V, C::Delta>> {
        self.with(|mut checks| {
            checks.keys_max(max);
            checks
        })
    }
}

impl<K, V, C: Checking<K, V, Delta = Infallible>> MapOptions<K, V, C> {
    /// Gives the map a function that makes a value of what a key holds and a delta: see [`CheckedPin::merge`](crate::CheckedPin::merge). It may refuse.
    ///
    /// It runs again if another thread was faster. What it makes is seen by the validators.
    pub fn merge<D, E>(
        self,
        merge: impl Fn(Option<&V>, &D) -> Result<V, E> + Send + Sync + 'static,
    ) -> MapOptions<K, V, Checked<K, V, D>>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.with(|checks| checks.merge_by(Box::new(move |old, delta| merge(old, delta).map_err(Into::into))))
    }
}

impl<K, V, C: fmt::Debug> fmt::Debug for MapOptions<K, V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapOptions")
            .field("checks", &self.checks)
            .field("history", &self.history.as_ref().map(|kept| kept.history))
            .finish_non_exhaustive()
    }
}
