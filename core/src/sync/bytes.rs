//! Comparing the eight bytes of a word with one byte, all at once. The same in all worlds: it is no access.

/// The bytes of a word that are equal to another one, lowest first.
pub(crate) struct EqualBytes(u64);

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_cvtsi64_si128, _mm_movemask_epi8, _mm_set1_epi8};

    /// How many bits of a mask stand for a byte.
    pub(super) const BITS: u32 = 1;

    #[inline(always)]
    pub(super) fn equal(word: u64, byte: u8) -> u64 {
        // SAFETY: SSE2 is part of every x86-64 processor.
        let mask = unsafe {
            _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_cvtsi64_si128(word.cast_signed()), _mm_set1_epi8(byte.cast_signed())))
        };
        u64::from(mask.cast_unsigned())
    }

    /// The mask of the lowest bytes.
    pub(super) const fn lowest(bytes: u32) -> u64 {
        (1 << bytes) - 1
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod wide {
    /// How many bits of a mask stand for a byte.
    pub(super) const BITS: u32 = 8;

    const LOW_BITS: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

    /// May take a byte for equal that stands above one which is, and differs in the lowest bit only.
    #[inline(always)]
    pub(super) fn equal(word: u64, byte: u8) -> u64 {
        let different = word ^ (LOW_BITS * u64::from(byte));
        different.wrapping_sub(LOW_BITS) & !different & HIGH_BITS
    }

    /// The mask of the lowest bytes.
    pub(super) const fn lowest(bytes: u32) -> u64 {
        HIGH_BITS & ((1 << (8 * bytes)) - 1)
    }
}

/// The bytes among the lowest `BYTES` of a word, at most seven, that are equal to a byte. On some processors, rarely, one more.
#[inline(always)]
pub(crate) fn equal_bytes<const BYTES: u32>(word: u64, byte: u8) -> EqualBytes {
    const { assert!(BYTES < 8, "the last byte has no place in a mask") };
    EqualBytes(wide::equal(word, byte) & const { wide::lowest(BYTES) })
}

impl Iterator for EqualBytes {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let index = self.0.trailing_zeros() / wide::BITS;
        self.0 &= self.0 - 1;
        Some(index as usize)
    }
}
