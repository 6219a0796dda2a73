//! Transactions: whole or not at all, in one order, whoever helps.

#![cfg(loom)]

use stillpoint::internals::{collect_garbage, move_era};
use stillpoint::{Feed, Map, MapOptions, Store, TransactionError};
use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const ONE: u64 = 1;
const TWO: u64 = 2;
const THREE: u64 = 3;
const TORN: &str = "a snapshot sees a part of a transaction";
const SKEW: &str = "two transactions have each read what the other has replaced";
const ABSENT: &str = "a key that has a value is absent";
const LOST: &str = "a subscriber is not told what was shown";
const MIXED: &str = "a closure has seen two moments";
const UNJUDGED: &str = "a value was judged over another than it has replaced";
const CHANGED: &str = "an aborted transaction has changed a key";

/// A store whose map has these keys, each with its value.
fn holding<const N: usize>(entries: [(u64, u64); N]) -> (Store, Map<u64, u64>) {
    let (store, [map]) = store_of(["map"]);
    for (key, value) in entries {
        map.pin().put(key, value);
    }
    (store, map)
}

fn open(done: Result<(), TransactionError>) {
    done.expect("an operation on the transaction's own store");
}

/// A transaction that brings two keys in, and a snapshot that looks them up beside it.
#[test]
fn a_snapshot_sees_a_transaction_whole() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let mut tx = store.begin();
        open(tx.put(&map, ONE, 11));
        open(tx.put(&map, TWO, 11));
        let reader = spawn({
            let (store, map) = (store.clone(), map.clone());
            move || {
                let _pin = map.pin();
                let still = store.snapshot();
                let seen = [ONE, TWO].map(|key| still.get(&map, &key).copied());
                assert!(seen == [None; 2] || seen == [Some(11); 2], "{TORN}: {seen:?}");
            }
        });
        open(tx.commit());
        join(reader);
    });
}

twin!(torn_when_the_clock_is_read_before_all_is_in_place:
    a_snapshot_sees_a_transaction_whole without PreparedBeforeClock, TORN);
twin!(torn_when_readers_pass_by_what_is_in_place:
    a_snapshot_sees_a_transaction_whole without ReaderDecidesPrepared, TORN);

/// A transaction that replaces what two keys hold, and a reader of one of them, which is never absent.
#[test]
fn a_key_that_a_transaction_replaces_is_never_absent() {
    explore(2, || {
        let (store, map) = holding([(ONE, 10), (TWO, 10)]);
        let mut tx = store.begin();
        open(tx.put(&map, ONE, 11));
        open(tx.put(&map, TWO, 11));
        let reader = spawn({
            let map = map.clone();
            move || assert!(map.pin().contains(&ONE), "{ABSENT}")
        });
        open(tx.commit());
        join(reader);
    });
}

twin!(absent_when_the_stamp_is_not_looked_at_again: a_key_that_a_transaction_replaces_is_never_absent without StampBehindBelow, ABSENT);

/// Two transactions, each of which brings a key in if the other's is absent.
#[test]
fn of_two_that_read_what_the_other_writes_one_begins_again() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let mut first = store.begin();
        assert_eq!(first.get(&map, &TWO), Ok(None));
        open(first.put(&map, ONE, 11));
        let second = spawn({
            let (store, map) = (store.clone(), map.clone());
            move || {
                let mut tx = store.begin();
                let Ok(None) = tx.get(&map, &ONE) else { return false };
                open(tx.put(&map, TWO, 11));
                tx.commit().is_ok()
            }
        });
        let is_first = first.commit().is_ok();
        assert!(!(join(second) && is_first), "{SKEW}");
    });
}

twin!(skew_when_reads_are_not_compared: of_two_that_read_what_the_other_writes_one_begins_again without ValidateReads, SKEW);
twin!(skew_when_what_is_in_doubt_is_passed_by:
    of_two_that_read_what_the_other_writes_one_begins_again without ValidateForeign, SKEW);

/// A transaction that brings a key in if a range is empty, and one that brings one into the range if the first one's is absent.
#[test]
fn a_key_that_comes_into_a_scanned_range_is_a_conflict() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let range = store.ordered_map::<u64, u64>("range").expect("a name of its own");
        let mut first = store.begin();
        assert_eq!(first.range(&range, ..), Ok(Vec::new()));
        open(first.put(&map, ONE, 11));
        let second = spawn({
            let (store, map, range) = (store.clone(), map.clone(), range.clone());
            move || {
                let mut tx = store.begin();
                let Ok(None) = tx.get(&map, &ONE) else { return false };
                open(tx.put(&range, TWO, 11));
                tx.commit().is_ok()
            }
        });
        let is_first = first.commit().is_ok();
        assert!(!(join(second) && is_first), "{SKEW}");
    });
}

twin!(skew_when_what_was_scanned_is_not_compared:
    a_key_that_comes_into_a_scanned_range_is_a_conflict without CompareScans, SKEW);

/// A transaction on keys of two maps, and a subscriber of the one that comes last: what a snapshot has shown, it is told.
#[test]
fn a_subscriber_is_told_of_a_transaction_that_was_shown() {
    explore(2, || {
        let (store, [first, last]) = store_of(["first", "last"]);
        let mut subscriber = last.subscribe(Feed::latest());
        let mut tx = store.begin();
        open(tx.put(&first, ONE, 11));
        open(tx.put(&last, TWO, 11));
        let reader = spawn({
            let last = last.clone();
            move || {
                let is_shown = last.pin().contains(&TWO);
                let is_told = subscriber.poll().expect("it has room").is_some();
                assert!(is_told || !is_shown, "{LOST}");
            }
        });
        open(tx.commit());
        join(reader);
    });
}

twin!(lost_when_a_transaction_is_not_announced:
    a_subscriber_is_told_of_a_transaction_that_was_shown without AnnounceTransaction, LOST);

/// A transaction whose writes were judged, and a single write of one of its keys: the validator lets steps of one pass.
#[test]
fn what_was_judged_is_what_is_replaced() {
    explore(2, || {
        let store = Store::new();
        let options = MapOptions::new().validate(|write| match (write.old, write.new) {
            (old, Some(new)) if *new == old.map_or(0, |old: &u64| old + 1) => Ok(()),
            _ => Err("no step of one"),
        });
        let map = store.map_with::<u64, u64, _>("map", options).expect("a fresh name");
        assert!(map.pin().put(ONE, 0).is_ok());
        let mut tx = store.begin();
        assert!(tx.put(&map, ONE, 1).is_ok() && tx.put(&map, TWO, 0).is_ok());
        let writer = spawn({
            let map = map.clone();
            move || assert!(map.pin().update(&ONE, |had| had + 1).is_ok(), "a step of one")
        });
        let steps = 1 + u64::from(tx.commit().is_ok());
        join(writer);
        assert_eq!(map.pin().get(&ONE), Some(&steps), "{UNJUDGED}");
    });
}

twin!(replaced_unjudged_when_what_is_written_is_not_compared:
    what_was_judged_is_what_is_replaced without ReplaceWhatWasSeen, UNJUDGED);

/// A transaction that must be aborted, for what it has read has changed, while a writer of one of its keys helps it, and comes late.
#[test]
fn what_a_late_helper_installs_is_never_gone() {
    explore(2, || {
        let (store, map) = holding([(ONE, 10), (TWO, 10), (THREE, 10)]);
        let mut tx = store.begin();
        assert_eq!(tx.get(&map, &THREE), Ok(Some(&10)));
        open(tx.put(&map, ONE, 11));
        open(tx.put(&map, TWO, 11));
        map.pin().put(THREE, 12);
        let helper = spawn({
            let map = map.clone();
            move || map.pin().put(ONE, 12)
        });
        assert!(tx.commit().is_err(), "what it has read has changed");
        store.maintain();
        join(helper);
        assert_eq!([ONE, TWO].map(|key| map.pin().get(&key).copied()), [Some(12), Some(10)], "{CHANGED}");
    });
}

twin!(met_when_a_failed_version_is_retired_before_its_helpers_are_gone:
    what_a_late_helper_installs_is_never_gone without RetireFailedWhenSafe, "an item is met");

/// As [`holding`], with values that have rooms under the model.
fn holding_in_rooms<const N: usize>(entries: [(u64, u32); N]) -> (Store, Map<u64, u32>) {
    collect_garbage();
    let store = Store::new();
    let map = store.map("map").expect("a fresh name");
    for (key, value) in entries {
        map.pin().put(key, value);
    }
    (store, map)
}

/// A transaction whose versions lie in rooms, and a writer of one of its keys, who wants the same room.
#[test]
fn a_room_is_taken_by_a_transaction_or_a_writer() {
    explore(1, || {
        let (store, map) = holding_in_rooms([(ONE, 10), (TWO, 10)]);
        let mut tx = store.begin();
        open(tx.put(&map, ONE, 11));
        open(tx.put(&map, TWO, 11));
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(ONE, 12)
        });
        let is_committed = tx.commit().is_ok();
        join(writer);
        let seen = [ONE, TWO].map(|key| map.pin().get(&key).copied());
        let is_whole = seen[1] == Some(if is_committed { 11 } else { 10 });
        assert!(is_whole && matches!(seen[0], Some(11 | 12)) && (is_committed || seen[0] == Some(12)), "{CHANGED}");
    });
}

twin!(taken_by_both_without_the_right: a_room_is_taken_by_a_transaction_or_a_writer without RoomWithRight, "twice");

/// A transaction of one key, and a writer of that key, who wants the same room.
#[test]
fn a_room_is_taken_by_a_transaction_of_one_key_or_a_writer() {
    explore(1, || {
        let (store, map) = holding_in_rooms([(ONE, 10)]);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().update(&ONE, |had| had + 1).is_some()
        });
        assert!(store.transact(|tx| tx.update(&map, &ONE, |had| had + 10)).is_ok());
        assert!(join(writer));
        assert_eq!(map.pin().get(&ONE), Some(&21), "{CHANGED}");
    });
}

twin!(taken_by_both_without_the_right_to_one_key:
    a_room_is_taken_by_a_transaction_of_one_key_or_a_writer without RoomWithRight, "twice");

/// A transaction that must be aborted, and that nobody helps, while a reader of one of its keys passes by, whose room is wanted at once.
#[test]
fn the_room_of_a_failed_version_is_taken_when_it_can_be_met_no_more() {
    explore(2, || {
        let (store, map) = holding_in_rooms([(ONE, 10), (TWO, 10), (THREE, 10)]);
        let mut tx = store.begin();
        assert_eq!(tx.get(&map, &THREE), Ok(Some(&10)));
        open(tx.put(&map, ONE, 11));
        open(tx.put(&map, TWO, 11));
        map.pin().put(THREE, 12);
        let reader = spawn({
            let map = map.clone();
            move || assert!(matches!(map.pin().get(&ONE), Some(10 | 12)), "{CHANGED}")
        });
        assert!(tx.commit().is_err(), "what it has read has changed");
        map.pin().put(ONE, 12);
        join(reader);
    });
}

twin!(failed_and_taken_under_a_reader:
    the_room_of_a_failed_version_is_taken_when_it_can_be_met_no_more without RoomWhenSafe, "a room is taken under a reader");

/// The same, of keys that are new.
#[test]
fn a_failed_version_of_a_new_key_is_met_no_more_when_its_memory_is_used() {
    explore(2, || {
        let (store, map) = holding_in_rooms([]);
        let mut tx = store.begin();
        assert_eq!(tx.get(&map, &THREE), Ok(None));
        open(tx.put(&map, ONE, 11));
        open(tx.put(&map, TWO, 11));
        map.pin().put(THREE, 12);
        let reader = spawn({
            let map = map.clone();
            move || assert!(matches!(map.pin().get(&ONE), None | Some(12)), "{CHANGED}")
        });
        assert!(tx.commit().is_err(), "what it has read has changed");
        map.pin().put(ONE, 12);
        join(reader);
    });
}

twin!(failed_in_the_first_room_and_taken_under_a_reader:
    a_failed_version_of_a_new_key_is_met_no_more_when_its_memory_is_used without FailOverVersion,
    "a room is taken under a reader");

/// As `what_a_late_helper_installs_is_never_gone`, in rooms: then somebody stands on what was installed late, and writes the key, before the rooms are
/// open and after that.
#[test]
fn what_a_late_helper_installs_in_a_room_is_not_written_over() {
    explore(2, || {
        let (store, map) = holding_in_rooms([(ONE, 10), (TWO, 10), (THREE, 10)]);
        let mut tx = store.begin();
        assert_eq!(tx.get(&map, &THREE), Ok(Some(&10)));
        open(tx.put(&map, ONE, 11));
        open(tx.put(&map, TWO, 11));
        let other = map.pin().put(THREE, 12);
        let helper = spawn({
            let map = map.clone();
            move || assert!(map.pin().compare_exchange(&ONE, other, 12).is_err(), "it is another key's version")
        });
        assert!(tx.commit().is_err(), "what it has read has changed");
        join(helper);
        move_era(&store);
        move_era(&store);
        let pin = map.pin();
        assert_eq!([ONE, TWO].map(|key| pin.get(&key).copied()), [Some(10), Some(10)], "{CHANGED}");
        map.pin().put(TWO, 13);
        drop(pin);
        store.maintain();
        let pin = map.pin();
        assert_eq!(pin.get(&TWO), Some(&13), "{CHANGED}");
        map.pin().put(TWO, 14);
        drop(pin);
        map.pin().put(TWO, 15);
        assert_eq!(map.pin().get(&TWO), Some(&15), "{CHANGED}");
    });
}

twin!(written_over_when_its_room_is_not_closed:
    what_a_late_helper_installs_in_a_room_is_not_written_over without RetireFailedWhenSafe,
    "a room is taken under a reader");

/// A closure that reads two keys, and a writer of both, one after the other.
#[test]
fn what_a_closure_sees_is_of_one_moment() {
    explore(2, || {
        let (store, map) = holding([(ONE, 10), (TWO, 10)]);
        let writer = spawn({
            let map = map.clone();
            move || [ONE, TWO].map(|key| map.pin().put(key, 11))
        });
        let seen = store.transact(|tx| {
            let seen = [*tx.get(&map, &ONE)?.expect("it has a value"), *tx.get(&map, &TWO)?.expect("it has a value")];
            assert!(seen != [10, 11], "{MIXED}: {seen:?}");
            Ok(seen)
        });
        assert!(seen.is_ok());
        join(writer);
    });
}

twin!(mixed_without_another_look: what_a_closure_sees_is_of_one_moment without LookAgain, MIXED);
