//! Cells: one value by name.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::map::{Map, MapPin};
use crate::raw::session::Session;
use crate::raw::slot::SlotHeader;
use crate::sync::Guard;
use crate::{AnyCell, Conflict, Cut, ForeignStore, Snapshot, Version, Versioned};

/// One value of a [`Store`](crate::Store), read often and replaced whole. See [`Store::cell`](crate::Store::cell).
///
/// A handle, cheap to clone; all clones are the same cell. It is a component like a map: snapshots see it together with the maps, and
/// its versions are of the same clock.
///
/// # Consistency
/// Every operation is linearizable.
///
/// # Progress
/// Lock-free. Closures may run again after a race, and run outside the critical steps: one that panics leaves the cell as it was.
pub struct Cell<S> {
    map: Map<(), S>,
    /// The slot of the one key that the map has. The key is never removed, so the slot never becomes another's.
    slot: NonNull<SlotHeader>,
}

// SAFETY: a slot is shared between threads by atomics, and lives as long as its map; values go from thread to thread.
unsafe impl<S: Send + Sync> Send for Cell<S> {}
// SAFETY: as above.
unsafe impl<S: Send + Sync> Sync for Cell<S> {}

impl<S: Send + Sync + 'static> Cell<S> {
    /// Takes a map with at most one key for a cell, and puts the initial value in if there is none.
    pub(crate) fn new(map: Map<(), S>, initial: S) -> Self {
        // Who lost a race for the first value takes the winner's.
        let _ = map.pin().insert((), initial);
        match Self::found(map) {
            Some(cell) => cell,
            None => unreachable!("{NEVER_EMPTY}"),
        }
    }

    /// Takes a map that has the one key for a cell; none if it has not.
    pub(crate) fn found(map: Map<(), S>) -> Option<Self> {
        let pin = map.pin();
        let slot = pin.find(&()).filter(|slot| pin.versioned_at(slot).is_some()).map(NonNull::from)?;
        drop(pin);
        Some(Self { map, slot })
    }

    /// Pins the calling thread for many operations; see [`Map::pin`](crate::Map::pin).
    ///
    /// # Cost
    /// As for a map. Under a pin a [`get`](CellPin::get) is a few loads.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let limit = store.cell("limit", 100_u64)?;
    /// let pin = limit.pin();
    /// assert!((0..100).all(|n| n < *pin.get()));
    /// # Ok(())
    /// # }
    /// ```
    #[inline(always)]
    pub fn pin(&self) -> CellPin<'_, S> {
        // SAFETY: the slot lives as long as its map, and the key in it is never removed.
        CellPin { pin: self.map.pin(), slot: unsafe { self.slot.as_ref() } }
    }

    /// Reads the value, under a pin that goes with what is returned.
    ///
    /// # Cost
    /// A pin, and a few loads. Allocates nothing, and writes nothing shared.
    ///
    /// # Examples
    /// See [`Store::cell`](crate::Store::cell).
    #[inline(always)]
    pub fn load(&self) -> Loaded<'_, S> {
        let pin = self.pin();
        let seen = pin.versioned();
        let (value, version) = (NonNull::from(seen.value()), seen.version());
        // In parts: a pin that is moved as a whole, just after its parts were stored, waits for them.
        let (guard, session) = pin.pin.into_parts();
        Loaded { value, version, _guard: guard, _session: session, cell: PhantomData }
    }

    /// Sets the value, whatever it was, and returns the new version.
    ///
    /// # Examples
    /// See [`Store::cell`](crate::Store::cell).
    pub fn set(&self, value: S) -> Version {
        self.pin().set(value)
    }

    /// Replaces the value by what the closure makes of it, and returns the new version.
    ///
    /// The closure runs again if another thread has changed the value meanwhile.
    ///
    /// # Examples
    /// See [`Store::cell`](crate::Store::cell).
    pub fn update(&self, change: impl FnMut(&S) -> S) -> Version {
        self.pin().update(change).version()
    }
}

impl<S> Cell<S> {
    /// The cell's name in its store.
    pub fn name(&self) -> &str {
        self.map.name()
    }

    /// The map that holds the one value.
    pub(crate) fn map(&self) -> &Map<(), S> {
        &self.map
    }
}

impl<S> Clone for Cell<S> {
    fn clone(&self) -> Self {
        Self { map: self.map.clone(), slot: self.slot }
    }
}

impl<S> fmt::Debug for Cell<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// A pinned cell: where the operations are. See [`Cell::pin`].
pub struct CellPin<'c, S> {
    pin: MapPin<'c, (), S>,
    slot: &'c SlotHeader,
}

impl<S: Send + Sync + 'static> CellPin<'_, S> {
    /// The value.
    #[inline]
    pub fn get(&self) -> &S {
        self.versioned().value()
    }

    /// The value and its version.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let limit = store.cell("limit", 100_u64)?;
    /// let version = limit.set(200);
    /// assert_eq!(limit.pin().versioned().version(), version);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn versioned(&self) -> Versioned<'_, S> {
        let Some(seen) = self.pin.versioned_at(self.slot) else { unreachable!("{NEVER_EMPTY}") };
        seen
    }

    /// Sets the value, whatever it was, and returns the new version.
    ///
    /// # Cost
    /// As [`MapPin::put`](crate::MapPin::put), without the search.
    pub fn set(&self, value: S) -> Version {
        self.pin.put_at(self.slot, value).0
    }

    /// Replaces the value by what the closure makes of it, and returns the new one.
    ///
    /// The closure runs again if another thread has changed the value meanwhile.
    pub fn update(&self, mut change: impl FnMut(&S) -> S) -> Versioned<'_, S> {
        match self.try_update(|value| Ok::<S, Infallible>(change(value))) {
            Ok(new) => new,
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
    /// let store = stillpoint::Store::new();
    /// let tickets = store.cell("tickets", 1_u32)?;
    /// let take = || tickets.pin().try_update(|left| left.checked_sub(1).ok_or("sold out")).map(|left| *left);
    /// assert_eq!((take(), take()), (Ok(0), Err("sold out")));
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_update<E>(&self, change: impl FnMut(&S) -> Result<S, E>) -> Result<Versioned<'_, S>, E> {
        let Some(new) = self.pin.try_update_at(self.slot, change)? else { unreachable!("{NEVER_EMPTY}") };
        Ok(new)
    }

    /// Replaces the value if it is at the expected version.
    ///
    /// # Errors
    /// [`Conflict`] with what is there, and the value given back.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let limit = store.cell("limit", 100_u64)?;
    /// let pin = limit.pin();
    /// let seen = pin.versioned().version();
    /// assert!(pin.compare_exchange(seen, 200).is_ok());
    /// let conflict = pin.compare_exchange(seen, 300).unwrap_err();
    /// assert_eq!((conflict.actual.map(|seen| *seen), conflict.value), (Some(200), 300));
    /// # Ok(())
    /// # }
    /// ```
    pub fn compare_exchange(&self, expected: Version, value: S) -> Result<Version, Conflict<'_, S>> {
        self.pin.exchange_at(self.slot, |seen| seen.version() == expected, value)
    }
}

impl<'c, S> CellPin<'c, S> {
    /// The pinned map that holds the one value.
    pub(crate) fn as_map(&self) -> &MapPin<'c, (), S> {
        &self.pin
    }

    pub(crate) fn slot(&self) -> &'c SlotHeader {
        self.slot
    }
}

impl<S> fmt::Debug for CellPin<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CellPin").field("name", &self.pin.map().name()).finish_non_exhaustive()
    }
}

/// A cell's value, and the pin that keeps it. Dereferences to the value. See [`Cell::load`].
///
/// Keep it for a moment, not across waiting: like every pin, it holds back the reclamation of what is replaced meanwhile.
pub struct Loaded<'c, S> {
    value: NonNull<S>,
    version: Version,
    // Before the session: a guard must not outlive its handle.
    _guard: Guard,
    _session: Rc<Session>,
    cell: PhantomData<&'c Cell<S>>,
}

impl<S> Loaded<'_, S> {
    /// The value's version.
    pub fn version(&self) -> Version {
        self.version
    }
}

impl<S> Deref for Loaded<'_, S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        // SAFETY: met under the pin, which lives as long as this: not reclaimed until then.
        unsafe { self.value.as_ref() }
    }
}

impl<S: fmt::Debug> fmt::Debug for Loaded<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("value", &**self).field("version", &self.version).finish()
    }
}

impl Snapshot {
    /// Returns the value that a cell had, and its version; `None` if the cell did not exist.
    ///
    /// # Errors
    /// [`ForeignStore`] if the cell is of another store.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let limit = store.cell("limit", 100_u64)?;
    /// let version = limit.set(200);
    /// let still = store.snapshot();
    /// limit.set(300);
    /// let seen = still.versioned(&limit)?.unwrap();
    /// assert_eq!((*seen, seen.version()), (200, version));
    /// # Ok(())
    /// # }
    /// ```
    pub fn versioned<'s, S>(&'s self, cell: &'s impl AnyCell<S>) -> Result<Option<Versioned<'s, S>>, ForeignStore>
    where
        S: Send + Sync + 'static,
    {
        let cell = cell.cell();
        // SAFETY: the slot lives as long as its map.
        let slot = unsafe { cell.slot.as_ref() };
        Ok(self.of(&cell.map)?.versioned_at(slot))
    }

    /// Returns the value that a cell had; `None` if the cell did not exist.
    ///
    /// # Panics
    /// If the cell is of another store; [`versioned`](Self::versioned) returns an error instead.
    ///
    /// # Examples
    /// See [`Store::cell`](crate::Store::cell).
    #[track_caller]
    pub fn load<'s, S>(&'s self, cell: &'s impl AnyCell<S>) -> Option<&'s S>
    where
        S: Send + Sync + 'static,
    {
        match self.versioned(cell) {
            Ok(seen) => seen.map(Versioned::value),
            Err(foreign) => panic!("{foreign}"),
        }
    }
}

impl Cut {
    /// The value that a cell has at the cut, if it has changed; `None` also for a cell of another store.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let (limit, other) = (store.cell("limit", 100_u64)?, store.cell("other", 0_u64)?);
    /// let mut consumer = store.consumer();
    /// limit.set(200);
    /// let cut = consumer.cut();
    /// assert_eq!(cut.changed(&limit).map(|new| *new), Some(200));
    /// assert!(cut.changed(&other).is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn changed<'c, S: Send + Sync + 'static>(&'c self, cell: &'c impl AnyCell<S>) -> Option<Versioned<'c, S>> {
        let change = self.changes(cell.cell().map()).next()?;
        Some(Versioned::new(change.value?, change.version))
    }
}

const NEVER_EMPTY: &str = "a cell has a value from its registration on";
