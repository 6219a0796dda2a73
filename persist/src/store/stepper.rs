//! The persister's work, by hand: for tests of recovery.

use std::fmt;
use std::time::Instant;

use super::persister::{Persister, Turn};
use crate::error::DurabilityError;

/// Does the background work of a store that has no thread, one step at a time. See [`Options::open_stepped`](crate::Options::open_stepped).
pub struct Stepper {
    persister: Persister,
}

impl Stepper {
    pub(crate) fn new(persister: Persister) -> Self {
        Self { persister }
    }

    /// Writes a frame of what has changed, if anything has.
    ///
    /// # Errors
    /// [`DurabilityError`] if it could not be made durable.
    pub fn frame(&mut self) -> Result<(), DurabilityError> {
        self.persister.frame()
    }

    /// Writes a snapshot file, from its cut to its use.
    ///
    /// # Errors
    /// [`DurabilityError`] if it could not be written.
    pub fn snapshot_file(&mut self) -> Result<(), DurabilityError> {
        self.persister.whole_file()
    }

    /// Does what the thread would do next; returns whether there was anything.
    pub fn step(&mut self) -> bool {
        self.persister.turn(Instant::now()) == Turn::Worked
    }

    /// Ends the store as [`DurableStore::close`](crate::DurableStore::close) does.
    ///
    /// # Errors
    /// [`DurabilityError`] says what could not be made durable.
    pub fn close(mut self, tail_bytes_kept: u64) -> Result<(), DurabilityError> {
        self.persister.finish(tail_bytes_kept)
    }
}

impl fmt::Debug for Stepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stepper").finish_non_exhaustive()
    }
}
