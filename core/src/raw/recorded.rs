//! A worker at components that keep history: what a change says of itself, and what waits for time.

use std::num::NonZeroU64;
use std::{iter, mem};

use crate::raw::backlog::WaitsFor;
use crate::raw::chain::{Latest, Newest, Pruned, VersionHeader};
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::lineage::{NEVER, Recording};
use crate::raw::pruning::Pruning;
use crate::raw::slot::SlotHeader;
use crate::raw::stamp::Stamp;
use crate::sync::rule::{self, Rule};
use crate::tuning;

impl<'g> Worker<'g> {
    /// Says of a version that is not yet published what follows from the one that it replaces. Asks the time, which runs user code: so before anything
    /// is announced.
    #[cold]
    pub(crate) fn record_change(&self, recording: &Recording, new: *mut VersionHeader, replaced: Option<Newest<'g>>) {
        if !self.is_sweeping() {
            self.engine.time.now();
        }
        self.record_change_now(recording, new, replaced);
    }

    /// The same, when the time was asked before: what is replaced has none that is later than what is known.
    #[cold]
    pub(crate) fn record_change_now(
        &self,
        recording: &Recording,
        new: *mut VersionHeader,
        replaced: Option<Newest<'g>>,
    ) {
        let now = self.engine.time.known();
        if recording.keeps_history() {
            self.engine.timeline.pass(now, &self.engine.clock);
        }
        // SAFETY: the worker's own record; nothing in here comes back.
        let origin = unsafe { self.record.with_owned(|owned| owned.origin) };
        // SAFETY: the caller's alone.
        unsafe { recording.follow(new, replaced.map(|replaced| replaced.version), now, origin) };
    }

    /// Removes a key whose time is over, as a write like any other; `false` if it is not, or has been written meanwhile. Runs no user code.
    ///
    /// The removal replaces exactly the version that was judged: a write that came meanwhile has a time of its own.
    #[cold]
    pub(crate) fn expire(&self, component: &'g Component, slot: &'g SlotHeader) -> bool {
        let Some(recording) = component.recording() else { return false };
        let Some(make) = recording.expiry else { return false };
        let mut seen = self.latest(slot);
        let Latest::Version(newest) = seen else { return false };
        if newest.version.is_tombstone() || !recording.is_expired(newest.version, self.engine.time.known()) {
            return false;
        }
        if !rule::holds(Rule::ExpireWhatWasJudged) {
            seen = self.latest(slot);
        }
        let removal = make();
        self.set_sweeping(true);
        let replaced = self.replace(component, slot, seen, removal);
        self.set_sweeping(false);
        if replaced.is_err() {
            // SAFETY: made above, and not published.
            unsafe { component.drop_unpublished(removal) };
            return false;
        }
        if let Some(bound) = component.bound() {
            bound.leave();
        }
        true
    }

    /// Whether the thread removes a key whose time is over: then it is at work in the backlog already.
    pub(crate) fn is_sweeping(&self) -> bool {
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe { self.record.with_owned(|owned| owned.is_sweeping) }
    }

    fn set_sweeping(&self, is_sweeping: bool) {
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe { self.record.with_owned(|owned| owned.is_sweeping = is_sweeping) }
    }

    /// Says who or what makes the thread's changes from now on; returns who did.
    pub(crate) fn set_origin(&self, origin: Option<NonZeroU64>) -> Option<NonZeroU64> {
        // SAFETY: the worker's own record; nothing in here comes back.
        unsafe { self.record.with_owned(|owned| mem::replace(&mut owned.origin, origin)) }
    }
}

impl<'g> Worker<'g> {
    /// A slot's versions with ticks above one, up to another that the clock has passed: newest first.
    pub(crate) fn between(&self, slot: &SlotHeader, since: u64, until: u64) -> impl Iterator<Item = &'g VersionHeader> {
        let versions = iter::successors(self.at(slot, until), |version| version.prev());
        versions.take_while(move |version| version.stamp().tick() > since)
    }

    /// Takes out of a slot what a reader of every change was the last to want. What still has to wait stands in the backlog.
    pub(crate) fn prune_read(&self, component: &Component, slot: &SlotHeader) {
        Pruning::new(*self, component, slot).prune(usize::MAX, None);
    }
}

impl Pruning<'_, '_> {
    /// Prunes the chain of a key that has a history, if it is time to look at it.
    #[cold]
    pub(super) fn prune_recorded(&mut self, recording: &Recording, newest: &VersionHeader, stamp: Stamp) {
        let lineage = recording.lineage(newest);
        if lineage.is_look_due() {
            let pruned = self.prune(tuning::PRUNE_LOOKS, None);
            lineage.has_looked(self.kept);
            self.wait(pruned, newest, stamp);
        } else {
            if let Some(time) = self.ends_at(newest, recording.keep.look_again_at(lineage.time, lineage.time)) {
                self.enqueue(WaitsFor::Time(time));
            }
            if let (Some(_), Some(replaced)) = (recording.unread(), newest.prev()) {
                self.enqueue(WaitsFor::Readers(replaced.stamp().tick()));
            }
        }
    }

    /// Whether history keeps the removal of a key, of which nothing else is left.
    pub(super) fn keeps_removal(&self, tombstone: &VersionHeader) -> bool {
        let keeps = |recording: &Recording| {
            let now = self.worker.engine.time.known();
            recording.keep.is_young(recording.lineage(tombstone).time, now) && !recording.has_let_go()
        };
        self.component.recording().is_some_and(keeps)
    }

    /// The earlier of a time and the one at which the time of the newest version's key is over.
    fn ends_at(&self, newest: &VersionHeader, time: Option<u64>) -> Option<u64> {
        let expires = |recording: &Recording| recording.expiry.map(|_| recording.lineage(newest).expires);
        let expires = self.component.recording().filter(|_| !newest.is_tombstone()).and_then(expires);
        expires.filter(|expires| *expires != NEVER).into_iter().chain(time).min()
    }

    /// Leaves the slot to be looked at again, if it waits for something by itself, besides its watched versions: a tombstone above such waits
    /// for them first.
    pub(super) fn wait(&mut self, pruned: Pruned, newest: &VersionHeader, stamp: Stamp) -> Option<WaitsFor> {
        let recording = self.component.recording();
        let look_again_at = |replaced| recording?.keep.look_again_at(replaced, self.worker.engine.time.known());
        let is_wanted = |recording: &Recording| recording.is_wanted(stamp.tick());
        let (time, unread) = match (pruned, recording) {
            (Pruned::Single, Some(recording)) if newest.is_tombstone() => {
                let time = look_again_at(recording.lineage(newest).time).filter(|_| self.keeps_removal(newest));
                (time, is_wanted(recording).then_some(stamp.tick()))
            }
            (Pruned::Kept, _) => (self.oldest_replaced.and_then(look_again_at), self.oldest_unread),
            _ => (None, None),
        };
        let time = self.ends_at(newest, time).map(WaitsFor::Time);
        let unread = unread.map(WaitsFor::Readers);
        let waits_for = match pruned {
            Pruned::Single if newest.is_tombstone() && unread.is_none() && !self.keeps_removal(newest) => {
                Some(WaitsFor::Floor(stamp.tick()))
            }
            Pruned::Unfinished | Pruned::Busy => Some(WaitsFor::Look),
            Pruned::Single | Pruned::Kept | Pruned::Seen => None,
        };
        let all = [waits_for, unread, time];
        all.into_iter().flatten().for_each(|waits_for| self.enqueue(waits_for));
        all.into_iter().flatten().next()
    }
}
