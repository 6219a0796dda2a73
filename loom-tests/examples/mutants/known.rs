//! Mutants that no model can find, each with the reason.

use crate::sites::Mutant;

/// Mutants, by their file and a part of what they are called, and why they are not found.
pub(crate) struct Known {
    pub(crate) file: &'static str,
    pub(crate) what: &'static str,
    pub(crate) why: &'static str,
}

/// The clock's edges.
const A_NUMBER: &str = "a tick is a number, and reads of one word never go back; whoever reads it for a stamp, a snapshot or a view stands \
                        between two of the fences SNAP-1 to SNAP-3 and SCAN-1, which order the rest";
/// The words of the registry.
const WORD_SAYS_ALL: &str =
    "the word says all that is read from it; what else must be seen stands behind the fences SNAP-2 and SCAN-1";

/// A place in a list that is given back.
const STORES_IN_ORDER: &str =
    "loom lets no store of the next owner come before one of the last owner that it has run before";

pub(crate) const KNOWN: &[Known] = &[
    known("clock.rs", "self.now.load(Ordering::Acquire)", A_NUMBER),
    known("clock.rs", "self.now.compare_exchange(tick, tick + 1", A_NUMBER),
    known("clock.rs", "self.now.fetch_max(tick", "said before the store is used"),
    known("registry.rs", "match word.compare_exchange(pending.pack(), Word::Set(now)", WORD_SAYS_ALL),
    known("registry.rs", "match word.compare_exchange(found, Word::Set(now)", WORD_SAYS_ALL),
    known(
        "registry.rs",
        "AcqRel as Acquire: if word.compare_exchange(seen, pending.pack()",
        "who meets PENDING acquires the last owner's release through it: it goes on with that one's release sequence",
    ),
    known(
        "registry.rs",
        "AcqRel as Release: if word.compare_exchange(seen, pending.pack()",
        "the fence SNAP-2 behind it acquires as well",
    ),
    known(
        "registry.rs",
        "AcqRel as Release: match block.next.compare_exchange",
        "what it replaces is null, and null leads to nothing",
    ),
    known("registry.rs", "looked.next.load(Ordering::Acquire)", "no model asks how old snapshots are"),
    known(
        "registry.rs",
        "Release as Relaxed: word.store(Word::Empty",
        "loom lets no store come before the loads that stand in front of it",
    ),
    known("unread.rs", "Release as Relaxed: self.in_use.store(false", STORES_IN_ORDER),
    known("unread.rs", "Acquire as Relaxed: bookmark.in_use.compare_exchange(false, true", STORES_IN_ORDER),
    known("chain.rs", "Release as Relaxed: self.stamp.store(decided.word()", "runs only where a rule is taken away"),
];

const fn known(file: &'static str, what: &'static str, why: &'static str) -> Known {
    Known { file, what, why }
}

impl Known {
    /// Whether this says it of a mutant.
    pub(crate) fn is_of(&self, mutant: &Mutant) -> bool {
        self.file == mutant.file && mutant.what.contains(self.what)
    }
}
