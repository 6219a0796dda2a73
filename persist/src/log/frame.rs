//! Frames and records as they are read.

use rkyv::util::AlignedVec;

use crate::format::log::{CommitInfo, RecordHeader, RecordKind, record};
use crate::format::{VALUE_ALIGN, align_up};

/// One committed frame of the log: every checksum was proven, every record is whole.
#[derive(Debug)]
pub struct Frame {
    info: CommitInfo,
    commit_checksum: u32,
    segment: u64,
    offset: u64,
    payload: AlignedVec<VALUE_ALIGN>,
}

/// One change of a frame. Bytes of keys and values are aligned to 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// Says what a component's number stands for; comes before the number is used.
    Define {
        /// The number.
        component: u32,
        /// The component's name.
        name: &'a str,
        /// The schema of its keys.
        key_schema: &'a str,
        /// The schema of its values.
        value_schema: &'a str,
    },
    /// A key has this value.
    Put {
        /// The component's number.
        component: u32,
        /// The version that the key has with it.
        version: u64,
        /// The key's bytes.
        key: &'a [u8],
        /// The value's bytes.
        value: &'a [u8],
    },
    /// A key has no value.
    Remove {
        /// The component's number.
        component: u32,
        /// The version of the removal.
        version: u64,
        /// The key's bytes.
        key: &'a [u8],
    },
    /// A component is gone, with everything that was said of it before.
    Drop {
        /// The component's number.
        component: u32,
    },
}

impl Frame {
    /// Takes a frame whose checksums were proven; `None` if its records make no sense.
    pub(super) fn validate(
        info: CommitInfo,
        commit_checksum: u32,
        segment: u64,
        offset: u64,
        payload: AlignedVec<VALUE_ALIGN>,
    ) -> Option<Self> {
        let (mut at, mut count) = (0, 0_u64);
        while at < payload.len() as u64 {
            (_, at) = decode(&payload, at)?;
            count += 1;
        }
        (count == info.records).then_some(Self { info, commit_checksum, segment, offset, payload })
    }

    /// What the frame was committed with.
    pub fn info(&self) -> &CommitInfo {
        &self.info
    }

    /// The checksum of its commit block.
    pub fn commit_checksum(&self) -> u32 {
        self.commit_checksum
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The segment that it is in.
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// Where it starts in the segment.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Its records, in the order in which they were written.
    pub fn records(&self) -> Records<'_> {
        Records { payload: &self.payload, at: 0, left: self.info.records }
    }
}

/// Iterates over a frame's records.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    payload: &'a [u8],
    at: u64,
    left: u64,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (record, next) = decode(self.payload, self.at)?;
        self.at = next;
        self.left = self.left.saturating_sub(1);
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).ok();
        (left.unwrap_or(usize::MAX), left)
    }
}

/// Reads the record at `at`; also returns where the next one starts.
fn decode(payload: &[u8], at: u64) -> Option<(Record<'_>, u64)> {
    let header = RecordHeader::decode(payload, at)?;
    let mut end = at.checked_add(record::SIZE as u64)?;
    let mut part = |len: u32| {
        let bytes = payload.get(usize::try_from(end).ok()?..)?.get(..len as usize)?;
        end = align_up(end.checked_add(u64::from(len))?, VALUE_ALIGN as u64)?;
        Some(bytes)
    };
    let parts = [part(header.lens[0])?, part(header.lens[1])?, part(header.lens[2])?];
    if end > payload.len() as u64 {
        return None;
    }
    let RecordHeader { kind, component, version, .. } = header;
    let record = match (kind, parts) {
        (RecordKind::Put, [key, value, []]) => Record::Put { component, version, key, value },
        (RecordKind::Remove, [key, [], []]) => Record::Remove { component, version, key },
        (RecordKind::Drop, [[], [], []]) => Record::Drop { component },
        (RecordKind::Define, [name, key_schema, value_schema]) => Record::Define {
            component,
            name: std::str::from_utf8(name).ok()?,
            key_schema: std::str::from_utf8(key_schema).ok()?,
            value_schema: std::str::from_utf8(value_schema).ok()?,
        },
        _ => return None,
    };
    Some((record, end))
}
