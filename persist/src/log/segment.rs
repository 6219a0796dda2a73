//! Reads one segment: its header, its blocks and frames, its seal.

use rkyv::util::AlignedVec;

use crate::format::log::{
    BLOCK_ALIGN, BlockHeader, BlockKind, CommitInfo, LOG_MAGIC, Seal, SegmentHeader, block, block_checksum, chain,
};
use crate::format::{FormatError, PAGE, PAGE_BYTES, VALUE_ALIGN, align_up, names};
use crate::medium::{Medium, MediumFile};

/// How much is read at a time.
const WINDOW: u64 = 1 << 20;

/// A segment that is being read.
#[derive(Debug)]
pub(super) struct SegmentReader {
    file: Box<dyn MediumFile>,
    pub(super) name: String,
    pub(super) header: SegmentHeader,
    pub(super) len: u64,
    seed: u32,
    window: Vec<u8>,
    window_at: u64,
}

/// A frame whose checksums were proven.
#[derive(Debug)]
pub(super) struct ProvenFrame {
    pub(super) info: CommitInfo,
    pub(super) commit_checksum: u32,
    pub(super) durable_through: u64,
    /// Its payload, if that was asked for.
    pub(super) payload: AlignedVec<VALUE_ALIGN>,
    /// Where the next frame starts.
    pub(super) end: u64,
    /// Whether all bytes between the commit block and the next frame are there and zero.
    pub(super) padded: bool,
}

/// A good block: its header, checksum and payload.
type Block<'a> = (BlockHeader, u32, &'a [u8]);

/// What lies after the last good frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    /// Where the last byte that is not zero ends; the start if all are.
    pub(super) end: u64,
    /// The last frame that any good block there knew to be durable.
    pub(super) durable_through: u64,
}

impl SegmentReader {
    /// Opens a segment and reads its header.
    pub(super) fn open(medium: &dyn Medium, segment: u64) -> Result<Self, FormatError> {
        let name = names::log_name(segment);
        let file = medium.open(&name).map_err(FormatError::io("open", &name))?;
        let len = file.len().map_err(FormatError::io("read", &name))?;
        if len < PAGE_BYTES {
            return Err(FormatError::Truncated { file: name, expected: PAGE_BYTES, found: len });
        }
        let mut page = [0; PAGE];
        file.read_at(&mut page, 0).map_err(FormatError::io("read", &name))?;
        let header = SegmentHeader::decode(&name, &page)?;
        if header.segment != segment {
            return Err(FormatError::Malformed { file: name, what: "the segment has another one's name", offset: 0 });
        }
        Ok(Self { file, name, header, len, seed: header.seed(), window: Vec::new(), window_at: 0 })
    }

    /// The bytes from `offset`, if the file has so many.
    fn bytes(&mut self, offset: u64, len: u64) -> Result<Option<&[u8]>, FormatError> {
        let Some(end) = offset.checked_add(len).filter(|end| *end <= self.len) else {
            return Ok(None);
        };
        if offset < self.window_at || end > self.window_at + self.window.len() as u64 {
            let len = len.max(WINDOW).min(self.len - offset);
            self.window.resize(len as usize, 0);
            self.window_at = offset;
            if let Err(error) = self.file.read_at(&mut self.window, offset) {
                self.window.clear();
                return Err(FormatError::io("read", &self.name)(error));
            }
        }
        let start = (offset - self.window_at) as usize;
        Ok(self.window.get(start..start + len as usize))
    }

    /// The good block at `offset`, if there is one.
    fn block(&mut self, offset: u64) -> Result<Option<Block<'_>>, FormatError> {
        let seed = self.seed;
        let head = self.bytes(offset, block::SIZE as u64)?.and_then(|bytes| bytes.first_chunk());
        let Some((header, checksum)) = head.and_then(BlockHeader::decode) else {
            return Ok(None);
        };
        let bytes = self.bytes(offset, header.len())?.filter(|bytes| block_checksum(bytes, seed) == checksum);
        Ok(bytes.map(|bytes| (header, checksum, &bytes[block::SIZE..block::SIZE + header.payload_len as usize])))
    }

    /// The whole frame at `offset`, if it is this one.
    pub(super) fn frame(&mut self, offset: u64, frame: u64, keep: bool) -> Result<Option<ProvenFrame>, FormatError> {
        let mut payload = AlignedVec::new();
        let (mut at, mut folded, mut payload_len) = (offset, 0, 0_u64);
        for index in 0..=u32::MAX {
            let Some((header, checksum, bytes)) = self.block(at)? else {
                return Ok(None);
            };
            if header.frame != frame || header.index != index {
                return Ok(None);
            }
            at += header.len();
            match header.kind {
                BlockKind::Data => {
                    folded = chain(folded, checksum);
                    payload_len += bytes.len() as u64;
                    if keep {
                        payload.extend_from_slice(bytes);
                    }
                }
                BlockKind::Commit => {
                    let whole = |info: &CommitInfo| {
                        (info.frame, info.blocks, info.chain, info.payload_len) == (frame, index, folded, payload_len)
                    };
                    let Some(info) = CommitInfo::decode(bytes).filter(whole) else {
                        return Ok(None);
                    };
                    let Some(end) = align_up(at, PAGE_BYTES) else {
                        return Ok(None);
                    };
                    let padded = end <= self.len && self.is_zero(at, end)?;
                    let (commit_checksum, durable_through) = (checksum, header.durable_through);
                    return Ok(Some(ProvenFrame { info, commit_checksum, durable_through, payload, end, padded }));
                }
            }
        }
        Ok(None)
    }

    /// Whether all bytes of a range are zero; those that the file does not have count as zero.
    pub(super) fn is_zero(&mut self, from: u64, to: u64) -> Result<bool, FormatError> {
        Ok(self.last_nonzero(from, to)?.is_none())
    }

    /// Whether nothing follows but zeros, or the bytes that a cut segment may have behind its frames.
    pub(super) fn ends_at(&mut self, end: u64) -> Result<bool, FormatError> {
        let is_marked = self.len.checked_sub(end) == Some(LOG_MAGIC.len() as u64)
            && self.bytes(end, LOG_MAGIC.len() as u64)?.is_some_and(|bytes| bytes == LOG_MAGIC);
        Ok(is_marked || self.is_zero(end, self.len)?)
    }

    /// Where the last byte of a range that is not zero ends.
    fn last_nonzero(&mut self, from: u64, to: u64) -> Result<Option<u64>, FormatError> {
        let to = to.min(self.len);
        let (mut at, mut last) = (from, None);
        while at < to {
            let len = WINDOW.min(to - at);
            let bytes = self.bytes(at, len)?.unwrap_or_default();
            if let Some(index) = bytes.iter().rposition(|byte| *byte != 0) {
                last = Some(at + index as u64 + 1);
            }
            at += len;
        }
        Ok(last)
    }

    /// The seal at the file's end, and where it starts.
    pub(super) fn seal(&mut self) -> Result<Option<(Seal, u64)>, FormatError> {
        let Some(offset) = self.len.checked_sub(PAGE_BYTES).filter(|offset| *offset >= PAGE_BYTES) else {
            return Ok(None);
        };
        let seed = self.seed;
        let page = self.bytes(offset, PAGE_BYTES)?.and_then(|bytes| bytes.first_chunk());
        Ok(page.and_then(|page| Seal::decode(page, seed)).map(|seal| (seal, offset)))
    }

    /// Looks through all that lies after the last good frame, without a limit: damage may be of any length.
    pub(super) fn rest(&mut self, from: u64) -> Result<Rest, FormatError> {
        let Some(end) = self.last_nonzero(from, self.len)? else {
            return Ok(Rest { end: from, durable_through: 0 });
        };
        let (mut at, mut durable_through) = (from, 0);
        while at < end {
            match self.block(at)? {
                Some((header, ..)) => {
                    durable_through = durable_through.max(header.durable_through);
                    at += header.len();
                }
                None => at += BLOCK_ALIGN as u64,
            }
        }
        Ok(Rest { end, durable_through })
    }

    /// Finds the first page from `from` on at which a frame of those starts: `frames` are numbers.
    pub(super) fn find_frame(
        &mut self,
        from: u64,
        frames: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<(u64, u64)>, FormatError> {
        let Some(mut at) = align_up(from, PAGE_BYTES) else {
            return Ok(None);
        };
        while at < self.len {
            let starts = |(header, ..): &Block<'_>| header.index == 0 && frames.contains(&header.frame);
            if let Some((header, ..)) = self.block(at)?.filter(starts) {
                return Ok(Some((at, header.frame)));
            }
            at += PAGE_BYTES;
        }
        Ok(None)
    }
}
