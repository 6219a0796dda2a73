//! The time of day: where a store takes it from.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sync::{AtomicU64, Ordering};

/// Where a store takes the time of day from. See [`Store::with_time`](crate::Store::with_time).
///
/// Asked only by maps and cells that keep history. A source may go back: the store does not, it waits for it.
pub trait TimeSource: Send + Sync + 'static {
    /// The time of day, in UTC.
    fn now(&self) -> SystemTime;
}

/// The system's own time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl TimeSource for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A time that stands until it is moved: for tests and replays. A handle; all clones are the same time.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use stillpoint::{ManualTime, TimeSource};
///
/// let time = ManualTime::starting_at(std::time::UNIX_EPOCH);
/// let before = time.now();
/// time.advance(Duration::from_secs(1));
/// assert_eq!(time.now(), before + Duration::from_secs(1));
/// ```
#[derive(Debug, Clone)]
pub struct ManualTime {
    millis: Arc<AtomicU64>,
}

impl ManualTime {
    /// A time that stands at a moment, to the millisecond.
    pub fn starting_at(time: SystemTime) -> Self {
        Self { millis: Arc::new(AtomicU64::new(millis_of(time))) }
    }

    /// Moves the time on, by whole milliseconds.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        // Relaxed: a number; what it is compared with is read through a store's own time.
        self.millis.fetch_add(by, Ordering::Relaxed);
    }
}

impl TimeSource for ManualTime {
    fn now(&self) -> SystemTime {
        // Relaxed: as above.
        time_of(self.millis.load(Ordering::Relaxed))
    }
}

/// A store's time: its source's, but never back.
pub(crate) struct Time {
    source: Arc<dyn TimeSource>,
    /// The latest time that anybody was told.
    latest: AtomicU64,
}

impl Time {
    pub(crate) fn new(source: Arc<dyn TimeSource>) -> Self {
        Self { source, latest: AtomicU64::new(0) }
    }

    /// Now, in milliseconds since 1970: no earlier than what anybody was told who stands before the caller. Runs the source, which is the
    /// user's: never between announcing and clearing.
    pub(crate) fn now(&self) -> u64 {
        let now = millis_of(self.source.now());
        // Acquire [TIME-2]: with AcqRel [TIME-1]: who follows another is told no less.
        let latest = self.latest.load(Ordering::Acquire);
        if now <= latest {
            return latest;
        }
        // AcqRel [TIME-1]: mate of Acquire [TIME-2].
        self.latest.fetch_max(now, Ordering::AcqRel).max(now)
    }
}

impl Time {
    /// Makes it no earlier than this from now on.
    pub(crate) fn raise_to(&self, time: u64) {
        // AcqRel [TIME-1]: mate of Acquire [TIME-2].
        self.latest.fetch_max(time, Ordering::AcqRel);
    }

    /// The latest time that anybody was told. Asks no source.
    pub(crate) fn known(&self) -> u64 {
        // Acquire [TIME-2]: with AcqRel [TIME-1].
        self.latest.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Time").finish_non_exhaustive()
    }
}

/// What is before 1970 counts as its beginning.
pub(crate) fn millis_of(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A time to come may be as late as you like.
pub(crate) fn millis_in(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn time_of(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}
