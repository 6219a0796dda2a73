//! The ordered index: keys that come and go beside each other, while leaves split and nodes go. A node has two keys or children.

#![cfg(loom)]

use stillpoint::internals::OrderedKeys;
use stillpoint_loom_tests::{explore, join, spawn, twin};

const LOST: &str = "a key is lost";
const TWICE: &str = "a key has two slots";

/// Asserts that the index holds exactly these keys.
fn assert_holds(index: &OrderedKeys, keys: &[u64]) {
    for key in keys {
        assert!(index.contains(*key), "{LOST}");
    }
    assert_eq!(index.walk(), keys, "{LOST}");
}

/// Two keys that come into the two leaves of one node, each of which splits: the node is copied twice.
#[test]
fn keys_that_split_neighbours_are_both_there() {
    explore(5, || {
        let index = OrderedKeys::of(&[10, 20, 30]);
        let (low, high) = (index.prepare(15), index.prepare(40));
        let next = index.prepare(50);
        let inserter = spawn({
            let index = index.clone();
            move || index.insert(low)
        });
        index.insert(high);
        index.insert(next);
        join(inserter);
        assert_holds(&index, &[10, 15, 20, 30, 40, 50]);
    });
}

/// A key that takes one link to come in, beside one that has the node above copied.
#[test]
fn a_key_survives_the_copy_of_the_node_above() {
    explore(5, || {
        let index = OrderedKeys::of(&[10, 20, 30]);
        let (splits, simple) = (index.prepare(15), index.prepare(40));
        let inserter = spawn({
            let index = index.clone();
            move || index.insert(simple)
        });
        index.insert(splits);
        assert!(index.contains(15), "{LOST}");
        join(inserter);
        assert_holds(&index, &[10, 15, 20, 30, 40]);
    });
}

twin!(lost_when_links_are_copied_unfrozen: a_key_survives_the_copy_of_the_node_above without FreezeBeforeFold, LOST);

/// Two inserts of one key.
#[test]
fn a_key_has_one_slot() {
    explore(5, || {
        let index = OrderedKeys::of(&[10, 20, 30]);
        let keys = [15, 15].map(|key| index.prepare(key));
        let [one, other] = keys.map(|key| {
            let index = index.clone();
            spawn(move || index.insert(key))
        });
        assert!(join(one) != join(other), "{TWICE}");
        assert_holds(&index, &[10, 15, 20, 30]);
    });
}

/// A key that goes, and its leaf with it, beside a key that comes into the leaf, and a lookup of one that is there throughout.
#[test]
fn a_leaf_that_goes_takes_no_other_key_along() {
    explore(5, || {
        let index = OrderedKeys::of(&[10, 20, 30]);
        index.remove(20);
        let comes = index.prepare(15);
        let inserter = spawn({
            let index = index.clone();
            move || {
                index.insert(comes);
                assert!(index.contains(30), "{LOST}");
            }
        });
        index.remove(10);
        assert!(index.contains(30), "{LOST}");
        join(inserter);
        assert_holds(&index, &[15, 30]);
    });
}

/// A walk beside keys that come and go: it meets what is there throughout, in order.
#[test]
fn a_walk_meets_what_is_there_throughout() {
    explore(5, || {
        let index = OrderedKeys::of(&[10, 20, 30, 40]);
        let comes = index.prepare(15);
        let writer = spawn({
            let index = index.clone();
            move || {
                index.insert(comes);
                index.remove(20);
            }
        });
        let met = index.walk();
        join(writer);
        assert!(met.is_sorted(), "a walk is out of order");
        assert!([10, 30, 40].iter().all(|key| met.contains(key)), "{LOST}");
        assert_holds(&index, &[10, 15, 30, 40]);
    });
}
