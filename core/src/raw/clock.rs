//! The store's clock: a counter that snapshots advance, not writers.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// A counter of ticks. Starts above zero, never goes back.
#[derive(Debug)]
pub(crate) struct Clock {
    now: CachePadded<AtomicU64>,
    /// Ticks before this one are of an earlier life of the store.
    began: AtomicU64,
}

impl Clock {
    pub(crate) fn starting_at(tick: u64) -> Self {
        Self { now: CachePadded::new(AtomicU64::new(tick)), began: AtomicU64::new(0) }
    }

    /// The current tick.
    ///
    /// Whoever reads it for a stamp or a snapshot stands behind a SeqCst fence: see [`crate::raw::chain`].
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        // Acquire [CLOCK-2]: with Release [CLOCK-1], a tick that was seen is never un-seen by what follows.
        self.now.load(Ordering::Acquire)
    }

    /// Makes the clock greater than `tick`, moving it by one if it stands there.
    #[inline]
    pub(crate) fn advance_past(&self, tick: u64) {
        if self.now() <= tick {
            // AcqRel [CLOCK-1]: mate of Acquire [CLOCK-2]. A failure means that another has moved it.
            let _ = self.now.compare_exchange(tick, tick + 1, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Whether the clock stands at a tick still. Then whoever reads a later one sees what the caller has done before.
    pub(crate) fn stands_at(&self, tick: u64) -> bool {
        // AcqRel [CLOCK-1]: mate of Acquire [CLOCK-2]. It is moved by read-modify-writes only, which pass this on.
        self.now.compare_exchange(tick, tick, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Starts the clock of a restored store beyond every tick that an earlier one used.
    pub(crate) fn raise_to(&self, tick: u64) {
        // Relaxed: said before the store is used.
        self.began.fetch_max(tick, Ordering::Relaxed);
        // AcqRel [CLOCK-1]: as above.
        self.now.fetch_max(tick, Ordering::AcqRel);
    }

    /// From which tick on the store has seen all that happened.
    pub(crate) fn began(&self) -> u64 {
        // Relaxed: as above.
        self.began.load(Ordering::Relaxed)
    }
}
