//! A disk in memory that crashes, tears and fails, to test whatever must survive that.
//!
//! # The model
//! Reads see every write at once. What a power loss leaves is another matter: of all that was not synced, each 512-byte
//! sector holds its durable content or one that it has had since (so zeros, in a part that was extended); a file's
//! length is the durable one or one since; each creation, renaming and removal happened or did not, whole, though not
//! without the earlier one of the same name that it builds on. None of these waits for another: a file may have its new
//! length without its bytes, or its new name while it is empty, and a file that was synced itself may have no name. Now
//! and then a sector is torn: it starts new and ends old, or the bytes that were to change are garbage; bytes that the
//! write did not change stay.
//!
//! What was synced survives. But after a *failed* sync the bytes written before count as clean, as on Linux: reads
//! still see them, a later sync succeeds without writing them, and a crash may lose them.
//!
//! # How to use it
//! Run a workload once and ask how many [`operations`](SimulatedDisk::operations) it took. Then run it once for each of
//! them on a new disk that [loses power](SimulatedDisk::crash_at) at that one, open every
//! [image](SimulatedDisk::images) that may be left, and check that it holds what was promised. Do the same with each
//! operation [failing](SimulatedDisk::fail_at).
//!
//! Everything is determined by seeds and the calls made.

mod fault;
mod file;
mod machine;
mod medium;
mod names;
mod outcome;
mod random;
mod state;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::fault::{Operation, Repeat, SimulatedFault};
use self::machine::Machine;
pub use self::outcome::Images;
use self::random::Random;
use self::state::State;
use super::name::check_name;

/// A disk in memory that crashes, tears and fails: see the [module](self) for the model.
///
/// Cloning is cheap and gives another handle to the same disk.
///
/// # Examples
/// Every crash of a small program, at every operation, in every way:
/// ```
/// use std::io;
/// use stillpoint_persist::medium::{Medium, MediumFile, SimulatedDisk};
///
/// /// Replaces a file's content, so that a crash leaves the old or the new.
/// fn replace(medium: &dyn Medium, bytes: &[u8]) -> io::Result<()> {
///     let file = medium.create("config.tmp")?;
///     file.write_at(bytes, 0)?;
///     file.sync()?; // leave this out, and the check below fails
///     medium.rename("config.tmp", "config")?;
///     medium.sync_directory()
/// }
///
/// let whole = SimulatedDisk::new();
/// replace(&whole, b"new")?;
///
/// for operation in 1..=whole.operations() {
///     let disk = SimulatedDisk::new();
///     disk.put_file("config", b"old")?;
///     disk.crash_at(operation);
///     assert!(replace(&disk, b"new").is_err());
///     for image in disk.images(64) {
///         let left = image.contents("config")?;
///         assert!(left == b"old" || left == b"new");
///     }
/// }
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Clone)]
pub struct SimulatedDisk {
    machine: Arc<Mutex<Machine>>,
}

/// Setting up, and looking at what happened.
impl SimulatedDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::with_seed(0)
    }

    /// An empty disk whose chance decisions (how short a failed write is) come from a seed.
    pub fn with_seed(seed: u64) -> Self {
        Self::from_state(State::durable(Default::default(), Default::default(), CAPACITY_DEFAULT), seed)
    }

    /// How many operations have changed the disk or tried to: creations, writes, changes of length, syncs, renamings,
    /// removals, syncs of the directory.
    pub fn operations(&self) -> u64 {
        self.machine().schedule.mutations()
    }

    /// How many operations of one kind there were; those that only read can be asked for too.
    pub fn operations_of(&self, operation: Operation) -> u64 {
        self.machine().schedule.count(operation)
    }

    /// Whether power was lost; then every call fails.
    pub fn is_off(&self) -> bool {
        self.machine().is_off
    }
}

/// What shall go wrong.
impl SimulatedDisk {
    /// Loses power in the `n`-th changing operation from now: 1 is the next one, 0 is at once.
    ///
    /// That operation is done in part or not at all, and returns an error; from then on every call fails with
    /// [`SimulatedFault::PoweredOff`]. Take [`images`](Self::images), a [`crash`](Self::crash), or (if only the process
    /// shall have died at that point) a [`kill`](Self::kill), and go on with those.
    pub fn crash_at(&self, n: u64) {
        let mut machine = self.machine();
        machine.is_off |= n == 0;
        machine.schedule.crash_in(n);
    }

    /// Fails the `n`-th changing operation from now with an error; 1 is the next one.
    ///
    /// A write that fails may have written some first bytes. A sync that fails gives up what was pending: see the
    /// [model](self#the-model). Others do nothing when they fail.
    pub fn fail_at(&self, n: u64, kind: io::ErrorKind, repeat: Repeat) {
        self.machine().schedule.fail_in(None, n, kind, repeat);
    }

    /// Fails the `n`-th operation of one kind from now; 1 is the next one. Those that only read can fail too.
    pub fn fail_operation(&self, operation: Operation, n: u64, kind: io::ErrorKind, repeat: Repeat) {
        self.machine().schedule.fail_in(Some(operation), n, kind, repeat);
    }

    /// Calls off all failures and crashes that are to come. A machine that is off stays off.
    pub fn heal(&self) {
        self.machine().schedule.clear();
    }

    /// Sets how many bytes all files may have together; it is 1 GiB at first. Files that are there already keep theirs.
    ///
    /// A write that does not fit writes what does and fails with [`io::ErrorKind::StorageFull`]. Each byte up to a
    /// file's length counts, also of a file that has handles but no name left.
    pub fn set_capacity(&self, bytes: u64) {
        let mut machine = self.machine();
        machine.state.capacity = bytes;
        if let Some(killed) = &mut machine.killed {
            killed.capacity = bytes;
        }
    }
}

/// What is left afterwards. All of these give new disks, that are on, unlocked and without faults to come, and leave
/// this one as it is.
impl SimulatedDisk {
    /// A disk as a loss of power may leave it now; the seed picks which. The same disk and seed give the same image.
    ///
    /// Among seeds are those that lose all that was pending, keep all, keep what came before one moment, keep names
    /// and lengths but no bytes, and such that pick each piece independently.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let image = outcome::crash(&self.machine().state, &mut random);
        Self::from_state(image, random.next())
    }

    /// A disk as the next process finds it if this one dies now and the system does not: everything written is there,
    /// but what was pending still is, and is lost if the power then fails.
    #[must_use]
    pub fn kill(&self) -> Self {
        let machine = self.machine();
        let mut state = machine.killed.as_ref().unwrap_or(&machine.state).clone();
        state.close_all_handles();
        Self::from_state(state, machine.random.clone().next())
    }

    /// The disks that a loss of power may leave now.
    ///
    /// Where at most 1,024 outcomes are possible (ten pieces, each of which survives or not), all of them, each once,
    /// however small the limit; but none with a torn sector. Else `limit` samples: one that lost everything pending,
    /// one that kept everything, and then as [`crash`](Self::crash) makes them.
    pub fn images(&self, limit: usize) -> Images {
        let machine = self.machine();
        Images::new(machine.state.clone(), limit, machine.random.clone())
    }
}

/// Looking at files and damaging them, on a machine that is on or off. None of this counts as an operation or fails by
/// schedule.
impl SimulatedDisk {
    /// A file's bytes, as reads would see them.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`].
    pub fn contents(&self, name: &str) -> io::Result<Vec<u8>> {
        let machine = self.machine();
        let file = machine.state.find(name)?;
        Ok(Vec::clone(machine.state.bytes(file)?))
    }

    /// Puts a file there, durably, replacing any of that name; all changes of names so far become durable too.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if no medium accepts the name.
    pub fn put_file(&self, name: &str, bytes: impl Into<Vec<u8>>) -> io::Result<()> {
        check_name(name)?;
        self.damage(|state| {
            state.put(name, bytes.into());
            Ok(())
        })
    }

    /// Loses a file, durably; all changes of names so far become durable too.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`].
    pub fn lose_file(&self, name: &str) -> io::Result<()> {
        self.damage(|state| state.take(name))
    }

    /// Flips one bit of a file, in reads and on the platter; whatever was pending of that file becomes durable.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`]; [`io::ErrorKind::InvalidInput`] if the file ends before `offset` or `bit` is not
    /// below 8.
    pub fn flip(&self, name: &str, offset: u64, bit: u32) -> io::Result<()> {
        self.damage(|state| {
            state.alter(name, |bytes| {
                let byte = usize::try_from(offset).ok().and_then(|offset| bytes.get_mut(offset));
                let (Some(byte), Some(mask)) = (byte, 1_u8.checked_shl(bit)) else {
                    return Err(io::ErrorKind::InvalidInput.into());
                };
                *byte ^= mask;
                Ok(())
            })
        })
    }

    /// Cuts a file, in reads and on the platter; whatever was pending of that file becomes durable. A file that is not
    /// longer stays.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`].
    pub fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.damage(|state| {
            state.alter(name, |bytes| {
                bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
                Ok(())
            })
        })
    }

    fn damage(&self, damage: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        let mut machine = self.machine();
        machine.killed = None;
        damage(&mut machine.state)
    }

    fn from_state(state: State, seed: u64) -> Self {
        Self { machine: Arc::new(Mutex::new(Machine::new(state, seed))) }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        // Each change is done under one guard, and none of them panics halfway.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for SimulatedDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.machine();
        let files: Vec<_> = machine.state.names.seen().keys().collect();
        f.debug_struct("SimulatedDisk")
            .field("files", &files)
            .field("operations", &machine.schedule.mutations())
            .field("is_off", &machine.is_off)
            .finish_non_exhaustive()
    }
}

/// More than any test needs, and less than a machine has: a wild offset then fails as on a full disk.
const CAPACITY_DEFAULT: u64 = 1 << 30;
