//! Snapshot files: [`SnapshotFile::open`], and all that can be asked of a file that opened.
//!
//! ```text
//! 0          which file to start from; its high bits: leave checksums as they are, take the bytes as the file
//! 1          edits, or the file
//! ```

use std::collections::HashMap;

use stillpoint_persist::format::FormatError;
use stillpoint_persist::medium::Mapping;
use stillpoint_persist::snapshot_file::{Component, SnapshotFile};

use crate::image::SNAPSHOT_FILES;
use crate::{edit, reseal};

/// Leave checksums as the edits have made them.
pub const KEEP_CHECKSUMS: u8 = 0x80;

/// What follows is no edits, but the file.
pub const BARE: u8 = 0x40;

/// Reads the file that an input stands for; panics where something does not hold.
pub fn run(input: &[u8]) {
    let [which, edits @ ..] = input else { return };
    let mut bytes = if which & BARE != 0 {
        edits.to_vec()
    } else {
        let mut bytes = SNAPSHOT_FILES[(which & 0x3f) as usize % SNAPSHOT_FILES.len()].clone();
        edit::apply(&mut bytes, edits);
        bytes
    };
    if which & KEEP_CHECKSUMS == 0 {
        reseal::snapshot_file(&mut bytes);
    }
    check(&bytes);
}

fn check(bytes: &[u8]) {
    let Ok(file) = SnapshotFile::open("file", Mapping::copy_of(bytes)) else { return };
    assert_eq!(file.bytes(), bytes.len() as u64);
    let is_whole = file.verify().is_ok();
    let mut entries = 0;
    for component in file.components() {
        assert_eq!(
            file.component(&component.record().name).map(|found| found.record().id),
            Some(component.record().id)
        );
        let read = read(component);
        if is_whole {
            entries += read.expect("what `verify` lets pass is readable");
        }
        assert!(component.chunk(component.chunk_count()).is_err());
    }
    assert!(!is_whole || entries == file.entries(), "what `verify` lets pass is complete");
}

/// Reads all of a component, and finds each entry by its hash; returns how many there are.
fn read(component: Component<'_>) -> Result<u64, FormatError> {
    // Entries that share a hash are found together: looked for once.
    let mut by_hash = HashMap::<u64, u64>::new();
    let mut damage = None;
    for number in 0..component.chunk_count() {
        let chunk = match component.chunk(number) {
            Ok(chunk) => chunk,
            Err(error) => {
                damage = Some(error);
                continue;
            }
        };
        assert_eq!(chunk.entries().count(), chunk.len() as usize);
        for entry in chunk.entries() {
            assert!([entry.key, entry.value].iter().all(|bytes| bytes.as_ptr().addr().is_multiple_of(16)));
            // Touches every byte, for the sanitizer.
            std::hint::black_box(crc32c::crc32c_append(crc32c::crc32c(entry.key), entry.value));
            *by_hash.entry(entry.hash).or_default() += 1;
        }
    }
    for absent in [0, 1, u64::MAX / 2, u64::MAX] {
        by_hash.entry(absent).or_default();
    }
    for (hash, count) in &by_hash {
        let mut found = 0;
        for position in component.find(*hash) {
            match position {
                Ok(position) => {
                    let entry = component.chunk(position.chunk)?.entry(position.index);
                    assert_eq!(entry.map(|entry| entry.hash), Some(*hash), "what is found has the hash");
                    found += 1;
                }
                Err(error) => damage = Some(error),
            }
        }
        if damage.is_none() && found != *count {
            // A lie in the directory that only `verify` can see.
            damage = Some(FormatError::OutOfOrder { what: "an entry is not found" });
        }
    }
    damage.map_or(Ok(by_hash.values().sum()), Err)
}
