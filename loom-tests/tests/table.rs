//! A table that grows beside inserts, lookups and walks: no key is lost, and none has two slots.
//!
//! Under loom a number is its own hash: the two highest bits choose the bucket, before and after growing, and the lowest byte
//! is the tag.
//!
//! Where two threads move one bucket, nearly every access of one meets one of the other: those models have one preemption, and
//! both sides in threads of their own, so that either may begin.

#![cfg(loom)]

use stillpoint::internals::Keys;
use stillpoint_loom_tests::{explore, join, spawn, store_of, twin};

const LOST: &str = "a key is lost";
const TWICE: &str = "a key has two slots";

/// A key that goes into this bucket of four, and with the one beside it into one of two.
const fn key(bucket: u64, tag: u64) -> u64 {
    bucket << 62 | tag
}

/// Two keys that fill a bucket, so that the next insert there begins a larger table and the one after it moves the bucket; and
/// one elsewhere.
const FULL: [u64; 3] = [key(0, 1), key(1, 2), key(2, 3)];
const OVERFLOWS: u64 = key(0, 4);
const MOVES: u64 = key(1, 5);
const OTHER: u64 = key(1, 6);

fn table_of(keys: &[u64]) -> Keys {
    let table = Keys::new();
    for key in keys {
        table.insert(table.prepare(*key));
    }
    table
}

/// Asserts that the table holds exactly these keys besides those that filled the bucket.
fn assert_holds(table: &Keys, others: &[u64]) {
    let mut expected: Vec<u64> = FULL.iter().chain(others).copied().collect();
    expected.sort_unstable();
    for key in &expected {
        assert!(table.contains(*key), "{LOST}");
    }
    assert_eq!(table.walk(), expected, "{TWICE}");
}

/// An insert that may have seen only the old table, beside a bucket that moves.
#[test]
fn an_insert_survives_the_move_of_its_bucket() {
    explore(1, || {
        let table = table_of(&FULL);
        let [overflows, moves, other] = [OVERFLOWS, MOVES, OTHER].map(|key| table.prepare(key));
        let inserter = spawn({
            let table = table.clone();
            move || table.insert(other)
        });
        let mover = spawn({
            let table = table.clone();
            move || {
                table.insert(overflows);
                table.insert(moves);
                assert!(table.contains(MOVES), "{LOST}");
            }
        });
        join(inserter);
        join(mover);
        assert_holds(&table, &[OVERFLOWS, MOVES, OTHER]);
    });
}

twin!(lost_when_copied_unfrozen: an_insert_survives_the_move_of_its_bucket without FreezeBeforeCopy, LOST);
twin!(lost_when_marks_are_not_looked_at: an_insert_survives_the_move_of_its_bucket without MarkBeforeEntries, LOST);
twin!(lost_when_inserted_before_the_move: an_insert_survives_the_move_of_its_bucket without MoveBeforeInsert, LOST);
twin!(lost_without_tags: an_insert_survives_the_move_of_its_bucket without TagBeforeUse, LOST);

/// Two inserts of one key, each of which moves its bucket.
#[test]
fn a_key_has_one_slot_while_its_bucket_moves() {
    explore(1, || {
        let table = table_of(&FULL);
        table.insert(table.prepare(OVERFLOWS));
        let inserters = [MOVES, MOVES].map(|key| {
            let (table, prepared) = (table.clone(), table.prepare(key));
            spawn(move || {
                let inserted = table.insert(prepared);
                assert!(table.contains(key), "{LOST}");
                inserted
            })
        });
        let [one, other] = inserters.map(join);
        assert!(one != other, "{TWICE}");
        assert_holds(&table, &[OVERFLOWS, MOVES]);
    });
}

/// Two inserts of keys of their own, each of which moves their bucket.
#[test]
fn two_movers_copy_a_bucket_once() {
    explore(1, || {
        let table = table_of(&FULL);
        table.insert(table.prepare(OVERFLOWS));
        let movers = [MOVES, OTHER].map(|key| {
            let (table, prepared) = (table.clone(), table.prepare(key));
            spawn(move || table.insert(prepared))
        });
        for mover in movers {
            join(mover);
        }
        assert_holds(&table, &[OVERFLOWS, MOVES, OTHER]);
    });
}

/// A lookup of a key that is there throughout, and one of a key that was seen, beside an insert that moves their bucket.
#[test]
fn a_lookup_finds_its_key_while_the_bucket_moves() {
    explore(2, || {
        let table = table_of(&FULL);
        table.insert(table.prepare(OVERFLOWS));
        let moves = table.prepare(MOVES);
        let reader = spawn({
            let table = table.clone();
            move || {
                let seen = table.contains(MOVES);
                assert!(table.contains(OVERFLOWS), "{LOST}");
                assert!(!seen || table.contains(MOVES), "{LOST}");
            }
        });
        table.insert(moves);
        join(reader);
    });
}

/// A walk at a snapshot, beside an insert that moves a bucket and one that promotes the larger table.
#[test]
fn a_walk_meets_each_key_once_while_the_table_grows() {
    explore(2, || {
        let (store, [map]) = store_of(["map"]);
        let there: Vec<u64> = FULL.into_iter().chain([OVERFLOWS]).collect();
        for key in &there {
            map.pin().put(*key, *key);
        }
        let still = store.snapshot();
        let inserter = spawn({
            let map = map.clone();
            move || {
                let pin = map.pin();
                pin.put(MOVES, MOVES);
                pin.put(OTHER, OTHER);
            }
        });
        let mut found: Vec<u64> = still.iter(&map).map(|(key, _)| *key).collect();
        found.sort_unstable();
        let mut expected = there;
        expected.sort_unstable();
        assert_eq!(found, expected, "{LOST}");
        join(inserter);
    });
}
