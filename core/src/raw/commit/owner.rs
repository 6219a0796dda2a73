//! The owner's part of a commit. See [`commit`](super).

use std::ptr;

use crate::Version;
use crate::raw::chain::{self, Latest};
use crate::raw::commit::descriptor::{Access, Descriptor, Role, Seen};
use crate::raw::commit::failed::Failed;
use crate::raw::commit::placed::Home;
use crate::raw::commit::status::State;
use crate::raw::component::{Component, ErasedKey};
use crate::raw::engine::Worker;
use crate::raw::era::Retired;
use crate::raw::lineage::Recording;
use crate::raw::slot::{self, SlotHeader};
use crate::raw::stamp::Stamp;
use crate::sync::rule::{self, Rule};
use crate::tuning;

/// What a commit compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    /// All that was read must be what is committed; if nothing is written, nothing: what was read is of one moment.
    Reads,
    /// What is written must not have changed after this tick.
    WritesSince(u64),
}

/// A transaction lost against another writer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost {
    component: *const Component,
    /// The key's hash.
    pub(crate) hash: u64,
    /// The key; none if it was a scan that lost.
    access: Option<(*const SlotHeader, u64)>,
    /// The version that the transaction had seen.
    pub(crate) seen: Option<Version>,
    /// The version that the key has now.
    pub(crate) found: Option<Version>,
}

// SAFETY: slots and components are shared between threads, and outlive the transaction.
unsafe impl Send for Lost {}

impl Lost {
    /// The number of the key's component.
    pub(crate) fn component(&self) -> u16 {
        // SAFETY: components live as long as their store.
        unsafe { &*self.component }.id()
    }

    /// The key, if its slot is still its own. Runs user code. The caller is pinned.
    pub(crate) fn key(&self) -> Option<ErasedKey> {
        let (slot, generation) = self.access?;
        // SAFETY: slots are type-stable as long as their store, and components live as long.
        unsafe { (*self.component).key(&*slot, generation) }
    }
}

impl<'g> Worker<'g> {
    /// Makes what a draft writes visible at one tick. Runs no user code: if the draft [`asks_time`](Descriptor::asks_time), the caller has asked.
    pub(crate) fn commit(&self, mut draft: Box<Descriptor>, checks: Checks) -> Result<(), Lost> {
        draft.arrange(!matches!(checks, Checks::WritesSince(_)));
        loop {
            if let Err(access) = self.expect(&mut draft, checks) {
                let lost = self.lost(&draft, access);
                self.discard(draft);
                return Err(lost);
            }
            match draft.writes() {
                [] => {}
                [write] if !draft.validates() => {
                    if !self.replace_one(*write) {
                        continue;
                    }
                }
                _ => {
                    let descriptor = Box::into_raw(draft);
                    // SAFETY: retired below, under this pin.
                    let published = unsafe { &*descriptor };
                    let intent = Stamp::intent(descriptor);
                    published.writes().iter().for_each(|write| write.own_version().set_intent(intent));
                    if rule::holds(Rule::AnnounceTransaction) {
                        self.record.announce_all(descriptor);
                    }
                    if !published.install_first() {
                        // Nobody has met it, so nothing is lost: but a consumer may be reading what was announced.
                        self.record.clear();
                        draft = published.renewed();
                        self.retire_descriptor(descriptor);
                        continue;
                    }
                    let outcome = match published.help(&self.engine.clock, Role::Owner) {
                        State::Committed(tick) => {
                            self.conclude(published, intent, tick);
                            Ok(())
                        }
                        State::Aborted(access) => {
                            self.undo(published, intent);
                            Err(self.lost(published, access))
                        }
                        other => unreachable!("a transaction that was helped to its end is {other:?}"),
                    };
                    self.leave(published);
                    self.retire_descriptor(descriptor);
                    return outcome;
                }
            }
            self.leave(&draft);
            draft.recycle();
            return Ok(());
        }
    }

    /// Gives up a draft: its versions were never installed.
    pub(crate) fn discard(&self, draft: Box<Descriptor>) {
        draft.accesses().iter().filter(|access| access.is_write()).for_each(|write| self.give_up(write));
        self.leave(&draft);
        draft.recycle();
    }

    /// Sees what each version that is to be installed replaces, and places it; `Err` names an access that has changed.
    fn expect(&self, draft: &mut Descriptor, checks: Checks) -> Result<(), usize> {
        let writes = draft.writes().len();
        let is_alone = writes == 1 && !draft.validates();
        for (number, write) in draft.accesses_mut()[..writes].iter_mut().enumerate() {
            let latest = chain::latest(write.slot(), &self.engine.clock);
            let (expected, replaced, was_present) = match latest {
                Latest::Purged => return Err(number),
                Latest::Empty => (slot::empty(), None, false),
                Latest::Version(newest) => (newest.address(), Some(newest.stamp), !newest.version.is_tombstone()),
            };
            let is_as_seen = match checks {
                Checks::Reads => match write.seen {
                    Seen::Nothing => true,
                    Seen::Empty => replaced.is_none(),
                    Seen::Version(stamp) => replaced == Some(stamp),
                },
                Checks::WritesSince(tick) => replaced.is_none_or(|stamp| stamp.tick() <= tick),
            };
            if !is_as_seen && rule::holds(Rule::ReplaceWhatWasSeen) || !write.is_in_place() {
                return Err(number);
            }
            if let Some(recording) = write.component().recording() {
                let replaced = if let Latest::Version(newest) = latest { Some(newest) } else { None };
                self.record_change_now(recording, write.version, replaced);
            }
            self.place(write, latest, is_alone);
            write.own_version().set_prev(expected);
            (write.expected, write.replaced, write.was_present) = (expected, replaced, was_present);
        }
        Ok(())
    }

    /// Installs the only version of a transaction, as any write; `false` if the head is another one by now.
    fn replace_one(&self, write: Access) -> bool {
        if write.home == Home::Room {
            return self.replace_in_room(&write);
        }
        // SAFETY: slots and components live as long as the store.
        let (component, slot) = unsafe { (&*write.component, &*write.slot) };
        let seen = write.over().map_or(Latest::Empty, Latest::Version);
        self.replace_recorded(component, slot, seen, write.version).is_ok()
    }

    fn replace_in_room(&self, write: &Access) -> bool {
        let (slot, version) = (write.slot(), write.own_version());
        if self.install(slot, write.expected, write.replaced, version, Stamp::UNDECIDED).is_none() {
            return false;
        }
        self.record.clear();
        self.record.tally.installed.add(1);
        self.count_change(write.component(), write.was_present, false);
        if self.conclude_room(write) {
            self.work_off(tuning::BACKLOG_STEP);
        }
        true
    }

    /// Makes a committed transaction's versions final, tells whoever wants to be told, and prunes.
    fn conclude(&self, descriptor: &Descriptor, intent: Stamp, tick: u64) {
        for write in descriptor.writes() {
            let version = write.own_version();
            version.finalize(intent.after(version.stamp()), tick);
        }
        let wanted = self.engine.desk.wanted();
        for write in descriptor.writes() {
            if wanted.notes() && write.replaced.is_none_or(|replaced| replaced.tick() < tick) {
                self.note(write.slot());
            }
            if wanted.wake_ups() {
                self.remember_to_tell(write.slot());
            }
            if let Some(unread) = write.component().recording().and_then(Recording::counted) {
                unread.count(tick);
            }
        }
        self.record.clear();
        self.record.tally.installed.add(descriptor.writes().len() as u64);
        // First all rights are handed back: to work at the backlog asks the user's source of time.
        let mut has_filled_a_block = false;
        for write in descriptor.writes() {
            self.count_change(write.component(), write.was_present, write.own_version().is_tombstone());
            if write.home == Home::Room {
                has_filled_a_block |= self.conclude_room(write);
            }
        }
        for write in descriptor.writes().iter().filter(|write| write.home == Home::Own) {
            let version = write.own_version();
            // SAFETY: slots and components live as long as the store.
            let (component, slot): (&'g Component, _) = unsafe { (&*write.component, &*write.slot) };
            self.clean_up(component, slot, write.replaced.is_some(), version, version.stamp());
        }
        if has_filled_a_block {
            self.work_off(tuning::BACKLOG_STEP);
        }
    }

    /// Takes back an aborted transaction's versions.
    fn undo(&self, descriptor: &Descriptor, intent: Stamp) {
        for write in descriptor.writes() {
            let version = write.own_version();
            let seen = version.stamp();
            version.conclude(intent.after(seen), Stamp::FAILED.after(seen));
        }
        self.record.clear();
        let may_come_late = descriptor.status().is_helped() && rule::holds(Rule::RetireFailedWhenSafe);
        // Read under the pin: the era does not move beyond it twice.
        let tag = self.engine.eras.now() + 1;
        for write in descriptor.writes() {
            match (write.home, may_come_late) {
                (Home::Room, false) => self.undo_room(write, tag),
                (_, false) => Failed::new(write).take_off().into_iter().for_each(|garbage| self.retire(garbage)),
                (home, true) => {
                    if home == Home::Room {
                        self.close_rooms(write);
                    }
                    self.leave_failed(tag, Failed::new(write));
                }
            }
        }
    }

    /// Leaves slots to be looked at that the transaction may have made, and that hold nothing.
    fn leave(&self, descriptor: &Descriptor) {
        for access in descriptor.accesses() {
            let found_nothing = access.seen == Seen::Empty || access.is_write() && access.replaced.is_none();
            if found_nothing {
                self.leave_empty(access.component(), access.slot(), access.generation);
            }
        }
    }

    #[cold]
    pub(super) fn lost(&self, descriptor: &Descriptor, number: usize) -> Lost {
        self.record.tally.conflicts.add(1);
        let (component, access) = descriptor.culprit(number);
        let component = ptr::from_ref(component);
        let Some(access) = access else { return Lost { component, hash: 0, access: None, seen: None, found: None } };
        let seen = if let Seen::Version(stamp) = access.seen { Some(stamp.version()) } else { None };
        let found = match chain::read(access.slot(), &self.engine.clock) {
            Latest::Version(newest) if !newest.version.is_tombstone() => Some(newest.stamp.version()),
            _ => None,
        };
        Lost { component, hash: access.slot().hash(), access: Some((access.slot, access.generation)), seen, found }
    }

    fn retire_descriptor(&self, descriptor: *mut Descriptor) {
        // SAFETY: none of its versions is an intent any more, and it is not announced; no component is needed.
        self.retire(unsafe { Retired::new(descriptor.cast(), ptr::null(), reclaim_descriptor) });
    }
}

/// # Safety
/// As [`Reclaim`](crate::raw::era::Reclaim): the item is a descriptor.
unsafe fn reclaim_descriptor(item: *mut u8, _component: *const Component) {
    // SAFETY: leaked once in `commit`, and nobody can reach it.
    unsafe { Box::from_raw(item.cast::<Descriptor>()) }.recycle();
}
