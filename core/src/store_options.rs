//! What a store is built with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::time::{SystemClock, TimeSource, millis_in};
use crate::tuning;

/// What a store is built with. See [`Store::with_options`](crate::Store::with_options).
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::{Duration, UNIX_EPOCH};
/// use stillpoint::{ManualTime, Store, StoreOptions};
///
/// let options = StoreOptions::new().time(ManualTime::starting_at(UNIX_EPOCH)).time_resolution(Duration::from_millis(1));
/// let store = Store::with_options(options);
/// assert!(store.map::<u64, u64>("map")?.is_empty());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct StoreOptions {
    pub(crate) time: Arc<dyn TimeSource>,
    /// In milliseconds.
    pub(crate) time_resolution: u64,
}

impl StoreOptions {
    /// The system's time, and a resolution of 100 ms.
    pub fn new() -> Self {
        Self { time: Arc::new(SystemClock), time_resolution: tuning::TIME_RESOLUTION }
    }

    /// Sets where the store takes the time of day from.
    pub fn time(self, time: impl TimeSource) -> Self {
        Self { time: Arc::new(time), ..self }
    }

    /// Sets how exactly a [time of day](crate::Store::at_time) leads to a moment: to a millisecond at best.
    ///
    /// # Cost
    /// Each such span in which a map or cell that keeps history is written costs a tick, as a snapshot does, and 16 bytes of a bounded memory.
    pub fn time_resolution(self, resolution: Duration) -> Self {
        Self { time_resolution: millis_in(resolution).max(1), ..self }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions").field("time_resolution_ms", &self.time_resolution).finish_non_exhaustive()
    }
}
