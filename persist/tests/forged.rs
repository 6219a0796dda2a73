//! Files whose checksums are right and whose contents make no sense: refused or used, and never a panic.
//!
//! Checksums find accidents; whoever can write into the directory can write checksums too. What broke here was found by fuzzing.

use std::sync::Arc;

use rkyv::rancor::Error;
use rkyv::util::AlignedVec;
use stillpoint_persist::format::FormatError;
use stillpoint_persist::format::component::ComponentRecord;
use stillpoint_persist::format::names::snapshot_name;
use stillpoint_persist::format::snapshot::SnapshotHeader;
use stillpoint_persist::log::{Commit, LogOptions, LogWriter};
use stillpoint_persist::medium::{Medium, SimulatedDisk};
use stillpoint_persist::snapshot_file::{Codec, SnapshotFileWriter};
use stillpoint_persist::{DurabilityError, DurableStore, OpenError, Options, ReadError, Stepper};

const STORE: u128 = 7;
const CUT: u64 = 100;

fn header() -> SnapshotHeader {
    SnapshotHeader { store: STORE, generation: 1, cut_tick: CUT, tick_reserve: 1000, ..SnapshotHeader::default() }
}

fn component(id: u32, name: &str) -> ComponentRecord {
    let schema = "type u64\n".to_owned();
    ComponentRecord { id, name: name.to_owned(), key_schema: schema.clone(), value_schema: schema }
}

fn archived(number: u64) -> AlignedVec {
    rkyv::to_bytes::<Error>(&number).unwrap()
}

/// A disk with a snapshot file of one map that has one entry.
fn disk(name: &str, header: SnapshotHeader, component: ComponentRecord, version: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let mut file = SnapshotFileWriter::create(&disk, name, header, Codec::Raw).unwrap();
    file.begin_component(component).unwrap();
    file.push(1, version, &archived(1), &archived(10)).unwrap();
    file.finish().unwrap();
    disk
}

fn with_header(header: SnapshotHeader) -> SimulatedDisk {
    disk(&snapshot_name(header.generation), header, component(0, "map"), CUT << 14)
}

/// Opens a disk; beside the snapshot file there must be a log, if only an empty one.
fn open(disk: &SimulatedDisk) -> Result<(DurableStore, Stepper), OpenError> {
    if !disk.list().unwrap().iter().any(|name| name.starts_with("log-")) {
        drop(LogWriter::create(Arc::new(disk.clone()), LogOptions::new(STORE, 1)).unwrap());
    }
    Options::new().open_stepped(Arc::new(disk.clone()))
}

#[track_caller]
fn refused(disk: &SimulatedDisk) {
    let Err(error) = open(disk) else { panic!("it was taken") };
    assert!(matches!(error, OpenError::File { source: FormatError::Malformed { .. }, .. }), "{error:?}");
}

// The clock was raised to what the file says, and panicked beyond its bits, or overflowed a little later. A clock without room
// is refused now.
#[test]
fn a_clock_at_its_end_is_refused() {
    for last in [(1 << 47) - 1, 1 << 47, 1 << 48, u64::MAX] {
        refused(&with_header(SnapshotHeader { cut_tick: last, tick_reserve: last, ..header() }));
        refused(&with_header(SnapshotHeader { tick_reserve: last, ..header() }));
    }
}

// The clock started behind the reserve alone, so with a reserve before the cut stored versions were in the future. It starts behind
// both now.
#[test]
fn a_reserve_before_the_cut_does_not_turn_the_clock_back() {
    let (store, _stepper) = open(&with_header(SnapshotHeader { tick_reserve: 3, ..header() })).unwrap();
    let map = store.map::<u64, u64>("map").unwrap().warm().unwrap();
    assert_eq!(store.store().snapshot().get(&map, &1), Some(&10));
}

// A version after the cut was restored as it was: no snapshot saw the entry, single reads did, and counts did not fit. It is refused
// now, and other maps serve.
#[test]
fn a_version_after_the_cut_is_refused() {
    let disk = disk(&snapshot_name(1), header(), component(0, "map"), (CUT + 1) << 14);
    let (store, _stepper) = open(&disk).unwrap();
    let error = store.map::<u64, u64>("map").unwrap().warm().unwrap_err();
    assert!(matches!(&error, ReadError::Undecodable { map, .. } if map == "map"), "{error:?}");
    assert!(error.to_string().contains("version 101.0 is later than the cut at 100"), "{error}");
    assert!(store.map::<u64, u64>("other").unwrap().warm().is_ok());
}

// The next component's number is one more than the last one's, and overflowed. The last number is refused now.
#[test]
fn the_last_component_number_is_refused() {
    refused(&disk(&snapshot_name(1), header(), component(u32::MAX, "map"), CUT << 14));
}

// A number was taken for whatever it was defined as last, so records of one map came into another. A number has one name now, and
// a name one definition.
#[test]
fn a_number_that_is_defined_twice_is_refused() {
    for (again, is_refused) in [
        (component(0, "map"), false),
        (component(0, "other"), true),
        (component(1, "map"), true),
        (ComponentRecord { value_schema: "type u32\n".to_owned(), ..component(0, "map") }, true),
        (component(1, "other"), false),
    ] {
        let disk = with_header(header());
        let mut log = LogWriter::create(Arc::new(disk.clone()), LogOptions::new(STORE, 5)).unwrap();
        log.define(&again).unwrap();
        log.commit(Commit { cut_tick: CUT + 1, tick_reserve: 1000, ..Commit::default() }).unwrap();
        drop(log);
        match is_refused {
            true => refused(&disk),
            false => drop(open(&disk).unwrap()),
        }
    }
}

// A record of a number that nothing defines was passed over, until a new map got that number: then it was the map's. It is
// refused now.
#[test]
fn a_record_of_a_component_that_nothing_defines_is_refused() {
    for (component, is_refused) in [(0, false), (1, true)] {
        let disk = with_header(header());
        let mut log = LogWriter::create(Arc::new(disk.clone()), LogOptions::new(STORE, 5)).unwrap();
        log.put(component, (CUT + 1) << 14, &archived(2), &archived(20)).unwrap();
        log.commit(Commit { cut_tick: CUT + 1, tick_reserve: 1000, ..Commit::default() }).unwrap();
        drop(log);
        match is_refused {
            true => refused(&disk),
            false => drop(open(&disk).unwrap()),
        }
    }
}

// A file that was renamed to the last generation made the next one's number overflow. A name that is not the file's own is refused
// now; after the last generation no snapshot file is written, and the log goes on.
#[test]
fn a_generation_is_the_names_and_has_an_end() {
    refused(&disk(&snapshot_name(9), header(), component(0, "map"), CUT << 14));

    let disk = with_header(SnapshotHeader { generation: u64::MAX, ..header() });
    let (store, mut stepper) = open(&disk).unwrap();
    store.map::<u64, u64>("map").unwrap().pin().put(2, 20).unwrap();
    let error = stepper.snapshot_file().unwrap_err();
    assert!(matches!(&error, DurabilityError::SnapshotFile(cause) if matches!(**cause, FormatError::TooLarge { .. })));
    stepper.close(u64::MAX).unwrap();
    let (store, _stepper) = open(&disk.kill()).unwrap();
    assert_eq!(store.map::<u64, u64>("map").unwrap().pin().get(&2).unwrap(), Some(&20));
}

// Frames were counted on from what the snapshot file says, and overflowed. Numbers have an end now.
#[test]
fn a_frame_number_at_its_end_is_refused() {
    let error = open(&with_header(SnapshotHeader { frame: u64::MAX, ..header() })).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::File { source: FormatError::TooLarge { .. }, .. }), "{error:?}");
}
