//! A cell whose writes are checked.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;

use crate::checked::{CheckedMap, CheckedPin, Refused};
use crate::history::{Back, Revisions};
use crate::{Cell, HistoryError, Loaded, Version, Versioned};

/// A cell that checks its writes: validators, a merge function. See [`Store::cell_with`](crate::Store::cell_with).
///
/// A handle, cheap to clone; all clones are the same cell. It is read like a [`Cell`], also at snapshots and in transactions; its writes may be
/// [refused](Refused).
///
/// # Examples
/// See [`CellOptions`](crate::CellOptions).
pub struct CheckedCell<S, D = Infallible> {
    cell: Cell<S>,
    map: CheckedMap<(), S, D>,
}

impl<S: Send + Sync + 'static, D> CheckedCell<S, D> {
    /// Takes a map with at most one key for a cell, and puts the initial value in if there is none. That value was judged.
    pub(crate) fn new(map: CheckedMap<(), S, D>, initial: S) -> Self {
        Self { cell: Cell::new(map.unchecked().clone(), initial), map }
    }

    /// A cell that has its initial value; none if it has not.
    pub(crate) fn found(map: CheckedMap<(), S, D>) -> Option<Self> {
        Some(Self { cell: Cell::found(map.unchecked().clone())?, map })
    }

    /// Pins the calling thread for many operations; see [`Map::pin`](crate::Map::pin).
    pub fn pin(&self) -> CheckedCellPin<'_, S, D> {
        CheckedCellPin { pin: self.map.pin() }
    }

    /// Reads the value, under a pin that goes with what is returned; see [`Cell::load`].
    pub fn load(&self) -> Loaded<'_, S> {
        self.cell.load()
    }

    /// Sets the value, whatever it was, and returns the new version.
    ///
    /// # Errors
    /// [`Refused::Invalid`], [`Refused::Overloaded`].
    pub fn set(&self, value: S) -> Result<Version, Refused<S>> {
        self.pin().set(value)
    }

    /// Replaces the value by what the closure makes of it, and returns the new version.
    ///
    /// # Errors
    /// As [`set`](Self::set), with what the closure made.
    pub fn update(&self, change: impl FnMut(&S) -> S) -> Result<Version, Refused<S>> {
        Ok(self.pin().update(change)?.version())
    }

    /// Merges a delta into the value, by the function that the cell was built with, and returns the new version.
    ///
    /// # Errors
    /// [`Refused::Declined`] with what the function says; else as [`set`](Self::set), with what it made.
    pub fn merge(&self, delta: &D) -> Result<Version, Refused<S>> {
        Ok(self.pin().merge(delta)?.version())
    }
}

impl<S, D> CheckedCell<S, D> {
    /// The cell's name in its store.
    pub fn name(&self) -> &str {
        self.map.name()
    }

    /// The cell without its checks.
    pub(crate) fn unchecked(&self) -> &Cell<S> {
        &self.cell
    }

    /// The map that holds the one value.
    pub(crate) fn as_map(&self) -> &CheckedMap<(), S, D> {
        &self.map
    }
}

impl<S, D> Clone for CheckedCell<S, D> {
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone(), map: self.map.clone() }
    }
}

impl<S, D> fmt::Debug for CheckedCell<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedCell").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// A pinned checked cell: where the operations are. See [`CheckedCell::pin`].
pub struct CheckedCellPin<'c, S, D = Infallible> {
    pin: CheckedPin<'c, (), S, D>,
}

impl<S: Send + Sync + 'static, D> CheckedCellPin<'_, S, D> {
    /// The value.
    pub fn get(&self) -> &S {
        self.versioned().value()
    }

    /// The value and its version.
    pub fn versioned(&self) -> Versioned<'_, S> {
        let Some(seen) = self.pin.versioned(&()) else { unreachable!("{NEVER_EMPTY}") };
        seen
    }

    /// Sets the value, whatever it was, and returns the new version.
    ///
    /// # Errors
    /// As [`CheckedCell::set`].
    pub fn set(&self, value: S) -> Result<Version, Refused<S>> {
        self.pin.put((), value)
    }

    /// Replaces the value by what the closure makes of it, and returns the new one. The closure runs again if another thread was faster.
    ///
    /// # Errors
    /// As [`CheckedCell::update`].
    pub fn update(&self, change: impl FnMut(&S) -> S) -> Result<Versioned<'_, S>, Refused<S>> {
        Ok(there(self.pin.update(&(), change)?))
    }

    /// As [`update`](Self::update), with a closure that may refuse.
    ///
    /// # Errors
    /// [`Refused::Declined`] with what the closure says; else as [`update`](Self::update).
    pub fn try_update<E>(&self, change: impl FnMut(&S) -> Result<S, E>) -> Result<Versioned<'_, S>, Refused<S>>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Ok(there(self.pin.try_update(&(), change)?))
    }

    /// Merges a delta into the value, and returns the new one.
    ///
    /// # Errors
    /// As [`CheckedCell::merge`].
    pub fn merge(&self, delta: &D) -> Result<Versioned<'_, S>, Refused<S>> {
        self.pin.merge((), delta)
    }

    /// Replaces the value if it is at the expected version.
    ///
    /// # Errors
    /// [`Refused::Conflict`] with what is there; else as [`set`](Self::set).
    pub fn compare_exchange(&self, expected: Version, value: S) -> Result<Version, Refused<S>> {
        self.pin.compare_exchange(&(), expected, value)
    }

    /// The changes of the cell, newest first; see [`MapPin::history`](crate::MapPin::history).
    ///
    /// # Errors
    /// [`HistoryError::NotKept`] if the cell keeps no history.
    pub fn history(&self) -> Result<Revisions<'_, S>, HistoryError> {
        self.pin.history(&())
    }

    /// Brings back what the cell held before, if the validators let it; see [`MapPin::rollback`](crate::MapPin::rollback). A time before the cell was
    /// there is refused.
    ///
    /// # Errors
    /// [`Refused::History`] as there; [`Refused::Invalid`].
    pub fn rollback(&self, back: Back) -> Result<Version, Refused<S>>
    where
        S: Clone,
    {
        self.pin.rollback_of_cell(back)
    }
}

impl<S, D> fmt::Debug for CheckedCellPin<'_, S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckedCellPin").field(&self.pin).finish()
    }
}

fn there<S>(seen: Option<Versioned<'_, S>>) -> Versioned<'_, S> {
    let Some(seen) = seen else { unreachable!("{NEVER_EMPTY}") };
    seen
}

const NEVER_EMPTY: &str = "a cell has a value from its registration on";

#[cfg(not(loom))]
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<CheckedCell<u64, u64>>();
};
