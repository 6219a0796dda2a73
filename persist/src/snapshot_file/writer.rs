//! Writes a snapshot file from front to back, in one pass over the entries.

use std::collections::HashSet;
use std::fmt;

use zstd::bulk::Compressor;

use super::chunk::{ChunkBuilder, lone_record};
use super::directory::DirectoryBuilder;
use crate::format::component::{ComponentRecord, PlacedComponent};
use crate::format::snapshot::{
    CHUNK_ALIGN, ChunkKind, Footer, MAX_CHUNKS, MAX_EXPANSION, SnapshotHeader, StoredCodec, TABLE_FANOUT, TableEntry,
    table_entry,
};
use crate::format::{FormatError, PAGE, VALUE_ALIGN, ZEROS, padding};
use crate::medium::{Medium, MediumFile};

/// Writes are gathered up to this many bytes: large enough that a call's cost does not matter.
const BUFFER: usize = 256 * 1024;

/// After this many bytes what was written is made durable, so that the sync at the end is short and does not hold up the log's.
const SYNC_EVERY: u64 = 32 * 1024 * 1024;

/// How data chunks are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// As they are, to be used in place.
    #[default]
    Raw,
    /// Compressed where that makes them shorter; expanded when first touched.
    Zstd {
        /// zstd's level, 1 to 22; 0 is its default.
        level: i32,
    },
}

/// What a finished snapshot file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// The file's length.
    pub bytes: u64,
    /// Entries in all components.
    pub entries: u64,
    /// Components.
    pub components: u32,
    /// Chunks: data chunks and directory pages.
    pub chunks: u64,
}

/// Writes a snapshot file.
///
/// Create it under a temporary name; after [`finish`](Self::finish), which makes the contents durable, rename it and make the
/// directory durable. A medium's failure is final: every later call returns it, and the file is to be removed.
///
/// # Cost
/// Memory: 16 bytes for each entry of the component that is being written, 40 for each chunk of the file, and a buffer.
pub struct SnapshotFileWriter {
    output: Output,
    compressor: Option<Compressor<'static>>,
    header_checksum: u32,
    table: Vec<u8>,
    components: Vec<PlacedComponent>,
    taken: (HashSet<u32>, HashSet<String>),
    open: Option<(ComponentRecord, u32)>,
    chunk: ChunkBuilder,
    directory: DirectoryBuilder,
    failed: Option<FormatError>,
}

impl SnapshotFileWriter {
    /// Creates the file and writes its header.
    ///
    /// # Errors
    /// [`FormatError::Io`] if the name is taken or the medium fails.
    pub fn create(medium: &dyn Medium, name: &str, header: SnapshotHeader, codec: Codec) -> Result<Self, FormatError> {
        let compressor = match codec {
            Codec::Raw => None,
            Codec::Zstd { level } => Some(Compressor::new(level).map_err(FormatError::io("compress", name))?),
        };
        let file = medium.create(name).map_err(FormatError::io("create", name))?;
        let mut output =
            Output { file, name: name.to_owned(), buffer: Vec::with_capacity(BUFFER), flushed: 0, synced: 0 };
        let (page, header_checksum) = header.encode();
        output.append(&page)?;
        Ok(Self {
            output,
            compressor,
            header_checksum,
            table: Vec::new(),
            components: Vec::new(),
            taken: Default::default(),
            open: None,
            chunk: ChunkBuilder::default(),
            directory: DirectoryBuilder::default(),
            failed: None,
        })
    }

    /// Ends the component before, if any, and begins the next one.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] for a text that has no room, [`FormatError::OutOfOrder`] for a name or number that the file has
    /// already; nothing changed then. [`FormatError::Io`] is final.
    pub fn begin_component(&mut self, component: ComponentRecord) -> Result<(), FormatError> {
        component.check()?;
        if self.taken.0.contains(&component.id) || self.taken.1.contains(&component.name) {
            return Err(FormatError::OutOfOrder { what: "a component was begun twice in one snapshot file" });
        }
        self.guarded(|this| {
            this.end_component()?;
            this.taken.0.insert(component.id);
            this.taken.1.insert(component.name.clone());
            this.open = Some((component, this.chunks()));
            Ok(())
        })
    }

    /// Adds an entry to the component that was begun. Keys are unique; the caller sees to that.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] for a key or value that has no room, [`FormatError::OutOfOrder`] without a component; nothing changed
    /// then. [`FormatError::Io`] is final.
    pub fn push(&mut self, hash: u64, version: u64, key: &[u8], value: &[u8]) -> Result<(), FormatError> {
        ChunkBuilder::check(key, value)?;
        let Some((_, first)) = self.open else {
            return Err(FormatError::OutOfOrder { what: "an entry was pushed before a component was begun" });
        };
        self.guarded(|this| {
            if !this.chunk.has_room(key, value) {
                this.close_chunk()?;
            }
            let chunk = this.chunks() - first;
            if this.compressor.is_none() && ChunkBuilder::is_large(key, value) {
                this.write_lone(hash, version, key, value)?;
                this.directory.push(hash, chunk, 0);
                return Ok(());
            }
            let index = this.chunk.push(hash, version, key, value);
            this.directory.push(hash, chunk, index);
            Ok(())
        })
    }

    /// How many bytes of the file were written so far, so that a caller can pace itself.
    pub fn bytes_written(&self) -> u64 {
        self.output.position()
    }

    /// Writes what is left and makes the file durable. Its name is not yet.
    ///
    /// # Errors
    /// [`FormatError::Io`], also if an earlier call failed with it: the file is to be removed.
    pub fn finish(mut self) -> Result<SnapshotSummary, FormatError> {
        self.guarded(|this| {
            this.end_component()?;
            this.write_end()
        })
    }

    /// Runs a step, and makes its failure final.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, FormatError>) -> Result<T, FormatError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        step(self).inspect_err(|error| self.failed = Some(error.clone()))
    }

    /// How many chunks are in the table; [`add_chunk`](Self::add_chunk) keeps the count below 2³².
    fn chunks(&self) -> u32 {
        (self.table.len() / table_entry::SIZE) as u32
    }

    fn end_component(&mut self) -> Result<(), FormatError> {
        self.close_chunk()?;
        let Some((record, first_chunk)) = self.open.take() else {
            return Ok(());
        };
        let first_page = self.chunks();
        let entries = self.directory.len();
        let mut directory = std::mem::take(&mut self.directory);
        let (buckets, words) = directory
            .finish(|page| self.add_chunk(ChunkKind::Directory, StoredCodec::Raw, record.id, 0, page.len(), &[page]))?;
        let pages = self.chunks() - first_page;
        let chunks = first_page - first_chunk;
        self.components.push(PlacedComponent {
            record,
            entries,
            first_chunk,
            chunks,
            first_page,
            pages,
            buckets,
            words,
        });
        Ok(())
    }

    fn component(&self) -> u32 {
        self.open.as_ref().map_or(0, |(record, _)| record.id)
    }

    /// Writes the entries gathered so far as a chunk, compressed if that is asked for and makes it shorter.
    fn close_chunk(&mut self) -> Result<(), FormatError> {
        let entries = self.chunk.entries();
        if entries == 0 {
            return Ok(());
        }
        let component = self.component();
        let len = self.chunk.len();
        let mut chunk = std::mem::take(&mut self.chunk);
        let pieces = chunk.close();
        let compressed = match &mut self.compressor {
            None => None,
            Some(compressor) => {
                let bytes =
                    compressor.compress(&pieces.concat()).map_err(FormatError::io("compress", &self.output.name))?;
                let shorter = bytes.len() < len && len as u64 <= bytes.len() as u64 * MAX_EXPANSION;
                shorter.then_some(bytes)
            }
        };
        match compressed {
            Some(bytes) => self.add_chunk(ChunkKind::Data, StoredCodec::Zstd, component, entries, len, &[&bytes])?,
            None => self.add_chunk(ChunkKind::Data, StoredCodec::Raw, component, entries, len, &pieces)?,
        }
        chunk.clear();
        self.chunk = chunk;
        Ok(())
    }

    /// Writes a large entry as a chunk, without a copy.
    fn write_lone(&mut self, hash: u64, version: u64, key: &[u8], value: &[u8]) -> Result<(), FormatError> {
        let record = lone_record(hash, version, key, value);
        let [after_key, after_value] = [key, value].map(|bytes| &ZEROS[..padding(bytes.len(), VALUE_ALIGN)]);
        let pieces = [&record[..], key, after_key, value, after_value];
        let len = pieces.iter().map(|piece| piece.len()).sum();
        self.add_chunk(ChunkKind::Data, StoredCodec::Raw, self.component(), 1, len, &pieces)
    }

    /// Writes a chunk's bytes and zeros up to where the next one starts, and enters it in the table.
    fn add_chunk(
        &mut self,
        kind: ChunkKind,
        codec: StoredCodec,
        component: u32,
        entries: u32,
        logical_len: usize,
        pieces: &[&[u8]],
    ) -> Result<(), FormatError> {
        if u64::from(self.chunks()) + 1 >= MAX_CHUNKS {
            return Err(FormatError::TooLarge { what: "a count of chunks", found: MAX_CHUNKS, limit: MAX_CHUNKS });
        }
        let offset = self.output.position();
        let mut checksum = 0;
        for piece in pieces {
            checksum = crc32c::crc32c_append(checksum, piece);
            self.output.append(piece)?;
        }
        let stored_len = self.output.position() - offset;
        let zeros = self.output.pad_to(CHUNK_ALIGN as usize)?;
        let checksum = crc32c::crc32c_append(checksum, zeros);
        let logical_len = logical_len as u64;
        let entry = TableEntry { offset, stored_len, logical_len, codec, kind, component, entries, checksum };
        self.table.extend_from_slice(&entry.encode());
        Ok(())
    }

    /// Writes the component list, the table, the root array and the footer; makes all durable.
    fn write_end(&mut self) -> Result<SnapshotSummary, FormatError> {
        let list_offset = self.output.position();
        let mut list = Vec::new();
        self.components.iter().for_each(|component| component.encode(&mut list));
        let list_checksum = self.output.append_section(&list)?;

        let mut root = Vec::new();
        for entries in self.table.chunks(TABLE_FANOUT * table_entry::SIZE) {
            let mut page = [0; PAGE];
            page[..entries.len()].copy_from_slice(entries);
            root.extend_from_slice(&crc32c::crc32c(&page).to_le_bytes());
            self.output.append(&page)?;
        }
        let root_checksum = self.output.append_section(&root)?;

        let entries = self.components.iter().map(|component| component.entries).sum();
        let footer = Footer {
            list_offset,
            list_len: list.len() as u64,
            list_checksum,
            components: self.components.len() as u32,
            chunks: u64::from(self.chunks()),
            root_checksum,
            header_checksum: self.header_checksum,
            entries,
        };
        let limit = i64::MAX as u64;
        let too_large = FormatError::TooLarge { what: "a snapshot file", found: self.output.position(), limit };
        self.output.append(&footer.encode().ok_or(too_large)?)?;
        self.output.flush()?;
        self.output.sync()?;
        Ok(SnapshotSummary {
            bytes: self.output.position(),
            entries,
            components: footer.components,
            chunks: footer.chunks,
        })
    }
}

impl fmt::Debug for SnapshotFileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotFileWriter")
            .field("name", &self.output.name)
            .field("bytes_written", &self.bytes_written())
            .field("component", &self.open)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// A file that grows at its end, through a buffer.
struct Output {
    file: Box<dyn MediumFile>,
    name: String,
    buffer: Vec<u8>,
    flushed: u64,
    synced: u64,
}

impl Output {
    fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        if bytes.len() >= BUFFER {
            self.flush()?;
            return self.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Appends bytes and zeros up to a page; returns the checksum of both.
    fn append_section(&mut self, bytes: &[u8]) -> Result<u32, FormatError> {
        self.append(bytes)?;
        let zeros = self.pad_to(PAGE)?;
        Ok(crc32c::crc32c_append(crc32c::crc32c(bytes), zeros))
    }

    /// Appends zeros up to a multiple of `align`; returns them.
    fn pad_to(&mut self, align: usize) -> Result<&'static [u8], FormatError> {
        let zeros = &ZEROS[..(align - (self.position() % align as u64) as usize) % align];
        self.append(zeros)?;
        Ok(zeros)
    }

    fn flush(&mut self) -> Result<(), FormatError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.file.write_at(bytes, self.flushed).map_err(FormatError::io("write to", &self.name))?;
        self.flushed += bytes.len() as u64;
        if self.flushed - self.synced >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), FormatError> {
        self.file.sync().map_err(FormatError::io("sync", &self.name))?;
        self.synced = self.flushed;
        Ok(())
    }
}
