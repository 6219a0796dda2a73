//! Values that tell how many of them live, and whether one was dropped twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Counts the live values of a test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Census(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    live: AtomicI64,
    made: AtomicI64,
    twice: AtomicI64,
}

impl Census {
    pub(crate) fn value(&self, number: u64) -> Counted {
        self.0.live.fetch_add(1, Ordering::Relaxed);
        self.0.made.fetch_add(1, Ordering::Relaxed);
        Counted { number: Box::new(number), mark: AtomicU64::new(ALIVE), counts: Arc::clone(&self.0) }
    }

    /// Values made and not yet dropped.
    #[track_caller]
    pub(crate) fn live(&self) -> i64 {
        assert_eq!(self.0.twice.load(Ordering::Relaxed), 0, "values were dropped twice");
        self.0.live.load(Ordering::Relaxed)
    }

    pub(crate) fn made(&self) -> i64 {
        self.0.made.load(Ordering::Relaxed)
    }
}

const ALIVE: u64 = 0xA11F_E000_0000_0001;
const DEAD: u64 = 0xDEAD_0000_0000_0002;

/// A value that is counted. Its clones are too.
#[derive(Debug)]
pub(crate) struct Counted {
    number: Box<u64>,
    mark: AtomicU64,
    counts: Arc<Counts>,
}

impl Counted {
    #[track_caller]
    pub(crate) fn number(&self) -> u64 {
        assert_eq!(self.mark.load(Ordering::Relaxed), ALIVE, "read after it was dropped");
        *self.number
    }

    pub(crate) fn with(&self, number: u64) -> Self {
        Census(Arc::clone(&self.counts)).value(number)
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.with(self.number())
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl Eq for Counted {}

impl std::hash::Hash for Counted {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.number().hash(state);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.mark.swap(DEAD, Ordering::Relaxed) != ALIVE {
            self.counts.twice.fetch_add(1, Ordering::Relaxed);
        }
        self.counts.live.fetch_sub(1, Ordering::Relaxed);
    }
}
