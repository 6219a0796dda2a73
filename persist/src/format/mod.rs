//! What the bytes on disk mean: every layout, magic and limit of the two kinds of file, told once.
//!
//! Two kinds of file live in a store's directory:
//!
//! - **snapshot files** (`snapshot-<generation>.snap`, see [`snapshot`]): the whole state at one cut, laid out for mapping;
//! - **log segments** (`log-<segment>.log`, see [`log`]): the frames that were written since.
//!
//! What holds for both: all integers are little-endian; the first page opens with a 16-byte magic that text conversion
//! and 7-bit channels break (a high byte, CR LF, 0x1A), then the format's version, and ends with the page's CRC-32C (those
//! three never move, in any version); bytes that mean nothing are zero and are covered by a checksum like the rest; keys and
//! values start at multiples of [`VALUE_ALIGN`], so that archived values are used where they lie.
//!
//! A value is an archive of the type that its component's value schema describes. Where that is `Expiring<T>`, the component's keys expire: a
//! value is an archive of a `T` and, behind it, the time at which its key is absent from then on, in milliseconds since 1970, as 8 bytes;
//! all ones for never. A key whose time is over may be there still, or not; once it was removed, that stands in the log as any removal.
//!
//! Nothing read from a file is trusted before its checksum was verified, and lengths are compared with the file before anything is
//! allocated for them: a checksum finds accidents, not malice.

pub mod component;
pub(crate) mod layout;
pub mod log;
pub mod names;
pub mod snapshot;

mod error;
#[cfg(test)]
pub(crate) mod test_medium;

pub use error::FormatError;

/// The version of both formats that this library writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The format of archived keys and values, as each file's first page records it: rkyv's line, byte order and pointer width.
pub const VALUE_FORMAT: [u8; 16] = *b"rkyv-0.8-le32\0\0\0";

/// Keys and values start at multiples of this, in the file and in memory.
pub const VALUE_ALIGN: usize = 16;

/// Headers, footers and table pages have this size; it is also the unit that a disk may tear.
pub const PAGE: usize = 4096;

/// [`PAGE`] as a file offset.
pub(crate) const PAGE_BYTES: u64 = PAGE as u64;

/// Keys and values stay below this length: offsets within a chunk are 32 bits wide, and archives use 32-bit
/// relative pointers, so rkyv makes none beyond 2 GiB anyway.
pub const MAX_VALUE_LEN: u64 = 1 << 31;

/// Names and schema texts of components stay below this length.
pub const MAX_TEXT_LEN: u64 = 1 << 20;

const _: () =
    assert!(VALUE_ALIGN.is_power_of_two() && PAGE.is_multiple_of(VALUE_ALIGN), "pages keep the alignment of values");

/// Refuses a key, value or text that the formats have no room for.
pub(crate) fn check_len(what: &'static str, len: usize, limit: u64) -> Result<(), FormatError> {
    let found = len as u64;
    if found >= limit {
        return Err(FormatError::TooLarge { what, found, limit });
    }
    Ok(())
}

/// Rounds up to a multiple of `align`, a power of two; `None` beyond 64 bits.
pub(crate) fn align_up(value: u64, align: u64) -> Option<u64> {
    debug_assert!(align.is_power_of_two());
    Some(value.checked_add(align - 1)? & !(align - 1))
}

/// How many zero bytes bring `len` to a multiple of `align`, a power of two.
pub(crate) fn padding(len: usize, align: usize) -> usize {
    debug_assert!(align.is_power_of_two());
    len.wrapping_neg() & (align - 1)
}

/// Zero bytes to pad with; no padding in either format is longer.
pub(crate) static ZEROS: [u8; PAGE] = [0; PAGE];
