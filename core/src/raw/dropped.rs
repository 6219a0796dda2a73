//! Components that have lost their name: emptied by whoever tidies up, in steps, once nobody has a handle any more.
//!
//! A handle keeps its component in use, whatever became of the name; so does everything that leads to one. When the last has gone, no
//! operation can begin on the component, and its keys are removed as any other's: snapshots that still see them, consumers and the
//! backlog know no difference. What remains are the arena's pages, which stale notes may still point into; they go with the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::raw::arena::Walk;
use crate::raw::backlog::WaitsFor;
use crate::raw::chain::Latest;
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::slot::SlotHeader;
use crate::sync::figure::Figure;
use crate::sync::{Ordering, fence};
use crate::tuning::DROP_STEP;

/// The components of a store that have lost their name and are not yet empty.
#[derive(Default)]
pub(crate) struct Dropped {
    components: Mutex<Vec<Emptying>>,
    /// How many there are; changed under the lock.
    len: Figure,
}

/// A component that is to be emptied, and how far that has come.
struct Emptying {
    component: Arc<Component>,
    /// Begun when the last handle has gone: before that, slots may be added that it would miss.
    walk: Option<Walk>,
}

impl Emptying {
    /// Whether nobody can begin an operation on the component any more.
    fn has_no_handles(&self) -> bool {
        // This one, and the engine's.
        let has_none = Arc::strong_count(&self.component) == 2;
        // Acquire: with the Release of the last handle's drop: what was done through it is seen.
        fence(Ordering::Acquire);
        has_none
    }
}

impl Dropped {
    /// Takes over a component that has lost its name.
    pub(crate) fn push(&self, component: Arc<Component>) {
        self.put_back(&mut self.lock(), Emptying { component, walk: None });
    }

    /// Removes some keys of the component that has waited longest, if it has no handles; returns how many slots were looked at.
    pub(crate) fn step(&self, worker: &Worker<'_>) -> usize {
        if self.len.value() == 0 {
            return 0;
        }
        // Taken out meanwhile, so that no lock is held at work.
        let Some(mut emptying) = self.take() else { return 0 };
        let mut looked_at = 0;
        if emptying.has_no_handles() {
            if let Some(recording) = emptying.component.recording() {
                recording.let_go();
            }
            let arena = &emptying.component.arena;
            let walk = emptying.walk.get_or_insert_with(|| arena.walk());
            while looked_at < DROP_STEP {
                let Some(slot) = arena.next(walk) else { return looked_at };
                // SAFETY: handed out, and by no operation that has not ended: so its header is initialised.
                emptying.component.empty(unsafe { &*slot }, worker);
                looked_at += 1;
            }
        }
        self.put_back(&mut self.lock(), emptying);
        looked_at
    }

    fn take(&self) -> Option<Emptying> {
        let mut components = match self.components.try_lock() {
            Ok(components) => components,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let taken = components.pop()?;
        self.len.set(components.len() as u64);
        Some(taken)
    }

    fn put_back(&self, components: &mut MutexGuard<'_, Vec<Emptying>>, emptying: Emptying) {
        components.insert(0, emptying);
        self.len.set(components.len() as u64);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Emptying>> {
        self.components.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Component {
    /// Removes what a slot holds, and has its history forgotten. Nobody else writes.
    fn empty(&self, slot: &SlotHeader, worker: &Worker<'_>) {
        let Latest::Version(newest) = worker.latest(slot) else { return };
        if !newest.version.is_tombstone() {
            let tombstone = self.make_tombstone();
            if worker.replace(self, slot, Latest::Version(newest), tombstone).is_err() {
                debug_assert!(false, "nobody else writes");
                // SAFETY: it was not installed.
                unsafe { self.drop_unpublished(tombstone) };
            }
        }
        if self.recording().is_some() {
            // Older versions were kept, and no write is going to look at them.
            worker.enqueue(self, slot, WaitsFor::Look);
        }
    }
}
