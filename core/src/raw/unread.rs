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
//! - **Reader who begins now**: set the bookmark at tick 0; fence; take a snapshot with tick *s*; move the bookmark to *s*.
//! - **Reader who resumes at *c*, or keeps a batch of what came after *c***: set a bookmark at *c*; fence; look whether *passed* is above
//!   *c*: then something may have gone, and the reader lags.
//!
//! # Why a reader misses nothing
//! Take a pruner that lets a version *v* go, and a reader whose bookmark is below *v*'s tick, and who does not lag. The pruner has not seen the
//! bookmark, or only as it was before. Either the reader's fence stands before the pruner's, or after it.
//! - Before: then the pruner sees the bookmark, and *v* is wanted.
//! - After: a reader that resumes sees *passed* at *v*'s tick or above, and lags. A reader that begins now takes its snapshot from a clock that is not
//!   older than *v*'s tick, for the pruner has met *v* replaced: so its bookmark ends at or above *v*'s tick, and *v* is not wanted.
//!
//! Wanted versions are a run from the head, as those that history keeps: ticks go down the chain. *Passed* goes up only, so what was judged
//! once is never wanted again, or its reader lags (see [`lineage`](crate::raw::lineage), rule 3). A removal is a version too: while it is
//! wanted, its slot is not purged.
//!
//! # The bound
//! Each change counts the same. A component counts all that were ever *written*; a bookmark says how many of them its reader has *read*. The
//! difference waits for the reader. It is counted at its write, while that is still announced. So if a reader looks, and nothing is announced
//! and nothing waits, it has read all that was counted before the look, and says so: what it began with may have been counted too high, by
//! writes that were under way.
//!
//! When too much waits, the writer that meets it either gives the reader up, by one compare-and-swap on its bookmark, which then counts no
//! more; or it was refused before: a writer that may be refused *promises* its change first, and the promises count.

use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::raw::component::Component;
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicBool, AtomicPtr, AtomicU64, Ordering, fence};

/// Whose bookmark it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
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
    /// How many changes its reader has read, of those that were ever written.
    read: AtomicU64,
    in_use: AtomicBool,
    next: AtomicPtr<Bookmark>,
}

impl Bookmark {
    fn load(&self) -> Mark {
        // Acquire [BOOKMARK-2]: with AcqRel [BOOKMARK-1]: how much was read is at least as new.
        Mark::unpack(self.mark.load(Ordering::Acquire))
    }

    fn set(&self, mark: Mark) {
        // Release [BOOKMARK-1]: mate of Acquire [BOOKMARK-2]; what was read under it stands before it is moved.
        self.mark.store(mark.pack(), Ordering::Release);
    }

    /// Moves on from exactly what was seen.
    fn exchange(&self, seen: Mark, new: Mark) -> bool {
        // AcqRel [BOOKMARK-1]: mate of Acquire [BOOKMARK-2]. Of a reader that moves and a writer that gives it up, one wins.
        self.mark.compare_exchange(seen.pack(), new.pack(), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether its reader was given up.
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(self.load(), Mark::GivenUp(_))
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
    written: CachePadded<AtomicU64>,
    promised: AtomicU64,
    /// So many changes may wait for a reader.
    waiting_max: u64,
    when_full: WhenFull,
}

impl Unread {
    pub(crate) fn new(waiting_max: u64, when_full: WhenFull) -> Self {
        Self {
            first: AtomicPtr::new(ptr::null_mut()),
            passed: AtomicU64::new(0),
            written: CachePadded::new(AtomicU64::new(0)),
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

    /// Counts a change that was written, and gives up whom too much waits for. The writer still announces the slot.
    pub(crate) fn count(&self) {
        // AcqRel [WRITTEN-1]: mate of Acquire [WRITTEN-2]; and before the promise is taken back.
        let written = self.written.fetch_add(1, Ordering::AcqRel) + 1;
        if self.when_full == WhenFull::Refuse {
            return;
        }
        for bookmark in self.bookmarks() {
            if let seen @ Mark::Reader(tick) = bookmark.load()
                && Self::waiting(bookmark, written) > self.waiting_max
            {
                bookmark.exchange(seen, Mark::GivenUp(tick));
            }
        }
    }

    /// Takes a place for a change, if writes are refused when too much waits. `Err` says how many changes wait.
    pub(crate) fn promise(self: &Arc<Self>) -> Result<Option<Promise>, u64> {
        if self.when_full == WhenFull::GiveUp {
            return Ok(None);
        }
        // AcqRel [PROMISE-1]: a promise that was taken back was counted before, and is read so below. Mate: Release [PROMISE-2].
        let promised = self.promised.fetch_add(1, Ordering::AcqRel) + 1;
        let promise = Promise(Arc::clone(self));
        match self.waiting_for_slowest() {
            Some(waiting) if waiting + promised > self.waiting_max => Err(waiting),
            _ => Ok(Some(promise)),
        }
    }

    /// How many changes wait for the reader that has most before it; none if there is no reader.
    fn waiting_for_slowest(&self) -> Option<u64> {
        let written = self.written();
        let readers = self.bookmarks().filter(|bookmark| matches!(bookmark.load(), Mark::Reader(_)));
        readers.map(|bookmark| Self::waiting(bookmark, written)).max()
    }

    /// How many changes wait for the slowest reader.
    pub(crate) fn waiting_most(&self) -> u64 {
        self.waiting_for_slowest().unwrap_or(0)
    }

    /// How many changes were ever written.
    pub(crate) fn written(&self) -> u64 {
        // Acquire [WRITTEN-2]: with AcqRel [WRITTEN-1].
        self.written.load(Ordering::Acquire)
    }

    fn waiting(bookmark: &Bookmark, written: u64) -> u64 {
        // Relaxed: behind the Acquire [BOOKMARK-2] of the mark that goes with it; a later one only makes less wait.
        written.saturating_sub(bookmark.read.load(Ordering::Relaxed))
    }

    fn bookmarks(&self) -> impl Iterator<Item = &Bookmark> {
        // Acquire [BOOKMARKS-2]: with AcqRel [BOOKMARKS-1].
        let mut bookmark = self.first.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: bookmarks are freed only with the list.
            let found = unsafe { bookmark.as_ref() }?;
            bookmark = found.next.load(Ordering::Acquire);
            Some(found)
        })
    }

    /// Takes a bookmark that nobody has, or makes one.
    fn claim(&self) -> &Bookmark {
        let free = |bookmark: &&Bookmark| {
            // Acquire [BOOKMARK-4]: with Release [BOOKMARK-3]: its last owner's mark is gone.
            bookmark.in_use.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        if let Some(bookmark) = self.bookmarks().find(free) {
            return bookmark;
        }
        let made = Box::into_raw(Box::new(Bookmark {
            mark: AtomicU64::new(Mark::Unused.pack()),
            read: AtomicU64::new(0),
            in_use: AtomicBool::new(true),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        // SAFETY: leaked above, and freed only with the list.
        let bookmark = unsafe { &*made };
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            bookmark.next.store(first, Ordering::Relaxed);
            // AcqRel [BOOKMARKS-1]: mate of Acquire [BOOKMARKS-2].
            match self.first.compare_exchange(first, made, Ordering::AcqRel, Ordering::Acquire) {
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
        // Release [PROMISE-2]: the change was counted before. Mate: AcqRel [PROMISE-1].
        self.0.promised.fetch_sub(1, Ordering::Release);
    }
}

/// A bookmark that is held, in a component that keeps every change.
pub(crate) struct Reading {
    component: Arc<Component>,
    bookmark: NonNull<Bookmark>,
}

// SAFETY: a bookmark is made of atomics, and lives as long as the component, which is held.
unsafe impl Send for Reading {}
// SAFETY: as above.
unsafe impl Sync for Reading {}

impl Reading {
    /// A bookmark at a tick; `None` if the component does not keep every change. Behind it stands the fence [UNREAD-2].
    fn at(component: &Arc<Component>, mark: Mark) -> Option<Self> {
        let unread = component.unread()?;
        let bookmark = unread.claim();
        // Relaxed: published with the mark.
        bookmark.read.store(unread.written(), Ordering::Relaxed);
        bookmark.set(mark);
        // SeqCst fence [UNREAD-2]: the bookmark stands before the look at what has passed, or before the clock is read for a snapshot.
        // Mate: [UNREAD-1].
        fence(Ordering::SeqCst);
        Some(Self { component: Arc::clone(component), bookmark: NonNull::from(bookmark) })
    }

    /// For a reader: from now on everything above the tick is kept, unless it was [missed](Self::misses).
    pub(crate) fn reader(component: &Arc<Component>, tick: u64) -> Option<Self> {
        Self::at(component, Mark::Reader(tick))
    }

    /// For a batch: keeps what came after a tick, also when its reader has gone on; `None` if some of that may have gone.
    pub(crate) fn batch(&self, tick: u64) -> Option<Self> {
        let batch = Self::at(&self.component, Mark::Batch(tick))?;
        (!batch.misses(tick) && !self.is_given_up()).then_some(batch)
    }

    /// The component.
    pub(crate) fn component(&self) -> &Arc<Component> {
        &self.component
    }

    /// What a desk looks at.
    pub(crate) fn bookmark(&self) -> NonNull<Bookmark> {
        self.bookmark
    }

    fn mark(&self) -> &Bookmark {
        // SAFETY: lives as long as the component.
        unsafe { self.bookmark.as_ref() }
    }

    fn unread(&self) -> &Unread {
        let Some(unread) = self.component.unread() else { unreachable!("who has a bookmark has its component's") };
        unread
    }

    /// Whether something above a tick may have gone. Behind the bookmark's fence.
    pub(crate) fn misses(&self, tick: u64) -> bool {
        // Relaxed: ordered by the fences [UNREAD-1] and [UNREAD-2].
        self.unread().passed.load(Ordering::Relaxed) > tick
    }

    /// Whether the reader was given up.
    pub(crate) fn is_given_up(&self) -> bool {
        self.mark().is_given_up()
    }

    /// How many changes were ever written.
    pub(crate) fn written(&self) -> u64 {
        self.unread().written()
    }

    /// How many changes wait for the reader.
    pub(crate) fn waiting(&self) -> u64 {
        Unread::waiting(self.mark(), self.written())
    }

    /// Above which tick anything is kept for anybody.
    pub(crate) fn floor(&self) -> u64 {
        self.unread().floor()
    }

    /// The reader has read so many changes more, which are all up to a tick. Says whether anything may go now that it has held back.
    pub(crate) fn go_on(&self, tick: u64, changes: u64) -> bool {
        // Relaxed: published with the mark. Only the reader changes it.
        self.mark().read.fetch_add(changes, Ordering::Relaxed);
        let seen @ Mark::Reader(before) = self.mark().load() else { return false };
        self.mark().exchange(seen, Mark::Reader(tick.max(before))) && self.floor() > before
    }

    /// Nothing waits for the reader of what was written before it looked, when there were so many changes.
    pub(crate) fn has_read(&self, written: u64) {
        // Relaxed: a count; only the reader changes it.
        self.mark().read.fetch_max(written, Ordering::Relaxed);
    }

    /// The reader begins again: from now on everything is kept, until it says [from where on](Self::begin_at).
    pub(crate) fn begin_again(&self) {
        // Relaxed: published with the mark.
        self.mark().read.store(self.written(), Ordering::Relaxed);
        self.mark().set(Mark::Reader(0));
        // SeqCst fence [UNREAD-2]: as in `at`.
        fence(Ordering::SeqCst);
    }

    /// The reader needs nothing up to the tick of a snapshot that it took after it began.
    pub(crate) fn begin_at(&self, tick: u64) {
        let mark = self.mark();
        // One that was given up meanwhile has missed nothing: it was told nothing yet.
        while !mark.exchange(mark.load(), Mark::Reader(tick)) {}
    }

    /// So many changes waited for the reader already, since it began in the past; `false` if that is more than may.
    pub(crate) fn had_waiting(&self, changes: u64) -> bool {
        // Relaxed: a count; only the reader changes it.
        let read = self.mark().read.load(Ordering::Relaxed);
        self.mark().read.store(read.saturating_sub(changes), Ordering::Relaxed);
        changes <= self.unread().waiting_max
    }

    /// Gives the reader up, as a writer would.
    pub(crate) fn give_up(&self) {
        if let seen @ Mark::Reader(tick) = self.mark().load() {
            self.mark().exchange(seen, Mark::GivenUp(tick));
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.mark().set(Mark::Unused);
        // Release [BOOKMARK-3]: mate of Acquire [BOOKMARK-4].
        self.mark().in_use.store(false, Ordering::Release);
    }
}
