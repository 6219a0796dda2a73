//! A bound on a component's keys: a count of places.

use crate::sync::{AtomicUsize, Ordering};

/// How many keys a component may have, and how many places for them are taken.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) max: usize,
    places: AtomicUsize,
}

impl Bound {
    /// All places are free.
    pub(crate) fn of(max: usize) -> Self {
        Self { max, places: AtomicUsize::new(0) }
    }

    /// Takes a place, if one is left.
    pub(crate) fn take(&self) -> Option<()> {
        // Relaxed: a count; nothing is read on the strength of it.
        let mut places = self.places.load(Ordering::Relaxed);
        while places < self.max {
            match self.places.compare_exchange(places, places + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(()),
                Err(other) => places = other,
            }
        }
        None
    }

    /// Takes a place, whether one is left or not.
    pub(crate) fn come(&self) {
        // Relaxed: as in `take`.
        self.places.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives a place back.
    pub(crate) fn leave(&self) {
        // Relaxed: as in `take`.
        self.places.fetch_sub(1, Ordering::Relaxed);
    }
}
