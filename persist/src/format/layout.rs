//! Fixed layouts as constants: where each field of a record lies.
//!
//! [`layout!`] turns a list of fields and lengths into a module of [`Field`] constants, one after the other, and proves
//! at compile time that the record has its size and that numbers are naturally aligned. All reading and writing of fixed records goes
//! through these constants.

use super::PAGE;

/// One field of a fixed layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    #[cfg_attr(not(test), allow(dead_code, reason = "read by the test of the format document"))]
    pub(crate) name: &'static str,
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

impl Field {
    /// The field's bytes. The record has its layout's size: every decoder takes an array of that size.
    pub(crate) fn bytes(self, record: &[u8]) -> &[u8] {
        &record[self.offset..self.offset + self.len]
    }

    fn array<const N: usize>(self, record: &[u8]) -> [u8; N] {
        debug_assert_eq!(self.len, N, "{} is read at another width", self.name);
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(record));
        array
    }

    pub(crate) fn u8(self, record: &[u8]) -> u8 {
        u8::from_le_bytes(self.array(record))
    }

    pub(crate) fn u32(self, record: &[u8]) -> u32 {
        u32::from_le_bytes(self.array(record))
    }

    pub(crate) fn u64(self, record: &[u8]) -> u64 {
        u64::from_le_bytes(self.array(record))
    }

    pub(crate) fn u128(self, record: &[u8]) -> u128 {
        u128::from_le_bytes(self.array(record))
    }

    pub(crate) fn put(self, record: &mut [u8], bytes: &[u8]) {
        record[self.offset..self.offset + self.len].copy_from_slice(bytes);
    }

    pub(crate) fn put_u8(self, record: &mut [u8], value: u8) {
        self.put(record, &value.to_le_bytes());
    }

    pub(crate) fn put_u32(self, record: &mut [u8], value: u32) {
        self.put(record, &value.to_le_bytes());
    }

    pub(crate) fn put_u64(self, record: &mut [u8], value: u64) {
        self.put(record, &value.to_le_bytes());
    }

    pub(crate) fn put_u128(self, record: &mut [u8], value: u128) {
        self.put(record, &value.to_le_bytes());
    }
}

/// Declares a module of [`Field`] constants that lie one after the other, with the record's `SIZE`.
macro_rules! layout {
    ($(#[$doc:meta])* mod $name:ident: $size:expr => { $($field:ident: $len:literal,)* }) => {
        $(#[$doc])*
        pub(crate) mod $name {
            use $crate::format::layout::Field;

            pub(crate) const SIZE: usize = $size;
            $crate::format::layout::layout!(@field 0; $($field: $len,)*);

            #[cfg(test)]
            #[allow(dead_code, reason = "for the test of the format document")]
            pub(crate) const FIELDS: &[Field] = &[$($field),*];
        }
    };
    (@field $at:expr;) => {
        const _: () = assert!($at <= SIZE, "the fields fit into the record");
    };
    (@field $at:expr; $field:ident: $len:literal, $($rest:tt)*) => {
        #[allow(dead_code, reason = "reserved fields are named, so that the layout is whole")]
        pub(crate) const $field: Field = Field { name: stringify!($field), offset: $at, len: $len };
        const _: () = assert!($crate::format::layout::is_natural($at, $len), "numbers are naturally aligned");
        $crate::format::layout::layout!(@field $at + $len; $($rest)*);
    };
}
pub(crate) use layout;

/// Whether a field of this length may lie there: numbers of up to 8 bytes lie at multiples of their length.
pub(crate) const fn is_natural(at: usize, len: usize) -> bool {
    len > 8 || !len.is_power_of_two() || at.is_multiple_of(len)
}

/// Where a page keeps the CRC-32C of all its bytes before it.
const PAGE_CHECKSUM: Field = Field { name: "CHECKSUM", offset: PAGE - 4, len: 4 };

/// Writes a page's checksum, of all other bytes, continued from `seed`; returns it.
pub(crate) fn close_page(page: &mut [u8; PAGE], seed: u32) -> u32 {
    let checksum = crc32c::crc32c_append(seed, &page[..PAGE_CHECKSUM.offset]);
    PAGE_CHECKSUM.put_u32(page, checksum);
    checksum
}

/// A page's checksum, if it is right for its other bytes.
pub(crate) fn page_checksum(page: &[u8; PAGE], seed: u32) -> Option<u32> {
    let stored = PAGE_CHECKSUM.u32(page);
    (stored == crc32c::crc32c_append(seed, &page[..PAGE_CHECKSUM.offset])).then_some(stored)
}

/// The fixed array that starts at `offset`, if the bytes reach that far.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: u64) -> Option<&[u8; N]> {
    bytes.get(usize::try_from(offset).ok()?..)?.first_chunk()
}

#[cfg(test)]
mod tests {
    use super::*;

    layout! {
        mod sample: 24 => { A: 8, B: 4, C: 1, D: 1, E: 2, F: 8, }
    }

    #[test]
    fn fields_lie_one_after_the_other() {
        let mut end = 0;
        for field in sample::FIELDS {
            assert_eq!(field.offset, end, "{}", field.name);
            end += field.len;
        }
        assert_eq!(end, sample::SIZE);
    }

    #[test]
    fn numbers_are_little_endian() {
        let mut record = [0; sample::SIZE];
        sample::B.put_u32(&mut record, 0x0403_0201);
        assert_eq!(record[8..12], [1, 2, 3, 4]);
        assert_eq!(sample::B.u32(&record), 0x0403_0201);
    }

    #[test]
    fn a_page_checksum_covers_every_byte_and_the_seed() {
        let mut page = [7; PAGE];
        let checksum = close_page(&mut page, 5);
        assert_eq!(page_checksum(&page, 5), Some(checksum));
        assert_eq!(page_checksum(&page, 6), None);
        for at in 0..PAGE {
            page[at] ^= 0x10;
            assert_eq!(page_checksum(&page, 5), None, "byte {at}");
            page[at] ^= 0x10;
        }
    }
}
