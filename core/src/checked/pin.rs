//! The operations of a checked map.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::checked::{Checked, Proposal, Refused};
use crate::index::{Hashed, Index, Lookup};
use crate::map::MapPin;
use crate::raw::chain::Latest;
use crate::raw::lineage::{ChangeKind, Mark, NEVER};
use crate::raw::slot::SlotHeader;
use crate::raw::unread::Unread;
use crate::time::millis_in;
use crate::{Version, Versioned};

/// A pinned checked map: where the operations are. See [`CheckedMap::pin`](crate::CheckedMap::pin).
///
/// # Consistency
/// Every operation on a key is linearizable, and what its checks have judged is what it replaces.
///
/// # Progress
/// Every operation is lock-free. Validators, merge functions and closures may run again after a race, and run outside the critical
/// steps: one that panics leaves the map as it was.
///
/// # Errors
/// Every write may be [`Refused`]; then the map is as it was, and the value is given back.
pub struct CheckedPin<'m, K, V, D = std::convert::Infallible, I = Hashed> {
    pin: MapPin<'m, K, V, I>,
    checks: &'m Checked<K, V, D>,
}

impl<'m, K, V, D, I> CheckedPin<'m, K, V, D, I> {
    pub(crate) fn new(pin: MapPin<'m, K, V, I>, checks: &'m Checked<K, V, D>) -> Self {
        Self { pin, checks }
    }

    /// The pinned map without its checks.
    pub(crate) fn unchecked(&self) -> &MapPin<'m, K, V, I> {
        &self.pin
    }

    /// How many keys have a value; see [`Map::len`](crate::Map::len).
    pub fn len(&self) -> usize {
        self.pin.len()
    }

    /// Whether no key has a value; see [`Map::len`](crate::Map::len).
    pub fn is_empty(&self) -> bool {
        self.pin.is_empty()
    }
}

impl<K, V, D, I> CheckedPin<'_, K, V, D, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// Returns the key's value; see [`MapPin::get`].
    #[inline]
    pub fn get<Q: ?Sized>(&self, key: &Q) -> Option<&V>
    where
        I: Lookup<K, Q>,
    {
        self.versioned(key).map(Versioned::value)
    }

    /// Returns the key's value and version; see [`MapPin::versioned`].
    #[inline]
    pub fn versioned<Q: ?Sized>(&self, key: &Q) -> Option<Versioned<'_, V>>
    where
        I: Lookup<K, Q>,
    {
        self.versioned_at(self.pin.find(key)?)
    }

    /// Whether the key has a value.
    #[inline]
    pub fn contains<Q: ?Sized>(&self, key: &Q) -> bool
    where
        I: Lookup<K, Q>,
    {
        self.versioned(key).is_some()
    }

    /// Sets the key's value, whatever it was, and returns the new version.
    ///
    /// # Errors
    /// [`Refused::Invalid`], [`Refused::Full`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{MapOptions, Refused, Store};
    /// let map = Store::new().map_with("map", MapOptions::<u64, u64>::new().keys_max(1))?;
    /// let pin = map.pin();
    /// assert!(pin.put(1, 10).is_ok() && pin.put(1, 11).is_ok());
    /// assert!(matches!(pin.put(2, 20), Err(Refused::Full { keys_max: 1, value: 20, .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn put(&self, key: K, value: V) -> Result<Version, Refused<V>> {
        let written = self.write(Target::Key(key), Some(value), self.mark(None), |_, value| Ok(Plan::Write(value)))?;
        Ok(written.version())
    }

    /// As [`put`](Self::put), for so long: then the key expires.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    ///
    /// # Panics
    /// If the map was not built with [`ttl`](crate::MapOptions::ttl).
    ///
    /// # Examples
    /// See [`MapOptions::ttl`](crate::MapOptions::ttl).
    #[track_caller]
    pub fn put_for(&self, key: K, value: V, ttl: Duration) -> Result<Version, Refused<V>> {
        assert!(self.checks.expires(), "the keys of map {:?} do not expire", self.pin.map().name());
        let mark = Mark { expires: self.now().saturating_add(millis_in(ttl)), ..Mark::NONE };
        let written = self.write(Target::Key(key), Some(value), mark, |_, value| Ok(Plan::Write(value)))?;
        Ok(written.version())
    }

    /// Sets the value of a key that is absent.
    ///
    /// # Errors
    /// [`Refused::Conflict`] with what is there; [`Refused::Invalid`], [`Refused::Full`].
    pub fn insert(&self, key: K, value: V) -> Result<Version, Refused<V>> {
        let written =
            self.write(Target::Key(key), Some(value), self.mark(None), |seen, value| match (seen.old, value) {
                (Some(seen), Some(value)) => Err(Refused::Conflict { actual: Some(seen.version()), value }),
                (_, value) => Ok(Plan::Write(value)),
            })?;
        Ok(written.version())
    }

    /// Replaces the key's value by what the closure makes of it. Returns the new value, or `None` if the key is absent.
    ///
    /// # Errors
    /// [`Refused::Invalid`], with what the closure made.
    pub fn update<Q: ?Sized>(
        &self,
        key: &Q,
        mut change: impl FnMut(&V) -> V,
    ) -> Result<Option<Versioned<'_, V>>, Refused<V>>
    where
        I: Lookup<K, Q>,
    {
        self.try_update(key, |value| Ok::<V, std::convert::Infallible>(change(value)))
    }

    /// As [`update`](Self::update), with a closure that may refuse.
    ///
    /// # Errors
    /// [`Refused::Declined`] with what the closure says; [`Refused::Invalid`], with what it made.
    pub fn try_update<Q: ?Sized, E>(
        &self,
        key: &Q,
        mut change: impl FnMut(&V) -> Result<V, E>,
    ) -> Result<Option<Versioned<'_, V>>, Refused<V>>
    where
        I: Lookup<K, Q>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let Some(slot) = self.pin.find(key) else { return Ok(None) };
        let written = self.write(Target::Slot(slot), None, self.mark(None), |seen, _| match seen.old {
            Some(seen) => match change(&seen) {
                Ok(value) => Ok(Plan::Write(Some(value))),
                Err(error) => Err(Refused::Declined { error: error.into() }),
            },
            None => Ok(Plan::Leave),
        })?;
        Ok(written.as_written())
    }

    /// Sets the key's value to what the closure makes of the old one, or of `None` if the key is absent. Returns the new value.
    ///
    /// # Errors
    /// [`Refused::Invalid`], [`Refused::Full`], with what the closure made.
    pub fn upsert(&self, key: K, mut make: impl FnMut(Option<&V>) -> V) -> Result<Versioned<'_, V>, Refused<V>> {
        let plan = |seen: Seen<'_, V>, _| Ok(Plan::Write(Some(make(seen.old.map(Versioned::value)))));
        Ok(self.write(Target::Key(key), None, self.mark(None), plan)?.value())
    }

    /// Merges a delta into the key's value, by the function that the map was built with. Returns the new value.
    ///
    /// # Errors
    /// [`Refused::Declined`] with what the function says; [`Refused::Invalid`], [`Refused::Full`], with what it made.
    ///
    /// # Examples
    /// See [`MapOptions`](crate::MapOptions).
    pub fn merge(&self, key: K, delta: &D) -> Result<Versioned<'_, V>, Refused<V>> {
        let plan = |seen: Seen<'_, V>, _| match self.checks.merged(seen.old.map(Versioned::value), delta) {
            Ok(value) => Ok(Plan::Write(Some(value))),
            Err(error) => Err(Refused::Declined { error }),
        };
        Ok(self.write(Target::Key(key), None, self.mark(Some(ChangeKind::Merge)), plan)?.value())
    }

    /// Replaces the key's value if it is at the expected version.
    ///
    /// # Errors
    /// [`Refused::Conflict`] with what is there; [`Refused::Invalid`].
    pub fn compare_exchange<Q: ?Sized>(&self, key: &Q, expected: Version, value: V) -> Result<Version, Refused<V>>
    where
        I: Lookup<K, Q>,
    {
        let Some(slot) = self.pin.find(key) else {
            return Err(Refused::Conflict { actual: None, value });
        };
        let written = self.write(Target::Slot(slot), Some(value), self.mark(None), |seen, value| match value {
            Some(value) if seen.old.is_none_or(|seen| seen.version() != expected) => {
                Err(Refused::Conflict { actual: seen.old.map(Versioned::version), value })
            }
            value => Ok(Plan::Write(value)),
        })?;
        Ok(written.version())
    }

    /// Removes the key, if the validators let it go. Returns the value that it had.
    ///
    /// # Errors
    /// [`Refused::Invalid`].
    pub fn remove<Q: ?Sized>(&self, key: &Q) -> Result<Option<Versioned<'_, V>>, Refused<V>>
    where
        I: Lookup<K, Q>,
    {
        let Some(slot) = self.pin.find(key) else { return Ok(None) };
        let plan = |seen: Seen<'_, V>, _| Ok(if seen.old.is_some() { Plan::Write(None) } else { Plan::Leave });
        Ok(self.write(Target::Slot(slot), None, self.mark(None), plan)?.old)
    }

    /// Writes what the plan makes of what a slot holds: a value, or a removal.
    pub(crate) fn write_over<'p>(
        &'p self,
        slot: &'p SlotHeader,
        kind: ChangeKind,
        mut plan: impl FnMut(Latest<'p>) -> Result<Option<V>, Refused<V>>,
    ) -> Result<Version, Refused<V>> {
        let plan = |seen: Seen<'p, V>, _| plan(seen.latest).map(Plan::Write);
        let written = self.write(Target::Slot(slot), None, self.mark(Some(kind)), plan)?;
        match written.new {
            Some((version, _)) => Ok(version),
            None => unreachable!("{ALWAYS_WRITES}"),
        }
    }

    /// Writes what the plan makes of what a slot's key holds: a value, a removal, or nothing at all. Says whether it has.
    pub(crate) fn write_unless<'p>(
        &'p self,
        slot: &'p SlotHeader,
        kind: ChangeKind,
        mut plan: impl FnMut(Option<Versioned<'p, V>>) -> Option<Option<V>>,
    ) -> Result<bool, Refused<V>> {
        let plan = |seen: Seen<'p, V>, _| Ok(plan(seen.old).map_or(Plan::Leave, Plan::Write));
        Ok(self.write(Target::Slot(slot), None, self.mark(Some(kind)), plan)?.new.is_some())
    }

    /// What a slot holds now.
    #[inline]
    pub(crate) fn versioned_at<'p>(&'p self, slot: &'p SlotHeader) -> Option<Versioned<'p, V>> {
        let now = self.now();
        self.live(self.pin.worker().latest(slot), now)
    }

    /// Sets the value of a slot's key.
    pub(crate) fn put_at<'p>(&'p self, slot: &'p SlotHeader, value: V) -> Result<Version, Refused<V>> {
        let written =
            self.write(Target::Slot(slot), Some(value), self.mark(None), |_, value| Ok(Plan::Write(value)))?;
        Ok(written.version())
    }

    /// Replaces what a slot holds, if it holds a value.
    pub(crate) fn update_at<'p>(
        &'p self,
        slot: &'p SlotHeader,
        mut change: impl FnMut(&V) -> V,
    ) -> Result<Option<Versioned<'p, V>>, Refused<V>> {
        let plan = |seen: Seen<'p, V>, _| Ok(seen.old.map_or(Plan::Leave, |seen| Plan::Write(Some(change(&seen)))));
        Ok(self.write(Target::Slot(slot), None, self.mark(None), plan)?.as_written())
    }

    /// Does a write: plans it over what the key holds, has it judged, and installs it over exactly that; all again if another was faster.
    ///
    /// The plan gets the spare value: the one given, or the one that came back from a try that was too slow.
    fn write<'p>(
        &'p self,
        target: Target<'p, K>,
        mut spare: Option<V>,
        mark: Mark,
        mut plan: impl FnMut(Seen<'p, V>, Option<V>) -> Result<Plan<V>, Refused<V>>,
    ) -> Result<Written<'p, V>, Refused<V>> {
        let mut slot = match &target {
            Target::Key(key) => self.pin.find_key(key),
            Target::Slot(slot) => Some(*slot),
        };
        loop {
            let now = self.now();
            let seen = slot.map_or(Latest::Empty, |slot| self.pin.worker().latest(slot));
            let old = self.live(seen, now);
            let Plan::Write(mut new) = plan(Seen { latest: seen, old }, spare.take())? else {
                return Ok(Written { old, new: None });
            };
            // What goes is never refused for want of memory.
            if let Some(value) = new.take_if(|_| self.pin.map().engine().admission.refuses()) {
                match self.pin.worker().refusal() {
                    Some(overload) => return Err(Refused::Overloaded { overload, value }),
                    None => new = Some(value),
                }
            }
            let key = match &target {
                Target::Key(key) => key,
                Target::Slot(slot) => self.pin.key_of(slot),
            };
            let proposal = Proposal::new(key, old.map(Versioned::value), new.as_ref());
            if let Err(error) = self.checks.judge(&proposal) {
                return Err(Refused::Invalid { error, value: new });
            }
            let Some(place) = self.checks.place(self.pin.seen(seen).is_some(), new.is_some()) else {
                let Some(value) = new else { unreachable!("a key that goes needs no place") };
                return Err(Refused::Full { keys_max: self.checks.bound(), value });
            };
            let promise = match self.pin.map().component().unread().map(Unread::promise).transpose() {
                Ok(promise) => promise,
                Err(changes) => return Err(Refused::Unread { changes, value: new }),
            };
            // Only what was let pass makes a slot. It was judged as an absent key's.
            let made = match slot {
                Some(slot) if !matches!(seen, Latest::Purged) => Ok(slot),
                Some(purged) => Err(self.pin.renew(purged)),
                None => Err(self.pin.slot_for(key.clone())),
            };
            let (into, seen) = match made {
                Ok(slot) => (slot, seen),
                Err(slot) => (slot, self.pin.worker().latest(slot)),
            };
            slot = Some(into);
            let is_as_judged = made.is_ok() || self.pin.seen(seen).is_none() && !matches!(seen, Latest::Purged);
            if !is_as_judged {
                spare = new;
                continue;
            }
            match self.pin.try_install(into, seen, self.pin.pending_marked(into, new, mark)) {
                Ok(new) => {
                    place.settle();
                    drop(promise);
                    self.pin.worker().tidy();
                    return Ok(Written { old, new: Some(new) });
                }
                Err(new) => spare = new.into_value(),
            }
        }
    }

    /// The time by which an operation judges whether keys have expired: read before what it judges.
    #[inline]
    fn now(&self) -> u64 {
        if self.checks.expires() { self.pin.map().engine().time.now() } else { 0 }
    }

    /// What a slot holds, if it holds a value whose time is not over.
    #[inline]
    fn live<'p>(&'p self, latest: Latest<'p>, now: u64) -> Option<Versioned<'p, V>> {
        let recording = self.pin.map().component().recording();
        match latest {
            Latest::Version(newest) if recording.is_some_and(|recording| recording.is_expired(newest.version, now)) => {
                None
            }
            latest => self.pin.seen(latest),
        }
    }

    /// What a write says of itself: its kind, and when the key expires by the map's own time.
    fn mark(&self, kind: Option<ChangeKind>) -> Mark {
        let expires = self.checks.default_ttl().map_or(NEVER, |ttl| self.now().saturating_add(ttl));
        Mark { kind, expires, ..Mark::NONE }
    }
}

impl<K, V, D, I> fmt::Debug for CheckedPin<'_, K, V, D, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedPin").field("pin", &self.pin).finish_non_exhaustive()
    }
}

/// Where a write goes.
enum Target<'p, K> {
    /// To a key, which may be absent.
    Key(K),
    /// To a key that has a slot; if the slot is out of use, it is absent.
    Slot(&'p SlotHeader),
}

/// What a write has seen.
struct Seen<'p, V> {
    latest: Latest<'p>,
    /// The value, if there is one.
    old: Option<Versioned<'p, V>>,
}

/// What a write makes of what it has seen.
enum Plan<V> {
    /// A value, or a removal.
    Write(Option<V>),
    /// Nothing.
    Leave,
}

/// What came of a write.
struct Written<'p, V> {
    old: Option<Versioned<'p, V>>,
    /// The version that was installed, with its value.
    new: Option<(Version, Option<&'p V>)>,
}

impl<'p, V> Written<'p, V> {
    fn as_written(&self) -> Option<Versioned<'p, V>> {
        let (version, value) = self.new?;
        Some(Versioned::new(value?, version))
    }

    /// The new value, of a write that always has one.
    fn value(&self) -> Versioned<'p, V> {
        let Some(new) = self.as_written() else { unreachable!("{ALWAYS_WRITES}") };
        new
    }

    /// The new version, of a write that always has one.
    fn version(&self) -> Version {
        self.value().version()
    }
}

const ALWAYS_WRITES: &str = "planned with a value, so written or refused";
