//! What a reader of every change holds: its bookmarks, in one component or in all of a store.
//!
//! A *shelf* has a bookmark (see [`unread`](crate::raw::unread)) in each component of which its reader is told every change. That of a whole
//! store is known to the engine: a component that is registered later gets its bookmark before anybody can write to it. All bookmarks of a
//! shelf begin at one tick, behind one compare-and-swap on the clock.
//!
//! A bookmark keeps no component in use: one that has lost its name and its handles is emptied as ever, for nobody can ask for its changes
//! any more.

use std::ptr::NonNull;
use std::sync::{Arc, PoisonError};

use crate::raw::clock::Clock;
use crate::raw::component::Component;
use crate::raw::engine::{Engine, Worker};
use crate::raw::era::Retired;
use crate::raw::lineage::Recording;
use crate::raw::slot::SlotHeader;
use crate::raw::unread::{Bookmark, Mark, Unread};
use crate::sync::rule::{self, Rule};
use crate::sync::{Mutex, MutexGuard, Ordering, fence};
use crate::tuning;

/// A bookmark that is held, in a component that keeps every change.
pub(crate) struct Reading {
    engine: Arc<Engine>,
    component: NonNull<Component>,
    bookmark: NonNull<Bookmark>,
    /// Whether writers may count at it.
    is_counted: bool,
    /// How many changes were read of those that came since the bookmark is a reader's.
    read: u64,
}

// SAFETY: a bookmark is made of atomics, and lives as long as the component, which lives as long as the engine, which is held.
unsafe impl Send for Reading {}
// SAFETY: as above.
unsafe impl Sync for Reading {}

impl Reading {
    /// For a reader: a bookmark that wants all, and counts nothing until it begins; `None` if the component does not keep every change.
    fn idle(engine: &Arc<Engine>, component: &Component) -> Option<Self> {
        let bookmark = component.unread()?.claim();
        bookmark.begin(u64::MAX, Mark::Reader(0));
        Some(Self::of(engine, component, bookmark, true))
    }

    fn of(engine: &Arc<Engine>, component: &Component, bookmark: &Bookmark, is_counted: bool) -> Self {
        let (component, bookmark) = (NonNull::from(component), NonNull::from(bookmark));
        Self { engine: Arc::clone(engine), component, bookmark, is_counted, read: 0 }
    }

    /// For a batch: keeps what came after a tick, also when its reader has gone on; `None` if some of that may have gone.
    fn batch(&self, tick: u64) -> Option<Self> {
        let bookmark = self.unread().claim();
        bookmark.set(Mark::Batch(tick));
        let batch = Self::of(&self.engine, self.component(), bookmark, false);
        // SeqCst fence [UNREAD-2]: the bookmark stands before the look at what has passed. Mate: [UNREAD-1].
        fence(Ordering::SeqCst);
        (!self.unread().has_passed(tick) && !self.mark().is_given_up()).then_some(batch)
    }

    /// The component.
    pub(crate) fn component(&self) -> &Component {
        // SAFETY: components live as long as their engine.
        unsafe { self.component.as_ref() }
    }

    fn mark(&self) -> &Bookmark {
        // SAFETY: lives as long as the component.
        unsafe { self.bookmark.as_ref() }
    }

    fn unread(&self) -> &Unread {
        let Some(unread) = self.component().unread() else { unreachable!("who has a bookmark has its component's") };
        unread
    }

    /// Whether nobody can ask for the component's changes any more.
    fn is_let_go(&self) -> bool {
        self.component().recording().is_some_and(Recording::has_let_go)
    }

    /// The reader has read so many changes more, which are all up to a tick. Says whether anything may go now that it has held back.
    fn go_on(&mut self, tick: u64, changes: u64) -> bool {
        self.read += changes;
        self.mark().count_read(changes as i64);
        let seen @ Mark::Reader(before) = self.mark().load() else { return false };
        self.mark().exchange(seen, Mark::Reader(tick.max(before))) && self.unread().floor() > before
    }

    fn give_up(&self) {
        if let seen @ Mark::Reader(tick) = self.mark().load() {
            self.mark().exchange(seen, Mark::GivenUp(tick));
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.mark().set(Mark::Unused);
        if !self.is_counted {
            self.mark().free();
            return;
        }
        // A writer that has met it as the reader's may be about to count.
        let session = self.engine.session();
        let guard = session.pin();
        let worker = Worker::new(&self.engine, &session, &guard);
        // SAFETY: (1) nobody counts at an unused one; (2) its reader's, once; (3) freed as a bookmark, which lives as long as its component.
        worker.retire(unsafe { Retired::new(self.bookmark.as_ptr().cast(), self.component.as_ptr(), free_bookmark) });
    }
}

/// # Safety
/// As [`Reclaim`](crate::raw::era::Reclaim): the item is a bookmark of the component.
unsafe fn free_bookmark(item: *mut u8, _component: *const Component) {
    // SAFETY: lives as long as its component, which is alive.
    unsafe { &*item.cast::<Bookmark>() }.free();
}

/// The bookmarks of a reader.
pub(crate) struct Shelf {
    books: Mutex<Books>,
    /// Whether it is that of a whole store.
    is_whole: bool,
}

struct Books {
    /// The tick at which they have begun; a tick that does not come, if they have not.
    begun: u64,
    readings: Vec<Reading>,
}

/// How many changes a reader has read in each component, when it has read a batch.
pub(crate) type Progress = Vec<(u16, u64)>;

impl Shelf {
    /// For a reader of one component; without a bookmark if that does not keep every change.
    pub(crate) fn of(engine: &Arc<Engine>, component: &Component) -> Arc<Self> {
        Arc::new(Self::with(Reading::idle(engine, component).into_iter().collect(), false))
    }

    /// For a reader of a whole store.
    pub(crate) fn of_store(engine: &Arc<Engine>) -> Arc<Self> {
        engine.set_up_shelf(|components| {
            let readings = components.iter().filter_map(|component| Reading::idle(engine, component));
            Arc::new(Self::with(readings.collect(), true))
        })
    }

    fn with(readings: Vec<Reading>, is_whole: bool) -> Self {
        Self { books: Mutex::new(Books { begun: u64::MAX, readings }), is_whole }
    }

    /// Puts a bookmark in a component that nobody has written to.
    pub(super) fn put(&self, engine: &Arc<Engine>, component: &Component) {
        let mut books = self.lock();
        if let Some(reading) = Reading::idle(engine, component) {
            if books.begun != u64::MAX {
                reading.mark().begin(books.begun, Mark::Reader(books.begun));
            }
            books.readings.push(reading);
        }
    }

    /// Puts bookmarks that have not begun in the place of those that have, and hands those out: they keep what they keep until they are dropped.
    pub(crate) fn renew(&self) -> Vec<Reading> {
        let mut books = self.lock();
        if std::mem::replace(&mut books.begun, u64::MAX) == u64::MAX {
            return Vec::new();
        }
        let fresh = |reading: &Reading| Reading::idle(&reading.engine, reading.component());
        let fresh = books.readings.iter().filter(|reading| !reading.is_let_go()).filter_map(fresh).collect();
        std::mem::replace(&mut books.readings, fresh)
    }

    /// Begins: from now on all is kept that is later than a tick, or than now, and all is counted that is later than now. Returns what is now;
    /// `None` if the clock was moved meanwhile: then it must be done with other bookmarks.
    pub(crate) fn begin(&self, clock: &Clock, since: Option<u64>) -> Option<u64> {
        let mut books = self.lock();
        let begun = clock.now();
        books.begun = begun;
        for reading in &books.readings {
            reading.mark().begin(begun, Mark::Reader(since.unwrap_or(begun)));
        }
        (clock.stands_at(begun) || !rule::holds(Rule::BeginInTick)).then_some(begun)
    }

    /// What a desk looks at, of a reader of one component.
    pub(crate) fn bookmark(&self) -> Option<NonNull<Bookmark>> {
        let books = self.lock();
        books.readings.first().filter(|_| !self.is_whole).map(|reading| reading.bookmark)
    }

    /// Whether it is that of a whole store.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether all that a component had after a tick is there, as far as the shelf has a bookmark in it. Behind the fence [UNREAD-2].
    pub(crate) fn has_all_since(&self, component: &Component, tick: u64) -> Option<bool> {
        let books = self.lock();
        let reading = books.readings.iter().find(|reading| reading.component().id() == component.id())?;
        Some(!reading.unread().has_passed(tick) && !component.has_base())
    }

    /// Counts what changed in slots of a component after a tick and up to that at which the reader has begun: it waits for the reader already.
    /// `false` if that is more than may.
    pub(crate) fn had_waiting(&self, component: &Component, slots: &[*mut SlotHeader], since: u64) -> bool {
        let books = self.lock();
        let begun = books.begun;
        let reading = books.readings.iter().find(|reading| reading.component().id() == component.id());
        reading.is_none_or(|reading| {
            let changes = count_changes(&reading.engine, slots, since, begun);
            reading.mark().count_read(-(changes as i64));
            changes <= reading.unread().waiting_max
        })
    }

    /// Keeps what came after a tick in those of its components that have changed, for a batch; `None` if some of that may have gone.
    pub(crate) fn batch(&self, since: u64, has_changed: impl Fn(u16) -> bool) -> Option<Vec<Reading>> {
        let mut books = self.lock();
        books.readings.retain(|reading| !reading.is_let_go());
        let changed = books.readings.iter().filter(|reading| has_changed(reading.component().id()));
        changed.map(|reading| reading.batch(since)).collect()
    }

    /// What the reader will have read of a component with so many changes more.
    pub(crate) fn read_with(&self, component: u16, changes: u64) -> u64 {
        let books = self.lock();
        let reading = books.readings.iter().find(|reading| reading.component().id() == component);
        reading.map_or(0, |reading| reading.read) + changes
    }

    /// The reader has read all that came after one tick, up to another, of what waits in these slots: so much as it is known to have read then;
    /// else it is counted. Takes out what nobody wants any more. `false` if it can't be counted any more.
    pub(crate) fn go_on(&self, since: u64, tick: u64, slots: &mut [*mut SlotHeader], known: Option<&Progress>) -> bool {
        // SAFETY: noted slots are type-stable as long as their store.
        let component = |slot: &*mut SlotHeader| unsafe { &**slot }.component();
        slots.sort_unstable_by_key(component);
        let (mut is_exact, mut freed) = (true, Vec::new());
        for reading in &mut self.lock().readings {
            let id = reading.component().id();
            let from = slots.partition_point(|slot| component(slot) < id);
            let own = &slots[from..slots.partition_point(|slot| component(slot) <= id)];
            let changes = match known {
                Some(known) => {
                    let total = known.iter().find(|(component, _)| *component == id).map_or(0, |(_, total)| *total);
                    total.saturating_sub(reading.read)
                }
                None if reading.mark().is_given_up() => {
                    is_exact = false;
                    0
                }
                None => count_changes(&reading.engine, own, since, tick),
            };
            // Of one that was given up nothing waits, but what was read before counts.
            if (changes > 0 || !own.is_empty()) && reading.go_on(tick, changes) {
                freed.push((Arc::clone(&reading.engine), reading.component, own));
            }
        }
        for (engine, component, slots) in freed {
            // SAFETY: components live as long as their engine.
            prune_read(&engine, unsafe { component.as_ref() }, slots);
        }
        is_exact
    }

    /// How many changes wait for the reader.
    pub(crate) fn waiting(&self) -> u64 {
        let books = self.lock();
        books.readings.iter().filter(|reading| !reading.is_let_go()).map(|reading| reading.mark().waiting()).sum()
    }

    /// Whether the reader was given up.
    pub(crate) fn is_given_up(&self) -> bool {
        let books = self.lock();
        books.readings.iter().any(|reading| reading.mark().is_given_up() && !reading.is_let_go())
    }

    /// Gives the reader up, as a writer would.
    pub(crate) fn give_up(&self) {
        self.lock().readings.iter().for_each(Reading::give_up);
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        // No user code runs under it; after a panic for want of memory it is whole.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many changes slots have seen after one tick, up to another.
fn count_changes(engine: &Arc<Engine>, slots: &[*mut SlotHeader], since: u64, until: u64) -> u64 {
    if since >= until {
        return 0;
    }
    let mut changes = 0;
    for some in slots.chunks(tuning::SCAN_STEP) {
        let session = engine.session();
        let guard = session.pin();
        let worker = Worker::new(engine, &session, &guard);
        // SAFETY: noted slots are type-stable as long as their store.
        let slots = some.iter().map(|slot| unsafe { &**slot });
        changes += slots.map(|slot| worker.between(slot, since, until).count() as u64).sum::<u64>();
    }
    changes
}

/// Takes out what the slowest reader has just read.
fn prune_read(engine: &Arc<Engine>, component: &Component, slots: &[*mut SlotHeader]) {
    for some in slots.chunks(tuning::SCAN_STEP) {
        let session = engine.session();
        let guard = session.pin();
        let worker = Worker::new(engine, &session, &guard);
        for slot in some {
            // SAFETY: noted slots are type-stable as long as their store.
            worker.prune_read(component, unsafe { &**slot });
        }
        worker.tidy();
    }
}
