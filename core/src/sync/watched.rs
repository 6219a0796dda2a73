//! Watches in a model what is retired, in place of reclaiming it: whoever would touch reclaimed memory is told so.
//!
//! An item that was retired may be reclaimed once every pin has ended that began before its batch got its tag. So, in the
//! order in which the model runs:
//!
//! - an item is retired once;
//! - a thread does not come upon an item whose batch was tagged before the thread's pin began, or while it has no pin;
//! - a snapshot lends nothing that was retired, tagged or not: what it lends outlives every pin.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a model has retired, and when.
#[derive(Default)]
struct Watch {
    /// Counts pins and tags, in the order in which they happen.
    moment: u64,
    /// Of each retired item: when its batch was tagged, if it was.
    retired: HashMap<usize, Option<u64>>,
}

/// A thread's pins, nested.
#[derive(Clone, Copy)]
struct Pins {
    depth: usize,
    since: u64,
}

loom::lazy_static! {
    static ref WATCH: Mutex<Watch> = Mutex::new(Watch::default());
}

loom::thread_local! {
    static PINS: Cell<Pins> = Cell::new(Pins { depth: 0, since: 0 });
}

fn watch() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

fn address<T: ?Sized>(item: *const T) -> usize {
    item.cast::<u8>().addr()
}

impl Watch {
    fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }
}

/// The calling thread pins itself; `true` if it had no pin.
pub(crate) fn pinned() -> bool {
    PINS.with(|pins| {
        let Pins { depth, mut since } = pins.get();
        if depth == 0 {
            since = watch().next_moment();
        }
        pins.set(Pins { depth: depth + 1, since });
        depth == 0
    })
}

/// The calling thread drops a pin.
pub(crate) fn unpinned() {
    PINS.with(|pins| pins.set(Pins { depth: pins.get().depth - 1, ..pins.get() }));
}

/// An item was unlinked and waits to be reclaimed.
#[track_caller]
pub(crate) fn retired<T: ?Sized>(item: *const T) {
    let before = watch().retired.insert(address(item), None);
    assert!(before.is_none(), "an item is retired twice");
}

/// The batch of a retired item has its tag.
pub(crate) fn tagged<T: ?Sized>(item: *const T) {
    let mut watch = watch();
    let now = watch.next_moment();
    watch.retired.insert(address(item), Some(now));
}

/// A pinned thread, or one that only looks, has come upon an item.
#[track_caller]
pub(crate) fn met<T: ?Sized>(item: *const T) {
    let tagged = watch().retired.get(&address(item)).copied().flatten();
    if let Some(tagged) = tagged {
        let pins = PINS.with(Cell::get);
        assert!(pins.depth > 0 && pins.since < tagged, "an item is met that may have been reclaimed");
    }
}

/// A snapshot hands out a reference to an item, which outlives every pin.
#[track_caller]
pub(crate) fn lent<T: ?Sized>(item: *const T) {
    assert!(!watch().retired.contains_key(&address(item)), "a snapshot lends what was retired");
}
