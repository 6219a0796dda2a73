//! Admission: whether writes that can be refused are refused, for want of memory.
//!
//! Nobody counts bytes together where they are written: threads add to figures of their own, and now and then whoever tidies up sums them, and
//! raises or lowers one flag, which is all that a write looks at. So a bound may be passed by what threads bring in between two looks.
//! Removals are never refused, and everything that gives memory back goes on.

use std::sync::TryLockError;
use std::time::{Duration, Instant};

use crate::raw::engine::{Engine, Worker};
use crate::raw::tally::Tallied;
use crate::sync::figure::{Figure, Moment};
use crate::sync::{AtomicBool, Ordering};
use crate::tuning::{BACKLOG_STEP, GROWTH_STEP, LOOK_PAUSE, LOOK_SHARE};

/// Why writes are refused that can be. What to do: remove keys, end snapshots, let pins go, or wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overload {
    /// The store takes more memory than it may; see [`MemoryPolicy`](crate::MemoryPolicy) for what counts.
    Memory {
        /// What it takes.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// A thread has kept a pin for so long, and so long nothing was reclaimed.
    Pin {
        /// How long.
        waits: Duration,
        /// The bound.
        waits_max: Duration,
    },
}

/// The bounds of a store, and whether one of them is passed.
pub(crate) struct Admission {
    bytes_max: Option<u64>,
    waits_max: Option<Duration>,
    refuses: AtomicBool,
    looked: Moment,
    /// How long the last look took, in nanoseconds.
    cost: Figure,
    /// Up to which era memory was safe at the last look, and since when it was no further, as far as there were looks.
    safe: Figure,
    stands_since: Moment,
}

impl Admission {
    pub(crate) fn new(bytes_max: Option<u64>, waits_max: Option<Duration>) -> Self {
        let (refuses, looked, cost) = (AtomicBool::new(false), Moment::default(), Figure::default());
        let (safe, stands_since) = (Figure::default(), Moment::default());
        Self { bytes_max, waits_max, refuses, looked, cost, safe, stands_since }
    }

    /// Whether writes are refused.
    #[inline]
    pub(crate) fn refuses(&self) -> bool {
        // Relaxed: nothing is read on the strength of it.
        self.refuses.load(Ordering::Relaxed)
    }

    fn has_bounds(&self) -> bool {
        self.bytes_max.is_some() || self.waits_max.is_some()
    }

    /// Whether it is time for another look: one takes no more than a small share of the time.
    fn is_due(&self) -> bool {
        let cost = Duration::from_nanos(self.cost.value());
        self.looked.elapsed() >= LOOK_PAUSE.max(cost * LOOK_SHARE)
    }

    /// How long a pin has kept memory from being reclaimed, beside those who look: in a store that has gone quiet, what waits may only
    /// wait for the next write.
    fn waits(&self, engine: &Engine, waits_max: Duration) -> Duration {
        let safe = engine.eras.safe();
        let is_same = safe == self.safe.value() && engine.eras.waits_for_pins().is_some();
        if !is_same || self.looked.elapsed() > waits_max / 4 {
            self.safe.set(safe);
            self.stands_since.set_now();
        }
        self.stands_since.elapsed()
    }
}

impl Engine {
    /// Which bound is passed, if any is; `None` if that can't be told now. The caller is pinned.
    fn overload(&self) -> Option<Option<Overload>> {
        let Admission { bytes_max, waits_max, .. } = self.admission;
        let waits = waits_max.map(|waits_max| (self.admission.waits(self, waits_max), waits_max));
        if let Some(bytes_max) = bytes_max {
            let mut bytes = self.counted_bytes()?;
            if bytes > bytes_max {
                // Again: who is stopped in the midst of it counts what has come since, and not what has gone.
                bytes = bytes.min(self.counted_bytes()?);
            }
            if bytes > bytes_max {
                return Some(Some(Overload::Memory { bytes, bytes_max }));
            }
        }
        let too_long = waits.filter(|(waits, waits_max)| waits > waits_max);
        Some(too_long.map(|(waits, waits_max)| Overload::Pin { waits, waits_max }))
    }

    /// Bytes of slots, indexes, versions and garbage, unless somebody registers a component just now. The caller is pinned.
    fn counted_bytes(&self) -> Option<u64> {
        // Shared with all who look: one who is stopped at it keeps none from seeing that a bound is passed.
        let components = match self.components.try_read() {
            Ok(components) => components,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let tallied: Tallied = self.records.iter().map(|record| &record.tally).sum();
        let index: usize = components.all.iter().map(|component| component.index_bytes()).sum();
        Some(index as u64 + tallied.version_bytes() + tallied.garbage_bytes())
    }
}

impl Worker<'_> {
    /// Counts what the thread has brought in beyond what it gives back.
    #[inline]
    pub(super) fn count_growth(&self, bytes: usize) {
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe { self.record.with_owned(|owned| owned.count_growth(bytes)) }
    }

    /// Looks whether a bound is passed, if it is time to.
    pub(super) fn look_at_load(&self) {
        // SAFETY: the worker's own record; nothing in here comes back.
        let grown = unsafe { self.record.with_owned(|owned| owned.take_growth()) };
        let admission = &self.engine.admission;
        if admission.has_bounds() && (grown >= GROWTH_STEP || admission.is_due()) {
            self.look_at_load_now();
        }
    }

    /// Looks whether a bound is passed, and says which.
    pub(crate) fn look_at_load_now(&self) -> Option<Overload> {
        let admission = &self.engine.admission;
        if !admission.has_bounds() {
            return None;
        }
        let began = Instant::now();
        let overload = self.engine.overload()?;
        // Relaxed: as in `refuses`.
        admission.refuses.store(overload.is_some(), Ordering::Relaxed);
        admission.looked.set_now();
        admission.cost.set(began.elapsed().as_nanos() as u64);
        overload
    }

    /// Why a write is to be refused, if it is. Makes an attempt to get memory back first. Runs the user's `Drop`.
    #[cold]
    pub(crate) fn refusal(&self) -> Option<Overload> {
        if self.engine.admission.is_due() {
            self.reclaim_now();
            self.work_off(BACKLOG_STEP);
        }
        self.look_at_load_now()
    }
}
