//! Checks every byte of a snapshot file.

use super::chunk::Chunk;
use super::directory::{Word, home};
use super::reader::{Component, SnapshotFile, read_frame};
use crate::format::snapshot::{ChunkKind, StoredCodec, TABLE_FANOUT, TableEntry};
use crate::format::{FormatError, PAGE_BYTES};

impl SnapshotFile {
    /// Checks every byte of the file against its checksum, that chunks lie one after the other without a gap, and that
    /// directories and chunks have the entries that the component list says, each where a look-up meets it.
    ///
    /// # Cost
    /// Reads the whole file once. Memory: 8 bytes for each entry of the largest component; compressed chunks are expanded one at a
    /// time, and nothing is remembered as proven.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self) -> Result<(), FormatError> {
        let (header, footer, _) = read_frame(self.name(), self.mapping())?;
        if header != *self.header() || footer != *self.footer() {
            return Err(self.malformed("the file has changed since it was opened", 0));
        }
        for page in 0..footer.chunks.div_ceil(TABLE_FANOUT as u64) {
            self.prove_table_page(page)?;
        }
        let mut next = PAGE_BYTES;
        for component in self.components() {
            next = self.verify_component(component, next)?;
        }
        if next != footer.list_offset {
            return Err(self.malformed("bytes between chunks belong to no chunk", next));
        }
        let entries = self.components().try_fold(0_u64, |sum, component| sum.checked_add(component.len()));
        if entries != Some(footer.entries) {
            return Err(self.malformed("the components do not add up to the file's entries", footer.list_offset));
        }
        Ok(())
    }

    /// Checks one component, whose first chunk starts at `next`; returns where its last one ends.
    fn verify_component(&self, component: Component<'_>, mut next: u64) -> Result<u64, FormatError> {
        let placed = component.placed();
        let mut hashes = Vec::new();
        let mut first_hash = Vec::new();
        for chunk in placed.first_chunk..placed.first_page {
            let entry = self.verify_entry(chunk, ChunkKind::Data, component, &mut next)?;
            first_hash.push(hashes.len());
            self.with_proven(&entry, |chunk, _| hashes.extend(chunk.entries().map(|entry| entry.hash)))?;
        }
        first_hash.push(hashes.len());
        let hash_of = |word: Word| {
            let position = word.position()?;
            let range = first_hash.get(position.chunk as usize..)?.first_chunk::<2>()?;
            hashes.get(range[0]..range[1])?.get(position.index as usize).copied()
        };
        let (mut words, mut at, mut gap) = (0_u64, 0_u64, 0_u64);
        for page in placed.first_page..placed.first_page + placed.pages {
            let entry = self.verify_entry(page, ChunkKind::Directory, component, &mut next)?;
            let met = self.with_proven(&entry, |_, bytes| {
                bytes.as_chunks::<8>().0.iter().all(|bytes| {
                    let word = Word::from_bytes(*bytes);
                    at += 1;
                    if word.is_empty() {
                        gap = at;
                        return true;
                    }
                    words += 1;
                    // Words are numbered from 1 here, so that `gap` can say that there was none.
                    hash_of(word).is_some_and(|hash| {
                        let home = home(hash, placed.buckets) + 1;
                        word.may_have(hash) && home <= at && gap < home
                    })
                })
            })?;
            if !met {
                return Err(self.malformed("a directory has an entry where no look-up meets it", entry.offset));
            }
        }
        if hashes.len() as u64 != placed.entries || words != placed.entries {
            return Err(self.malformed("a component does not have as many entries as it says", next));
        }
        Ok(next)
    }

    /// Proves a chunk, expands it if need be, and shows it.
    fn with_proven<T>(&self, entry: &TableEntry, show: impl FnOnce(Chunk<'_>, &[u8]) -> T) -> Result<T, FormatError> {
        let stored = self.prove_chunk(entry)?;
        let expanded;
        let bytes = match entry.codec {
            StoredCodec::Raw => stored,
            StoredCodec::Zstd => {
                expanded = self.expand(entry, stored)?;
                &expanded
            }
        };
        Ok(show(self.validate(entry, bytes)?, bytes))
    }

    /// Reads a chunk's table entry, and checks its place.
    fn verify_entry(
        &self,
        chunk: u32,
        kind: ChunkKind,
        component: Component<'_>,
        next: &mut u64,
    ) -> Result<TableEntry, FormatError> {
        let entry = self.table_entry(chunk)?;
        self.check_kind(&entry, kind, component.record().id)?;
        if entry.offset != *next {
            return Err(self.malformed("bytes between chunks belong to no chunk", *next));
        }
        *next = entry.end().ok_or_else(|| self.malformed("a chunk lies outside the file's chunks", entry.offset))?;
        Ok(entry)
    }
}
