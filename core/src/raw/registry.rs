//! The registry of live snapshots: who must still see what.
//!
//! # Words and states
//! A word goes EMPTY(*e*) → PENDING(*e*) → SET(*s*) → EMPTY(*s*). *s* is the snapshot's tick, and *e* that of the one before it in the same
//! word, or zero. The clock is past *e*, so *s* is greater, and no PENDING repeats in one word.
//!
//! - **Owner**: EMPTY(*e*) → PENDING(*e*); fence; read the clock as *s*; PENDING(*e*) → SET(*s*), or use the *s* that a pruner has set; move the
//!   clock past *s*; return.
//! - **Pruner**: read the clock as *v*; fence; scan the words. One that is PENDING(*e*) it sets itself, to the clock read after
//!   it saw it.
//! - **Release**: SET(*s*) → EMPTY(*s*). The clock is past *s* by then.
//!
//! # Why a view of clock *v* may judge what was replaced at or before *v*
//! A snapshot either was announced before the scan's fence, or was not.
//! - If it was, the scan saw its word: with *s* in it, or PENDING, and then one of the two set *s* and both use that.
//! - If it was not, its fence stands after the scan's, and it reads a clock of at least *v*: it sees the newer version.
//!
//! *Why PENDING never repeats:* a pruner that stalls between reading PENDING and setting it must fail against the word's next
//! owner. Else it would give that owner a snapshot of the past. *Why not the clock instead of* e: it would be read before announcing, and may stay
//! what it was while another owner comes and goes in the word.

use std::ptr::{self, NonNull};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::raw::clock::Clock;
use crate::sync::figure::Moment;
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
use crate::tuning::REGISTRY_BLOCK;

/// A registry word's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// Free, with the tick of the last snapshot that was here.
    Empty(u64),
    /// Announced, with the same.
    Pending(u64),
    Set(u64),
}

impl Word {
    const fn pack(self) -> u64 {
        match self {
            Self::Empty(last) => last << 2,
            Self::Pending(last) => last << 2 | 1,
            Self::Set(tick) => tick << 2 | 2,
        }
    }

    const fn unpack(word: u64) -> Self {
        match word & 0b11 {
            0 => Self::Empty(word >> 2),
            1 => Self::Pending(word >> 2),
            _ => Self::Set(word >> 2),
        }
    }
}

/// A registry word, and what is said of it beside the protocol.
struct Entry {
    word: AtomicU64,
    /// When its owner took his snapshot.
    taken: Moment,
}

struct Block {
    words: [CachePadded<Entry>; REGISTRY_BLOCK],
    next: AtomicPtr<Block>,
}

impl Block {
    fn new() -> Self {
        Self { words: std::array::from_fn(|_| CachePadded::new(Entry::new())), next: AtomicPtr::new(ptr::null_mut()) }
    }
}

impl Entry {
    fn new() -> Self {
        Self { word: AtomicU64::new(Word::Empty(0).pack()), taken: Moment::default() }
    }
}

/// All live snapshots of a store. Grows, never shrinks.
pub(crate) struct Registry {
    first: Block,
    /// Words ever used, from the first on: a scan looks no further.
    used: AtomicUsize,
}

/// A snapshot's place in the registry.
#[derive(Debug)]
pub(crate) struct Registered {
    entry: *const Entry,
    /// The snapshot's tick.
    pub(crate) tick: u64,
}

// SAFETY: the word is an atomic in a registry that outlives the snapshot, which holds its store.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

/// The live snapshots as a scan saw them: good for judging what was replaced at or before `clock`.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveView {
    /// The clock read before the scan.
    pub(crate) clock: u64,
    ticks: Vec<u64>,
    /// The oldest live snapshot, and where it is registered.
    oldest: Option<(u64, NonNull<Entry>)>,
    /// What was replaced at or before this tick, no snapshot sees.
    floor: u64,
}

impl LiveView {
    /// The oldest live snapshot that sees what was visible from tick `from` until tick `until`.
    pub(crate) fn oldest_within(&self, from: u64, until: u64) -> Option<u64> {
        self.ticks.iter().copied().filter(|tick| (from..until).contains(tick)).min()
    }

    /// Whether a snapshot with this tick was live.
    pub(crate) fn contains(&self, tick: u64) -> bool {
        self.ticks.contains(&tick)
    }

    /// Whether a snapshot that was taken with this tick has ended, for good.
    pub(crate) fn has_ended(&self, tick: u64) -> bool {
        tick < self.clock && !self.contains(tick)
    }

    /// The oldest live snapshot.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.oldest.map(|(tick, _)| tick)
    }

    /// The tick up to which what was replaced is seen by no snapshot, nor passed by on the way to what is.
    #[inline]
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// A number that most probably is another one in a view that shows something else.
    pub(crate) fn mark(&self) -> u64 {
        self.ticks.iter().fold(self.clock, |mark, tick| mark.rotate_left(7) ^ tick)
    }

    /// How many snapshots were live.
    pub(crate) fn len(&self) -> usize {
        self.ticks.len()
    }
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self { first: Block::new(), used: AtomicUsize::new(0) }
    }

    /// Takes a snapshot. Lock-free; allocates only when there are more live snapshots than ever before.
    pub(crate) fn take(&self, clock: &Clock) -> Registered {
        let (entry, pending) = self.announce();
        entry.taken.set_now();
        let word = &entry.word;
        if rule::holds(Rule::FenceAfterPending) {
            // SeqCst fence [SNAP-2]: the announcement stands before the clock. Mates: the pruner's [SCAN-1], and the
            // writer's [SNAP-1], which orders installs against the move of the clock below.
            fence(Ordering::SeqCst);
        }
        let now = clock.now();
        // AcqRel [WORD-1]: set once, by the owner or by a pruner.
        let tick =
            match word.compare_exchange(pending.pack(), Word::Set(now).pack(), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => now,
                Err(found) => match Word::unpack(found) {
                    Word::Set(tick) => tick,
                    other => unreachable!("only its owner empties a registry word, found {other:?}"),
                },
            };
        if rule::holds(Rule::ClockPastSnapshot) {
            clock.advance_past(tick);
        }
        if rule::holds(Rule::FenceAfterClock) {
            // SeqCst fence [SNAP-2]: the move of the clock stands before every read at the snapshot, and before a consumer's
            // look at what is announced. Mate: the writer's [SNAP-1].
            fence(Ordering::SeqCst);
        }
        Registered { entry, tick }
    }

    fn announce(&self) -> (&Entry, Word) {
        let mut block = &self.first;
        let mut before = 0;
        loop {
            for (index, entry) in block.words.iter().enumerate() {
                let word = &entry.word;
                // Relaxed: a hint; the compare-and-swap decides.
                let seen = word.load(Ordering::Relaxed);
                let Word::Empty(last) = Word::unpack(seen) else { continue };
                let pending = Word::Pending(if rule::holds(Rule::PendingNeverRepeats) { last } else { 0 });
                // AcqRel [WORD-1]: Acquire of the last owner's Release [WORD-2], so that the clock is read past that one's tick, by the
                // owner and by whoever meets PENDING.
                if word.compare_exchange(seen, pending.pack(), Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    // Relaxed: ordered against a scan by the fence [SNAP-2] that follows.
                    if self.used.load(Ordering::Relaxed) < before + index + 1 {
                        self.used.fetch_max(before + index + 1, Ordering::Relaxed);
                    }
                    return (entry, pending);
                }
            }
            before += REGISTRY_BLOCK;
            block = Self::next_or_grow(block);
        }
    }

    fn next_or_grow(block: &Block) -> &Block {
        // Acquire [BLOCK-2]: with Release [BLOCK-1] below.
        let mut next = block.next.load(Ordering::Acquire);
        if next.is_null() {
            let grown = Box::into_raw(Box::new(Block::new()));
            // AcqRel [BLOCK-1]: publishes the empty words.
            match block.next.compare_exchange(ptr::null_mut(), grown, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => next = grown,
                Err(other) => {
                    // SAFETY: not published, so still only ours.
                    drop(unsafe { Box::from_raw(grown) });
                    next = other;
                }
            }
        }
        // SAFETY: blocks are freed only with the registry.
        unsafe { &*next }
    }

    /// How long ago the oldest of the live snapshots was taken, as far as a look beside their owners can tell.
    pub(crate) fn oldest_age(&self) -> Option<Duration> {
        let mut block = Some(&self.first);
        let mut oldest = None;
        while let Some(looked) = block {
            for entry in &looked.words {
                // Relaxed: for people to look at.
                if !matches!(Word::unpack(entry.word.load(Ordering::Relaxed)), Word::Empty(_)) {
                    oldest = oldest.max(Some(entry.taken.elapsed()));
                }
            }
            // Acquire [BLOCK-2]: with Release [BLOCK-1].
            // SAFETY: blocks are freed only with the registry.
            block = unsafe { looked.next.load(Ordering::Acquire).as_ref() };
        }
        oldest
    }

    /// Ends a snapshot.
    pub(crate) fn release(&self, registered: &Registered) {
        // SAFETY: words live as long as the registry, to which the caller's store leads.
        let word = &unsafe { &*registered.entry }.word;
        // Release [WORD-2]: the reads at the snapshot stand before whatever is pruned after it.
        word.store(Word::Empty(registered.tick).pack(), Ordering::Release);
    }

    /// Sees which snapshots are live, setting those that are not yet.
    pub(crate) fn view(&self, clock: &Clock) -> LiveView {
        let mut view = LiveView::default();
        self.view_into(clock, &mut view);
        view
    }

    /// As [`view`](Self::view), into a view that is there already.
    pub(crate) fn view_into(&self, clock: &Clock, view: &mut LiveView) {
        view.ticks.clear();
        view.oldest = None;
        if rule::holds(Rule::ClockBeforeScan) {
            view.clock = clock.now();
        }
        if rule::holds(Rule::FenceBeforeScan) {
            // SeqCst fence [SCAN-1]: the clock, and what the caller saw replaced, stand before the words. Mate: [SNAP-2]. What was stamped before the
            // caller saw it needs no other fence than its stamp's [SNAP-3]; but the view is good for what is stamped later, too.
            fence(Ordering::SeqCst);
        }
        // Relaxed: behind the fence it counts every word announced before the mate.
        let mut left = self.used.load(Ordering::Relaxed);
        let mut block = &self.first;
        loop {
            for entry in block.words.iter().take(left) {
                if let Some(tick) = Self::settle(&entry.word, clock) {
                    view.ticks.push(tick);
                    if view.oldest.is_none_or(|(oldest, _)| tick < oldest) {
                        view.oldest = Some((tick, NonNull::from(&**entry)));
                    }
                }
            }
            if left <= REGISTRY_BLOCK {
                break;
            }
            left -= REGISTRY_BLOCK;
            block = Self::next_or_grow(block);
        }
        if !rule::holds(Rule::ClockBeforeScan) {
            view.clock = clock.now();
        }
        view.floor = view.oldest.map_or(view.clock, |(oldest, _)| oldest.min(view.clock));
    }

    /// Whether another view could have a higher [floor](LiveView::floor): the clock has moved on, or the oldest snapshot has ended.
    pub(crate) fn may_have_risen(&self, view: &LiveView, clock: &Clock) -> bool {
        clock.now() > view.clock
            || view.oldest.is_some_and(|(tick, entry)| {
                // SAFETY: entries live as long as the registry.
                let word = &unsafe { entry.as_ref() }.word;
                // Relaxed: a hint; whoever takes it looks at everything again.
                word.load(Ordering::Relaxed) != Word::Set(tick).pack()
            })
    }

    fn settle(word: &AtomicU64, clock: &Clock) -> Option<u64> {
        // Acquire [WORD-3]: with Release [WORD-2]: an empty word's last owner has done its reads; and with AcqRel [WORD-1],
        // the clock below is past what PENDING carries.
        let mut found = word.load(Ordering::Acquire);
        loop {
            match Word::unpack(found) {
                Word::Empty(_) => return None,
                Word::Set(tick) => return Some(tick),
                Word::Pending(last) => {
                    let now = if rule::holds(Rule::PrunerReadsClock) { clock.now() } else { last };
                    // AcqRel [WORD-1]: from exactly this PENDING, else the word has another owner.
                    match word.compare_exchange(found, Word::Set(now).pack(), Ordering::AcqRel, Ordering::Acquire) {
                        Ok(_) => return Some(now),
                        Err(other) => found = other,
                    }
                }
            }
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Relaxed: exclusive.
        let mut next = self.first.next.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: exclusive access; each block was leaked once in `next_or_grow`.
            let block = unsafe { Box::from_raw(next) };
            next = block.next.load(Ordering::Relaxed);
        }
    }
}
