//! Components that are dropped: gone from disk with the next frame, with everything that was stored of them, and their names free.

use std::sync::Arc;
use std::time::Duration;

use rkyv::rancor::Error;
use stillpoint::{ComponentKind, MapOptions};
use stillpoint_persist::format::FormatError;
use stillpoint_persist::format::component::ComponentRecord;
use stillpoint_persist::log::{Commit, LogOptions, LogWriter};
use stillpoint_persist::medium::{Medium, SimulatedDisk};
use stillpoint_persist::{DurableStore, MapError, OpenError, Options, Stepper};

fn stepped(disk: &SimulatedDisk) -> (DurableStore, Stepper) {
    let options = Options::new().interval(Duration::from_secs(1 << 20)).segment_bytes(64 << 10);
    options.open_stepped(Arc::new(disk.clone())).expect("the disk is whole")
}

fn put(store: &DurableStore, name: &str, key: u64, value: u64) {
    store.map::<u64, u64>(name).and_then(|map| Ok(map.pin().put(key, value)?)).expect("a map of numbers");
}

fn value_of(store: &DurableStore, name: &str, key: u64) -> Option<u64> {
    let map = store.map::<u64, u64>(name).expect("a map of numbers");
    map.pin().get(&key).expect("whole").copied()
}

#[test]
fn a_name_is_free_for_other_types_and_kinds_at_once_and_later() {
    let disk = SimulatedDisk::new();
    let (store, mut stepper) = stepped(&disk);
    put(&store, "name", 1, 1);
    stepper.snapshot_file().expect("nothing fails");
    assert!(store.drop_component("name") && !store.drop_component("name"));
    assert_eq!(store.cell("name", "text".to_owned()).expect("the name is free").load().as_str(), "text");
    stepper.frame().expect("nothing fails");

    let (store, mut stepper) = stepped(&disk.crash(1));
    assert!(matches!(store.map::<u64, u64>("name"), Err(MapError::OtherType { .. })), "it is a cell of text");
    assert!(store.drop_component("name"));
    let options = MapOptions::<u64, u64>::new().ttl(Duration::from_secs(60));
    assert!(store.map_with("name", options).expect("the name is free").is_empty());
    stepper.snapshot_file().expect("nothing fails");
    assert_eq!(store.names(), ["name"]);
}

#[test]
fn who_has_a_dropped_component_goes_on_in_memory() {
    let disk = SimulatedDisk::new();
    let (store, mut stepper) = stepped(&disk);
    put(&store, "map", 1, 1);
    let ladder = store.ordered_map::<u64, u64>("ladder").expect("new");
    ladder.pin().put(1, 1);
    stepper.snapshot_file().expect("nothing fails");

    let (store, mut stepper) = stepped(&disk.crash(1));
    // Not even brought in.
    let map = store.map::<u64, u64>("map").expect("a map");
    let ladder = store.ordered_map::<u64, u64>("ladder").expect("an ordered map");
    assert!(store.drop_component("map") && store.drop_component("ladder"));
    assert_eq!(map.pin().get(&1).expect("whole"), Some(&1));
    map.pin().put(2, 2).expect("whole");
    ladder.pin().put(2, 2);
    stepper.frame().expect("nothing fails");
    stepper.snapshot_file().expect("nothing fails");
    assert_eq!((map.pin().get(&2).expect("whole"), ladder.pin().get(&2)), (Some(&2), Some(&2)));
    assert!(store.names().is_empty());
    assert_eq!(store.health().last_snapshot_file.map(|file| file.entries), Some(0));
    put(&store, "map", 3, 3);
    assert_eq!(value_of(&store, "map", 1), None, "another map");
}

/// The number of a dropped component is given to another one by a later life; both are in the log if an older snapshot file serves.
#[test]
fn a_number_that_is_used_again_is_the_later_ones() {
    let disk = SimulatedDisk::new();
    let (store, mut stepper) = stepped(&disk);
    put(&store, "kept", 1, 1);
    put(&store, "gone", 1, 1);
    stepper.snapshot_file().expect("nothing fails");
    put(&store, "gone", 2, 2);
    stepper.frame().expect("nothing fails");
    assert!(store.drop_component("gone"));
    stepper.frame().expect("nothing fails");
    let files = |disk: &SimulatedDisk| disk.list().expect("a disk that is on");
    let older: Vec<_> = files(&disk).into_iter().map(|name| (disk.contents(&name).expect("listed"), name)).collect();
    stepper.snapshot_file().expect("nothing fails");
    drop((store, stepper));

    let disk = disk.kill();
    let (store, mut stepper) = stepped(&disk);
    // Under the name that the other one had, too.
    put(&store, "gone", 4, 4);
    stepper.frame().expect("nothing fails");
    drop((store, stepper));

    let disk = disk.kill();
    let newest = files(&disk).into_iter().filter(|name| name.starts_with("snapshot-")).max().expect("there is one");
    for (bytes, name) in older {
        if disk.contents(&name).is_err() {
            disk.put_file(&name, bytes).expect("a good name");
        }
    }
    disk.flip(&newest, 0, 0).expect("it is not empty");
    let (store, _stepper) = stepped(&disk);
    assert_eq!(store.report().skipped.len(), 1, "an older file serves");
    assert_eq!(store.names(), ["gone", "kept"]);
    assert_eq!([1, 2, 3, 4].map(|key| value_of(&store, "gone", key)), [None, None, None, Some(4)]);
    assert_eq!(value_of(&store, "kept", 1), Some(1));
}

// A component that was dropped in the store in memory alone was handed out again as one that is in no file: writes were acknowledged, and
// lost. With other types, asking for it panicked. It is dropped here, too, now, as soon as its name is asked for.
#[test]
fn a_component_that_was_dropped_in_memory_alone_is_dropped_when_its_name_is_asked_for() {
    let disk = SimulatedDisk::new();
    let (store, mut stepper) = stepped(&disk);
    store.ordered_map::<u64, u64>("ladder").expect("new").pin().put(1, 1);
    put(&store, "map", 1, 1);
    put(&store, "left", 1, 1);
    stepper.frame().expect("nothing fails");
    for name in ["ladder", "map", "left"] {
        store.store().drop_component(name);
    }
    store.ordered_map::<u64, u64>("ladder").expect("the name is free").pin().put(2, 2);
    let map = store.map::<String, u64>("map").expect("also for other types");
    map.pin().put("two".to_owned(), 2).expect("new");
    stepper.frame().expect("nothing fails");

    let (store, _stepper) = stepped(&disk.crash(1));
    let ladder = store.ordered_map::<u64, u64>("ladder").expect("an ordered map");
    assert_eq!([1, 2].map(|key| ladder.pin().get(&key).copied()), [None, Some(2)]);
    assert_eq!(store.map::<String, u64>("map").expect("of text").pin().get("two").expect("whole"), Some(&2));
    assert_eq!(value_of(&store, "left", 1), Some(1), "nobody has said so to the durable store");
}

// What such a component held before it was asked for here had gone by the log: `sync` acknowledged it, and it was lost.
#[test]
fn a_component_of_the_store_in_memory_does_not_become_durable() {
    let disk = SimulatedDisk::new();
    let (store, mut stepper) = stepped(&disk);
    store.store().map::<u64, u64>("map").expect("new").pin().put(1, 1);
    store.store().ordered_map::<u64, u64>("ladder").expect("new").pin().put(1, 1);
    stepper.frame().expect("nothing fails");
    let refused = store.map::<u64, u64>("map").expect_err("it is in memory");
    assert!(matches!(&refused, MapError::InMemory { map, found: ComponentKind::Map } if map == "map"), "{refused:?}");
    assert!(refused.to_string().contains("choose another name"), "{refused}");
    let refused = store.ordered_map::<u64, u64>("ladder").expect_err("it is in memory");
    assert!(matches!(refused, MapError::InMemory { found: ComponentKind::OrderedMap, .. }), "{refused:?}");
    assert!(!store.drop_component("map"), "it is none of the durable ones");
    assert_eq!(store.store().drop_component("map"), Some(ComponentKind::Map));
    put(&store, "map", 2, 2);
}

#[test]
fn a_store_that_was_closed_takes_a_drop_and_nothing_else() {
    let disk = SimulatedDisk::new();
    let (store, stepper) = stepped(&disk);
    put(&store, "map", 1, 1);
    stepper.close(u64::MAX).expect("nothing fails");
    drop(store);
    let disk = disk.kill();
    let (store, stepper) = stepped(&disk);
    assert!(store.drop_component("map"));
    stepper.close(u64::MAX).expect("nothing fails");
    let (store, _stepper) = stepped(&disk.crash(1));
    assert!(store.report().sealed && store.names().is_empty());
}

#[test]
fn a_drop_waits_for_its_ticket_as_a_write_does() {
    let disk = SimulatedDisk::new();
    let store = Options::new().interval(Duration::from_secs(1 << 20)).open_on(Arc::new(disk.clone())).expect("empty");
    put(&store, "map", 1, 1);
    store.sync().expect("nothing fails");
    assert!(store.drop_component("map"));
    let ticket = store.ticket();
    assert!(!ticket.is_durable());
    ticket.wait().expect("nothing fails");
    assert!(stepped(&disk.crash(1)).0.names().is_empty());
}

/// Frames that drop what is not there, or give a number away in the frame that drops it.
#[test]
fn drops_that_make_no_sense_are_refused() {
    let component = |id| ComponentRecord {
        id,
        name: format!("map {id}"),
        key_schema: "type u64\n".to_owned(),
        value_schema: "type u64\n".to_owned(),
    };
    let number = |number: u64| rkyv::to_bytes::<Error>(&number).expect("a number");
    type Write = fn(&mut LogWriter, &ComponentRecord, &[u8]);
    let cases: [(Write, bool); 5] = [
        (|log, map, _| log.define(map).and_then(|()| log.drop_component(map.id)).expect("it works"), false),
        (|log, map, _| log.drop_component(map.id).expect("it works"), true),
        (
            |log, map, key| {
                log.define(map).and_then(|()| log.drop_component(map.id)).expect("it works");
                log.put(map.id, 1, key, key).expect("it works");
            },
            true,
        ),
        (
            |log, map, _| {
                log.define(map).and_then(|()| log.drop_component(map.id)).expect("it works");
                log.define(map).expect("it works");
            },
            true,
        ),
        (
            |log, map, key| {
                log.define(map).and_then(|()| log.put(map.id, 1, key, key)).expect("it works");
                log.commit(Commit { tick_reserve: 1000, ..Commit::default() }).expect("it works");
                log.drop_component(map.id).expect("it works");
                log.commit(Commit { tick_reserve: 1000, ..Commit::default() }).expect("it works");
                log.define(map).expect("it works");
            },
            false,
        ),
    ];
    for (number_of_case, (write, is_refused)) in (0..).zip(cases) {
        let disk = SimulatedDisk::new();
        // A store without anything; its log is replaced.
        drop(stepped(&disk));
        let disk = disk.kill();
        let header = {
            let name = disk.list().expect("it is on").into_iter().find(|name| name.starts_with("snapshot-"));
            let name = name.expect("it has one");
            let file = stillpoint_persist::snapshot_file::SnapshotFile::open(&name, disk.map(&name).expect("whole"));
            *file.expect("whole").header()
        };
        for name in disk.list().expect("it is on").into_iter().filter(|name| name.starts_with("log-")) {
            disk.lose_file(&name).expect("listed");
        }
        let mut log = LogWriter::create(Arc::new(disk.clone()), LogOptions::new(header.store, 5)).expect("empty");
        write(&mut log, &component(0), &number(1));
        log.commit(Commit { tick_reserve: 1000, ..Commit::default() }).expect("it works");
        drop(log);
        match Options::new().open_stepped(Arc::new(disk.clone())) {
            Err(OpenError::File { source: FormatError::Malformed { .. }, .. }) if is_refused => {}
            Ok((store, _stepper)) if !is_refused => {
                let expected: &[&str] = if number_of_case == 0 { &[] } else { &["map 0"] };
                assert_eq!(store.names(), expected);
                assert_eq!(value_of(&store, "map 0", 1), None);
            }
            other => panic!("case {number_of_case}: {:?}", other.map(drop)),
        }
    }
}
