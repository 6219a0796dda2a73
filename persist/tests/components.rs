//! Ordered maps, cells and maps with options on disk: across crashes, from the log and from snapshot files.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use stillpoint::{CheckedMap, History, ManualTime, MapOptions, OrderedMap};
use stillpoint_persist::medium::SimulatedDisk;
use stillpoint_persist::{DurableStore, MapError, Options, Stepper};
use support::random::Random;

const SECOND: Duration = Duration::from_secs(1);

fn stepped_at(disk: &SimulatedDisk, time: &ManualTime) -> (DurableStore, Stepper) {
    let options = Options::new().interval(Duration::from_secs(1 << 20)).segment_bytes(64 << 10).time(time.clone());
    options.open_stepped(Arc::new(disk.clone())).expect("the disk is whole")
}

fn stepped(disk: &SimulatedDisk) -> (DurableStore, Stepper) {
    stepped_at(disk, &ManualTime::starting_at(UNIX_EPOCH + SECOND))
}

fn sessions(store: &DurableStore) -> CheckedMap<u64, String> {
    store.map_with("sessions", MapOptions::new().ttl(60 * SECOND)).expect("a map whose keys expire")
}

/// Where what is restored comes from.
#[derive(Debug, Clone, Copy)]
enum From {
    Log,
    File,
}

const BOTH: [From; 2] = [From::Log, From::File];

impl From {
    fn write(self, stepper: &mut Stepper) {
        match self {
            Self::Log => stepper.frame().expect("nothing fails"),
            Self::File => stepper.snapshot_file().expect("nothing fails"),
        }
    }
}

#[test]
fn an_ordered_map_comes_back_in_order_and_is_a_map_on_disk() {
    for from in BOTH {
        let disk = SimulatedDisk::new();
        let (store, mut stepper) = stepped(&disk);
        let map: OrderedMap<String, u64> = store.ordered_map("map").expect("it is new");
        for n in 0..5_000_u64 {
            map.pin().put(format!("{:04}", n * 7 % 5_000), n);
        }
        from.write(&mut stepper);
        map.pin().remove("0001");
        let version = map.pin().put("5000".to_owned(), 7);
        stepper.frame().expect("nothing fails");

        let (store, mut stepper) = stepped(&disk.crash(1));
        let map: OrderedMap<String, u64> = store.ordered_map("map").expect("an ordered map");
        let again: OrderedMap<String, u64> = store.ordered_map("map").expect("it is there");
        assert_eq!((map.len(), again.len()), (5_000, 5_000));
        let still = store.store().snapshot();
        assert!(still.iter(&map).take(3).map(|(key, _)| key).eq(["0000", "0002", "0003"]));
        assert_eq!(still.range::<_, _, String>(&map, ..).next_back(), Some((&"5000".to_owned(), &7)));
        assert_eq!(map.pin().versioned("5000").expect("it is there").version(), version);
        stepper.frame().expect("nothing fails");

        let (store, _stepper) = stepped(&disk.crash(2));
        let map = store.map::<String, u64>("map").expect("the same on disk").warm().expect("whole");
        assert_eq!((map.len(), map.pin().get("5000"), map.pin().get("0001")), (5_000, Some(&7), None));
        assert!(matches!(store.ordered_map::<String, u64>("map"), Err(MapError::Register(_))), "it is a map by now");
    }
}

#[test]
fn a_cell_comes_back_and_its_initial_value_does_not() {
    for from in BOTH {
        let disk = SimulatedDisk::new();
        let (store, mut stepper) = stepped(&disk);
        let (limit, other) =
            (store.cell("limit", 1_u64).expect("new"), store.cell("other", "a".to_owned()).expect("new"));
        let version = limit.set(2);
        from.write(&mut stepper);

        let (store, mut stepper) = stepped(&disk.crash(1));
        let restored = store.cell("limit", 1_u64).expect("a cell");
        assert_eq!((*restored.load(), restored.load().version()), (2, version));
        assert_eq!(
            *store.cell("other", "b".to_owned()).expect("a cell").load(),
            "a",
            "an initial value is durable, too"
        );
        assert!(restored.set(3) > version);
        stepper.frame().expect("nothing fails");
        assert_eq!((*limit.load(), &**other.load()), (2, "a"), "the other life goes on in memory");
        assert!(matches!(store.cell("limit", "text".to_owned()), Err(MapError::Register(_))));
    }
}

#[test]
fn keys_expire_when_they_would_have() {
    for from in BOTH {
        let disk = SimulatedDisk::new();
        let time = ManualTime::starting_at(UNIX_EPOCH + SECOND);
        let (store, mut stepper) = stepped_at(&disk, &time);
        let map = sessions(&store);
        let pin = map.pin();
        pin.put(1, "a minute".to_owned()).expect("nothing is checked");
        pin.put_for(2, "ten seconds".to_owned(), 10 * SECOND).expect("nothing is checked");
        pin.put_for(3, "for ever".to_owned(), Duration::MAX).expect("nothing is checked");
        drop(pin);
        from.write(&mut stepper);

        let disk = disk.crash(1);
        time.advance(30 * SECOND);
        let (store, mut stepper) = stepped_at(&disk, &time);
        let map = sessions(&store);
        let pin = map.pin();
        assert_eq!([1, 2, 3].map(|key| pin.contains(&key)), [true, false, true]);
        time.advance(30 * SECOND);
        assert_eq!([1, 2, 3].map(|key| pin.contains(&key)), [false, false, true], "not a minute from its restart");
        drop(pin);
        // A removal that expiry has made is on disk as any other, whatever time it is later.
        (0..100).for_each(|_| _ = store.store().maintain());
        assert_eq!(map.len(), 1);
        stepper.frame().expect("nothing fails");
        let early = ManualTime::starting_at(UNIX_EPOCH + SECOND);
        let (store, _stepper) = stepped_at(&disk.crash(2), &early);
        assert_eq!([1, 2, 3].map(|key| sessions_of(&store).pin().contains(&key)), [false, false, true]);
    }
}

fn sessions_of(store: &DurableStore) -> CheckedMap<u64, String> {
    store.store().checked_map("sessions").unwrap_or_else(|_| sessions(store))
}

#[test]
fn a_map_whose_keys_expire_is_of_another_type_than_one_whose_keys_do_not() {
    let disk = SimulatedDisk::new();
    let (store, mut stepper) = stepped(&disk);
    sessions(&store).pin().put(1, "a".to_owned()).expect("nothing is checked");
    store.map::<u64, String>("plain").expect("new").pin().put(1, "a".to_owned()).expect("it is new");
    stepper.frame().expect("nothing fails");
    let (store, _stepper) = stepped(&disk.crash(1));
    assert!(matches!(store.map::<u64, String>("sessions"), Err(MapError::OtherType { .. })));
    let options = MapOptions::<u64, String>::new().ttl(SECOND);
    assert!(matches!(store.map_with("plain", options), Err(MapError::OtherType { .. })));
    // Nothing was harmed, and the names are free.
    assert_eq!(sessions(&store).len(), 1);
    assert_eq!(store.map::<u64, String>("plain").expect("plain").warm().expect("whole").len(), 1);
}

#[test]
fn checks_hold_from_then_on_and_a_bound_counts_what_was_restored() {
    for from in BOTH {
        let disk = SimulatedDisk::new();
        let (store, mut stepper) = stepped(&disk);
        let loose = store.map_with("map", MapOptions::<u64, i64>::new().keys_max(3)).expect("new");
        (0..3).for_each(|key| _ = loose.pin().put(key, -1).expect("there is room"));
        from.write(&mut stepper);

        let (store, _stepper) = stepped(&disk.crash(1));
        let options = MapOptions::<u64, i64>::new()
            .validate(|write| if write.new.is_none_or(|new| *new >= 0) { Ok(()) } else { Err("negative") })
            .keys_max(3);
        let strict = store.map_with("map", options).expect("the same on disk");
        let pin = strict.pin();
        assert_eq!(pin.get(&0), Some(&-1), "it was judged when it was written");
        assert!(pin.put(0, -2).is_err() && pin.put(0, 2).is_ok());
        assert!(pin.put(9, 9).is_err(), "three places are taken");
        assert!(pin.remove(&1).is_ok() && pin.put(9, 9).is_ok() && pin.put(10, 10).is_err());
    }
}

#[test]
fn a_history_begins_anew_with_the_newest_versions() {
    for from in BOTH {
        let disk = SimulatedDisk::new();
        let (store, mut stepper) = stepped(&disk);
        let options = || MapOptions::<u64, u64>::new().history(History::last(4));
        let map = store.map_with("map", options()).expect("new");
        let last = [0, 1, 2].map(|n| map.pin().put(1, n))[2];
        from.write(&mut stepper);

        let (store, _stepper) = stepped(&disk.crash(1));
        let map = store.map_with("map", options()).expect("the same on disk");
        let pin = map.pin();
        assert!(pin.put(1, 10) > last);
        let told: Vec<_> = pin.history(&1).expect("it keeps history").map(|revision| revision.value.copied()).collect();
        assert_eq!(told, [Some(10), Some(2)]);
    }
}

/// Ordered maps, cells and keys that expire, written at random; frames and snapshot files in between. After a crash all of them are what they
/// were at the last frame.
#[test]
fn after_a_crash_everything_is_of_one_frame() {
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let mut disk = SimulatedDisk::new();
        let mut durable = (BTreeMap::new(), 0_u64, BTreeMap::new());
        for life in 0..4 {
            let (store, mut stepper) = stepped(&disk);
            let ordered = store.ordered_map::<u64, u64>("ordered").expect("an ordered map");
            let cell = store.cell("cell", 0_u64).expect("a cell");
            let expiring = sessions(&store);
            let now = || {
                let still = store.store().snapshot();
                let ordered: BTreeMap<u64, u64> =
                    still.range::<_, _, u64>(&ordered, ..).map(|(k, v)| (*k, *v)).collect();
                let expiring: BTreeMap<u64, String> = still.iter(&expiring).map(|(k, v)| (*k, v.clone())).collect();
                (ordered, *still.load(&cell).expect("it has a value"), expiring)
            };
            assert_eq!(now(), durable, "seed {seed}, life {life}");
            for _ in 0..random.below(60) {
                let key = random.below(12);
                match random.below(12) {
                    0..=3 => _ = ordered.pin().put(key, random.next()),
                    4 => _ = ordered.pin().remove(&key),
                    5 => _ = cell.set(random.next()),
                    6..=8 => _ = expiring.pin().put(key, key.to_string()).expect("nothing is checked"),
                    9 => _ = expiring.pin().remove(&key).expect("nothing is checked"),
                    10 => {
                        stepper.frame().expect("nothing fails");
                        durable = now();
                    }
                    _ => {
                        stepper.snapshot_file().expect("nothing fails");
                        durable = now();
                    }
                }
            }
            disk = disk.crash(random.next());
        }
    }
}
