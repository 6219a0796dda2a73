//! Why a checked map refuses a write.

use std::error::Error;
use std::fmt;

use crate::{HistoryError, Overload, TransactionError, Version};

/// What a validator, a merge function or a closure says when it refuses.
pub(crate) type Reason = Box<dyn Error + Send + Sync>;

/// A checked map has refused a write, and is as it was. Gives back the value that was not written.
#[non_exhaustive]
pub enum Refused<V> {
    /// A validator has refused what the write would have made of the key. Change the value, or leave the key.
    Invalid {
        /// What the validator says.
        error: Reason,
        /// The value that was not written; `None` if the key was to be removed.
        value: Option<V>,
    },
    /// The merge function, or the closure of the operation, has refused: there was nothing to write.
    Declined {
        /// What it says.
        error: Reason,
    },
    /// The map holds as many keys as it may. Remove one first.
    Full {
        /// The bound.
        keys_max: usize,
        /// The value that was not written.
        value: V,
    },
    /// Whoever subscribes to every change of the map has not read so many of them, which is as many as may wait. Write again when they were
    /// read.
    Unread {
        /// How many changes wait.
        changes: u64,
        /// The value that was not written; `None` if the key was to be removed.
        value: Option<V>,
    },
    /// A conditional write found something else than it expected. Look, and decide anew.
    Conflict {
        /// The version that the key has; `None` if it is absent.
        actual: Option<Version>,
        /// The value that was not written.
        value: V,
    },
    /// What was to be brought back is no longer kept, or never was.
    History(HistoryError),
    /// The store has too much of what it must keep, and was [built](crate::StoreOptions::memory) to refuse writes then. Remove something, or wait.
    Overloaded {
        /// Which bound is passed.
        overload: Overload,
        /// The value that was not written.
        value: V,
    },
    /// The write was one of a transaction, which can't do it, whatever the map says.
    Transaction {
        /// Why.
        error: TransactionError,
        /// The value that was not written; `None` if there was none.
        value: Option<V>,
    },
}

impl<V> Refused<V> {
    /// The value that was not written, if there is one.
    pub fn into_value(self) -> Option<V> {
        match self {
            Self::Invalid { value, .. } | Self::Unread { value, .. } | Self::Transaction { value, .. } => value,
            Self::Declined { .. } | Self::History(_) => None,
            Self::Full { value, .. } | Self::Conflict { value, .. } | Self::Overloaded { value, .. } => Some(value),
        }
    }

    /// The same, without the value.
    pub(crate) fn without_value(self) -> Refused<()> {
        match self {
            Self::Invalid { error, value } => Refused::Invalid { error, value: value.map(drop) },
            Self::Declined { error } => Refused::Declined { error },
            Self::Full { keys_max, value: _ } => Refused::Full { keys_max, value: () },
            Self::Unread { changes, value } => Refused::Unread { changes, value: value.map(drop) },
            Self::Conflict { actual, value: _ } => Refused::Conflict { actual, value: () },
            Self::History(error) => Refused::History(error),
            Self::Overloaded { overload, value: _ } => Refused::Overloaded { overload, value: () },
            Self::Transaction { error, value } => Refused::Transaction { error, value: value.map(drop) },
        }
    }
}

impl<V> fmt::Debug for Refused<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { error, .. } => f.debug_struct("Invalid").field("error", error).finish_non_exhaustive(),
            Self::Declined { error } => f.debug_struct("Declined").field("error", error).finish(),
            Self::Full { keys_max, .. } => f.debug_struct("Full").field("keys_max", keys_max).finish_non_exhaustive(),
            Self::Unread { changes, .. } => f.debug_struct("Unread").field("changes", changes).finish_non_exhaustive(),
            Self::Conflict { actual, .. } => f.debug_struct("Conflict").field("actual", actual).finish_non_exhaustive(),
            Self::History(error) => f.debug_tuple("History").field(error).finish(),
            Self::Overloaded { overload, .. } => {
                f.debug_struct("Overloaded").field("overload", overload).finish_non_exhaustive()
            }
            Self::Transaction { error, .. } => {
                f.debug_struct("Transaction").field("error", error).finish_non_exhaustive()
            }
        }
    }
}

impl<V> fmt::Display for Refused<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { error, .. } => write!(f, "a validator has refused the write: {error}"),
            Self::Declined { error } => write!(f, "there was nothing to write: {error}"),
            Self::Full { keys_max, .. } => {
                write!(f, "the map holds {keys_max} keys, as many as it may: remove one first")
            }
            Self::Unread { changes, .. } => {
                write!(f, "{changes} changes wait to be read, as many as may: write again when a subscriber has read")
            }
            Self::Conflict { actual: Some(version), .. } => {
                write!(f, "the key is at version {version}: read it and try again")
            }
            Self::Conflict { actual: None, .. } => write!(f, "the key is absent: insert it, or leave it"),
            Self::History(error) => error.fmt(f),
            Self::Overloaded { overload, .. } => overload.fmt(f),
            Self::Transaction { error, .. } => error.fmt(f),
        }
    }
}

impl<V> From<HistoryError> for Refused<V> {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}

impl<V> From<TransactionError> for Refused<V> {
    fn from(error: TransactionError) -> Self {
        Self::Transaction { error, value: None }
    }
}

impl<V> Error for Refused<V> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid { error, .. } | Self::Declined { error } => Some(error.as_ref()),
            Self::History(error) => Some(error),
            Self::Overloaded { overload, .. } => Some(overload),
            Self::Transaction { error, .. } => Some(error),
            Self::Full { .. } | Self::Unread { .. } | Self::Conflict { .. } => None,
        }
    }
}
