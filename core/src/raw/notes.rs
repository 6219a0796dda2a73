//! Notes: which slots have changed, for whoever must not miss a change: the log, feeds.
//!
//! # Words
//! Each thread has an *in-flight word*, which announces the slot that it is about to write, and an append-only *list* of
//! *notes*, each a slot's address. A *consumer* asks for *cuts*: a snapshot, and every slot that has changed between the last
//! cut and this one.
//!
//! # Steps
//! - **Writer**: announce the slot; install; decide the stamp (its fence stands after the announcement); if this is the key's
//!   first version in its tick, note the slot; clear the word. No user code runs in between.
//! - **Consumer**, closing a cut *s*: take a snapshot, which moves the clock past *s*, then fences; take every announced slot as
//!   noted, deciding what is undecided; then read every list to its end. What is newer than *s* is carried over to the next cut.
//!
//! # Why nothing is missed
//! Take a version with a tick ≤ *s*. The one that decided it stood behind a fence and read the clock before it moved past
//! *s*, so the announcement of its writer stands before the consumer's look (both fences). At that look the writer
//! - still announces: the slot is taken; or
//! - has cleared: then it has noted before that, and the lists are read after the words; or it has not noted because the version
//!   replaced one of the same tick. That one's writer has announced before, and the same two cases hold for it.
//!
//! Simpler orders lose changes: noting by a cut that was read (it moves meanwhile), noting before installing, deciding an
//! announced slot without taking it.
//!
//! # Memory
//! A segment of a list goes when every consumer has passed it. A consumer's turn is a mutex among consumers; writers only try
//! it. If a consumer stays away, a writer that begins a segment reads the lists into the consumers' sets of slots, if nobody
//! else does: so what waits is bounded by the slots that changed.

use std::collections::HashMap;
use std::ptr;
use std::sync::{PoisonError, TryLockError};

use crate::raw::chain::{self};
use crate::raw::clock::Clock;
use crate::raw::record::{Record, Records};
use crate::raw::slot::SlotHeader;
use crate::raw::stamp::Stamp;
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering};
use crate::tuning::NOTE_SEGMENT;

/// A piece of a thread's list.
pub(crate) struct Segment {
    notes: Box<[AtomicPtr<SlotHeader>]>,
    len: AtomicUsize,
    next: AtomicPtr<Segment>,
}

impl Segment {
    pub(crate) fn allocate() -> *mut Self {
        Box::into_raw(Box::new(Self {
            notes: (0..NOTE_SEGMENT).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            len: AtomicUsize::new(0),
            next: AtomicPtr::new(ptr::null_mut()),
        }))
    }

    /// Appends a note; `false` if the segment is full. Only for the list's owner.
    pub(crate) fn append(&self, slot: *mut SlotHeader) -> bool {
        // Relaxed: only the owner writes it.
        let len = self.len.load(Ordering::Relaxed);
        if len == NOTE_SEGMENT {
            return false;
        }
        self.notes[len].store(slot, Ordering::Relaxed);
        // Release [NOTE-1]: mate of Acquire [NOTE-2].
        self.len.store(len + 1, Ordering::Release);
        true
    }

    /// Links the segment that follows. The owner does not touch this one again.
    pub(crate) fn link(&self, next: *mut Self) {
        // Release [SEGMENT-1]: mate of Acquire [SEGMENT-2].
        self.next.store(next, Ordering::Release);
    }

    /// Frees the chain of segments that begins here.
    ///
    /// # Safety
    /// Nobody else can reach them.
    pub(crate) unsafe fn free_chain(mut segment: *mut Self) {
        while !segment.is_null() {
            // SAFETY: passed on; each segment was leaked once in `allocate`.
            let freed = unsafe { Box::from_raw(segment) };
            segment = freed.next.load(Ordering::Relaxed);
        }
    }
}

/// How far a consumer has read a list.
#[derive(Clone, Copy)]
struct Position {
    segment: *mut Segment,
    index: usize,
}

struct ConsumerState {
    id: u64,
    positions: HashMap<*const Record, Position>,
    /// Slots with changes that are not yet acknowledged: each with the tick of the last cut that named all of them, or zero.
    slots: HashMap<*mut SlotHeader, u64>,
    /// The tick up to which the consumer has finished.
    acknowledged: u64,
}

/// While it stands, removals after `since` keep their trace: a cut names them, whatever became of its consumer.
struct Hold {
    id: u64,
    since: u64,
}

struct Desk {
    consumers: Vec<ConsumerState>,
    holds: Vec<Hold>,
    next_id: u64,
}

impl Desk {
    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// What is wanted of writers: consumers are counted in the lower half, waiters in the upper one.
#[derive(Clone, Copy)]
pub(crate) struct Wanted(u64);

impl Wanted {
    const CONSUMER: u64 = 1;
    const WAITER: u64 = 1 << 32;

    /// Whether a consumer wants notes.
    #[inline]
    pub(crate) fn notes(self) -> bool {
        self.0 & (Self::WAITER - 1) != 0
    }

    /// Whether a waiter wants to be woken.
    #[inline]
    pub(crate) fn wake_ups(self) -> bool {
        self.0 >= Self::WAITER
    }
}

/// Where consumers meet. Writers never wait here.
pub(crate) struct NotesDesk {
    desk: Mutex<Desk>,
    /// How many consumers there are, and how many waiters: see [`Wanted`].
    wanted: AtomicU64,
    /// The tick up to which all consumers have finished.
    floor: AtomicU64,
}

// SAFETY: the raw addresses inside are slots of type-stable arenas and segments that the desk itself frees, both alive as
// long as the store, which holds the desk.
unsafe impl Send for NotesDesk {}
// SAFETY: as above; all access goes through the mutex.
unsafe impl Sync for NotesDesk {}

/// The slots that changed between two cuts.
#[derive(Default)]
pub(crate) struct Changed {
    pub(crate) slots: Vec<*mut SlotHeader>,
    /// To be [let go](NotesDesk::let_go) when nobody looks at the slots any more.
    pub(crate) hold: u64,
}

/// A set of slots that has become this many times smaller than its memory gives it back.
const SHRINK: usize = 8;

impl NotesDesk {
    pub(crate) fn new() -> Self {
        Self {
            desk: Mutex::new(Desk { consumers: Vec::new(), holds: Vec::new(), next_id: 0 }),
            wanted: AtomicU64::new(0),
            floor: AtomicU64::new(u64::MAX),
        }
    }

    /// What anybody wants of writers. Read after the stamp is decided.
    #[inline]
    pub(crate) fn wanted(&self) -> Wanted {
        // Acquire [CONSUMER-2]: with AcqRel [CONSUMER-1] and the clock: who reads a clock that a consumer's first cut has
        // moved also sees the consumer. And who sees a waiter counted sees its record and its wish.
        Wanted(self.wanted.load(Ordering::Acquire))
    }

    /// Whether anybody wants notes.
    pub(crate) fn wants_notes(&self) -> bool {
        self.wanted().notes()
    }

    /// Counts a waiter whose wish stands in its record.
    pub(crate) fn count_waiter(&self) {
        // AcqRel [CONSUMER-1]: mate of Acquire [CONSUMER-2].
        self.wanted.fetch_add(Wanted::WAITER, Ordering::AcqRel);
    }

    /// A counted waiter waits no more.
    pub(crate) fn discount_waiter(&self) {
        // AcqRel [CONSUMER-1].
        self.wanted.fetch_sub(Wanted::WAITER, Ordering::AcqRel);
    }

    /// The tick up to which every consumer has finished; a removal up to there needs no trace in memory.
    pub(crate) fn floor(&self) -> u64 {
        // Acquire [FLOOR-2]: with Release [FLOOR-1].
        self.floor.load(Ordering::Acquire)
    }

    /// Registers a consumer that has finished with everything up to `tick`.
    pub(crate) fn register(&self, records: &Records, tick: u64) -> u64 {
        let mut desk = self.lock();
        let id = desk.new_id();
        let mut state = ConsumerState { id, positions: HashMap::new(), slots: HashMap::new(), acknowledged: tick };
        // AcqRel [CONSUMER-1]: mate of Acquire [CONSUMER-2].
        self.wanted.fetch_add(Wanted::CONSUMER, Ordering::AcqRel);
        for record in records.iter() {
            state.positions.insert(ptr::from_ref(record), Self::end_of(record));
        }
        desk.consumers.push(state);
        self.set_floor(&desk);
        id
    }

    /// Ends a consumer.
    pub(crate) fn deregister(&self, records: &Records, id: u64) {
        let mut desk = self.lock();
        desk.consumers.retain(|consumer| consumer.id != id);
        // AcqRel [CONSUMER-1].
        self.wanted.fetch_sub(Wanted::CONSUMER, Ordering::AcqRel);
        self.set_floor(&desk);
        Self::free_read(&mut desk, records);
    }

    /// Names what has changed up to `cut`, the tick of a snapshot that the caller has just taken: its fence [SNAP-2] stands between
    /// the move of the clock and the look at what is announced. It is named again by the next cut, with what has changed after
    /// this one, until it is acknowledged. The caller is pinned.
    pub(crate) fn cut(&self, records: &Records, clock: &Clock, id: u64, cut: u64) -> Changed {
        let mut desk = self.lock();
        let mut announced = Vec::new();
        for record in records.iter() {
            let slot = record.announced();
            if slot.is_null() || !rule::holds(Rule::ConsumerTakesAnnounced) {
                continue;
            }
            announced.push(slot);
        }
        for consumer in &mut desk.consumers {
            consumer.slots.extend(announced.iter().map(|slot| (*slot, 0)));
        }
        Self::read_lists(&mut desk, records);
        let Some(consumer) = desk.consumers.iter_mut().find(|consumer| consumer.id == id) else {
            return Changed::default();
        };
        let since = consumer.acknowledged;
        let mut slots = Vec::with_capacity(consumer.slots.len());
        consumer.slots.retain(|slot, named| {
            // SAFETY: a noted slot is type-stable as long as its store.
            let header = unsafe { &**slot };
            let chain::Latest::Version(newest) = chain::latest(header, clock) else { return false };
            let newer = newest.stamp.tick() > cut;
            *named = if newer && rule::holds(Rule::CarryNewer) { 0 } else { cut };
            if Self::changed_within(newest.version, newest.stamp, since, cut) {
                slots.push(*slot);
                true
            } else {
                newer && rule::holds(Rule::CarryNewer)
            }
        });
        let hold = desk.new_id();
        desk.holds.push(Hold { id: hold, since });
        Changed { slots, hold }
    }

    fn changed_within(newest: &chain::VersionHeader, stamp: Stamp, since: u64, cut: u64) -> bool {
        let (mut version, mut tick) = (newest, stamp.tick());
        while tick > cut {
            let Some(older) = version.prev() else { return false };
            (version, tick) = (older, older.stamp().tick());
        }
        tick > since
    }

    /// Notes that nobody looks at the slots of a cut any more.
    pub(crate) fn let_go(&self, hold: u64) {
        let mut desk = self.lock();
        desk.holds.retain(|held| held.id != hold);
        self.set_floor(&desk);
    }

    /// Notes that a consumer has finished with everything up to `tick`.
    pub(crate) fn acknowledge(&self, id: u64, tick: u64) {
        let mut desk = self.lock();
        if let Some(consumer) = desk.consumers.iter_mut().find(|consumer| consumer.id == id) {
            consumer.acknowledged = consumer.acknowledged.max(tick);
            consumer.slots.retain(|_, named| *named == 0 || *named > tick);
            if consumer.slots.capacity() / SHRINK > consumer.slots.len() {
                consumer.slots.shrink_to(2 * consumer.slots.len());
            }
        }
        self.set_floor(&desk);
    }

    /// Reads all lists into the consumers' sets, if nobody else is at the desk; so that lists stay short while a consumer
    /// stays away. Called by a writer that begins a segment; never waits.
    pub(crate) fn absorb(&self, records: &Records) {
        match self.desk.try_lock() {
            Ok(mut desk) => Self::read_lists(&mut desk, records),
            Err(TryLockError::Poisoned(poisoned)) => {
                Self::read_lists(&mut poisoned.into_inner(), records);
            }
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// How many slots wait for the consumer that has most.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().consumers.iter().map(|consumer| consumer.slots.len()).max().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        // No user code runs at the desk; after a panic for want of memory it is whole.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_floor(&self, desk: &Desk) {
        let acknowledged = desk.consumers.iter().map(|consumer| consumer.acknowledged);
        let floor = acknowledged.chain(desk.holds.iter().map(|hold| hold.since)).min();
        // Release [FLOOR-1]: mate of Acquire [FLOOR-2].
        self.floor.store(floor.unwrap_or(u64::MAX), Ordering::Release);
    }

    fn end_of(record: &Record) -> Position {
        let mut segment = record.first_segment();
        let mut index = 0;
        while !segment.is_null() {
            // SAFETY: segments are freed at the desk only, where we are.
            let reached = unsafe { &*segment };
            index = reached.len.load(Ordering::Acquire);
            let next = reached.next.load(Ordering::Acquire);
            if next.is_null() {
                break;
            }
            segment = next;
        }
        Position { segment, index }
    }

    fn read_lists(desk: &mut Desk, records: &Records) {
        for consumer in &mut desk.consumers {
            for record in records.iter() {
                let position = consumer
                    .positions
                    .entry(ptr::from_ref(record))
                    .or_insert(Position { segment: ptr::null_mut(), index: 0 });
                if position.segment.is_null() {
                    position.segment = record.first_segment();
                }
                Self::read_list(position, &mut consumer.slots);
            }
        }
        Self::free_read(desk, records);
    }

    fn read_list(position: &mut Position, slots: &mut HashMap<*mut SlotHeader, u64>) {
        while !position.segment.is_null() {
            // SAFETY: segments are freed at the desk only, behind all positions.
            let segment = unsafe { &*position.segment };
            // Acquire [NOTE-2]: with Release [NOTE-1].
            let len = segment.len.load(Ordering::Acquire);
            for note in &segment.notes[position.index..len] {
                slots.insert(note.load(Ordering::Relaxed), 0);
            }
            position.index = len;
            // Acquire [SEGMENT-2]: with Release [SEGMENT-1]; the length is final once there is a next one.
            let next = segment.next.load(Ordering::Acquire);
            if next.is_null() || len < NOTE_SEGMENT {
                return;
            }
            *position = Position { segment: next, index: 0 };
        }
    }

    /// Frees the segments that every consumer has passed.
    fn free_read(desk: &mut Desk, records: &Records) {
        for record in records.iter() {
            let mut first = record.first_segment();
            while !first.is_null() {
                // SAFETY: freed here only.
                let next = unsafe { &*first }.next.load(Ordering::Acquire);
                let passed = desk.consumers.iter().all(|consumer| {
                    consumer
                        .positions
                        .get(&ptr::from_ref(record))
                        .is_some_and(|position| position.segment != first && !position.segment.is_null())
                });
                if next.is_null() || !passed {
                    break;
                }
                record.set_first_segment(next);
                // SAFETY: its owner has gone on to `next`, and every consumer too.
                drop(unsafe { Box::from_raw(first) });
                first = next;
            }
        }
    }
}
