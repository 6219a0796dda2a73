//! A store without its names: clock, registry, eras, records, notes, backlog; and a pinned thread at work in it.

use std::hash::BuildHasher;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard, Weak};

use crate::raw::admission::Admission;
use crate::raw::backlog::{Backlog, WaitsFor};
use crate::raw::chain::{self, Latest, VersionHeader};
use crate::raw::clock::Clock;
use crate::raw::component::Component;
use crate::raw::dropped::Dropped;
use crate::raw::era::{Eras, Retired};
use crate::raw::lineage::Recording;
use crate::raw::notes::{NotesDesk, Wanted};
use crate::raw::pruning::Pruning;
use crate::raw::record::{Record, Records};
use crate::raw::registry::{LiveView, Registry};
use crate::raw::session::{self, Session};
use crate::raw::shelf::Shelf;
use crate::raw::slot::{self, Head, SlotHeader};
use crate::raw::stamp::Stamp;
use crate::raw::tally::Tally;
use crate::raw::timeline::Timeline;
use crate::raw::waiters::{Changed, Waiters};
use crate::store_options::StoreOptions;
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicBool, AtomicUsize, Guard, HashState, Ordering, unique_number};
use crate::time::Time;
use crate::tuning;

/// The shared state under a store.
pub(crate) struct Engine {
    pub(crate) id: u64,
    /// A number that no other store has, in this process or another.
    pub(crate) identity: u64,
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) eras: Eras,
    pub(crate) records: Records,
    pub(crate) desk: NotesDesk,
    pub(crate) backlog: Backlog,
    pub(crate) waiters: Waiters,
    pub(crate) time: Time,
    pub(crate) timeline: Timeline,
    /// Whether any component keeps anything for a time only.
    forgets_by_time: AtomicBool,
    pub(crate) dropped: Dropped,
    /// Live transactions that bound how many there may be.
    pub(crate) bounded_transactions: AtomicUsize,
    pub(crate) admission: Admission,
    /// Components, kept until everything that points into them is gone.
    pub(super) components: RwLock<Components>,
}

/// All components, and who must know of each that comes.
#[derive(Default)]
pub(super) struct Components {
    pub(super) all: Vec<Arc<Component>>,
    /// Those of readers that are told every change of the whole store.
    shelves: Vec<Weak<Shelf>>,
}

/// Components that a store can number.
pub(crate) const COMPONENTS_MAX: usize = u16::MAX as usize;

impl Engine {
    pub(crate) fn new(options: StoreOptions) -> Arc<Self> {
        let id = unique_number();
        Arc::new(Self {
            id,
            identity: HashState::default().hash_one(id),
            clock: Clock::starting_at(1),
            registry: Registry::new(),
            eras: Eras::new(),
            records: Records::new(),
            desk: NotesDesk::new(),
            backlog: Backlog::new(),
            waiters: Waiters::new(),
            time: Time::new(options.time),
            timeline: Timeline::new(options.time_resolution),
            forgets_by_time: AtomicBool::new(false),
            dropped: Dropped::default(),
            bounded_transactions: AtomicUsize::new(0),
            admission: Admission::new(options.bytes_max, options.waits_max),
            components: RwLock::default(),
        })
    }

    /// Makes a component with the next free number, and keeps it for as long as the engine. `None` if there are too many.
    pub(crate) fn add_component(self: &Arc<Self>, make: impl FnOnce(u16) -> Component) -> Option<Arc<Component>> {
        let mut components = self.write_components();
        let id = u16::try_from(components.all.len()).ok().filter(|id| usize::from(*id) < COMPONENTS_MAX)?;
        let component = Arc::new(make(id));
        if component.recording().is_some_and(Recording::asks_time) {
            // Relaxed: whoever writes to the component has its handle from here.
            self.forgets_by_time.store(true, Ordering::Relaxed);
        }
        if component.recording().is_some_and(Recording::keeps_history) {
            self.timeline.begin();
        }
        components.all.push(Arc::clone(&component));
        components.shelves.iter().filter_map(Weak::upgrade).for_each(|shelf| shelf.put(self, &component));
        Some(component)
    }

    /// Makes the shelf of a reader of the whole store, from all components that there are; those that come later put their bookmarks there.
    pub(crate) fn set_up_shelf(&self, make: impl FnOnce(&[Arc<Component>]) -> Arc<Shelf>) -> Arc<Shelf> {
        let mut components = self.write_components();
        let shelf = make(&components.all);
        components.shelves.retain(|shelf| shelf.strong_count() > 0);
        components.shelves.push(Arc::downgrade(&shelf));
        shelf
    }

    /// The time by which history is forgotten and keys expire: asks the source only if that matters to anybody.
    pub(crate) fn time_to_forget(&self) -> u64 {
        // Relaxed: as above; who misses it forgets nothing.
        if self.forgets_by_time.load(Ordering::Relaxed) { self.time.now() } else { 0 }
    }

    /// All components.
    pub(crate) fn components(&self) -> Vec<Arc<Component>> {
        self.components.read().unwrap_or_else(PoisonError::into_inner).all.clone()
    }

    fn write_components(&self) -> RwLockWriteGuard<'_, Components> {
        self.components.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calling thread's session. Lock-free; registers the thread on its first call.
    #[inline(always)]
    pub(crate) fn session(self: &Arc<Self>) -> Rc<Session> {
        session::session(self)
    }
}

impl Engine {
    /// Whether no live snapshot is older than this tick, by a view that is renewed if that may be news.
    #[cold]
    #[inline(never)]
    fn look_below_snapshots(&self, view: &mut LiveView, tick: u64) -> bool {
        if tick > view.clock || self.registry.may_have_risen(view, &self.clock) {
            self.registry.view_into(&self.clock, view);
        }
        tick <= view.floor()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Everything unlinked goes first: it points into components, which go after it. Dropping may run user code that
        // retires nothing here: nobody has a handle any more.
        let mut batches = Vec::new();
        self.records.visit_exclusively(|owned| {
            while let Some(failed) = owned.failed.take_safe(u64::MAX) {
                owned.retired.extend(failed.take_off());
            }
            batches.push(owned.retired.take_all());
        });
        for mut batch in batches {
            batch.reclaim();
        }
    }
}

/// A pinned thread at work in a store: what every operation is made of.
#[derive(Clone, Copy)]
pub(crate) struct Worker<'g> {
    pub(super) engine: &'g Engine,
    pub(super) record: &'g Record,
    guard: &'g Guard,
}

impl<'g> Worker<'g> {
    /// The caller's session is one of this engine, and the guard is from it.
    #[inline]
    pub(crate) fn new(engine: &'g Engine, session: &'g Session, guard: &'g Guard) -> Self {
        Self { engine, record: session.record_in(engine), guard }
    }

    /// Reads what a slot holds now, for whoever looks.
    #[inline]
    pub(crate) fn read(&self, slot: &SlotHeader) -> Latest<'g> {
        chain::read(slot, &self.engine.clock)
    }

    /// As [`read`](Self::read), from a head that was loaded before, under the same pin.
    pub(crate) fn read_from(&self, head: Head<'g>) -> Latest<'g> {
        chain::read_from(head, &self.engine.clock)
    }

    /// Reads what a slot holds now, for whoever may replace it.
    #[inline]
    pub(crate) fn latest(&self, slot: &SlotHeader) -> Latest<'g> {
        chain::latest(slot, &self.engine.clock)
    }

    /// Reads what a slot held at a tick that a live snapshot holds still.
    #[inline]
    pub(crate) fn at(&self, slot: &SlotHeader, tick: u64) -> Option<&'g VersionHeader> {
        chain::at(slot, tick, &self.engine.clock)
    }

    /// Installs `new` over what was seen, decides it, and leaves everything noted that must be. `Err` if the head has changed;
    /// then `new` is still the caller's. Lock-free. Runs no user code, but the source of time of a component that keeps history, before all else.
    #[inline]
    pub(crate) fn replace(
        &self,
        component: &'g Component,
        slot: &'g SlotHeader,
        seen: Latest<'g>,
        new: *mut VersionHeader,
    ) -> Result<Stamp, Moved> {
        if let Some(recording) = component.recording() {
            let replaced = if let Latest::Version(newest) = seen { Some(newest) } else { None };
            self.record_change(recording, new, replaced);
        }
        self.replace_recorded(component, slot, seen, new)
    }

    /// As [`replace`](Self::replace), with a version that says already what is to be recorded of the change.
    #[inline]
    pub(crate) fn replace_recorded(
        &self,
        component: &'g Component,
        slot: &'g SlotHeader,
        seen: Latest<'g>,
        new: *mut VersionHeader,
    ) -> Result<Stamp, Moved> {
        let (address, replaced) = match seen {
            Latest::Empty => (slot::empty(), None),
            Latest::Version(newest) => (newest.address(), Some(newest)),
            Latest::Purged => return Err(Moved),
        };
        let unread = component.recording().and_then(Recording::counted);
        // SAFETY: allocated by the caller and not yet published.
        let version = unsafe { &*new };
        let is_tombstone = version.is_tombstone();
        version.set_prev(address);
        let undecided = if is_tombstone { Stamp::UNDECIDED.of_removal() } else { Stamp::UNDECIDED };
        let over = replaced.map(|replaced| replaced.stamp);
        let stamp = self.install(slot, address, over, version, undecided).ok_or(Moved)?;
        self.record.tally.installed.add(1);
        if let Some(unread) = unread {
            unread.count(stamp.tick());
        }
        self.record.clear();

        let was_present = replaced.is_some_and(|replaced| !replaced.version.is_tombstone());
        self.count_change(component, was_present, is_tombstone);
        self.clean_up(component, slot, replaced.is_some(), version, stamp);
        Ok(stamp)
    }

    /// Makes a version the head, decides it, and leaves everything noted that must be; `None` if the head has changed. Else the slot is still
    /// announced.
    #[inline(always)]
    pub(super) fn install(
        &self,
        slot: &SlotHeader,
        seen: *mut VersionHeader,
        replaced: Option<Stamp>,
        version: &VersionHeader,
        undecided: Stamp,
    ) -> Option<Stamp> {
        if rule::holds(Rule::AnnounceBeforeInstall) {
            self.record.announce(slot);
        }
        if !rule::holds(Rule::NoteAfterStamp) {
            self.note(slot);
        }
        let wanted_before = (!rule::holds(Rule::WantedAfterStamp)).then(|| self.engine.desk.wanted());
        if !slot.replace_head(seen, std::ptr::from_ref(version).cast_mut()) {
            self.record.clear();
            self.record.tally.retries.add(1);
            return None;
        }
        let stamp = version.decide(undecided, replaced, &self.engine.clock);
        let wanted = wanted_before.unwrap_or_else(|| self.engine.desk.wanted());
        if wanted.any() {
            let is_first = replaced.is_none_or(|replaced| replaced.tick() < stamp.tick());
            Self::serve(self.engine, self.record, self.guard, wanted, slot, is_first);
        }
        Some(stamp)
    }

    /// Notes a slot that was changed, for the first time in its tick or not, and leaves it to be told, as it is wanted.
    ///
    /// The worker comes in parts, in registers: one that is handed on by its address would be written to memory by every operation.
    #[cold]
    #[inline(never)]
    fn serve(
        engine: &'g Engine,
        record: &'g Record,
        guard: &'g Guard,
        wanted: Wanted,
        slot: &SlotHeader,
        is_first: bool,
    ) {
        let worker = Self { engine, record, guard };
        if wanted.notes() && is_first && rule::holds(Rule::NoteAfterStamp) {
            worker.note(slot);
        }
        if wanted.wake_ups() {
            worker.remember_to_tell(slot);
        }
    }

    /// Counts a key that came or went.
    #[inline]
    pub(super) fn count_change(&self, component: &Component, was_present: bool, is_tombstone: bool) {
        if was_present == is_tombstone {
            component.count(self.record.stripe, if is_tombstone { -1 } else { 1 });
        }
    }

    /// Prunes a slot that got a new version with this stamp, and leaves it to be looked at again if it must be.
    #[inline]
    pub(super) fn clean_up(
        self,
        component: &'g Component,
        slot: &'g SlotHeader,
        has_replaced: bool,
        version: &VersionHeader,
        stamp: Stamp,
    ) {
        // Who writes a room has the right already.
        let is_in_slot = component.rooms.has(slot, version);
        if !is_in_slot {
            self.count_version(component);
        }
        if is_in_slot || has_replaced || version.is_tombstone() || component.recording().is_some() {
            let mut pruning = Pruning::new(self, component, slot);
            match component.recording() {
                None => {
                    let pruned = if is_in_slot {
                        pruning.prune_with_right(tuning::PRUNE_LOOKS)
                    } else {
                        pruning.prune(tuning::PRUNE_LOOKS, None)
                    };
                    pruning.wait(pruned, version, stamp);
                }
                Some(recording) => pruning.prune_recorded(recording, version, stamp),
            }
            if pruning.has_filled_a_block {
                self.work_off(tuning::BACKLOG_STEP);
            }
        }
    }

    /// As [`clean_up`](Self::clean_up), by who has the slot's right, of a component that keeps no history: hands the right back. Returns whether a
    /// block of the backlog was filled, some of which is then to be worked off.
    #[cold]
    pub(super) fn clean_up_with_right(
        &self,
        component: &'g Component,
        slot: &'g SlotHeader,
        version: &VersionHeader,
        stamp: Stamp,
    ) -> bool {
        let mut pruning = Pruning::new(*self, component, slot);
        let pruned = pruning.prune_with_right(tuning::PRUNE_LOOKS);
        pruning.wait(pruned, version, stamp);
        pruning.has_filled_a_block
    }

    /// Counts a version that lies outside of its slot.
    #[inline]
    pub(super) fn count_version(&self, component: &Component) {
        self.record.tally.version_bytes_in.add(component.version_bytes as u64);
        self.count_growth(component.version_bytes);
    }

    #[inline]
    pub(super) fn note(&self, slot: &SlotHeader) {
        // SAFETY: the worker's own record.
        if unsafe { self.record.note(slot) } {
            self.engine.desk.absorb(&self.engine.records, &self.engine.clock);
        }
    }

    /// Leaves it to the end of the operation to wake those who wait for a slot's key.
    #[cold]
    pub(super) fn remember_to_tell(&self, slot: &SlotHeader) {
        let changed = Changed { component: slot.component(), hash: slot.hash() };
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe { self.record.with_owned(|owned| owned.remember_to_tell(changed)) }
    }

    /// Brings in a version of an earlier life, if the slot never had one.
    pub(crate) fn restore(
        &self,
        component: &Component,
        slot: &SlotHeader,
        new: *mut VersionHeader,
    ) -> Result<(), Moved> {
        let (seen, head) = slot.head();
        let is_free = match head {
            Head::Empty => true,
            Head::Version(_) => !rule::holds(Rule::RestoreOnlyWhereEmpty),
            Head::Purged => false,
        };
        if !is_free {
            return Err(Moved);
        }
        // SAFETY: allocated by the caller and not yet published.
        let is_tombstone = unsafe { &*new }.is_tombstone();
        if !slot.replace_head(seen, new) {
            return Err(Moved);
        }
        self.record.tally.installed.add(1);
        if component.rooms.has(slot, new) {
            // The room was taken with the right; who was refused it meanwhile has left the slot in the backlog.
            slot.hand_back(component.rooms);
        } else {
            self.count_version(component);
        }
        if is_tombstone {
            self.enqueue(component, slot, WaitsFor::Floor(self.engine.clock.now()));
        } else {
            component.count(self.record.stripe, 1);
        }
        Ok(())
    }

    /// The oldest live snapshot that sees what was visible from tick `from` until tick `until`.
    pub(super) fn witness(self, from: u64, until: u64) -> Option<u64> {
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe {
            self.record.with_owned(|owned| {
                if until > owned.view.clock {
                    self.engine.registry.view_into(&self.engine.clock, &mut owned.view);
                }
                owned.view.oldest_within(from, until)
            })
        }
    }

    /// Whether no live snapshot is older than this tick, as far as the thread knows: it looks only if that may be news.
    #[inline]
    pub(super) fn is_below_snapshots(&self, tick: u64) -> bool {
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe {
            self.record.with_owned(|owned| {
                tick <= owned.view.floor() || self.engine.look_below_snapshots(&mut owned.view, tick)
            })
        }
    }

    /// Whether the transaction with this number runs under a pin of the thread that lasts until it has ended.
    #[inline]
    pub(crate) fn attempts(&self, (thread, number): (usize, NonZeroU64)) -> bool {
        // SAFETY: the worker's own record.
        unsafe { self.record.attempts(thread, number) }
    }

    /// What the thread has done so far, for people to look at.
    #[inline]
    pub(crate) fn tally(&self) -> &'g Tally {
        &self.record.tally
    }

    #[inline]
    pub(crate) fn retire(&self, retired: Retired) {
        self.record.tally.retired.add(1);
        self.record.tally.garbage_bytes_in.add(retired.bytes());
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe {
            self.record.with_owned(|owned| {
                owned.count_garbage();
                owned.retired.push(retired);
            });
        }
    }

    /// Counts a slot that was put into its component's table.
    pub(crate) fn count_new_slot(&self, component: &Component) {
        component.count_slot(self.record.stripe, 1);
        self.count_growth(component.rooms.at());
    }

    /// Wakes who waits for what was changed; closes a batch of garbage when there is enough, and reclaims what may be. Runs wakers and
    /// the user's `Drop`, so it stands at the end of an operation.
    #[inline]
    pub(crate) fn tidy(&self) {
        // SAFETY: the worker's own record; nothing in here comes back.
        if unsafe { self.record.with_owned(|owned| owned.is_due()) } {
            Self::tidy_now(self.engine, self.record, self.guard);
        }
    }

    /// The worker comes in parts: see `serve`.
    #[cold]
    #[inline(never)]
    fn tidy_now(engine: &'g Engine, record: &'g Record, guard: &'g Guard) {
        let worker = Self { engine, record, guard };
        // SAFETY: the worker's own record; nothing in here comes back.
        let (changed, is_due) = unsafe { record.with_owned(|owned| (owned.take_to_tell(), owned.begin_to_tidy())) };
        if !changed.is_empty() {
            engine.waiters.wake(&changed);
        }
        if is_due {
            engine.dropped.step(&worker);
            worker.close_garbage();
            worker.work_off(tuning::BACKLOG_STEP);
            worker.reclaim_garbage();
            worker.look_at_load();
        }
    }

    /// Closes the batch of garbage, however small, and reclaims what may be.
    pub(crate) fn reclaim_now(&self) {
        self.close_garbage();
        self.reclaim_garbage();
    }

    fn close_garbage(&self) {
        let engine = self.engine;
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe {
            self.record.with_owned(|owned| {
                engine.records.adopt(|left| {
                    owned.retired.adopt(&mut left.retired);
                    owned.failed.adopt(&mut left.failed);
                });
            });
        }
        self.take_out_failed();
        // SAFETY: as above.
        unsafe { self.record.with_owned(|owned| owned.retired.close(&engine.eras)) };
        engine.eras.advance(self.guard);
    }

    fn reclaim_garbage(&self) {
        loop {
            let safe = self.engine.eras.safe();
            // SAFETY: the worker's own record; nothing in here comes back.
            let batch = unsafe { self.record.with_owned(|owned| owned.retired.take_safe(safe)) };
            let Some(mut batch) = batch else { break };
            self.record.tally.reclaimed.add(batch.len() as u64);
            self.record.tally.garbage_bytes_out.add(batch.bytes());
            batch.reclaim();
            // SAFETY: as above.
            unsafe { self.record.with_owned(|owned| owned.retired.recycle(batch)) };
        }
    }

    /// How much garbage the calling thread holds.
    pub(crate) fn garbage(&self) -> usize {
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe { self.record.with_owned(|owned| owned.retired.len() + owned.failed.len()) }
    }
}

/// The head has changed: look again.
#[derive(Debug)]
pub(crate) struct Moved;

const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Engine>();
};
