//! Bringing a whole store back.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::history::{Past, Rewound};
use crate::tuning::ROLLBACK_KEYS;
use crate::{HistoryError, RefusedWrite, Store, TransactionError, TransactionOptions};

/// What of a rollback of a store happens at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RollbackStep {
    /// All of it, as one transaction, which touches so many keys at most. It begins again when another writer is faster, so on a store
    /// that is written much it may take long.
    Whole {
        /// The bound.
        keys_max: usize,
    },
    /// Each key by itself: for stores of any size, and beside any writers. Whoever looks meanwhile sees some keys that are brought back and
    /// some that are not yet.
    EachKey,
}

impl Default for RollbackStep {
    fn default() -> Self {
        Self::Whole { keys_max: ROLLBACK_KEYS }
    }
}

/// What becomes of components of which the moment is not known, in a rollback of a store: those that keep no history, and cells that were
/// registered after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WithoutHistory {
    /// Nothing is brought back, and the error names them.
    #[default]
    Refuse,
    /// They stay as they are.
    Leave,
}

/// How a store is brought back. See [`Store::rollback_with`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct RollbackOptions {
    step: RollbackStep,
    without_history: WithoutHistory,
}

impl RollbackOptions {
    /// All in one step, of 65,536 keys at most, and nothing if a component keeps no history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what happens at once.
    pub fn step(self, step: RollbackStep) -> Self {
        Self { step, ..self }
    }

    /// Sets what becomes of components of which the moment is not known.
    pub fn without_history(self, without_history: WithoutHistory) -> Self {
        Self { without_history, ..self }
    }
}

impl Store {
    /// Brings the whole store back to a moment of the past, in one step: what maps, ordered maps and cells held then is written again, as new
    /// versions, since history goes forward only. Returns how many keys have changed.
    ///
    /// # Consistency
    /// One transaction over all keys that there are when it begins, serializable with every other; keys that come meanwhile stay. For more keys than
    /// 65,536, or key by key, see [`rollback_with`](Self::rollback_with).
    ///
    /// # Cost
    /// A walk over all components, and the writes.
    ///
    /// # Errors
    /// [`RollbackError`]. Then nothing has changed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{History, MapOptions, Store};
    ///
    /// let store = Store::new();
    /// let stock = store.map_with("stock", MapOptions::<&str, u64>::new().history(History::last(5)))?;
    /// let open = store.cell_with("open", true, History::last(5))?;
    /// stock.pin().put("apples", 3);
    /// let morning = store.at(store.tick())?;
    ///
    /// stock.pin().put("apples", 0);
    /// stock.pin().put("pears", 7);
    /// open.set(false);
    /// assert_eq!(store.rollback_to(&morning)?, 3);
    /// assert_eq!((stock.pin().get("apples"), stock.pin().get("pears"), *open.load()), (Some(&3), None, true));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rollback_to(&self, past: &Past) -> Result<usize, RollbackError> {
        self.rollback_with(past, RollbackOptions::new())
    }

    /// As [`rollback_to`](Self::rollback_to), done as the options say.
    ///
    /// # Errors
    /// [`RollbackError`]. Nothing has changed then, unless the rollback goes key by key and a validator has refused one.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{History, MapOptions, RollbackError, RollbackOptions, RollbackStep, Store, WithoutHistory};
    ///
    /// let store = Store::new();
    /// let stock = store.map_with("stock", MapOptions::<&str, u64>::new().history(History::last(5)))?;
    /// let views = store.map::<&str, u64>("views")?;
    /// let before = store.at(store.tick())?;
    /// stock.pin().put("apples", 3);
    /// views.pin().put("apples", 1);
    ///
    /// let refused = store.rollback_to(&before);
    /// assert_eq!(refused, Err(RollbackError::NotKept { components: vec!["views".to_owned()] }));
    /// let options = RollbackOptions::new().without_history(WithoutHistory::Leave).step(RollbackStep::EachKey);
    /// assert_eq!(store.rollback_with(&before, options), Ok(1));
    /// assert_eq!((stock.len(), views.len()), (0, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rollback_with(&self, past: &Past, options: RollbackOptions) -> Result<usize, RollbackError> {
        if !past.is_of(self) {
            return Err(RollbackError::ForeignStore);
        }
        let components = self.rewound(options.without_history)?;
        let done = match options.step {
            RollbackStep::Whole { keys_max } => {
                let limit = TransactionOptions::new().keys_max(keys_max);
                self.try_transact(limit, |transaction| {
                    components.iter().try_fold(0, |changed, component| {
                        Ok(changed + component.unless_left(component.rewound.rewind_in(transaction, past), options)?)
                    })
                })
            }
            RollbackStep::EachKey => self.rollback_each(&components, past, options),
        };
        done.map_err(|error| error.with_oldest(&components))
    }

    fn rollback_each(
        &self,
        components: &[Component],
        past: &Past,
        options: RollbackOptions,
    ) -> Result<usize, RollbackError> {
        for component in components {
            component.unless_left(component.rewound.check(past).map(|()| 0), options)?;
        }
        components.iter().try_fold(0, |changed, component| {
            Ok(changed + component.unless_left(component.rewound.rewind_each(past), options)?)
        })
    }

    /// The components that can be brought back, by name in alphabetical order.
    fn rewound(&self, without_history: WithoutHistory) -> Result<Vec<Component>, RollbackError> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        self.each_component(|name, registered| match &registered.rewound {
            Some(rewound) => found.push(Component { name: name.to_owned(), rewound: Arc::clone(rewound) }),
            None => missing.push(name.to_owned()),
        });
        if !missing.is_empty() && without_history == WithoutHistory::Refuse {
            missing.sort_unstable();
            return Err(RollbackError::NotKept { components: missing });
        }
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }
}

/// A component that is brought back.
struct Component {
    name: String,
    rewound: Arc<dyn Rewound>,
}

impl Component {
    /// What came of it, unless it is left as it is, as it was not there.
    fn unless_left(
        &self,
        done: Result<usize, TransactionError>,
        options: RollbackOptions,
    ) -> Result<usize, RollbackError> {
        let component = || self.name.clone();
        done.or_else(|error| match (error, options.without_history) {
            (TransactionError::History(HistoryError::Unborn { .. }), WithoutHistory::Leave) => Ok(0),
            (TransactionError::History(HistoryError::Unborn { component }), _) => {
                Err(RollbackError::Unborn { component })
            }
            (TransactionError::History(HistoryError::TooOld { component, .. }), _) => {
                Err(RollbackError::TooOld { component, oldest: 0 })
            }
            (TransactionError::Refused(refused), _) => Err(RollbackError::Refused { component: component(), refused }),
            (error, _) => Err(error.into()),
        })
    }
}

/// A store was not brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RollbackError {
    /// The moment is of another store.
    ForeignStore,
    /// These components keep no history. Register them with [`MapOptions::history`](crate::MapOptions::history), or
    /// [leave](WithoutHistory::Leave) them as they are.
    NotKept {
        /// Their names, in alphabetical order.
        components: Vec<String>,
    },
    /// What the store held then is no longer kept.
    TooOld {
        /// The component that keeps least.
        component: String,
        /// The oldest tick to which the store can still go back, as far as could be told when it was refused.
        oldest: u64,
    },
    /// A cell was registered after the moment: it had no value then, and can't be without. [Leave](WithoutHistory::Leave) it as it is.
    Unborn {
        /// The cell's name.
        component: String,
    },
    /// A checked map has refused what it held then.
    Refused {
        /// The map's name.
        component: String,
        /// What it says.
        refused: RefusedWrite,
    },
    /// The store has more keys than are brought back in one step. Allow more, or go [key by key](RollbackStep::EachKey).
    TooManyKeys {
        /// The bound.
        limit: usize,
    },
    /// The transaction could not be done for another reason.
    Transaction(TransactionError),
}

impl RollbackError {
    /// The same, and if something is too old, what is the oldest that is kept.
    fn with_oldest(self, components: &[Component]) -> Self {
        let Self::TooOld { component, .. } = self else { return self };
        let since = components.iter().map(|component| (component.rewound.known_since(), &component.name)).max();
        // What held it back may be gone by now.
        match since {
            Some((oldest, component)) if oldest > 0 => Self::TooOld { component: component.clone(), oldest },
            _ => Self::TooOld { component, oldest: 0 },
        }
    }
}

impl From<TransactionError> for RollbackError {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::TooManyKeys { limit } => Self::TooManyKeys { limit },
            error => Self::Transaction(error),
        }
    }
}

impl fmt::Display for RollbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignStore => write!(f, "the moment is of another store"),
            Self::NotKept { components } => {
                write!(f, "no history is kept by {}: register with it, or leave them", components.join(", "))
            }
            Self::TooOld { component, oldest } => {
                write!(f, "component {component:?} no longer keeps that: the store can go back to tick {oldest}")
            }
            Self::Unborn { component } => {
                write!(f, "cell {component:?} was registered after that: leave it as it is")
            }
            Self::Refused { component, refused } => write!(f, "component {component:?}: {refused}"),
            Self::TooManyKeys { limit } => {
                write!(f, "the store has more than {limit} keys to look at: allow more, or go key by key")
            }
            Self::Transaction(error) => error.fmt(f),
        }
    }
}

impl Error for RollbackError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused { refused, .. } => refused.source(),
            Self::Transaction(error) => Some(error),
            _ => None,
        }
    }
}
