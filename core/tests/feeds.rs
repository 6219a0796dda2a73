//! Feeds: what a subscriber is told leads from what it knew to what is there, whatever is written, removed, purged or missed.

mod support;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use stillpoint::{Cursor, CursorError, Delivery, Feed, Keys, Map, Store, Subscriber, Version};
use support::random::Random;

const KEYS: u64 = 8;

type Plain = HashMap<u64, u64>;

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(u64, u64),
    Remove(u64),
    Elsewhere(u64),
    Maintain,
    /// By the subscriber with this number.
    Poll(usize),
    Acknowledge,
    /// Ends the subscriber with this number, and resumes at its cursor.
    Resume(usize),
}

fn step() -> impl Strategy<Value = Step> {
    (0..20_u8, 0..KEYS, 0..100_u64).prop_map(|(kind, key, value)| match kind {
        0..7 => Step::Put(key, value),
        7..10 => Step::Remove(key),
        10 => Step::Elsewhere(key),
        11 | 12 => Step::Maintain,
        13..17 => Step::Poll(value as usize % 3),
        17 => Step::Acknowledge,
        _ => Step::Resume(value as usize % 3),
    })
}

/// A reader of a feed of some keys, and what it knows of them.
struct Reader {
    map: Map<u64, Box<u64>>,
    feed: fn() -> Feed<Keys<u64, Box<u64>>>,
    has: fn(u64) -> bool,
    subscriber: Subscriber<Keys<u64, Box<u64>>>,
    copy: Plain,
    versions: HashMap<u64, Version>,
    given: Option<Cursor>,
}

impl Reader {
    fn new(map: &Map<u64, Box<u64>>, feed: fn() -> Feed<Keys<u64, Box<u64>>>, has: fn(u64) -> bool) -> Self {
        let subscriber = map.subscribe(feed());
        Self { map: map.clone(), feed, has, subscriber, copy: Plain::new(), versions: HashMap::new(), given: None }
    }

    fn poll(&mut self) {
        match self.subscriber.poll() {
            Ok(None) => {}
            Ok(Some(batch)) => {
                let mut told = 0;
                for change in batch.iter() {
                    told += 1;
                    assert!((self.has)(*change.key), "{} is not asked for", change.key);
                    let before = self.versions.insert(*change.key, change.version);
                    assert!(before.is_none_or(|before| before <= change.version), "a key's values come in order");
                    match change.value {
                        Some(value) => _ = self.copy.insert(*change.key, **value),
                        None => _ = self.copy.remove(change.key),
                    }
                }
                assert!(told > 0, "an empty batch");
                assert_eq!(self.copy, self.at(batch.snapshot()), "a batch leads to its moment");
                self.given = Some(batch.cursor());
            }
            Err(lagged) => {
                assert!(!lagged.to_string().is_empty());
                assert_eq!(self.subscriber.poll().unwrap_err(), lagged, "it says so again");
                let still = self.subscriber.resync();
                self.copy = self.at(&still);
            }
        }
    }

    fn at(&self, still: &stillpoint::Snapshot) -> Plain {
        still.iter(&self.map).filter(|(key, _)| (self.has)(**key)).map(|(key, value)| (*key, **value)).collect()
    }

    fn resume(&mut self) {
        let cursor = Cursor::from_bytes(self.subscriber.cursor().to_bytes());
        self.subscriber = self.map.resume((self.feed)(), cursor).unwrap();
        self.given = None;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_leads_to_what_is_there(script in prop::collection::vec(step(), 0..200)) {
        let store = Store::new();
        let map: Map<u64, Box<u64>> = store.map("map").unwrap();
        let other: Map<u64, u64> = store.map("other").unwrap();
        let mut plain = Plain::new();
        let mut readers = [
            Reader::new(&map, Feed::latest, |_| true),
            // Room for two keys: lags often.
            Reader::new(&map, || Feed::latest().keys([1, 2, 3]).bytes_max(256), |key| (1..4).contains(&key)),
            Reader::new(&map, || Feed::latest().delivery(Delivery::AtLeastOnce).when(|key, _| key % 2 == 0), |key| key % 2 == 0),
        ];
        for step in script {
            match step {
                Step::Put(key, value) => {
                    map.pin().put(key, Box::new(value));
                    plain.insert(key, value);
                }
                Step::Remove(key) => prop_assert_eq!(map.pin().remove(&key).map(|had| **had), plain.remove(&key)),
                Step::Elsewhere(key) => {
                    other.pin().put(key, key);
                    other.pin().remove(&key);
                }
                Step::Maintain => while store.maintain() {},
                Step::Poll(reader) => readers[reader].poll(),
                Step::Acknowledge => {
                    if let Some(given) = readers[2].given {
                        readers[2].subscriber.acknowledge(given).unwrap();
                    }
                }
                Step::Resume(reader) => readers[reader].resume(),
            }
        }
        for reader in &mut readers {
            reader.poll();
            reader.poll();
            let expected: Plain = plain.iter().filter(|(key, _)| (reader.has)(**key)).map(|(key, value)| (*key, *value)).collect();
            prop_assert_eq!(&reader.copy, &expected);
        }
    }
}

/// Subscribers of a store and of a map sleep beside writers of maps and a cell, one of them with little room: each copy is right in the end,
/// and each batch is a moment at which the two maps agree.
#[test]
fn copies_are_right_beside_writers() {
    const ROUNDS: u64 = 30_000;
    let store = Store::new();
    let (map, twin) = (store.map::<u64, u64>("map").unwrap(), store.map::<u64, u64>("twin").unwrap());
    let done = store.cell("done", 0_u64).unwrap();
    let began = Instant::now();
    thread::scope(|scope| {
        for writer in 0..2 {
            let (map, twin, done) = (&map, &twin, &done);
            scope.spawn(move || {
                let mut random = Random::new(writer);
                for n in 1..=ROUNDS {
                    let key = random.below(50) * 2 + writer;
                    if random.below(4) == 0 {
                        map.pin().remove(&key);
                        twin.pin().remove(&key);
                    } else {
                        map.pin().put(key, n);
                        twin.pin().put(key, n);
                    }
                }
                done.update(|done| done + 1);
            });
        }
        let (store, map, twin, done) = (&store, &map, &twin, &done);
        scope.spawn(move || {
            let mut subscriber = store.subscribe(Feed::latest());
            let now = subscriber.resync();
            let mut copies = [map, twin].map(|map| now.iter(map).map(|(key, value)| (*key, *value)).collect::<Plain>());
            while *done.load() < 2 || *now.load(done).unwrap() < 2 {
                let Some(cut) = subscriber.wait_for(Duration::from_millis(50)).unwrap() else {
                    if *done.load() == 2 { break } else { continue }
                };
                for (map, copy) in [map, twin].into_iter().zip(&mut copies) {
                    for change in cut.changes(map) {
                        match change.value {
                            Some(value) => _ = copy.insert(*change.key, *value),
                            None => _ = copy.remove(change.key),
                        }
                    }
                    let there: Plain = cut.snapshot().iter(map).map(|(key, value)| (*key, *value)).collect();
                    assert_eq!(*copy, there);
                }
            }
            assert_eq!(copies[0], copies[1]);
            assert_eq!(copies[0], map.store_copy(store));
        });
        scope.spawn(move || {
            let mut subscriber = map.subscribe(Feed::latest().bytes_max(10 * 128));
            let mut copy: Plain = subscriber.resync().iter(map).map(|(key, value)| (*key, *value)).collect();
            loop {
                let was_done = *done.load() == 2;
                match subscriber.poll() {
                    Ok(None) if was_done => break,
                    Ok(None) => thread::yield_now(),
                    Ok(Some(batch)) => {
                        for change in batch.iter() {
                            match change.value {
                                Some(value) => _ = copy.insert(*change.key, *value),
                                None => _ = copy.remove(change.key),
                            }
                        }
                    }
                    Err(_) => copy = subscriber.resync().iter(map).map(|(key, value)| (*key, *value)).collect(),
                }
            }
            assert_eq!(copy, map.store_copy(store));
        });
    });
    assert!(began.elapsed() < Duration::from_secs(60));
}

trait StoreCopy {
    fn store_copy(&self, store: &Store) -> Plain;
}

impl StoreCopy for Map<u64, u64> {
    fn store_copy(&self, store: &Store) -> Plain {
        store.snapshot().iter(self).map(|(key, value)| (*key, *value)).collect()
    }
}

#[test]
fn a_subscriber_that_is_never_read_keeps_little() {
    let store = Store::new();
    let map = store.map::<u64, u64>("map").unwrap();
    let quiet = store.map::<u64, u64>("quiet").unwrap();
    let mut unread = map.subscribe(Feed::latest().bytes_max(1_000 * 128));
    // Nothing of its scope waits for the one, and one key for the other, while the other map is busy.
    let mut idle = quiet.subscribe(Feed::latest().bytes_max(1_000 * 128));
    let mut waited_for = quiet.subscribe(Feed::latest().bytes_max(1_000 * 128).keys([1]));
    let mut waits = map.subscribe(Feed::latest().keys([0]).bytes_max(1_000 * 128));
    quiet.pin().put(1, 1);
    assert!(idle.poll().unwrap().is_some());
    map.pin().put(0, 1);
    for key in 1..200_000 {
        map.pin().put(key, key);
        map.pin().remove(&key);
    }
    while store.maintain() {}
    let stats = store.stats();
    assert!(stats.slots_noted <= 2_000 && stats.slots_in_backlog < 5_000, "{stats:?}");
    assert!(map.index_bytes() < 4 << 20, "{} bytes of index", map.index_bytes());
    let lagged = unread.poll().unwrap_err();
    assert!((1_000..2_000).contains(&lagged.keys), "{lagged}");
    assert!(idle.poll().unwrap().is_none(), "others' changes are not its business");
    let batch = waited_for.poll().unwrap().expect("kept, since nothing of its map was forgotten");
    assert_eq!(batch.iter().map(|change| *change.key).collect::<Vec<_>>(), [1]);
    assert!(waits.poll().is_err(), "its map has forgotten removals, of which one could have been of its key");
    assert_eq!(unread.resync().iter(&map).count(), 1);
    map.pin().put(5, 5);
    assert_eq!(unread.poll().unwrap().unwrap().iter().count(), 1);
}

#[test]
fn a_cursor_is_of_its_store_and_of_the_past() {
    let (store, other) = (Store::new(), Store::new());
    let (map, foreign) = (store.map::<u64, u64>("map").unwrap(), other.map::<u64, u64>("map").unwrap());
    let mut subscriber = map.subscribe(Feed::latest());
    map.pin().put(1, 1);
    let given = subscriber.poll().unwrap().unwrap().cursor();
    assert_eq!((subscriber.cursor(), given.tick() < store.tick()), (given, true));
    assert_eq!(foreign.resume(Feed::latest(), given).unwrap_err(), CursorError::OtherStore);
    drop(store.snapshot());
    let later = map.subscribe(Feed::latest()).cursor();
    assert!(matches!(subscriber.acknowledge(later), Err(CursorError::Ahead { .. })));
    assert!(subscriber.acknowledge(given).is_ok());
    // Removed and forgotten: a cursor from before is too old, and one from after is not.
    drop(subscriber);
    map.pin().remove(&1);
    while store.maintain() {}
    let lagged = map.resume(Feed::latest(), given).unwrap().poll().unwrap_err();
    assert_eq!((lagged.since, lagged.keys), (given, 0));
    assert!(store.resume(Feed::latest(), given).unwrap().poll().is_err());
    drop(store.snapshot());
    let now = map.subscribe(Feed::latest()).cursor();
    map.pin().put(2, 2);
    assert_eq!(store.resume(Feed::latest(), now).unwrap().poll().unwrap().unwrap().len(), 1);
}

#[test]
fn a_test_that_panics_leaves_the_subscriber_usable() {
    let map = Store::new().map::<u64, u64>("map").unwrap();
    let feed = Feed::latest().delivery(Delivery::AtLeastOnce).when(|key, _| *key != 1 || !ARMED.load(Ordering::SeqCst));
    static ARMED: AtomicBool = AtomicBool::new(false);
    let mut subscriber = map.subscribe(feed.when(|_, value| match value {
        Some(13) if ARMED.load(Ordering::SeqCst) => panic!("the test panics"),
        _ => true,
    }));
    ARMED.store(true, Ordering::SeqCst);
    map.pin().put(2, 13);
    assert!(catch_unwind(AssertUnwindSafe(|| subscriber.poll().is_ok())).is_err());
    ARMED.store(false, Ordering::SeqCst);
    assert_eq!(subscriber.poll().unwrap().unwrap().iter().count(), 1, "it comes again");
}
