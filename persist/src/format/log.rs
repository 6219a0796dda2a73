//! The layout of a log segment.
//!
//! ```text
//! 0       header      one page, checksum at its end
//! 4096    frames      each starts at a page: data blocks, then one commit block; zeros up to the next page
//!         zeros       written ahead, to a multiple of the header's zero step
//!         seal        one page, the file's last, in a log that was closed; the file ends with it
//! ```
//!
//! A *frame* is a stream of records, cut into *blocks* of at most 256 KiB; it counts only with its commit block, and never
//! crosses segments. A block is a 64-byte header, its payload, and zeros up to a multiple of 64; its checksum covers all of these, and
//! starts from a seed made of the segment's salt, number and store, so that a block that was left by something else never counts. Frames start at pages,
//! so that no write touches a page that holds a frame that was acknowledged: a torn write spoils only what nobody waits for.
//!
//! A record defines a component, says what a key of it has or that it has none, or says that the component was dropped: then what the snapshot file
//! and the frames before hold of it is void, its name is free, and a later frame may define its number again.
//!
//! # Torn or damaged
//! Four rules let a reader tell a write that never completed from damage:
//!
//! 1. A segment is made under a temporary name and renamed when it is durable, so a named segment has a good header.
//! 2. Every block says up to which frame the log was known to be durable when it was written. A bad frame up to there is damage.
//! 3. A segment is begun only when all frames before its first one are durable. A bad frame before it is damage.
//!    Recovery repeats the frames that nothing vouches for at the front of a new segment, under their numbers, before it
//!    gets its name: what the segments before have from its first frame on is void.
//! 4. The file's length is a multiple of the zero step whenever a frame is written, and the zeros are durable before a frame is written
//!    into them. So a last segment that has frames beyond its last whole step was cut: by sealing, which leaves a seal; because
//!    another segment followed, which is missing; or by damage. (A segment whose frames end at a multiple of two pages gets 16 bytes
//!    behind them when it is cut, so that it has something beyond.)
//!
//! A log is sealed in three steps, each durable before the next: a commit block that says so, the seal page, the cut to the exact
//! length. A seal is proof that all before it is durable.

use super::layout::{array_at, close_page, layout, page_checksum};
use super::snapshot::check_first_page;
use super::{FORMAT_VERSION, FormatError, PAGE, PAGE_BYTES, VALUE_FORMAT, align_up};

/// Opens a log segment.
pub const LOG_MAGIC: [u8; 16] = *b"\x89STILLSLOG\r\n\x1a\n\0\xff";

/// Opens the last page of a sealed log.
pub const SEAL_MAGIC: [u8; 16] = *b"\x89STILLSEAL\r\n\x1a\n\0\xff";

/// Opens a block.
pub const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"\x8ablk");

/// A block's payload is at most this long.
pub const MAX_BLOCK: usize = 256 * 1024;

/// Blocks start at multiples of this.
pub const BLOCK_ALIGN: usize = 64;

layout! {
    /// The first page. What precedes `SEGMENT` lies as in a snapshot file's header.
    mod segment: crate::format::PAGE => {
        MAGIC: 16, VERSION: 4, ZERO_STEP: 4, RESERVED: 8, VALUE_FORMAT: 16, STORE: 16, SEGMENT: 8, SALT: 8, FIRST_FRAME: 8,
        DURABLE_THROUGH: 8,
    }
}

layout! {
    /// What a block starts with. The checksum is of all bytes after it, to the block's end.
    mod block: 64 => {
        MAGIC: 4, CHECKSUM: 4, KIND: 1, RESERVED: 3, PAYLOAD_LEN: 4, FRAME: 8, DURABLE_THROUGH: 8, INDEX: 4, RESERVED_2: 4,
        RESERVED_3: 8, RESERVED_4: 16,
    }
}

layout! {
    /// The payload of a commit block.
    mod commit: 88 => {
        FRAME: 8, BLOCKS: 4, CHAIN: 4, RECORDS: 8, PAYLOAD_LEN: 8, PREVIOUS_COMMIT: 4, INCARNATION: 4, CUT_TICK: 8,
        PREVIOUS_CUT: 8, TICK_RESERVE: 8, WALL_CLOCK: 8, SEALED: 4, RESERVED: 4, RESERVED_2: 8,
    }
}

layout! {
    /// What a record starts with; its three parts follow, each with zeros up to a multiple of 16.
    mod record: 32 => { KIND: 1, RESERVED: 3, COMPONENT: 4, VERSION: 8, LEN_0: 4, LEN_1: 4, LEN_2: 4, RESERVED_2: 4, }
}

layout! {
    /// The last page of a sealed log.
    mod seal: crate::format::PAGE => { MAGIC: 16, FRAME: 8, FRAMES_END: 8, COMMIT: 4, RESERVED: 4, }
}

/// What a segment is: the contents of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The store that wrote it.
    pub store: u128,
    /// Its number; numbers grow.
    pub segment: u64,
    /// A random number that goes into every checksum.
    pub salt: u64,
    /// The first frame that it has or will have. What segments before it hold from there on is void.
    pub first_frame: u64,
    /// The last frame that was durable when the segment got its name: the one before its first, or, where
    /// recovery repeated frames, the last of these.
    pub durable_through: u64,
    /// The file grows by this many bytes at a time: a power of two, at least two pages.
    pub zero_step: u32,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        segment::MAGIC.put(&mut page, &LOG_MAGIC);
        segment::VERSION.put_u32(&mut page, FORMAT_VERSION);
        segment::ZERO_STEP.put_u32(&mut page, self.zero_step);
        segment::VALUE_FORMAT.put(&mut page, &VALUE_FORMAT);
        segment::STORE.put_u128(&mut page, self.store);
        segment::SEGMENT.put_u64(&mut page, self.segment);
        segment::SALT.put_u64(&mut page, self.salt);
        segment::FIRST_FRAME.put_u64(&mut page, self.first_frame);
        segment::DURABLE_THROUGH.put_u64(&mut page, self.durable_through);
        close_page(&mut page, 0);
        page
    }

    pub(crate) fn decode(file: &str, page: &[u8; PAGE]) -> Result<Self, FormatError> {
        check_first_page(file, page, &LOG_MAGIC, segment::VALUE_FORMAT.bytes(page))?;
        let this = Self {
            store: segment::STORE.u128(page),
            segment: segment::SEGMENT.u64(page),
            salt: segment::SALT.u64(page),
            first_frame: segment::FIRST_FRAME.u64(page),
            durable_through: segment::DURABLE_THROUGH.u64(page),
            zero_step: segment::ZERO_STEP.u32(page),
        };
        if !is_zero_step(this.zero_step) || this.first_frame == 0 || this.durable_through < this.first_frame - 1 {
            let what = "the header's numbers contradict each other";
            return Err(FormatError::Malformed { file: file.to_owned(), what, offset: 0 });
        }
        Ok(this)
    }

    /// What the checksums of this segment's blocks start from.
    pub(crate) fn seed(&self) -> u32 {
        let mut seed = crc32c::crc32c(&self.store.to_le_bytes());
        seed = crc32c::crc32c_append(seed, &self.segment.to_le_bytes());
        crc32c::crc32c_append(seed, &self.salt.to_le_bytes())
    }
}

/// Whether a segment may grow by this many bytes at a time.
pub(crate) fn is_zero_step(step: u32) -> bool {
    step.is_power_of_two() && step as usize >= 2 * PAGE
}

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BlockKind {
    Data = 1,
    Commit = 2,
}

/// A block's header, without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) kind: BlockKind,
    pub(crate) payload_len: u32,
    pub(crate) frame: u64,
    pub(crate) durable_through: u64,
    pub(crate) index: u32,
}

impl BlockHeader {
    /// Fills the room that was left for the header at a block's front; the block has its padding. Returns the checksum.
    pub(crate) fn close(&self, bytes: &mut [u8], seed: u32) -> u32 {
        debug_assert!(bytes.len().is_multiple_of(BLOCK_ALIGN) && bytes.len() as u64 == self.len());
        block::MAGIC.put_u32(bytes, BLOCK_MAGIC);
        block::KIND.put_u8(bytes, self.kind as u8);
        block::PAYLOAD_LEN.put_u32(bytes, self.payload_len);
        block::FRAME.put_u64(bytes, self.frame);
        block::DURABLE_THROUGH.put_u64(bytes, self.durable_through);
        block::INDEX.put_u32(bytes, self.index);
        let checksum = block_checksum(bytes, seed);
        block::CHECKSUM.put_u32(bytes, checksum);
        checksum
    }

    /// Reads a header; nothing is proven yet but that the block's length is possible.
    pub(crate) fn decode(bytes: &[u8; block::SIZE]) -> Option<(Self, u32)> {
        if block::MAGIC.u32(bytes) != BLOCK_MAGIC {
            return None;
        }
        let kind = match block::KIND.u8(bytes) {
            1 => BlockKind::Data,
            2 => BlockKind::Commit,
            _ => return None,
        };
        let this = Self {
            kind,
            payload_len: block::PAYLOAD_LEN.u32(bytes),
            frame: block::FRAME.u64(bytes),
            durable_through: block::DURABLE_THROUGH.u64(bytes),
            index: block::INDEX.u32(bytes),
        };
        (this.payload_len as usize <= MAX_BLOCK).then_some((this, block::CHECKSUM.u32(bytes)))
    }

    /// The block's length with header and padding.
    pub(crate) fn len(&self) -> u64 {
        (block::SIZE as u64 + u64::from(self.payload_len)).next_multiple_of(BLOCK_ALIGN as u64)
    }
}

/// The checksum of a whole block: of all that follows the checksum's own field.
pub(crate) fn block_checksum(bytes: &[u8], seed: u32) -> u32 {
    crc32c::crc32c_append(seed, &bytes[block::CHECKSUM.offset + block::CHECKSUM.len..])
}

/// What a frame was committed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitInfo {
    /// The frame's number.
    pub frame: u64,
    /// How many data blocks it has.
    pub blocks: u32,
    /// How many records it has.
    pub records: u64,
    /// How long its records are together.
    pub payload_len: u64,
    /// The checksums of its data blocks, folded into one.
    pub chain: u32,
    /// The checksum of the commit block of the frame before; 0 if that is not known.
    pub previous_commit: u32,
    /// The store's incarnation.
    pub incarnation: u32,
    /// The tick of the cut: the frame holds what changed up to it.
    pub cut_tick: u64,
    /// The tick of the cut before.
    pub previous_cut: u64,
    /// Ticks up to here may have been given out.
    pub tick_reserve: u64,
    /// When the frame was written, in nanoseconds since 1970.
    pub wall_clock: u64,
    /// Whether the log ends with this frame because it was closed.
    pub sealed: bool,
}

impl CommitInfo {
    pub(crate) fn encode(&self) -> [u8; commit::SIZE] {
        let mut payload = [0; commit::SIZE];
        commit::FRAME.put_u64(&mut payload, self.frame);
        commit::BLOCKS.put_u32(&mut payload, self.blocks);
        commit::CHAIN.put_u32(&mut payload, self.chain);
        commit::RECORDS.put_u64(&mut payload, self.records);
        commit::PAYLOAD_LEN.put_u64(&mut payload, self.payload_len);
        commit::PREVIOUS_COMMIT.put_u32(&mut payload, self.previous_commit);
        commit::INCARNATION.put_u32(&mut payload, self.incarnation);
        commit::CUT_TICK.put_u64(&mut payload, self.cut_tick);
        commit::PREVIOUS_CUT.put_u64(&mut payload, self.previous_cut);
        commit::TICK_RESERVE.put_u64(&mut payload, self.tick_reserve);
        commit::WALL_CLOCK.put_u64(&mut payload, self.wall_clock);
        commit::SEALED.put_u32(&mut payload, u32::from(self.sealed));
        payload
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let payload: &[u8; commit::SIZE] = payload.try_into().ok()?;
        Some(Self {
            frame: commit::FRAME.u64(payload),
            blocks: commit::BLOCKS.u32(payload),
            chain: commit::CHAIN.u32(payload),
            records: commit::RECORDS.u64(payload),
            payload_len: commit::PAYLOAD_LEN.u64(payload),
            previous_commit: commit::PREVIOUS_COMMIT.u32(payload),
            incarnation: commit::INCARNATION.u32(payload),
            cut_tick: commit::CUT_TICK.u64(payload),
            previous_cut: commit::PREVIOUS_CUT.u64(payload),
            tick_reserve: commit::TICK_RESERVE.u64(payload),
            wall_clock: commit::WALL_CLOCK.u64(payload),
            sealed: commit::SEALED.u32(payload) == 1,
        })
    }
}

/// Folds a data block's checksum into its frame's.
pub(crate) fn chain(before: u32, block: u32) -> u32 {
    crc32c::crc32c_append(before, &block.to_le_bytes())
}

/// The contents of a sealed log's last page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) frame: u64,
    pub(crate) frames_end: u64,
    pub(crate) commit: u32,
}

impl Seal {
    pub(crate) fn encode(&self, seed: u32) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        seal::MAGIC.put(&mut page, &SEAL_MAGIC);
        seal::FRAME.put_u64(&mut page, self.frame);
        seal::FRAMES_END.put_u64(&mut page, self.frames_end);
        seal::COMMIT.put_u32(&mut page, self.commit);
        close_page(&mut page, seed);
        page
    }

    pub(crate) fn decode(page: &[u8; PAGE], seed: u32) -> Option<Self> {
        if seal::MAGIC.bytes(page) != SEAL_MAGIC {
            return None;
        }
        page_checksum(page, seed)?;
        Some(Self {
            frame: seal::FRAME.u64(page),
            frames_end: seal::FRAMES_END.u64(page),
            commit: seal::COMMIT.u32(page),
        })
    }

    /// Where the seal goes in a segment whose frames end at `frames_end`: at the next page, or one further where the file would end at a
    /// whole zero step, as one that was not sealed does. `None` beyond 64 bits.
    pub(crate) fn offset(frames_end: u64, zero_step: u32) -> Option<u64> {
        let offset = align_up(frames_end, PAGE_BYTES)?;
        let end = offset.checked_add(PAGE_BYTES)?;
        if end.is_multiple_of(u64::from(zero_step)) { Some(end) } else { Some(offset) }
    }
}

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordKind {
    Define = 1,
    Put = 2,
    Remove = 3,
    Drop = 4,
}

/// Where a record's parts lie in a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: RecordKind,
    pub(crate) component: u32,
    pub(crate) version: u64,
    pub(crate) lens: [u32; 3],
}

impl RecordHeader {
    pub(crate) fn encode(&self) -> [u8; record::SIZE] {
        let mut bytes = [0; record::SIZE];
        record::KIND.put_u8(&mut bytes, self.kind as u8);
        record::COMPONENT.put_u32(&mut bytes, self.component);
        record::VERSION.put_u64(&mut bytes, self.version);
        record::LEN_0.put_u32(&mut bytes, self.lens[0]);
        record::LEN_1.put_u32(&mut bytes, self.lens[1]);
        record::LEN_2.put_u32(&mut bytes, self.lens[2]);
        bytes
    }

    pub(crate) fn decode(payload: &[u8], at: u64) -> Option<Self> {
        let bytes = array_at::<{ record::SIZE }>(payload, at)?;
        let kind = match record::KIND.u8(bytes) {
            1 => RecordKind::Define,
            2 => RecordKind::Put,
            3 => RecordKind::Remove,
            4 => RecordKind::Drop,
            _ => return None,
        };
        Some(Self {
            kind,
            component: record::COMPONENT.u32(bytes),
            version: record::VERSION.u64(bytes),
            lens: [record::LEN_0.u32(bytes), record::LEN_1.u32(bytes), record::LEN_2.u32(bytes)],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_header_survives_its_page() {
        let header =
            SegmentHeader { store: 1, segment: 2, salt: 3, first_frame: 5, durable_through: 4, zero_step: 8192 };
        let mut page = header.encode();
        assert_eq!(SegmentHeader::decode("log", &page).expect("it is whole"), header);
        segment::FIRST_FRAME.put_u64(&mut page, 0);
        close_page(&mut page, 0);
        assert!(matches!(SegmentHeader::decode("log", &page), Err(FormatError::Malformed { .. })));
    }

    #[test]
    fn the_seed_tells_stores_segments_and_salts_apart() {
        let header =
            SegmentHeader { store: 1, segment: 2, salt: 3, first_frame: 5, durable_through: 4, zero_step: 8192 };
        let others = [
            SegmentHeader { store: 9, ..header },
            SegmentHeader { segment: 9, ..header },
            SegmentHeader { salt: 9, ..header },
        ];
        assert!(others.iter().all(|other| other.seed() != header.seed()));
    }

    #[test]
    fn a_sealed_file_does_not_end_at_a_whole_step() {
        for end in [4096, 4160, 8192, 12288, 16384, 1 << 22] {
            let offset = Seal::offset(end, 16384).expect("it is small");
            assert!(offset >= end && offset - end < 3 * PAGE_BYTES && !(offset + PAGE_BYTES).is_multiple_of(16384));
        }
    }
}
