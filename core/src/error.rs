//! What can go wrong, by family of operations.

use std::error::Error;
use std::fmt;
use std::time::SystemTime;

use crate::{RefusedWrite, Version, Versioned};

/// What a component of a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ComponentKind {
    /// A [`Map`](crate::Map).
    Map,
    /// An [`OrderedMap`](crate::OrderedMap).
    OrderedMap,
    /// A [`Cell`](crate::Cell).
    Cell,
    /// A [`CheckedMap`](crate::CheckedMap).
    CheckedMap,
    /// A [`CheckedMap`](crate::CheckedMap) whose keys are in order.
    CheckedOrderedMap,
    /// A [`CheckedCell`](crate::CheckedCell).
    CheckedCell,
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Map => "a map",
            Self::OrderedMap => "an ordered map",
            Self::Cell => "a cell",
            Self::CheckedMap => "a checked map",
            Self::CheckedOrderedMap => "a checked ordered map",
            Self::CheckedCell => "a checked cell",
        })
    }
}

/// A component could not be registered or found by name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name belongs to a component of other types. Ask for it with those types, or choose another name.
    OtherTypes {
        /// The component's name.
        name: String,
        /// The types that it has.
        found: &'static str,
        /// The types that were asked for.
        expected: &'static str,
    },
    /// The name belongs to a component of another kind. Choose another name.
    OtherKind {
        /// The component's name.
        name: String,
        /// What it is.
        found: ComponentKind,
        /// What was asked for.
        expected: ComponentKind,
    },
    /// The name belongs to a component already, which has options of its own. Ask for it without options, or choose another name.
    Taken {
        /// The component's name.
        name: String,
        /// What it is.
        found: ComponentKind,
    },
    /// There is no component with this name, and none can be made without its options.
    Unknown {
        /// The name.
        name: String,
        /// What was asked for.
        expected: ComponentKind,
    },
    /// A cell's own validators have refused its initial value.
    Refused {
        /// The cell's name.
        name: String,
        /// What they say.
        refused: RefusedWrite,
    },
    /// The store holds as many components as it can number.
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherTypes { name, found, expected } => write!(
                f,
                "component {name:?} is a {found}, not a {expected}: ask for it with the types that it was registered with"
            ),
            Self::OtherKind { name, found, expected } => {
                write!(f, "component {name:?} is {found}, not {expected}: choose another name")
            }
            Self::Taken { name, found } => {
                write!(f, "component {name:?} is there already, and is {found}: ask for it without options")
            }
            Self::Unknown { name, expected } => {
                write!(f, "there is no component {name:?}: {expected} is registered with its options first")
            }
            Self::Refused { name, refused } => write!(f, "the initial value of cell {name:?}: {refused}"),
            Self::TooMany { limit } => {
                write!(f, "the store holds {limit} components, and can't number more")
            }
        }
    }
}

impl Error for RegisterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Self::Refused { refused, .. } = self { refused.source() } else { None }
    }
}

/// A handle or snapshot of one store was used with another's.
///
/// Take the snapshot from the store that the map or cell is of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForeignStore {
    /// The name of the map or cell that was asked for.
    pub component: String,
}

impl fmt::Display for ForeignStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "component {:?} belongs to another store than the snapshot: take the snapshot from the component's own store",
            self.component
        )
    }
}

impl Error for ForeignStore {}

/// History could not be read, or brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryError {
    /// The map or cell keeps no history. Register it with [`MapOptions::history`](crate::MapOptions::history).
    NotKept {
        /// The component's name.
        component: String,
    },
    /// What was asked for is no longer kept. Go back no further than the oldest version that is.
    TooOld {
        /// The component's name.
        component: String,
        /// The oldest version of the key that is kept; `None` if nothing is.
        oldest: Option<Version>,
    },
    /// The tick has not begun.
    NotYet {
        /// The tick that was asked for.
        tick: u64,
        /// The tick that is now.
        now: u64,
    },
    /// The tick is of an earlier life of the store, before it was restored: of that, only the last state is known.
    BeforeStore {
        /// The tick that was asked for.
        tick: u64,
        /// The first one of this life.
        began: u64,
    },
    /// The time is still to come.
    TimeNotYet {
        /// The time that was asked for.
        time: SystemTime,
        /// The store's time.
        now: SystemTime,
    },
    /// Nothing kept history at that time.
    TimeUnknown {
        /// The time that was asked for.
        time: SystemTime,
        /// The earliest time that is known; `None` if nothing has been written that keeps history.
        oldest: Option<SystemTime>,
    },
    /// The cell was registered after the moment.
    Unborn {
        /// The cell's name.
        component: String,
    },
    /// A moment of one store was used with another's map.
    Foreign(ForeignStore),
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKept { component } => {
                write!(f, "component {component:?} keeps no history: register it with options that ask for it")
            }
            Self::TooOld { component, oldest: Some(oldest) } => {
                write!(
                    f,
                    "component {component:?} no longer keeps that: the oldest version that it keeps of the key is {oldest}"
                )
            }
            Self::TooOld { component, oldest: None } => {
                write!(f, "component {component:?} no longer keeps that: it keeps nothing of the key")
            }
            Self::NotYet { tick, now } => write!(f, "tick {tick} has not begun: it is {now} now"),
            Self::BeforeStore { tick, began } => {
                write!(f, "tick {tick} is of an earlier life of the store: this one knows ticks from {began} on")
            }
            Self::TimeNotYet { time, now } => {
                write!(f, "that is {} to come", Apart(*time, *now))
            }
            Self::TimeUnknown { time, oldest: Some(oldest) } => {
                write!(f, "that is {} before the first time that is known", Apart(*oldest, *time))
            }
            Self::TimeUnknown { oldest: None, .. } => {
                write!(f, "no time is known: nothing has been written that keeps history")
            }
            Self::Unborn { component } => write!(f, "cell {component:?} was registered after that"),
            Self::Foreign(foreign) => foreign.fmt(f),
        }
    }
}

/// How much later the first time is than the second.
struct Apart(SystemTime, SystemTime);

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.duration_since(self.1).unwrap_or_default().as_secs_f64();
        write!(f, "{seconds:.3} s")
    }
}

impl Error for HistoryError {}

/// A conditional write found something else than it expected. Gives the value back.
pub struct Conflict<'p, V> {
    /// What the key holds: `None` if it is absent.
    pub actual: Option<Versioned<'p, V>>,
    /// The value that was not written.
    pub value: V,
}

impl<V> Conflict<'_, V> {
    /// The version that the key has, if it has a value.
    pub fn version(&self) -> Option<Version> {
        self.actual.map(Versioned::version)
    }
}

impl<V> fmt::Debug for Conflict<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conflict").field("actual", &self.version()).finish_non_exhaustive()
    }
}

impl<V> fmt::Display for Conflict<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version() {
            Some(version) => write!(f, "the key is at version {version}: read it and try again"),
            None => write!(f, "the key is absent: insert it, or leave it"),
        }
    }
}

impl<V> Error for Conflict<'_, V> {}
