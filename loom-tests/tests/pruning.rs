//! Live snapshots against pruning: what a snapshot sees stays, whatever is written, and each version is retired once.

#![cfg(loom)]

use stillpoint::internals::{register, scan, work_at_backlog_by};
use stillpoint::{Map, Snapshot, Store};
use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const KEY: u64 = 1;
const LOST: &str = "a snapshot has lost what it saw";
const PAST: &str = "a snapshot shows the past";
const KEPT: &str = "a version stays that nobody sees";
const TWICE: &str = "an item is retired twice";

/// What a snapshot sees, twice the same, and not nothing.
fn seen(still: &Snapshot, map: &Map<u64, u64>) -> u64 {
    let first = still.get(map, &KEY).copied();
    assert!(first.is_some() && first == still.get(map, &KEY).copied(), "{LOST}");
    first.unwrap_or(0)
}

/// Moves the clock, as anyone's snapshot does.
fn pass_time(store: &Store) {
    drop(store.snapshot());
}

/// A writer that moves the clock and prunes, and a snapshot.
#[test]
fn what_a_snapshot_sees_is_not_pruned() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let writer = spawn({
            let (store, map) = (store.clone(), map.clone());
            move || {
                pass_time(&store);
                map.pin().put(KEY, 2);
            }
        });
        let still = store.snapshot();
        let first = seen(&still, &map);
        join(writer);
        assert_eq!(seen(&still, &map), first, "{LOST}");
    });
}

twin!(lost_without_a_fence_after_pending: what_a_snapshot_sees_is_not_pruned without FenceAfterPending, LOST);
twin!(lost_when_pruners_look_at_no_snapshot: what_a_snapshot_sees_is_not_pruned without PruneChecksSnapshots, LOST);

/// A writer that prunes twice, the second time perhaps by what it knows from the first.
#[test]
fn a_pruner_trusts_what_it_knows_no_longer_than_it_may() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        pass_time(&store);
        let writer = spawn({
            let map = map.clone();
            move || {
                let pin = map.pin();
                pin.put(KEY, 2);
                pin.put(KEY, 3);
            }
        });
        let still = store.snapshot();
        let first = seen(&still, &map);
        join(writer);
        assert_eq!(seen(&still, &map), first, "{LOST}");
    });
}

twin!(lost_when_the_clock_is_read_after_the_scan:
    a_pruner_trusts_what_it_knows_no_longer_than_it_may without ClockBeforeScan, LOST);

/// The same, where another moves the clock just before the writer looks at the snapshots: what it sees then is good for a tick that came behind
/// all fences of its first write.
#[test]
fn a_pruner_that_sees_a_later_clock_sees_who_read_an_earlier_one() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        pass_time(&store);
        let now = store.tick();
        let mover = spawn({
            let store = store.clone();
            move || _ = store.at(now).expect("the clock stands there")
        });
        let owner = spawn({
            let store = store.clone();
            move || store.snapshot()
        });
        let pin = map.pin();
        pin.put(KEY, 2);
        pin.put(KEY, 3);
        drop(pin);
        join(mover);
        seen(&join(owner), &map);
    });
}

twin!(lost_without_a_fence_before_the_scan:
    a_pruner_that_sees_a_later_clock_sees_who_read_an_earlier_one without FenceBeforeScan, LOST);

/// A pruner that meets PENDING and sets it, when a version has been pruned since the owner read the clock that it carries.
#[test]
fn a_pruner_gives_no_snapshot_of_the_past() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let owner = spawn({
            let store = store.clone();
            move || store.snapshot()
        });
        let writer = spawn({
            let (store, map) = (store.clone(), map.clone());
            move || {
                pass_time(&store);
                map.pin().put(KEY, 2);
            }
        });
        join(writer);
        scan(&store);
        seen(&join(owner), &map);
    });
}

twin!(past_when_a_pruner_takes_the_clock_of_pending:
    a_pruner_gives_no_snapshot_of_the_past without PrunerReadsClock, LOST);

/// A pruner that stalls at a word, while its owner ends its snapshot, writes, and takes another one there.
#[test]
fn a_stalled_pruner_cannot_set_the_word_of_the_next_owner() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let owner = spawn({
            let (store, map) = (store.clone(), map.clone());
            move || {
                pass_time(&store);
                map.pin().put(KEY, 2);
                let still = store.snapshot();
                assert_eq!(still.get(&map, &KEY), Some(&2), "{PAST}");
            }
        });
        let pruner = spawn({
            let store = store.clone();
            move || scan(&store)
        });
        join(owner);
        join(pruner);
    });
}

twin!(past_when_pending_repeats:
    a_stalled_pruner_cannot_set_the_word_of_the_next_owner without PendingNeverRepeats, PAST);

/// Two writers of one key, both of which prune its chain.
#[test]
fn a_version_is_retired_once() {
    explore(2, || {
        let (_store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 2)
        });
        let own = map.pin().put(KEY, 3);
        let other = join(writer);
        assert_ne!(own, other, "two versions of a key have one number");
        let newest = if own > other { 3 } else { 2 };
        assert_eq!(map.pin().get(&KEY), Some(&newest), "the newest version is not the one with the greatest number");
    });
}

twin!(retired_twice_with_two_pruners: a_version_is_retired_once without OnePruner, TWICE);

/// More snapshots at once than the registry has words: it grows beside a pruner's scan.
#[test]
fn a_snapshot_in_a_grown_registry_is_seen() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let _full = [store.snapshot(), store.snapshot()];
        map.pin().put(KEY, 1);
        let taker = spawn({
            let store = store.clone();
            move || store.snapshot()
        });
        pass_time(&store);
        map.pin().put(KEY, 2);
        let still = join(taker);
        seen(&still, &map);
    });
}

/// Two snapshots see a version. Who replaces it sees the newer one, and finds the older one gone; who works at the backlog later, but has looked
/// before, has seen it the other way round.
#[test]
fn what_was_watched_is_pruned_when_all_snapshots_have_gone() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        map.pin().put(KEY, 1);
        let first_word = register(&store);
        let older = register(&store);
        drop(first_word);
        let newer = register(&store);
        let writer = spawn({
            let map = map.clone();
            move || map.pin().put(KEY, 2)
        });
        let worker = spawn({
            let store = store.clone();
            move || {
                drop(newer);
                let seen = scan(&store);
                drop(older);
                seen
            }
        });
        join(writer);
        work_at_backlog_by(&store, join(worker));
        for _ in 0..4 {
            store.maintain();
        }
        assert_eq!(store.stats().versions, 1, "{KEPT}");
    });
}

twin!(watched_for_ever_when_judged_by_an_older_view:
    what_was_watched_is_pruned_when_all_snapshots_have_gone without JudgeByYoungerView, KEPT);
