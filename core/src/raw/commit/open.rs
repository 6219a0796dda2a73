//! What a transaction reads while it is *open*: while it holds no moment still.
//!
//! To hold a moment still costs the registry's words, some fences, and a move of the clock: half of what a small transaction costs, and
//! each of its writes would be the first in its tick, to be noted. So one that runs under a pin of its thread, from its beginning to its end,
//! begins without. What it meets is not reclaimed under the pin, and no slot that it has met becomes another key's.
//!
//! # Why what it has read is of one moment
//! After each key that it reads, it looks again at those that it has read before. Versions do not return: if they are what they were, they
//! were so when the last key was read. Else it has *lost*, and begins again.
//!
//! # Why that is enough
//! Writes have [one order](crate::raw::chain), and whoever sees one of them sees all that come before it. Let *w* be the last one, in that order, of the
//! versions that it has read. Every other key was read, or looked at again, after *w* was seen: what came before *w* would have been met. So
//! each version that it has read was what its key held just after *w*: that is when the transaction happens. Who comes later has seen *w* too, or what
//! came before, and sees no less. So one that only reads ends as it is. One that writes has it compared once more when it commits.
//!
//! # When it does not stay open
//! Each look costs as many as there are keys. With more than a few of them, for a scan, or outside its pin, a transaction takes a moment
//! after all, and goes on if it shows what was read so far.

use std::ptr;

use crate::raw::chain::{self, VersionHeader};
use crate::raw::commit::descriptor::{Access, Descriptor, Seen};
use crate::raw::commit::owner::Lost;
use crate::raw::component::Component;
use crate::raw::engine::Worker;
use crate::raw::slot::{Head, SlotHeader};
use crate::sync::rule::{self, Rule};
use crate::tuning;

impl Descriptor {
    /// Whether there are so few keys that it may stay open.
    #[inline]
    pub(crate) fn is_small(&self) -> bool {
        self.accesses().len() <= tuning::OPEN_ACCESSES
    }

    /// Reads a slot of which the draft has no access yet, under the pin under which all accesses were made, if that is as simple as it nearly always is:
    /// the newest version is final and has a value, as those that were read before, which are what they were. `None` if not: then nothing was done.
    #[inline]
    pub(crate) fn read_plainly<'g>(&mut self, component: &Component, slot: &SlotHeader) -> Option<&'g VersionHeader> {
        const { assert!(tuning::OPEN_ACCESSES <= tuning::FEW_ACCESSES, "what is open needs no table") };
        let newest = chain::plain(slot.head().1)?;
        if self.accesses().len() >= tuning::OPEN_ACCESSES {
            return None;
        }
        for access in self.accesses() {
            let is_unchanged = || match (access.seen, chain::plain(access.slot().head().1)) {
                (Seen::Version(stamp), Some(newest)) => newest.stamp == stamp,
                (seen, _) => seen == Seen::Nothing,
            };
            if ptr::eq(access.slot, slot) || rule::holds(Rule::LookAgain) && !is_unchanged() {
                return None;
            }
        }
        self.add_few(Access { seen: Seen::Version(newest.stamp), ..Access::new(component, slot) });
        Some(newest.version)
    }
}

impl<'g> Worker<'g> {
    /// Reads what the slot of an access holds, under the pin under which all accesses were made.
    #[inline]
    pub(crate) fn read_open(&self, draft: &mut Descriptor, number: usize) -> Result<Option<&'g VersionHeader>, Lost> {
        let latest = chain::read(draft.access(number).slot(), &self.engine.clock);
        let Some(found) = Seen::of(latest) else { return Err(self.lost(draft, number)) };
        let access = draft.access(number);
        let before = std::mem::replace(&mut access.seen, found);
        if before != Seen::Nothing && before != found {
            return Err(self.lost(draft, number));
        }
        if before == Seen::Nothing
            && rule::holds(Rule::LookAgain)
            && let Some(changed) = self.changed(draft, number)
        {
            return Err(self.lost(draft, changed));
        }
        Ok(if let chain::Latest::Version(newest) = latest { Some(newest.version) } else { None })
    }

    /// An access that holds something else by now than what was read, of those besides the one with this number.
    #[inline]
    fn changed(&self, draft: &Descriptor, besides: usize) -> Option<usize> {
        let is_other = |access: &Access| Seen::of(chain::read(access.slot(), &self.engine.clock)) != Some(access.seen);
        let mut reads = draft.accesses().iter().enumerate();
        reads.find_map(|(number, access)| {
            (access.seen != Seen::Nothing && number != besides && is_other(access)).then_some(number)
        })
    }

    /// Whether all that was read is what is seen at a tick, which a moment holds still.
    pub(crate) fn confirm_at(&self, draft: &Descriptor, tick: u64) -> Result<(), Lost> {
        let seen_at = |access: &Access| match access.slot().head().1 {
            Head::Purged => None,
            head => {
                let version = chain::at_from(head, tick, &self.engine.clock);
                Some(version.map_or(Seen::Empty, |version| Seen::Version(version.stamp())))
            }
        };
        let is_as_seen = |access: &Access| seen_at(access) == Some(access.seen) && access.is_in_place();
        match draft.accesses().iter().position(|access| access.seen != Seen::Nothing && !is_as_seen(access)) {
            Some(number) => Err(self.lost(draft, number)),
            None => Ok(()),
        }
    }
}
