//! How much of a hash is kept: its high half, which is what the table looks at; under the model, whose hashes say which bucket and tag
//! they are for, all of it.

#[cfg(not(loom))]
mod kept {
    /// Where a kept hash stands.
    pub(crate) type KeptHash = crate::sync::AtomicU32;

    /// How far the byte of a hash that is a bucket's tag stands above its lowest bit.
    pub(crate) const TAG_SHIFT: u32 = 32;

    /// What is kept of a hash.
    #[inline]
    pub(crate) fn keep(hash: u64) -> u32 {
        (hash >> 32) as u32
    }

    /// A hash as far as it was kept.
    #[inline]
    pub(crate) fn kept(word: u32) -> u64 {
        u64::from(word) << 32
    }
}

#[cfg(loom)]
mod kept {
    pub(crate) type KeptHash = crate::sync::AtomicU64;

    pub(crate) const TAG_SHIFT: u32 = 0;

    pub(crate) fn keep(hash: u64) -> u64 {
        hash
    }

    pub(crate) fn kept(word: u64) -> u64 {
        word
    }
}

pub(crate) use kept::{KeptHash, TAG_SHIFT, keep, kept};

/// A hash without what is not kept of it: equal to that of its slot.
#[inline]
pub(crate) fn trimmed(hash: u64) -> u64 {
    kept(keep(hash))
}
