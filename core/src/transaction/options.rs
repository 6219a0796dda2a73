//! How a transaction is to be done.

use std::time::Duration;

/// What a transaction is protected from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Isolation {
    /// Strictly serializable: all transactions happen as if one after the other, in an order that agrees with time. What was read must be
    /// what is committed when the transaction is.
    #[default]
    Serializable,
    /// All reads are of one moment, and no write of a key since then is lost. What was only read may have changed: two transactions
    /// that each read what the other writes may both be committed (write skew).
    Snapshot,
}

/// How a transaction is to be done. What is not asked for is not there, and costs nothing.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use stillpoint::{Isolation, Store, TransactionError, TransactionOptions};
///
/// let store = Store::new();
/// let map = store.map::<u64, u64>("map")?;
/// let small = TransactionOptions::new().isolation(Isolation::Snapshot).time_out(Duration::from_secs(1)).keys_max(1);
/// let refused = store.transact_with(small, |tx| {
///     tx.put(&map, 1, 10)?;
///     tx.put(&map, 2, 20)
/// });
/// assert_eq!(refused, Err(TransactionError::TooManyKeys { limit: 1 }));
/// assert!(map.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct TransactionOptions {
    pub(super) isolation: Isolation,
    pub(super) time_out: Option<Duration>,
    pub(super) keys_max: Option<usize>,
    pub(super) live_max: Option<usize>,
}

impl TransactionOptions {
    /// Strictly serializable, without limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what the transaction is protected from.
    pub fn isolation(self, isolation: Isolation) -> Self {
        Self { isolation, ..self }
    }

    /// Bounds the time from its beginning to its commit, all attempts together. It is looked at with each operation, and before each
    /// commit: nothing interrupts code that runs.
    pub fn time_out(self, limit: Duration) -> Self {
        Self { time_out: Some(limit), ..self }
    }

    /// Bounds the keys that it reads or writes.
    pub fn keys_max(self, limit: usize) -> Self {
        Self { keys_max: Some(limit), ..self }
    }

    /// Refuses to begin when so many transactions with this bound are live in the store.
    pub fn live_max(self, limit: usize) -> Self {
        Self { live_max: Some(limit), ..self }
    }
}
