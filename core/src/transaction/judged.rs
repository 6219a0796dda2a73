//! Writes of checked maps in transactions: judged when they are drafted, true when they are committed.
//!
//! Helpers run no user code, so nothing can be judged once a commit has begun. A write is judged by what it would make visible: what its
//! key held at the transaction's moment, and the value that is drafted now; steps in between, which nobody ever sees, are not judged. To have
//! looked at that moment makes what was seen a demand, under either isolation: a commit replaces exactly the version that was judged, or it is
//! a conflict.
//!
//! *Places* under a bound go by the sum over the transaction's keys, which come and go at one tick. While more keys have come than gone, it
//! holds a place for each that is too many, taken when the write was drafted; if more have gone, their places are given back once
//! it is committed. What it counts is what it demands: a key that was there is still there when it is replaced, and one that was absent
//! is absent. So there are never more keys than places taken.

use std::sync::Arc;

use crate::checked::{Proposal, Refused};
use crate::map::Map;
use crate::raw::bound::Bound;
use crate::raw::engine::Worker;
use crate::raw::slot::{Slot, SlotHeader};
use crate::transaction::Transaction;
use crate::transaction::writable::Judge;

/// The places of a bound that a transaction has taken, or will give back.
pub(super) struct Places {
    bound: Arc<Bound>,
    /// Keys that come, less those that go.
    net: isize,
    held: usize,
}

impl Places {
    fn of(bound: &Arc<Bound>) -> Self {
        Self { bound: Arc::clone(bound), net: 0, held: 0 }
    }

    /// Counts a key that comes; `None` if there is no place for it.
    fn come(&mut self) -> Option<()> {
        if self.net >= self.held.cast_signed() {
            self.bound.take()?;
            self.held += 1;
        }
        self.net += 1;
        Some(())
    }

    /// Counts a key that goes.
    fn go(&mut self) {
        self.net -= 1;
        if self.held > 0 && self.net < self.held.cast_signed() {
            self.held -= 1;
            self.bound.leave();
        }
    }

    /// The keys have come and gone.
    pub(super) fn settle(mut self) {
        self.held = 0;
        (self.net..0).for_each(|_| self.bound.leave());
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        (0..self.held).for_each(|_| self.bound.leave());
    }
}

impl Transaction<'_> {
    /// Has a write judged over what the key held at the transaction's moment, which the commit demands from now on, and sees to the key's place.
    /// Hands the value back to be written.
    pub(super) fn judged<K, V, I>(
        &mut self,
        map: &Map<K, V, I>,
        judge: &dyn Judge<K, V>,
        worker: &Worker<'_>,
        slot: &SlotHeader,
        new: Option<V>,
    ) -> Result<Option<V>, Refused<V>> {
        let tick = match self.hold(worker) {
            Ok(tick) => tick,
            Err(error) => return Err(Refused::Transaction { error, value: new }),
        };
        // Whose time is over keeps its place until it is removed.
        let was_there = match self.look(map, worker, slot) {
            Ok(drafted) => drafted.is_some_and(|drafted| !drafted.is_tombstone()),
            Err(error) => return Err(Refused::Transaction { error, value: new }),
        };
        // The same as at the first look: the moment is held still.
        let before = worker.at(slot, tick);
        let old = before.and_then(|before| self.live(map, before));
        // A key that came in the transaction, and goes again, has never been there.
        if old.is_some() || new.is_some() {
            // SAFETY: a slot of this map that was found under the worker's pin is occupied, and stays so.
            let key: &K = unsafe { Slot::<K>::key(slot) };
            if let Err(error) = judge.judge(&Proposal::new(key, old, new.as_ref())) {
                return Err(Refused::Invalid { error, value: new });
            }
        }
        match (judge.places(), new) {
            (Some(bound), Some(value)) if !was_there => match self.places_of(bound).come() {
                Some(()) => Ok(Some(value)),
                None => Err(Refused::Full { keys_max: bound.max, value }),
            },
            (Some(bound), None) if was_there => {
                self.places_of(bound).go();
                Ok(None)
            }
            (_, new) => Ok(new),
        }
    }

    fn places_of(&mut self, bound: &Arc<Bound>) -> &mut Places {
        let places = &mut self.rare().places;
        let known = places.iter().position(|places| Arc::ptr_eq(&places.bound, bound));
        let number = known.unwrap_or_else(|| {
            places.push(Places::of(bound));
            places.len() - 1
        });
        &mut places[number]
    }
}
