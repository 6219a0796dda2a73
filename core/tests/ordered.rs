//! Ordered maps: the operations of a map, in order, and ranges at a snapshot that never change.

mod support;

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;
use stillpoint::{OrderedMap, Snapshot, Store, Transaction, TransactionError};
use support::random::Random;

fn map() -> (Store, OrderedMap<u64, u64>) {
    let store = Store::new();
    let map = store.ordered_map("map").expect("a new name");
    (store, map)
}

#[derive(Debug, Clone)]
enum Step {
    Put(u64, u64),
    Update(u64),
    Remove(u64),
    Insert(u64, u64),
    Clear,
    Maintain,
    /// Takes a snapshot, and keeps it to the end.
    Keep,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..200_u64;
    prop_oneof![
        6 => (key.clone(), any::<u64>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => key.clone().prop_map(Step::Update),
        4 => key.clone().prop_map(Step::Remove),
        2 => (key, any::<u64>()).prop_map(|(key, value)| Step::Insert(key, value)),
        1 => Just(Step::Clear),
        2 => Just(Step::Maintain),
        2 => Just(Step::Keep),
    ]
}

fn bound() -> impl Strategy<Value = Bound<u64>> {
    prop_oneof![Just(Bound::Unbounded), (0..220_u64).prop_map(Bound::Included), (0..220_u64).prop_map(Bound::Excluded)]
}

/// Compares ranges of a snapshot, from both ends, with those of a plain map.
fn assert_shows(
    still: &Snapshot,
    map: &OrderedMap<u64, u64>,
    plain: &BTreeMap<u64, u64>,
    bounds: (Bound<u64>, Bound<u64>),
) {
    assert!(still.iter(map).eq(plain), "all entries");
    let is_empty = match bounds {
        (Bound::Included(from), Bound::Included(until)) => from > until,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(until) | Bound::Excluded(until)) => {
            from >= until
        }
        _ => false,
    };
    if is_empty {
        return;
    }
    assert!(still.range(map, bounds).eq(plain.range(bounds)), "{bounds:?}");
    assert!(still.range(map, bounds).rev().eq(plain.range(bounds).rev()), "{bounds:?} backwards");
    // By turns from both ends.
    let (mut ours, mut theirs) = (still.range(map, bounds), plain.range(bounds));
    for turn in 0.. {
        let (our, their) =
            if turn % 3 == 0 { (ours.next_back(), theirs.next_back()) } else { (ours.next(), theirs.next()) };
        assert_eq!(our, their, "{bounds:?}, turn {turn}");
        if our.is_none() {
            break;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn behaves_like_a_plain_map(steps in prop::collection::vec(step(), 1..300), from in bound(), until in bound()) {
        let (store, map) = map();
        let (mut plain, mut kept) = (BTreeMap::new(), Vec::new());
        for step in steps {
            let pin = map.pin();
            match step {
                Step::Put(key, value) => {
                    pin.put(key, value);
                    plain.insert(key, value);
                }
                Step::Update(key) => {
                    let ours = pin.update(&key, |value| value.wrapping_add(1)).map(|seen| *seen);
                    let theirs = plain.get_mut(&key).map(|value| { *value = value.wrapping_add(1); *value });
                    assert_eq!(ours, theirs);
                }
                Step::Remove(key) => assert_eq!(pin.remove(&key).map(|seen| *seen), plain.remove(&key)),
                Step::Insert(key, value) => {
                    let is_new = pin.insert(key, value).is_ok();
                    assert_eq!(is_new, !plain.contains_key(&key));
                    plain.entry(key).or_insert(value);
                }
                Step::Clear => {
                    pin.clear();
                    plain.clear();
                }
                Step::Maintain => {
                    drop(pin);
                    store.maintain();
                }
                Step::Keep => kept.push((store.snapshot(), plain.clone())),
            }
        }
        assert_eq!(map.len(), plain.len());
        kept.push((store.snapshot(), plain));
        for (still, plain) in kept {
            assert_shows(&still, &map, &plain, (from, until));
        }
    }
}

#[test]
fn texts_by_prefix_and_borrowed() {
    let store = Store::new();
    let map: OrderedMap<String, usize> = store.ordered_map("texts").expect("a new name");
    let words = ["", "a", "ab", "abc", "abd", "b", "ba", "z"];
    for word in words {
        map.pin().put(word.to_owned(), word.len());
    }
    let still = store.snapshot();
    let begin = |prefix: &'static str| still.prefix(&map, prefix).map(|(word, _)| word.as_str()).collect::<Vec<_>>();
    assert_eq!(begin("ab"), ["ab", "abc", "abd"]);
    assert_eq!(begin(""), words);
    assert!(begin("abe").is_empty());
    assert_eq!(still.get(&map, "abc"), Some(&3));
    assert!(
        still
            .range::<_, _, str>(&map, (Bound::Excluded("a"), Bound::Excluded("abd")))
            .map(|(word, _)| word)
            .eq(["ab", "abc"])
    );
    assert!(map.pin().remove("ab").is_some());
    assert_eq!(still.prefix(&map, "ab").count(), 3, "a snapshot shows what it showed");
}

#[test]
#[should_panic(expected = "a range ends before it begins")]
fn a_range_that_ends_before_it_begins_is_a_mistake() {
    let (store, map) = map();
    let _ = store.snapshot().range(&map, (Bound::Included(2), Bound::Included(1))).next();
}

/// Keys that come and go in ever new places leave their memory to others.
#[test]
fn keys_that_come_and_go_leave_their_memory() {
    let (store, map) = map();
    let mut bytes = 0;
    for round in 0..20_u64 {
        for key in 0..2_000 {
            map.pin().put(round * 2_000 + key, key);
        }
        for key in 0..2_000 {
            map.pin().remove(&(round * 2_000 + key));
        }
        while store.maintain() {}
        bytes = if round == 3 { map.index_bytes() } else { bytes };
        assert!(round < 3 || map.index_bytes() <= bytes * 2, "{} bytes in round {round}", map.index_bytes());
    }
}

/// Threads that write keys of their own, in pairs that add up to nothing, beside snapshots that are read from both ends.
#[test]
fn snapshots_of_many_threads_are_whole() {
    let (store, map) = map();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2_u64)
            .map(|writer| {
                let map = &map;
                scope.spawn(move || {
                    for round in 1..=6_000_u64 {
                        let key = (round * 37 % 500) * 4 + writer;
                        let pin = map.pin();
                        if round % 3 == 0 {
                            pin.remove(&key);
                        } else {
                            pin.put(key, round);
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let still = store.snapshot();
                let forwards: Vec<_> = still.range::<_, _, u64>(&map, ..).collect();
                assert!(forwards.is_sorted_by(|one, other| one.0 < other.0), "out of order");
                let backwards: Vec<_> = still.range::<_, _, u64>(&map, ..).rev().collect();
                assert!(forwards.iter().eq(backwards.iter().rev()), "a snapshot changes");
                assert!(forwards.iter().all(|(key, value)| still.get(&map, *key) == Some(*value)));
            }
        });
        for writer in writers {
            writer.join().expect("no panic");
        }
        done.store(true, Ordering::Relaxed);
        store.maintain();
    });
}

/// A key whose comparison panics on request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fragile(u64);

static PANICS: AtomicBool = AtomicBool::new(false);

impl PartialOrd for Fragile {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fragile {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        assert!(!PANICS.load(Ordering::Relaxed), "a comparison panics");
        self.0.cmp(&other.0)
    }
}

#[test]
fn a_comparison_that_panics_leaves_the_map_as_it_was() {
    let store = Store::new();
    let map: OrderedMap<Fragile, u64> = store.ordered_map("fragile").expect("a new name");
    for key in 0..100 {
        map.pin().put(Fragile(key), key);
    }
    PANICS.store(true, Ordering::Relaxed);
    let attempts: [&dyn Fn(); 3] = [
        &|| {
            map.pin().put(Fragile(200), 0);
        },
        &|| {
            map.pin().remove(&Fragile(5));
        },
        &|| {
            map.pin().upsert(Fragile(5), |_| 0);
        },
    ];
    assert!(attempts.iter().all(|attempt| catch_unwind(AssertUnwindSafe(attempt)).is_err()));
    PANICS.store(false, Ordering::Relaxed);
    let still = store.snapshot();
    assert!(still.iter(&map).map(|(key, value)| (key.0, *value)).eq((0..100).map(|key| (key, key))));
}

/// What a transaction does that scans: what it has seen of its range decides what it writes.
fn writes_if_empty<'s>(
    store: &'s Store,
    map: &'s OrderedMap<u64, u64>,
    other: &'s OrderedMap<u64, u64>,
    range: Range<u64>,
) -> Transaction<'s> {
    let mut tx = store.begin();
    assert!(tx.range(map, range).unwrap().is_empty());
    tx.put(other, 1, 1).unwrap();
    tx
}

/// A key that comes into a range that was scanned is a conflict wherever in it, whoever brings it in and how; one that comes elsewhere is none, however
/// many do.
#[test]
fn a_phantom_is_a_conflict_and_a_key_far_away_is_none() {
    let store = Store::new();
    let map = store.ordered_map::<u64, u64>("map").unwrap();
    let other = store.ordered_map::<u64, u64>("other").unwrap();
    (0..20_000).filter(|key| !(900..1_000).contains(key)).for_each(|key| _ = map.pin().put(2 * key, key));
    for key in [1_800, 1_801, 1_900, 1_999] {
        let tx = writes_if_empty(&store, &map, &other, 1_800..2_000);
        map.pin().put(key, 0);
        let Err(TransactionError::Conflict(conflict)) = tx.commit() else { panic!("{key} came into the range") };
        assert_eq!(conflict.component, "map");
        map.pin().remove(&key);
        // Also if the key has gone again, its slot is there.
        let tx = writes_if_empty(&store, &map, &other, 1_800..2_000);
        assert!(store.transact(|tx| tx.put(&map, key, 0)).is_ok());
        assert!(tx.commit().is_err(), "{key} came into the range");
        map.pin().remove(&key);
    }
    while store.maintain() {}
    // Beside it, in the same leaf, and far away: splitting leaves and nodes, and taking some out.
    for key in [1_799, 2_001, 3_001, 39_999, 7] {
        let tx = writes_if_empty(&store, &map, &other, 1_800..2_000);
        map.pin().put(key, 0);
        assert_eq!(tx.commit(), Ok(()), "{key} is not in the range");
    }
    let tx = writes_if_empty(&store, &map, &other, 1_800..2_000);
    (0..5_000).for_each(|key| _ = map.pin().put(100_000 + key, 0));
    (0..600).for_each(|key| _ = map.pin().put(2 * key + 2_001, 0));
    (0..600).for_each(|key| _ = map.pin().remove(&(2 * key + 2_001)));
    while store.maintain() {}
    assert_eq!(tx.commit(), Ok(()));
}

/// A transaction's own new keys, in its range and as many as split its leaves, are no conflict; another's beside them are.
#[test]
fn own_keys_are_no_phantoms() {
    for is_met in [false, true] {
        let store = Store::new();
        let map = store.ordered_map::<u64, u64>("map").unwrap();
        (0..100).for_each(|key| _ = map.pin().put(10 * key, key));
        let mut tx = store.begin();
        assert_eq!(tx.range(&map, 100..=200).unwrap().len(), 11);
        (100..200).filter(|key| key % 10 != 0 && *key != 155).for_each(|key| tx.put(&map, key, key).unwrap());
        assert_eq!(tx.range(&map, 100..=200).unwrap().len(), 100);
        if is_met {
            map.pin().put(155, 0);
        }
        assert_eq!(tx.commit().is_err(), is_met);
    }
    // A key that it has seen absent, and writes without another look.
    let store = Store::new();
    let map = store.ordered_map::<u64, u64>("map").unwrap();
    let mut tx = store.begin();
    assert!(tx.range(&map, ..).unwrap().is_empty());
    tx.put(&map, 5, 50).unwrap();
    map.pin().put(5, 51);
    assert!(tx.commit().is_err());
    assert_eq!(map.pin().get(&5), Some(&51));
}

/// Threads that book ranges of a day if nobody has: no two of them overlap, whatever comes and goes beside them, and those that book other days are
/// hardly in each other's way.
#[test]
fn ranges_that_were_free_are_booked_once() {
    const DAY: u64 = 100_000;
    let store = Store::new();
    let map = store.ordered_map::<u64, u64>("map").unwrap();
    let noise = AtomicBool::new(true);
    thread::scope(|scope| {
        let (store, map, noise) = (&store, &map, &noise);
        let bookers: Vec<_> = (0..3)
            .map(|thread| {
                scope.spawn(move || {
                    let mut random = Random::new(thread);
                    for _ in 0..400 {
                        let (from, long) = (random.below(2) * DAY + random.below(2_000), 1 + random.below(20));
                        let booked = store.transact(|tx| {
                            let before = from.saturating_sub(20);
                            let is_free = tx
                                .range(map, before..from + long)?
                                .iter()
                                .all(|(key, until)| *key >= from + long || **until <= from);
                            if is_free {
                                tx.put(map, from, from + long)?;
                            }
                            Ok(())
                        });
                        booked.unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            let mut random = Random::new(9);
            while noise.load(Ordering::Relaxed) {
                let key = random.below(2) * DAY + DAY / 2 + random.below(5_000);
                map.pin().put(key, 0);
                map.pin().remove(&key);
            }
        });
        bookers.into_iter().for_each(|booker| booker.join().unwrap());
        noise.store(false, Ordering::Relaxed);
    });
    let still = store.snapshot();
    let booked: Vec<(u64, u64)> =
        still.iter(&map).map(|(from, until)| (*from, *until)).filter(|(_, until)| *until > 0).collect();
    assert!(booked.len() > 50 && booked.windows(2).all(|two| two[0].1 <= two[1].0), "{booked:?}");
}
