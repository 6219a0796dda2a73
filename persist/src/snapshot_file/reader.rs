//! Opens a snapshot file and reads from it, proving each part when it is first touched.
//!
//! What was proven is remembered in one bit for each chunk, in blocks that are allocated when their table page is first
//! touched. Threads that touch a chunk for the first time together each prove it. The bits are relaxed: they publish nothing, since the
//! bytes that they speak of were there before and never change.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use rkyv::util::AlignedVec;

use super::chunk::Chunk;
use super::directory::{Found, Word};
use crate::format::component::{ComponentRecord, PlacedComponent, decode_list};
use crate::format::layout::array_at;
use crate::format::snapshot::{
    ChunkKind, Footer, PAGE_WORDS, Sections, SnapshotHeader, StoredCodec, TABLE_FANOUT, TableEntry, table_entry,
};
use crate::format::{FormatError, PAGE, PAGE_BYTES, VALUE_ALIGN};
use crate::medium::Mapping;
use crate::sync::{AtomicU64, Ordering};

/// A snapshot file, mapped and used in place.
///
/// # Cost
/// Opening reads the header, the footer, the component list and four bytes for each 102 chunks; it touches no entry.
pub struct SnapshotFile {
    name: String,
    mapping: Mapping,
    header: SnapshotHeader,
    footer: Footer,
    sections: Sections,
    components: Vec<PlacedComponent>,
    by_name: HashMap<String, usize>,
    pages: Vec<OnceLock<Box<PageState>>>,
}

/// What was proven of the chunks of a table page that was proven itself.
#[derive(Debug, Default)]
struct PageState {
    proven: [AtomicU64; TABLE_FANOUT.div_ceil(64)],
    expanded: OnceLock<Box<[OnceLock<AlignedVec<VALUE_ALIGN>>]>>,
}

/// Where an entry lies within its component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryPosition {
    /// The chunk's number within the component.
    pub chunk: u32,
    /// The entry's number within the chunk.
    pub index: u32,
}

impl SnapshotFile {
    /// Opens a mapped file; `name` is for messages.
    ///
    /// # Errors
    /// Whatever is wrong with the file's first and last pages, its component list or its root array. Damage elsewhere is found when
    /// it is touched, or by [`verify`](Self::verify).
    pub fn open(name: &str, mapping: Mapping) -> Result<Self, FormatError> {
        if !mapping.as_ptr().addr().is_multiple_of(VALUE_ALIGN) {
            let what = "the mapping does not start at a multiple of 16 in memory";
            return Err(FormatError::Malformed { file: name.to_owned(), what, offset: 0 });
        }
        let (header, footer, components) = read_frame(name, &mapping)?;
        let sections = footer.sections().unwrap_or_else(|| unreachable!("a decoded footer has sections"));
        let by_name = components.iter().enumerate().map(|(at, c)| (c.record.name.clone(), at)).collect();
        let pages = (0..sections.table_pages).map(|_| OnceLock::new()).collect();
        Ok(Self { name: name.to_owned(), mapping, header, footer, sections, components, by_name, pages })
    }

    /// The file's name, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the file is of.
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// The file's length in bytes.
    pub fn bytes(&self) -> u64 {
        self.sections.end
    }

    /// How many entries the file has.
    pub fn entries(&self) -> u64 {
        self.footer.entries
    }

    /// All components, in the order in which they were written.
    pub fn components(&self) -> impl ExactSizeIterator<Item = Component<'_>> {
        self.components.iter().map(|placed| Component { file: self, placed })
    }

    /// The component with this name.
    pub fn component(&self, name: &str) -> Option<Component<'_>> {
        let placed = self.components.get(*self.by_name.get(name)?)?;
        Some(Component { file: self, placed })
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(super) fn footer(&self) -> &Footer {
        &self.footer
    }

    pub(super) fn malformed(&self, what: &'static str, offset: u64) -> FormatError {
        FormatError::Malformed { file: self.name.clone(), what, offset }
    }

    pub(super) fn damaged(&self, what: &'static str, offset: u64) -> FormatError {
        FormatError::Checksum { file: self.name.clone(), what, offset }
    }

    /// Reads the table entry of a chunk from its page, which was proven.
    pub(super) fn table_entry(&self, chunk: u32) -> Result<TableEntry, FormatError> {
        let (page, slot) = (chunk as usize / TABLE_FANOUT, chunk as usize % TABLE_FANOUT);
        let offset = self.sections.table + page as u64 * PAGE_BYTES + (slot * table_entry::SIZE) as u64;
        let record =
            array_at(&self.mapping, offset).ok_or_else(|| self.malformed("a chunk is not in the table", offset))?;
        TableEntry::decode(&self.name, record, self.footer.list_offset)
    }

    /// Proves a page of the chunk table against the root array.
    pub(super) fn prove_table_page(&self, page: u64) -> Result<(), FormatError> {
        let offset = self.sections.table + page * PAGE_BYTES;
        let root = array_at::<4>(&self.mapping, self.sections.root + page * 4).map(|bytes| u32::from_le_bytes(*bytes));
        let found = array_at::<PAGE>(&self.mapping, offset).map(|page| crc32c::crc32c(page));
        if found.is_none() || root != found {
            return Err(self.damaged("page of the chunk table", offset));
        }
        Ok(())
    }

    fn page_state(&self, chunk: u32) -> Result<&PageState, FormatError> {
        let page = chunk as usize / TABLE_FANOUT;
        let outside = || self.malformed("a chunk is not in the table", self.sections.table);
        let cell = self.pages.get(page).filter(|_| u64::from(chunk) < self.footer.chunks).ok_or_else(outside)?;
        if let Some(state) = cell.get() {
            return Ok(state);
        }
        self.prove_table_page(page as u64)?;
        Ok(cell.get_or_init(Box::default))
    }

    /// Proves a chunk's stored bytes; returns them without the zeros after them.
    pub(super) fn prove_chunk(&self, entry: &TableEntry) -> Result<&[u8], FormatError> {
        let outside = || self.malformed("a chunk lies outside the file's chunks", entry.offset);
        let stored = self.stored(entry, entry.end().ok_or_else(outside)? - entry.offset).ok_or_else(outside)?;
        if crc32c::crc32c(stored) != entry.checksum {
            return Err(self.damaged("chunk", entry.offset));
        }
        self.stored(entry, entry.stored_len).ok_or_else(outside)
    }

    fn stored(&self, entry: &TableEntry, len: u64) -> Option<&[u8]> {
        self.mapping.get(usize::try_from(entry.offset).ok()?..)?.get(..usize::try_from(len).ok()?)
    }

    /// Expands a compressed chunk's proven bytes.
    pub(super) fn expand(&self, entry: &TableEntry, stored: &[u8]) -> Result<AlignedVec<VALUE_ALIGN>, FormatError> {
        let wrong = || self.malformed("a chunk does not expand to its length", entry.offset);
        let len = usize::try_from(entry.logical_len).map_err(|_| wrong())?;
        let mut expanded = AlignedVec::with_capacity(len);
        expanded.resize(len, 0);
        let written = zstd::bulk::decompress_to_buffer(stored, expanded.as_mut_slice()).map_err(|_| wrong())?;
        if written == len { Ok(expanded) } else { Err(wrong()) }
    }

    /// Checks that a chunk is what its place says.
    pub(super) fn check_kind(&self, entry: &TableEntry, kind: ChunkKind, component: u32) -> Result<(), FormatError> {
        if entry.kind != kind || entry.component != component {
            return Err(self.malformed("a chunk is not what its place says", entry.offset));
        }
        Ok(())
    }

    /// The logical bytes of a chunk and how many entries they hold; proven, validated and expanded at the first touch.
    fn chunk(&self, chunk: u32, kind: ChunkKind, component: u32) -> Result<(&[u8], u32), FormatError> {
        let state = self.page_state(chunk)?;
        let entry = self.table_entry(chunk)?;
        self.check_kind(&entry, kind, component)?;
        let slot = chunk as usize % TABLE_FANOUT;
        let (word, bit) = (&state.proven[slot / 64], 1 << (slot % 64));
        // Relaxed: the bit publishes nothing; the bytes that it speaks of never change, and the expanded ones have a cell of their own.
        let proven = word.load(Ordering::Relaxed) & bit != 0;
        let outside = || self.malformed("a chunk lies outside the file's chunks", entry.offset);
        let stored = match proven {
            true => self.stored(&entry, entry.stored_len).ok_or_else(outside)?,
            false => self.prove_chunk(&entry)?,
        };
        let bytes = match entry.codec {
            StoredCodec::Raw => stored,
            StoredCodec::Zstd => {
                let cells = state.expanded.get_or_init(|| (0..TABLE_FANOUT).map(|_| OnceLock::new()).collect());
                match cells[slot].get() {
                    Some(expanded) => expanded,
                    None => {
                        let expanded = self.expand(&entry, stored)?;
                        cells[slot].get_or_init(|| expanded)
                    }
                }
            }
        };
        if !proven {
            self.validate(&entry, bytes)?;
            // Relaxed: as above.
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok((bytes, entry.entries))
    }

    /// Checks the inner order of a chunk whose bytes were proven.
    pub(super) fn validate<'a>(&self, entry: &TableEntry, bytes: &'a [u8]) -> Result<Chunk<'a>, FormatError> {
        match entry.kind {
            ChunkKind::Data => Chunk::validate(bytes, entry.entries).map_err(|what| self.malformed(what, entry.offset)),
            ChunkKind::Directory if bytes.len() == PAGE_WORDS * 8 => Ok(Chunk::validated(bytes, 0)),
            ChunkKind::Directory => Err(self.malformed("a page of a directory is not a page", entry.offset)),
        }
    }
}

/// Reads and proves what frames a file: its first and last pages, its component list and its root array.
pub(super) fn read_frame(
    name: &str,
    bytes: &[u8],
) -> Result<(SnapshotHeader, Footer, Vec<PlacedComponent>), FormatError> {
    let truncated =
        || FormatError::Truncated { file: name.to_owned(), expected: 2 * PAGE_BYTES, found: bytes.len() as u64 };
    let (header, checksum) = SnapshotHeader::decode(name, array_at(bytes, 0).ok_or_else(truncated)?)?;
    let footer = Footer::decode(name, bytes)?;
    let sections = footer.sections().ok_or_else(truncated)?;
    if footer.header_checksum != checksum {
        let what = "the first and the last page are not of the same file";
        return Err(FormatError::Malformed { file: name.to_owned(), what, offset: sections.footer });
    }
    // The sections fill the file, so these ranges lie in it.
    let range = |from: u64, to: u64| bytes.get(from as usize..to as usize).unwrap_or_default();
    for (what, from, to, checksum) in [
        ("component list", footer.list_offset, sections.table, footer.list_checksum),
        ("root array", sections.root, sections.footer, footer.root_checksum),
    ] {
        if crc32c::crc32c(range(from, to)) != checksum {
            return Err(FormatError::Checksum { file: name.to_owned(), what, offset: from });
        }
    }
    let list = range(footer.list_offset, footer.list_offset + footer.list_len);
    let components = decode_list(list, footer.components, footer.chunks);
    let offset = footer.list_offset;
    let components = components.map_err(|what| FormatError::Malformed { file: name.to_owned(), what, offset })?;
    Ok((header, footer, components))
}

impl fmt::Debug for SnapshotFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotFile")
            .field("name", &self.name)
            .field("header", &self.header)
            .field("components", &self.components)
            .finish_non_exhaustive()
    }
}

/// One component of a snapshot file.
#[derive(Clone, Copy, Debug)]
pub struct Component<'a> {
    file: &'a SnapshotFile,
    placed: &'a PlacedComponent,
}

impl<'a> Component<'a> {
    /// What it is.
    pub fn record(&self) -> &'a ComponentRecord {
        &self.placed.record
    }

    /// How many entries it has.
    pub fn len(&self) -> u64 {
        self.placed.entries
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.placed.entries == 0
    }

    /// How many data chunks it has: numbers below this are good for [`chunk`](Self::chunk).
    pub fn chunk_count(&self) -> u32 {
        self.placed.chunks
    }

    /// The data chunk with this number; proven when first touched.
    ///
    /// # Errors
    /// [`FormatError::Checksum`] and others if it is damaged, each time that it is asked for; [`FormatError::OutOfOrder`] for a
    /// number from [`chunk_count`](Self::chunk_count) on.
    pub fn chunk(&self, number: u32) -> Result<Chunk<'a>, FormatError> {
        if number >= self.placed.chunks {
            return Err(FormatError::OutOfOrder { what: "a chunk was asked for that the component does not have" });
        }
        let chunk = self.placed.first_chunk + number;
        let (bytes, entries) = self.file.chunk(chunk, ChunkKind::Data, self.placed.record.id)?;
        Ok(Chunk::validated(bytes, entries))
    }

    /// Finds the entries with this hash: nearly always none or one. The caller compares their keys.
    ///
    /// # Cost
    /// One page of the directory and one chunk; a second one of either rarely.
    ///
    /// # Errors
    /// The iterator ends with an error where it meets damage.
    pub fn find(&self, hash: u64) -> Found<'a> {
        Found::new(*self, hash)
    }

    pub(super) fn buckets(&self) -> u64 {
        self.placed.buckets
    }

    pub(super) fn words(&self) -> u64 {
        self.placed.words
    }

    pub(super) fn placed(&self) -> &'a PlacedComponent {
        self.placed
    }

    pub(super) fn directory_page(&self, page: u64) -> Result<&'a [u8], FormatError> {
        // Below `pages`, which is 32 bits wide: the number of words was checked against it.
        let chunk = self.placed.first_page + page as u32;
        Ok(self.file.chunk(chunk, ChunkKind::Directory, self.placed.record.id)?.0)
    }

    /// The entry that a word of the directory names, and its hash.
    pub(super) fn resolve(&self, word: Word) -> Result<(EntryPosition, u64), FormatError> {
        let offset = self.file.table_entry(self.placed.first_page)?.offset;
        let wrong = || self.file.malformed("a directory names an entry that does not exist", offset);
        let position = word.position().filter(|position| position.chunk < self.placed.chunks).ok_or_else(wrong)?;
        let hash = self.chunk(position.chunk)?.hash(position.index).ok_or_else(wrong)?;
        Ok((position, hash))
    }
}
