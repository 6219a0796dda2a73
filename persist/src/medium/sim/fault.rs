//! What goes wrong on a simulated disk, and when.

use std::error::Error;
use std::fmt;
use std::io;

/// A kind of call on a medium or on one of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// [`Medium::create`](crate::medium::Medium::create).
    Create,
    /// [`MediumFile::write_at`](crate::medium::MediumFile::write_at).
    Write,
    /// [`MediumFile::set_len`](crate::medium::MediumFile::set_len).
    SetLen,
    /// [`MediumFile::sync`](crate::medium::MediumFile::sync).
    Sync,
    /// [`Medium::rename`](crate::medium::Medium::rename).
    Rename,
    /// [`Medium::remove`](crate::medium::Medium::remove).
    Remove,
    /// [`Medium::sync_directory`](crate::medium::Medium::sync_directory).
    SyncDirectory,
    /// [`Medium::lock`](crate::medium::Medium::lock).
    Lock,
    /// [`Medium::list`](crate::medium::Medium::list).
    List,
    /// [`Medium::open`](crate::medium::Medium::open).
    Open,
    /// [`Medium::map`](crate::medium::Medium::map).
    Map,
    /// [`MediumFile::read_at`](crate::medium::MediumFile::read_at) and
    /// [`MediumFile::len`](crate::medium::MediumFile::len).
    Read,
}

/// How long a scheduled failure lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// One call fails, the next one succeeds.
    Once,
    /// That call and all later ones fail, until [`heal`](crate::medium::SimulatedDisk::heal).
    Sticky,
}

/// Why a simulated disk failed; found inside the [`io::Error`] that a call returned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SimulatedFault {
    /// A test asked for this failure.
    Injected {
        /// What failed.
        operation: Operation,
        /// Which of its kind it was on this disk, counted from 1.
        number: u64,
    },
    /// The machine lost power, in this call or an earlier one; take an image of the disk and go on with that.
    PoweredOff,
    /// There is no room for a file to grow.
    Full {
        /// The disk's size in bytes.
        capacity: u64,
    },
}

impl Operation {
    /// Whether it changes the disk, and so counts in [`operations`](crate::medium::SimulatedDisk::operations).
    pub fn is_mutation(self) -> bool {
        match self {
            Self::Create | Self::Write | Self::SetLen | Self::Sync => true,
            Self::Rename | Self::Remove | Self::SyncDirectory => true,
            Self::Lock | Self::List | Self::Open | Self::Map | Self::Read => false,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::SetLen => "set_len",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::SyncDirectory => "sync_directory",
            Self::Lock => "lock",
            Self::List => "list",
            Self::Open => "open",
            Self::Map => "map",
            Self::Read => "read",
        })
    }
}

impl fmt::Display for SimulatedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Injected { operation, number } => write!(f, "injected failure of {operation} number {number}"),
            Self::PoweredOff => f.write_str("the simulated machine is off"),
            Self::Full { capacity } => write!(f, "the simulated disk of {capacity} bytes is full"),
        }
    }
}

impl Error for SimulatedFault {}

impl From<SimulatedFault> for io::Error {
    fn from(fault: SimulatedFault) -> Self {
        let kind = match fault {
            SimulatedFault::Full { .. } => io::ErrorKind::StorageFull,
            SimulatedFault::Injected { .. } | SimulatedFault::PoweredOff => io::ErrorKind::Other,
        };
        Self::new(kind, fault)
    }
}

/// What shall go wrong from now on, and what was done so far.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    crash_in: Option<u64>,
    failures: Vec<Failure>,
    counts: [u64; Operation::Read as usize + 1],
}

/// What becomes of one call.
#[derive(Debug)]
pub(super) enum Fate {
    Succeeds,
    Fails(io::Error),
    /// Power is lost while it is under way.
    Cut,
}

#[derive(Debug)]
struct Failure {
    /// All mutations if none.
    operation: Option<Operation>,
    /// How many calls are left until it strikes; 1 is the next one.
    countdown: u64,
    kind: io::ErrorKind,
    repeat: Repeat,
}

impl Schedule {
    pub(super) fn crash_in(&mut self, calls: u64) {
        self.crash_in = Some(calls);
    }

    pub(super) fn fail_in(&mut self, operation: Option<Operation>, calls: u64, kind: io::ErrorKind, repeat: Repeat) {
        self.failures.push(Failure { operation, countdown: calls.max(1), kind, repeat });
    }

    pub(super) fn clear(&mut self) {
        self.crash_in = None;
        self.failures.clear();
    }

    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.counts[operation as usize]
    }

    pub(super) fn mutations(&self) -> u64 {
        MUTATIONS.iter().map(|&operation| self.count(operation)).sum()
    }

    /// Counts a call and says what becomes of it.
    pub(super) fn next(&mut self, operation: Operation) -> Fate {
        self.counts[operation as usize] += 1;
        let mut failed = None;
        self.failures.retain_mut(|failure| {
            if failure.operation.map_or(!operation.is_mutation(), |only| only != operation) {
                return true;
            }
            failure.countdown = failure.countdown.saturating_sub(1);
            if failure.countdown > 0 {
                return true;
            }
            failed.get_or_insert(failure.kind);
            failure.repeat == Repeat::Sticky
        });
        if operation.is_mutation()
            && let Some(calls) = &mut self.crash_in
        {
            *calls = calls.saturating_sub(1);
            if *calls == 0 {
                return Fate::Cut;
            }
        }
        failed.map_or(Fate::Succeeds, |kind| {
            Fate::Fails(io::Error::new(kind, SimulatedFault::Injected { operation, number: self.count(operation) }))
        })
    }
}

const MUTATIONS: [Operation; 7] = [
    Operation::Create,
    Operation::Write,
    Operation::SetLen,
    Operation::Sync,
    Operation::Rename,
    Operation::Remove,
    Operation::SyncDirectory,
];
