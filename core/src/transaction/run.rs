//! Where transactions begin: on a store.

use std::hint;

use crate::Store;
use crate::transaction::moment::Begin;
use crate::transaction::{Failure, Isolation, Transaction, TransactionError, TransactionOptions};
use crate::tuning::OPEN_ATTEMPTS;

/// After so many lost attempts in a row a thread waits no longer before the next one than after these.
const BACKOFF_MAX: u32 = 6;

impl Store {
    /// Does what the closure does to any maps and cells of the store as one step, or not at all. Runs the closure again if another writer
    /// was faster.
    ///
    /// # Consistency
    /// Strictly serializable: see [`Isolation`](crate::Isolation). Within the closure all reads are of one moment, and show the
    /// transaction's own writes. What the closure has decided counts only if what it has read is of one moment, also if it refuses.
    ///
    /// # Progress
    /// Lock-free: a thread that is stopped anywhere in its commit holds up nobody; whoever meets what it has begun brings it to its end.
    /// A transaction begins again only if another writer has got on; one that writes nothing, a few times at most. The thread is pinned while
    /// the closure runs: keep it short.
    ///
    /// # Cost
    /// For each key a lookup, and for each written one what a write costs; for the whole some three compare-and-swaps more, and that of a
    /// snapshot if it touches more than some few keys. A transaction that touches one key is a plain write.
    ///
    /// # Errors
    /// What the closure returns; it passes on what the operations return. [`TransactionError::Conflict`] never comes from here.
    ///
    /// # Panics
    /// If the closure does: then nothing has changed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let accounts = store.map::<&str, i64>("accounts")?;
    /// let transfers = store.cell("transfers", 0_u64)?;
    /// accounts.pin().put("alice", 100);
    /// accounts.pin().put("bob", 0);
    ///
    /// store.transact(|tx| {
    ///     let from = *tx.get(&accounts, &"alice")?.unwrap_or(&0);
    ///     if from < 30 {
    ///         return Err(tx.abort());
    ///     }
    ///     tx.put(&accounts, "alice", from - 30)?;
    ///     tx.update(&accounts, &"bob", |had| had + 30)?;
    ///     tx.modify(&transfers, |n| n + 1)
    /// })?;
    /// assert_eq!((accounts.pin().get("alice"), accounts.pin().get("bob")), (Some(&70), Some(&30)));
    /// assert_eq!(*transfers.load(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn transact<'s, R>(
        &'s self,
        body: impl FnMut(&mut Transaction<'s>) -> Result<R, TransactionError>,
    ) -> Result<R, TransactionError> {
        self.try_transact(TransactionOptions::new(), body)
    }

    /// As [`transact`](Self::transact), done as the options say.
    ///
    /// # Errors
    /// As there, and what the options bound.
    ///
    /// # Examples
    /// See [`TransactionOptions`].
    pub fn transact_with<'s, R>(
        &'s self,
        options: TransactionOptions,
        body: impl FnMut(&mut Transaction<'s>) -> Result<R, TransactionError>,
    ) -> Result<R, TransactionError> {
        self.try_transact(options, body)
    }

    /// As [`transact_with`](Self::transact_with), with a closure that may refuse with an error of its own; then nothing changes.
    ///
    /// # Errors
    /// As there, and the closure's own.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// use stillpoint::{Store, TransactionError, TransactionOptions};
    ///
    /// #[derive(Debug, PartialEq)]
    /// enum Refused {
    ///     SoldOut,
    ///     Failed(TransactionError),
    /// }
    ///
    /// impl From<TransactionError> for Refused {
    ///     fn from(error: TransactionError) -> Self {
    ///         Self::Failed(error)
    ///     }
    /// }
    ///
    /// let store = Store::new();
    /// let stock = store.map::<&str, u32>("stock")?;
    /// stock.pin().put("apples", 0);
    /// let sold = store.try_transact(TransactionOptions::new(), |tx| {
    ///     let left = *tx.get(&stock, &"apples")?.unwrap_or(&0);
    ///     tx.put(&stock, "apples", left.checked_sub(1).ok_or(Refused::SoldOut)?)?;
    ///     Ok(())
    /// });
    /// assert_eq!(sold, Err(Refused::SoldOut));
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_transact<'s, R, E: From<TransactionError>>(
        &'s self,
        options: TransactionOptions,
        mut body: impl FnMut(&mut Transaction<'s>) -> Result<R, E>,
    ) -> Result<R, E> {
        let deadline = Transaction::deadline(&options);
        let session = self.engine().session();
        let may_open = options.isolation == Isolation::Serializable;
        for attempt in 0.. {
            // One pin for all that the attempt does.
            let _guard = session.pin();
            let begin = if may_open && attempt < OPEN_ATTEMPTS { Begin::Open } else { Begin::AtMoment };
            let mut transaction = Transaction::begin(self, options, deadline, begin)?;
            let _attempt = session.attempt(transaction.id.number);
            match body(&mut transaction) {
                Ok(done) => match transaction.finish() {
                    Ok(()) => return Ok(done),
                    Err(Failure::Lost(_)) => {}
                    Err(Failure::Refused(error)) => return Err(error.into()),
                },
                Err(_) if transaction.has_lost() => {}
                Err(error) => return Err(error),
            }
            (0..1_u32 << BACKOFF_MAX.min(attempt)).for_each(|_| hint::spin_loop());
        }
        unreachable!("attempts are not bounded")
    }

    /// Begins a transaction, to be [committed](Transaction::commit) by hand.
    ///
    /// It holds no pin between calls, and may be kept and sent to another thread; like a snapshot it holds back the memory of older values.
    /// Dropping it gives it up.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::TransactionError;
    ///
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// map.pin().put(1, 10);
    ///
    /// let mut tx = store.begin();
    /// tx.update(&map, &1, |n| n + 1)?;
    /// map.pin().put(1, 20);                          // another writer
    /// let Err(TransactionError::Conflict(conflict)) = tx.commit() else { panic!("it has lost") };
    /// assert_eq!(conflict.component, "map");
    /// assert_eq!(map.pin().get(&1), Some(&20));
    /// # Ok(())
    /// # }
    /// ```
    pub fn begin(&self) -> Transaction<'_> {
        match self.begin_with(TransactionOptions::new()) {
            Ok(transaction) => transaction,
            Err(error) => unreachable!("there is no bound: {error}"),
        }
    }

    /// As [`begin`](Self::begin), done as the options say.
    ///
    /// # Errors
    /// [`TransactionError::TooManyTransactions`].
    ///
    /// # Examples
    /// ```
    /// use stillpoint::{Store, TransactionOptions};
    /// let store = Store::new();
    /// let alone = TransactionOptions::new().live_max(1);
    /// let first = store.begin_with(alone);
    /// assert!(first.is_ok() && store.begin_with(alone).is_err());
    /// drop(first);
    /// assert!(store.begin_with(alone).is_ok());
    /// ```
    pub fn begin_with(&self, options: TransactionOptions) -> Result<Transaction<'_>, TransactionError> {
        Transaction::begin(self, options, Transaction::deadline(&options), Begin::AtMoment)
    }
}
