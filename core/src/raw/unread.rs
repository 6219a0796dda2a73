//! Changes that are kept until they are read: of components that keep every change.
//!
//! # Words
//! A *reader* is told every change of a component. Its *bookmark* says up to which tick it has been told; a batch that it was given has a
//! bookmark too, while it is kept. A version above a bookmark's tick is *wanted*: it stays in its chain, also when it was replaced. The *floor*
//! is the least tick of all bookmarks: what is above is wanted by somebody. What pruners do not find wanted they may let *pass*; the
//! component remembers up to which tick.
//!
//! # Steps
//! - **Pruner**, at a replaced version with tick *t* that is not below the floor: raise *passed* to *t*; fence; look at the bookmarks
//!   again; if the version is still not wanted, it may go, and all below it may.
//! - **Reader who begins**: read the clock as *b*; set the bookmark at *b*, to count what is later than *b*; compare-and-swap the clock
//!   from *b* to *b*: if it stands there no more, begin with another bookmark; take a snapshot with tick *s*. What came after *b* and up to *s* was
//!   shown by it: count that in the chains, and move the bookmark to *s*.
//! - **Reader who resumes at *c***: the same, with the bookmark at *c*; fence; look whether *passed* is above *c*: then something may have gone, and
//!   the reader lags. What came after *c* and up to *b* waits already: count that in the chains.
//! - **Reader who keeps a batch of what came after *c***: set a bookmark at *c*; fence; look whether *passed* is above *c*.
//!
//! # Why a reader misses nothing
//! Take a pruner that lets a version *v* go, and a reader whose bookmark is below *v*'s tick, and who does not lag. The pruner has not seen the
//! bookmark, or only as it was before.
//! - Of a reader that begins, *v*'s tick is above *b*: so the clock was moved after its compare-and-swap, and whoever has met *v* sees the bookmark.
//! - If the fence of a reader that resumes, or keeps a batch, stands before the pruner's, then the pruner sees the bookmark, and *v* is wanted.
//! - If it stands after it, the reader sees *passed* at *v*'s tick or above, and lags.
//!
//! Wanted versions are a run from the head, as those that history keeps: ticks go down the chain. *Passed* goes up only, so what was judged
//! once is never wanted again, or its reader lags (see [`lineage`](crate::raw::lineage), rule 3). A removal is a version too: while it is
//! wanted, its slot is not purged.
//!
//! # The count
//! Each change counts the same. A writer counts his at each bookmark that began before the change's tick, while the change is still announced; a
//! reader counts what he has read. The difference waits for him. It is exact: each change that is later than *b* is counted once, and no other.
//! For who has stamped it has read the clock above *b*, where it was moved to by somebody who stood behind the reader's compare-and-swap (all moves
//! of the clock are read-modify-writes, and so pass on what it published): its writer sees the bookmark, and *b*. A bookmark is another reader's
//! only when nobody is left who has met it before. A change that is told before its writer has come to count it makes less wait, for as long.
//!
//! So what waited when a reader was given up, and all since, is what he has missed, to the last change; writes that are under way count or do not.
//! Nobody pays for it who writes what nobody reads.
//!
//! # The bound
//! When too much waits, the writer that meets it either gives the reader up, by one compare-and-swap on its bookmark; or it was refused before: a
//! writer that may be refused *promises* its change first, and the promises count.

use std::fmt;
use std::ptr;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicBool, AtomicI64, AtomicPtr, AtomicU64, Ordering, fence};

/// Whose bookmark it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nobody's.
    Unused,
    /// A reader's, told up to this tick.
    Reader(u64),
    /// That of what came after this tick, in a batch.
    Batch(u64),
    /// A reader's who was told up to this tick, and given up: nothing is wanted for it.
    GivenUp(u64),
}

impl Mark {
    const fn pack(self) -> u64 {
        match self {
            Self::Unused => 0,
            Self::Reader(tick) => tick << 2 | 1,
            Self::Batch(tick) => tick << 2 | 2,
            Self::GivenUp(tick) => tick << 2 | 3,
        }
    }

    const fn unpack(word: u64) -> Self {
        match word & 0b11 {
            0 => Self::Unused,
            1 => Self::Reader(word >> 2),
            2 => Self::Batch(word >> 2),
            _ => Self::GivenUp(word >> 2),
        }
    }
}

/// Above which tick somebody wants all changes.
pub(crate) struct Bookmark {
    mark: AtomicU64,
    /// Changes later than this tick are counted.
    begun: AtomicU64,
    /// How many changes its reader has read, less those that waited when it began.
    read: AtomicI64,
    in_use: AtomicBool,
    next: AtomicPtr<Bookmark>,
    /// How many changes were written since it began.
    written: CachePadded<AtomicI64>,
}

impl Bookmark {
    /// One that somebody has, and that wants nothing yet.
    fn new() -> Self {
        Self {
            mark: AtomicU64::new(Mark::Unused.pack()),
            begun: AtomicU64::new(0),
            read: AtomicI64::new(0),
            in_use: AtomicBool::new(true),
            next: AtomicPtr::new(ptr::null_mut()),
            written: CachePadded::new(AtomicI64::new(0)),
        }
    }

    pub(super) fn load(&self) -> Mark {
        // Acquire [BOOKMARK-2]: with Release [BOOKMARK-1]: from when on it counts, and how much was written and read, is at least as new.
        Mark::unpack(self.mark.load(Ordering::Acquire))
    }

    pub(super) fn set(&self, mark: Mark) {
        // Release [BOOKMARK-1]: mate of Acquire [BOOKMARK-2]; what it counts from, and what was read under it, stands before it is moved.
        self.mark.store(mark.pack(), Ordering::Release);
    }

    /// Moves on from exactly what was seen.
    pub(super) fn exchange(&self, seen: Mark, new: Mark) -> bool {
        // Release [BOOKMARK-1]: mate of Acquire [BOOKMARK-2]; what was written until a reader is given up counts for it. Of a reader that moves and
        // a writer that gives it up, one wins. Relaxed otherwise: who wants to know what is there instead loads it.
        self.mark.compare_exchange(seen.pack(), new.pack(), Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// A reader's, who begins: what is later than this tick is counted, from none on.
    pub(super) fn begin(&self, begun: u64, mark: Mark) {
        // Relaxed: published with the mark. Nobody counts: it is its reader's alone, or has counted nothing yet.
        self.begun.store(begun, Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
        self.read.store(0, Ordering::Relaxed);
        self.set(mark);
    }

    /// Its reader has read so many changes more; or so many less, if they waited when it began.
    pub(super) fn count_read(&self, changes: i64) {
        // Relaxed: published with the mark. Only the reader changes it.
        self.read.fetch_add(changes, Ordering::Relaxed);
    }

    /// Whether its reader was given up.
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(self.load(), Mark::GivenUp(_))
    }

    /// How many changes wait for its reader.
    pub(super) fn waiting(&self) -> u64 {
        // Relaxed: a number, and nothing is read by it. What must be counted in it was counted before a mark that gives the reader up [BOOKMARK-1],
        // or before a promise was taken back [PROMISE-2].
        self.waiting_of(self.written.load(Ordering::Relaxed))
    }

    fn waiting_of(&self, written: i64) -> u64 {
        // Relaxed: behind the Acquire [BOOKMARK-2] of the mark that goes with it; a later one only makes less wait.
        u64::try_from(written - self.read.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Nobody has it any more, and nobody is left who has met it.
    pub(super) fn free(&self) {
        // Release [BOOKMARK-3]: mate of Acquire [BOOKMARK-4].
        self.in_use.store(false, Ordering::Release);
    }
}

/// What happens when more waits for a reader than is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// The reader is given up: it lags.
    GiveUp,
    /// Writes are refused.
    Refuse,
}

/// What a component keeps for its readers.
pub(crate) struct Unread {
    first: AtomicPtr<Bookmark>,
    /// Versions up to this tick may have gone.
    passed: AtomicU64,
    promised: AtomicU64,
    /// So many changes may wait for a reader.
    pub(super) waiting_max: u64,
    when_full: WhenFull,
}

impl Unread {
    pub(crate) fn new(waiting_max: u64, when_full: WhenFull) -> Self {
        Self {
            first: AtomicPtr::new(ptr::null_mut()),
            passed: AtomicU64::new(0),
            promised: AtomicU64::new(0),
            waiting_max,
            when_full,
        }
    }

    /// Above this tick all versions are wanted.
    pub(crate) fn floor(&self) -> u64 {
        if !rule::holds(Rule::KeepUnread) {
            return u64::MAX;
        }
        let wanted = self.bookmarks().filter_map(|bookmark| match bookmark.load() {
            Mark::Reader(tick) | Mark::Batch(tick) => Some(tick),
            Mark::Unused | Mark::GivenUp(_) => None,
        });
        wanted.min().unwrap_or(u64::MAX)
    }

    /// Whether replaced versions with ticks up to this one may go; if so, who resumes from before it lags. The caller has met the version above
    /// the newest one of them before this.
    pub(crate) fn let_pass(&self, tick: u64) -> bool {
        if tick > self.floor() {
            return false;
        }
        if !rule::holds(Rule::PassBeforeLook) {
            return true;
        }
        // Relaxed: ordered by the fences [UNREAD-1] and [UNREAD-2].
        if self.passed.load(Ordering::Relaxed) < tick {
            self.passed.fetch_max(tick, Ordering::Relaxed);
        }
        // SeqCst fence [UNREAD-1]: what was met, and the mark, stand before the look at the bookmarks. Mate: [UNREAD-2].
        fence(Ordering::SeqCst);
        tick <= self.floor()
    }

    /// Whether versions with ticks above this one may have gone. Behind the fence [UNREAD-2].
    pub(super) fn has_passed(&self, tick: u64) -> bool {
        // Relaxed: ordered by the fences [UNREAD-1] and [UNREAD-2].
        self.passed.load(Ordering::Relaxed) > tick
    }

    /// Counts a change with this tick for whoever has begun before it, and gives up whom too much waits for. The writer still announces the slot.
    #[inline]
    pub(crate) fn count(&self, tick: u64) {
        for bookmark in self.bookmarks() {
            let (Mark::Reader(_) | Mark::GivenUp(_)) = bookmark.load() else { continue };
            // Relaxed: published with the mark.
            if tick <= bookmark.begun.load(Ordering::Relaxed) {
                continue;
            }
            // Relaxed: published with a mark that gives the reader up, and with the promise that is taken back.
            let written = bookmark.written.fetch_add(1, Ordering::Relaxed) + 1;
            while self.when_full == WhenFull::GiveUp
                && let seen @ Mark::Reader(told) = bookmark.load()
                && bookmark.waiting_of(written) > self.waiting_max
                && !bookmark.exchange(seen, Mark::GivenUp(told))
            {}
        }
    }

    /// Takes a place for a change, if writes are refused when too much waits. `Err` says how many changes wait.
    pub(crate) fn promise(self: &Arc<Self>) -> Result<Option<Promise>, u64> {
        if self.when_full == WhenFull::GiveUp {
            return Ok(None);
        }
        // Acquire [PROMISE-1]: a promise that was taken back was counted before, and is read so below. Mate: Release [PROMISE-2].
        let promised = self.promised.fetch_add(1, Ordering::Acquire) + 1;
        let promise = Promise(Arc::clone(self));
        match self.waiting_for_slowest() {
            Some(waiting) if waiting + promised > self.waiting_max => Err(waiting),
            _ => Ok(Some(promise)),
        }
    }

    /// How many changes wait for the reader that has most before it; none if there is no reader.
    fn waiting_for_slowest(&self) -> Option<u64> {
        let readers = self.bookmarks().filter(|bookmark| matches!(bookmark.load(), Mark::Reader(_)));
        readers.map(Bookmark::waiting).max()
    }

    /// How many changes wait for the slowest reader.
    pub(crate) fn waiting_most(&self) -> u64 {
        self.waiting_for_slowest().unwrap_or(0)
    }

    fn bookmarks(&self) -> impl Iterator<Item = &Bookmark> {
        // Acquire [BOOKMARKS-2]: with Release [BOOKMARKS-1], of the first one and of all that were put there before it: each was put there by a
        // read-modify-write, which passes on what the others have published.
        let mut bookmark = self.first.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: bookmarks are freed only with the list.
            let found = unsafe { bookmark.as_ref() }?;
            // Relaxed: written before it was published, and never again.
            bookmark = found.next.load(Ordering::Relaxed);
            Some(found)
        })
    }

    /// Takes a bookmark that nobody has, or makes one.
    pub(super) fn claim(&self) -> &Bookmark {
        let free = |bookmark: &&Bookmark| {
            // Acquire [BOOKMARK-4]: with Release [BOOKMARK-3]: its last owner's mark is gone, and whoever counted for him.
            bookmark.in_use.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        if let Some(bookmark) = self.bookmarks().find(free) {
            return bookmark;
        }
        let made = Box::into_raw(Box::new(Bookmark::new()));
        // SAFETY: leaked above, and freed only with the list.
        let bookmark = unsafe { &*made };
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            bookmark.next.store(first, Ordering::Relaxed);
            // Release [BOOKMARKS-1]: mate of Acquire [BOOKMARKS-2]. Relaxed otherwise: what is there is not looked into.
            match self.first.compare_exchange(first, made, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return bookmark,
                Err(other) => first = other,
            }
        }
    }
}

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unread").field("waiting_max", &self.waiting_max).finish_non_exhaustive()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let mut bookmark = self.first.load(Ordering::Relaxed);
        while !bookmark.is_null() {
            // SAFETY: exclusive; each was leaked once in `claim`.
            bookmark = unsafe { Box::from_raw(bookmark) }.next.load(Ordering::Relaxed);
        }
    }
}

/// A place for a change that is about to be written.
pub(crate) struct Promise(Arc<Unread>);

impl Drop for Promise {
    fn drop(&mut self) {
        // Release [PROMISE-2]: the change was counted before. Mate: Acquire [PROMISE-1].
        self.0.promised.fetch_sub(1, Ordering::Release);
    }
}
