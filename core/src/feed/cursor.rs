//! Where a subscriber stands, and what it may have missed.

use std::error::Error;
use std::fmt;

use crate::feed::ChangesNotKept;

/// Up to where a subscriber has been told: everything that a snapshot with this tick shows.
///
/// Belongs to one store, and goes on being good as long as the store lives: see [`Map::resume`](crate::Map::resume).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    store: u64,
    tick: u64,
}

impl Cursor {
    pub(crate) fn new(store: u64, tick: u64) -> Self {
        Self { store, tick }
    }

    /// The tick: versions up to this one have been told.
    pub fn tick(self) -> u64 {
        self.tick
    }

    /// The cursor as bytes, to be stored.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// use stillpoint::{Cursor, Feed};
    /// let map = stillpoint::Store::new().map::<u64, u64>("map")?;
    /// let cursor = map.subscribe(Feed::latest()).cursor();
    /// assert_eq!(Cursor::from_bytes(cursor.to_bytes()), cursor);
    /// # Ok(())
    /// # }
    /// ```
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.store.to_le_bytes());
        bytes[8..].copy_from_slice(&self.tick.to_le_bytes());
        bytes
    }

    /// The cursor that [`to_bytes`](Self::to_bytes) gave these bytes for.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        Self { store: number(0), tick: number(8) }
    }

    /// The tick, if the cursor is one of this store, and of its past.
    pub(crate) fn tick_in(self, store: u64, now: u64) -> Result<u64, CursorError> {
        if self.store != store {
            return Err(CursorError::OtherStore);
        }
        if self.tick >= now {
            return Err(CursorError::Ahead { tick: self.tick, now });
        }
        Ok(self.tick)
    }
}

/// A cursor is of no use here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CursorError {
    /// It belongs to another store, or to an earlier life of this one. Subscribe anew, and begin with a
    /// [snapshot](crate::Subscriber::resync).
    OtherStore,
    /// It speaks of a time that has not come: it is not what a subscriber gave. Subscribe anew.
    Ahead {
        /// The cursor's tick.
        tick: u64,
        /// The store's clock.
        now: u64,
    },
    /// The map or cell does not keep every change.
    NotKept(ChangesNotKept),
}

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherStore => write!(f, "the cursor belongs to another store: subscribe anew, from a snapshot"),
            Self::NotKept(error) => error.fmt(f),
            Self::Ahead { tick, now } => write!(f, "the cursor's tick {tick} has not come, the clock is at {now}"),
        }
    }
}

impl Error for CursorError {}

impl From<ChangesNotKept> for CursorError {
    fn from(error: ChangesNotKept) -> Self {
        Self::NotKept(error)
    }
}

/// A subscriber has missed changes: all that came after a cursor. [`Subscriber::resync`](crate::Subscriber::resync) goes on from a
/// snapshot, without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lagged {
    /// Up to here everything was told; of what changed later, nothing was.
    pub since: Cursor,
    /// How many keys had changed when the subscriber began to lag, for a feed of newest values, and for that of a whole store; zero if the cursor
    /// that was resumed at is too old.
    pub keys: usize,
    /// How many changes have come since, up to now, none of which was told: for a feed of every change, in all that keep them, unless the cursor
    /// that it resumed at is too old. Exact: each change counts that is later than the cursor and was made before this was asked; one that is
    /// under way counts or does not.
    pub changes: Option<u64>,
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.since.tick;
        match (self.keys, self.changes) {
            (0, None) => write!(f, "what changed after tick {since} is no longer known: go on from a snapshot"),
            (0, Some(changes)) => {
                write!(f, "{changes} changes after tick {since} were not told: go on from a snapshot")
            }
            (keys, None) => {
                write!(f, "{keys} keys and more have changed after tick {since}, untold: go on from a snapshot")
            }
            (keys, Some(changes)) => {
                let of = "of those that keep every change";
                write!(
                    f,
                    "{keys} keys and more, {changes} changes {of}, came untold after tick {since}: go on from a snapshot"
                )
            }
        }
    }
}

impl Error for Lagged {}
