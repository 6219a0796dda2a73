//! Maps that serve while they are being restored, components that nobody asks for, and versions across lives.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stillpoint::Version;
use stillpoint_persist::format::names::snapshot_generation;
use stillpoint_persist::medium::{Medium, SimulatedDisk};
use stillpoint_persist::snapshot_file::SnapshotFile;
use stillpoint_persist::{DurabilityError, DurableStore, Options, ReadError, Stepper, Warming};
use support::random::Random;

const ENTRIES: u64 = 200_000;

fn stepped(disk: &SimulatedDisk) -> (DurableStore, Stepper) {
    let options = Options::new().interval(Duration::from_secs(1 << 20)).segment_bytes(64 << 10);
    options.open_stepped(Arc::new(disk.clone())).expect("the disk is whole")
}

fn numbers(store: &DurableStore) -> Warming<u64, String> {
    store.map("numbers").expect("the same types")
}

fn text(number: u64) -> String {
    format!("the text of {number}")
}

/// A disk whose map lies in a snapshot file, wholly.
fn filled(entries: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let (store, mut stepper) = stepped(&disk);
    let map = numbers(&store).warm().expect("it is new");
    for number in 0..entries {
        map.pin().put(number, text(number));
    }
    stepper.snapshot_file().expect("nothing fails");
    stepper.close(u64::MAX).expect("nothing fails");
    disk
}

fn all(store: &DurableStore) -> BTreeMap<u64, (String, Version)> {
    let map = numbers(store).warm().expect("whole");
    let still = store.store().snapshot();
    let view = still.of(&map).expect("a map of this store");
    view.iter_versioned().map(|(key, seen)| (*key, (seen.value().clone(), seen.version()))).collect()
}

#[test]
fn two_threads_at_work_in_a_large_map_that_is_coming_in() {
    let scratch = tempfile::tempdir().expect("a directory");
    let store = Options::new().open(scratch.path()).expect("an empty directory");
    let map = numbers(&store).warm().expect("it is new");
    for number in 0..ENTRIES {
        map.pin().put(number, text(number));
    }
    store.close().expect("nothing fails");

    let store = Options::new().interval(Duration::from_millis(2)).open(scratch.path()).expect("it is whole");
    assert_eq!(store.report().entries, ENTRIES);
    let map = numbers(&store);
    let was_warm = map.is_warm();
    // Each thread owns the keys of its parity, and knows what they hold; of the others' it knows what they may be.
    let models: Vec<BTreeMap<u64, Option<String>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|thread| {
                let map = map.clone();
                scope.spawn(move || {
                    let mut random = Random::new(thread);
                    let mut model = BTreeMap::new();
                    for round in 0..60_000 {
                        let key = random.below(ENTRIES + ENTRIES / 10) / 2 * 2 + thread;
                        let pin = map.pin();
                        let expected = model.entry(key).or_insert_with(|| (key < ENTRIES).then(|| text(key)));
                        assert_eq!(pin.get(&key).expect("whole"), expected.as_ref(), "key {key}");
                        match random.below(4) {
                            0 => {
                                pin.put(key, text(round)).expect("whole");
                                *expected = Some(text(round));
                            }
                            1 => {
                                assert_eq!(pin.remove(&key).expect("whole").is_some(), expected.is_some());
                                *expected = None;
                            }
                            2 => {
                                let inserted = pin.insert(key, text(round)).expect("whole").is_ok();
                                assert_eq!(inserted, expected.is_none());
                                expected.get_or_insert_with(|| text(round));
                            }
                            _ => {
                                let other = key ^ 1;
                                let seen = pin.get(&other).expect("whole");
                                assert!(seen.is_none_or(|seen| seen.starts_with("the text of ")));
                            }
                        }
                    }
                    model
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no assertion failed")).collect()
    });
    let mut expected: BTreeMap<u64, String> = (0..ENTRIES).map(|number| (number, text(number))).collect();
    for (key, value) in models.into_iter().flatten() {
        match value {
            Some(value) => expected.insert(key, value),
            None => expected.remove(&key),
        };
    }
    assert!(!was_warm, "the test is about a map that is not");
    let found =
        |store: &DurableStore| all(store).into_iter().map(|(key, (value, _))| (key, value)).collect::<BTreeMap<_, _>>();
    assert!(found(&store) == expected, "in memory");
    assert!(map.is_warm());
    assert_eq!(map.warm().expect("whole").len(), expected.len());
    store.close().expect("nothing fails");
    assert!(found(&Options::new().open(scratch.path()).expect("it is whole")) == expected, "after a restart");
}

#[test]
fn what_is_removed_before_it_came_in_stays_removed() {
    let disk = filled(3_000);
    let (store, mut stepper) = stepped(&disk);
    let map = numbers(&store);
    for key in (0..3_000).step_by(3) {
        assert_eq!(map.pin().remove(&key).expect("whole").map(|seen| seen.value().clone()), Some(text(key)));
        assert_eq!(map.pin().get(&key).expect("whole"), None);
        assert!(map.pin().remove(&key).expect("whole").is_none());
    }
    while store.store().maintain() {}
    stepper.frame().expect("nothing fails");
    // The rest comes in, over the traces of what was removed; and once more in another life, from the log.
    let lives = [disk.crash(1), disk.kill()];
    while stepper.step() {}
    let expect = |store: &DurableStore| {
        let all = all(store);
        assert_eq!(all.len(), 2_000);
        assert!(all.keys().all(|key| key % 3 != 0));
    };
    expect(&store);
    for life in lives {
        let (store, mut stepper) = stepped(&life);
        assert_eq!(numbers(&store).pin().get(&3).expect("whole"), None);
        stepper.snapshot_file().expect("nothing fails");
        expect(&store);
        drop((store, stepper));
        expect(&stepped(&life).0);
    }
}

#[test]
fn absent_keys_are_absent_also_before_all_has_come_in() {
    let (store, _stepper) = stepped(&filled(1_000));
    let map = numbers(&store);
    let pin = map.pin();
    for key in 1_000..3_000 {
        assert_eq!(pin.get(&key).expect("whole"), None);
        assert!(!pin.contains(&key).expect("whole"));
        assert!(pin.update(&key, String::clone).expect("whole").is_none());
        assert!(pin.remove(&key).expect("whole").is_none());
    }
    assert!(pin.insert(0, String::new()).expect("whole").is_err(), "it is there, and has not come in");
    assert!(pin.insert(5_000, text(5_000)).expect("whole").is_ok());
    drop(pin);
    assert_eq!(all(&store).len(), 1_001);
}

#[test]
fn operations_bring_in_what_they_need_and_see_its_version() {
    let disk = filled(2_000);
    let before = all(&stepped(&disk.kill()).0);
    let (store, _stepper) = stepped(&disk);
    let map = numbers(&store);
    let pin = map.pin();
    let version = |key| before[&key].1;
    assert_eq!(pin.versioned(&1).expect("whole").expect("stored").version(), version(1));
    assert!(pin.compare_exchange(&500, version(500), text(1)).expect("whole").is_ok());
    assert!(
        pin.compare_exchange(&1_000, version(500), text(1)).expect("whole").is_err() || version(500) == version(1_000)
    );
    assert!(pin.compare_exchange_value(&1_500, &text(1_500), text(2)).expect("whole").is_ok());
    assert_eq!(*pin.upsert(1_900, |old| format!("{}!", old.expect("stored"))).expect("whole"), text(1_900) + "!");
    assert_eq!(pin.get_or_insert_with(1_999, || unreachable!("stored")).expect("whole"), &text(1_999));
    assert!(pin.update(&700, |old| format!("{old}?")).expect("whole").expect("stored").version() > version(700));
    assert!(pin.remove_if(&800, |old| *old == text(800)).expect("whole").is_some());
}

#[test]
fn a_damaged_block_is_refused_and_the_others_serve() {
    let whole = filled(3_000);
    let name = whole.list().expect("on").into_iter().find(|name| snapshot_generation(name).is_some()).expect("a file");
    let disk = whole.kill();
    disk.flip(&name, 4096 + 20_000, 1).expect("in the second chunk");
    let (store, mut stepper) = stepped(&disk);
    let map = numbers(&store);
    let mut refused = Vec::new();
    for key in 0..3_000 {
        let pin = map.pin();
        match pin.get(&key) {
            Ok(seen) => {
                assert_eq!(seen, Some(&text(key)));
                pin.put(key, text(key + 1)).expect("a block that is whole");
            }
            Err(error) => {
                assert!(matches!(&error, ReadError::Damaged(cause) if cause.to_string().contains(&name)), "{error:?}");
                for again in [pin.put(key, text(0)).map(drop), pin.remove(&key).map(drop), pin.contains(&key).map(drop)]
                {
                    assert!(matches!(again, Err(ReadError::Damaged(_))), "{again:?}");
                }
                refused.push(key);
            }
        }
    }
    assert!(!refused.is_empty() && refused.len() < 500, "{} of 3,000", refused.len());
    assert!(matches!(map.warm(), Err(ReadError::Damaged(_))));
    assert!(!map.is_warm());

    // The log goes on without the snapshot file, which can't be written.
    stepper.frame().expect("the log has nothing to do with it");
    while stepper.step() {}
    assert!(matches!(store.health().last_error, Some(DurabilityError::Unreadable(_))), "{:?}", store.health());
    let error = stepper.snapshot_file().expect_err("a part of the state can't be read");
    assert!(matches!(error, DurabilityError::Unreadable(_)), "{error:?}");
    map.pin().put(9_999, text(9_999)).expect("absent, and in no damaged block");
    stepper.frame().expect("the log has nothing to do with it");
    drop((store, stepper));

    // With the file from a backup, everything is there, with all that was written meanwhile.
    disk.put_file(&name, whole.contents(&name).expect("it is there")).expect("a good name");
    let all = all(&stepped(&disk).0);
    assert_eq!(all.len(), 3_001);
    let expected = |key: &u64| if refused.contains(key) || *key == 9_999 { text(*key) } else { text(*key + 1) };
    assert!(all.iter().all(|(key, (value, _))| *value == expected(key)));
}

#[test]
fn a_snapshot_file_written_while_a_map_comes_in_holds_everything() {
    let disk = filled(3_000);
    let before = all(&stepped(&disk.kill()).0);
    for turns in 0..6 {
        let disk = disk.kill();
        let (store, mut stepper) = stepped(&disk);
        let map = numbers(&store);
        for _ in 0..turns {
            stepper.step();
        }
        let version = map.pin().put(7, text(0)).expect("whole");
        map.pin().remove(&8).expect("whole");
        stepper.snapshot_file().expect("nothing fails");
        drop((store, stepper));
        let (store, _stepper) = stepped(&disk.crash(turns));
        assert_eq!((store.report().entries, store.report().frames), (2_999, 0));
        let mut expected = before.clone();
        expected.insert(7, (text(0), version));
        expected.remove(&8);
        assert!(all(&store) == expected, "after {turns} turns");
    }
}

/// By key: the version and the value, all as bytes.
type Bytes = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;

/// What the newest snapshot file has of a component.
fn bytes_of(disk: &SimulatedDisk, component: &str) -> Bytes {
    let names = disk.list().expect("on");
    let name = names.iter().filter(|name| snapshot_generation(name).is_some()).max().expect("a file");
    let file = SnapshotFile::open(name, disk.map(name).expect("listed")).expect("whole");
    file.verify().expect("whole");
    let component = file.component(component).expect("it is carried along");
    let chunks = (0..component.chunk_count()).map(|number| component.chunk(number).expect("whole"));
    let entries = chunks.flat_map(|chunk| chunk.entries());
    entries.map(|entry| (entry.key.to_vec(), (entry.version, entry.value.to_vec()))).collect()
}

#[test]
fn what_nobody_asks_for_is_carried_along_byte_for_byte() {
    let disk = filled(1_000);
    // A tail over the file: overwritten, removed, new.
    let (store, mut stepper) = stepped(&disk);
    let map = numbers(&store);
    for key in (0..1_200).step_by(7) {
        map.pin().put(key, text(key + 1)).expect("whole");
        map.pin().remove(&(key + 1)).expect("whole");
    }
    stepper.frame().expect("nothing fails");
    map.pin().put(7, "the last word".to_owned()).expect("whole");
    stepper.frame().expect("nothing fails");
    drop((store, stepper));
    let expected = all(&stepped(&disk.kill()).0);

    // The same state, written by who knows the types, and by who does not.
    let asked = disk.kill();
    let (store, mut stepper) = stepped(&asked);
    drop(numbers(&store));
    stepper.snapshot_file().expect("nothing fails");
    let known = bytes_of(&asked, "numbers");
    assert_eq!(known.len(), expected.len());
    for life in 0..3 {
        let (store, mut stepper) = stepped(&disk);
        assert_eq!(store.names(), if life == 0 { vec!["numbers"] } else { vec!["numbers", "other"] });
        store.map::<u64, u64>("other").and_then(|other| Ok(other.pin().put(life, life)?)).expect("it is new");
        for _ in 0..2 {
            stepper.snapshot_file().expect("nothing fails");
            assert!(bytes_of(&disk, "numbers") == known, "in life {life}");
        }
        match life {
            0 => stepper.close(0).expect("nothing fails"),
            _ => drop(stepper),
        }
    }
    assert!(all(&stepped(&disk.crash(3)).0) == expected);
}

#[test]
fn a_map_asked_for_while_a_file_carries_it_along_loses_nothing() {
    let disk = filled(1_000);
    let options = Options::new().interval(Duration::from_secs(1 << 20)).segment_bytes(64 << 10).tail_bytes_max(1);
    for pieces in 0..8 {
        let disk = disk.kill();
        let (store, mut stepper) = options.clone().open_stepped(Arc::new(disk.clone())).expect("whole");
        store.map::<u64, u64>("other").and_then(|other| Ok(other.pin().put(1, 1)?)).expect("it is new");
        stepper.frame().expect("nothing fails");
        // Begins a file, and writes some of it; only then the map is asked for.
        for _ in 0..pieces {
            stepper.step();
        }
        numbers(&store).pin().put(3, text(0)).expect("whole");
        stepper.frame().expect("nothing fails");
        for _ in 0..40 {
            stepper.step();
        }
        stepper.snapshot_file().expect("nothing fails");
        drop((store, stepper));
        let all = all(&stepped(&disk.crash(pieces)).0);
        assert_eq!((all.len(), &all[&3].0), (1_000, &text(0)), "after {pieces} pieces");
    }
}

#[test]
fn versions_grow_and_incarnations_differ_from_life_to_life() {
    let mut disk = SimulatedDisk::new();
    let mut newest = Version::from_u64(0);
    let mut last_incarnation = 0;
    for life in 0..40_u64 {
        let (store, mut stepper) = stepped(&disk);
        assert!(store.incarnation() > last_incarnation, "in life {life}");
        last_incarnation = store.incarnation();
        let map = numbers(&store);
        if store.report().sealed || store.report().created {
            // From a store that was closed, versions are set aside with the first frame.
            newest = newest.max(map.pin().put(0, text(life)).expect("whole"));
            stepper.frame().expect("nothing fails");
        }
        for round in 0..3 {
            let version = map.pin().put(0, text(round)).expect("whole");
            assert!(version > newest, "{version} after {newest} in life {life}");
            newest = version;
            (0..50).for_each(|_| drop(store.store().snapshot()));
        }
        match life % 5 {
            // Versions that were seen, and of which the disk knows nothing.
            0 | 1 => {}
            2 => stepper.frame().expect("nothing fails"),
            3 => stepper.snapshot_file().expect("nothing fails"),
            _ => stepper.close(if life % 2 == 0 { 0 } else { u64::MAX }).expect("nothing fails"),
        }
        drop(store);
        disk = if life % 4 == 0 { disk.crash(life) } else { disk.kill() };
    }
}

#[test]
fn a_clock_that_snapshots_move_far_is_set_aside_without_a_change() {
    let disk = SimulatedDisk::new();
    let (store, mut stepper) = stepped(&disk);
    numbers(&store).pin().put(1, text(1)).expect("whole");
    stepper.frame().expect("nothing fails");
    let frames = store.health().frames;
    for _ in 0..4 {
        // As many as pass in seconds of a program that takes nothing but snapshots.
        store.store().raise_clock(store.store().tick() + (12 << 20));
        stepper.frame().expect("nothing fails");
    }
    assert!(store.health().frames > frames);
    let version = numbers(&store).pin().put(1, text(2)).expect("whole");
    let (store, _stepper) = stepped(&disk.crash(1));
    assert!(numbers(&store).pin().put(1, text(3)).expect("whole") > version);
}

#[test]
fn a_reader_never_waits_for_the_rest_of_the_map() {
    let (store, mut stepper) = stepped(&filled(20_000));
    let map = numbers(&store);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(1);
            while !done.load(Ordering::Relaxed) {
                let key = random.below(20_000);
                assert_eq!(map.pin().get(&key).expect("whole"), Some(&text(key)));
            }
        });
        while stepper.step() {}
        done.store(true, Ordering::Relaxed);
    });
    assert!(map.is_warm());
}
