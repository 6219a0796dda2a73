//! What can keep a transaction from being committed.

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::raw::commit::Lost;
use crate::raw::component::ErasedKey;
use crate::{HistoryError, Overload, Refused, Store, Version};

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
    /// The store has too much of what it must keep, and was [built](crate::StoreOptions::memory) to refuse writes then. Remove something, or wait.
    Overloaded(Overload),
    /// A checked map has refused a write, and the transaction's code has passed that on.
    Refused(RefusedWrite),
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
            Self::Overloaded(overload) => overload.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl Error for TransactionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Conflict(conflict) => Some(conflict),
            Self::History(error) => Some(error),
            Self::Overloaded(overload) => Some(overload),
            Self::Refused(refused) => refused.source(),
            _ => None,
        }
    }
}

/// What a checked map has [`Refused`], without the value, which only the operation that was refused gives back.
///
/// Equal to its clones only.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use stillpoint::{MapOptions, Refused, Store, TransactionError};
///
/// let store = Store::new();
/// let one = store.map_with("one", MapOptions::<u64, u64>::new().keys_max(1))?;
/// let error = store.transact(|tx| {
///     tx.put(&one, 1, 10)?;
///     Ok(tx.put(&one, 2, 20)?)
/// });
/// let Err(TransactionError::Refused(refused)) = error else { panic!("there is room for one") };
/// assert!(matches!(*refused, Refused::Full { keys_max: 1, .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RefusedWrite(Arc<Refused<()>>);

impl RefusedWrite {
    /// What was refused, without the value.
    pub(crate) fn of<V>(refused: Refused<V>) -> Self {
        Self(Arc::new(refused.without_value()))
    }
}

impl Deref for RefusedWrite {
    type Target = Refused<()>;

    fn deref(&self) -> &Refused<()> {
        &self.0
    }
}

impl PartialEq for RefusedWrite {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RefusedWrite {}

impl fmt::Display for RefusedWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for RefusedWrite {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl<V> From<Refused<V>> for TransactionError {
    fn from(refused: Refused<V>) -> Self {
        match refused {
            Refused::Transaction { error, .. } => error,
            Refused::History(error) => Self::History(error),
            Refused::Overloaded { overload, .. } => Self::Overloaded(overload),
            refused => Self::Refused(RefusedWrite::of(refused)),
        }
    }
}

/// On which key a transaction lost, and against what.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use stillpoint::{Store, TransactionError};
///
/// let store = Store::new();
/// let seats = store.map::<&str, u64>("seats")?;
/// let first = seats.pin().put("12A", 0);
/// let mut tx = store.begin();
/// tx.update(&seats, &"12A", |taken| taken + 1)?;
/// let second = seats.pin().put("12A", 1);
/// let Err(TransactionError::Conflict(conflict)) = tx.commit() else { panic!("it has lost") };
/// assert_eq!((conflict.component.as_str(), conflict.key()), ("seats", Some(&"12A")));
/// assert_eq!((conflict.seen, conflict.found), (Some(first), Some(second)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TransactionConflict {
    /// The name of the map or cell.
    pub component: String,
    /// The hash of the key, as the map takes it; zero on an ordered map, which hashes nothing.
    pub hash: u64,
    key: Option<ErasedKey>,
    /// The version that the transaction had seen of the key, which may be that of a removal; `None` if there was none, or it has not looked.
    pub seen: Option<Version>,
    /// The version that the key had when the conflict was found; `None` if it was absent.
    pub found: Option<Version>,
}

impl TransactionConflict {
    /// What was lost, with the key if it is still there. The caller is pinned.
    pub(super) fn new(store: &Store, lost: Lost) -> Self {
        let (component, key) = (store.name_of(lost.component()), lost.key());
        let Lost { hash, seen, found, .. } = lost;
        Self { component, hash, key, seen, found }
    }

    /// The key, as the map's own type of keys. `None` if that is another one, if a scan has met a new key, or if the map has forgotten the key
    /// meanwhile, as it was absent.
    pub fn key<K: 'static>(&self) -> Option<&K> {
        self.key.as_ref()?.downcast_ref()
    }
}

/// Of the same key, as far as its hash tells, and the same versions.
impl PartialEq for TransactionConflict {
    fn eq(&self, other: &Self) -> bool {
        let Self { component, hash, key: _, seen, found } = self;
        (component, hash, seen, found) == (&other.component, &other.hash, &other.seen, &other.found)
    }
}

impl Eq for TransactionConflict {}

impl fmt::Display for TransactionConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { component, hash, seen, found, .. } = self;
        write!(f, "another writer changed the key with hash {hash:016x} of component {component:?}")?;
        if let Some(version) = seen {
            write!(f, ", seen at version {version}")?;
        }
        match found {
            Some(version) => write!(f, ", which is at version {version}: begin again"),
            None => write!(f, ", which is absent: begin again"),
        }
    }
}

impl Error for TransactionConflict {}
