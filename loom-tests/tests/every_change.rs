//! Feeds of every change: what a reader has not been told is still there, or it knows that it is not.

#![cfg(loom)]

use std::time::UNIX_EPOCH;

use stillpoint::{Every, Feed, Keys, Lagged, ManualTime, Map, MapOptions, Store, Subscriber};
use stillpoint_loom_tests::{explore, join, spawn, twin};

const KEY: u64 = 1;
const MISSED: &str = "a change is missed in silence";
const MISCOUNTED: &str = "what was missed is not counted exactly";
const GONE: &str = "a change that is wanted has gone";
const OVERFULL: &str = "more waits for a reader than may";
/// Bytes for one change, not for two.
const ONE_CHANGE: usize = 128 + 8;

/// A map that keeps every change, in a store whose time stands still.
fn keeping() -> (Store, Map<u64, u64>) {
    let store = Store::with_time(ManualTime::starting_at(UNIX_EPOCH));
    let map = store.map_with("map", MapOptions::new().every_change(1 << 20)).expect("a fresh name");
    (store, map)
}

/// Asks once, and adds what is told.
fn ask(subscriber: &mut Subscriber<Keys<u64, u64>, Every>, told: &mut Vec<u64>) -> Result<(), Lagged> {
    if let Some(batch) = subscriber.poll()? {
        told.extend(batch.iter().filter_map(|change| change.value.copied()));
    }
    Ok(())
}

/// A writer of one key, asked about in between: each change is told once, in order.
#[test]
fn what_was_not_told_is_not_pruned() {
    explore(1, || {
        let (_store, map) = keeping();
        let mut subscriber = map.subscribe(Feed::every()).expect("it keeps every change");
        let writer = spawn({
            let map = map.clone();
            move || (1..=2).for_each(|n| _ = map.pin().put(KEY, n))
        });
        let mut told = Vec::new();
        ask(&mut subscriber, &mut told).expect(GONE);
        join(writer);
        ask(&mut subscriber, &mut told).expect(GONE);
        assert_eq!(told, [1, 2], "{MISSED}");
    });
}

twin!(missed_when_pruners_look_at_no_readers: what_was_not_told_is_not_pruned without KeepUnread, GONE);

/// Who begins beside a writer is told all that its first snapshot does not show.
#[test]
fn who_begins_is_told_what_its_snapshot_does_not_show() {
    explore(1, || {
        let (_store, map) = keeping();
        map.pin().put(KEY, 1);
        let writer = spawn({
            let map = map.clone();
            move || (2..=3).for_each(|n| _ = map.pin().put(KEY, n))
        });
        let mut subscriber = map.subscribe(Feed::every()).expect("it keeps every change");
        let shown = subscriber.resync().get(&map, &KEY).copied().expect("it was there before");
        join(writer);
        let mut told = Vec::new();
        ask(&mut subscriber, &mut told).expect(GONE);
        assert_eq!(told, (shown + 1..=3).collect::<Vec<u64>>(), "{MISSED}");
    });
}

/// Who resumes beside a writer that prunes what nobody wants is told all that came after its cursor, or that some of it has gone.
#[test]
fn who_resumes_is_told_all_or_knows_that_it_is_not() {
    explore(1, || {
        let (_store, map) = keeping();
        let cursor = map.subscribe(Feed::every()).expect("it keeps every change").cursor();
        map.pin().put(KEY, 1);
        let writer = spawn({
            let map = map.clone();
            move || _ = map.pin().put(KEY, 2)
        });
        let mut subscriber = map.resume(Feed::every(), cursor).expect("a cursor of this store");
        join(writer);
        let mut told = Vec::new();
        if ask(&mut subscriber, &mut told).is_ok() {
            assert_eq!(told, [1, 2], "{MISSED}");
        }
    });
}

/// What is told, and what is said to be missed, is all that came after where the reader began: it begins beside a writer that moves the clock, and is
/// given up by what comes later.
#[test]
fn what_was_missed_is_counted_from_where_the_reader_began() {
    explore(1, || {
        let store = Store::with_time(ManualTime::starting_at(UNIX_EPOCH));
        let map = store.map_with("map", MapOptions::<u64, u64>::new().every_change(1)).expect("a fresh name");
        let writer = spawn({
            let (store, map) = (store.clone(), map.clone());
            move || {
                drop(store.snapshot());
                map.pin().put(KEY, 1)
            }
        });
        let mut subscriber = map.subscribe(Feed::every()).expect("it keeps every change");
        let began = subscriber.cursor();
        let first = join(writer);
        let versions = [first, map.pin().put(KEY, 2), map.pin().put(KEY, 3)];
        let lagged = subscriber.poll().expect_err(MISCOUNTED);
        let missed = versions.iter().filter(|version| version.tick() > began.tick()).count() as u64;
        assert_eq!((lagged.since, lagged.changes), (began, Some(missed)), "{MISCOUNTED}");
    });
}

twin!(miscounted_when_a_reader_begins_behind_the_clock:
    what_was_missed_is_counted_from_where_the_reader_began without BeginInTick, MISCOUNTED);

twin!(missed_when_pruners_do_not_say_what_has_passed:
    who_resumes_is_told_all_or_knows_that_it_is_not without PassBeforeLook, MISSED);

/// A map that keeps one change for a reader, in a store whose time stands still.
fn keeping_one() -> (Store, Map<u64, u64>) {
    let store = Store::with_time(ManualTime::starting_at(UNIX_EPOCH));
    let map = store.map_with("map", MapOptions::new().every_change(ONE_CHANGE)).expect("a fresh name");
    (store, map)
}

/// Who is given up beside its poll has missed more than may wait for it.
#[test]
fn who_is_given_up_has_missed_what_was_too_much() {
    explore(1, || {
        let (_store, map) = keeping_one();
        let mut subscriber = map.subscribe(Feed::every()).expect("it keeps every change");
        let writer = spawn({
            let map = map.clone();
            move || (1..=2).for_each(|n| _ = map.pin().put(KEY, n))
        });
        let mut told = Vec::new();
        if let Err(lagged) = ask(&mut subscriber, &mut told) {
            assert_eq!((told.len(), lagged.changes), (0, Some(2)), "{MISCOUNTED}");
        }
        join(writer);
    });
}

/// A batch that is made while a writer gives its reader up is whole, or the reader is told that it lags.
#[test]
fn a_batch_is_whole_or_its_reader_lags() {
    explore(1, || {
        let (_store, map) = keeping_one();
        let mut subscriber = map.subscribe(Feed::every()).expect("it keeps every change");
        map.pin().put(KEY, 1);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 2)
        });
        let mut told = Vec::new();
        if ask(&mut subscriber, &mut told).is_ok() {
            assert!(told == [1] || told == [1, 2], "{MISSED}");
        }
        join(writer);
    });
}

/// Two writers where one change may wait: one of them is refused, or both are.
#[test]
fn no_more_are_let_in_than_may_wait() {
    explore(2, || {
        let store = Store::with_time(ManualTime::starting_at(UNIX_EPOCH));
        let options = MapOptions::<u64, u64>::new().every_change_or_refuse(ONE_CHANGE);
        let map = store.map_with("map", options).expect("a fresh name");
        let _subscriber = map.subscribe(Feed::every()).expect("it keeps every change");
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 1).is_ok()
        });
        let mine = map.pin().put(KEY + 1, 2).is_ok();
        let other = join(writer);
        assert!(!(mine && other), "{OVERFULL}");
    });
}
