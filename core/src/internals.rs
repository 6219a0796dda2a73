//! What a model needs besides the public API. Under loom only.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::rc::Rc;

pub use crate::raw::ordered::model::{OrderedKey, OrderedKeys};
pub use crate::sync::collector::collect_garbage;

use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::era::{RetireQueue, Retired};
use crate::raw::place::Place;
use crate::raw::registry::{LiveView, Registered};
use crate::raw::session::SESSIONS;
use crate::raw::slot::{Slot, SlotHeader};
use crate::raw::table::{Inserted, Position};
use crate::{Handle, Map, Store};

/// Ends the calling thread's sessions now. The thread's end does the same, but under loom only after whoever joins it may have
/// gone on.
pub fn end_sessions() {
    let ended = SESSIONS.with(|sessions| mem::take(&mut *sessions.borrow_mut()));
    drop(ended);
}

/// The live snapshots, as a pruner has seen them.
#[derive(Debug)]
pub struct Scanned(LiveView);

/// Looks at the live snapshots as a pruner does, and so sets what is pending.
pub fn scan(store: &Store) -> Scanned {
    let engine = store.engine();
    Scanned(engine.registry.view(&engine.clock))
}

/// A snapshot's place among the live ones, without the rest of it: its end does no more than to free that.
pub struct Registration {
    store: Store,
    registered: Registered,
}

/// Takes a snapshot of which only its place matters.
pub fn register(store: &Store) -> Registration {
    let engine = store.engine();
    Registration { store: store.clone(), registered: engine.registry.take(&engine.clock) }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.store.engine().registry.release(&self.registered);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registration").field(&self.registered.tick).finish()
    }
}

/// Works at a store's backlog, as [`work_at_backlog`] does, beginning with a view that may be older than what stands there.
pub fn work_at_backlog_by(store: &Store, seen: Scanned) {
    let engine = store.engine();
    let session = engine.session();
    let guard = session.pin();
    Worker::new(engine, &session, &guard).work_off_by(seen.0, 1, 1);
}

/// Works at a store's backlog, as writers do on the side: with nothing that [`Store::maintain`] does besides.
pub fn work_at_backlog(store: &Store) {
    let engine = store.engine();
    let session = engine.session();
    let guard = session.pin();
    Worker::new(engine, &session, &guard).work_off(1);
}

/// Moves the era on, under a pin of its own, if the last one is safe.
pub fn move_era(store: &Store) {
    let engine = store.engine();
    let session = engine.session();
    engine.eras.advance(&session.pin());
}

/// A handle of a key, as it is when the key's slot could not be held.
pub fn unheld(map: &Map<u64, u64>, key: u64) -> Handle<u64, u64> {
    Handle { map: map.clone(), key, place: Place::empty() }
}

/// The table of a map without its versions: numbers, each its own hash.
///
/// A handle; all clones are the same table. What the table outgrows stays until the last one goes. Not `Send`, as loom's threads
/// need not be.
#[derive(Clone)]
pub struct Keys {
    shared: Rc<Shared>,
}

struct Shared {
    component: Component,
    outgrown: RefCell<RetireQueue>,
}

/// A slot for a key, not yet in the table.
pub struct Prepared {
    slot: *const SlotHeader,
    key: u64,
}

impl Keys {
    /// An empty table.
    pub fn new() -> Self {
        let shared = Shared { component: Component::new::<u64, ()>(0), outgrown: RefCell::default() };
        Self { shared: Rc::new(shared) }
    }

    /// Makes a slot for a key.
    pub fn prepare(&self, key: u64) -> Prepared {
        Prepared { slot: self.shared.component.make_slot(key, key), key }
    }

    /// Puts a prepared slot into the table; `false` if its key has one. As `MapPin` does for a key that it does not find.
    pub fn insert(&self, Prepared { slot, key }: Prepared) -> bool {
        let component = &self.shared.component;
        // SAFETY: slots live as long as the component.
        let slot = unsafe { &*slot };
        let table = &component.table;
        match table.find_or_insert(key, |slot| key_of(slot) == key, || slot, || usize::MAX, |old| self.keep(old)) {
            Inserted::Added => true,
            Inserted::Found(_) => {
                // SAFETY: never published.
                self.keep(unsafe { component.retire_slot(slot) });
                false
            }
        }
    }

    /// Whether a lookup finds the key.
    pub fn contains(&self, key: u64) -> bool {
        self.shared.component.table.find(key, |slot| key_of(slot) == key).is_some()
    }

    /// The keys that a walk meets, sorted, each as often as it is met.
    pub fn walk(&self) -> Vec<u64> {
        let (mut position, mut slots) = (Some(Position::START), Vec::new());
        while let Some(from) = position {
            position = self.shared.component.table.step(from, &mut slots);
        }
        let mut keys: Vec<u64> = slots.into_iter().map(key_of).collect();
        keys.sort_unstable();
        keys
    }

    fn keep(&self, old: Retired) {
        self.shared.outgrown.borrow_mut().push(old);
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prepared").field(&self.key).finish()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.outgrown.get_mut().take_all().reclaim();
    }
}

fn key_of(slot: &SlotHeader) -> u64 {
    // SAFETY: all slots here are `Slot<u64>`, occupied until the last handle goes.
    *unsafe { Slot::<u64>::key(slot) }
}
