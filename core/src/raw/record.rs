//! A thread's record in a store: what it announces, its notes, and what only it touches.
//!
//! Records are never freed before their store. A thread that ends leaves its record to the next one that comes, or to any
//! thread that tidies up, with everything in it.

use std::cell::UnsafeCell;
use std::num::NonZeroU64;
use std::ptr;

use crossbeam_utils::CachePadded;

use crate::raw::backlog::OpenBlock;
use crate::raw::commit::{Descriptor, FailedQueue};
use crate::raw::era::RetireQueue;
use crate::raw::notes::Segment;
use crate::raw::registry::LiveView;
use crate::raw::slot::SlotHeader;
use crate::raw::tally::Tally;
use crate::raw::waiters::Changed;
use crate::sync::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use crate::tuning::{GROWTH_STEP, RETIRE_BATCH};

/// What only the record's owner touches.
pub(crate) struct Owned {
    /// How much may still come before the thread tidies up: pieces of garbage, less [`TELLS`] if there is somebody to be told. One look at the
    /// end of each operation.
    slack: isize,
    pub(crate) retired: RetireQueue,
    pub(crate) view: LiveView,
    pub(crate) backlog: OpenBlock,
    /// What the thread has changed while somebody waited: to be told at the end of the operation.
    to_tell: Vec<Changed>,
    /// Who or what the thread's changes are made by, for components that keep history.
    pub(crate) origin: Option<NonZeroU64>,
    /// Versions of transactions that were aborted while others helped.
    pub(crate) failed: FailedQueue,
    /// How many transactions have begun with this record.
    pub(crate) transactions: u64,
    /// The number of the transaction whose closure runs under a pin of the thread, the innermost one.
    pub(crate) attempted: Option<NonZeroU64>,
    /// Whether the thread removes a key whose time is over, from within its work at the backlog.
    pub(crate) is_sweeping: bool,
    /// Bytes that the thread has brought in since it last looked at the store's load.
    grown: usize,
    /// Blocks of the backlog in a row that the thread has looked at and found none of them ready, and the mark of the view by which.
    pub(crate) passed_by: usize,
    pub(crate) passed_by_in: u64,
    tail: Option<ptr::NonNull<Segment>>,
}

/// More than the garbage that a thread may leave before it tidies up.
const TELLS: isize = 1 << 30;

impl Owned {
    fn new() -> Self {
        Self {
            slack: RETIRE_BATCH as isize,
            retired: RetireQueue::default(),
            view: LiveView::default(),
            backlog: OpenBlock::default(),
            to_tell: Vec::new(),
            origin: None,
            failed: FailedQueue::default(),
            transactions: 0,
            attempted: None,
            is_sweeping: false,
            grown: 0,
            passed_by: 0,
            passed_by_in: 0,
            tail: None,
        }
    }

    /// Whether there is enough garbage for a batch, somebody to be told, or much that the thread has brought in.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.slack <= 0
    }

    /// Counts a piece of garbage: a room that was freed waits for the eras to move on as what is in batches does.
    #[inline]
    pub(crate) fn count_garbage(&mut self) {
        self.slack -= 1;
    }

    /// Says that the thread tidies up now; `false` if there is no need.
    pub(crate) fn begin_to_tidy(&mut self) -> bool {
        let is_due = self.is_due();
        if is_due {
            self.slack = RETIRE_BATCH as isize;
        }
        is_due
    }

    /// Leaves a key to be told of at the end of the operation.
    pub(crate) fn remember_to_tell(&mut self, changed: Changed) {
        if self.to_tell.is_empty() {
            self.slack -= TELLS;
        }
        self.to_tell.push(changed);
    }

    /// What is to be told.
    pub(crate) fn take_to_tell(&mut self) -> Vec<Changed> {
        if !self.to_tell.is_empty() {
            self.slack += TELLS;
        }
        std::mem::take(&mut self.to_tell)
    }

    /// Counts bytes that the thread has brought in.
    #[inline]
    pub(crate) fn count_growth(&mut self, bytes: usize) {
        self.grown += bytes;
        if self.grown >= GROWTH_STEP {
            self.slack = self.slack.min(0);
        }
    }

    /// How much the thread has brought in since it was asked last.
    pub(crate) fn take_growth(&mut self) -> usize {
        std::mem::take(&mut self.grown)
    }
}

/// What a thread is about to write.
#[derive(Clone, Copy)]
pub(crate) enum Announced {
    Nothing,
    Slot(*mut SlotHeader),
    /// All that a transaction writes.
    Transaction(*const Descriptor),
}

/// In a thread's in-flight word: it is the address of a descriptor.
const DESCRIPTOR: usize = 1;

/// A thread's record.
pub(crate) struct Record {
    /// The slot that the thread is about to write, or the descriptor of a transaction, marked, or null.
    in_flight: CachePadded<AtomicPtr<SlotHeader>>,
    in_use: AtomicBool,
    /// The oldest segment of notes that is not yet freed. Set once by the owner, then only at the desk.
    first_segment: AtomicPtr<Segment>,
    owned: UnsafeCell<Owned>,
    /// What the owner has done, for whoever asks.
    pub(crate) tally: Tally,
    /// Which stripe of a spread counter the thread uses.
    pub(crate) stripe: usize,
    next: AtomicPtr<Record>,
}

// SAFETY: `owned` is touched only by whoever holds `in_use`, or exclusively when the store goes; the raw addresses in it point
// into the store.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

impl Record {
    fn new(stripe: usize) -> Self {
        Self {
            in_flight: CachePadded::new(AtomicPtr::new(ptr::null_mut())),
            in_use: AtomicBool::new(true),
            first_segment: AtomicPtr::new(ptr::null_mut()),
            owned: UnsafeCell::new(Owned::new()),
            tally: Tally::default(),
            stripe,
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Announces the slot that the owner is about to write.
    #[inline]
    pub(crate) fn announce(&self, slot: &SlotHeader) {
        // Release [FLIGHT-1]: a slot that was just made stands before it. Mate: Acquire [FLIGHT-2]. Before the clock it is ordered
        // by the fence [SNAP-1] of whoever decides the version; see `notes`.
        self.in_flight.store(ptr::from_ref(slot).cast_mut(), Ordering::Release);
    }

    /// Announces the transaction that the owner is about to commit.
    pub(crate) fn announce_all(&self, descriptor: *const Descriptor) {
        let word = descriptor.cast_mut().cast::<SlotHeader>().map_addr(|address| address | DESCRIPTOR);
        // Release [FLIGHT-1]: the write set stands before it. Mate: Acquire [FLIGHT-2]. Whoever reads the clock for the transaction has seen
        // its versions installed, which comes after this, and stands behind the fence [SNAP-1].
        self.in_flight.store(word, Ordering::Release);
    }

    /// Ends the announcement.
    #[inline]
    pub(crate) fn clear(&self) {
        // Release [FLIGHT-1]: the note stands before it. Mate: Acquire [FLIGHT-2].
        self.in_flight.store(ptr::null_mut(), Ordering::Release);
    }

    /// What the owner is about to write. A descriptor is alive as long as the caller's pin.
    pub(crate) fn announced(&self) -> Announced {
        // Acquire [FLIGHT-2]: with Release [FLIGHT-1]: who sees a slot announced sees the slot, and who sees it cleared sees the
        // note.
        let word = self.in_flight.load(Ordering::Acquire);
        if word.is_null() {
            Announced::Nothing
        } else if word.addr() & DESCRIPTOR == 0 {
            Announced::Slot(word)
        } else {
            Announced::Transaction(word.map_addr(|address| address & !DESCRIPTOR).cast())
        }
    }

    /// Borrows what only the owner touches.
    ///
    /// # Safety
    /// 1. The caller holds the record (its thread's, or claimed).
    /// 2. `visit` calls nothing that comes here again, so no user code.
    #[inline]
    pub(crate) unsafe fn with_owned<R>(&self, visit: impl FnOnce(&mut Owned) -> R) -> R {
        // SAFETY: (1) excludes other threads, (2) excludes a second borrow.
        visit(unsafe { &mut *self.owned.get() })
    }

    /// Whether the transaction with this number runs under a pin of the owner that lasts until it has ended.
    ///
    /// # Safety
    /// As for [`with_owned`](Self::with_owned), (1).
    #[inline]
    pub(crate) unsafe fn attempts(&self, thread: usize, number: NonZeroU64) -> bool {
        // SAFETY: (1) from the caller; nothing in here comes back.
        self.stripe == thread && unsafe { self.with_owned(|owned| owned.attempted == Some(number)) }
    }

    /// Notes that a slot has changed; `true` if that began a new segment.
    ///
    /// # Safety
    /// As for [`with_owned`](Self::with_owned), (1).
    #[inline]
    pub(crate) unsafe fn note(&self, slot: &SlotHeader) -> bool {
        let address = ptr::from_ref(slot).cast_mut();
        // SAFETY: (1) from the caller; nothing in here comes back.
        unsafe {
            self.with_owned(|owned| {
                if let Some(tail) = owned.tail {
                    // SAFETY: a tail has no next one, so the desk does not free it.
                    if tail.as_ref().append(address) {
                        return false;
                    }
                }
                let segment = Segment::allocate();
                // SAFETY: fresh.
                (*segment).append(address);
                match owned.tail.replace(ptr::NonNull::new_unchecked(segment)) {
                    // SAFETY: as above; after the link it is not touched again.
                    Some(full) => full.as_ref().link(segment),
                    // Release [SEGMENT-1]: mate of Acquire [SEGMENT-2].
                    None => self.first_segment.store(segment, Ordering::Release),
                }
                true
            })
        }
    }

    pub(crate) fn first_segment(&self) -> *mut Segment {
        // Acquire [SEGMENT-2]: with Release [SEGMENT-1].
        self.first_segment.load(Ordering::Acquire)
    }

    pub(crate) fn set_first_segment(&self, segment: *mut Segment) {
        // Release [SEGMENT-1].
        self.first_segment.store(segment, Ordering::Release);
    }

    fn claim(&self) -> bool {
        // Relaxed: a hint. Acquire [RECORD-2]: with Release [RECORD-1]: what the last owner left is seen.
        !self.in_use.load(Ordering::Relaxed)
            && self.in_use.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Leaves the record to the next one.
    pub(crate) fn leave(&self) {
        // Release [RECORD-1]: mate of Acquire [RECORD-2].
        self.in_use.store(false, Ordering::Release);
    }
}

/// All records of a store: a list that only grows.
pub(crate) struct Records {
    first: AtomicPtr<Record>,
    count: AtomicUsize,
    /// Records that were left with garbage in them.
    abandoned: AtomicUsize,
}

impl Records {
    pub(crate) fn new() -> Self {
        Self { first: AtomicPtr::new(ptr::null_mut()), count: AtomicUsize::new(0), abandoned: AtomicUsize::new(0) }
    }

    /// Takes a record that was left, or makes one.
    pub(crate) fn obtain(&self) -> &Record {
        if let Some(record) = self.iter().find(|record| record.claim()) {
            return record;
        }
        // Relaxed: any number will do.
        let stripe = self.count.fetch_add(1, Ordering::Relaxed);
        let record = Box::into_raw(Box::new(Record::new(stripe)));
        let mut first = self.first.load(Ordering::Acquire);
        loop {
            // SAFETY: fresh, and published only below.
            let made = unsafe { &*record };
            made.next.store(first, Ordering::Relaxed);
            // Release [RECORDS-1]: mate of Acquire [RECORDS-2].
            match self.first.compare_exchange(first, record, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return made,
                Err(other) => first = other,
            }
        }
    }

    /// Notes that a record was left with garbage in it.
    pub(crate) fn abandon(&self, record: &Record) {
        record.leave();
        // Release [ABANDON-1]: mate of Acquire [ABANDON-2]: who sees the hint can claim the record. The other way round it
        // could be taken while the record is still in use, and nobody would look there again.
        self.abandoned.fetch_add(1, Ordering::Release);
    }

    /// Claims every record that was left, hands over what only its owner may touch, and leaves it again. Only when some were
    /// left with garbage.
    pub(crate) fn adopt(&self, mut visit: impl FnMut(&mut Owned)) {
        // Relaxed: a hint; what is missed now is found by the next one. Acquire [ABANDON-2]: with Release [ABANDON-1], also of
        // what comes in between.
        if self.abandoned.load(Ordering::Relaxed) == 0 || self.abandoned.swap(0, Ordering::Acquire) == 0 {
            return;
        }
        for record in self.iter().filter(|record| record.claim()) {
            // SAFETY: claimed; `visit` moves data only.
            unsafe { record.with_owned(&mut visit) };
            record.leave();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        // Acquire [RECORDS-2]: with Release [RECORDS-1].
        let mut record = self.first.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: records are freed only with the list.
            let found = unsafe { record.as_ref() }?;
            record = found.next.load(Ordering::Acquire);
            Some(found)
        })
    }

    /// Visits what owners had, when no owner is left.
    pub(crate) fn visit_exclusively(&mut self, mut visit: impl FnMut(&mut Owned)) {
        for record in self.iter() {
            // SAFETY: `&mut self`: nobody else has a record.
            unsafe { record.with_owned(&mut visit) };
        }
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        let mut record = self.first.load(Ordering::Relaxed);
        while !record.is_null() {
            // SAFETY: exclusive; each was leaked once in `obtain`.
            let freed = unsafe { Box::from_raw(record) };
            record = freed.next.load(Ordering::Relaxed);
            // SAFETY: the desk and the owner are gone.
            unsafe { Segment::free_chain(freed.first_segment.load(Ordering::Relaxed)) };
        }
    }
}
