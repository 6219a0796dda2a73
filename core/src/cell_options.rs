//! What a cell is built with.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;

use crate::checked::{Checked, Checking, Unchecked};
use crate::{History, MapOptions};

/// What a cell checks and keeps. See [`Store::cell_with`](crate::Store::cell_with).
///
/// A check makes the cell a [`CheckedCell`](crate::CheckedCell), whose writes may be refused; without one it is a [`Cell`](crate::Cell).
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use stillpoint::{CellOptions, History, Store};
///
/// let store = Store::new();
/// let options = CellOptions::<u64>::new()
///     .history(History::last(3))
///     .validate(|old, new| if old.is_some_and(|old| new < old) { Err("falls") } else { Ok(()) })
///     .merge(|had, more: &u64| had.unwrap_or(&0).checked_add(*more).ok_or("overflows"));
/// let level = store.cell_with("level", 1, options)?;
/// level.merge(&4)?;
/// assert_eq!(level.set(2).unwrap_err().into_value(), Some(2));
/// assert!(level.merge(&u64::MAX).is_err());
/// assert_eq!((*level.load(), level.pin().history()?.count()), (5, 2));
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct CellOptions<S, C = Unchecked> {
    pub(crate) of_map: MapOptions<(), S, C>,
}

impl<S> CellOptions<S> {
    /// No checks, and no history.
    pub fn new() -> Self {
        Self { of_map: MapOptions::new() }
    }
}

impl<S> Default for CellOptions<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// A cell that keeps history, and checks nothing.
impl<S: Clone> From<History> for CellOptions<S> {
    fn from(history: History) -> Self {
        Self::new().history(history)
    }
}

impl<S, C> CellOptions<S, C> {
    /// Keeps so much history; see [`MapOptions::history`].
    pub fn history(self, history: History) -> Self
    where
        S: Clone,
    {
        Self { of_map: self.of_map.history(history) }
    }

    /// Keeps every change until all who subscribe to every change have read it, within a bound; see [`MapOptions::every_change`].
    ///
    /// # Examples
    /// See [`Cell::subscribe`](crate::Cell::subscribe).
    pub fn every_change(self, bytes_max: usize) -> Self {
        Self { of_map: self.of_map.every_change(bytes_max) }
    }
}

impl<S, C: Checking<(), S>> CellOptions<S, C> {
    /// Lets a write pass only if the validator does, which sees the value that the cell has, or none for the initial one, and the new one. See
    /// [`MapOptions::validate`].
    pub fn validate<E>(
        self,
        validator: impl Fn(Option<&S>, &S) -> Result<(), E> + Send + Sync + 'static,
    ) -> CellOptions<S, Checked<(), S, C::Delta>>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let of_map = self.of_map.validate(move |write| write.new.map_or(Ok(()), |new| validator(write.old, new)));
        CellOptions { of_map }
    }

    /// As [`every_change`](Self::every_change), but when so many bytes wait for a subscriber, writes are refused until it has read; see
    /// [`MapOptions::every_change_or_refuse`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{CellOptions, Feed, Refused, Store};
    /// let store = Store::new();
    /// let level = store.cell_with("level", 1_u64, CellOptions::new().every_change_or_refuse(128 + 8))?;
    /// let mut subscriber = level.subscribe(Feed::every())?;
    /// level.set(2)?;
    /// assert!(matches!(level.set(3), Err(Refused::Unread { changes: 1, .. })));
    /// assert_eq!(subscriber.poll()?.unwrap().len(), 1);
    /// level.set(3)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn every_change_or_refuse(self, bytes_max: usize) -> CellOptions<S, Checked<(), S, C::Delta>> {
        CellOptions { of_map: self.of_map.every_change_or_refuse(bytes_max) }
    }
}

impl<S, C: Checking<(), S, Delta = Infallible>> CellOptions<S, C> {
    /// Gives the cell a function that makes a value of the one that it has and a delta; see [`MapOptions::merge`].
    pub fn merge<D, E>(
        self,
        merge: impl Fn(Option<&S>, &D) -> Result<S, E> + Send + Sync + 'static,
    ) -> CellOptions<S, Checked<(), S, D>>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        CellOptions { of_map: self.of_map.merge(merge) }
    }
}

impl<S, C: fmt::Debug> fmt::Debug for CellOptions<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CellOptions").field(&self.of_map).finish()
    }
}
