//! What is durable, who waits for it, and how the persister is.

use std::time::{Duration, Instant};

use crate::error::DurabilityError;
use crate::sync::{Arc, AtomicBool, Condvar, Mutex, MutexGuard, Ordering, lock};

/// What the persister and those who wait for it share.
#[derive(Debug)]
pub(crate) struct Shared {
    status: Mutex<Status>,
    /// Something has become durable, or failed.
    progress: Condvar,
    /// The thread has something to do.
    wanted: Condvar,
    writing_snapshot: AtomicBool,
}

/// The state behind the lock.
#[derive(Debug)]
pub(crate) struct Status {
    /// Everything up to this tick is on disk.
    pub(crate) durable: u64,
    /// Somebody waits for this tick.
    pub(crate) wanted: u64,
    /// The log has failed for good.
    pub(crate) fatal: Option<DurabilityError>,
    /// An attempt that covered this tick failed, and may succeed later.
    pub(crate) refused: Option<(u64, DurabilityError)>,
    /// The last thing that went wrong.
    pub(crate) last_error: Option<DurabilityError>,
    /// Requests for a snapshot file so far; up to which of them there is an answer; and up to which there is a file.
    pub(crate) files_wanted: u64,
    pub(crate) files_answered: u64,
    pub(crate) files_written: u64,
    pub(crate) file_error: Option<DurabilityError>,
    /// The store is being closed; a log of more bytes than this is replaced by a snapshot file.
    pub(crate) closing: Option<u64>,
    pub(crate) figures: Figures,
}

/// Counts that a user may look at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) last_frame: Option<Instant>,
    pub(crate) frames: u64,
    pub(crate) frame_bytes: u64,
    pub(crate) frame_time_max: Duration,
    pub(crate) tail_bytes: u64,
    pub(crate) generation: u64,
    pub(crate) snapshot_files: u64,
    pub(crate) last_snapshot_file: Option<SnapshotFileReport>,
    pub(crate) warming: usize,
}

/// A snapshot file that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotFileReport {
    /// Its number.
    pub generation: u64,
    /// How long it is.
    pub bytes: u64,
    /// How many entries it holds.
    pub entries: u64,
    /// How long it took, with what the thread did beside it.
    pub time: Duration,
}

/// How a durable store is. See [`DurableStore::health`](crate::DurableStore::health).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Health {
    /// Everything up to this tick is on disk.
    pub durable_tick: u64,
    /// How long ago the last frame became durable; `None` if this process has written none.
    pub since_last_frame: Option<Duration>,
    /// The error after which nothing becomes durable any more; see [`DurabilityError::Log`].
    pub failed: Option<DurabilityError>,
    /// The last error, also one that passed.
    pub last_error: Option<DurabilityError>,
    /// Frames written by this process.
    pub frames: u64,
    /// Their bytes.
    pub frame_bytes: u64,
    /// The longest time that one took.
    pub frame_time_max: Duration,
    /// Bytes of log that a restart would read.
    pub tail_bytes: u64,
    /// The number of the newest snapshot file.
    pub generation: u64,
    /// Snapshot files written by this process.
    pub snapshot_files: u64,
    /// The last of them.
    pub last_snapshot_file: Option<SnapshotFileReport>,
    /// Maps that are not yet in memory as a whole.
    pub warming: usize,
}

impl Shared {
    pub(crate) fn new(durable: u64, figures: Figures) -> Self {
        Self {
            status: Mutex::new(Status {
                durable,
                wanted: 0,
                fatal: None,
                refused: None,
                last_error: None,
                files_wanted: 0,
                files_answered: 0,
                files_written: 0,
                file_error: None,
                closing: None,
                figures,
            }),
            progress: Condvar::new(),
            wanted: Condvar::new(),
            writing_snapshot: AtomicBool::new(false),
        }
    }

    pub(crate) fn status(&self) -> MutexGuard<'_, Status> {
        lock(&self.status)
    }

    /// Changes the state, and wakes who waits for it.
    pub(crate) fn report<R>(&self, change: impl FnOnce(&mut Status) -> R) -> R {
        let result = change(&mut self.status());
        self.progress.notify_all();
        result
    }

    /// Changes the state, and wakes the thread.
    pub(crate) fn ask<R>(&self, change: impl FnOnce(&mut Status) -> R) -> R {
        let result = change(&mut self.status());
        self.wanted.notify_all();
        result
    }

    /// Waits until somebody asks for something, or the time is over.
    pub(crate) fn wait_for_work(&self, time: Duration) {
        let status = self.status();
        if !status.has_work() {
            drop(self.wanted.wait_timeout(status, time));
        }
    }

    /// Waits until the state passes a test, or the deadline is there.
    pub(crate) fn wait_until(
        &self,
        deadline: Option<Instant>,
        test: impl Fn(&Status) -> bool,
    ) -> MutexGuard<'_, Status> {
        let mut status = self.status();
        while !test(&status) {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            status = match left {
                None => self.progress.wait(status).unwrap_or_else(std::sync::PoisonError::into_inner),
                Some(Duration::ZERO) => return status,
                Some(left) => {
                    self.progress.wait_timeout(status, left).unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
            };
        }
        status
    }

    pub(crate) fn set_writing_snapshot(&self, writing: bool) {
        // Relaxed: a hint for those who measure.
        self.writing_snapshot.store(writing, Ordering::Relaxed);
    }

    pub(crate) fn is_writing_snapshot(&self) -> bool {
        // Relaxed: as above.
        self.writing_snapshot.load(Ordering::Relaxed)
    }

    pub(crate) fn health(&self) -> Health {
        let status = self.status();
        let figures = status.figures.clone();
        Health {
            durable_tick: status.durable,
            since_last_frame: figures.last_frame.map(|at| at.elapsed()),
            failed: status.fatal.clone(),
            last_error: status.last_error.clone(),
            frames: figures.frames,
            frame_bytes: figures.frame_bytes,
            frame_time_max: figures.frame_time_max,
            tail_bytes: figures.tail_bytes,
            generation: figures.generation,
            snapshot_files: figures.snapshot_files,
            last_snapshot_file: figures.last_snapshot_file,
            warming: figures.warming,
        }
    }
}

impl Status {
    /// Whether somebody waits for the thread.
    pub(crate) fn has_work(&self) -> bool {
        self.closing.is_some() || self.files_wanted > self.files_answered || (self.is_wanted() && self.fatal.is_none())
    }

    /// Whether somebody waits for a tick that is not durable, and that no attempt has failed at.
    pub(crate) fn is_wanted(&self) -> bool {
        let settled = self.refused.as_ref().map_or(self.durable, |(tick, _)| self.durable.max(*tick));
        self.wanted > settled
    }

    /// What is known of a tick: durable, failed, or `None` if neither yet.
    pub(crate) fn outcome(&self, tick: u64) -> Option<Result<(), DurabilityError>> {
        if self.durable >= tick {
            return Some(Ok(()));
        }
        if let Some(fatal) = &self.fatal {
            return Some(Err(fatal.clone()));
        }
        match &self.refused {
            Some((refused, error)) if *refused >= tick => Some(Err(error.clone())),
            _ => None,
        }
    }
}

/// Waits for something to be durable: a write, a read, or all that was done so far.
///
/// Holds no pin and no memory of the store. Cheap to clone and to drop.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let store = stillpoint_persist::open(directory.path())?;
/// let map = store.map::<u64, u64>("map")?.warm()?;
/// let version = map.pin().put(1, 10);
/// let ticket = store.ticket_for(version);
/// ticket.wait()?;
/// assert!(ticket.is_durable());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a ticket does nothing unless it is waited for"]
pub struct Ticket {
    shared: Arc<Shared>,
    tick: u64,
}

impl Ticket {
    pub(crate) fn new(shared: Arc<Shared>, tick: u64) -> Self {
        Self { shared, tick }
    }

    /// Whether it is on disk.
    pub fn is_durable(&self) -> bool {
        self.shared.status().durable >= self.tick
    }

    /// Waits until it is on disk.
    ///
    /// # Errors
    /// [`DurabilityError`] if it can't be made durable. The state in memory stays as it is.
    pub fn wait(&self) -> Result<(), DurabilityError> {
        match self.wait_until(None) {
            Some(outcome) => outcome,
            None => unreachable!("without a deadline there is an outcome"),
        }
    }

    /// Waits until it is on disk, but no longer than this; `None` if the time was too short.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_for(&self, time: Duration) -> Option<Result<(), DurabilityError>> {
        self.wait_until(Instant::now().checked_add(time))
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Option<Result<(), DurabilityError>> {
        self.shared.ask(|status| status.wanted = status.wanted.max(self.tick));
        self.shared.wait_until(deadline, |status| status.outcome(self.tick).is_some()).outcome(self.tick)
    }
}
