//! The rules that the protocols stand on, by name, so that a model can take one away and see itself fail.
//!
//! In the product every rule holds, as a constant: nothing of this is left in the code. Under loom a test breaks one rule
//! and expects the model to find the interleaving that the rule is there for.

/// A rule of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[allow(unreachable_pub, reason = "exported under loom only")]
pub enum Rule {
    /// A SeqCst fence stands between meeting an undecided version and reading the clock for it.
    FenceBeforeClock,
    /// A SeqCst fence stands between reading the clock for a version or a transaction and making it visible.
    FenceBehindClock,
    /// A version met undecided is stamped before its value is returned or it is replaced.
    StampBeforeUse,
    /// A version's stamp is set once, from undecided, by compare-and-swap.
    StampOnce,
    /// A snapshot returns only when the clock is past its tick.
    ClockPastSnapshot,
    /// A fence stands between announcing a snapshot and reading the clock for it.
    FenceAfterPending,
    /// A fence stands between moving the clock past a snapshot and reading at it.
    FenceAfterClock,
    /// PENDING carries the tick of the last snapshot in its word, so that it never repeats there.
    PendingNeverRepeats,
    /// A pruner that meets PENDING sets the snapshot from a clock read after that, not from what PENDING carries.
    PrunerReadsClock,
    /// The clock is read before the registry's words are scanned.
    ClockBeforeScan,
    /// A fence stands between reading the clock and scanning the registry's words.
    FenceBeforeScan,
    /// A version is pruned only when no live snapshot sees it.
    PruneChecksSnapshots,
    /// An entry of the backlog is judged by a view of the live snapshots that was taken after the entry was found.
    JudgeByYoungerView,
    /// A chain has one pruner at a time.
    OnePruner,
    /// A consumer takes what threads have announced.
    ConsumerTakesAnnounced,
    /// A writer announces its slot before it installs.
    AnnounceBeforeInstall,
    /// A note is written after the stamp is decided, not before the install.
    NoteAfterStamp,
    /// What a consumer took that is newer than its cut is carried to the next one.
    CarryNewer,
    /// A fence stands between a batch's last unlinking and reading the era for its tag.
    FenceBeforeTag,
    /// A fence stands between moving the era and deferring the closure that makes the last one safe.
    FenceAfterMove,
    /// A batch is reclaimed only when its tag is safe.
    ReclaimWhenSafe,
    /// A room is taken only when what was in it can be met no more.
    RoomWhenSafe,
    /// A room is taken by who has the right to its slot.
    RoomWithRight,
    /// A freed room's tag is the era after the one that is read.
    RoomTagAhead,
    /// A room that was left is taken only when every live snapshot sees the version above it, or a newer one.
    LeftForPassers,
    /// A bucket's entries are frozen before they are copied.
    FreezeBeforeCopy,
    /// A reader looks at a bucket's mark before it looks at its entries.
    MarkBeforeEntries,
    /// A writer moves its bucket before it inserts into the next table.
    MoveBeforeInsert,
    /// Whoever inserts a slot, or meets one whose tag is missing, sets the tag before going on.
    TagBeforeUse,
    /// An inner node's links are frozen before a copy takes its place.
    FreezeBeforeFold,
    /// A key is purged by a compare-and-swap on its head, so that no write is lost under it.
    PurgeByHead,
    /// A purged slot is unlinked from the table before it is retired.
    UnlinkBeforeRetire,
    /// A tombstone is purged only when the clock has passed its tick.
    PurgeAfterTick,
    /// A tombstone over an attached base is not purged.
    KeepTombstoneOverBase,
    /// A restored entry comes in only where no version exists.
    RestoreOnlyWhereEmpty,
    /// A slot is not purged while a handle holds it.
    HeldStays,
    /// A slot that is being purged is not held any more.
    NoHoldOncePurging,
    /// The last holder of a slot whose purge was kept off leaves it in the backlog.
    LastHolderPays,
    /// A sleeper looks once more after it was enlisted, before it sleeps.
    LookAfterEnlisting,
    /// A fence stands between a sleeper's being counted and its last look.
    FenceBeforeLook,
    /// A writer reads who waits after its version is installed and decided.
    WantedAfterStamp,
    /// Before a removal's last trace goes, its component says so, and the floor is read again.
    PurgeTellsCursors,
    /// A read of the past is refused where what it looks for has been unlinked.
    PastSeesGaps,
    /// The clock is read for a transaction only when its status says that all its versions are in place.
    PreparedBeforeClock,
    /// A reader that meets an intent of a transaction whose versions are all in place decides it.
    ReaderDecidesPrepared,
    /// Who passes by an intent looks at its stamp again behind what is below it.
    StampBehindBelow,
    /// A transaction commits only if what it has read is what is committed.
    ValidateReads,
    /// A transaction replaces only the versions that it has seen: what its validators have judged.
    ReplaceWhatWasSeen,
    /// A validator decides the transactions in doubt that write what it has read.
    ValidateForeign,
    /// A transaction commits only if the leaves that its scans have gone over still stand where they did.
    CompareScans,
    /// A transaction is announced before its first install.
    AnnounceTransaction,
    /// A failed version that others may still install is retired only when they are gone.
    RetireFailedWhenSafe,
    /// A version that may fail lies in a room of its slot only over another version: at the end of whose chain a tag can be left.
    FailOverVersion,
    /// An open transaction looks again at what it has read, with each key that it reads.
    LookAgain,
    /// A writer that can't close a tick that is due says so.
    BlurWhenBusy,
    /// A key whose time is over is removed by a compare-and-swap on the version that was judged.
    ExpireWhatWasJudged,
    /// A replaced version is pruned only when no reader of every change wants it.
    KeepUnread,
    /// Before a version goes that nobody wants, its component says so, and the bookmarks are looked at again.
    PassBeforeLook,
    /// A reader of every change begins with a bookmark that stood before the clock was moved past its tick.
    BeginInTick,
}

#[cfg(not(loom))]
#[inline(always)]
pub(crate) const fn holds(_rule: Rule) -> bool {
    true
}

#[cfg(loom)]
mod broken {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Rule;

    const NONE: u32 = u32::MAX;
    static BROKEN: AtomicU32 = AtomicU32::new(NONE);

    pub(crate) fn holds(rule: Rule) -> bool {
        BROKEN.load(Ordering::SeqCst) != rule as u32
    }

    /// Takes one rule away until the guard is dropped. Models that do this run one at a time.
    pub fn without(rule: Rule) -> Without {
        BROKEN.store(rule as u32, Ordering::SeqCst);
        Without(())
    }

    /// A rule is taken away while this lives.
    #[derive(Debug)]
    pub struct Without(());

    impl Drop for Without {
        fn drop(&mut self) {
            BROKEN.store(NONE, Ordering::SeqCst);
        }
    }
}

#[cfg(loom)]
pub(crate) use broken::holds;
#[cfg(loom)]
pub use broken::{Without, without};
