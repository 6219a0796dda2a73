//! The segment that is written: its zeros ahead, its name, its seal, and its end.

use std::io;

use super::options::LogOptions;
use super::position::NextFrame;

use crate::format::log::{LOG_MAGIC, Seal, SegmentHeader};
use crate::format::{FormatError, PAGE_BYTES, ZEROS, names};
use crate::medium::{Medium, MediumFile};

/// Zeros are written ahead in pieces of this size.
const ZERO_PIECE: usize = 256 * 1024;

static ZERO_BYTES: [u8; ZERO_PIECE] = [0; ZERO_PIECE];

/// The segment that is written.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) file: Box<dyn MediumFile>,
    pub(super) name: String,
    pub(super) is_named: bool,
    pub(super) header: SegmentHeader,
    pub(super) seed: u32,
    /// Where the next frame starts.
    pub(super) end: u64,
    /// Zeros are durable up to here.
    pub(super) zeroed: u64,
}

impl OpenSegment {
    /// Makes a segment with its first zeros, durable under a temporary name; `repeated` frames will follow before it
    /// gets its own.
    pub(super) fn create(
        medium: &dyn Medium,
        options: &LogOptions,
        next: NextFrame,
        repeated: u64,
    ) -> Result<Self, FormatError> {
        let name = names::log_name(next.segment);
        let listed = medium.list().map_err(|error| FormatError::io("list", &medium.location())(error))?;
        if listed.contains(&name) {
            return Err(FormatError::io("create", &name)(io::ErrorKind::AlreadyExists.into()));
        }
        let temporary = format!("{name}{}", names::TEMPORARY);
        remove_if_present(medium, &temporary)?;
        let header = SegmentHeader {
            store: options.store,
            segment: next.segment,
            salt: mix(options.salt ^ mix(next.segment)),
            first_frame: next.frame,
            durable_through: next.frame - 1 + repeated,
            zero_step: options.zero_step,
        };
        let file = medium.create(&temporary).map_err(FormatError::io("create", &temporary))?;
        let seed = header.seed();
        let mut this =
            Self { file, name: temporary, is_named: false, header, seed, end: PAGE_BYTES, zeroed: PAGE_BYTES };
        this.write(&header.encode(), 0)?;
        this.zero_to(u64::from(header.zero_step))?;
        Ok(this)
    }

    /// Gives the segment its name, now that all that it must hold is durable.
    pub(super) fn publish(&mut self, medium: &dyn Medium) -> Result<(), FormatError> {
        let name = names::log_name(self.header.segment);
        medium.rename(&self.name, &name).map_err(FormatError::io("rename", &self.name))?;
        if let Err(error) = sync_directory(medium) {
            // A later sync may pass over the name. Nobody shall find it before, and build on it.
            let _ = medium.remove(&name);
            return Err(error);
        }
        self.file = medium.open(&name).map_err(FormatError::io("open", &name))?;
        self.name = name;
        self.is_named = true;
        Ok(())
    }

    /// Makes zeros durable up to the whole step at or after `end`.
    pub(super) fn zero_to(&mut self, end: u64) -> Result<(), FormatError> {
        if end <= self.zeroed {
            return Ok(());
        }
        let end = end.next_multiple_of(u64::from(self.header.zero_step));
        while self.zeroed < end {
            let len = (end - self.zeroed).min(ZERO_PIECE as u64);
            self.write(&ZERO_BYTES[..len as usize], self.zeroed)?;
            self.zeroed += len;
        }
        self.sync()
    }

    /// Writes the seal, makes it durable, then cuts the file after it.
    pub(super) fn seal(&mut self, seal: &Seal) -> Result<(), FormatError> {
        let limit = i64::MAX as u64;
        let offset = Seal::offset(seal.frames_end, self.header.zero_step);
        let offset = offset.ok_or(FormatError::TooLarge { what: "a log segment", found: seal.frames_end, limit })?;
        // Within zeros that are durable: a crash must not leave the file longer without a seal, for that is how a cut one looks.
        self.zero_to(offset + PAGE_BYTES)?;
        // What an aborted frame left there would not be covered by anything.
        self.write(&ZEROS[..(offset - seal.frames_end) as usize], seal.frames_end)?;
        self.write(&seal.encode(self.seed), offset)?;
        self.sync()?;
        self.file.set_len(offset + PAGE_BYTES).map_err(FormatError::io("cut", &self.name))?;
        self.sync()
    }

    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> Result<(), FormatError> {
        self.file.write_at(bytes, offset).map_err(FormatError::io("write to", &self.name))
    }

    pub(super) fn sync(&self) -> Result<(), FormatError> {
        self.file.sync().map_err(FormatError::io("sync", &self.name))
    }
}

/// Cuts a segment behind its frames, now that another one follows it under a durable name: should that one get lost, the cut shows it
/// (rule 4 of [`format::log`](crate::format::log)). Not before: a last segment that is cut and has no seal is taken for damaged.
pub(super) fn cut(file: &dyn MediumFile, name: &str, frames_end: u64) -> Result<(), FormatError> {
    let mut end = frames_end;
    if frames_end.is_multiple_of(2 * PAGE_BYTES) {
        // Perhaps a whole zero step, where a cut would not show.
        file.write_at(&LOG_MAGIC, frames_end).map_err(FormatError::io("write to", name))?;
        end += LOG_MAGIC.len() as u64;
    }
    file.set_len(end).map_err(FormatError::io("cut", name))
}

pub(super) fn remove_if_present(medium: &dyn Medium, name: &str) -> Result<(), FormatError> {
    match medium.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FormatError::io("remove", name)(error)),
        _ => Ok(()),
    }
}

pub(super) fn sync_directory(medium: &dyn Medium) -> Result<(), FormatError> {
    medium.sync_directory().map_err(|error| FormatError::io("sync directory", &medium.location())(error))
}

/// Spreads a number over 64 bits (the finalizer of splitmix64), so that segments of one process have unlike salts.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
