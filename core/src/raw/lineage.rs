//! Lineages: what the versions of a component that keeps history say of themselves, and which of them are kept.
//!
//! # Words
//! A component *records* if it keeps history; then each of its versions has a *lineage* behind its value: the *revision*, which counts the
//! key's versions, the time, the kind of change, and its origin. Other components have none, and pay nothing. The versions that a component's
//! rule wants are *kept*: the newest ones, as a *run* from the head downwards in which revisions go down by one.
//!
//! # Rules
//! 1. A version's lineage is written by its writer before it is installed, from what it replaces: its revision is one more than that of
//!    the replaced version, or 1, and its time is not before that one's.
//! 2. What is kept is a run from the head: a version may go only if all below it may. It is kept by its place (how many are newer) and by
//!    the time at which it was replaced. Both only ever turn against it: places go down the chain, and the time never goes back.
//! 3. So a version that a pruner has once judged to be past the rule is never kept again, and is then a version like any other: it
//!    is watched for the snapshots that see it, or unlinked (see [`chain`](crate::raw::chain)).
//!
//! # Why a read of the past is true or refused
//! A read at a tick that no snapshot holds looks for the newest version with at most that tick, and goes down the chain until it meets it. A
//! pruner may have unlinked what it looks for. Take the version *v* that it meets, and the one above, *n*, which is newer than the tick.
//! Either their revisions differ by one, or by more.
//! - If by one, *v* is what *n* replaced (rule 1): the key held *v* until *n* came, so also at the tick.
//! - If by more, what was between them has been unlinked, and may be what was visible then: the read is refused.
//!
//! At the chain's end, the same: if the last one's revision is 1, there was nothing before it; else it has been unlinked. What a slot
//! that was purged has left is known by the component (see `forget_removals`).
//!
//! # When pruning is due
//! A writer that looked at its key's whole run each time would pay for its length with each write. So a version also says from which revision on
//! the next look is due, which whoever looks sets to half as much more than it has found kept; the next version takes it over. A run
//! is half as long again as it must be at most, and a look is paid for by as many writes. The figure is a hint: one that is lost costs a look.
//!
//! What is kept for readers of every change is such a run, too: see [`unread`](crate::raw::unread).

use std::mem::offset_of;
use std::num::NonZeroU64;
use std::ptr;
use std::sync::Arc;

use crate::TransactionId;
use crate::raw::chain::VersionHeader;
use crate::raw::stamp::Stamp;
use crate::raw::unread::Unread;
use crate::raw::version::VersionNode;
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicBool, AtomicU64, Ordering, watch};

/// How a key has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// The key was absent, and got a value.
    Create,
    /// The value was replaced.
    Update,
    /// The key was removed.
    Delete,
    /// A delta was merged in.
    Merge,
    /// What the key held before was brought back, or that it was absent.
    Rollback,
    /// The key's time was over, and it was removed.
    Expire,
}

/// What a version says of itself that does not follow from what it replaces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// What kind of change it is, if that is more than it looks like.
    pub(crate) kind: Option<ChangeKind>,
    /// From which time on its key is absent.
    pub(crate) expires: u64,
    /// The transaction that writes it.
    pub(crate) transaction: Option<TransactionId>,
}

/// A time that does not come.
pub(crate) const NEVER: u64 = u64::MAX;

impl Mark {
    /// Nothing.
    pub(crate) const NONE: Self = Self { kind: None, expires: NEVER, transaction: None };

    /// A change of this kind.
    pub(crate) const fn of_kind(kind: ChangeKind) -> Self {
        Self { kind: Some(kind), ..Self::NONE }
    }
}

/// What a version says of itself.
#[derive(Debug)]
pub(crate) struct Lineage {
    pub(crate) revision: u64,
    /// In milliseconds since 1970.
    pub(crate) time: u64,
    pub(crate) origin: Option<NonZeroU64>,
    pub(crate) kind: Option<ChangeKind>,
    /// The kind, if it does not follow.
    marked: Option<ChangeKind>,
    /// From which time on the key is absent, whatever the version holds.
    pub(crate) expires: u64,
    pub(crate) transaction: Option<TransactionId>,
    look_due: AtomicU64,
}

impl Lineage {
    /// Says of a version that is not yet published what follows from the one that it replaces.
    fn follow(&mut self, replaced: Option<(&Self, bool)>, removes: bool, now: u64, origin: Option<NonZeroU64>) {
        let was_there = replaced.is_some_and(|(_, is_tombstone)| !is_tombstone);
        let last = replaced.map(|(last, _)| last);
        self.revision = last.map_or(0, |last| last.revision) + 1;
        self.time = last.map_or(now, |last| last.time.max(now));
        self.origin = origin;
        // Relaxed: a hint.
        let due = last.map_or(0, |last| last.look_due.load(Ordering::Relaxed));
        self.look_due.store(due, Ordering::Relaxed);
        self.kind = self.marked.or(Some(match (was_there, removes) {
            (_, true) => ChangeKind::Delete,
            (false, false) => ChangeKind::Create,
            (true, false) => ChangeKind::Update,
        }));
    }

    /// Whether it is time to look which versions below this one may go.
    pub(crate) fn is_look_due(&self) -> bool {
        // Relaxed: a hint.
        self.revision >= self.look_due.load(Ordering::Relaxed)
    }

    /// Says that a look has found so many versions kept below this one.
    pub(crate) fn has_looked(&self, kept: u64) {
        // Relaxed: a hint.
        self.look_due.store(self.revision + 1 + kept / 2, Ordering::Relaxed);
    }
}

/// A version, its value, and its lineage.
#[repr(C)]
pub(crate) struct RecordedNode<V> {
    // First: a version is known by the address of its header.
    node: VersionNode<V>,
    lineage: Lineage,
}

impl<V> RecordedNode<V> {
    /// Allocates a version that is not yet installed; `None` is a tombstone.
    pub(crate) fn allocate(value: Option<V>, stamp: Stamp, mark: Mark) -> *mut VersionHeader {
        let Mark { kind: marked, expires, transaction } = mark;
        let look_due = AtomicU64::new(0);
        let lineage =
            Lineage { revision: 1, time: 0, origin: None, kind: None, marked, expires, transaction, look_due };
        let version = Box::into_raw(Box::new(Self { node: VersionNode::new(value, stamp), lineage }));
        watch::allocated(version);
        version.cast()
    }

    /// Allocates what removes a key whose time is over.
    fn allocate_expiry() -> *mut VersionHeader {
        Self::allocate(None, Stamp::UNDECIDED, Mark::of_kind(ChangeKind::Expire))
    }

    /// Takes back a version that was never published, with its value.
    ///
    /// # Safety
    /// `header` came from [`allocate`](Self::allocate) with this `V`, and only the caller knows it.
    pub(crate) unsafe fn take(header: *mut VersionHeader) -> Option<V> {
        // SAFETY: the caller owns the allocation.
        unsafe { Box::from_raw(header.cast::<Self>()) }.node.into_value()
    }

    /// Drops a version that nobody can reach any more.
    ///
    /// # Safety
    /// As for [`take`](Self::take).
    pub(crate) unsafe fn drop_node(header: *mut VersionHeader) {
        // SAFETY: passed on.
        drop(unsafe { Self::take(header) });
    }
}

/// Which versions a component keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    /// So many of each key, the newest one among them.
    pub(crate) last: u64,
    /// For so many milliseconds after they were replaced.
    pub(crate) millis: Option<u64>,
}

impl Keep {
    /// Nothing but what keys hold, of a component that records for another reason.
    pub(crate) const NOTHING: Self = Self { last: 1, millis: Some(0) };

    /// Whether this is [`NOTHING`](Self::NOTHING).
    pub(crate) fn is_nothing(&self) -> bool {
        self.millis == Some(0)
    }

    /// Whether a version is kept that has so many newer ones above it, the lowest of which came at this time.
    pub(crate) fn keeps(&self, newer: u64, replaced: u64, now: u64) -> bool {
        newer < self.last && self.is_young(replaced, now)
    }

    /// Whether what came at this time is young enough to be told.
    pub(crate) fn is_young(&self, time: u64, now: u64) -> bool {
        self.millis.is_none_or(|millis| time.saturating_add(millis) > now)
    }

    /// When another look is worth while at what was kept, of which the oldest was replaced at this time. `None` if time changes nothing.
    pub(crate) fn look_again_at(&self, replaced: u64, now: u64) -> Option<u64> {
        self.millis
            .filter(|_| !self.is_nothing())
            .map(|millis| replaced.saturating_add(millis).max(now.saturating_add(millis / 4)))
    }
}

/// That a component records, and how.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) keep: Keep,
    /// Whether nothing is kept any more: the component is being emptied.
    has_let_go: AtomicBool,
    /// What is kept for those who are told every change, if that is so.
    unread: Option<Arc<Unread>>,
    /// From a version's header to its lineage.
    lineage_at: usize,
    /// Makes what removes a key whose time is over, if keys expire.
    pub(crate) expiry: Option<fn() -> *mut VersionHeader>,
}

impl Recording {
    /// Of versions with values of type `V`, which are all [`RecordedNode`]s.
    pub(crate) fn of<V>(keep: Keep) -> Self {
        Self {
            keep,
            has_let_go: AtomicBool::new(false),
            unread: None,
            lineage_at: offset_of!(RecordedNode<V>, lineage),
            expiry: None,
        }
    }

    /// From now on nothing is kept: nobody can ask for it any more.
    pub(crate) fn let_go(&self) {
        // Relaxed: whoever does not see it yet keeps a version until the slot's next look.
        self.has_let_go.store(true, Ordering::Relaxed);
    }

    /// Whether nothing is kept any more.
    pub(crate) fn has_let_go(&self) -> bool {
        // Relaxed: as above.
        self.has_let_go.load(Ordering::Relaxed)
    }

    /// As [`of`](Self::of), of keys that expire.
    pub(crate) fn of_expiring<V>(keep: Keep) -> Self {
        Self { expiry: Some(RecordedNode::<V>::allocate_expiry), ..Self::of::<V>(keep) }
    }

    /// Whether it is history that is recorded, and not only when keys expire.
    pub(crate) fn keeps_history(&self) -> bool {
        !self.keep.is_nothing()
    }

    /// The same, keeping every change for its readers.
    pub(crate) fn for_readers(self, unread: Option<Unread>) -> Self {
        Self { unread: unread.map(Arc::new), ..self }
    }

    /// What is kept for those who are told every change.
    pub(crate) fn unread(&self) -> Option<&Arc<Unread>> {
        self.unread.as_ref()
    }

    /// Whether replaced versions with ticks up to this one may go, as far as the readers of every change are concerned.
    pub(crate) fn lets_pass(&self, tick: u64) -> bool {
        self.unread().is_none_or(|unread| self.has_let_go() || unread.let_pass(tick))
    }

    /// What writers count their changes at, for those who are told every change.
    #[inline]
    pub(crate) fn counted(&self) -> Option<&Unread> {
        self.unread.as_deref().filter(|_| !self.has_let_go())
    }

    /// Above which tick readers of every change want all versions.
    pub(crate) fn unread_floor(&self) -> u64 {
        self.counted().map_or(u64::MAX, Unread::floor)
    }

    /// Whether a reader of every change wants what has this tick.
    pub(crate) fn is_wanted(&self, tick: u64) -> bool {
        tick > self.unread_floor()
    }

    /// Whether anything is kept for a time only.
    pub(crate) fn asks_time(&self) -> bool {
        self.keep.millis.is_some() || self.expiry.is_some()
    }

    /// Whether the time of a version's key is over.
    #[inline]
    pub(crate) fn is_expired(&self, version: &VersionHeader, now: u64) -> bool {
        self.expiry.is_some() && self.lineage(version).expires <= now
    }

    /// A version's lineage. The version is one of the component's.
    pub(crate) fn lineage<'g>(&self, version: &'g VersionHeader) -> &'g Lineage {
        let lineage = ptr::from_ref(version).wrapping_byte_add(self.lineage_at).cast::<Lineage>();
        // SAFETY: all versions of a component that records are `RecordedNode`s of its type of values; the lineage lives as long as the
        // header, and is not written once it is published.
        unsafe { &*lineage }
    }

    /// Says of a version that is not yet published what follows from the one that it replaces, the time, and its origin.
    ///
    /// # Safety
    /// `new` is a version of the component that only the caller knows.
    pub(crate) unsafe fn follow(
        &self,
        new: *mut VersionHeader,
        replaced: Option<&VersionHeader>,
        now: u64,
        origin: Option<NonZeroU64>,
    ) {
        // SAFETY: the caller's alone.
        let removes = unsafe { &*new }.is_tombstone();
        let lineage = new.wrapping_byte_add(self.lineage_at).cast::<Lineage>();
        let replaced = replaced.map(|replaced| (self.lineage(replaced), replaced.is_tombstone()));
        // SAFETY: as above, and as in `lineage`.
        unsafe { &mut *lineage }.follow(replaced, removes, now, origin);
    }

    /// Whether `older` is what `newer` replaced, nothing between them having gone.
    pub(crate) fn is_next(&self, newer: &VersionHeader, older: &VersionHeader) -> bool {
        self.lineage(newer).revision == self.lineage(older).revision + 1 || !rule::holds(Rule::PastSeesGaps)
    }

    /// Whether nothing came before a version, since its slot is there.
    pub(crate) fn is_first(&self, version: &VersionHeader) -> bool {
        self.lineage(version).revision == 1 || !rule::holds(Rule::PastSeesGaps)
    }
}
