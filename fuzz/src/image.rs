//! Valid files and directories, the same in every run, made once: what edits start from.

use std::hash::Hasher;
use std::sync::{Arc, LazyLock};

use rkyv::rancor::Error;
use rkyv::{Archive, Deserialize, Serialize};
use stillpoint_persist::format::component::ComponentRecord;
use stillpoint_persist::format::names::{log_name, snapshot_name};
use stillpoint_persist::format::snapshot::SnapshotHeader;
use stillpoint_persist::log::{Commit, LogOptions, LogWriter};
use stillpoint_persist::medium::{Medium, SimulatedDisk};
use stillpoint_persist::schema::SchemaText;
use stillpoint_persist::snapshot_file::{Codec, SnapshotFileWriter};
use stillpoint_persist::{Durable, Schema};

/// A directory's files by name.
pub type Files = Vec<(String, Vec<u8>)>;

/// The store that all files are of.
pub const STORE: u128 = 0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0;

/// The key of the directory's hash.
pub const HASH_KEY: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

/// The tick of the cut of [`snapshot`] files.
pub const CUT_TICK: u64 = 100;

/// A value with parts that lie elsewhere in its archive.
#[derive(Archive, Serialize, Deserialize, Schema, Clone, Debug, PartialEq)]
pub struct Order {
    /// A text that may or may not lie inline.
    pub client: String,
    /// A vector of padded elements.
    pub lots: Vec<(u32, i64)>,
    /// A tag that not every byte is.
    pub side: Side,
}

/// A tag that not every byte is.
#[derive(Archive, Serialize, Deserialize, Schema, Clone, Debug, PartialEq)]
pub enum Side {
    /// Without a payload.
    Buy,
    /// With one.
    Sell(Option<Box<str>>),
}

/// Logs: one that was not closed, one that was, one of several segments, one whose last frame is torn, one whose first frames a
/// snapshot file has.
pub static LOGS: LazyLock<Vec<Files>> = LazyLock::new(|| {
    vec![
        log(&[3, 0, 5], Ending::Open, 1 << 20),
        log(&[2, 4], Ending::Sealed, 1 << 20),
        log(&[30, 30, 4, 30, 2], Ending::Open, 12 << 10),
        log(&[3, 4], Ending::Torn, 1 << 20),
        log(&[30, 30, 1], Ending::Sealed, 12 << 10),
    ]
});

/// The log of a store that was never written to.
pub static UNUSED_LOG: LazyLock<Files> = LazyLock::new(|| {
    let disk = SimulatedDisk::new();
    drop(LogWriter::create(Arc::new(disk.clone()), log_options(1 << 20)).expect("no faults"));
    files(&disk)
});

/// Snapshot files: raw, compressed, and of nothing.
pub static SNAPSHOT_FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    vec![snapshot(1, 0, Codec::Raw, 40), snapshot(1, 0, Codec::Zstd { level: 3 }, 300), snapshot(1, 0, Codec::Raw, 0)]
});

/// Directories: a snapshot file with a log that was never used, with one that was closed, or was not; and two generations.
pub static DIRECTORIES: LazyLock<Vec<Files>> = LazyLock::new(|| {
    let with = |mut log: Files, frame: u64, codec| {
        log.insert(0, (snapshot_name(1), snapshot(1, frame, codec, 40)));
        log
    };
    let mut generations = with(LOGS[1].clone(), 0, Codec::Raw);
    generations.push((snapshot_name(2), snapshot(2, 1, Codec::Zstd { level: 3 }, 8)));
    vec![
        with(UNUSED_LOG.clone(), 0, Codec::Raw),
        with(LOGS[1].clone(), 0, Codec::Raw),
        with(LOGS[0].clone(), 1, Codec::Raw),
        with(LOGS[3].clone(), 0, Codec::Zstd { level: 3 }),
        generations,
    ]
});

/// Archives a value.
pub fn archived<T: Durable>(value: &T) -> Vec<u8> {
    rkyv::to_bytes::<Error>(value).expect("it can be archived").to_vec()
}

/// What says of a component what it is.
pub fn component<K: Schema, V: Schema>(id: u32, name: &str) -> ComponentRecord {
    ComponentRecord {
        id,
        name: name.to_owned(),
        key_schema: SchemaText::of::<K>().to_string(),
        value_schema: SchemaText::of::<V>().to_string(),
    }
}

/// The hash under which the directory of a file of ours knows a key.
pub fn hash(key: &[u8]) -> u64 {
    let mut hasher = siphasher::sip::SipHasher13::new_with_keys(HASH_KEY[0], HASH_KEY[1]);
    hasher.write(key);
    hasher.finish()
}

/// The number of a version.
pub fn version(tick: u64) -> u64 {
    tick << 14
}

/// An order that is told by a number.
pub fn order(number: u64) -> Order {
    let limit = number.is_multiple_of(3).then(|| "9".repeat(number as usize % 20).into());
    Order {
        client: format!("client of order {number}")[..number as usize % 18].to_owned(),
        lots: (0..number % 5).map(|lot| (lot as u32, -(number as i64))).collect(),
        side: if number.is_multiple_of(2) { Side::Sell(limit) } else { Side::Buy },
    }
}

/// What a snapshot file's header says.
pub fn header(generation: u64, frame: u64) -> SnapshotHeader {
    SnapshotHeader {
        store: STORE,
        generation,
        incarnation: 7,
        cut_tick: CUT_TICK,
        frame,
        tick_reserve: 1000,
        wall_clock: 9,
        hash_key: HASH_KEY,
    }
}

/// Takes a disk's file.
pub fn file(disk: &SimulatedDisk, name: &str) -> Vec<u8> {
    disk.contents(name).expect("it was written").to_vec()
}

/// A disk that has these files.
pub fn disk(files: &Files) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    for (name, bytes) in files {
        disk.put_file(name, bytes.clone()).expect("the name is one of ours");
    }
    disk
}

fn snapshot(generation: u64, frame: u64, codec: Codec, entries: u64) -> Vec<u8> {
    let disk = SimulatedDisk::new();
    let mut writer = SnapshotFileWriter::create(&disk, "file", header(generation, frame), codec).expect("no faults");
    let push = |key: Vec<u8>, value: Vec<u8>, writer: &mut SnapshotFileWriter| {
        writer.push(hash(&key), version(10), &key, &value).expect("no faults");
    };
    writer.begin_component(component::<u64, u64>(0, "numbers")).expect("no faults");
    for number in 0..entries {
        push(archived(&number), archived(&(number * 10)), &mut writer);
    }
    writer.begin_component(component::<String, Order>(1, "orders")).expect("no faults");
    for number in 0..entries / 4 {
        push(archived(&format!("order {number}")), archived(&order(number)), &mut writer);
    }
    writer.begin_component(component::<u32, u32>(2, "empty")).expect("no faults");
    writer.begin_component(component::<String, Vec<u32>>(3, "dormant")).expect("no faults");
    for number in 0..entries.min(3) as u32 {
        push(archived(&format!("{number}")), archived(&vec![number; number as usize]), &mut writer);
    }
    writer.begin_component(component::<u64, Option<String>>(4, "late")).expect("no faults");
    writer.finish().expect("no faults");
    file(&disk, "file")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Open,
    Sealed,
    Torn,
}

fn log_options(segment_bytes: u64) -> LogOptions {
    LogOptions { segment_bytes, zero_step: 16 << 10, ..LogOptions::new(STORE, 5) }
}

/// A log with so many records in each frame.
fn log(frames: &[u64], ending: Ending, segment_bytes: u64) -> Files {
    let disk = SimulatedDisk::new();
    let mut log = LogWriter::create(Arc::new(disk.clone()), log_options(segment_bytes)).expect("no faults");
    let mut number = 0;
    for (index, records) in frames.iter().enumerate() {
        let commit = commit(log.frame());
        if index == 0 {
            log.define(&component::<u64, Option<String>>(4, "late")).expect("no faults");
        }
        for _ in 0..*records {
            record(&mut log, number);
            number += 1;
        }
        if ending == Ending::Sealed && index + 1 == frames.len() {
            log.seal(commit).expect("no faults");
            return files(&disk);
        }
        log.commit(commit).expect("no faults");
    }
    if ending == Ending::Torn {
        // More than a block, so that some of it is written.
        log.put(0, version(999), &archived(&1_u64), &vec![7; 300 << 10]).expect("no faults");
        let mut files = files(&disk);
        files[0].1.truncate(64 << 10);
        return files;
    }
    files(&disk)
}

fn record(log: &mut LogWriter, number: u64) {
    let version = version(200 + number);
    match number % 5 {
        0 => log.put(0, version, &archived(&(number * 3)), &archived(&number)),
        1 => log.put(1, version, &archived(&format!("order {number}")), &archived(&order(number))),
        2 => log.remove(0, version, &archived(&(number + 1))),
        3 => log.put(4, version, &archived(&number), &archived(&(number > 9).then(|| "late".repeat(3)))),
        _ => log.put(3, version, &archived(&format!("{number}")), &archived(&vec![1_u32])),
    }
    .expect("no faults");
}

fn commit(frame: u64) -> Commit {
    Commit { incarnation: 7, cut_tick: 300 + frame, tick_reserve: 2000, wall_clock: 9 }
}

/// The named files of a disk.
fn files(disk: &SimulatedDisk) -> Files {
    let numbers = 1..=9;
    let listed = disk.list().expect("no faults");
    let names = numbers.map(log_name).filter(|name| listed.contains(name));
    names.map(|name| (name.clone(), file(disk, &name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_small_and_of_several_kinds() {
        assert_eq!(LOGS.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 3, 1, 2]);
        for files in LOGS.iter().chain(DIRECTORIES.iter()) {
            let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
            assert!(bytes <= 128 << 10, "{bytes}");
        }
    }
}
