//! Reads the whole log, and decides what is torn and what is damaged.
//!
//! Segments are read in order, frame by frame. At the first place X that does not hold the frame that it must:
//!
//! - the segment is not the last: the next one was begun when all frames before its first were durable, so this is damage
//!   (or a segment is missing between the two);
//! - the log has a seal: it was whole when it was closed, so this is damage;
//! - the file was cut and has no seal (rule 4 of [`format::log`](crate::format::log)): damage;
//! - any good block after X, however far, knew the frame to be durable: damage;
//! - otherwise the frame was never acknowledged, and all from X on is a torn tail.
//!
//! The zeros after a frame are durable with it: others there are damage, where the frame is known to be durable. Damage up to
//! `after_frame`, in frames that a snapshot file has, does not matter; reading goes on at the next frame that is whole. Neither
//! depends on how the log ends: a directory that was opened is not refused once it was closed.

use super::frame::Frame;
use super::position::{ClosedSegment, NextFrame};
use super::segment::{ProvenFrame, SegmentReader};
use crate::format::log::{CommitInfo, Seal};
use crate::format::{FormatError, PAGE_BYTES, names};
use crate::medium::Medium;

/// Reads a directory's log.
#[derive(Clone, Copy, Debug)]
pub struct LogScan;

/// What a log holds after a snapshot file's last frame.
#[derive(Debug)]
pub struct LogTail {
    /// The frames, in order and without a gap.
    pub frames: Vec<Frame>,
    /// Whether the log was closed properly, so that nothing can be missing at its end.
    pub sealed: bool,
    /// What was written after the last frame and never completed.
    pub torn: Option<TornTail>,
    /// Where a new segment continues the log: after the last frame that is known to be durable.
    pub next: NextFrame,
    /// What the last frame was committed with, also if the snapshot file has it; `None` if the log has no frame.
    pub last: Option<CommitInfo>,
    /// All segments that are there; a new writer takes them as closed.
    pub segments: Vec<ClosedSegment>,
    /// Where the frames of the last segment end; 0 without one.
    pub frames_end: u64,
}

/// Bytes at the end of the last segment that are no whole frame. They were never acknowledged; keep them aside before the log
/// continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment's number.
    pub segment: u64,
    /// The segment's file.
    pub file: String,
    /// Where the bytes start.
    pub offset: u64,
    /// How many they are, without the zeros at the end.
    pub bytes: u64,
}

impl LogTail {
    /// The frames that nothing in the log vouches for: they may not be durable.
    /// [`LogWriter::resume`](super::LogWriter::resume) repeats them; nothing may count on them before it returns.
    pub fn unvouched(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(|frame| frame.info().frame >= self.next.frame)
    }
}

impl LogScan {
    /// Reads all frames after `after_frame`, which is the last one that the snapshot file has (0 without one).
    ///
    /// # Errors
    /// [`FormatError::DamagedLog`] where something is wrong with what was durable: it says up to which frame the log is good.
    /// [`FormatError::MissingFrames`] where segments are missing. Others for a header that is damaged or not of this store.
    ///
    /// # Cost
    /// Reads each segment that has a frame after `after_frame` once; memory for those frames.
    pub fn read(medium: &dyn Medium, store: u128, after_frame: u64) -> Result<LogTail, FormatError> {
        let listed = medium.list().map_err(|error| FormatError::io("list", &medium.location())(error))?;
        let mut numbers: Vec<u64> = listed.iter().filter_map(|name| names::log_segment(name)).collect();
        numbers.sort_unstable();
        let opened: Vec<_> = numbers.iter().map(|number| SegmentReader::open(medium, *number)).collect();
        for reader in opened.iter().flatten() {
            if reader.header.store != store {
                let (file, found) = (reader.name.clone(), reader.header.store);
                return Err(FormatError::OtherStore { file, expected: store, found });
            }
        }
        let needed = after_frame.saturating_add(1);
        let starts_before =
            |reader: &Result<SegmentReader, _>| reader.as_ref().is_ok_and(|reader| reader.header.first_frame <= needed);
        // All before the last segment that starts in time is covered by the snapshot file, whatever it looks like.
        let start = opened.iter().rposition(starts_before).unwrap_or(0);
        let firsts: Vec<Option<u64>> =
            opened.iter().map(|reader| reader.as_ref().ok().map(|reader| reader.header.first_frame)).collect();
        let mut readers = opened.into_iter().skip(start).collect::<Result<Vec<_>, _>>()?;

        let mut scan = Scan {
            after_frame,
            next: readers.first().map_or(needed, |reader| reader.header.first_frame),
            vouched: 0,
            frames: Vec::new(),
            last: None,
            unpadded: None,
        };
        if scan.next > needed {
            return Err(FormatError::MissingFrames { expected: needed, found: scan.next });
        }
        let limits: Vec<_> = readers.iter().map(|r| (r.header.segment, r.header.first_frame)).skip(1).collect();
        let mut end = End { frames_end: 0, sealed: false, torn: None };
        for (index, reader) in readers.iter_mut().enumerate() {
            match limits.get(index) {
                Some(limit) => scan.read_inner(reader, *limit)?,
                None => end = scan.read_last(reader)?,
            }
        }
        let closed = |(index, segment): (usize, &u64)| {
            let following = firsts[index + 1..].iter().flatten().next().copied();
            ClosedSegment { segment: *segment, last_frame: following.unwrap_or(scan.next.max(needed)) - 1 }
        };
        let segments: Vec<_> = numbers.iter().enumerate().map(closed).collect();
        // The log goes on after what is known to be durable; a new segment repeats the frames beyond.
        let durable_through = scan.vouched.max(after_frame).min(scan.next.max(needed) - 1);
        let kept = scan.frames.iter().map(|frame| (*frame.info(), frame.commit_checksum()));
        let previous = kept.chain(scan.last).find(|(info, _)| info.frame == durable_through);
        let next = NextFrame {
            segment: numbers.last().map_or(1, |last| last.saturating_add(1)),
            frame: durable_through.saturating_add(1),
            previous_commit: previous.map_or(0, |(_, checksum)| checksum),
            previous_cut: previous.map_or(0, |(info, _)| info.cut_tick),
        };
        let last = scan.last.map(|(info, _)| info);
        let End { frames_end, sealed, torn } = end;
        Ok(LogTail { frames: scan.frames, sealed, torn, next, last, segments, frames_end })
    }

    /// Whether a segment never held anything: its header is whole, and nothing follows.
    ///
    /// # Errors
    /// Whatever is wrong with the header; [`FormatError::Io`].
    pub fn is_unused(medium: &dyn Medium, segment: u64) -> Result<bool, FormatError> {
        let mut reader = SegmentReader::open(medium, segment)?;
        reader.is_zero(PAGE_BYTES, reader.len)
    }
}

/// How the last segment ends.
#[derive(Debug)]
struct End {
    frames_end: u64,
    sealed: bool,
    torn: Option<TornTail>,
}

/// A scan on its way.
#[derive(Debug)]
struct Scan {
    after_frame: u64,
    /// The next frame.
    next: u64,
    /// The last frame that anything so far knew to be durable.
    vouched: u64,
    frames: Vec<Frame>,
    /// The last frame that was met, with its commit block's checksum.
    last: Option<(CommitInfo, u32)>,
    /// Where the zeros after a frame are not zero first, and which frame that is.
    unpadded: Option<Unpadded>,
}

/// Bytes after a frame that should be zero.
#[derive(Clone, Copy, Debug)]
struct Unpadded {
    segment: u64,
    offset: u64,
    frame: u64,
}

impl Scan {
    /// Reads a segment that others follow: it must have all frames before the first of the next one.
    fn read_inner(&mut self, reader: &mut SegmentReader, next: (u64, u64)) -> Result<(), FormatError> {
        let (following, limit) = next;
        let end = self.read_frames(reader, limit)?;
        if self.next >= limit {
            return self.check_padding(limit - 1);
        }
        let segment = reader.header.segment;
        if following != segment + 1 && reader.ends_at(end)? {
            return Err(FormatError::MissingFrames { expected: self.next, found: limit });
        }
        Err(self.damaged(segment, end, limit - 1))
    }

    /// Reads the last segment, and judges how it ends.
    fn read_last(&mut self, reader: &mut SegmentReader) -> Result<End, FormatError> {
        let end = self.read_frames(reader, u64::MAX)?;
        let segment = reader.header.segment;
        if let Some((seal, offset)) = reader.seal()? {
            return self.check_seal(reader, seal, end, offset);
        }
        let rest = reader.rest(end)?;
        let last_step = reader.len - reader.len % u64::from(reader.header.zero_step);
        let cut = last_step != reader.len && (end > last_step || rest.end > last_step);
        let said_sealed = self.last.is_some_and(|(info, _)| info.sealed)
            && Seal::offset(end, reader.header.zero_step) == reader.len.checked_sub(PAGE_BYTES);
        let lacks = reader.len < u64::from(reader.header.zero_step);
        self.vouched = self.vouched.max(rest.durable_through);
        let next = self.next.max(self.after_frame.saturating_add(1));
        if cut || lacks || said_sealed || self.vouched >= next {
            return Err(self.damaged(segment, end, self.vouched.max(self.next - 1)));
        }
        self.check_padding(self.vouched)?;
        let torn = (rest.end > end).then(|| TornTail {
            segment,
            file: reader.name.clone(),
            offset: end,
            bytes: rest.end - end,
        });
        Ok(End { frames_end: end, sealed: false, torn })
    }

    /// A log with a seal is whole to the last byte, or damaged.
    fn check_seal(
        &mut self,
        reader: &mut SegmentReader,
        seal: Seal,
        end: u64,
        offset: u64,
    ) -> Result<End, FormatError> {
        let segment = reader.header.segment;
        self.check_padding(seal.frame)?;
        let fits = self.last.is_some_and(|(info, checksum)| {
            info.sealed && info.frame == seal.frame && checksum == seal.commit && seal.frames_end == end
        });
        // Whatever vouches for more than the log's last frame contradicts it.
        let fits = fits && self.vouched <= seal.frame;
        if !fits || Seal::offset(end, reader.header.zero_step) != Some(offset) || !reader.is_zero(end, offset)? {
            return Err(self.damaged(segment, end, seal.frame));
        }
        self.vouched = seal.frame;
        Ok(End { frames_end: end, sealed: true, torn: None })
    }

    /// Reads frames below `limit`, until one is not whole; returns where.
    fn read_frames(&mut self, reader: &mut SegmentReader, limit: u64) -> Result<u64, FormatError> {
        self.next = reader.header.first_frame;
        self.vouched = self.vouched.max(reader.header.durable_through);
        let mut at = PAGE_BYTES;
        while self.next < limit {
            match reader.frame(at, self.next, self.next > self.after_frame)? {
                Some(frame) => {
                    let end = frame.end;
                    self.take(reader, at, frame)?;
                    at = end;
                }
                None => match self.resume(reader, at)? {
                    Some(resumed) => at = resumed,
                    None => return Ok(at),
                },
            }
        }
        Ok(at)
    }

    /// After damage in a frame that the snapshot file has: finds the next frame to go on from.
    fn resume(&mut self, reader: &mut SegmentReader, at: u64) -> Result<Option<u64>, FormatError> {
        if self.next > self.after_frame {
            return Ok(None);
        }
        let found = reader.find_frame(at, self.next + 1..=self.after_frame.saturating_add(1))?;
        Ok(found.map(|(at, frame)| {
            self.next = frame;
            at
        }))
    }

    /// Takes a frame that is whole.
    fn take(&mut self, reader: &SegmentReader, at: u64, frame: ProvenFrame) -> Result<(), FormatError> {
        let ProvenFrame { info, commit_checksum, durable_through, payload, end, padded } = frame;
        let segment = reader.header.segment;
        let follows = match self.last {
            Some((last, checksum)) if last.frame + 1 == info.frame && info.previous_commit != 0 => {
                info.previous_commit == checksum
            }
            _ => true,
        };
        if !follows || durable_through >= info.frame {
            return Err(self.damaged(segment, at, info.frame - 1));
        }
        if info.frame > self.after_frame {
            let frame =
                Frame::validate(info, commit_checksum, segment, at, payload).ok_or_else(|| FormatError::Malformed {
                    file: reader.name.clone(),
                    what: "a frame's records make no sense",
                    offset: at,
                })?;
            self.frames.push(frame);
        }
        if !padded && info.frame > self.after_frame {
            self.unpadded.get_or_insert(Unpadded { segment, offset: end, frame: info.frame });
        }
        self.vouched = self.vouched.max(durable_through);
        self.last = Some((info, commit_checksum));
        self.next = info.frame.saturating_add(1);
        Ok(())
    }

    /// Refuses other bytes than zeros after a frame up to `durable_through`.
    fn check_padding(&self, durable_through: u64) -> Result<(), FormatError> {
        match self.unpadded {
            Some(Unpadded { segment, offset, frame }) if frame <= durable_through => {
                Err(self.damaged(segment, offset, durable_through))
            }
            _ => Ok(()),
        }
    }

    fn damaged(&self, segment: u64, offset: u64, durable_through: u64) -> FormatError {
        FormatError::DamagedLog { segment, offset, good_through: self.next - 1, durable_through }
    }
}
