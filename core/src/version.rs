//! The number that users see of a version, and a value together with it.

use std::fmt;
use std::ops::Deref;

/// A version of a key: unique for its key and growing, also across removals and restarts.
///
/// Versions of different keys compare by the time at which they became visible, as far as snapshots can tell: if a snapshot
/// sees one and not the other, the other is greater.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), stillpoint::RegisterError> {
/// let store = stillpoint::Store::new();
/// let map = store.map::<u64, u64>("map")?;
/// let first = map.pin().put(1, 10);
/// let second = map.pin().put(1, 20);
/// assert!(first < second);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    const SEQUENCE_BITS: u32 = 14;

    /// The version as a number, to be stored.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The version that [`as_u64`](Self::as_u64) gave this number for.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The tick of the store's clock at which the version became visible.
    pub const fn tick(self) -> u64 {
        self.0 >> Self::SEQUENCE_BITS
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.tick(), self.0 & ((1 << Self::SEQUENCE_BITS) - 1))
    }
}

/// A value and its version. Dereferences to the value.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), stillpoint::RegisterError> {
/// let store = stillpoint::Store::new();
/// let map = store.map::<&str, u64>("map")?;
/// let pin = map.pin();
/// let version = pin.put("a", 1);
/// let seen = pin.versioned("a").unwrap();
/// assert_eq!((*seen, seen.version()), (1, version));
/// # Ok(())
/// # }
/// ```
pub struct Versioned<'p, V> {
    value: &'p V,
    version: Version,
}

impl<'p, V> Versioned<'p, V> {
    pub(crate) fn new(value: &'p V, version: Version) -> Self {
        Self { value, version }
    }

    /// The value, for as long as its pin or snapshot.
    pub fn value(self) -> &'p V {
        self.value
    }

    /// The version.
    pub fn version(self) -> Version {
        self.version
    }
}

impl<V> Clone for Versioned<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Versioned<'_, V> {}

impl<V> Deref for Versioned<'_, V> {
    type Target = V;

    fn deref(&self) -> &V {
        self.value
    }
}

impl<V: fmt::Debug> fmt::Debug for Versioned<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Versioned").field("value", self.value).field("version", &self.version).finish()
    }
}
