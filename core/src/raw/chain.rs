//! Chains of versions: install, stamp by helping, read at a time, prune exactly.
//!
//! # Words
//! A *version* has a stamp, the address of the version that it replaced (`prev`) or the chain's end, and a value, or none if it is a tombstone.
//! A slot's *head* is the newest. A version is *undecided* until its stamp is set. The version of a transaction is an *intent* until the
//! transaction is decided (see [`commit`](crate::raw::commit)), and then final or *failed*.
//!
//! # Rules
//! 1. Only the head may be undecided, an intent or failed: whoever replaces a version has seen its final stamp. What stands below an intent
//!    or a failed version is the newest committed one. Whoever wants to replace a failed version makes that the head again.
//! 2. A stamp is set once, by compare-and-swap from undecided, to the clock read behind a SeqCst fence that stands after
//!    the version was met. Anyone may do it; whoever meets an undecided version must, before using its value.
//! 3. A stamp's sequence is one more than the replaced version's in the same tick, else 0; the replaced stamp is read before
//!    the clock. A full sequence moves the clock.
//! 4. `prev` of a published version is changed only by the slot's one pruner, and only on a final version. (The mark of who has the slot's
//!    right, in the first room's, is no part of what it links to: see [`rooms`](crate::raw::rooms).)
//! 5. A version leaves the chain only when it was replaced by a final one and no live snapshot lies in between, and
//!    history does not keep it; it is retired by the pruner that unlinked it.
//!
//! # Why a snapshot is consistent
//! A snapshot with tick *s* moves the clock past *s* before anyone reads at it. Take a version *v* and a reader at *s*.
//! Either *v*'s stamp was set from a clock ≤ *s*, or it was not.
//! - If it was, whoever set it had met *v* in its slot (rule 2) and stood behind a fence before the clock moved past *s*;
//!   the reader stands behind a fence after that. The fences order them: the reader sees the head *v* or a newer one.
//! - If it was not, *v*'s tick is greater than *s* for good, also if the reader itself must decide it now. It reads on below.
//!
//! So all readers at *s* see the same versions, for as long as they like.
//!
//! # Why who looks and snapshots agree
//! Take a version *w* that a snapshot at *s* sees, and a version *v* of another key that it does not see, since its tick is greater. Then
//! whoever sees *v* sees *w*, or what has replaced it: else *w* would have come after *v* for him, and before it for the snapshot. Between the clock that
//! was read for *v* and its stamp stands a second fence. *w*'s stamp was set from a clock ≤ *s*, read behind a fence. Had that one come after the
//! second fence of *v*, the clock behind it would have been greater. So it came before, and who sees *v*'s stamp sees what stands
//! before it: *w* in its slot.
//!
//! So writes have one order, by their ticks, and in a tick by their first fences; and whoever sees one of them sees all that come before it.
//!
//! # Watched versions
//! A version that was replaced and that a live snapshot sees is *left* to the next writer of its key if it lies in a room of its slot (see
//! [`rooms`](crate::raw::rooms)), and is not below a removal. Any other is *watched* by exactly one entry of the backlog: that of the oldest
//! snapshot that saw it. When the entry is looked at, that one has ended, and the version is
//! unlinked, or watched by an entry of the oldest that still sees it. So a snapshot that is kept for long hides nothing that others
//! leave, however many come and go beside it.
//!
//! The entry finds its version again by the snapshot's tick *w*: it is the version that was visible at *w*, if the oldest snapshot that sees it
//! is not older than *w*. A version below it may come to fill its place when it has been unlinked; but that one was
//! replaced at or before *w*, so no snapshot from *w* on sees it, and an older one has an entry of its own.
//!
//! *Why the view by which an entry is judged is taken after the entry was found:* then a snapshot older than *w* in it that sees the version was
//! there when the entry was made, and that would be the oldest's. Two views that are taken side by side may each show a snapshot
//! that had ended for the other one: by an older view, the one that it shows may be older than *w*, and the entry be taken for that of a version
//! that is gone.
//!
//! A version that history keeps (see [`lineage`](crate::raw::lineage)) needs no watch: whoever finds it kept no longer watches it or
//! unlinks it then.
//!
//! # Why pruning takes nothing from a reader
//! The pruner judges by a view of the live snapshots taken at or after the tick at which the version was replaced (see
//! [`registry`](crate::raw::registry)): later snapshots see the newer version. A reader that stands on an unlinked version
//! goes on along its frozen `prev`, under its pin, and what its snapshot sees was never unlinked.

use std::ptr;

use crate::raw::clock::Clock;
use crate::raw::slot::{self, Head, SlotHeader};
use crate::raw::stamp::Stamp;
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicPtr, AtomicU64, Ordering, fence, fence_behind_exchange, fence_behind_load, watch};

/// Set in a version's `prev`, by its slot's pruner: an entry of the backlog watches it.
const WATCHED: usize = 1;
/// Set in the `prev` of a slot's first room: somebody has the slot's right. See [`rooms`](crate::raw::rooms).
const RIGHT: usize = 2;
/// Set in a `prev` that is no address: the chain ends here. Above it stands the newest tag of the rooms that were freed in the slot.
const END: usize = 4;
/// Set in a chain's end: the version there is left to the next writer, and the tag is also that of the room which it is in. See
/// [`rooms`](crate::raw::rooms).
const LEFT: usize = 8;
const TAG_SHIFT: u32 = 4;
/// A tag that is never safe.
const CLOSED: u64 = u64::MAX >> TAG_SHIFT;
const MARKS: usize = WATCHED | RIGHT;

const _: () = assert!(align_of::<VersionHeader>() >= 8, "an address leaves room for the marks");

/// The end of a chain.
fn end(tag: u64) -> *mut VersionHeader {
    ptr::without_provenance_mut((tag as usize) << TAG_SHIFT | END)
}

/// The tag of a chain's end.
#[inline]
fn tag_of(link: *mut VersionHeader) -> Option<u64> {
    (link.addr() & END != 0).then_some((link.addr() >> TAG_SHIFT) as u64)
}

/// What a version links to that is its chain's last one: comparing two looks at it tells whether the chain has changed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End(*mut VersionHeader);

impl End {
    /// The newest tag of the rooms that were freed in the slot.
    #[inline]
    pub(crate) fn tag(self) -> u64 {
        (self.0.addr() >> TAG_SHIFT) as u64
    }
}

/// The part of a version that does not depend on the value's type.
#[repr(C)]
pub(crate) struct VersionHeader {
    stamp: AtomicU64,
    prev: AtomicPtr<VersionHeader>,
}

impl VersionHeader {
    /// A version that is not yet installed.
    pub(crate) fn new(stamp: Stamp, is_tombstone: bool) -> Self {
        let stamp = if is_tombstone { stamp.of_removal() } else { stamp };
        Self { stamp: AtomicU64::new(stamp.word()), prev: AtomicPtr::new(end(0)) }
    }

    /// Whether the version says that the key was removed.
    #[inline]
    pub(crate) fn is_tombstone(&self) -> bool {
        // Relaxed: that is said before the version is published, and never changes.
        Stamp::from_word(self.stamp.load(Ordering::Relaxed)).is_removal()
    }

    /// The stamp as it stands.
    #[inline]
    pub(crate) fn stamp(&self) -> Stamp {
        // Acquire [STAMP-2]: with AcqRel [STAMP-1] in `decide`: the clock is not read older than this tick afterwards.
        Stamp::from_word(self.stamp.load(Ordering::Acquire))
    }

    /// The version that this one replaced, or what is left below it.
    #[inline]
    pub(crate) fn prev<'g>(&self) -> Option<&'g VersionHeader> {
        let link = self.link();
        if link.addr() & END != 0 {
            return None;
        }
        // SAFETY: a linked version is reclaimed only when no pin that could have met it is left, and callers hold one, or
        // hold a snapshot that sees it.
        let prev = unsafe { &*link };
        watch::met(prev);
        Some(prev)
    }

    /// The address of what is below, or the chain's end.
    #[inline]
    pub(super) fn link(&self) -> *mut VersionHeader {
        // Acquire [PREV-2]: with Release [PREV-1] in `splice`, and HEAD-1 for the first value.
        self.prev.load(Ordering::Acquire).map_addr(|address| address & !MARKS)
    }

    /// The chain's end, if this version is its last.
    #[inline]
    pub(crate) fn end(&self) -> Option<End> {
        let link = self.link();
        (link.addr() & END != 0).then_some(End(link))
    }

    /// Whether the chain ends here as it was seen to end.
    #[inline]
    pub(crate) fn ends_as(&self, seen: End) -> bool {
        self.link() == seen.0
    }

    /// The tag at the chain's end, if this version is its last.
    #[inline]
    pub(crate) fn end_tag(&self) -> Option<u64> {
        tag_of(self.link())
    }

    /// Says which head a version that is not yet published will replace.
    pub(crate) fn set_prev(&self, prev: *mut VersionHeader) {
        let link = if prev == slot::empty() { end(0) } else { prev };
        // Relaxed: not yet published; the right, if the word has it, is the caller's.
        let right = self.prev.load(Ordering::Relaxed).addr() & RIGHT;
        self.prev.store(link.map_addr(|address| address | right), Ordering::Relaxed);
    }

    /// Takes what is directly below out of the chain, and leaves its tag at the chain's end. Only for the slot's pruner.
    #[inline]
    pub(super) fn splice(&self, below: &VersionHeader, tag: u64) {
        let next = below.link();
        match tag_of(next) {
            Some(newest) => self.link_to(end(newest.max(tag))),
            None => {
                self.link_to(next);
                if tag > 0 {
                    self.raise_tag(tag);
                }
            }
        }
    }

    #[inline]
    fn link_to(&self, link: *mut VersionHeader) {
        let marks = self.prev.load(Ordering::Relaxed).addr() & MARKS;
        // Release [PREV-1]: mate of Acquire [PREV-2]; what stays below was published before.
        self.prev.store(link.map_addr(|address| address | marks), Ordering::Release);
    }

    /// Leaves a tag at the end of the chain that goes on from this version, which is final. Only for the slot's pruner.
    #[cold]
    pub(super) fn raise_tag(&self, tag: u64) {
        let last = self.last();
        last.set_tag(tag.max(last.end_tag().unwrap_or(0)));
    }

    /// Leaves a tag at the chain's end that is never safe: nobody takes a room, until another tag is [left](Self::open_rooms). Only for the slot's
    /// pruner, as for all of this.
    pub(super) fn close_rooms(&self) {
        self.last().set_tag(CLOSED);
    }

    /// Leaves this tag at the end of a chain whose rooms were closed.
    pub(super) fn open_rooms(&self, tag: u64) {
        let last = self.last();
        if last.end_tag() == Some(CLOSED) {
            last.set_tag(tag);
        }
    }

    fn last(&self) -> &Self {
        let mut version = self;
        while let Some(below) = version.prev() {
            version = below;
        }
        version
    }

    fn set_tag(&self, tag: u64) {
        let left = self.link().addr() & LEFT;
        self.link_to(end(tag).map_addr(|address| address | left));
    }

    /// Leaves this version, the last of its chain, which was replaced by a final one, to the next writer of its room, who may take it once
    /// the tag is safe. Only for the slot's pruner.
    #[inline]
    pub(crate) fn leave(&self, tag: u64) {
        if let Some(newest) = self.end_tag() {
            self.link_to(end(newest.max(tag)).map_addr(|address| address | LEFT));
        }
    }

    /// The tag with which this version was left to the next writer, if it was.
    #[inline]
    pub(crate) fn left_with(&self) -> Option<u64> {
        let link = self.link();
        tag_of(link).filter(|_| link.addr() & LEFT != 0)
    }

    /// Cuts the chain off below this version, which stands directly over the chain's last one. Only for the slot's pruner.
    #[inline]
    pub(crate) fn cut(&self, tag: u64) {
        self.link_to(end(tag));
    }

    /// Takes the right to a slot, whose first room this is.
    #[inline]
    pub(crate) fn try_right(&self) -> bool {
        let seen = self.prev.load(Ordering::Relaxed);
        let taken = seen.map_addr(|address| address | RIGHT);
        // Acquire [RIGHT-2]: with Release [RIGHT-1]: who has the right sees what was done with it before.
        seen.addr() & RIGHT == 0
            && self.prev.compare_exchange(seen, taken, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Hands the right back.
    #[inline]
    pub(crate) fn hand_back(&self) {
        let word = self.prev.load(Ordering::Relaxed);
        // Release [RIGHT-1]: mate of Acquire [RIGHT-2]. A store will do: only who has the right changes the word.
        self.prev.store(word.map_addr(|address| address & !RIGHT), Ordering::Release);
    }

    /// Says again what a version that is not yet installed is: its room was used before.
    #[inline]
    pub(crate) fn renew(&self, stamp: Stamp, is_tombstone: bool, head: *mut VersionHeader) {
        let stamp = if is_tombstone { stamp.of_removal() } else { stamp };
        // Relaxed: not yet published.
        self.stamp.store(stamp.word(), Ordering::Relaxed);
        self.set_prev(head);
    }

    /// Whether an entry of the backlog watches the version. Only for the slot's pruner.
    fn is_watched(&self) -> bool {
        // Relaxed: only the pruner changes it.
        self.prev.load(Ordering::Relaxed).addr() & WATCHED != 0
    }

    /// Marks the version as watched; `false` if it was. Only for the slot's pruner.
    fn watch(&self) -> bool {
        if self.is_watched() {
            return false;
        }
        let prev = self.prev.load(Ordering::Relaxed);
        // Release [PREV-1]: it publishes what stood there before, again.
        self.prev.store(prev.map_addr(|address| address | WATCHED), Ordering::Release);
        true
    }

    /// Decides a version that its writer has just made the head, undecided, over one with a stamp, and returns its final stamp.
    #[inline]
    pub(crate) fn decide(&self, undecided: Stamp, replaced: Option<Stamp>, clock: &Clock) -> Stamp {
        // Behind the compare-and-swap that has made it the head.
        self.decide_now(undecided, replaced, clock, fence_behind_exchange)
    }

    #[cold]
    #[inline(never)]
    fn decide_helping(&self, undecided: Stamp, clock: &Clock) -> Stamp {
        // Read before the clock, so that the clock read is not older (rule 3). If a pruner has changed `prev` meanwhile, the
        // version was final, and the compare-and-swap fails.
        let replaced = self.prev().map(VersionHeader::stamp);
        self.decide_now(undecided, replaced, clock, || fence(Ordering::SeqCst))
    }

    /// Decides a version that was met undecided by another than its writer; `None` if it is not committed, as far as whoever asks must
    /// know. Then the one below is the newest that is.
    #[inline]
    pub(crate) fn decide_met(&self, clock: &Clock, ask: Ask) -> Option<Stamp> {
        let stamp = self.stamp();
        if stamp.is_final() || !rule::holds(Rule::StampBeforeUse) {
            Some(stamp)
        } else {
            self.settle(stamp, clock, ask)
        }
    }

    #[cold]
    #[inline(never)]
    fn settle(&self, stamp: Stamp, clock: &Clock, ask: Ask) -> Option<Stamp> {
        if stamp.is_failed() {
            return None;
        }
        let Some(descriptor) = stamp.descriptor() else { return Some(self.decide_helping(stamp, clock)) };
        watch::met(descriptor);
        // SAFETY: its owner retires a descriptor when none of its versions is an intent any more, and the caller is pinned.
        let tick = unsafe { &*descriptor }.committed(clock, ask)?;
        Some(self.finalize(stamp, tick))
    }

    /// Makes an intent, as it was seen, final, given the tick at which its transaction was committed.
    pub(crate) fn finalize(&self, intent: Stamp, tick: u64) -> Stamp {
        // As in `decide_helping`: if `prev` has changed, the version was final, and the compare-and-swap fails. The clock was read for the
        // tick when what is replaced was final, and past it if its sequence was full.
        let sequence = match self.prev().map(VersionHeader::stamp) {
            Some(replaced) if replaced.tick() == tick => (replaced.sequence() + 1).min(Stamp::SEQUENCE_MAX),
            _ => 0,
        };
        self.conclude(intent, Stamp::at(tick, sequence).after(intent))
    }

    /// Replaces an intent, as it was seen, by what became of it, and returns what stands there.
    pub(crate) fn conclude(&self, intent: Stamp, outcome: Stamp) -> Stamp {
        // AcqRel [STAMP-1]: mate of Acquire [STAMP-2]. All who try write the same.
        match self.stamp.compare_exchange(intent.word(), outcome.word(), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => outcome,
            Err(word) => Stamp::from_word(word),
        }
    }

    /// Makes a version that is not yet published one of a transaction.
    pub(crate) fn set_intent(&self, intent: Stamp) {
        // Relaxed: not yet published.
        let undecided = Stamp::from_word(self.stamp.load(Ordering::Relaxed));
        self.stamp.store(intent.after(undecided).word(), Ordering::Relaxed);
    }

    #[inline(always)]
    fn decide_now(&self, undecided: Stamp, replaced: Option<Stamp>, clock: &Clock, fence: impl Fn()) -> Stamp {
        loop {
            if rule::holds(Rule::FenceBeforeClock) {
                // SeqCst fence [SNAP-1]: the install, and the writer's announcement, stand before the clock. Mates: the
                // fences of a snapshot's taking [SNAP-2].
                fence();
            }
            let tick = clock.now();
            if rule::holds(Rule::FenceBehindClock) {
                // SeqCst fence [SNAP-3]: the clock stands before whatever is done by who sees the stamp. Mates: the fences of other writers
                // [SNAP-1].
                fence_behind_load();
            }
            let decided = match replaced {
                Some(stamp) if stamp.next().tick() == tick => stamp.next(),
                Some(stamp) if stamp.tick() == tick => {
                    clock.advance_past(tick);
                    continue;
                }
                _ => Stamp::at(tick, 0),
            }
            .after(undecided);
            if !rule::holds(Rule::StampOnce) {
                self.stamp.store(decided.word(), Ordering::Release);
                return decided;
            }
            // AcqRel [STAMP-1]: mate of Acquire [STAMP-2]. Of several deciders the first one wins.
            return match self.stamp.compare_exchange(
                undecided.word(),
                decided.word(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => decided,
                Err(word) => Stamp::from_word(word),
            };
        }
    }
}

/// Who asks for a slot's newest committed version: how far must intents be decided for it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// For now: whatever may already be visible must be decided.
    Now,
    /// At this tick, which the clock has passed: whatever may be visible then must be.
    At(u64),
    /// To replace it: all must be.
    ToReplace,
    /// To prune below it: none.
    ToPrune,
}

/// The newest committed version of a slot.
#[derive(Clone, Copy)]
pub(crate) struct Newest<'g> {
    pub(crate) version: &'g VersionHeader,
    pub(crate) stamp: Stamp,
}

impl Newest<'_> {
    /// The address that a replacement must compare against.
    #[inline]
    pub(crate) fn address(&self) -> *mut VersionHeader {
        ptr::from_ref(self.version).cast_mut()
    }
}

/// What a slot holds now.
#[derive(Clone, Copy)]
pub(crate) enum Latest<'g> {
    /// No version was ever committed.
    Empty,
    /// The slot is out of use: look the key up again.
    Purged,
    /// The newest committed version, which may be a tombstone.
    Version(Newest<'g>),
}

/// Reads the newest version, for whoever looks: passes by the intents of a transaction whose versions are not all in place.
#[inline]
pub(crate) fn read<'g>(slot: &SlotHeader, clock: &Clock) -> Latest<'g> {
    read_from(slot.head().1, clock)
}

/// As [`read`], from a head that was loaded before, under the same pin.
#[inline]
pub(crate) fn read_from<'g>(head: Head<'g>, clock: &Clock) -> Latest<'g> {
    newest_from(head, clock, Ask::Now)
}

/// What stands at a head if that is just a version with a value, and final: nearly always.
#[inline]
pub(crate) fn plain(head: Head<'_>) -> Option<Newest<'_>> {
    let Head::Version(version) = head else { return None };
    let stamp = version.stamp();
    let is_plain = stamp.has_value() || !rule::holds(Rule::StampBeforeUse) && !stamp.is_removal();
    is_plain.then_some(Newest { version, stamp })
}

/// The newest version that may have been committed by a tick that the clock has passed, or an older one.
pub(crate) fn newest_at<'g>(slot: &SlotHeader, tick: u64, clock: &Clock) -> Latest<'g> {
    newest_from(slot.head().1, clock, Ask::At(tick))
}

/// The newest committed version, whatever becomes of intents above it.
pub(super) fn newest_final<'g>(slot: &SlotHeader, clock: &Clock) -> Latest<'g> {
    newest_from(slot.head().1, clock, Ask::ToPrune)
}

#[inline]
fn newest_from<'g>(head: Head<'g>, clock: &Clock, ask: Ask) -> Latest<'g> {
    match head {
        Head::Empty => Latest::Empty,
        Head::Purged => Latest::Purged,
        Head::Version(version) => match version.decide_met(clock, ask) {
            Some(stamp) => Latest::Version(Newest { version, stamp }),
            None => below(version),
        },
    }
}

/// The newest committed version, under one that was met undecided or failed.
pub(crate) fn below<'g>(met: &'g VersionHeader) -> Latest<'g> {
    let below = met.prev();
    // Acquire [STAMP-2], behind that of `prev`: what is below a version is taken out only when it is final (rule 4). If it is not, then
    // what was loaded is what it stands over; if it has become so meanwhile, nothing may be left there, and it is the newest.
    let stamp = met.stamp();
    if stamp.is_final() && rule::holds(Rule::StampBehindBelow) {
        return Latest::Version(Newest { version: met, stamp });
    }
    below.map_or(Latest::Empty, |version| Latest::Version(Newest { version, stamp: version.stamp() }))
}

/// Reads the newest version, for whoever replaces it: nothing undecided or failed stands above it.
#[inline]
pub(crate) fn latest<'g>(slot: &SlotHeader, clock: &Clock) -> Latest<'g> {
    loop {
        let (_, head) = slot.head();
        let Head::Version(version) = head else { return newest_from(head, clock, Ask::ToReplace) };
        match version.decide_met(clock, Ask::ToReplace) {
            Some(stamp) => return Latest::Version(Newest { version, stamp }),
            None => swing(slot, version),
        }
    }
}

/// Takes a failed version off the head, if it stands there. Anyone may; the owner of its transaction alone retires it.
pub(crate) fn swing(slot: &SlotHeader, failed: &VersionHeader) {
    // Not looked at: if the failed version is not the head any more, what was below may be gone.
    let link = failed.link();
    let below = if tag_of(link).is_some() { slot::empty() } else { link };
    slot.replace_head(ptr::from_ref(failed).cast_mut(), below);
}

/// Reads the newest version with a tick of at most `tick`, which the clock has passed.
pub(crate) fn at<'g>(slot: &SlotHeader, tick: u64, clock: &Clock) -> Option<&'g VersionHeader> {
    at_from(slot.head().1, tick, clock)
}

/// As [`at`], from a head that was loaded before, under the same pin: what the snapshot sees is at it or below it.
#[inline]
pub(crate) fn at_from<'g>(head: Head<'g>, tick: u64, clock: &Clock) -> Option<&'g VersionHeader> {
    let Latest::Version(newest) = newest_from(head, clock, Ask::At(tick)) else { return None };
    let mut version = newest.version;
    while version.stamp().tick() > tick {
        version = version.prev()?;
    }
    Some(version)
}

/// What is left of a chain after pruning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pruned {
    /// Only the newest version.
    Single,
    /// Live snapshots see older versions; each is watched.
    Seen,
    /// Older versions are kept as history. Of those below, each that a live snapshot sees is watched.
    Kept,
    /// The chain is longer than one look, or others have asked for another one.
    Unfinished,
    /// Another prunes it, and has been asked to look again.
    Busy,
}

/// What pruning a chain needs to know and to do.
pub(crate) trait Pruner {
    /// The oldest live snapshot that sees what was visible from tick `from` until tick `until`, judged by a view that may judge
    /// `until`.
    fn witness(&mut self, from: u64, until: u64) -> Option<u64>;

    /// Whether history, or a reader of every change, keeps `older`, which so many newer ones stand above, the lowest of which is `newer`. Asked
    /// from the first version below the head downwards, as long as the answer is yes.
    fn keeps(&mut self, above: u64, newer: &VersionHeader, older: &VersionHeader) -> bool;

    /// The tag that a version leaves which is unlinked now: zero if it lies in no room.
    fn tag(&self, version: &VersionHeader) -> u64;

    /// Takes the slot's right.
    fn try_right(&self) -> bool;

    /// Hands it back.
    fn hand_back(&self);

    /// Takes a version that was unlinked.
    fn retire(&mut self, version: *mut VersionHeader);

    /// Sees to it that the slot is looked at when this snapshot has ended.
    fn watch(&mut self, snapshot: u64);
}

/// Takes out of the chain what no live snapshot can see. Lock-free: if another prunes the slot, it is left to that one.
///
/// `watched` is the snapshot by whose entry of the backlog the slot is looked at, if it is by one.
pub(crate) fn prune(
    slot: &SlotHeader,
    clock: &Clock,
    looks: usize,
    watched: Option<u64>,
    pruner: &mut impl Pruner,
) -> Pruned {
    if rule::holds(Rule::OnePruner) && !pruner.try_right() {
        return Pruned::Busy;
    }
    prune_with_right(slot, clock, looks, watched, pruner)
}

/// As [`prune`], by who has the slot's right already, and hands it back.
pub(crate) fn prune_with_right(
    slot: &SlotHeader,
    clock: &Clock,
    looks: usize,
    watched: Option<u64>,
    pruner: &mut impl Pruner,
) -> Pruned {
    let pruned = prune_once(slot, clock, looks, watched, pruner);
    if rule::holds(Rule::OnePruner) {
        pruner.hand_back();
    }
    pruned
}

fn prune_once(
    slot: &SlotHeader,
    clock: &Clock,
    looks: usize,
    watched: Option<u64>,
    pruner: &mut impl Pruner,
) -> Pruned {
    let Latest::Version(newest) = newest_final(slot, clock) else { return Pruned::Single };
    let mut newer = newest.version;
    let is_removed = newer.is_tombstone();
    let mut pruned = Pruned::Single;
    let mut above = 1;
    while let Some(older) = newer.prev().filter(|older| pruner.keeps(above, newer, older)) {
        (newer, pruned) = (older, Pruned::Kept);
        above += 1;
    }
    for _ in 0..looks {
        let Some(older) = newer.prev() else {
            return pruned;
        };
        let (from, until) = (older.stamp().tick(), newer.stamp().tick());
        let seen_by =
            if from == until || !rule::holds(Rule::PruneChecksSnapshots) { None } else { pruner.witness(from, until) };
        match seen_by {
            Some(snapshot) => {
                let lost_its_watch = watched.is_some_and(|tick| (from..until).contains(&tick) && tick <= snapshot);
                let tag = pruner.tag(older);
                if tag > 0 && !is_removed && !older.is_watched() {
                    older.leave(tag);
                } else if older.watch() || lost_its_watch {
                    pruner.watch(snapshot);
                }
                if pruned == Pruned::Single {
                    pruned = Pruned::Seen;
                }
                newer = older;
            }
            None => {
                newer.splice(older, pruner.tag(older));
                pruner.retire(ptr::from_ref(older).cast_mut());
            }
        }
    }
    Pruned::Unfinished
}
