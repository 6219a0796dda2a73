//! The status of a transaction: one word, by which all its versions stand or fall.
//!
//! ```text
//!  63                       4     3      2     0
//! |  tick or number of a key  | helped | state |
//! ```

use crate::sync::{AtomicU64, Ordering};

const STATE_BITS: u32 = 4;
const STATE: u64 = 0b111;
/// Somebody else than the owner installs, or did.
const HELPED: u64 = 1 << 3;

const ACTIVE: u64 = 0;
const PREPARED: u64 = 1;
const VALIDATING: u64 = 2;
const COMMITTED: u64 = 3;
const ABORTED: u64 = 4;

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Its versions are being installed. Nobody has read the clock for it.
    Active,
    /// All its versions are in place.
    Prepared,
    /// What it has read is being compared; if nothing has changed it is committed at this tick.
    Validating(u64),
    /// Its versions are visible from this tick on.
    Committed(u64),
    /// Its versions have failed; the access with this number is why, or the scan that comes as many behind.
    Aborted(usize),
}

/// A status as it was read: the state, and whether anybody helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(u64);

impl Status {
    pub(crate) fn state(self) -> State {
        let rest = self.0 >> STATE_BITS;
        match self.0 & STATE {
            ACTIVE => State::Active,
            PREPARED => State::Prepared,
            VALIDATING => State::Validating(rest),
            COMMITTED => State::Committed(rest),
            _ => State::Aborted(rest as usize),
        }
    }

    pub(crate) fn is_helped(self) -> bool {
        self.0 & HELPED != 0
    }

    fn with(self, state: State) -> Self {
        let (state, rest) = match state {
            State::Active => (ACTIVE, 0),
            State::Prepared => (PREPARED, 0),
            State::Validating(tick) => (VALIDATING, tick),
            State::Committed(tick) => (COMMITTED, tick),
            State::Aborted(access) => (ABORTED, access as u64),
        };
        Self(rest << STATE_BITS | self.0 & HELPED | state)
    }
}

/// The word.
#[derive(Debug)]
pub(super) struct StatusWord(AtomicU64);

impl StatusWord {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(ACTIVE))
    }

    /// Begins anew. Only for who owns the descriptor alone.
    pub(super) fn reset(&self) {
        // Relaxed: not yet published.
        self.0.store(ACTIVE, Ordering::Relaxed);
    }

    pub(super) fn load(&self) -> Status {
        // Acquire [STATUS-2]: with AcqRel [STATUS-1]: all versions are in place if it is PREPARED, and the clock is not read older
        // than a tick that stands here.
        Status(self.0.load(Ordering::Acquire))
    }

    /// Goes on to another state, if the status is still the one that was seen.
    pub(super) fn go_on(&self, seen: Status, state: State) -> bool {
        self.exchange(seen, seen.with(state))
    }

    /// Says that another than the owner installs, before it does.
    pub(super) fn mark_helped(&self, seen: Status) -> bool {
        self.exchange(seen, Status(seen.0 | HELPED))
    }

    fn exchange(&self, seen: Status, new: Status) -> bool {
        // AcqRel [STATUS-1]: mate of Acquire [STATUS-2].
        self.0.compare_exchange(seen.0, new.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
