//! Cells in transactions.

use crate::Cell;
use crate::transaction::{Transaction, TransactionError};

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
    pub fn load<S: Send + Sync + 'static>(&self, cell: &'s Cell<S>) -> Result<&S, TransactionError> {
        match self.get(cell.map(), &())? {
            Some(value) => Ok(value),
            // It was registered after the transaction began.
            None => Err(TransactionError::Unborn { component: cell.name().to_owned() }),
        }
    }

    /// Sets a cell's value, whatever it was.
    ///
    /// # Errors
    /// See [`Transaction`].
    ///
    /// # Examples
    /// See [`load`](Self::load).
    pub fn set<S: Send + Sync + 'static>(&mut self, cell: &'s Cell<S>, value: S) -> Result<(), TransactionError> {
        self.put(cell.map(), (), value)
    }

    /// Replaces a cell's value by what the closure makes of it.
    ///
    /// # Errors
    /// See [`Transaction`].
    ///
    /// # Examples
    /// See [`Store::transact`](crate::Store::transact).
    pub fn modify<S: Send + Sync + 'static>(
        &mut self,
        cell: &'s Cell<S>,
        change: impl FnOnce(&S) -> S,
    ) -> Result<(), TransactionError> {
        let value = change(self.load(cell)?);
        self.set(cell, value)
    }
}
