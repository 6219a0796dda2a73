//! What a transaction does with keys.

use std::borrow::ToOwned;
use std::time::Duration;

use crate::Version;
use crate::checked::{CheckedMap, Refused};
use crate::index::{Index, Lookup};
use crate::map::Map;
use crate::raw::chain::VersionHeader;
use crate::raw::engine::Worker;
use crate::raw::lineage::{ChangeKind, Mark, NEVER};
use crate::raw::slot::{Head, Slot, SlotHeader};
use crate::readable::Readable;
use crate::time::millis_in;
use crate::transaction::writable::{Judge, Writable};
use crate::transaction::{Transaction, TransactionError, at_work};

impl<'s> Transaction<'s> {
    /// Returns the key's value.
    ///
    /// # Cost
    /// As a lookup at a snapshot. A key that the map has never heard of gets a place there, which is taken back later, so that a
    /// commit can tell whether it is still absent.
    ///
    /// # Errors
    /// See [`Transaction`].
    ///
    /// # Examples
    /// See [`Store::transact`](crate::Store::transact).
    pub fn get<K, V, I, Q>(&self, map: &'s impl Readable<K, V, I>, key: &Q) -> Result<Option<&V>, TransactionError>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Lookup<K, Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let map = map.map();
        self.check(map)?;
        if let Some(version) = self.get_plainly(map, key) {
            return Ok(self.live(map, version));
        }
        at_work!(self, worker);
        self.value(map, &worker, slot_of(map, &worker, key))
    }

    /// The version that the transaction sees of a key, if it is found at once. It stays as long as the pin of the transaction's closure.
    #[inline]
    fn get_plainly<K, V, I, Q>(&self, map: &'s Map<K, V, I>, key: &Q) -> Option<&VersionHeader>
    where
        I: Lookup<K, Q>,
        Q: ?Sized,
    {
        if !self.is_attempted() {
            return None;
        }
        let slot = map.index().find_to_remember(map.component(), key)?;
        self.read_plainly(map.component(), slot)
    }

    /// Whether the key has a value.
    ///
    /// # Errors
    /// See [`Transaction`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// let mut tx = store.begin();
    /// tx.put(&map, 1, 10)?;
    /// assert!(tx.contains(&map, &1)? && !map.pin().contains(&1));
    /// tx.commit()?;
    /// assert!(map.pin().contains(&1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn contains<K, V, I, Q>(&self, map: &'s impl Readable<K, V, I>, key: &Q) -> Result<bool, TransactionError>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Lookup<K, Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        Ok(self.get(map, key)?.is_some())
    }

    /// Sets the key's value, whatever it was.
    ///
    /// # Errors
    /// See [`Transaction`]; [`take_refused`](Self::take_refused) gives the value back. From a [`CheckedMap`], [`Refused`], which does so itself:
    /// the transaction is as it was before the call, and can go on.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{MapOptions, Refused, Store};
    ///
    /// let store = Store::new();
    /// let plain = store.map::<u64, u64>("plain")?;
    /// let small = store.map_with("small", MapOptions::<u64, u64>::new()
    ///     .validate(|write| if write.new.is_some_and(|new| *new > 9) { Err("more than nine") } else { Ok(()) }))?;
    /// store.transact(|tx| {
    ///     match tx.put(&small, 1, 10) {
    ///         Err(Refused::Invalid { value: Some(value), .. }) => tx.put(&plain, 1, value)?,
    ///         other => other?,
    ///     }
    ///     Ok(tx.put(&small, 2, 9)?)
    /// })?;
    /// assert_eq!((plain.pin().get(&1), small.pin().get(&1), small.pin().get(&2)), (Some(&10), None, Some(&9)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn put<K, V, I, M>(&mut self, map: &'s M, key: K, value: V) -> Result<(), M::Refused>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
        M: Writable<K, V, I>,
    {
        let mark = self.mark(map, None);
        let written = self.put_where(map, (key, value), mark, |_, _, _| Ok(true));
        written.map(drop).map_err(|refused| self.refuse(map, refused))
    }

    /// As [`put`](Self::put), for so long from now on: then the key expires.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    ///
    /// # Panics
    /// If the map was not built with [`ttl`](crate::MapOptions::ttl).
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
    /// store.transact(|tx| Ok(tx.put_for(&sessions, 1, "ann", Duration::from_secs(5))?))?;
    /// assert_eq!(sessions.pin().get(&1), Some(&"ann"));
    /// time.advance(Duration::from_secs(5));
    /// assert_eq!(store.transact(|tx| Ok(tx.get(&sessions, &1)?.copied()))?, None);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn put_for<K, V, D, I>(
        &mut self,
        map: &'s CheckedMap<K, V, D, I>,
        key: K,
        value: V,
        ttl: Duration,
    ) -> Result<(), Refused<V>>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
    {
        assert!(map.checks().expires(), "the keys of map {:?} do not expire", map.name());
        let now = self.store.engine().time.now();
        let mark = Mark { expires: now.saturating_add(millis_in(ttl)), ..Mark::NONE };
        self.put_where(map, (key, value), mark, |_, _, _| Ok(true)).map(drop)
    }

    /// Writes a key, if what the transaction has of it is wanted so; else gives the value back.
    fn put_where<K, V, I, M>(
        &mut self,
        map: &'s M,
        (key, value): (K, V),
        mark: Mark,
        is_wanted: impl FnOnce(&Self, &Worker<'_>, &SlotHeader) -> Result<bool, TransactionError>,
    ) -> Result<Option<V>, Refused<V>>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
        M: Writable<K, V, I>,
    {
        let under = map.map();
        if let Err(error) = self.check(under) {
            return Err(Refused::Transaction { error, value: Some(value) });
        }
        at_work!(self, worker);
        let slot = usable(under, &worker, under.index().slot_for(under.component(), &worker, key));
        match is_wanted(self, &worker, slot) {
            Ok(true) => self.write(map, &worker, slot, Some(value), mark).map(|()| None),
            Ok(false) => Ok(Some(value)),
            Err(error) => Err(Refused::Transaction { error, value: Some(value) }),
        }
    }

    /// Replaces the key's value by what the closure makes of it. Returns whether the key has one.
    ///
    /// # Errors
    /// See [`Transaction`]; from a [`CheckedMap`], [`Refused`] with what the closure made.
    ///
    /// # Examples
    /// See [`Store::transact`](crate::Store::transact).
    pub fn update<K, V, I, Q, M>(
        &mut self,
        map: &'s M,
        key: &Q,
        change: impl FnOnce(&V) -> V,
    ) -> Result<bool, M::Refused>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Lookup<K, Q>,
        Q: ToOwned<Owned = K> + ?Sized,
        M: Writable<K, V, I>,
    {
        let under = map.map();
        self.check(under).map_err(refused)?;
        at_work!(self, worker);
        let slot = slot_of(under, &worker, key);
        let Some(value) = self.value(under, &worker, slot).map_err(refused)? else { return Ok(false) };
        let value = change(value);
        let mark = self.mark(map, None);
        let written = self.write(map, &worker, slot, Some(value), mark);
        written.map(|()| true).map_err(|refused| self.refuse(map, refused))
    }

    /// Sets the value of a key that is absent. Gives the value back if it is not.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// let mut tx = store.begin();
    /// assert_eq!(tx.insert(&map, 1, 10)?, None);
    /// assert_eq!(tx.insert(&map, 1, 11)?, Some(11));
    /// tx.commit()?;
    /// assert_eq!(map.pin().get(&1), Some(&10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn insert<K, V, I, M>(&mut self, map: &'s M, key: K, value: V) -> Result<Option<V>, M::Refused>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
        M: Writable<K, V, I>,
    {
        let mark = self.mark(map, None);
        let is_absent =
            |tx: &Self, worker: &Worker<'_>, slot: &SlotHeader| Ok(tx.value(map.map(), worker, slot)?.is_none());
        self.put_where(map, (key, value), mark, is_absent).map_err(|refused| self.refuse(map, refused))
    }

    /// Removes the key. Returns whether it had a value.
    ///
    /// # Errors
    /// See [`Transaction`]; from a [`CheckedMap`], [`Refused`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let (from, to) = (store.map::<u64, String>("from")?, store.map::<u64, String>("to")?);
    /// from.pin().put(1, "moved".to_owned());
    /// store.transact(|tx| {
    ///     if let Some(value) = tx.get(&from, &1)?.cloned() {
    ///         tx.remove(&from, &1)?;
    ///         tx.put(&to, 1, value)?;
    ///     }
    ///     Ok(())
    /// })?;
    /// assert_eq!((from.len(), to.len()), (0, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove<K, V, I, Q, M>(&mut self, map: &'s M, key: &Q) -> Result<bool, M::Refused>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Lookup<K, Q>,
        Q: ToOwned<Owned = K> + ?Sized,
        M: Writable<K, V, I>,
    {
        let under = map.map();
        self.check(under).map_err(refused)?;
        at_work!(self, worker);
        let slot = slot_of(under, &worker, key);
        let has_value = self.value(under, &worker, slot).map_err(refused)?.is_some();
        if has_value {
            self.write(map, &worker, slot, None, Mark::NONE)?;
        }
        Ok(has_value)
    }

    /// Merges a delta into the key's value, by the function that the map was built with.
    ///
    /// # Consistency
    /// The function sees what the transaction does, its own writes first; it runs again only when the transaction does.
    ///
    /// # Errors
    /// [`Refused::Declined`] with what the function says; else as [`put`](Self::put), with what it made.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{MapOptions, Store};
    ///
    /// let store = Store::new();
    /// let accounts = store.map_with("accounts", MapOptions::<&str, u64>::new()
    ///     .merge(|had, delta: &i64| had.unwrap_or(&0).checked_add_signed(*delta).ok_or("less than nothing")))?;
    /// accounts.pin().merge("ann", &100)?;
    /// let pay = |amount: i64| store.transact(|tx| {
    ///     tx.merge(&accounts, "ann", &-amount)?;
    ///     Ok(tx.merge(&accounts, "bob", &amount)?)
    /// });
    /// assert!(pay(70).is_ok());
    /// assert!(pay(70).unwrap_err().to_string().contains("less than nothing"));
    /// assert_eq!((accounts.pin().get("ann"), accounts.pin().get("bob")), (Some(&30), Some(&70)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn merge<K, V, D, I>(&mut self, map: &'s CheckedMap<K, V, D, I>, key: K, delta: &D) -> Result<(), Refused<V>>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
    {
        let under = map.unchecked();
        self.check(under)?;
        at_work!(self, worker);
        let slot = usable(under, &worker, under.index().slot_for(under.component(), &worker, key));
        let merged = map.checks().merged(self.value(under, &worker, slot)?, delta);
        let value = merged.map_err(|error| Refused::Declined { error })?;
        let mark = self.mark(map, Some(ChangeKind::Merge));
        self.write(map, &worker, slot, Some(value), mark)
    }

    /// Writes a key as a change of some kind; `None` is a removal.
    pub(crate) fn write_as<K, V, I, M>(
        &mut self,
        map: &'s M,
        key: &K,
        value: Option<V>,
        kind: ChangeKind,
    ) -> Result<(), Refused<V>>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Lookup<K, K>,
        M: Writable<K, V, I>,
    {
        if let Err(error) = self.check(map.map()) {
            return Err(Refused::Transaction { error, value });
        }
        at_work!(self, worker);
        let slot = slot_of(map.map(), &worker, key);
        let mark = self.mark(map, Some(kind));
        self.write(map, &worker, slot, value, mark)
    }

    /// Holds the transaction's moment still from now on.
    pub(crate) fn hold_still(&self) -> Result<(), TransactionError> {
        at_work!(self, worker);
        self.hold(&worker).map(|_| ())
    }

    /// As [`write_as`](Self::write_as), of a slot that was found under a pin that the caller still has.
    pub(crate) fn write_in<K, V, I, M>(
        &mut self,
        map: &'s M,
        slot: &SlotHeader,
        value: Option<V>,
        kind: ChangeKind,
    ) -> Result<(), Refused<V>>
    where
        M: Writable<K, V, I>,
    {
        at_work!(self, worker);
        let mark = self.mark(map, Some(kind));
        self.write(map, &worker, slot, value, mark)
    }

    /// The version that the transaction sees in a slot, which was found as for [`write_in`](Self::write_in); none if the key is absent. That of a write of
    /// its own is no other's.
    pub(crate) fn sees<K, V, I>(
        &self,
        map: &'s Map<K, V, I>,
        slot: &SlotHeader,
    ) -> Result<Option<Version>, TransactionError> {
        self.check(map)?;
        at_work!(self, worker);
        let seen = self.look(map, &worker, slot)?;
        let seen = seen.filter(|version| self.live(map, version).is_some());
        Ok(seen.map(|version| version.stamp().version()))
    }

    /// What a write says of itself: its kind, and when the key expires by the map's own time.
    fn mark<K, V, I>(&self, map: &impl Writable<K, V, I>, kind: Option<ChangeKind>) -> Mark {
        let ttl = map.judge().and_then(Judge::default_ttl);
        let expires = ttl.map_or(NEVER, |ttl| self.store.engine().time.now().saturating_add(ttl));
        Mark { kind, expires, ..Mark::NONE }
    }
}

/// An operation had nothing to give back yet.
fn refused<V>(error: TransactionError) -> Refused<V> {
    error.into()
}

/// The key's slot, made if there is none.
#[inline]
fn slot_of<'g, K, V, I, Q>(map: &'g Map<K, V, I>, worker: &Worker<'g>, key: &Q) -> &'g SlotHeader
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Lookup<K, Q>,
    Q: ToOwned<Owned = K> + ?Sized,
{
    let found = map.index().find_to_remember(map.component(), key);
    usable(map, worker, found.unwrap_or_else(|| map.index().slot_for(map.component(), worker, key.to_owned())))
}

/// A slot, or another one for its key if it is out of use.
#[inline]
fn usable<'g, K, V, I>(map: &'g Map<K, V, I>, worker: &Worker<'g>, slot: &'g SlotHeader) -> &'g SlotHeader
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    if let Head::Purged = slot.head().1 { replaced(map, worker, slot) } else { slot }
}

#[cold]
fn replaced<'g, K, V, I>(map: &'g Map<K, V, I>, worker: &Worker<'g>, mut slot: &'g SlotHeader) -> &'g SlotHeader
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    while let Head::Purged = slot.head().1 {
        map.component().unlink(slot, |garbage| worker.retire(garbage));
        // SAFETY: purged, and not reclaimed under the worker's pin.
        let key: &K = unsafe { Slot::<K>::key(slot) };
        slot = map.index().slot_for(map.component(), worker, key.clone());
    }
    slot
}
