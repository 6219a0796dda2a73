//! Eras: when the memory of what was unlinked may be used again.
//!
//! `crossbeam-epoch` tells nobody its epochs, and a closure for each retired version costs more than the version. So eras
//! stand on top of it: one counter, and a mark up to which eras are *safe*.
//!
//! - **Mover** (any thread that closed a batch): if the previous era is safe, compare-and-swap the era from *e* to *e* + 1,
//!   fence, and defer a closure that raises the mark to *e*.
//! - **Retirer**: unlinks a batch of versions, then fences and reads the era: that is the batch's *tag*. It may be reclaimed
//!   once its tag is safe.
//!
//! *Why:* take a batch with tag *e*, and a reader that may have met one of its versions. The retirer's fence stands before
//! the mover's (else it would have read *e* + 1), so a reader that pinned after the mover's closure was deferred sees the
//! versions unlinked. One that pinned before is waited for by the closure.
//! *Why the tag is read after the last unlinking:* a thread that reads 10, stalls, and unlinks in era 20 under a reader would
//! reclaim at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::raw::component::Component;
use crate::sync::figure::Moment as MovedAt;
use crate::sync::rule::{self, Rule};
use crate::sync::watch::{self, Moment};
use crate::sync::{AtomicU64, Collector, Guard, LocalHandle, Ordering, fence};
use crate::tuning::RETIRE_BATCH;

/// A store's eras, and the collector under them.
pub(crate) struct Eras {
    collector: Collector,
    now: CachePadded<AtomicU64>,
    safe: Arc<CachePadded<AtomicU64>>,
    /// When the era was moved last.
    moved: MovedAt,
}

impl Eras {
    pub(crate) fn new() -> Self {
        Self {
            collector: Collector::new(),
            now: CachePadded::new(AtomicU64::new(1)),
            safe: Arc::new(CachePadded::new(AtomicU64::new(0))),
            moved: MovedAt::default(),
        }
    }

    /// Registers the calling thread.
    pub(crate) fn register(&self) -> LocalHandle {
        self.collector.register()
    }

    /// The tag of what the calling thread has unlinked so far, and when it was fenced off.
    pub(crate) fn tag(&self) -> (u64, Moment) {
        if rule::holds(Rule::FenceBeforeTag) {
            // SeqCst fence [ERA-1]: the unlinking stands before the era. Mates: the mover's [ERA-2], and that of a pin.
            fence(Ordering::SeqCst);
        }
        let moment = watch::moment();
        // Acquire: nothing is published by the era itself; the fences order it.
        (self.now.load(Ordering::Acquire), moment)
    }

    /// The era. Under a pin it moves on once at most, so whatever was met before is safe to reclaim with the era after it.
    pub(crate) fn now(&self) -> u64 {
        // Acquire: as in `tag`; the caller's pin orders it.
        self.now.load(Ordering::Acquire)
    }

    /// The tag of what the calling thread unlinks under the pin that it has, without a fence: see [`rooms`](crate::raw::rooms).
    #[inline]
    pub(crate) fn tag_ahead(&self) -> u64 {
        self.now() + u64::from(rule::holds(Rule::RoomTagAhead))
    }

    /// Up to which tag memory may be reclaimed.
    pub(crate) fn safe(&self) -> u64 {
        // Acquire [SAFE-2]: with Release [SAFE-1]: the readers that were waited for are done.
        self.safe.load(Ordering::Acquire)
    }

    /// For how long the last era has waited for pins that began before it was moved, if it does.
    pub(crate) fn waits_for_pins(&self) -> Option<Duration> {
        let waits = self.safe() + 1 < self.now.load(Ordering::Acquire);
        waits.then(|| self.moved.elapsed())
    }

    /// Moves the era on if the last one is safe; else helps the collector along.
    pub(crate) fn advance(&self, guard: &Guard) {
        let era = self.now.load(Ordering::Acquire);
        if self.safe() + 1 < era {
            guard.flush();
            return;
        }
        if self.now.compare_exchange(era, era + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return;
        }
        self.moved.set_now();
        if rule::holds(Rule::FenceAfterMove) {
            // SeqCst fence [ERA-2]: the move stands before the closure is deferred. Mates: [ERA-1], and that of a pin.
            fence(Ordering::SeqCst);
        }
        let safe = Arc::clone(&self.safe);
        // Release [SAFE-1]: mate of Acquire [SAFE-2].
        guard.defer(move || safe.fetch_max(era, Ordering::AcqRel));
        guard.flush();
    }
}

/// Something unlinked, and how to reclaim it.
pub(crate) struct Retired {
    item: *mut u8,
    component: *const Component,
    reclaim: Reclaim,
    bytes: usize,
}

/// Reclaims an item of a component.
///
/// # Safety
/// The item is the one that it was retired with, no one can reach it, and the component is alive.
pub(crate) type Reclaim = unsafe fn(*mut u8, *const Component);

impl Retired {
    /// # Safety
    /// 1. `item` has been unlinked: who pins from now on cannot meet it.
    /// 2. It is retired once.
    /// 3. `reclaim` fits it, and `component`, if not null, lives as long as its store.
    pub(crate) unsafe fn new(item: *mut u8, component: *const Component, reclaim: Reclaim) -> Self {
        watch::retired(item);
        Self { item, component, reclaim, bytes: 0 }
    }

    /// The same, of which so many bytes count.
    pub(crate) fn of_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// How many bytes of it count.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    fn reclaim(self) {
        watch::reclaimed(self.item);
        // SAFETY: promised in `new`; the queue calls this when the tag is safe, or when the store has no users.
        unsafe { (self.reclaim)(self.item, self.component) }
    }
}

/// What a thread has retired and not yet reclaimed.
#[derive(Default)]
pub(crate) struct RetireQueue {
    open: Vec<Retired>,
    closed: VecDeque<(u64, Vec<Retired>)>,
    spare: Vec<Vec<Retired>>,
}

impl RetireQueue {
    #[inline]
    pub(crate) fn push(&mut self, retired: Retired) {
        self.open.push(retired);
    }

    /// Pushes what there is.
    pub(crate) fn extend(&mut self, retired: Option<Retired>) {
        self.open.extend(retired);
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.open.len() + self.closed.iter().map(|(_, batch)| batch.len()).sum::<usize>()
    }

    /// Closes what is open into a batch with its tag.
    pub(crate) fn close(&mut self, eras: &Eras) {
        if self.open.is_empty() {
            return;
        }
        let empty = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(RETIRE_BATCH));
        let batch = std::mem::replace(&mut self.open, empty);
        let (tag, moment) = eras.tag();
        batch.iter().for_each(|retired| watch::tagged(retired.item, moment));
        self.closed.push_back((tag, batch));
    }

    /// Takes the oldest batch if it may be reclaimed.
    pub(crate) fn take_safe(&mut self, safe: u64) -> Option<Batch> {
        let (tag, _) = self.closed.front()?;
        if *tag > safe && rule::holds(Rule::ReclaimWhenSafe) {
            return None;
        }
        self.closed.pop_front().map(|(_, items)| Batch { items })
    }

    /// Keeps an emptied batch's memory for the next one.
    pub(crate) fn recycle(&mut self, mut batch: Batch) {
        let is_usual = batch.items.capacity() <= 2 * RETIRE_BATCH;
        if self.spare.len() < 4 && batch.items.is_empty() && is_usual {
            self.spare.push(std::mem::take(&mut batch.items));
        }
    }

    /// Takes over what another thread left.
    pub(crate) fn adopt(&mut self, other: &mut Self) {
        self.open.append(&mut other.open);
        self.closed.append(&mut other.closed);
        self.closed.make_contiguous().sort_by_key(|(tag, _)| *tag);
    }

    /// Takes everything, safe or not: only when the store has no users left.
    pub(crate) fn take_all(&mut self) -> Batch {
        let mut items = std::mem::take(&mut self.open);
        for (_, mut batch) in self.closed.drain(..) {
            items.append(&mut batch);
        }
        Batch { items }
    }
}

/// Items that may be reclaimed. Reclaiming runs the user's `Drop`, so nothing of the store is borrowed meanwhile.
#[must_use]
pub(crate) struct Batch {
    items: Vec<Retired>,
}

impl Batch {
    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// How many bytes of them count.
    pub(crate) fn bytes(&self) -> u64 {
        self.items.iter().map(Retired::bytes).sum()
    }

    /// Reclaims all items.
    pub(crate) fn reclaim(&mut self) {
        while let Some(item) = self.items.pop() {
            item.reclaim();
        }
    }
}

impl Drop for Batch {
    /// Reclaims what is behind an item whose `Drop` panicked.
    fn drop(&mut self) {
        self.reclaim();
    }
}
