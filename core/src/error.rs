//! What can go wrong, by family of operations.

use std::error::Error;
use std::fmt;

use crate::{Version, Versioned};

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
            Self::TooMany { limit } => {
                write!(f, "the store holds {limit} components, and can't number more")
            }
        }
    }
}

impl Error for RegisterError {}

/// A handle or snapshot of one store was used with another's.
///
/// Take the snapshot from the store that the map is of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForeignStore {
    /// The name of the map that was asked for.
    pub component: String,
}

impl fmt::Display for ForeignStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "map {:?} belongs to another store than the snapshot: take the snapshot from the map's own store",
            self.component
        )
    }
}

impl Error for ForeignStore {}

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
