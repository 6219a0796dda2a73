//! Watches in a model what becomes of every item that is retired: whoever touches reclaimed memory is told so.
//!
//! An item that was retired may be reclaimed once every pin has ended that began before its batch got its tag. So, in the
//! order in which the model runs:
//!
//! - an item is retired once;
//! - a thread does not come upon an item whose batch was tagged before the thread's pin began, or while it has no pin, or that was
//!   reclaimed;
//! - an item is not reclaimed while a pin lasts that began before the tag;
//! - a snapshot lends nothing that was retired, tagged or not: what it lends outlives every pin.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use loom::thread::{self, ThreadId};

/// When something happened, in the order in which the model runs.
pub(crate) type Moment = u64;

/// What a model has retired, and who is pinned.
#[derive(Default)]
struct Watch {
    /// Counts pins and tags, in the order in which they happen.
    moment: Moment,
    fates: HashMap<usize, Fate>,
    /// Who has met which item, in which pin.
    meetings: HashMap<usize, Vec<(ThreadId, Moment)>>,
    /// Rooms that are taken.
    taken: HashSet<usize>,
    pins: HashMap<ThreadId, Pins>,
}

/// What has become of an item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Retired,
    /// Its batch was tagged at this moment.
    Tagged(Moment),
    Reclaimed,
    /// It was in a room, which will be taken again when nobody who may have met it is left. It has no tag of its own that later pins
    /// could be measured by.
    Unlinked,
}

/// A thread's pins, nested.
#[derive(Clone, Copy)]
struct Pins {
    depth: usize,
    since: Moment,
}

loom::lazy_static! {
    static ref WATCH: Mutex<Watch> = Mutex::new(Watch::default());
}

fn watch() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

fn address<T: ?Sized>(item: *const T) -> usize {
    item.cast::<u8>().addr()
}

impl Watch {
    fn next_moment(&mut self) -> Moment {
        self.moment += 1;
        self.moment
    }
}

/// The calling thread pins itself; `true` if it had no pin.
pub(crate) fn pinned() -> bool {
    let mut watch = watch();
    let since = watch.next_moment();
    let pins = watch.pins.entry(thread::current().id()).or_insert(Pins { depth: 0, since });
    pins.depth += 1;
    pins.depth == 1
}

/// The calling thread drops a pin; `true` if it has none left.
pub(crate) fn unpinned() -> bool {
    let (mut watch, thread) = (watch(), thread::current().id());
    let depth = watch.pins.get_mut(&thread).map_or(0, |pins| {
        pins.depth -= 1;
        pins.depth
    });
    if depth == 0 {
        watch.pins.remove(&thread);
    }
    depth == 0
}

/// Memory is put to use, perhaps not for the first time.
pub(crate) fn allocated<T: ?Sized>(item: *const T) {
    watch().fates.remove(&address(item));
}

/// An item was unlinked and waits to be reclaimed.
#[track_caller]
pub(crate) fn retired<T: ?Sized>(item: *const T) {
    let before = watch().fates.insert(address(item), Fate::Retired);
    assert!(before.is_none(), "an item is retired twice");
}

/// A version in a room was unlinked.
#[track_caller]
pub(crate) fn unlinked<T: ?Sized>(item: *const T) {
    let before = watch().fates.insert(address(item), Fate::Unlinked);
    assert!(before.is_none(), "an item is retired twice");
    given_back(item);
}

/// A room is no longer taken.
pub(crate) fn given_back<T: ?Sized>(item: *const T) {
    watch().taken.remove(&address(item));
}

/// A room is taken again.
#[track_caller]
pub(crate) fn reused<T: ?Sized>(item: *const T) {
    let mut watch = watch();
    let fate = watch.fates.get(&address(item)).copied();
    let meetings = watch.meetings.remove(&address(item)).unwrap_or_default();
    let is_met = meetings.iter().any(|(thread, since)| watch.pins.get(thread).is_some_and(|pins| pins.since == *since));
    let is_taken = !watch.taken.insert(address(item));
    drop(watch);
    assert!(!is_taken, "a room is taken twice");
    // A room that was given back without being installed has no fate, and its version no one has met.
    assert!(!is_met || fate.is_none(), "a room is taken under a reader");
}

/// The moment at which a batch is fenced off from later pins.
pub(crate) fn moment() -> Moment {
    watch().next_moment()
}

/// The batch of a retired item has its tag, read at this moment.
pub(crate) fn tagged<T: ?Sized>(item: *const T, moment: Moment) {
    watch().fates.insert(address(item), Fate::Tagged(moment));
}

/// A retired item's memory may be used again from now on.
#[track_caller]
pub(crate) fn reclaimed<T: ?Sized>(item: *const T) {
    let mut watch = watch();
    let tagged = match watch.fates.insert(address(item), Fate::Reclaimed) {
        Some(Fate::Tagged(tagged)) => tagged,
        // With its store, when nobody is pinned any more.
        _ => 0,
    };
    assert!(watch.pins.values().all(|pins| pins.since > tagged), "an item is reclaimed under a pin");
}

/// A pinned thread, or one that only looks, has come upon an item.
#[track_caller]
pub(crate) fn met<T: ?Sized>(item: *const T) {
    let mut watch = watch();
    if let Some(since) = watch.pins.get(&thread::current().id()).map(|pins| pins.since) {
        let meeting = (thread::current().id(), since);
        let meetings = watch.meetings.entry(address(item)).or_default();
        if !meetings.contains(&meeting) {
            meetings.push(meeting);
        }
    }
    let may_be_met = match watch.fates.get(&address(item)) {
        None | Some(Fate::Retired | Fate::Unlinked) => true,
        Some(Fate::Tagged(tagged)) => watch.pins.get(&thread::current().id()).is_some_and(|pins| pins.since < *tagged),
        Some(Fate::Reclaimed) => false,
    };
    drop(watch);
    assert!(may_be_met, "an item is met that may have been reclaimed");
}

/// A snapshot hands out a reference to an item, which outlives every pin.
#[track_caller]
pub(crate) fn lent<T: ?Sized>(item: *const T) {
    assert!(!watch().fates.contains_key(&address(item)), "a snapshot lends what was retired");
}
