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
    pub(crate) bytes_max: Option<u64>,
    pub(crate) waits_max: Option<Duration>,
}

/// What a store does when it takes much memory. See [`StoreOptions::memory`].
///
/// # What counts
/// The slots and indexes of all components, used or ready for use, and all versions that lie outside of their slots, with their values as Rust
/// sizes them: those that keys hold, those that snapshots and history keep, and those that wait to be reclaimed. What values and keys own besides,
/// as a `String` does its text, does not count, nor do lists of what has changed and of what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MemoryPolicy {
    /// Grows.
    #[default]
    Grow,
    /// Refuses writes that can be refused while it takes more than so many bytes.
    Refuse {
        /// The bound. It may be passed by some hundred KiB for each thread that writes, and by what is never refused.
        bytes_max: u64,
    },
}

/// What a store does while a thread keeps a pin, and so keeps all that is replaced meanwhile from being reclaimed. See
/// [`StoreOptions::pins`], and [`StoreStats::waits_for_pins`](crate::StoreStats::waits_for_pins).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PinPolicy {
    /// Grows.
    #[default]
    Grow,
    /// Refuses writes that can be refused once a pin has been kept for so long.
    Refuse {
        /// How long.
        after: Duration,
    },
}

impl StoreOptions {
    /// The system's time, and a resolution of 100 ms; memory grows.
    pub fn new() -> Self {
        let time = Arc::new(SystemClock);
        Self { time, time_resolution: tuning::TIME_RESOLUTION, bytes_max: None, waits_max: None }
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

impl StoreOptions {
    /// Sets what the store does when it takes much memory: it grows, or refuses writes.
    ///
    /// Refused are the writes that can be: those of [checked maps](crate::CheckedMap) and of [transactions](crate::Transaction), but no removals. The
    /// writes of plain maps and cells never are: whoever writes those asks for [admission](crate::Store::admission) first, once for a
    /// request.
    ///
    /// # Cost
    /// A write that can be refused looks at one flag. Whoever tidies up takes the sum now and then.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{MemoryPolicy, Overload, Store, StoreOptions, TransactionError};
    ///
    /// let store = Store::with_options(StoreOptions::new().memory(MemoryPolicy::Refuse { bytes_max: 4 << 20 }));
    /// let map = store.map::<u64, [u64; 128]>("map")?;
    /// let mut key = 0;
    /// let refused = loop {
    ///     key += 1;
    ///     if let Err(error) = store.transact(|tx| tx.put(&map, key, [0; 128])) {
    ///         break error;
    ///     }
    /// };
    /// assert!(matches!(refused, TransactionError::Overloaded(Overload::Memory { bytes_max, .. }) if bytes_max == 4 << 20));
    /// assert!(store.admission().is_err() && key > 3000);
    ///
    /// map.pin().clear(); // is never refused
    /// while store.maintain() {}
    /// assert!(store.admission().is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn memory(self, policy: MemoryPolicy) -> Self {
        let bytes_max = if let MemoryPolicy::Refuse { bytes_max } = policy { Some(bytes_max) } else { None };
        Self { bytes_max, ..self }
    }

    /// Sets what the store does while a thread keeps a pin: it grows, or refuses writes, as [`memory`](Self::memory) does.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use stillpoint::{PinPolicy, Store, StoreOptions};
    ///
    /// let store = Store::with_options(StoreOptions::new().pins(PinPolicy::Refuse { after: Duration::from_secs(5) }));
    /// assert!(store.admission().is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn pins(self, policy: PinPolicy) -> Self {
        let waits_max = if let PinPolicy::Refuse { after } = policy { Some(after) } else { None };
        Self { waits_max, ..self }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time_resolution, bytes_max, waits_max, .. } = self;
        let mut options = f.debug_struct("StoreOptions");
        options.field("time_resolution_ms", time_resolution).field("bytes_max", bytes_max);
        options.field("waits_max", waits_max).finish_non_exhaustive()
    }
}
