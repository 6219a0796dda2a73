//! A worker at the backlog: slots are left there, and are looked at again when they may have what they waited for: pruned, or purged.

use std::{mem, ptr};

use crate::raw::backlog::{Waiting, WaitsFor};
use crate::raw::chain::{Latest, Pruned, VersionHeader};
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::pruning::Pruning;
use crate::raw::registry::LiveView;
use crate::raw::slot::{self, Head, Purge, SlotHeader};
use crate::sync::rule::{self, Rule};
use crate::sync::{Ordering, fence};
use crate::tuning;

impl<'g> Worker<'g> {
    /// Leaves a slot to be looked at again, and works off more than that adds.
    pub(crate) fn enqueue(&self, component: &Component, slot: &SlotHeader, waits_for: WaitsFor) {
        if self.put_in_backlog(component, slot, waits_for) {
            self.work_off(tuning::BACKLOG_STEP);
        }
    }

    /// Puts a slot into the thread's block of the backlog; `true` if that filled the block.
    pub(super) fn put_in_backlog(&self, component: &Component, slot: &SlotHeader, waits_for: WaitsFor) -> bool {
        if !slot.enqueue(waits_for) {
            return false;
        }
        let (slot, generation) = (ptr::from_ref(slot).cast_mut(), slot.generation());
        self.push_to_backlog(Waiting { component, slot, generation, waits_for })
    }

    /// Leaves a slot to be purged that has no version, if that is so. It was found in its component's index when it had this generation.
    pub(super) fn leave_empty(&self, component: &Component, slot: &SlotHeader, generation: u64) {
        if matches!(slot.head().1, Head::Empty) && slot.generation() == generation {
            let slot = ptr::from_ref(slot).cast_mut();
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
    ///
    /// Once the thread has looked at as many in a row as there are, and found none that is ready, it looks at one each time, until that is, or a
    /// snapshot has come or gone.
    pub(crate) fn work_off(&self, blocks: usize) -> usize {
        self.work_off_within(blocks, None)
    }

    /// As [`work_off`](Self::work_off), and passes by no more than so many blocks that are not ready, if that is said.
    fn work_off_within(&self, blocks: usize, looks: Option<usize>) -> usize {
        if self.engine.backlog.len() == 0 || self.is_sweeping() {
            return 0;
        }
        let view = self.engine.registry.view(&self.engine.clock);
        let looks = looks.unwrap_or_else(|| self.looks_worth_while(&view));
        self.work_off_by(view, blocks, looks)
    }

    /// Looks at blocks that are ready by a view of the live snapshots.
    pub(crate) fn work_off_by(&self, mut view: LiveView, blocks: usize, looks: usize) -> usize {
        // Before a block is taken: it asks the user's source.
        let now = self.engine.time_to_forget();
        let (mut done, mut served, mut passed) = (0, 0, 0);
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
                passed += 1;
                continue;
            }
            done += 1;
            if rule::holds(Rule::JudgeByYoungerView) {
                // Its entries may have come after the view by which it is ready.
                self.engine.registry.view_into(&self.engine.clock, &mut view);
            }
            for waiting in block.slots {
                served += usize::from(self.look_again(waiting, &view) == Looked::Served);
            }
        }
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe {
            self.record.with_owned(|owned| owned.passed_by = if done > 0 { 0 } else { owned.passed_by + passed });
        }
        served
    }

    /// How many blocks a step may pass by, given which snapshots are live.
    fn looks_worth_while(&self, view: &LiveView) -> usize {
        let blocks = self.engine.backlog.blocks();
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe {
            self.record.with_owned(|owned| {
                if mem::replace(&mut owned.passed_by_in, view.mark()) != view.mark() {
                    owned.passed_by = 0;
                }
                if owned.passed_by >= blocks.max(tuning::BACKLOG_LOOKS) { 1 } else { tuning::BACKLOG_LOOKS }
            })
        }
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
            // Not due: its block is looked at for another one.
            WaitsFor::Snapshot(tick) if !view.has_ended(tick) => {
                pruning.enqueue(waiting.waits_for);
                return Looked::WaitsOn;
            }
            WaitsFor::Time(time) if self.engine.time.known() < time => {
                pruning.enqueue(waiting.waits_for);
                return Looked::WaitsOn;
            }
            WaitsFor::Readers(tick) if component.unread_floor() < tick => {
                pruning.enqueue(waiting.waits_for);
                return Looked::WaitsOn;
            }
            WaitsFor::Time(_) if self.expire(component, slot) => return Looked::Served,
            WaitsFor::Snapshot(tick) => Some(tick),
            WaitsFor::Floor(_) | WaitsFor::Time(_) | WaitsFor::Readers(_) | WaitsFor::Look | WaitsFor::Empty => None,
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
        if component.recording().is_some_and(|recording| recording.is_wanted(tick)) {
            return false;
        }
        component.forget_removals(tick);
        // SeqCst fence [PURGE-1]: the mark stands before the floor. Mate: [PURGE-2] of who resumes at a cursor, between its floor and
        // its look at the mark: either it sees the mark, or its floor is seen here.
        fence(Ordering::SeqCst);
        tick <= self.purge_floor() && component.recording().is_none_or(|recording| recording.lets_pass(tick))
    }

    /// Takes a key out for good, if the slot's head is still the tombstone that was seen.
    ///
    /// The right to prune stays with the slot until it is freed. Else somebody who comes late, by a stale entry of the backlog, could get it
    /// before the slot is freed, and prune beside whoever prunes the next key's chain.
    fn purge(&self, component: &'g Component, slot: &'g SlotHeader, seen: *mut VersionHeader) -> Purged {
        if !slot.try_right(component.rooms) {
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
        if !matches!(slot.head().1, Head::Empty) {
            return Looked::Served;
        }
        if !self.may_purge(component) || !slot.try_right(component.rooms) {
            self.push_to_backlog(waiting);
            return Looked::WaitsOn;
        }
        if slot.generation() != waiting.generation {
            slot.hand_back(component.rooms);
        } else if self.purge_by_right(component, slot, slot::empty()) == Purged::Busy {
            // A version has come: its writer did not get the right to look at it.
            self.put_in_backlog(component, slot, WaitsFor::Look);
        }
        Looked::Served
    }

    /// Puts a slot out of use if its head still is what was seen, a tombstone or empty, and hands the right back if not.
    fn purge_by_right(&self, component: &'g Component, slot: &'g SlotHeader, seen: *mut VersionHeader) -> Purged {
        let purge = if rule::holds(Rule::PurgeByHead) { slot.purge(seen) } else { Purge::Done };
        match purge {
            Purge::Done => {}
            Purge::Held => {
                slot.hand_back(component.rooms);
                return Purged::Held;
            }
            Purge::Changed => {
                slot.hand_back(component.rooms);
                return Purged::Busy;
            }
        }
        component.count_slot(self.record.stripe, -1);
        self.record.tally.purged.add(1);
        if rule::holds(Rule::UnlinkBeforeRetire) {
            component.unlink(slot, |garbage| self.retire(garbage));
        }
        if seen != slot::empty() {
            // SAFETY: taken off the head by us alone.
            unsafe { self.retire_version(component, slot, seen) };
        }
        // SAFETY: unlinked, and purged by us alone.
        self.retire(unsafe { component.retire_slot(slot) });
        Purged::Done
    }

    /// Looks again at some blocks of slots, the thread's own among them, also behind any number that are not ready; returns how
    /// many slots had what they waited for.
    pub(crate) fn work_off_thoroughly(&self, blocks: usize) -> usize {
        self.flush_backlog();
        // Twice: what is put back while the blocks in front are looked at stands before those that came in meanwhile.
        self.work_off_within(blocks, Some(2 * self.engine.backlog.blocks()))
    }

    /// Hands the thread's partly filled block of the backlog to everybody.
    fn flush_backlog(&self) {
        // SAFETY: the worker's own record; nothing in here comes back.
        let block = unsafe { self.record.with_owned(|owned| owned.backlog.take()) };
        if let Some(block) = block {
            self.engine.backlog.push(block);
        }
    }
}

/// What came of purging a key.
#[derive(Debug, PartialEq, Eq)]
enum Purged {
    Done,
    /// Another is at the chain, or has changed it: it must be looked at again.
    Busy,
    /// It is held: the last holder leaves it to be looked at again.
    Held,
}

/// What came of a look at a slot that waits.
#[derive(Debug, PartialEq, Eq)]
enum Looked {
    /// It waits no longer, or for something else.
    Served,
    /// It waits for the same as before.
    WaitsOn,
}
