//! A transaction's descriptor: what it writes and has read, and how anyone brings it to its end. See [`commit`](super).

#![allow(clippy::missing_const_for_thread_local, reason = "loom's macro has no constant form")]
#![allow(clippy::vec_box, reason = "a descriptor that is used again must not move")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;

use crate::raw::chain::{self, Ask, Latest, VersionHeader};
use crate::raw::clock::Clock;
use crate::raw::commit::placed::{Drafts, Home};
use crate::raw::commit::status::{State, Status, StatusWord};
use crate::raw::component::Component;
use crate::raw::ordered::Place;
use crate::raw::slot::{Head, SlotHeader};
use crate::raw::stamp::Stamp;
use crate::sync::rule::{self, Rule};
use crate::sync::{HashState, Ordering, fence, fence_behind_exchange, fence_behind_load, watch};
use crate::tuning;

/// What a transaction has seen of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It has not looked.
    Nothing,
    /// No version.
    Empty,
    /// This version: a value or a tombstone.
    Version(Stamp),
}

impl Seen {
    pub(super) fn of(latest: Latest<'_>) -> Option<Self> {
        match latest {
            Latest::Empty => Some(Self::Empty),
            Latest::Version(newest) => Some(Self::Version(newest.stamp)),
            Latest::Purged => None,
        }
    }
}

/// A key that a transaction has read or writes.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    pub(crate) component: *const Component,
    pub(crate) slot: *const SlotHeader,
    /// The slot's generation when the transaction came upon it: another one is another key's.
    pub(crate) generation: u64,
    /// What the transaction has read.
    pub(crate) seen: Seen,
    /// The version to install, or null if the key is only read.
    pub(crate) version: *mut VersionHeader,
    /// Where that lies.
    pub(super) home: Home,
    /// The head that `version` replaces.
    pub(super) expected: *mut VersionHeader,
    /// That one's stamp.
    pub(super) replaced: Option<Stamp>,
    /// Whether that one has a value.
    pub(super) was_present: bool,
}

impl Access {
    /// A key in whose slot the caller, who is pinned, found it. Neither read nor written yet.
    pub(crate) fn new(component: &Component, slot: &SlotHeader) -> Self {
        Self {
            component,
            slot,
            generation: slot.generation(),
            seen: Seen::Nothing,
            version: ptr::null_mut(),
            home: Home::Own,
            expected: ptr::null_mut(),
            replaced: None,
            was_present: false,
        }
    }

    pub(crate) fn is_write(&self) -> bool {
        !self.version.is_null()
    }

    pub(crate) fn slot(&self) -> &SlotHeader {
        // SAFETY: slots are type-stable as long as their store, in which the transaction is.
        unsafe { &*self.slot }
    }

    pub(super) fn component(&self) -> &Component {
        // SAFETY: components live as long as their store.
        unsafe { &*self.component }
    }

    /// The version to install. For the owner, who has not retired it, and is pinned since before it was installed.
    pub(super) fn own_version(&self) -> &VersionHeader {
        // SAFETY: from the caller.
        unsafe { &*self.version }
    }

    /// Whether the slot is still the key's, given that its head was loaded before.
    pub(super) fn is_in_place(&self) -> bool {
        self.slot().generation() == self.generation
    }
}

/// What a transaction has gone over in a component.
#[derive(Clone)]
pub(crate) struct Scan {
    component: *const Component,
    place: Arc<dyn Place>,
}

/// Who brings a transaction to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Owner,
    Helper,
}

/// See [`commit`](super). Until it is published, a draft that its transaction fills.
pub(crate) struct Descriptor {
    status: StatusWord,
    /// What is written comes first, as soon as the draft is [arranged](Self::arrange).
    accesses: Vec<Access>,
    /// What was scanned.
    scans: Vec<Scan>,
    /// Memory for what is written.
    drafts: Drafts,
    /// The number of a slot's access, if there are many and they are not yet arranged.
    index: HashMap<usize, usize, HashState>,
    writes: usize,
    /// Whether what is only read must still be what is committed.
    validates: bool,
    /// Of two that are in each other's way the one with the smaller one is stronger; no two live ones have the same.
    strength: (u64, usize),
}

// SAFETY: slots and components are shared between threads, and outlive the transaction; versions are the draft's own until it is published.
unsafe impl Send for Descriptor {}

crate::sync::thread_local! {
    /// Descriptors to be used again.
    static SPARE: RefCell<Vec<Box<Descriptor>>> = RefCell::new(Vec::new());
}

impl Descriptor {
    /// An empty draft of the transaction with this number, of the thread with that one.
    pub(crate) fn draft(number: u64, thread: usize) -> Box<Self> {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        let mut draft = spare.unwrap_or_else(|| {
            let (status, accesses, scans, index) = (StatusWord::new(), Vec::new(), Vec::new(), HashMap::default());
            let drafts = Drafts::new();
            Box::new(Self { status, accesses, scans, drafts, index, writes: 0, validates: false, strength: (0, 0) })
        });
        draft.strength = (number, thread);
        watch::allocated(ptr::from_ref(&*draft));
        draft
    }

    /// Keeps a descriptor that nobody else can reach, to be used again.
    pub(super) fn recycle(mut self: Box<Self>) {
        if self.accesses.capacity() > tuning::SPARE_ACCESSES {
            return;
        }
        self.accesses.clear();
        self.index.clear();
        self.scans.clear();
        self.drafts.clear();
        self.status.reset();
        (self.writes, self.validates) = (0, false);
        // If the thread's table is gone, the descriptor goes too.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < tuning::SPARE_DESCRIPTORS {
                spare.push(self);
            }
        });
    }

    /// A draft of the same accesses, whose versions are placed.
    pub(super) fn renewed(&self) -> Box<Self> {
        let mut draft = Self::draft(self.strength.0, self.strength.1);
        draft.accesses.extend_from_slice(&self.accesses);
        draft.scans.extend_from_slice(&self.scans);
        (draft.writes, draft.validates) = (self.writes, self.validates);
        draft
    }

    /// The access of a slot, if the draft has one.
    #[inline]
    pub(crate) fn find(&self, slot: &SlotHeader) -> Option<usize> {
        // A slot of another generation is another key's.
        let is_its = |access: &Access| ptr::eq(access.slot, slot) && access.is_in_place();
        if self.accesses.len() <= tuning::FEW_ACCESSES {
            return self.accesses.iter().position(is_its);
        }
        self.index.get(&ptr::from_ref(slot).addr()).copied().filter(|number| is_its(&self.accesses[*number]))
    }

    /// The access with this number.
    #[inline]
    pub(crate) fn access(&mut self, number: usize) -> &mut Access {
        &mut self.accesses[number]
    }

    /// As [`access`](Self::access), with the memory for drafts.
    #[inline]
    pub(super) fn access_and_drafts(&mut self, number: usize) -> (&mut Access, &mut Drafts) {
        (&mut self.accesses[number], &mut self.drafts)
    }

    /// Adds an access to a draft that has so few that it needs no table.
    #[inline]
    pub(super) fn add_few(&mut self, access: Access) {
        self.accesses.push(access);
    }

    /// Adds an access to the draft, and says which number it has.
    pub(crate) fn add(&mut self, access: Access) -> usize {
        let last = self.accesses.len();
        self.accesses.push(access);
        if last >= tuning::FEW_ACCESSES {
            let from = if self.index.is_empty() { 0 } else { last };
            let added = self.accesses[from..].iter().zip(from..);
            self.index.extend(added.map(|(access, number)| (access.slot.addr(), number)));
        }
        last
    }

    /// Remembers what a scan has gone over.
    pub(crate) fn scan(&mut self, component: &Component, place: Arc<dyn Place>) {
        self.scans.push(Scan { component, place });
    }

    /// Whether no key has come or gone in anything that was scanned.
    pub(crate) fn has_no_news(&self) -> bool {
        self.scans.iter().all(|scan| scan.place.is_unchanged())
    }

    /// Forgets what was scanned: it is going to be scanned again.
    pub(crate) fn forget_scans(&mut self) {
        self.scans.clear();
    }

    /// All keys that were read or are written.
    pub(crate) fn accesses(&self) -> &[Access] {
        &self.accesses
    }

    pub(super) fn accesses_mut(&mut self) -> &mut [Access] {
        &mut self.accesses
    }

    /// What is written, of an arranged descriptor.
    pub(crate) fn writes(&self) -> &[Access] {
        &self.accesses[..self.writes]
    }

    /// Puts what is written first, in the order of components and addresses.
    pub(super) fn arrange(&mut self, validates: bool) {
        let order = |access: &Access| (!access.is_write(), access.component().id(), access.slot.addr());
        if !self.accesses.is_sorted_by_key(order) {
            self.accesses.sort_unstable_by_key(order);
        }
        self.writes = self.accesses.partition_point(Access::is_write);
        self.validates = validates && (self.writes < self.accesses.len() || !self.scans.is_empty());
    }

    /// Whether it writes anything of which the time is recorded.
    pub(crate) fn asks_time(&self) -> bool {
        self.accesses.iter().any(|access| access.is_write() && access.component().recording().is_some())
    }

    /// Whether it has to be compared with what is committed by then.
    pub(super) fn validates(&self) -> bool {
        self.validates
    }

    pub(super) fn status(&self) -> Status {
        self.status.load()
    }

    /// Installs the first version: from then on others may meet the descriptor. Only for the owner.
    pub(super) fn install_first(&self) -> bool {
        let write = &self.accesses[0];
        write.slot().replace_head(write.expected, write.version)
    }

    /// The tick at which the transaction was committed; `None` if it was not, as far as whoever asks must know.
    pub(crate) fn committed(&self, clock: &Clock, ask: Ask) -> Option<u64> {
        let state = match self.status.load().state() {
            State::Active | State::Prepared | State::Validating(_) if ask == Ask::ToPrune => return None,
            State::Active if ask != Ask::ToReplace => return None,
            State::Validating(tick) if matches!(ask, Ask::At(at) if at < tick) => return None,
            State::Prepared | State::Validating(_)
                if ask != Ask::ToReplace && !rule::holds(Rule::ReaderDecidesPrepared) =>
            {
                return None;
            }
            State::Committed(tick) => return Some(tick),
            State::Aborted(_) => return None,
            _ => self.help(clock, Role::Helper),
        };
        if let State::Committed(tick) = state { Some(tick) } else { None }
    }

    /// Brings the transaction to its end, and says which.
    pub(super) fn help(&self, clock: &Clock, role: Role) -> State {
        loop {
            let status = self.status.load();
            match status.state() {
                State::Active if role == Role::Helper && !status.is_helped() => {
                    self.status.mark_helped(status);
                }
                State::Active => {
                    let early = (!rule::holds(Rule::PreparedBeforeClock)).then(|| clock.now());
                    let next = match (self.install(), early) {
                        (Err(access), _) => State::Aborted(access),
                        (Ok(()), None) => State::Prepared,
                        (Ok(()), Some(tick)) => State::Committed(tick),
                    };
                    self.status.go_on(status, next);
                }
                State::Prepared => {
                    let tick = self.read_clock(clock, role);
                    let next = if self.validates { State::Validating(tick) } else { State::Committed(tick) };
                    self.status.go_on(status, next);
                }
                State::Validating(tick) => {
                    let next = match self.validate(clock) {
                        Ok(()) => State::Committed(tick),
                        Err(access) => State::Aborted(access),
                    };
                    self.status.go_on(status, next);
                }
                decided @ (State::Committed(_) | State::Aborted(_)) => return decided,
            }
        }
    }

    /// Installs what is not yet in place; `Err` names an access that meets another head.
    fn install(&self) -> Result<(), usize> {
        for (number, write) in self.writes().iter().enumerate() {
            let (head, _) = write.slot().head();
            if head != write.version
                && !write.slot().replace_head(write.expected, write.version)
                // Another has installed it meanwhile; or it has been decided, and then the status has changed.
                && write.slot().head().0 != write.version
            {
                return Err(number);
            }
        }
        Ok(())
    }

    /// Reads the clock for the transaction, all of whose versions are in place.
    fn read_clock(&self, clock: &Clock, role: Role) -> u64 {
        for replaced in self.writes().iter().filter_map(|write| write.replaced) {
            if replaced.sequence() == Stamp::SEQUENCE_MAX {
                clock.advance_past(replaced.tick());
            }
        }
        if rule::holds(Rule::FenceBeforeClock) {
            // SeqCst fence [SNAP-1]: the installs, the announcement and PREPARED stand before the clock. Mate: [SNAP-2].
            match role {
                // Behind his first install, a compare-and-swap; what he has seen of others since then, he has loaded.
                Role::Owner => fence_behind_exchange(),
                Role::Helper => fence(Ordering::SeqCst),
            }
        }
        let tick = clock.now();
        if rule::holds(Rule::FenceBehindClock) {
            // SeqCst fence [SNAP-3]: the clock stands before what is read to validate, and before whatever is done by who sees the transaction
            // committed. Mates: the fences of other writers [SNAP-1].
            fence_behind_load();
        }
        tick
    }

    /// The component and the access that a number in an aborted status speaks of; no access if it is a scan.
    pub(super) fn culprit(&self, number: usize) -> (&Component, Option<&Access>) {
        match self.accesses.get(number) {
            Some(access) => (access.component(), Some(access)),
            // SAFETY: components live as long as their store.
            None => (unsafe { &*self.scans[number - self.accesses.len()].component }, None),
        }
    }

    /// Compares what was read with what is committed; `Err` names an access that has changed, or, beyond them, a scan.
    ///
    /// The caller has seen the tick in the status, so it stands behind the fence [SNAP-3]: who installs later than is seen here reads a clock
    /// that is not older.
    fn validate(&self, clock: &Clock) -> Result<(), usize> {
        for (number, access) in self.accesses.iter().enumerate().skip(self.writes) {
            if !self.is_unchanged(access, clock) && rule::holds(Rule::ValidateReads) {
                return Err(number);
            }
        }
        match self.scans.iter().position(|scan| !scan.place.is_unchanged() && rule::holds(Rule::CompareScans)) {
            Some(number) => Err(self.accesses.len() + number),
            None => Ok(()),
        }
    }

    fn is_unchanged(&self, access: &Access, clock: &Clock) -> bool {
        let slot = access.slot();
        loop {
            let (_, head) = slot.head();
            let found = match head {
                Head::Version(version) => {
                    let stamp = version.stamp();
                    if let Some(other) = stamp.descriptor() {
                        watch::met(other);
                        // SAFETY: as in `chain`: met as an intent's, under a pin.
                        if self.is_in_doubt(unsafe { &*other }, slot, clock) {
                            continue;
                        }
                    }
                    match version.decide_met(clock, Ask::ToPrune) {
                        Some(stamp) => Some(Seen::Version(stamp)),
                        None => Seen::of(chain::below(version)),
                    }
                }
                Head::Empty => Some(Seen::Empty),
                Head::Purged => None,
            };
            // The generation after the head, as a handle does.
            return access.is_in_place() && found == Some(access.seen);
        }
    }

    /// Whether another transaction was in doubt, which now is decided: look again.
    fn is_in_doubt(&self, other: &Self, slot: &SlotHeader, clock: &Clock) -> bool {
        let status = other.status.load();
        match status.state() {
            State::Prepared | State::Validating(_) if !rule::holds(Rule::ValidateForeign) => false,
            State::Active | State::Committed(_) | State::Aborted(_) => false,
            State::Prepared | State::Validating(_) => {
                if self.strength < other.strength {
                    let why = other.writes().iter().position(|write| ptr::eq(write.slot, slot));
                    other.status.go_on(status, State::Aborted(why.unwrap_or(0)));
                } else {
                    other.help(clock, Role::Helper);
                }
                true
            }
        }
    }
}
