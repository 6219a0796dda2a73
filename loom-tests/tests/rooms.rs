//! Rooms inside slots: written again by one writer at a time, and not under a reader.

#![cfg(loom)]

use stillpoint::internals::{collect_garbage, move_era};
use stillpoint::{Map, Store};
use stillpoint_loom_tests::log::{LOST as LOST_NOTE, Log};
use stillpoint_loom_tests::{explore, join, spawn, twin};

const KEY: u64 = 1;
const UNDER_A_READER: &str = "a room is taken under a reader";
const TWICE: &str = "twice";
const LOST: &str = "a snapshot has lost what it showed";
const LENT: &str = "a snapshot lends what was retired";
const LATER: &str = "a snapshot shows what came after it";

/// Values of 32 bits have rooms under the model.
fn store_with_rooms() -> (Store, Map<u64, u32>) {
    collect_garbage();
    let store = Store::new();
    let map = store.map("map").expect("a fresh name");
    (store, map)
}

/// A reader beside a writer that writes three times, so one room again, and a thread that moves the era meanwhile.
#[test]
fn a_room_is_taken_again_when_it_can_be_met_no_more() {
    explore(2, || {
        let (store, map) = store_with_rooms();
        map.pin().put(KEY, 1);
        let mover = spawn({
            let store = store.clone();
            move || move_era(&store)
        });
        let reader = spawn({
            let map = map.clone();
            move || {
                let pin = map.pin();
                let seen = pin.get(&KEY);
                assert!(matches!(seen, Some(1..=3)), "a reader sees what nobody wrote");
            }
        });
        map.pin().put(KEY, 2);
        map.pin().put(KEY, 3);
        join(mover);
        join(reader);
        assert_eq!(map.pin().get(&KEY), Some(&3));
    });
}

twin!(taken_under_a_reader_when_it_is_not_waited_for: a_room_is_taken_again_when_it_can_be_met_no_more without RoomWhenSafe, UNDER_A_READER);
twin!(taken_under_a_reader_when_the_tag_is_that_of_now: a_room_is_taken_again_when_it_can_be_met_no_more without RoomTagAhead, UNDER_A_READER);

/// Two writers of one key, of whose rooms one is free.
#[test]
fn a_room_is_taken_by_one_writer() {
    explore(1, || {
        let (_store, map) = store_with_rooms();
        map.pin().put(KEY, 1);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 2)
        });
        let put = map.pin().put(KEY, 3);
        let other = join(writer);
        let last = if put > other { 3 } else { 2 };
        assert_eq!(map.pin().get(&KEY), Some(&last), "a write is lost in a room");
    });
}

twin!(taken_twice_without_the_right: a_room_is_taken_by_one_writer without RoomWithRight, TWICE);

/// Two writers of a new key, each of whom may meet its slot empty.
#[test]
fn the_first_room_is_taken_by_one_writer() {
    explore(1, || {
        let (_store, map) = store_with_rooms();
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 2)
        });
        let put = map.pin().put(KEY, 3);
        let other = join(writer);
        let last = if put > other { 3 } else { 2 };
        assert_eq!(map.pin().get(&KEY), Some(&last), "a write is lost in a room");
        assert_eq!(map.len(), 1, "a key is counted once");
    });
}

twin!(the_first_one_taken_twice_without_the_right: the_first_room_is_taken_by_one_writer without RoomWithRight, TWICE);

/// A writer that gives a room back, since another has come first, beside that one.
#[test]
fn a_room_that_is_given_back_is_free() {
    explore(1, || {
        let (_store, map) = store_with_rooms();
        let version = map.pin().put(KEY, 1);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().compare_exchange(&KEY, version, 2).is_ok()
        });
        let mine = map.pin().compare_exchange(&KEY, version, 3).is_ok();
        let other = join(writer);
        assert!(mine != other, "one of two exchanges of one version comes about");
        assert_eq!(map.pin().get(&KEY), Some(if mine { &3 } else { &2 }));
        assert_eq!(map.pin().update(&KEY, |value| value + 10).map(|new| *new), Some(if mine { 13 } else { 12 }));
    });
}

/// Moves the clock, as anyone's snapshot does.
fn pass_time(store: &Store) {
    drop(store.snapshot());
}

/// Moves the eras on so far that what was left before is safe, unless somebody is pinned meanwhile.
fn pass_eras(store: &Store) {
    move_era(store);
    move_era(store);
}

/// A value that is left beside a snapshot, which is looked at twice, and a write that has a use for its room.
#[test]
fn what_a_snapshot_sees_is_not_written_over() {
    explore(2, || {
        let (store, map) = store_with_rooms();
        map.pin().put(KEY, 1);
        let reader = spawn({
            let (store, map) = (store.clone(), map.clone());
            move || {
                let still = store.snapshot();
                let first = still.get(&map, &KEY).copied();
                assert!(matches!(first, Some(1..=3)), "{LOST}");
                assert_eq!(still.get(&map, &KEY).copied(), first, "{LOST}");
            }
        });
        map.pin().put(KEY, 2);
        pass_eras(&store);
        map.pin().put(KEY, 3);
        join(reader);
    });
}

twin!(lost_when_written_over_without_a_look_at_snapshots:
    what_a_snapshot_sees_is_not_written_over without PruneChecksSnapshots, LENT);

/// As above, of a key that changes faster than rooms get free: its versions lie elsewhere, over what the snapshot sees, and are taken out there.
#[test]
fn what_a_snapshot_sees_stays_below_a_key_that_changes_fast() {
    explore(2, || {
        let (store, map) = store_with_rooms();
        map.pin().put(KEY, 1);
        let reader = spawn({
            let (store, map) = (store.clone(), map.clone());
            move || {
                let still = store.snapshot();
                let first = still.get(&map, &KEY).copied();
                assert!(matches!(first, Some(1..=4)), "{LOST}");
                assert_eq!(still.get(&map, &KEY).copied(), first, "{LOST}");
            }
        });
        (2..=4).for_each(|value| _ = map.pin().put(KEY, value));
        join(reader);
        assert_eq!(map.pin().get(&KEY), Some(&4), "a write is lost in a room");
    });
}

twin!(lost_below_when_written_without_a_look_at_snapshots:
    what_a_snapshot_sees_stays_below_a_key_that_changes_fast without PruneChecksSnapshots, LENT);

/// A reader beside a writer that leaves what it replaces, since time passes, and then has a use for its room; and a thread that moves the era.
#[test]
fn a_room_that_was_left_is_taken_when_it_can_be_met_no_more() {
    explore(2, || {
        let (store, map) = store_with_rooms();
        map.pin().put(KEY, 1);
        pass_time(&store);
        let mover = spawn({
            let store = store.clone();
            move || move_era(&store)
        });
        let reader = spawn({
            let map = map.clone();
            move || {
                let pin = map.pin();
                let seen = pin.get(&KEY);
                assert!(matches!(seen, Some(1..=3)), "a reader sees what nobody wrote");
            }
        });
        map.pin().put(KEY, 2);
        map.pin().put(KEY, 3);
        join(mover);
        join(reader);
        assert_eq!(map.pin().get(&KEY), Some(&3));
    });
}

twin!(taken_when_left_to_readers: a_room_that_was_left_is_taken_when_it_can_be_met_no_more without RoomWhenSafe, UNDER_A_READER);
twin!(taken_when_left_with_the_tag_of_now: a_room_that_was_left_is_taken_when_it_can_be_met_no_more without RoomTagAhead, UNDER_A_READER);

/// A snapshot that is older than a key passes by a version that another one saw, which has ended, and whose room has a new use.
#[test]
fn a_snapshot_passes_by_what_was_left() {
    explore(2, || {
        let (store, map) = store_with_rooms();
        let still = store.snapshot();
        map.pin().put(KEY, 1);
        pass_time(&store);
        map.pin().put(KEY, 2);
        pass_eras(&store);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 3)
        });
        assert_eq!(still.get(&map, &KEY), None, "{LATER}");
        join(writer);
        assert_eq!(still.get(&map, &KEY), None, "{LATER}");
    });
}

twin!(met_when_left_for_those_only_who_see_it: a_snapshot_passes_by_what_was_left without LeftForPassers, UNDER_A_READER);

/// A room that is freed between the newest version and one that a snapshot sees, and that lies elsewhere; beside a reader of what is in it.
#[test]
fn a_room_freed_in_the_middle_is_taken_when_it_can_be_met_no_more() {
    explore(2, || {
        let (store, map) = store_with_rooms();
        // The third finds no room that is safe.
        (1..=3).for_each(|value| _ = map.pin().put(KEY, value));
        let still = store.snapshot();
        pass_eras(&store);
        map.pin().put(KEY, 4);
        let reader = spawn({
            let map = map.clone();
            move || {
                let pin = map.pin();
                assert!(matches!(pin.get(&KEY), Some(4..=6)), "a reader sees what nobody wrote");
            }
        });
        map.pin().put(KEY, 5);
        map.pin().put(KEY, 6);
        join(reader);
        assert_eq!(still.get(&map, &KEY), Some(&3), "{LOST}");
    });
}

twin!(taken_in_the_middle_under_a_reader:
    a_room_freed_in_the_middle_is_taken_when_it_can_be_met_no_more without RoomWhenSafe, UNDER_A_READER);

/// A value that is written in place of another one, and a cut beside it.
#[test]
fn what_is_written_in_place_is_in_the_first_cut_that_shows_it() {
    explore(2, || {
        let (store, map) = store_with_rooms();
        map.pin().put(KEY, 1);
        let mut log = Log::begin(&store, &map);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 2)
        });
        let cut = log.cut();
        let written = join(writer);
        log.keep(cut);
        log.end(&[written]);
    });
}

twin!(lost_in_place_without_announcing:
    what_is_written_in_place_is_in_the_first_cut_that_shows_it without AnnounceBeforeInstall, LOST_NOTE);
twin!(lost_in_place_when_noted_before_the_install:
    what_is_written_in_place_is_in_the_first_cut_that_shows_it without NoteAfterStamp, LOST_NOTE);
