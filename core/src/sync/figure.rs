//! Figures for people to look at: part of no protocol, so the same in all worlds, and no step of any model.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coarsetime::Instant;

/// A figure that one thread at a time changes, and any thread reads.
#[derive(Debug, Default)]
pub(crate) struct Figure(AtomicU64);

impl Figure {
    /// Adds to it, as the one thread that does.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        // Relaxed: no edge is needed. With one writer a load and a store lose nothing, and no processor waits for either.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Sets it, as the one thread that does.
    pub(crate) fn set(&self, value: u64) {
        // Relaxed: as above.
        self.0.store(value, Ordering::Relaxed);
    }

    /// Its value, now or a moment ago.
    pub(crate) fn value(&self) -> u64 {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed)
    }
}

/// A moment for people to look at, set by one thread at a time, and read by any.
#[derive(Debug, Default)]
pub(crate) struct Moment(AtomicU64);

impl Moment {
    /// Sets it to now. Takes a few nanoseconds, and is coarse: the time of the last tick of the system's timer, some milliseconds ago.
    #[inline]
    pub(crate) fn set_now(&self) {
        // Relaxed: no edge is needed.
        self.0.store(Instant::now_without_cache_update().as_ticks(), Ordering::Relaxed);
    }

    /// How long ago it was.
    pub(crate) fn elapsed(&self) -> Duration {
        // Relaxed: as above.
        let ticks = Instant::now_without_cache_update().as_ticks().saturating_sub(self.0.load(Ordering::Relaxed));
        coarsetime::Duration::from_ticks(ticks).into()
    }
}
