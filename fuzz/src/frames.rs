//! Log segments: [`LogScan::read`], and going on with what it found.
//!
//! ```text
//! 0          which log to start from; its high bits: leave checksums as they are, write bytes as they come
//! 1          the last frame that a snapshot file has
//! 2          for each edit in turn, which of two segments it is of
//! 3          edits, or bytes that follow a good header
//! ```

use std::sync::Arc;

use stillpoint_persist::format::names::log_name;
use stillpoint_persist::log::{Frame, LogOptions, LogScan, LogTail, LogWriter, Record};

use crate::edit::{self, EDIT};
use crate::image::{self, Files, LOGS, STORE};
use crate::reseal;

/// Leave checksums as the edits have made them.
pub const KEEP_CHECKSUMS: u8 = 0x80;

/// What follows is no edits, but what the segment holds after a header.
pub const PLAIN: u8 = 0x40;

/// What follows is a whole segment, or two of half the length.
pub const BARE: u8 = 0x20;

const PAGE: usize = 4096;

/// Reads the log that an input stands for; panics where something does not hold.
pub fn run(input: &[u8]) {
    let [which, after, of, edits @ ..] = input else { return };
    let mut files = match (which & PLAIN != 0, which & BARE != 0) {
        (true, true) => halves(edits),
        (true, false) => {
            let (name, segment) = &LOGS[0][0];
            vec![(name.clone(), [&segment[..PAGE], edits].concat())]
        }
        (false, _) => edited(&LOGS[(which & 0x1f) as usize % LOGS.len()], *of, edits),
    };
    if which & KEEP_CHECKSUMS == 0 {
        files.iter_mut().for_each(|(_, bytes)| reseal::segment(bytes));
    }
    check(&files, u64::from(*after));
}

fn halves(bytes: &[u8]) -> Files {
    let (one, two) = bytes.split_at(bytes.len() / 2);
    vec![(log_name(1), one.to_vec()), (log_name(2), two.to_vec())]
}

/// Deals edits out to the files: the bits of `of` say, in turn, whether to the first or the next.
pub fn edited(files: &Files, of: u8, edits: &[u8]) -> Files {
    let mut files = files.clone();
    let mut dealt = [Vec::new(), Vec::new()];
    for (turn, edit) in edits.as_chunks::<EDIT>().0.iter().enumerate() {
        dealt[usize::from(of >> (turn % 8) & 1)].extend_from_slice(edit);
    }
    // Which file is the first one, if there are more than two.
    let first = edits.len() % EDIT;
    for (turn, edits) in dealt.iter().enumerate() {
        let at = (first + turn) % files.len();
        edit::apply(&mut files[at].1, edits);
    }
    files
}

fn check(files: &Files, after: u64) {
    let disk = image::disk(files);
    let Ok(tail) = LogScan::read(&disk, STORE, after) else { return };
    let found = frames(&tail);
    for (index, (number, _)) in found.iter().enumerate() {
        assert_eq!(*number, after + 1 + index as u64, "frames have no gap");
    }
    assert!(!tail.sealed || tail.torn.is_none(), "a sealed log is whole");
    assert!(tail.unvouched().count() <= found.len());
    if let Some(torn) = &tail.torn {
        let segment = files.iter().find(|(name, _)| *name == torn.file).map(|(_, bytes)| bytes.len() as u64);
        assert!(torn.offset + torn.bytes <= segment.expect("it is of a file"), "torn bytes are in the file");
    }

    // What was read is read again, once a new segment has begun; and nothing is torn any more.
    let options = LogOptions { zero_step: 8 << 10, ..LogOptions::new(STORE, 11) };
    let Ok(writer) = LogWriter::resume(Arc::new(disk.clone()), options, &tail) else { return };
    assert!(writer.frame() > found.last().map_or(after, |(number, _)| *number), "numbers go on");
    let again = LogScan::read(&disk, STORE, after).expect("what was recovered is whole");
    assert_eq!(frames(&again), found, "what was read is read again");
    assert_eq!(again.torn, None);
}

fn frames(tail: &LogTail) -> Vec<(u64, Vec<String>)> {
    let frame = |frame: &Frame| {
        let records: Vec<_> = frame.records().map(checked).collect();
        assert_eq!(records.len() as u64, frame.info().records, "a frame has its records");
        (frame.info().frame, records)
    };
    tail.frames.iter().map(frame).collect()
}

/// A record as text; its bytes are aligned as archives must be.
fn checked(record: Record<'_>) -> String {
    if let Record::Put { key, value, .. } = record {
        assert!([key, value].iter().all(|bytes| bytes.as_ptr().addr().is_multiple_of(16)), "archives are aligned");
    }
    format!("{record:?}")
}
