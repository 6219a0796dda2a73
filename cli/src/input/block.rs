//! A block: so many whole lines of a source, still as text.

use super::{BLOCK_RECORDS, MalformedRow, Partition};
use crate::record::Flight;

/// Holds [`BLOCK_RECORDS`] whole lines of a source, or fewer if it is the last. Its buffers are used again from block to
/// block.
#[derive(Debug, Clone, Default)]
pub struct Block {
    index: u64,
    text: Vec<u8>,
    /// Where each line ends in `text`, behind its line feed if it has one.
    ends: Vec<u32>,
    /// Lines at the front that were applied before.
    applied: usize,
}

impl Block {
    /// Returns the block's place in the source, counted from 0.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Returns the index of the block's first record.
    pub const fn first_record(&self) -> u64 {
        self.index * BLOCK_RECORDS
    }

    /// Returns the index after that of the block's last record.
    pub const fn end_record(&self) -> u64 {
        self.first_record() + self.ends.len() as u64
    }

    /// Returns the number of the block's first line, counted from 1, where the header is line 1.
    pub const fn first_line(&self) -> u64 {
        line_of(self.first_record())
    }

    /// Returns the partition that the block belongs to.
    pub const fn partition(&self) -> Partition {
        Partition::of_block(self.index)
    }

    /// Counts the lines, also those that are blank, malformed or applied before.
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Tells whether the block has no lines.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns each line with its record index, without its line end, from the first that is still needed.
    pub fn lines(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut start = match self.applied.checked_sub(1) {
            Some(last_applied) => self.ends[last_applied] as usize,
            None => 0,
        };
        let first = self.first_record();
        (self.applied..).zip(&self.ends[self.applied..]).map(move |(at, &end)| {
            let line = &self.text[start..end as usize];
            start = end as usize;
            (first + at as u64, without_line_end(line))
        })
    }

    /// Reads the lines that are still needed as flights. A blank line is passed over; it takes up a record index.
    ///
    /// # Errors
    ///
    /// An item is [`MalformedRow`] where a line is not a flight; the lines after it can still be read.
    pub fn flights(&self) -> impl Iterator<Item = Result<Numbered, MalformedRow>> {
        self.lines().filter(|(_, line)| !line.is_empty()).map(|(record, line)| match Flight::parse(line) {
            Ok(flight) => Ok(Numbered { record, flight }),
            Err(cause) => Err(MalformedRow { line: line_of(record), record, cause }),
        })
    }

    /// Tells whether there is anything to use again.
    pub(super) const fn has_buffers(&self) -> bool {
        self.text.capacity() > 0
    }

    /// Empties the block for the lines of another.
    pub(super) fn start(&mut self, index: u64) {
        self.index = index;
        self.text.clear();
        self.ends.clear();
        self.applied = 0;
    }

    /// Adds `text`, in which lines end at `ends`, counted from the start of `text`. The last line may be unfinished.
    pub(super) fn extend(&mut self, text: &[u8], ends: &[u32]) {
        let base = self.text.len() as u32;
        self.text.extend_from_slice(text);
        self.ends.extend(ends.iter().map(|end| base + end));
    }

    /// Says that the records before `next` were applied.
    pub(super) fn apply_before(&mut self, next: u64) {
        let applied = next.saturating_sub(self.first_record());
        self.applied = self.ends.len().min(usize::try_from(applied).unwrap_or(usize::MAX));
    }
}

/// A flight and its place in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// The record's index, counted from 0.
    pub record: u64,
    /// What it says.
    pub flight: Flight,
}

/// Returns the number of the line that holds the record with this index.
pub(super) const fn line_of(record: u64) -> u64 {
    record + FIRST_RECORD_LINE
}

/// Lines count from 1, and the first is the header.
const FIRST_RECORD_LINE: u64 = 2;

/// Takes a line feed, or a carriage return and a line feed, off the end; also a lone carriage return, which is what the
/// last line of a file cut in between has.
pub(super) fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
