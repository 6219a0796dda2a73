//! Cells in transactions.

use crate::transaction::{Transaction, TransactionError};
use crate::{AnyCell, CheckedCell, Refused};

impl<'s> Transaction<'s> {
    /// Returns a cell's value.
    ///
    /// # Errors
    /// See [`Transaction`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let (low, high) = (store.cell("low", 1_u64)?, store.cell("high", 2_u64)?);
    /// store.transact(|tx| {
    ///     let (was_low, was_high) = (*tx.load(&low)?, *tx.load(&high)?);
    ///     tx.set(&low, was_high)?;
    ///     tx.set(&high, was_low)
    /// })?;
    /// assert_eq!((*low.load(), *high.load()), (2, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn load<S: Send + Sync + 'static>(&self, cell: &'s impl AnyCell<S>) -> Result<&S, TransactionError> {
        match self.get(cell, &())? {
            Some(value) => Ok(value),
            // It was registered after the transaction began.
            None => Err(TransactionError::Unborn { component: cell.cell().name().to_owned() }),
        }
    }

    /// Sets a cell's value, whatever it was.
    ///
    /// # Errors
    /// See [`Transaction`]; from a [`CheckedCell`], [`Refused`], which gives the value back.
    ///
    /// # Examples
    /// See [`load`](Self::load).
    pub fn set<S, C>(&mut self, cell: &'s C, value: S) -> Result<(), C::Refused>
    where
        S: Send + Sync + 'static,
        C: AnyCell<S>,
    {
        self.put(cell, (), value)
    }

    /// Replaces a cell's value by what the closure makes of it.
    ///
    /// # Errors
    /// As [`set`](Self::set), with what the closure made.
    ///
    /// # Examples
    /// See [`Store::transact`](crate::Store::transact).
    pub fn modify<S, C>(&mut self, cell: &'s C, change: impl FnOnce(&S) -> S) -> Result<(), C::Refused>
    where
        S: Send + Sync + 'static,
        C: AnyCell<S>,
    {
        let value = change(self.load(cell).map_err(Refused::from)?);
        self.set(cell, value)
    }

    /// Merges a delta into a cell's value, by the function that the cell was built with; see [`merge`](Self::merge).
    ///
    /// # Errors
    /// As [`merge`](Self::merge).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{CellOptions, Store};
    /// let store = Store::new();
    /// let merging = CellOptions::<u64>::new().merge(|had, more: &u64| had.unwrap_or(&0).checked_add(*more).ok_or("too much"));
    /// let sum = store.cell_with("sum", 1, merging)?;
    /// store.transact(|tx| Ok(tx.merge_into(&sum, &2)?))?;
    /// assert_eq!(*sum.load(), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn merge_into<S, D>(&mut self, cell: &'s CheckedCell<S, D>, delta: &D) -> Result<(), Refused<S>>
    where
        S: Send + Sync + 'static,
    {
        self.load(cell)?;
        self.merge(cell.as_map(), (), delta)
    }
}
