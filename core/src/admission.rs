//! Whether a store takes writes, or has too much of what it must keep.

use std::error::Error;
use std::fmt;

use crate::raw::engine::{Engine, Worker};
use crate::{Overload, Store};

impl Store {
    /// Whether the store takes writes: for whoever writes to plain maps and cells, which refuse nothing, to ask before.
    ///
    /// # Cost
    /// One load, unless it does not. Then a look at all threads and components, and an attempt to get memory back.
    ///
    /// # Errors
    /// [`Overload`] says which bound of the [options](crate::StoreOptions) is passed. A store that was built without one takes all writes.
    ///
    /// # Examples
    /// See [`StoreOptions::memory`](crate::StoreOptions::memory).
    pub fn admission(&self) -> Result<(), Overload> {
        let engine = self.engine();
        if !engine.admission.refuses() {
            return Ok(());
        }
        let session = engine.session();
        let guard = session.pin();
        admits(engine, &Worker::new(engine, &session, &guard))
    }
}

/// Whether a write that can be refused is taken.
#[inline]
pub(crate) fn admits(engine: &Engine, worker: &Worker<'_>) -> Result<(), Overload> {
    if engine.admission.refuses() { worker.refusal().map_or(Ok(()), Err) } else { Ok(()) }
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { bytes, bytes_max } => {
                write!(f, "the store takes {bytes} bytes, and may take {bytes_max}: remove keys, or end snapshots")
            }
            Self::Pin { waits, waits_max } => {
                write!(f, "a thread has kept a pin for {waits:.1?}, and may for {waits_max:.1?}: nothing is reclaimed")
            }
        }
    }
}

impl Error for Overload {}
