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
//!   noted, and all that an announced transaction writes, deciding what is undecided; then read every list to its end. What is newer than *s* is carried over to the next cut.
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
//! else does: so what waits is bounded by the slots that changed. A consumer may have a bound of its own: when more slots wait, it
//! *lags*. Then nothing waits for it, and it holds nothing back, until it starts anew from a snapshot. Nothing is missed by that: it starts
//! being told before the snapshot is taken, so the note of what the snapshot does not show comes after.
//!
//! Removals keep their trace until all consumers have finished with them, also those that a consumer is not told of. So the notes that pass
//! by a consumer with a bound are counted. When they are more than the bound, a consumer for which nothing waits has finished with all of
//! them; one for which something waits is no longer waited for, and lags only if a removal in its components has since been forgotten.
//!
//! A reader of every change is a consumer like any other, but has a bookmark by which its component keeps what it wants, removals too (see
//! [`unread`](crate::raw::unread)); so the desk holds nothing back for it, and it lags when it was given up.

use std::collections::{HashMap, HashSet};
use std::ptr::{self, NonNull};
use std::sync::{PoisonError, TryLockError};

use crate::raw::chain::{self};
use crate::raw::clock::Clock;
use crate::raw::record::{Announced, Record, Records};
use crate::raw::slot::SlotHeader;
use crate::raw::stamp::Stamp;
use crate::raw::unread::Bookmark;
use crate::sync::rule::{self, Rule};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, fence, watch};
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
    scope: Scope,
    /// So many slots may wait; with one more the consumer lags.
    waiting_max: usize,
    /// Notes that were read for it since it finished with anything, of its scope or not: as many removals it may hold back.
    passed: usize,
    /// Whether removals after `acknowledged` are kept for it; not, when more have passed than it has room for.
    holds: bool,
    /// How many slots waited when it began to lag: since then it is told nothing, and holds nothing back.
    lagged: Option<usize>,
}

impl ConsumerState {
    /// Lets a slot wait for the consumer, if it is one of those that it is told of.
    fn tell(&mut self, slot: *mut SlotHeader) {
        if self.scope.is_given_up() {
            self.lag();
        }
        // SAFETY: a noted slot is type-stable as long as its store.
        if self.lagged.is_none() && self.scope.has(unsafe { &*slot }) {
            self.slots.insert(slot, 0);
            if self.slots.len() > self.waiting_max {
                self.lag();
            }
        }
    }

    /// Judges by the notes that have passed what is still kept for the consumer, when everything up to a tick has been read for it.
    fn settle(&mut self, settled: u64) {
        if self.passed <= self.waiting_max {
            return;
        }
        self.passed = 0;
        if self.slots.is_empty() && self.lagged.is_none() {
            // Nothing of its scope has changed up to there.
            self.finish(settled);
        } else {
            self.holds = false;
        }
    }

    /// The consumer has finished with everything up to a tick.
    fn finish(&mut self, tick: u64) {
        self.acknowledged = self.acknowledged.max(tick);
        (self.passed, self.holds) = (0, true);
    }

    /// Gives up: from now on nothing waits for the consumer, until it starts anew.
    fn lag(&mut self) {
        if self.lagged.is_none() {
            self.lagged = Some(self.slots.len());
            self.slots = HashMap::new();
        }
    }
}

/// What a consumer is told of.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// Changes of this component; of all, if it is none.
    pub(crate) component: Option<u16>,
    /// Changes of keys with these hashes; of all, if it is none.
    pub(crate) hashes: Option<HashSet<u64>>,
    /// The bookmark of a reader of every change. It keeps what the consumer needs, removals too, so the desk keeps none for it.
    pub(crate) bookmark: Option<NonNull<Bookmark>>,
}

impl Scope {
    fn is_given_up(&self) -> bool {
        // SAFETY: held for as long as the consumer is registered.
        self.bookmark.is_some_and(|bookmark| unsafe { bookmark.as_ref() }.is_given_up())
    }

    fn has(&self, slot: &SlotHeader) -> bool {
        // The hash of a slot that was freed says nothing; but then all consumers have finished with what was noted.
        self.component.is_none_or(|component| component == slot.component())
            && self.hashes.as_ref().is_none_or(|hashes| hashes.contains(&slot.hash()))
    }
}

/// A consumer was told nothing for a while: more slots waited than it has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lag;

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

    /// Whether anybody wants anything.
    #[inline]
    pub(crate) fn any(self) -> bool {
        self.0 != 0
    }

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
    pub(crate) fn register(&self, records: &Records, tick: u64, scope: Scope, waiting_max: usize) -> u64 {
        let mut desk = self.lock();
        let id = desk.new_id();
        let (positions, slots) = (HashMap::new(), HashMap::new());
        let mut state = ConsumerState {
            id,
            positions,
            slots,
            acknowledged: tick,
            scope,
            waiting_max,
            passed: 0,
            holds: true,
            lagged: None,
        };
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
    ///
    /// # Errors
    /// The consumer lags.
    pub(crate) fn cut(&self, records: &Records, clock: &Clock, id: u64, cut: u64) -> Result<Changed, Lag> {
        let mut desk = self.lock();
        self.collect(&mut desk, records, clock);
        let Some(consumer) = desk.consumers.iter_mut().find(|consumer| consumer.id == id) else {
            return Ok(Changed::default());
        };
        let since = consumer.acknowledged;
        if consumer.lagged.is_some() {
            return Err(Lag);
        }
        let mut slots = Vec::with_capacity(consumer.slots.len());
        consumer.slots.retain(|slot, named| {
            // SAFETY: a noted slot is type-stable as long as its store.
            let header = unsafe { &**slot };
            let chain::Latest::Version(newest) = chain::read(header, clock) else { return false };
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
        Ok(Changed { slots, hold })
    }

    /// Lets everything wait for the consumers that is announced or noted: first the words, then the lists. The caller is pinned.
    fn collect(&self, desk: &mut Desk, records: &Records, clock: &Clock) {
        // More has passed somebody than it has room for: then the clock must move, or nothing written since it last did can be settled.
        let is_due = desk.consumers.iter().any(|consumer| consumer.passed > consumer.waiting_max);
        let settled = clock.now();
        if is_due {
            clock.advance_past(settled);
        }
        // SeqCst fence [SNAP-2]: the clock stands before the look at what is announced. Mate: the writer's [SNAP-1].
        fence(Ordering::SeqCst);
        let mut announced = Vec::new();
        for record in records.iter().filter(|_| rule::holds(Rule::ConsumerTakesAnnounced)) {
            match record.announced() {
                Announced::Nothing => {}
                Announced::Slot(slot) => announced.push(slot),
                Announced::Transaction(descriptor) => {
                    watch::met(descriptor);
                    // SAFETY: retired only after it is no longer announced, and the caller is pinned.
                    let descriptor = unsafe { &*descriptor };
                    announced.extend(descriptor.writes().iter().map(|write| write.slot.cast_mut()));
                }
            }
        }
        for consumer in &mut desk.consumers {
            announced.iter().for_each(|slot| consumer.tell(*slot));
        }
        Self::read_lists(desk, records);
        if is_due {
            // What has this tick was seen above, as at a cut that closes at it.
            desk.consumers.iter_mut().for_each(|consumer| consumer.settle(settled));
        }
        self.set_floor(desk);
    }

    /// Keeps removals for a consumer again for which they were not kept for a while; says since when it needs them, and `None` if they
    /// were kept all the time. Who asks looks behind a fence [PURGE-2] at what has been forgotten since.
    pub(crate) fn hold_again(&self, id: u64) -> Option<u64> {
        let mut desk = self.lock();
        let consumer = desk.consumers.iter_mut().find(|consumer| consumer.id == id)?;
        let since = (!consumer.holds && consumer.lagged.is_none()).then_some(consumer.acknowledged);
        consumer.holds = true;
        self.set_floor(&desk);
        since
    }

    /// Whether a cut may name something for this consumer, or it lags. Moves no clock. What is not seen here was not visible before
    /// the call, by the same two cases as for a cut. The caller is pinned.
    pub(crate) fn look(&self, records: &Records, clock: &Clock, id: u64) -> bool {
        let mut desk = self.lock();
        self.collect(&mut desk, records, clock);
        let has_news = |consumer: &ConsumerState| consumer.lagged.is_some() || !consumer.slots.is_empty();
        desk.consumers.iter().any(|consumer| consumer.id == id && has_news(consumer))
    }

    /// The slots that wait for a consumer, named or not.
    pub(crate) fn waiting_for(&self, id: u64) -> Vec<*mut SlotHeader> {
        let desk = self.lock();
        let consumer = desk.consumers.iter().find(|consumer| consumer.id == id);
        consumer.map(|consumer| consumer.slots.keys().copied().collect()).unwrap_or_default()
    }

    /// Lets slots wait for one consumer.
    pub(crate) fn tell(&self, id: u64, slots: impl IntoIterator<Item = *mut SlotHeader>) {
        let mut desk = self.lock();
        if let Some(consumer) = desk.consumers.iter_mut().find(|consumer| consumer.id == id) {
            slots.into_iter().for_each(|slot| consumer.tell(slot));
        }
        self.set_floor(&desk);
    }

    /// Makes a consumer lag, if it does not. Returns how many slots waited for it when it began to.
    pub(crate) fn lag(&self, id: u64) -> usize {
        let mut desk = self.lock();
        let consumer = desk.consumers.iter_mut().find(|consumer| consumer.id == id);
        let waited = consumer.and_then(|consumer| {
            consumer.lag();
            consumer.lagged
        });
        self.set_floor(&desk);
        waited.unwrap_or(0)
    }

    /// Nothing waits for a consumer any more, and it does not lag. It is told of everything from now on, so of what a snapshot that is
    /// taken after this does not show. A reader of every change has this bookmark by now.
    pub(crate) fn start_anew(&self, id: u64, bookmark: Option<NonNull<Bookmark>>) {
        let mut desk = self.lock();
        if let Some(consumer) = desk.consumers.iter_mut().find(|consumer| consumer.id == id) {
            consumer.scope.bookmark = bookmark;
            consumer.lagged = None;
            consumer.slots = HashMap::new();
            (consumer.passed, consumer.holds) = (0, true);
        }
        self.set_floor(&desk);
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
            consumer.finish(tick);
            consumer.slots.retain(|_, named| *named == 0 || *named > tick);
            if consumer.slots.capacity() / SHRINK > consumer.slots.len() {
                consumer.slots.shrink_to(2 * consumer.slots.len());
            }
        }
        self.set_floor(&desk);
    }

    /// Reads all lists into the consumers' sets, if nobody else is at the desk; so that lists stay short while a consumer
    /// stays away. Called by a writer that begins a segment; never waits.
    pub(crate) fn absorb(&self, records: &Records, clock: &Clock) {
        match self.desk.try_lock() {
            Ok(mut desk) => self.collect(&mut desk, records, clock),
            Err(TryLockError::Poisoned(poisoned)) => self.collect(&mut poisoned.into_inner(), records, clock),
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
        let is_holding = |consumer: &&ConsumerState| {
            consumer.lagged.is_none() && consumer.holds && consumer.scope.bookmark.is_none()
        };
        let holding = desk.consumers.iter().filter(is_holding);
        let acknowledged = holding.map(|consumer| consumer.acknowledged);
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
                let mut reached = *position;
                Self::read_list(&mut reached, consumer);
                consumer.positions.insert(ptr::from_ref(record), reached);
            }
        }
        Self::free_read(desk, records);
    }

    fn read_list(position: &mut Position, consumer: &mut ConsumerState) {
        while !position.segment.is_null() {
            // SAFETY: segments are freed at the desk only, behind all positions.
            let segment = unsafe { &*position.segment };
            // Acquire [NOTE-2]: with Release [NOTE-1].
            let len = segment.len.load(Ordering::Acquire);
            for note in &segment.notes[position.index..len] {
                consumer.tell(note.load(Ordering::Relaxed));
            }
            consumer.passed += len - position.index;
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
