//! A store without its names: clock, registry, eras, records, notes, backlog; and a pinned thread at work in it.

use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use crate::raw::backlog::{Backlog, Waiting, WaitsFor};
use crate::raw::chain::{self, Latest, Pruned, VersionHeader};
use crate::raw::clock::Clock;
use crate::raw::component::Component;
use crate::raw::dropped::Dropped;
use crate::raw::era::{Eras, Retired};
use crate::raw::lineage::Recording;
use crate::raw::notes::NotesDesk;
use crate::raw::pruning::Pruning;
use crate::raw::record::{Record, Records};
use crate::raw::registry::{LiveView, Registry};
use crate::raw::session::{SESSIONS, Session};
use crate::raw::slot::{Head, PruneRight, SlotHeader};
use crate::raw::stamp::Stamp;
use crate::raw::tally::Tally;
use crate::raw::waiters::{Changed, Waiters};
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicBool, AtomicUsize, Guard, HashState, Ordering, fence, unique_number};
use crate::time::{Time, TimeSource};
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
    /// Whether any component keeps anything for a time only.
    forgets_by_time: AtomicBool,
    pub(crate) dropped: Dropped,
    /// Live transactions that bound how many there may be.
    pub(crate) bounded_transactions: AtomicUsize,
    /// Components, kept until everything that points into them is gone.
    components: Mutex<Vec<Arc<Component>>>,
}

/// Components that a store can number.
pub(crate) const COMPONENTS_MAX: usize = u16::MAX as usize;

impl Engine {
    pub(crate) fn new(time: Arc<dyn TimeSource>) -> Arc<Self> {
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
            time: Time::new(time),
            forgets_by_time: AtomicBool::new(false),
            dropped: Dropped::default(),
            bounded_transactions: AtomicUsize::new(0),
            components: Mutex::new(Vec::new()),
        })
    }

    /// Makes a component with the next free number, and keeps it for as long as the engine. `None` if there are too many.
    pub(crate) fn add_component(&self, make: impl FnOnce(u16) -> Component) -> Option<Arc<Component>> {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let id = u16::try_from(components.len()).ok().filter(|id| usize::from(*id) < COMPONENTS_MAX)?;
        let component = Arc::new(make(id));
        if component.recording().is_some_and(Recording::asks_time) {
            // Relaxed: whoever writes to the component has its handle from here.
            self.forgets_by_time.store(true, Ordering::Relaxed);
        }
        components.push(Arc::clone(&component));
        Some(component)
    }

    /// The time by which history is forgotten and keys expire: asks the source only if that matters to anybody.
    pub(crate) fn time_to_forget(&self) -> u64 {
        // Relaxed: as above; who misses it forgets nothing.
        if self.forgets_by_time.load(Ordering::Relaxed) { self.time.now() } else { 0 }
    }

    /// All components.
    pub(crate) fn components(&self) -> Vec<Arc<Component>> {
        self.components.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The calling thread's session. Lock-free; registers the thread on its first call.
    #[inline(always)]
    pub(crate) fn session(self: &Arc<Self>) -> Rc<Session> {
        SESSIONS.try_with(|sessions| sessions.borrow_mut().get(self)).unwrap_or_else(|_| self.session_for_one_call())
    }
}

impl Engine {
    /// The thread is ending and its table is gone: a session for this call.
    #[cold]
    #[inline(never)]
    fn session_for_one_call(self: &Arc<Self>) -> Rc<Session> {
        Rc::new(Session::new(self))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Everything unlinked goes first: it points into components, which go after it. Dropping may run user code that
        // retires nothing here: nobody has a handle any more.
        let mut batches = Vec::new();
        self.records.visit_exclusively(|owned| {
            while let Some(failed) = owned.failed.take_safe(u64::MAX) {
                owned.retired.push(failed.take_out());
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
    /// then `new` is still the caller's. Lock-free, and runs no user code.
    #[inline]
    pub(crate) fn replace(
        &self,
        component: &'g Component,
        slot: &'g SlotHeader,
        seen: Latest<'g>,
        new: *mut VersionHeader,
    ) -> Result<Stamp, Moved> {
        let (address, replaced) = match seen {
            Latest::Empty => (std::ptr::null_mut(), None),
            Latest::Version(newest) => (newest.address(), Some(newest)),
            Latest::Purged => return Err(Moved),
        };
        if let Some(recording) = component.recording() {
            self.record_change(recording, new, replaced);
        }
        // SAFETY: allocated by the caller and not yet published.
        let version = unsafe { &*new };
        let is_tombstone = version.is_tombstone();
        version.set_prev(address);
        if rule::holds(Rule::AnnounceBeforeInstall) {
            self.record.announce(slot);
        }
        if !rule::holds(Rule::NoteAfterStamp) {
            self.note(slot);
        }
        let wanted_before = (!rule::holds(Rule::WantedAfterStamp)).then(|| self.engine.desk.wanted());
        if address.is_null() {
            component.count_birth();
        }
        if !slot.replace_head(address, new) {
            self.record.clear();
            self.record.tally.retries.add(1);
            return Err(Moved);
        }
        self.record.tally.installed.add(1);
        let stamp = version.decide(&self.engine.clock);
        let wanted = wanted_before.unwrap_or_else(|| self.engine.desk.wanted());
        if wanted.notes()
            && replaced.is_none_or(|replaced| replaced.stamp.tick() < stamp.tick())
            && rule::holds(Rule::NoteAfterStamp)
        {
            self.note(slot);
        }
        if wanted.wake_ups() {
            self.remember_to_tell(slot);
        }
        self.record.clear();

        let was_present = replaced.is_some_and(|replaced| !replaced.version.is_tombstone());
        self.count_change(component, was_present, is_tombstone);
        self.clean_up(component, slot, replaced.is_some(), version, stamp);
        Ok(stamp)
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
        &self,
        component: &'g Component,
        slot: &'g SlotHeader,
        has_replaced: bool,
        version: &VersionHeader,
        stamp: Stamp,
    ) {
        // Who writes a room has the right already.
        let is_in_slot = component.rooms.has(slot, version);
        if is_in_slot || has_replaced || version.is_tombstone() || component.recording().is_some() {
            let mut pruning = Pruning::new(*self, component, slot);
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
        unsafe { self.record.with_owned(|owned| owned.to_tell.push(changed)) }
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
        component.count_birth();
        if !slot.replace_head(seen, new) {
            return Err(Moved);
        }
        self.record.tally.installed.add(1);
        if component.rooms.has(slot, new) {
            // The room was taken with the right; who has asked for a look meanwhile has also left the slot in the backlog.
            slot.abandon_prune();
        }
        if is_tombstone {
            self.enqueue(component, slot, WaitsFor::Floor(self.engine.clock.now()));
        } else {
            component.count(self.record.stripe, 1);
        }
        Ok(())
    }

    /// The oldest live snapshot that sees what was visible from tick `from` until tick `until`.
    pub(super) fn witness(&self, from: u64, until: u64) -> Option<u64> {
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

    /// What the thread has done so far, for people to look at.
    #[inline]
    pub(crate) fn tally(&self) -> &'g Tally {
        &self.record.tally
    }

    #[inline]
    pub(crate) fn retire(&self, retired: Retired) {
        self.record.tally.retired.add(1);
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe { self.record.with_owned(|owned| owned.retired.push(retired)) }
    }

    /// Leaves a slot to be looked at again, and works off more than that adds.
    pub(super) fn enqueue(&self, component: &Component, slot: &SlotHeader, waits_for: WaitsFor) {
        if self.put_in_backlog(component, slot, waits_for) {
            self.work_off(tuning::BACKLOG_STEP);
        }
    }

    /// Puts a slot into the thread's block of the backlog; `true` if that filled the block.
    pub(super) fn put_in_backlog(&self, component: &Component, slot: &SlotHeader, waits_for: WaitsFor) -> bool {
        if !slot.enqueue(waits_for) {
            return false;
        }
        let (slot, generation) = (std::ptr::from_ref(slot).cast_mut(), slot.generation());
        self.push_to_backlog(Waiting { component, slot, generation, waits_for })
    }

    /// Leaves a slot to be purged that has no version, if that is so. It was found in its component's index when it had this generation.
    pub(super) fn leave_empty(&self, component: &Component, slot: &SlotHeader, generation: u64) {
        if matches!(slot.head().1, Head::Empty) && slot.generation() == generation {
            let slot = std::ptr::from_ref(slot).cast_mut();
            self.push_to_backlog(Waiting { component, slot, generation, waits_for: WaitsFor::Empty });
        }
    }

    fn push_to_backlog(&self, waiting: Waiting) -> bool {
        // SAFETY: the worker's own record; nothing in here comes back.
        let full = unsafe { self.record.with_owned(|owned| owned.backlog.push(waiting)) };
        let is_full = full.is_some();
        if let Some(block) = full {
            self.engine.backlog.push(block);
        }
        is_full
    }

    /// Looks again at some blocks of slots; returns how many slots had what they waited for.
    pub(crate) fn work_off(&self, blocks: usize) -> usize {
        self.work_off_within(blocks, tuning::BACKLOG_LOOKS)
    }

    /// As [`work_off`](Self::work_off), and passes by no more than so many blocks that are not ready.
    fn work_off_within(&self, blocks: usize, looks: usize) -> usize {
        if self.engine.backlog.len() == 0 || self.is_sweeping() {
            return 0;
        }
        // Before a block is taken: it asks the user's source.
        let now = self.engine.time_to_forget();
        let view = self.engine.registry.view(&self.engine.clock);
        let (mut done, mut served) = (0, 0);
        for _ in 0..looks {
            if done == blocks {
                break;
            }
            let Some((block, garbage)) = self.engine.backlog.pop() else { break };
            self.retire(garbage);
            if let Some(tick) = block.floor() {
                self.pass(tick);
            }
            if !block.is_ready(|tick| !view.has_ended(tick), self.purge_floor(), now) {
                self.engine.backlog.push(block);
                continue;
            }
            done += 1;
            for waiting in block.slots {
                served += usize::from(self.look_again(waiting, &view) == Looked::Served);
            }
        }
        served
    }

    /// Moves the clock past the tick of tombstones that wait, if nobody else would.
    fn pass(&self, tick: u64) {
        let is_due = self.engine.clock.now() == tick && !self.engine.desk.wants_notes();
        if is_due && rule::holds(Rule::PurgeAfterTick) {
            self.engine.clock.advance_past(tick);
        }
    }

    /// Up to which tick tombstones may go: what all consumers have, and the clock has passed.
    fn purge_floor(&self) -> u64 {
        let passed =
            if rule::holds(Rule::PurgeAfterTick) { self.engine.clock.now() - 1 } else { self.engine.clock.now() };
        self.engine.desk.floor().min(passed)
    }

    /// Looks at a slot that waits, and puts it back if it has to wait on.
    fn look_again(&self, waiting: Waiting, view: &LiveView) -> Looked {
        // SAFETY: slots are type-stable, and components live as long as the engine.
        let (component, slot) = unsafe { (&*waiting.component, &*waiting.slot) };
        // Freed meanwhile: that saves the look, which would do no harm to whoever has the slot now.
        if slot.generation() != waiting.generation {
            return Looked::Served;
        }
        if waiting.waits_for == WaitsFor::Empty {
            return self.look_at_empty(component, slot, waiting);
        }
        slot.dequeue(waiting.waits_for);
        let mut pruning = Pruning::new(*self, component, slot).judged_by(view);
        let watched = match waiting.waits_for {
            // Not due: its block is looked at for another one. And the view may be older than the entry: it may show an older snapshot
            // that still sees the version, as if this entry were that of a version that has gone.
            WaitsFor::Snapshot(tick) if !view.has_ended(tick) => {
                pruning.enqueue(waiting.waits_for);
                return Looked::WaitsOn;
            }
            WaitsFor::Time(time) if self.engine.time.known() < time => {
                pruning.enqueue(waiting.waits_for);
                return Looked::WaitsOn;
            }
            WaitsFor::Time(_) if self.expire(component, slot) => return Looked::Served,
            WaitsFor::Snapshot(tick) => Some(tick),
            WaitsFor::Floor(_) | WaitsFor::Time(_) | WaitsFor::Look | WaitsFor::Empty => None,
        };
        let pruned = pruning.prune(usize::MAX, watched);
        if pruned == Pruned::Busy {
            // The entry was not served.
            pruning.enqueue(waiting.waits_for);
            return Looked::WaitsOn;
        }
        match self.read(slot) {
            Latest::Purged | Latest::Empty => {}
            Latest::Version(newest) => {
                let stamp = newest.stamp;
                if pruned == Pruned::Single && newest.version.is_tombstone() && !pruning.keeps_removal(newest.version) {
                    self.pass(stamp.tick());
                    if newest.version.prev().is_none()
                        && stamp.tick() <= self.purge_floor()
                        && self.may_purge(component)
                        && self.announce_purge(component, stamp.tick())
                    {
                        if self.purge(component, slot, newest.address()) == Purged::Busy {
                            pruning.enqueue(WaitsFor::Look);
                        }
                        return Looked::Served;
                    }
                }
                if pruning.wait(pruned, newest.version, stamp) == Some(waiting.waits_for) {
                    return Looked::WaitsOn;
                }
            }
        }
        Looked::Served
    }

    fn may_purge(&self, component: &Component) -> bool {
        component.may_purge(self.engine.eras.safe()) || !rule::holds(Rule::KeepTombstoneOverBase)
    }

    /// Says that a removal with this tick leaves no trace; `false` if somebody has come who must be told of it.
    fn announce_purge(&self, component: &Component, tick: u64) -> bool {
        if !rule::holds(Rule::PurgeTellsCursors) {
            return true;
        }
        component.forget_removals(tick);
        // SeqCst fence [PURGE-1]: the mark stands before the floor. Mate: [PURGE-2] of who resumes at a cursor, between its floor and
        // its look at the mark: either it sees the mark, or its floor is seen here.
        fence(Ordering::SeqCst);
        tick <= self.purge_floor()
    }

    /// Counts a slot that was put into its component's table.
    pub(crate) fn count_new_slot(&self, component: &Component) {
        component.count_slot(self.record.stripe, 1);
    }

    /// Takes a key out for good, if the slot's head is still the tombstone that was seen, or null.
    ///
    /// The right to prune stays with the slot until it is freed. Else somebody who comes late, by a stale entry of the backlog, could get it
    /// before the slot is freed, and prune beside whoever prunes the next key's chain.
    fn purge(&self, component: &'g Component, slot: &'g SlotHeader, seen: *mut VersionHeader) -> Purged {
        if slot.try_prune() == PruneRight::Busy {
            return Purged::Busy;
        }
        self.purge_by_right(component, slot, seen)
    }

    /// Purges a slot that has no version: a transaction has made it for a key that is absent.
    ///
    /// No version tells the use that the entry speaks of from a later one, in which the slot may be empty as well and not yet in the index. But a slot
    /// is freed with the right to prune still kept. So whoever has got the right, and then sees the generation of the entry, has the
    /// right to that use.
    fn look_at_empty(&self, component: &'g Component, slot: &'g SlotHeader, waiting: Waiting) -> Looked {
        if !matches!(slot.head().1, Head::Empty) || !self.may_purge(component) {
            return Looked::Served;
        }
        if slot.try_prune() == PruneRight::Busy {
            self.push_to_backlog(waiting);
            return Looked::WaitsOn;
        }
        let asked_for_a_look = if slot.generation() == waiting.generation {
            self.purge_by_right(component, slot, std::ptr::null_mut()) == Purged::Busy
        } else {
            let is_asked = !slot.end_prune();
            if is_asked {
                slot.abandon_prune();
            }
            is_asked
        };
        if asked_for_a_look {
            // Whoever has asked has met a version there.
            self.put_in_backlog(component, slot, WaitsFor::Look);
        }
        Looked::Served
    }

    fn purge_by_right(&self, component: &'g Component, slot: &'g SlotHeader, seen: *mut VersionHeader) -> Purged {
        if rule::holds(Rule::PurgeByHead) && !slot.purge(seen) {
            slot.abandon_prune();
            // Somebody who has asked for a look meanwhile asks no more.
            return Purged::Busy;
        }
        component.count_slot(self.record.stripe, -1);
        self.record.tally.purged.add(1);
        if rule::holds(Rule::UnlinkBeforeRetire) {
            component.unlink(slot, |garbage| self.retire(garbage));
        }
        if !seen.is_null() {
            // SAFETY: taken off the head by us alone.
            unsafe { self.retire_version(component, slot, seen) };
        }
        // SAFETY: unlinked, and purged by us alone.
        self.retire(unsafe { component.retire_slot(slot) });
        Purged::Done
    }

    /// Wakes who waits for what was changed; closes a batch of garbage when there is enough, and reclaims what may be. Runs wakers and
    /// the user's `Drop`, so it stands at the end of an operation.
    #[inline]
    pub(crate) fn tidy(&self) {
        // SAFETY: the worker's own record; nothing in here comes back.
        let (tells, is_due) = unsafe { self.record.with_owned(|owned| (!owned.to_tell.is_empty(), owned.is_due())) };
        if tells {
            self.tell_now();
        }
        if is_due {
            self.tidy_now();
        }
    }

    #[cold]
    fn tell_now(&self) {
        // SAFETY: the worker's own record; nothing in here comes back.
        let changed = unsafe { self.record.with_owned(|owned| std::mem::take(&mut owned.to_tell)) };
        self.engine.waiters.wake(&changed);
    }

    /// Closes the batch of garbage, works off some of the backlog, and reclaims what may be.
    #[cold]
    fn tidy_now(&self) {
        self.engine.dropped.step(self);
        self.close_garbage();
        self.work_off(tuning::BACKLOG_STEP);
        self.reclaim_garbage();
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
            batch.reclaim();
            // SAFETY: as above.
            unsafe { self.record.with_owned(|owned| owned.retired.recycle(batch)) };
        }
    }

    /// Looks again at some blocks of slots, the thread's own among them, also behind any number that are not ready; returns how
    /// many slots had what they waited for.
    pub(crate) fn work_off_thoroughly(&self, blocks: usize) -> usize {
        self.flush_backlog();
        // Twice: what is put back while the blocks in front are looked at stands before those that came in meanwhile.
        self.work_off_within(blocks, 2 * self.engine.backlog.blocks())
    }

    /// Hands the thread's partly filled block of the backlog to everybody.
    fn flush_backlog(&self) {
        // SAFETY: the worker's own record; nothing in here comes back.
        let block = unsafe { self.record.with_owned(|owned| owned.backlog.take()) };
        if let Some(block) = block {
            self.engine.backlog.push(block);
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

/// What came of purging a key.
#[derive(Debug, PartialEq, Eq)]
enum Purged {
    Done,
    /// Another is at the chain, or has changed it: it must be looked at again.
    Busy,
}

/// What came of a look at a slot that waits.
#[derive(Debug, PartialEq, Eq)]
enum Looked {
    /// It waits no longer, or for something else.
    Served,
    /// It waits for the same as before.
    WaitsOn,
}

const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Engine>();
};
