//! Capacities and thresholds, each with its reason; tiny under a model and in drawn schedules, so that those meet every border.

use std::time::Duration;

/// Picks the product's figure, or the model's.
const fn either(product: usize, model: usize) -> usize {
    if cfg!(any(loom, shuttle)) { model } else { product }
}

/// Versions, slots and tables retired by a thread before their batch is closed: each closing costs a fence and, once in an
/// era, a deferred closure with its flush, so about 10 ns shared by 64.
pub(crate) const RETIRE_BATCH: usize = either(64, 4);

/// Slots in a block of the backlog: as many as a batch, so that one closed batch works off two blocks.
pub(crate) const BACKLOG_BLOCK: usize = either(64, 1);

/// Blocks of the backlog that one step looks at before it gives up finding one that is ready: a look costs one cache miss.
pub(crate) const BACKLOG_LOOKS: usize = either(8, 2);

/// Blocks of the backlog that one step works off: twice what fills one, so that the backlog shrinks under load.
pub(crate) const BACKLOG_STEP: usize = 2;

/// Blocks of the backlog that one call of `maintain` works off: some hundred microseconds, and garbage of some 100 KiB.
pub(crate) const MAINTAIN_BLOCKS: usize = either(64, 2);

/// Keys of a component that has lost its name that one step removes: some microseconds.
pub(crate) const DROP_STEP: usize = either(64, 2);

/// Pins after which an era is safe if nobody else is pinned: one to move it, two for the collector's epochs, one to spare.
pub(crate) const MAINTAIN_PINS: usize = 4;

/// Snapshots that a block of the backlog waits for by name before a new block is begun.
pub(crate) const BACKLOG_WITNESSES: usize = 4;

/// Descriptors of transactions that a thread keeps to use again: those of some eras.
pub(crate) const SPARE_DESCRIPTORS: usize = either(256, 0);

/// Small values that are drafted in memory of a transaction's descriptor; others lie elsewhere.
pub(crate) const DRAFTS: usize = either(8, 2);

/// Keys of a transaction that are looked through one by one; among more they are found by a table.
pub(crate) const FEW_ACCESSES: usize = either(32, 2);

/// Keys up to which a transaction looks at all others with each one that it reads, rather than take a moment: a look at a key that was
/// just read costs some two nanoseconds, a moment some fifty.
pub(crate) const OPEN_ACCESSES: usize = either(8, 2);

/// So often a transaction that loses begins open. After that a moment is cheaper, and one that only reads is not held up by writers.
pub(crate) const OPEN_ATTEMPTS: u32 = either(4, 1) as u32;

/// Keys for which a descriptor that is kept may have room: with more it is given back.
pub(crate) const SPARE_ACCESSES: usize = 64;

/// Notes in a segment of a thread's list: 4 KiB.
pub(crate) const NOTE_SEGMENT: usize = either(510, 2);

/// Registry words in a block: a store rarely has more live snapshots, and a scan stops at the words ever used.
pub(crate) const REGISTRY_BLOCK: usize = either(16, 2);

/// Buckets of a new table: 8 cache lines.
pub(crate) const TABLE_BUCKETS: usize = either(8, 2);

/// Entries in a bucket: with a word of tags they fill a cache line.
pub(crate) const BUCKET_ENTRIES: usize = either(7, 2);

/// Keys in a leaf of an ordered index: a copy of it, which every new key costs, is eight cache lines for small keys.
pub(crate) const LEAF_KEYS: usize = either(32, 2);

/// Children of an inner node of an ordered index.
pub(crate) const INNER_CHILDREN: usize = either(32, 2);

/// One bucket in so many may overflow before the table grows. With 7 entries a bucket, 1 in 8 overflow at a mean load of 4.9.
pub(crate) const OVERFLOW_SHARE: usize = 8;

/// Live keys for each bucket from which a table that overflows is doubled; below, removed entries are what fills it, and a
/// table of the same size is enough.
pub(crate) const GROW_KEYS: usize = either(3, 1);

/// Buckets that an insert moves while a table grows: the old table is empty long before the new one is full.
pub(crate) const MOVE_STEP: usize = either(4, 1);

/// Versions that a writer looks at below the head before it leaves the rest of the chain to the backlog.
pub(crate) const PRUNE_LOOKS: usize = either(8, 4);

/// A page of slots: large enough that its header is no matter, small enough that a map of some dozen keys costs no more than that.
pub(crate) const SLOT_PAGE: usize = 16 << 10;

/// Bytes of an arena's first chunk: of a page, the part that a cell needs.
pub(crate) const ARENA_FIRST_BYTES: usize = 4 << 10;

/// Bytes of an arena's largest chunk: a huge page, so that what is reserved and not yet used is no more than that. Chunks double.
pub(crate) const ARENA_LARGEST_BYTES: usize = either(2 << 20, SLOT_PAGE);

/// Slots that are used of a chunk, if it has room for so many.
pub(crate) const ARENA_CHUNK_SLOTS: usize = either(1 << 16, 2);

/// The largest value whose versions have rooms in their slots: a slot of a small key and two such versions takes two cache lines. Under
/// the model, numbers of 32 bits have rooms and those of 64 have not, so that each model chooses.
pub(crate) const ROOM_VALUE_BYTES: usize = either(32, 4);

/// Versions of a chain that are looked at for a room that is free: a longer one is under a snapshot, and its rooms are most likely taken.
pub(crate) const ROOM_LOOKS: usize = 4;

/// To how many milliseconds a time of day leads to a moment, unless the store is built with another resolution. Each one in which history is written
/// costs a tick, 16 bytes, and a version more of a key that is changed again and again. None under a model, unless it asks: real time would
/// make no two runs the same.
pub(crate) const TIME_RESOLUTION: u64 = either(100, usize::MAX) as u64;

/// Moments that a store knows the times of: 1 MiB of them, two hours in which history is written all the time.
pub(crate) const TIMELINE_ENTRIES: usize = either(1 << 16, 4);

/// Bytes that a thread brings in before it looks whether the store has more than it may: by so much, for each thread, a bound on memory may be
/// passed.
pub(crate) const GROWTH_STEP: usize = 256 << 10;

/// Looks at a store's load that are not due to growth are no closer than this: the coarse clock does not tell less.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_millis(1);

/// So many times longer than a look takes is the pause behind it.
pub(crate) const LOOK_SHARE: u32 = 50;

/// Keys that a store is brought back in one step with, unless more are allowed: a transaction that reads so many takes some milliseconds, in which
/// no other writer may change one of them.
pub(crate) const ROLLBACK_KEYS: usize = 1 << 16;

/// Counters over which a map's length is spread.
pub(crate) const LEN_STRIPES: usize = either(16, 2);

/// Keys that are looked up in one step of many: enough that their cache misses overlap, and few enough that what was asked for is
/// still near when it is read.
pub(crate) const MANY_STEP: usize = either(32, 2);

/// Lanes over which those are spread who wait for a key: a writer of another key looks at one in so many of them.
pub(crate) const WAITER_LANES: usize = either(64, 1);

/// After how long a thread that sleeps looks by itself: as long a writer can withhold a wake-up that is stopped between its write and
/// the wake-up. Ten looks a second cost nothing that can be measured.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Bytes that a key counts which waits for a subscriber: its place in a set, with room to grow, and the slot and version of a removal,
/// which has to be kept until the subscriber knows of it.
pub(crate) const WAITING_KEY_BYTES: usize = 128;

/// Bytes that may wait for a subscriber unless it says otherwise: some hundred thousand keys.
pub(crate) const FEED_BYTES: usize = 16 << 20;

/// Bytes that a change counts, besides its value, which waits for those who are told every change: what its version says of itself, and
/// what is noted of its key.
pub(crate) const UNREAD_CHANGE_BYTES: usize = 128;

/// Slots that a snapshot's iterator reads under one pin: enough that their cache misses overlap.
pub(crate) const SCAN_STEP: usize = either(64, 1);
