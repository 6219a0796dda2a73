//! The layout of a snapshot file.
//!
//! ```text
//! 0            header                 one page, checksum at its end
//! 4096         chunks                 each starts at a multiple of 64; zeros up to the next are in its checksum
//!              component list         names, schemas, counts and where each component's chunks are; zeros up to a page
//!              chunk table            pages of 102 entries of 40 bytes, each page with its checksum in the root array
//!              root array             the CRC-32C of each table page; zeros up to a page
//! end - 4096   footer                 where the above is, checksums of the list, the root array and the header, and its own
//! ```
//!
//! A component is a run of *data chunks* (whole entries, about 16 KiB), then a run of *directory pages*. A data chunk
//! opens with one 32-byte record for each of its entries, then has their keys and values, each at a multiple of 16. The
//! directory is one array of 8-byte words, cut into pages: an entry's home is the word at `hash × buckets / 2⁶⁴`; it lies
//! there or in the words after it, before the first empty word. Its words are in the order of hashes, and run on a little past the last
//! bucket instead of wrapping round.
//!
//! Checksums form a tree (footer → root array → table page → chunk), so whoever opens a file reads the root's path only,
//! and a chunk is proven when it is first touched. No byte of the file lies outside the tree.

use super::layout::{array_at, close_page, layout, page_checksum};
use super::{FORMAT_VERSION, FormatError, PAGE, PAGE_BYTES, VALUE_FORMAT, align_up};

/// Opens a snapshot file.
pub const SNAPSHOT_MAGIC: [u8; 16] = *b"\x89STILLSNAP\r\n\x1a\n\0\xff";

/// Opens a snapshot file's last page.
pub const FOOTER_MAGIC: [u8; 16] = *b"\x89STILLFOOT\r\n\x1a\n\0\xff";

/// Chunks start at multiples of this: a cache line, so that an entry's record does not straddle two for no reason.
pub const CHUNK_ALIGN: u64 = 64;

/// A data chunk is closed before it would pass this, unless its only entry is longer.
pub const CHUNK_TARGET: usize = 16 * 1024;

/// A compressed chunk expands to at most this many times its length: the writer stores others raw, and a reader can refuse
/// a forged length before it allocates.
pub const MAX_EXPANSION: u64 = 1024;

/// A data chunk holds fewer entries than this: the index of an entry has 16 bits in the directory.
pub const MAX_CHUNK_ENTRIES: u64 = 1 << 16;

/// A file holds fewer chunks than this, so that a chunk's number plus one fits the directory's 32 bits.
pub const MAX_CHUNKS: u64 = u32::MAX as u64;

layout! {
    /// The first page.
    mod header: crate::format::PAGE => {
        MAGIC: 16, VERSION: 4, INCARNATION: 4, RESERVED: 8, VALUE_FORMAT: 16, STORE: 16, GENERATION: 8, CUT_TICK: 8, FRAME: 8,
        TICK_RESERVE: 8, WALL_CLOCK: 8, HASH_KEY_0: 8, HASH_KEY_1: 8,
    }
}

layout! {
    /// The last page.
    mod footer: crate::format::PAGE => {
        MAGIC: 16, FILE_LEN: 8, LIST_OFFSET: 8, LIST_LEN: 8, LIST_CHECKSUM: 4, COMPONENTS: 4, CHUNKS: 8, ROOT_CHECKSUM: 4,
        HEADER_CHECKSUM: 4, ENTRIES: 8,
    }
}

layout! {
    /// One chunk's entry in the chunk table.
    mod table_entry: 40 => {
        OFFSET: 8, STORED_LEN: 8, LOGICAL_LEN: 8, CODEC: 1, KIND: 1, RESERVED: 2, COMPONENT: 4, ENTRIES: 4, CHECKSUM: 4,
    }
}

layout! {
    /// One entry's record at the start of a data chunk; offsets are from the chunk's start.
    mod entry: 32 => { HASH: 8, VERSION: 8, KEY_OFFSET: 4, KEY_LEN: 4, VALUE_OFFSET: 4, VALUE_LEN: 4, }
}

layout! {
    /// The fixed part of a component's record; its name, key schema and value schema follow, without padding.
    mod component: 64 => {
        ID: 4, NAME_LEN: 4, KEY_SCHEMA_LEN: 4, VALUE_SCHEMA_LEN: 4, ENTRIES: 8, BUCKETS: 8, WORDS: 8, FIRST_CHUNK: 4, CHUNKS: 4,
        FIRST_PAGE: 4, PAGES: 4, RESERVED: 8,
    }
}

/// Chunk table entries in one page; the rest of the page is zero.
pub(crate) const TABLE_FANOUT: usize = PAGE / table_entry::SIZE;

/// Directory words in one page.
pub(crate) const PAGE_WORDS: usize = PAGE / 8;

const _: () = assert!(CHUNK_TARGET / entry::SIZE < MAX_CHUNK_ENTRIES as usize, "an index has 16 bits");

/// What a snapshot file is of: the contents of its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The store that wrote it.
    pub store: u128,
    /// The file's number: newer files have larger ones.
    pub generation: u64,
    /// The store's incarnation.
    pub incarnation: u32,
    /// The tick of the cut: the file holds what a snapshot at this tick saw.
    pub cut_tick: u64,
    /// The last log frame that the file contains; 0 if none.
    pub frame: u64,
    /// Ticks up to here may have been given out.
    pub tick_reserve: u64,
    /// When the cut was taken, in nanoseconds since 1970.
    pub wall_clock: u64,
    /// The key of the directory's hash.
    pub hash_key: [u64; 2],
}

impl SnapshotHeader {
    /// The header as its page, and the page's checksum.
    pub(crate) fn encode(&self) -> ([u8; PAGE], u32) {
        let mut page = [0; PAGE];
        header::MAGIC.put(&mut page, &SNAPSHOT_MAGIC);
        header::VERSION.put_u32(&mut page, FORMAT_VERSION);
        header::INCARNATION.put_u32(&mut page, self.incarnation);
        header::VALUE_FORMAT.put(&mut page, &VALUE_FORMAT);
        header::STORE.put_u128(&mut page, self.store);
        header::GENERATION.put_u64(&mut page, self.generation);
        header::CUT_TICK.put_u64(&mut page, self.cut_tick);
        header::FRAME.put_u64(&mut page, self.frame);
        header::TICK_RESERVE.put_u64(&mut page, self.tick_reserve);
        header::WALL_CLOCK.put_u64(&mut page, self.wall_clock);
        header::HASH_KEY_0.put_u64(&mut page, self.hash_key[0]);
        header::HASH_KEY_1.put_u64(&mut page, self.hash_key[1]);
        let checksum = close_page(&mut page, 0);
        (page, checksum)
    }

    /// Reads a header page; also returns its checksum.
    pub(crate) fn decode(file: &str, page: &[u8; PAGE]) -> Result<(Self, u32), FormatError> {
        let checksum = check_first_page(file, page, &SNAPSHOT_MAGIC, header::VALUE_FORMAT.bytes(page))?;
        let header = Self {
            store: header::STORE.u128(page),
            generation: header::GENERATION.u64(page),
            incarnation: header::INCARNATION.u32(page),
            cut_tick: header::CUT_TICK.u64(page),
            frame: header::FRAME.u64(page),
            tick_reserve: header::TICK_RESERVE.u64(page),
            wall_clock: header::WALL_CLOCK.u64(page),
            hash_key: [header::HASH_KEY_0.u64(page), header::HASH_KEY_1.u64(page)],
        };
        Ok((header, checksum))
    }
}

/// Checks what the first pages of both kinds of file have in common; returns the page's checksum.
///
/// The magic, the version's place and the checksum's place hold for all versions, so a damaged version is told from a newer one.
pub(crate) fn check_first_page(
    file: &str,
    page: &[u8; PAGE],
    magic: &[u8; 16],
    value_format: &[u8],
) -> Result<u32, FormatError> {
    if header::MAGIC.bytes(page) != magic {
        let mut found = [0; 16];
        found.copy_from_slice(header::MAGIC.bytes(page));
        return Err(FormatError::NotOurs { file: file.to_owned(), found });
    }
    let checksum = page_checksum(page, 0).ok_or_else(|| FormatError::Checksum {
        file: file.to_owned(),
        what: "header",
        offset: 0,
    })?;
    let version = header::VERSION.u32(page);
    if version > FORMAT_VERSION {
        return Err(FormatError::NewerFormat { file: file.to_owned(), found: version, supported: FORMAT_VERSION });
    }
    if value_format != VALUE_FORMAT {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
        return Err(FormatError::Incompatible {
            file: file.to_owned(),
            expected: text(&VALUE_FORMAT),
            found: text(value_format),
        });
    }
    Ok(checksum)
}

/// Where everything is: the contents of the footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) list_offset: u64,
    pub(crate) list_len: u64,
    pub(crate) list_checksum: u32,
    pub(crate) components: u32,
    pub(crate) chunks: u64,
    pub(crate) root_checksum: u32,
    pub(crate) header_checksum: u32,
    pub(crate) entries: u64,
}

impl Footer {
    pub(crate) fn encode(&self) -> Option<[u8; PAGE]> {
        let mut page = [0; PAGE];
        footer::MAGIC.put(&mut page, &FOOTER_MAGIC);
        footer::FILE_LEN.put_u64(&mut page, self.sections()?.end);
        footer::LIST_OFFSET.put_u64(&mut page, self.list_offset);
        footer::LIST_LEN.put_u64(&mut page, self.list_len);
        footer::LIST_CHECKSUM.put_u32(&mut page, self.list_checksum);
        footer::COMPONENTS.put_u32(&mut page, self.components);
        footer::CHUNKS.put_u64(&mut page, self.chunks);
        footer::ROOT_CHECKSUM.put_u32(&mut page, self.root_checksum);
        footer::HEADER_CHECKSUM.put_u32(&mut page, self.header_checksum);
        footer::ENTRIES.put_u64(&mut page, self.entries);
        close_page(&mut page, 0);
        Some(page)
    }

    /// Finds and reads the footer of a file's bytes, and proves that its sections fill the file.
    pub(crate) fn decode(file: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let len = bytes.len() as u64;
        let truncated = |expected| FormatError::Truncated { file: file.to_owned(), expected, found: len };
        let offset = len.checked_sub(PAGE_BYTES).filter(|offset| *offset >= PAGE_BYTES);
        let offset = offset.ok_or_else(|| truncated(2 * PAGE_BYTES))?;
        let Some(page) = array_at::<PAGE>(bytes, offset).filter(|page| footer::MAGIC.bytes(*page) == FOOTER_MAGIC)
        else {
            return Err(truncated(len.saturating_add(1)));
        };
        let damaged = FormatError::Checksum { file: file.to_owned(), what: "footer", offset };
        page_checksum(page, 0).ok_or(damaged)?;
        let recorded = footer::FILE_LEN.u64(page);
        if recorded > len {
            return Err(truncated(recorded));
        }
        let this = Self {
            list_offset: footer::LIST_OFFSET.u64(page),
            list_len: footer::LIST_LEN.u64(page),
            list_checksum: footer::LIST_CHECKSUM.u32(page),
            components: footer::COMPONENTS.u32(page),
            chunks: footer::CHUNKS.u64(page),
            root_checksum: footer::ROOT_CHECKSUM.u32(page),
            header_checksum: footer::HEADER_CHECKSUM.u32(page),
            entries: footer::ENTRIES.u64(page),
        };
        let fills = |sections: &Sections| sections.end == len && recorded == len;
        if this.sections().filter(fills).is_none() {
            return Err(FormatError::Malformed {
                file: file.to_owned(),
                what: "the footer's sections do not fill the file",
                offset,
            });
        }
        Ok(this)
    }

    /// Where the sections lie; `None` if that is impossible.
    pub(crate) fn sections(&self) -> Option<Sections> {
        let aligned = self.list_offset >= PAGE_BYTES && self.list_offset.is_multiple_of(CHUNK_ALIGN);
        if !aligned || self.chunks >= MAX_CHUNKS {
            return None;
        }
        let table = align_up(self.list_offset.checked_add(self.list_len)?, PAGE_BYTES)?;
        let table_pages = self.chunks.div_ceil(TABLE_FANOUT as u64);
        let root = table.checked_add(table_pages * PAGE_BYTES)?;
        let footer = align_up(root.checked_add(table_pages * 4)?, PAGE_BYTES)?;
        Some(Sections { table, table_pages, root, footer, end: footer.checked_add(PAGE_BYTES)? })
    }
}

/// The offsets of a file's sections after the component list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sections {
    pub(crate) table: u64,
    pub(crate) table_pages: u64,
    pub(crate) root: u64,
    pub(crate) footer: u64,
    pub(crate) end: u64,
}

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ChunkKind {
    Data = 1,
    Directory = 2,
}

/// How a chunk's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum StoredCodec {
    Raw = 0,
    Zstd = 1,
}

/// One chunk's entry in the chunk table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableEntry {
    pub(crate) offset: u64,
    pub(crate) stored_len: u64,
    pub(crate) logical_len: u64,
    pub(crate) codec: StoredCodec,
    pub(crate) kind: ChunkKind,
    pub(crate) component: u32,
    pub(crate) entries: u32,
    pub(crate) checksum: u32,
}

impl TableEntry {
    pub(crate) fn encode(&self) -> [u8; table_entry::SIZE] {
        let mut record = [0; table_entry::SIZE];
        table_entry::OFFSET.put_u64(&mut record, self.offset);
        table_entry::STORED_LEN.put_u64(&mut record, self.stored_len);
        table_entry::LOGICAL_LEN.put_u64(&mut record, self.logical_len);
        table_entry::CODEC.put_u8(&mut record, self.codec as u8);
        table_entry::KIND.put_u8(&mut record, self.kind as u8);
        table_entry::COMPONENT.put_u32(&mut record, self.component);
        table_entry::ENTRIES.put_u32(&mut record, self.entries);
        table_entry::CHECKSUM.put_u32(&mut record, self.checksum);
        record
    }

    /// Reads an entry and proves that its chunk lies between the header and `limit`.
    pub(crate) fn decode(file: &str, record: &[u8; table_entry::SIZE], limit: u64) -> Result<Self, FormatError> {
        let offset = table_entry::OFFSET.u64(record);
        let malformed = |what| FormatError::Malformed { file: file.to_owned(), what, offset };
        let codec = match table_entry::CODEC.u8(record) {
            0 => StoredCodec::Raw,
            1 => StoredCodec::Zstd,
            codec => {
                return Err(FormatError::UnknownCodec { file: file.to_owned(), codec, offset });
            }
        };
        let kind = match table_entry::KIND.u8(record) {
            1 => ChunkKind::Data,
            2 => ChunkKind::Directory,
            _ => return Err(malformed("a chunk is of an unknown kind")),
        };
        let this = Self {
            offset,
            stored_len: table_entry::STORED_LEN.u64(record),
            logical_len: table_entry::LOGICAL_LEN.u64(record),
            codec,
            kind,
            component: table_entry::COMPONENT.u32(record),
            entries: table_entry::ENTRIES.u32(record),
            checksum: table_entry::CHECKSUM.u32(record),
        };
        let inside = this.end().is_some_and(|end| end <= limit);
        if offset < PAGE_BYTES || !offset.is_multiple_of(CHUNK_ALIGN) || !inside {
            return Err(malformed("a chunk lies outside the file's chunks"));
        }
        let possible = match codec {
            StoredCodec::Raw => this.logical_len == this.stored_len,
            StoredCodec::Zstd => this.logical_len <= this.stored_len.saturating_mul(MAX_EXPANSION),
        };
        if !possible {
            return Err(malformed("a chunk's lengths contradict each other"));
        }
        Ok(this)
    }

    /// Where the next chunk starts: the checksum covers all bytes up to there.
    pub(crate) fn end(&self) -> Option<u64> {
        align_up(self.offset.checked_add(self.stored_len)?, CHUNK_ALIGN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SnapshotHeader {
        SnapshotHeader {
            store: 1 << 100,
            generation: 2,
            incarnation: 3,
            cut_tick: 4,
            frame: 5,
            tick_reserve: 6,
            wall_clock: 7,
            hash_key: [8, 9],
        }
    }

    #[test]
    fn a_header_survives_its_page() {
        let (page, checksum) = header().encode();
        assert_eq!(SnapshotHeader::decode("file", &page).expect("it is whole"), (header(), checksum));
    }

    #[test]
    fn other_versions_and_formats_are_named() {
        let mut page = header().encode().0;
        header::VERSION.put_u32(&mut page, 2);
        close_page(&mut page, 0);
        let error = SnapshotHeader::decode("file", &page);
        assert!(matches!(error, Err(FormatError::NewerFormat { found: 2, supported: 1, .. })));

        let mut page = header().encode().0;
        header::VALUE_FORMAT.put(&mut page, b"rkyv-0.8-be64\0\0\0");
        close_page(&mut page, 0);
        match SnapshotHeader::decode("file", &page) {
            Err(FormatError::Incompatible { found, .. }) => assert_eq!(found, "rkyv-0.8-be64"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn impossible_sections_are_none() {
        let footer = Footer {
            list_offset: 4096,
            list_len: u64::MAX - 4096,
            list_checksum: 0,
            components: 0,
            chunks: 1,
            root_checksum: 0,
            header_checksum: 0,
            entries: 0,
        };
        assert_eq!(footer.sections(), None);
        assert_eq!(Footer { list_len: 0, chunks: MAX_CHUNKS, ..footer }.sections(), None);
        assert_eq!(Footer { list_len: 0, list_offset: 4100, ..footer }.sections(), None);
        let sections = Footer { list_len: 0, ..footer }.sections().expect("they are possible");
        assert_eq!((sections.table, sections.root, sections.footer, sections.end), (4096, 8192, 12288, 16384));
    }
}
