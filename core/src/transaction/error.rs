//! What can keep a transaction from being committed.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::{HistoryError, Version};

/// A transaction was not committed, and has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionError {
    /// Another writer was faster. Begin again: [`Store::transact`](crate::Store::transact) does by itself.
    Conflict(TransactionConflict),
    /// The transaction's own code has [given it up](crate::Transaction::abort).
    Aborted,
    /// A map or cell is of another store than the transaction.
    ForeignStore {
        /// The name of the map or cell.
        component: String,
    },
    /// The map is being restored, and does not know the key yet: bring it in first, or wait until the map is whole.
    Restoring {
        /// The map's name.
        component: String,
    },
    /// The cell was registered after the transaction began. Begin again.
    Unborn {
        /// The cell's name.
        component: String,
    },
    /// The transaction touches more keys than it may. Allow more, or do it in parts.
    TooManyKeys {
        /// The limit.
        limit: usize,
    },
    /// As many transactions with a limit are live as this one's allows. Try again later.
    TooManyTransactions {
        /// The limit.
        limit: usize,
    },
    /// The transaction took longer than it may.
    TimedOut {
        /// How long it might take.
        limit: Duration,
    },
    /// History could not be read, or brought back.
    History(HistoryError),
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(conflict) => conflict.fmt(f),
            Self::Aborted => write!(f, "the transaction was given up by its own code"),
            Self::ForeignStore { component } => {
                write!(f, "component {component:?} belongs to another store than the transaction")
            }
            Self::Restoring { component } => {
                write!(f, "map {component:?} is being restored and does not know the key yet: bring it in first")
            }
            Self::Unborn { component } => {
                write!(f, "cell {component:?} was registered after the transaction began: begin again")
            }
            Self::TooManyKeys { limit } => write!(f, "the transaction touches more than {limit} keys"),
            Self::TooManyTransactions { limit } => write!(f, "{limit} transactions are live: try again later"),
            Self::TimedOut { limit } => write!(f, "the transaction took longer than {limit:?}"),
            Self::History(error) => error.fmt(f),
        }
    }
}

impl Error for TransactionError {}

/// On which key a transaction lost, and against what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionConflict {
    /// The name of the map or cell.
    pub component: String,
    /// The hash of the key, as the map takes it; zero on an ordered map, which hashes nothing.
    pub hash: u64,
    /// The version that the key had when the conflict was found; `None` if it was absent.
    pub found: Option<Version>,
}

impl fmt::Display for TransactionConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { component, hash, found } = self;
        write!(f, "another writer changed the key with hash {hash:016x} of component {component:?}")?;
        match found {
            Some(version) => write!(f, ", which is at version {version}: begin again"),
            None => write!(f, ", which is absent: begin again"),
        }
    }
}

impl Error for TransactionConflict {}
