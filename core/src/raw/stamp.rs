//! The stamp of a version: when it became visible.
//!
//! ```text
//!  63            17 16            3     2      1    0
//! |  tick (47 bit)  | sequence (14) | removal | kind |
//! ```
//!
//! A version is installed [UNDECIDED](Stamp::UNDECIDED) and gets its final stamp once, by compare-and-swap, from whoever
//! meets it first. The tick is the clock's value then; the sequence counts a key's versions inside one tick. Two kinds are
//! for transactions: an *intent*, the descriptor's address, which becomes final or *failed*. Whether the version is a removal is said from
//! the start, and stays: so one look at this word tells whether there is a value to be read.

use std::fmt;

use crate::Version;
use crate::raw::commit::Descriptor;

const KIND_BITS: u32 = 2;
const SEQUENCE_BITS: u32 = 14;
const SEQUENCE_SHIFT: u32 = KIND_BITS + 1;
const TICK_SHIFT: u32 = SEQUENCE_SHIFT + SEQUENCE_BITS;
const KIND: u64 = (1 << KIND_BITS) - 1;
const REMOVAL: u64 = 1 << KIND_BITS;
/// No bit of kind is set: one instruction tells.
const FINAL: u64 = 0;
const INTENT: u64 = 2;

const FAILED: u64 = 3;

const _: () =
    assert!(align_of::<Descriptor>() > (KIND | REMOVAL) as usize, "a descriptor's address leaves room for the rest");

const _: () = assert!(TICK_SHIFT == 17, "47 bits of ticks last 162 days at ten million snapshots a second");

/// The stamp word of a version.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u64);

impl Stamp {
    /// Installed, and not yet visible at any time.
    pub(crate) const UNDECIDED: Self = Self(1);
    /// Of a transaction that was aborted: never visible.
    pub(crate) const FAILED: Self = Self(FAILED);
    /// The last sequence number inside a tick; the next version needs a later tick.
    pub(crate) const SEQUENCE_MAX: u64 = (1 << SEQUENCE_BITS) - 1;
    /// The last tick.
    pub(crate) const TICK_MAX: u64 = (1 << (64 - TICK_SHIFT)) - 1;

    /// The final stamp of the `sequence`-th version of a key in `tick`.
    pub(crate) const fn at(tick: u64, sequence: u64) -> Self {
        Self(tick << TICK_SHIFT | sequence << SEQUENCE_SHIFT | FINAL)
    }

    pub(crate) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_version(version: Version) -> Self {
        Self(version.as_u64() << SEQUENCE_SHIFT | FINAL)
    }

    /// The same stamp, of a removal.
    pub(crate) const fn of_removal(self) -> Self {
        Self(self.0 | REMOVAL)
    }

    /// This stamp for the version of which the other one was seen: of a removal if that one is.
    pub(crate) const fn after(self, seen: Self) -> Self {
        Self(self.0 | seen.0 & REMOVAL)
    }

    /// Whether the version says that the key was removed.
    pub(crate) const fn is_removal(self) -> bool {
        self.0 & REMOVAL != 0
    }

    /// Whether it is final, and the version has a value.
    #[inline]
    pub(crate) const fn has_value(self) -> bool {
        self.0 & (KIND | REMOVAL) == FINAL
    }

    pub(crate) const fn is_final(self) -> bool {
        self.0 & KIND == FINAL
    }

    pub(crate) const fn is_failed(self) -> bool {
        self.0 & KIND == FAILED
    }

    /// As undecided as the transaction of this descriptor.
    pub(crate) fn intent(descriptor: *const Descriptor) -> Self {
        Self(descriptor.expose_provenance() as u64 | INTENT)
    }

    /// The descriptor of the transaction by which the version stands or falls.
    pub(crate) fn descriptor(self) -> Option<*const Descriptor> {
        let address = (self.0 & !(KIND | REMOVAL)) as usize;
        (self.0 & KIND == INTENT).then(|| std::ptr::with_exposed_provenance(address))
    }

    pub(crate) const fn tick(self) -> u64 {
        self.0 >> TICK_SHIFT
    }

    pub(crate) const fn sequence(self) -> u64 {
        self.0 >> SEQUENCE_SHIFT & Self::SEQUENCE_MAX
    }

    /// The final stamp that follows in the same tick. Behind a full sequence it has the next tick: not to be used.
    #[inline]
    pub(crate) const fn next(self) -> Self {
        Self((self.0 & !(KIND | REMOVAL)) + (1 << SEQUENCE_SHIFT))
    }

    pub(crate) const fn version(self) -> Version {
        Version::from_u64(self.0 >> SEQUENCE_SHIFT)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 & KIND {
            FINAL => write!(f, "{}.{}", self.tick(), self.sequence()),
            INTENT => write!(f, "intent"),
            FAILED => write!(f, "failed"),
            _ => write!(f, "undecided"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_keeps_its_parts_and_orders_by_time() {
        let stamp = Stamp::at(Stamp::TICK_MAX, Stamp::SEQUENCE_MAX);
        assert_eq!((stamp.tick(), stamp.sequence()), (Stamp::TICK_MAX, Stamp::SEQUENCE_MAX));
        assert!(stamp.is_final() && !Stamp::UNDECIDED.is_final() && !Stamp::FAILED.is_final());
        assert_eq!((Stamp::FAILED.descriptor(), stamp.descriptor()), (None, None));
        assert!(Stamp::at(7, Stamp::SEQUENCE_MAX).version() < Stamp::at(8, 0).version());
        assert_eq!(Stamp::from_version(stamp.version()), stamp);
        assert_eq!(Stamp::at(7, 1).of_removal().next(), Stamp::at(7, 2));
        assert_ne!(Stamp::at(7, Stamp::SEQUENCE_MAX).next().tick(), 7);
    }

    #[test]
    fn a_removal_stays_one() {
        for stamp in [Stamp::at(7, 1), Stamp::UNDECIDED, Stamp::FAILED] {
            let removal = stamp.of_removal();
            assert!(removal.is_removal() && !stamp.is_removal() && !removal.has_value());
            assert_eq!((removal.version(), removal.is_final()), (stamp.version(), stamp.is_final()));
            assert_eq!(Stamp::at(8, 0).after(removal), Stamp::at(8, 0).of_removal());
            assert_eq!(Stamp::at(8, 0).after(stamp), Stamp::at(8, 0));
        }
        assert!(Stamp::at(7, 1).has_value() && !Stamp::UNDECIDED.has_value() && !Stamp::FAILED.has_value());
    }
}
