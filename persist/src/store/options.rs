//! How a durable store is opened.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use stillpoint::{SystemClock, TimeSource};

use super::DurableStore;
use super::stepper::Stepper;
use crate::error::DurabilityError;
use crate::log::LogOptions;
use crate::medium::{FileSystem, Medium};
use crate::sync::Arc;
use crate::{OpenError, random};

/// Called when something could not be made durable.
pub(crate) type FailureHook = Arc<dyn Fn(&DurabilityError) + Send + Sync>;

/// Options of a durable store.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// use std::time::Duration;
/// use stillpoint_persist::Options;
///
/// let store = Options::new().interval(Duration::from_millis(10)).open(directory.path())?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) interval: Duration,
    pub(crate) tail_bytes_max: u64,
    pub(crate) tail_bytes_closed: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) on_failure: Option<FailureHook>,
    pub(crate) time: SharedTime,
}

/// A source of the time of day, for the stores of these options.
#[derive(Clone)]
pub(crate) struct SharedTime(Arc<dyn TimeSource>);

impl TimeSource for SharedTime {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

impl Options {
    /// The defaults: what nobody waits for becomes durable within 50 ms, and a restart reads at most about 32 MiB of log.
    pub fn new() -> Self {
        Self {
            interval: Duration::from_millis(50),
            tail_bytes_max: 32 << 20,
            tail_bytes_closed: 256 << 10,
            segment_bytes: 16 << 20,
            on_failure: None,
            time: SharedTime(Arc::new(SystemClock)),
        }
    }

    /// The longest time that changes wait for a frame when nobody waits for them. What is younger may be lost in a crash.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The bytes of log after which a new snapshot file is begun. A restart after a crash reads about that much.
    #[must_use]
    pub fn tail_bytes_max(mut self, bytes: u64) -> Self {
        self.tail_bytes_max = bytes;
        self
    }

    /// The bytes of log from which [`DurableStore::close`] writes a snapshot file, so that the next start reads no log. It does so from
    /// fewer on where the newest snapshot file is shorter than the log.
    #[must_use]
    pub fn tail_bytes_closed(mut self, bytes: u64) -> Self {
        self.tail_bytes_closed = bytes;
        self
    }

    /// The bytes after which a log segment gets no more frames: 16 MiB by default. A segment takes space ahead of time, a quarter of
    /// this at once, so a small store in a small place wants small ones.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// How a log of these options is written.
    pub(crate) fn log(&self, store: u128) -> LogOptions {
        let quarter = (self.segment_bytes / 4).clamp(ZERO_STEP_LEAST, ZERO_STEP_MOST);
        let step = 1 << quarter.ilog2();
        LogOptions { segment_bytes: self.segment_bytes, zero_step: step, ..LogOptions::new(store, random::number()) }
    }

    /// Calls this, on the background thread, whenever something could not be made durable; for those who wait for no ticket. Dropping
    /// the store reports its failures here too.
    #[must_use]
    pub fn on_failure(mut self, hook: impl Fn(&DurabilityError) + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Arc::new(hook));
        self
    }

    /// Takes the time of day from this source, for [histories](stillpoint::History) and keys that [expire](stillpoint::MapOptions::ttl): the
    /// system's own by default. Times on disk are compared with it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use stillpoint::{ManualTime, MapOptions};
    /// use stillpoint_persist::Options;
    ///
    /// let time = ManualTime::starting_at(UNIX_EPOCH);
    /// let store = Options::new().time(time.clone()).open(directory.path())?;
    /// let map = store.map_with("map", MapOptions::<u64, u64>::new().ttl(Duration::from_secs(1)))?;
    /// map.pin().put(1, 10)?;
    /// time.advance(Duration::from_secs(1));
    /// assert_eq!(map.pin().get(&1), None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn time(mut self, source: impl TimeSource) -> Self {
        self.time = SharedTime(Arc::new(source));
        self
    }

    /// Opens a directory, or makes it a store.
    ///
    /// # Progress
    /// Blocking. The time does not depend on how much is stored; only the log's tail is read.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong, where, and what to do; nothing on disk has been harmed.
    pub fn open(self, path: impl AsRef<Path>) -> Result<DurableStore, OpenError> {
        let path = path.as_ref();
        let medium = FileSystem::open_or_create(path).map_err(|source| OpenError::Io {
            operation: "open or create the directory",
            location: path.display().to_string(),
            source,
        })?;
        self.open_on(Arc::new(medium))
    }

    /// Opens a store on any medium.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_on(self, medium: Arc<dyn Medium>) -> Result<DurableStore, OpenError> {
        let (store, persister) = DurableStore::recover(self, medium)?;
        store.with_thread(persister)
    }

    /// Opens a store without a background thread: whoever holds the [`Stepper`] does its work, step by step. For tests of recovery, on a
    /// [`SimulatedDisk`](crate::medium::SimulatedDisk).
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use stillpoint_persist::{Options, medium::SimulatedDisk};
    ///
    /// let disk = SimulatedDisk::new();
    /// let (store, mut stepper) = Options::new().open_stepped(Arc::new(disk.clone()))?;
    /// let map = store.map::<u64, u64>("map")?.warm()?;
    /// map.pin().put(1, 10);
    /// stepper.frame()?;
    ///
    /// let (store, _stepper) = Options::new().open_stepped(Arc::new(disk.crash(7)))?;
    /// assert_eq!(store.map::<u64, u64>("map")?.pin().get(&1)?, Some(&10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_stepped(self, medium: Arc<dyn Medium>) -> Result<(DurableStore, Stepper), OpenError> {
        let (store, persister) = DurableStore::recover(self, medium)?;
        Ok((store, Stepper::new(persister)))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("interval", &self.interval)
            .field("tail_bytes_max", &self.tail_bytes_max)
            .field("tail_bytes_closed", &self.tail_bytes_closed)
            .field("segment_bytes", &self.segment_bytes)
            .finish_non_exhaustive()
    }
}

/// What a segment grows by, at least: two pages, as the format has it.
const ZERO_STEP_LEAST: u64 = 2 * crate::format::PAGE as u64;

/// And at most: enough that few frames wait for zeros.
const ZERO_STEP_MOST: u64 = 4 << 20;
