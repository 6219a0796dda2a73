//! Data chunks: whole entries of one component.

use crate::format::layout::array_at;
use crate::format::snapshot::{CHUNK_TARGET, entry as fields};
use crate::format::{FormatError, MAX_VALUE_LEN, VALUE_ALIGN, ZEROS, check_len, padding};

/// A data chunk whose checksum and entry records were proven.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    bytes: &'a [u8],
    entries: u32,
}

/// One entry of a snapshot file, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The hash by which the directory finds it.
    pub hash: u64,
    /// The version that the key had.
    pub version: u64,
    /// The key's bytes, aligned to 16.
    pub key: &'a [u8],
    /// The value's bytes, aligned to 16.
    pub value: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Takes a chunk's bytes after their checksum was proven; proves that every record stays within them.
    ///
    /// The bytes start at a multiple of 16 in memory.
    pub(super) fn validate(bytes: &'a [u8], entries: u32) -> Result<Self, &'static str> {
        debug_assert!(bytes.as_ptr().addr().is_multiple_of(VALUE_ALIGN));
        let this = Self { bytes, entries };
        let records = u64::from(entries) * fields::SIZE as u64;
        if records > bytes.len() as u64 {
            return Err("a chunk has no room for its entries");
        }
        for index in 0..entries {
            let record = this.record(index).ok_or("a chunk has no room for its entries")?;
            let inside = |offset: u32, len: u32| {
                u64::from(offset) >= records
                    && (offset as usize).is_multiple_of(VALUE_ALIGN)
                    && u64::from(offset) + u64::from(len) <= bytes.len() as u64
            };
            if !inside(fields::KEY_OFFSET.u32(record), fields::KEY_LEN.u32(record))
                || !inside(fields::VALUE_OFFSET.u32(record), fields::VALUE_LEN.u32(record))
            {
                return Err("an entry lies outside its chunk");
            }
        }
        Ok(this)
    }

    /// Takes a chunk's bytes that [`validate`](Self::validate) has let pass before.
    pub(super) fn validated(bytes: &'a [u8], entries: u32) -> Self {
        Self { bytes, entries }
    }

    /// How many entries it has.
    pub fn len(&self) -> u32 {
        self.entries
    }

    /// Whether it has no entries; the writer makes no such chunks.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The entry with this index, or `None` from [`len`](Self::len) on.
    pub fn entry(&self, index: u32) -> Option<Entry<'a>> {
        let record = self.record(index)?;
        let slice = |offset: u32, len: u32| self.bytes.get(offset as usize..)?.get(..len as usize);
        Some(Entry {
            hash: fields::HASH.u64(record),
            version: fields::VERSION.u64(record),
            key: slice(fields::KEY_OFFSET.u32(record), fields::KEY_LEN.u32(record))?,
            value: slice(fields::VALUE_OFFSET.u32(record), fields::VALUE_LEN.u32(record))?,
        })
    }

    /// All entries, in the order in which they were written.
    pub fn entries(&self) -> Entries<'a> {
        Entries { chunk: *self, next: 0 }
    }

    pub(super) fn hash(&self, index: u32) -> Option<u64> {
        self.record(index).map(|record| fields::HASH.u64(record))
    }

    fn record(&self, index: u32) -> Option<&'a [u8; fields::SIZE]> {
        if index >= self.entries {
            return None;
        }
        array_at(self.bytes, u64::from(index) * fields::SIZE as u64)
    }
}

/// Iterates over a chunk's entries.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    chunk: Chunk<'a>,
    next: u32,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let entry = self.chunk.entry(self.next)?;
        self.next += 1;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.chunk.entries - self.next) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Entries<'_> {}

/// Gathers entries into a chunk.
///
/// Offsets of keys and values count from the end of the records until the chunk is closed, because the number of records is not known before.
#[derive(Debug, Default)]
pub(super) struct ChunkBuilder {
    records: Vec<u8>,
    body: Vec<u8>,
}

impl ChunkBuilder {
    /// Refuses what no chunk has room for.
    pub(super) fn check(key: &[u8], value: &[u8]) -> Result<(), FormatError> {
        check_len("a key", key.len(), MAX_VALUE_LEN)?;
        check_len("a value", value.len(), MAX_VALUE_LEN - VALUE_ALIGN as u64 * 8)
    }

    /// Whether an entry fits without passing the target.
    pub(super) fn has_room(&self, key: &[u8], value: &[u8]) -> bool {
        self.records.is_empty() || self.len() + Self::entry_len(key, value) <= CHUNK_TARGET
    }

    /// Whether an entry needs a chunk of its own.
    pub(super) fn is_large(key: &[u8], value: &[u8]) -> bool {
        Self::entry_len(key, value) > CHUNK_TARGET
    }

    fn entry_len(key: &[u8], value: &[u8]) -> usize {
        fields::SIZE + key.len() + padding(key.len(), VALUE_ALIGN) + value.len() + padding(value.len(), VALUE_ALIGN)
    }

    pub(super) fn len(&self) -> usize {
        self.records.len() + self.body.len()
    }

    pub(super) fn entries(&self) -> u32 {
        (self.records.len() / fields::SIZE) as u32
    }

    /// Adds an entry; returns its index.
    pub(super) fn push(&mut self, hash: u64, version: u64, key: &[u8], value: &[u8]) -> u32 {
        let index = self.entries();
        let key_offset = self.body.len();
        let value_offset = key_offset + key.len() + padding(key.len(), VALUE_ALIGN);
        self.records.extend_from_slice(&record(hash, version, (key_offset, key.len()), (value_offset, value.len())));
        for bytes in [key, value] {
            self.body.extend_from_slice(bytes);
            self.body.extend_from_slice(&ZEROS[..padding(bytes.len(), VALUE_ALIGN)]);
        }
        index
    }

    /// Ends the chunk: its bytes in two pieces. Call [`clear`](Self::clear) before the next one.
    pub(super) fn close(&mut self) -> [&[u8]; 2] {
        let shift = self.records.len() as u32;
        for record in self.records.chunks_exact_mut(fields::SIZE) {
            for field in [fields::KEY_OFFSET, fields::VALUE_OFFSET] {
                let offset = field.u32(record) + shift;
                field.put_u32(record, offset);
            }
        }
        [&self.records, &self.body]
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.body.clear();
    }
}

/// The record of the only entry of a chunk; its key follows at once, then its value at the next multiple of 16.
pub(super) fn lone_record(hash: u64, version: u64, key: &[u8], value: &[u8]) -> [u8; fields::SIZE] {
    let value_offset = fields::SIZE + key.len() + padding(key.len(), VALUE_ALIGN);
    record(hash, version, (fields::SIZE, key.len()), (value_offset, value.len()))
}

/// Offsets and lengths stay below 2³², as keys and values stay below 2³¹.
fn record(hash: u64, version: u64, key: (usize, usize), value: (usize, usize)) -> [u8; fields::SIZE] {
    let mut record = [0; fields::SIZE];
    fields::HASH.put_u64(&mut record, hash);
    fields::VERSION.put_u64(&mut record, version);
    fields::KEY_OFFSET.put_u32(&mut record, key.0 as u32);
    fields::KEY_LEN.put_u32(&mut record, key.1 as u32);
    fields::VALUE_OFFSET.put_u32(&mut record, value.0 as u32);
    fields::VALUE_LEN.put_u32(&mut record, value.1 as u32);
    record
}
