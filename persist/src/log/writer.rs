//! Appends frames to the log, and begins new segments.

use std::sync::Arc;

use super::frame::Frame;
use super::open_segment::{OpenSegment, cut, remove_if_present, sync_directory};
use super::options::LogOptions;
use super::position::{ClosedSegment, NextFrame};
use super::scan::LogTail;
use crate::format::component::ComponentRecord;
use crate::format::log::{
    BLOCK_ALIGN, BlockHeader, BlockKind, CommitInfo, MAX_BLOCK, RecordHeader, RecordKind, Seal, block, chain,
    is_zero_step,
};
use crate::format::{FormatError, MAX_VALUE_LEN, PAGE, PAGE_BYTES, VALUE_ALIGN, ZEROS, check_len, names, padding};
use crate::medium::Medium;

/// A log does not go on from larger numbers: no store gets there, and counting up from here needs no checks.
const NUMBER_LIMIT: u64 = 1 << 62;

/// The zero step of a segment that gets few frames: one that is begun for the seal, or to go on after a crash.
const SHORT_ZERO_STEP: u32 = 64 * 1024;

/// What a frame is committed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The store's incarnation.
    pub incarnation: u32,
    /// The tick of the cut.
    pub cut_tick: u64,
    /// Ticks up to here may have been given out.
    pub tick_reserve: u64,
    /// The time, in nanoseconds since 1970.
    pub wall_clock: u64,
}

/// A frame that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameInfo {
    /// Its number.
    pub frame: u64,
    /// The segment that it is in.
    pub segment: u64,
    /// Where it starts there.
    pub offset: u64,
    /// How many bytes it takes there.
    pub bytes: u64,
    /// How many records it has.
    pub records: u64,
    /// The checksum of its commit block.
    pub commit_checksum: u32,
}

/// Writes the log.
///
/// Records go into the open frame, which [`commit`](Self::commit) makes durable as a whole. A medium's failure is final: what was
/// written since the last commit may or may not be on disk, no later sync could tell, and so every later call returns the same
/// error. Whoever wants to go on opens the directory again.
///
/// # Cost
/// Memory: one block. A frame is written as it grows.
#[derive(Debug)]
pub struct LogWriter {
    medium: Arc<dyn Medium>,
    options: LogOptions,
    current: OpenSegment,
    open: Option<OpenFrame>,
    /// The open block: room for its header, then its payload.
    buffer: Vec<u8>,
    next: NextFrame,
    /// Whether the next frame begins a new segment.
    rolls_next: bool,
    failed: Option<FormatError>,
}

/// The frame that records go into.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    /// Where the next block goes.
    position: u64,
    blocks: u32,
    chain: u32,
    records: u64,
    payload_len: u64,
}

impl LogWriter {
    /// Begins a log, or continues one whose frames are all durable, with a new segment where the options say.
    ///
    /// # Errors
    /// [`FormatError::OutOfOrder`] for numbers that contradict each other; [`FormatError::Io`] if the segment exists
    /// already or the medium fails.
    pub fn create(medium: Arc<dyn Medium>, options: LogOptions) -> Result<Self, FormatError> {
        Self::begin(medium, options, &[])
    }

    /// Continues a log after a scan, with a new segment that opens with the frames that nothing vouched for.
    ///
    /// The segment gets its name when these frames are durable in it, so a crash on the way changes nothing. What the
    /// scan said of numbers and segments replaces what the options say. Keep a torn tail's bytes aside before: they are
    /// void afterwards.
    ///
    /// It has room for these frames and little more: whoever opens a directory waits for it. [`roll_later`](Self::roll_later) leaves
    /// making the next one to the next frame.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn resume(medium: Arc<dyn Medium>, options: LogOptions, tail: &LogTail) -> Result<Self, FormatError> {
        let unvouched: Vec<_> = tail.unvouched().collect();
        let zero_step = options.zero_step;
        let bytes: u64 = unvouched.iter().map(|frame| frame.info().payload_len + 2 * PAGE_BYTES).sum();
        let short = bytes.saturating_add(u64::from(SHORT_ZERO_STEP)).checked_next_power_of_two();
        let short = short.and_then(|step| u32::try_from(step).ok()).map_or(zero_step, |step| step.min(zero_step));
        let options = LogOptions { next: tail.next, closed: tail.segments.clone(), zero_step: short, ..options };
        let mut this = Self::begin(medium, options, &unvouched)?;
        this.options.zero_step = zero_step;
        if let Some(last) = tail.segments.last().filter(|_| !tail.sealed) {
            let name = names::log_name(last.segment);
            let old = this.medium.open(&name).map_err(FormatError::io("open", &name))?;
            cut(&*old, &name, tail.frames_end)?;
        }
        Ok(this)
    }

    fn begin(medium: Arc<dyn Medium>, options: LogOptions, repeated: &[&Frame]) -> Result<Self, FormatError> {
        let next = options.next;
        if next.frame == 0 || !is_zero_step(options.zero_step) {
            return Err(FormatError::OutOfOrder { what: "a log was created with numbers that contradict each other" });
        }
        for (what, found) in [("a frame's number", next.frame), ("a segment's number", next.segment)] {
            if found >= NUMBER_LIMIT {
                return Err(FormatError::TooLarge { what, found, limit: NUMBER_LIMIT });
            }
        }
        let current = OpenSegment::create(&*medium, &options, next, repeated.len() as u64)?;
        let next = NextFrame { segment: next.segment.saturating_add(1), ..next };
        let buffer = Vec::with_capacity(block::SIZE + MAX_BLOCK + PAGE);
        let mut this = Self { medium, options, current, open: None, buffer, next, rolls_next: false, failed: None };
        for frame in repeated {
            this.repeat(frame)?;
        }
        // A repeated frame never was in a segment that gets no more frames: the number of the last one stays below.
        let first = this.current.header.first_frame;
        this.options.closed.iter_mut().for_each(|closed| closed.last_frame = closed.last_frame.min(first - 1));
        this.current.publish(&*this.medium)?;
        Ok(this)
    }

    /// Writes a frame again, under its number.
    fn repeat(&mut self, frame: &Frame) -> Result<(), FormatError> {
        let CommitInfo { incarnation, cut_tick, tick_reserve, wall_clock, .. } = *frame.info();
        let mut open = self.open_frame()?;
        self.append(&mut open, frame.payload())?;
        open.records = frame.info().records;
        self.open = Some(open);
        self.end_frame(Commit { incarnation, cut_tick, tick_reserve, wall_clock }, false).map(drop)
    }

    /// Says what a component's number stands for, in the open frame.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`], and nothing changed; [`FormatError::Io`], which is final.
    pub fn define(&mut self, component: &ComponentRecord) -> Result<(), FormatError> {
        component.check()?;
        let ComponentRecord { id, name, key_schema, value_schema } = component;
        self.record(RecordKind::Define, *id, 0, [name.as_bytes(), key_schema.as_bytes(), value_schema.as_bytes()])
    }

    /// Adds a key and its value to the open frame.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`], and nothing changed; [`FormatError::Io`], which is final.
    pub fn put(&mut self, component: u32, version: u64, key: &[u8], value: &[u8]) -> Result<(), FormatError> {
        check_len("a key", key.len(), MAX_VALUE_LEN)?;
        check_len("a value", value.len(), MAX_VALUE_LEN)?;
        self.record(RecordKind::Put, component, version, [key, value, &[]])
    }

    /// Adds a key's removal to the open frame.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`], and nothing changed; [`FormatError::Io`], which is final.
    pub fn remove(&mut self, component: u32, version: u64, key: &[u8]) -> Result<(), FormatError> {
        check_len("a key", key.len(), MAX_VALUE_LEN)?;
        self.record(RecordKind::Remove, component, version, [key, &[], &[]])
    }

    /// Says in the open frame that a component is gone, whose number was defined before.
    ///
    /// # Errors
    /// [`FormatError::Io`], which is final.
    pub fn drop_component(&mut self, component: u32) -> Result<(), FormatError> {
        self.record(RecordKind::Drop, component, 0, [&[], &[], &[]])
    }

    /// Ends the open frame and makes it durable; a frame without records is one too.
    ///
    /// # Errors
    /// [`FormatError::Io`], which is final: the frame may or may not be there when the log is read.
    pub fn commit(&mut self, commit: Commit) -> Result<FrameInfo, FormatError> {
        self.guarded(|this| this.end_frame(commit, false))
    }

    /// Drops what the open frame has; its number is used again.
    ///
    /// # Errors
    /// [`FormatError::Io`] if an earlier call failed with it.
    pub fn abort(&mut self) -> Result<(), FormatError> {
        self.guarded(|this| {
            this.open = None;
            this.buffer.clear();
            Ok(())
        })
    }

    /// Ends the open frame, and the log with it: whoever reads it knows that it is whole, and takes any damage for what it is.
    ///
    /// # Errors
    /// [`FormatError::Io`]: the frame may or may not be there when the log is read.
    pub fn seal(mut self, commit: Commit) -> Result<FrameInfo, FormatError> {
        self.guarded(|this| {
            let info = this.end_frame(commit, true)?;
            let seal = Seal { frame: info.frame, frames_end: this.current.end, commit: info.commit_checksum };
            this.current.seal(&seal)?;
            Ok(info)
        })
    }

    /// Begins a new segment, if the current one has any frame. Frames do so by themselves where the segment is long enough.
    ///
    /// # Errors
    /// [`FormatError::OutOfOrder`] while a frame is open, and nothing changed; [`FormatError::Io`], which is final.
    pub fn roll(&mut self) -> Result<(), FormatError> {
        if self.open.is_some() {
            return Err(FormatError::OutOfOrder { what: "a segment was to be closed while a frame was open" });
        }
        self.guarded(Self::begin_segment)
    }

    /// Has the next frame begin a new segment, whatever the length of the current one.
    pub fn roll_later(&mut self) {
        self.rolls_next = true;
    }

    /// Begins a short segment for the [seal](Self::seal), if the current one has any frame.
    ///
    /// A sealed segment that is longer than its zero step can be cut at a whole step, and then looks like one that a crash has ended.
    /// One that another follows can't be cut, and one this short has nothing beyond its first step.
    ///
    /// # Errors
    /// As for [`roll`](Self::roll).
    pub fn roll_to_seal(&mut self) -> Result<(), FormatError> {
        self.options.zero_step = self.options.zero_step.min(SHORT_ZERO_STEP);
        self.roll()
    }

    /// The segments that get no more frames, oldest first.
    pub fn closed(&self) -> &[ClosedSegment] {
        &self.options.closed
    }

    /// Removes closed segments that hold no frame after `frame`, because a snapshot file has them all. Files that are gone already do
    /// not matter. Returns how many it removed.
    ///
    /// # Errors
    /// [`FormatError::Io`]; unlike elsewhere it is not final, and the call may be repeated.
    pub fn remove_covered(&mut self, frame: u64) -> Result<usize, FormatError> {
        let covered = self.options.closed.iter().take_while(|closed| closed.last_frame <= frame).count();
        for closed in &self.options.closed[..covered] {
            remove_if_present(&*self.medium, &names::log_name(closed.segment))?;
        }
        if covered > 0 {
            sync_directory(&*self.medium)?;
            self.options.closed.drain(..covered);
        }
        Ok(covered)
    }

    /// The number of the open frame, or of the next one.
    pub fn frame(&self) -> u64 {
        self.next.frame
    }

    /// The last frame that is durable.
    pub fn durable_through(&self) -> u64 {
        self.next.frame - 1
    }

    /// The number of the segment that is written.
    pub fn segment(&self) -> u64 {
        self.current.header.segment
    }

    /// How many bytes of records the open frame has.
    pub fn open_bytes(&self) -> u64 {
        self.open.map_or(0, |open| open.payload_len)
    }

    /// The failure that ended the log, if one did.
    pub fn failed(&self) -> Option<&FormatError> {
        self.failed.as_ref()
    }

    /// Runs a step, and makes its failure final.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, FormatError>) -> Result<T, FormatError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        step(self).inspect_err(|error| self.failed = Some(error.clone()))
    }

    /// The lengths of the parts were checked.
    fn record(&mut self, kind: RecordKind, component: u32, version: u64, parts: [&[u8]; 3]) -> Result<(), FormatError> {
        self.guarded(|this| {
            let lens = parts.map(|part| part.len() as u32);
            let mut open = this.open_frame()?;
            this.append(&mut open, &RecordHeader { kind, component, version, lens }.encode())?;
            for part in parts {
                this.append(&mut open, part)?;
                this.append(&mut open, &ZEROS[..padding(part.len(), VALUE_ALIGN)])?;
            }
            open.records += 1;
            this.open = Some(open);
            Ok(())
        })
    }

    /// The open frame; begins one, in a new segment if the current one is long enough.
    fn open_frame(&mut self) -> Result<OpenFrame, FormatError> {
        if let Some(open) = self.open {
            return Ok(open);
        }
        let is_full = self.current.end >= self.options.segment_bytes;
        if self.current.is_named && (is_full || std::mem::take(&mut self.rolls_next)) {
            self.begin_segment()?;
        }
        self.buffer.clear();
        self.buffer.resize(block::SIZE, 0);
        Ok(OpenFrame { position: self.current.end, blocks: 0, chain: 0, records: 0, payload_len: 0 })
    }

    /// Appends to the frame's payload; writes a block whenever one is full.
    fn append(&mut self, open: &mut OpenFrame, mut bytes: &[u8]) -> Result<(), FormatError> {
        open.payload_len += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = block::SIZE + MAX_BLOCK - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if now.len() == room {
                self.close_data_block(open)?;
                self.write_buffer(open)?;
                self.buffer.resize(block::SIZE, 0);
            }
        }
        Ok(())
    }

    /// Closes the block that the buffer holds.
    fn close_data_block(&mut self, open: &mut OpenFrame) -> Result<(), FormatError> {
        let index = open.blocks;
        open.blocks = index.checked_add(1).ok_or(FormatError::TooLarge {
            what: "a frame",
            found: open.payload_len,
            limit: u64::from(u32::MAX) * MAX_BLOCK as u64,
        })?;
        open.chain = chain(open.chain, self.close_block(0, BlockKind::Data, index));
        Ok(())
    }

    /// Closes the block that starts at `start` in the buffer; returns its checksum.
    fn close_block(&mut self, start: usize, kind: BlockKind, index: u32) -> u32 {
        let payload_len = (self.buffer.len() - start - block::SIZE) as u32;
        self.buffer.extend_from_slice(&ZEROS[..padding(self.buffer.len(), BLOCK_ALIGN)]);
        let frame = self.next.frame;
        let header = BlockHeader { kind, payload_len, frame, durable_through: frame - 1, index };
        header.close(&mut self.buffer[start..], self.current.seed)
    }

    /// Writes the buffer and empties it.
    fn write_buffer(&mut self, open: &mut OpenFrame) -> Result<(), FormatError> {
        let end = open.position + self.buffer.len() as u64;
        self.current.zero_to(end)?;
        self.current.write(&self.buffer, open.position)?;
        self.buffer.clear();
        open.position = end;
        Ok(())
    }

    fn end_frame(&mut self, commit: Commit, sealed: bool) -> Result<FrameInfo, FormatError> {
        let mut open = self.open_frame()?;
        if self.buffer.len() > block::SIZE {
            self.close_data_block(&mut open)?;
        } else {
            self.buffer.clear();
        }
        let info = CommitInfo {
            frame: self.next.frame,
            blocks: open.blocks,
            records: open.records,
            payload_len: open.payload_len,
            chain: open.chain,
            previous_commit: self.next.previous_commit,
            incarnation: commit.incarnation,
            cut_tick: commit.cut_tick,
            previous_cut: self.next.previous_cut,
            tick_reserve: commit.tick_reserve,
            wall_clock: commit.wall_clock,
            sealed,
        };
        let start = self.buffer.len();
        self.buffer.resize(start + block::SIZE, 0);
        self.buffer.extend_from_slice(&info.encode());
        let commit_checksum = self.close_block(start, BlockKind::Commit, open.blocks);
        let end = open.position as usize + self.buffer.len();
        self.buffer.extend_from_slice(&ZEROS[..padding(end, PAGE)]);
        self.write_buffer(&mut open)?;
        self.current.sync()?;

        let offset = std::mem::replace(&mut self.current.end, open.position);
        self.open = None;
        self.next.previous_commit = commit_checksum;
        self.next.previous_cut = commit.cut_tick;

        self.next.frame += 1;
        Ok(FrameInfo {
            frame: info.frame,
            segment: self.current.header.segment,
            offset,
            bytes: open.position - offset,
            records: info.records,
            commit_checksum,
        })
    }

    /// Closes the current segment, whose frames are all durable, and begins the next one.
    fn begin_segment(&mut self) -> Result<(), FormatError> {
        if self.next.frame == self.current.header.first_frame {
            return Ok(());
        }
        let mut next = OpenSegment::create(&*self.medium, &self.options, self.next, 0)?;
        next.publish(&*self.medium)?;
        let old = std::mem::replace(&mut self.current, next);
        self.options.closed.push(ClosedSegment { segment: old.header.segment, last_frame: self.next.frame - 1 });
        self.next.segment += 1;
        cut(&*old.file, &old.name, old.end)
    }
}
