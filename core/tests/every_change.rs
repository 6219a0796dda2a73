//! Feeds of every change: whoever subscribes is told each change once, those of a key in order, transactions whole; what is kept for him is
//! bounded, and goes when he has read it.

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use stillpoint::{
    ChangeKind, Cursor, Delivery, Every, Feed, History, KeyChange, Keys, ManualTime, Map, MapOptions, Origin, Refused,
    Snapshot, Store, Subscriber, TransactionId, Version,
};
use support::counted::{Census, Counted};
use support::random::Random;

const KEYS: u64 = 6;
/// Bytes that a change of these maps counts.
const CHANGE: usize = 128 + size_of::<Counted>();

type Reads = Subscriber<Keys<u64, Counted>, Every>;

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(u64, u64),
    Remove(u64),
    /// One that writes three keys, or removes some.
    Transact(u64, u64),
    Tick,
    Maintain,
    /// By the subscriber with this number.
    Poll(usize),
    Acknowledge(usize),
    /// Ends the subscriber with this number, and resumes at its cursor.
    Resume(usize),
    Resync(usize),
}

fn step() -> impl Strategy<Value = Step> {
    (0..24_u8, 0..KEYS, 0..100_u64).prop_map(|(kind, key, value)| match kind {
        0..7 => Step::Put(key, value),
        7..10 => Step::Remove(key),
        10 | 11 => Step::Transact(key, value),
        12 => Step::Tick,
        13 | 14 => Step::Maintain,
        15..20 => Step::Poll(value as usize % 3),
        20 | 21 => Step::Acknowledge(value as usize % 3),
        22 => Step::Resume(value as usize % 3),
        _ => Step::Resync(value as usize % 3),
    })
}

/// A change, as its writer knows it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Written {
    key: u64,
    value: Option<u64>,
    transaction: Option<TransactionId>,
}

impl Written {
    fn of(change: KeyChange<'_, u64, Counted>) -> Self {
        Self { key: *change.key, value: change.value.map(|value| value.number()), transaction: change.transaction }
    }
}

/// What each key went through, one after the other.
fn by_key(changes: &[Written]) -> HashMap<u64, Vec<Written>> {
    let mut keys: HashMap<u64, Vec<Written>> = HashMap::new();
    changes.iter().for_each(|change| keys.entry(change.key).or_default().push(*change));
    keys
}

/// A subscriber, and what it must have been told of all that was written.
struct Reader {
    map: Map<u64, Counted>,
    subscriber: Reads,
    delivery: Delivery,
    /// So many changes were acknowledged.
    read: usize,
    /// The last batch, and how far it leads.
    given: Option<(Cursor, usize)>,
    /// Whether more waited than may.
    must_lag: bool,
    /// Whether what came after its cursor may have gone, because nobody wanted it for a while.
    may_lag: bool,
}

impl Reader {
    fn new(map: &Map<u64, Counted>, delivery: Delivery, written: usize) -> Self {
        let subscriber = map.subscribe(Feed::every().delivery(delivery)).unwrap();
        Self { map: map.clone(), subscriber, delivery, read: written, given: None, must_lag: false, may_lag: false }
    }

    fn poll(&mut self, log: &[Written]) {
        match self.subscriber.poll() {
            Ok(None) => assert_eq!((self.read, self.must_lag), (log.len(), false), "nothing is left to be told"),
            Ok(Some(batch)) => {
                assert!(!self.must_lag, "more waited than may");
                self.may_lag = false;
                let versions: Vec<Version> = batch.iter().map(|change| change.version).collect();
                assert!(versions.is_sorted() && versions.iter().all(|version| version.tick() <= batch.cursor().tick()));
                let told: Vec<Written> = batch.iter().map(Written::of).collect();
                assert_eq!(by_key(&told), by_key(&log[self.read..]), "each change once, in order");
                assert_eq!(batch.len(), log.len() - self.read);
                self.given = Some((batch.cursor(), log.len()));
                if self.delivery == Delivery::AtMostOnce {
                    self.read = log.len();
                }
            }
            Err(lagged) => {
                assert!(self.must_lag || self.may_lag, "{lagged}");
                assert_eq!(self.subscriber.poll().unwrap_err(), lagged, "it says so again");
                assert_eq!(lagged.since, self.subscriber.cursor());
                if let Some(changes) = lagged.changes {
                    assert_eq!(changes as usize, log.len() - self.read, "exactly what was missed");
                }
                self.resync(log);
            }
        }
    }

    fn resync(&mut self, log: &[Written]) {
        let still = self.subscriber.resync();
        assert_eq!(self.at(&still), now(log));
        (self.read, self.given, self.must_lag, self.may_lag) = (log.len(), None, false, false);
    }

    fn at(&self, still: &Snapshot) -> HashMap<u64, u64> {
        still.iter(&self.map).map(|(key, value)| (*key, value.number())).collect()
    }

    fn acknowledge(&mut self) {
        if let Some((cursor, read)) = self.given {
            self.subscriber.acknowledge(cursor).unwrap();
            self.read = self.read.max(read);
        }
    }

    fn resume(&mut self, log: &[Written], waiting_max: usize) {
        // If it was given up, some of what waited may have gone, or all of that was acknowledged after all.
        self.may_lag |= self.must_lag;
        self.must_lag = log.len() - self.read > waiting_max;
        let cursor = Cursor::from_bytes(self.subscriber.cursor().to_bytes());
        self.subscriber = self.map.resume(Feed::every().delivery(self.delivery), cursor).unwrap();
        self.given = None;
    }
}

/// What a map holds after these changes.
fn now(log: &[Written]) -> HashMap<u64, u64> {
    let mut map = HashMap::new();
    for change in log {
        match change.value {
            Some(value) => _ = map.insert(change.key, value),
            None => _ = map.remove(&change.key),
        }
    }
    map
}

fn follow(script: Vec<Step>, waiting_max: usize) {
    let census = Census::default();
    let store = Store::new();
    let options = MapOptions::<u64, Counted>::new().every_change(waiting_max * CHANGE);
    let map = store.map_with("map", options).unwrap();
    let mut log = Vec::new();
    let deliveries = [Delivery::AtMostOnce, Delivery::AtLeastOnce, Delivery::AtLeastOnce];
    let mut readers = deliveries.map(|delivery| Reader::new(&map, delivery, 0));
    for step in script {
        let before = log.len();
        match step {
            Step::Put(key, value) => {
                map.pin().put(key, census.value(value));
                log.push(Written { key, value: Some(value), transaction: None });
            }
            Step::Remove(key) => {
                if map.pin().remove(&key).is_some() {
                    log.push(Written { key, value: None, transaction: None });
                }
            }
            Step::Transact(key, value) => {
                let written = store.transact(|tx| {
                    let (mut written, transaction) = (Vec::new(), Some(tx.id()));
                    for key in [key, (key + 1) % KEYS, (key + 2) % KEYS] {
                        if value % 3 == key % 3 {
                            if tx.remove(&map, &key)? {
                                written.push(Written { key, value: None, transaction });
                            }
                        } else {
                            tx.put(&map, key, census.value(value))?;
                            written.push(Written { key, value: Some(value), transaction });
                        }
                    }
                    Ok(written)
                });
                log.extend(written.unwrap());
            }
            Step::Tick => drop(store.snapshot()),
            Step::Maintain => while store.maintain() {},
            Step::Poll(reader) => readers[reader].poll(&log),
            Step::Acknowledge(reader) => readers[reader].acknowledge(),
            Step::Resume(reader) => {
                readers[reader].resume(&log, waiting_max);
            }
            Step::Resync(reader) => readers[reader].resync(&log),
        }
        if log.len() > before {
            readers.iter_mut().for_each(|reader| reader.must_lag |= log.len() - reader.read > waiting_max);
        }
    }
    for reader in &mut readers {
        reader.poll(&log);
        reader.acknowledge();
        reader.poll(&log);
    }
    // All have read all.
    while store.maintain() {}
    assert_eq!(census.live() as usize, now(&log).len(), "nothing is kept that was read");
    // One is slow, and goes.
    (0..3).for_each(|value| _ = map.pin().put(0, census.value(value)));
    drop(readers);
    while store.maintain() {}
    assert_eq!(census.live() as usize, map.len(), "nothing is kept for nobody");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_change_is_told_once(script in prop::collection::vec(step(), 0..150)) {
        follow(script, 1000);
    }

    #[test]
    fn who_is_too_slow_is_told_what_he_missed(script in prop::collection::vec(step(), 0..150), waiting_max in 1..10_usize) {
        follow(script, waiting_max);
    }
}

/// Follows a map by its changes, and knows the last number of each key.
#[derive(Default)]
struct Follower {
    copy: HashMap<u64, u64>,
    last: HashMap<u64, (u64, Version)>,
    told: u64,
}

impl Follower {
    /// Changes of one batch: each key's number goes on where it was, and of each transaction there are two.
    fn follow<'b>(&mut self, changes: impl Iterator<Item = KeyChange<'b, u64, Counted>>) {
        let mut transactions: HashMap<TransactionId, u64> = HashMap::new();
        for change in changes {
            self.told += 1;
            let had = self.copy.contains_key(change.key);
            if let Some((number, version)) = self.last.insert(*change.key, (change.number, change.version)) {
                // A key that was forgotten begins anew.
                let goes_on = change.number == number + 1 || change.number == 1 && !had;
                assert!(goes_on, "change {} comes after {number}", change.number);
                assert!(version < change.version);
            }
            match change.value {
                Some(value) => _ = self.copy.insert(*change.key, value.number()),
                None => _ = self.copy.remove(change.key),
            }
            if let Some(transaction) = change.transaction {
                *transactions.entry(transaction).or_default() += 1;
            }
        }
        assert!(transactions.values().all(|changes| *changes == 2), "a transaction is told whole");
    }
}

/// Writes to some keys, in plain writes and transactions of two keys each; returns how many changes that was.
fn write(store: &Store, map: &Map<u64, Counted>, census: &Census, seed: u64, rounds: u64) -> u64 {
    let mut random = Random::new(seed);
    let mut written = 0;
    for round in 0..rounds {
        let key = random.below(12);
        written += match random.below(8) {
            0 | 1 => u64::from(map.pin().remove(&key).is_some()),
            2 | 3 => {
                let two = store.transact(|tx| {
                    tx.put(map, key, census.value(round))?;
                    tx.put(map, (key + 1) % 12, census.value(round))
                });
                two.unwrap();
                2
            }
            _ => {
                map.pin().put(key, census.value(round));
                1
            }
        };
    }
    written
}

/// Three subscribers beside three writers: one that waits, one that takes each batch a second time before it acknowledges it, and one that ends and
/// resumes. Each is told each change once.
#[test]
fn each_change_is_told_once_beside_writers() {
    const ROUNDS: u64 = 10_000;
    let census = Census::default();
    let store = Store::new();
    let map = store.map_with("map", MapOptions::<u64, Counted>::new().every_change(1 << 30)).unwrap();
    let (written, writing) = (AtomicU64::new(0), AtomicU64::new(3));
    let subscribe = |delivery| map.subscribe(Feed::every().delivery(delivery)).unwrap();
    let [mut waits, mut hesitates, mut resumes] =
        [Delivery::AtMostOnce, Delivery::AtLeastOnce, Delivery::AtLeastOnce].map(subscribe);
    thread::scope(|scope| {
        let (store, map, census, written, writing) = (&store, &map, &census, &written, &writing);
        for seed in 0..3 {
            scope.spawn(move || {
                let changes = write(store, map, census, seed, ROUNDS);
                written.fetch_add(changes, Ordering::SeqCst);
                writing.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let check = move |follower: &Follower| {
            assert_eq!(follower.told, written.load(Ordering::SeqCst));
            assert_eq!(follower.copy, store.snapshot().iter(map).map(|(key, value)| (*key, value.number())).collect());
        };
        scope.spawn(move || {
            let mut follower = Follower::default();
            loop {
                let was_done = writing.load(Ordering::SeqCst) == 0;
                match waits.wait_for(Duration::from_millis(20)).unwrap() {
                    Some(batch) => follower.follow(batch.iter()),
                    None if was_done => break,
                    None => {}
                }
            }
            check(&follower);
        });
        scope.spawn(move || {
            let mut follower = Follower::default();
            loop {
                let was_done = writing.load(Ordering::SeqCst) == 0;
                match hesitates.poll().unwrap() {
                    Some(first) => {
                        let again = hesitates.poll().unwrap().expect("not acknowledged");
                        assert!(again.len() >= first.len());
                        let same = first.iter().zip(again.iter()).all(|(one, other)| one.version <= other.version);
                        assert!(
                            same && first.iter().all(|change| change.value.is_none_or(|value| value.number() < ROUNDS))
                        );
                        follower.follow(first.iter());
                        hesitates.acknowledge(first.cursor()).unwrap();
                    }
                    None if was_done => break,
                    None => thread::yield_now(),
                }
            }
            check(&follower);
        });
        scope.spawn(move || {
            let mut follower = Follower::default();
            let mut random = Random::new(9);
            loop {
                let was_done = writing.load(Ordering::SeqCst) == 0;
                match resumes.poll().unwrap() {
                    Some(batch) if random.below(3) > 0 => {
                        follower.follow(batch.iter());
                        resumes.acknowledge(batch.cursor()).unwrap();
                    }
                    Some(_) => {
                        let cursor = resumes.cursor();
                        resumes = map.resume(Feed::every().delivery(Delivery::AtLeastOnce), cursor).unwrap();
                    }
                    None if was_done => break,
                    None => thread::yield_now(),
                }
            }
            check(&follower);
        });
    });
    settle(&store, || census.live() as usize == map.len());
}

/// Maintains until nothing is left that nobody needs: threads that have ended may still be about to leave what they had.
fn settle(store: &Store, is_settled: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_settled() {
        while store.maintain() {}
        assert!(began.elapsed() < Duration::from_secs(20), "something is kept");
    }
}

/// A subscriber that falls behind, again and again, beside writers that nobody holds up: it goes on from snapshots, without a gap, and little is
/// kept for it.
#[test]
fn who_falls_behind_goes_on_without_a_gap() {
    const WAITING_MAX: usize = 100;
    let census = Census::default();
    let store = Store::new();
    let map = store.map_with("map", MapOptions::<u64, Counted>::new().every_change(WAITING_MAX * CHANGE)).unwrap();
    let done = AtomicBool::new(false);
    let mut subscriber = map.subscribe(Feed::every()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            write(&store, &map, &census, 1, 30_000);
            done.store(true, Ordering::SeqCst);
        });
        let (mut follower, mut lags, mut random) = (Follower::default(), 0, Random::new(4));
        loop {
            let was_done = done.load(Ordering::SeqCst);
            match subscriber.poll() {
                Ok(Some(batch)) => {
                    assert!(batch.len() <= WAITING_MAX + 2, "{} were kept", batch.len());
                    follower.follow(batch.iter());
                }
                Ok(None) if was_done => break,
                Ok(None) => {}
                Err(lagged) => {
                    assert!(lagged.changes.is_some_and(|changes| changes > WAITING_MAX as u64), "{lagged}");
                    lags += 1;
                    let still = subscriber.resync();
                    let copy = still.iter(&map).map(|(key, value)| (*key, value.number())).collect();
                    follower = Follower { copy, ..Follower::default() };
                }
            }
            if random.below(50) == 0 {
                thread::sleep(Duration::from_millis(2));
            }
        }
        assert!(lags > 0, "it was never slow");
        assert_eq!(follower.copy, store.snapshot().iter(&map).map(|(key, value)| (*key, value.number())).collect());
    });
    // Never read again: what is kept for it stays within the bound.
    write(&store, &map, &census, 2, 20_000);
    settle(&store, || census.live() as usize == map.len());
    assert!(subscriber.poll().is_err());
}

/// Writers of a map that refuses: never more waits than may, all that may does, and what was refused is not told.
#[test]
fn a_full_map_refuses_until_it_was_read() {
    const WAITING_MAX: u64 = 50;
    let store = Store::new();
    let bytes_max = WAITING_MAX as usize * (128 + 8);
    let map = store.map_with("map", MapOptions::<u64, u64>::new().every_change_or_refuse(bytes_max)).unwrap();
    for n in 0..1000 {
        map.pin().put(n % 7, n).expect("nobody wants to read it");
    }
    let mut subscriber = map.subscribe(Feed::every()).unwrap();
    let accepted = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (map, accepted) = (&map, &accepted);
            scope.spawn(move || {
                for n in 0..100 {
                    match map.pin().put(thread, n) {
                        Ok(_) => _ = accepted.fetch_add(1, Ordering::SeqCst),
                        Err(Refused::Unread { changes, value, .. }) => {
                            assert!(changes <= WAITING_MAX && value == Some(n))
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    while map.pin().put(9, 9).is_ok() {
        accepted.fetch_add(1, Ordering::SeqCst);
    }
    assert_eq!(accepted.load(Ordering::SeqCst), WAITING_MAX);
    let unread = |store: &Store| store.component_stats().into_iter().map(|component| component.unread).next();
    assert_eq!(unread(&store), Some(Some(WAITING_MAX)));
    assert!(matches!(map.pin().remove(&0), Err(Refused::Unread { changes: WAITING_MAX, value: None, .. })));
    assert_eq!(subscriber.poll().unwrap().unwrap().len() as u64, WAITING_MAX);
    // Writers that come again beside who reads: all is told once.
    thread::scope(|scope| {
        for thread in 0..2_u64 {
            let map = &map;
            scope.spawn(move || {
                for n in 0..2_000_u64 {
                    while map.pin().put(100 + thread, n).is_err() {
                        thread::yield_now();
                    }
                }
            });
        }
        let mut next = [0; 2];
        while next != [2_000; 2] {
            if let Some(batch) = subscriber.wait_for(Duration::from_millis(50)).unwrap() {
                assert!(batch.len() as u64 <= WAITING_MAX);
                for change in batch.iter() {
                    let next = &mut next[(*change.key - 100) as usize];
                    assert_eq!(change.value, Some(&*next));
                    *next += 1;
                }
            }
        }
    });
    drop(subscriber);
    (0..100).for_each(|n| _ = map.pin().put(1, n).expect("nobody reads any more"));
    assert_eq!(unread(&store), Some(Some(0)));
}

#[test]
fn a_change_tells_all_that_is_known_of_it() {
    let time = ManualTime::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(10));
    let store = Store::with_time(time.clone());
    let options = MapOptions::<u64, &str>::new().ttl(Duration::from_secs(60)).history(History::last(1));
    let map = store.map_with("map", options.every_change_or_refuse(1 << 20)).unwrap();
    let mut subscriber = map.subscribe(Feed::every()).unwrap();
    let origin = Origin::new(7).unwrap();
    store.as_origin(origin, || map.pin().put(1, "a")).unwrap();
    time.advance(Duration::from_secs(1));
    map.pin().put(1, "b").unwrap();
    time.advance(Duration::from_secs(60));
    while store.maintain() {}
    let batch = subscriber.poll().unwrap().unwrap();
    let told: Vec<_> =
        batch.iter().map(|change| (change.number, change.kind, change.value.copied(), change.origin)).collect();
    use ChangeKind::*;
    assert_eq!(told, [(1, Create, Some("a"), Some(origin)), (2, Update, Some("b"), None), (3, Expire, None, None)]);
    let seconds: Vec<_> =
        batch.iter().map(|change| change.time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).collect();
    assert_eq!(seconds, [10, 11, 71]);
    assert!(batch.iter().all(|change| change.transaction.is_none() && *change.key == 1));
    let fourth = map.pin().put(1, "c").unwrap();
    let history: Vec<_> = map.pin().history(&1).unwrap().map(|revision| revision.version).collect();
    assert_eq!(history, [fourth], "history tells what it was asked to keep");
}

/// Who comes back finds what somebody else wants, or history keeps; what has gone he is told.
#[test]
fn a_cursor_is_good_as_long_as_something_is_kept() {
    let store = Store::new();
    let plain = store.map_with("plain", MapOptions::<u64, u64>::new().every_change(1 << 20)).unwrap();
    let kept =
        store.map_with("kept", MapOptions::<u64, u64>::new().every_change(1 << 20).history(History::last(10))).unwrap();
    let cursor = plain.subscribe(Feed::every()).unwrap().cursor();
    for n in 0..5 {
        plain.pin().put(1, n);
        kept.pin().put(1, n);
    }
    let mut found = kept.resume(Feed::every(), cursor).unwrap();
    assert!(found.poll().unwrap().unwrap().iter().map(|change| *change.value.unwrap()).eq(0..5));
    let mut late = plain.resume(Feed::every(), cursor).unwrap();
    let lagged = late.poll().unwrap_err();
    assert_eq!((lagged.since, lagged.changes), (cursor, None));
    assert!(!lagged.to_string().is_empty());
    drop(late.resync());
    plain.pin().put(1, 5);
    assert_eq!(late.poll().unwrap().unwrap().len(), 1);
    // A batch keeps what it has, whatever becomes of its subscriber and of the key.
    plain.pin().put(1, 6);
    plain.pin().remove(&1);
    let batch = late.poll().unwrap().unwrap();
    let cursor = late.cursor();
    drop(late);
    while store.maintain() {}
    assert!(batch.iter().map(|change| change.value.copied()).eq([Some(6), None]));
    let (first, last) = (batch.iter().next().unwrap(), batch.iter().next_back().unwrap());
    assert!((*first.key, first.number, last.number) == (1, 7, 8) && batch.snapshot().get(&plain, &1).is_none());
    drop(batch);
    assert!(plain.resume(Feed::every(), cursor).unwrap().poll().unwrap().is_none(), "nothing came after it");
    let unknown = store.map::<u64, u64>("unknown").unwrap();
    assert_eq!(unknown.subscribe(Feed::every()).unwrap_err().component, "unknown");
    assert!(unknown.resume(Feed::every(), cursor).is_err());
}

#[test]
fn ordered_maps_tell_changes_of_a_prefix_and_of_keys() {
    let store = Store::new();
    let map = store.ordered_map_with("map", MapOptions::<String, u64>::new().every_change(1 << 20)).unwrap();
    let mut newest = map.subscribe(Feed::latest().prefix("eu/"));
    let mut every = map.subscribe(Feed::every().prefix("eu/").when(|_, value| value != Some(&2))).unwrap();
    let mut one = map.subscribe(Feed::every().keys(["us/a".to_owned()])).unwrap();
    let cursor = store.subscribe(Feed::latest()).cursor();
    for n in 1..4 {
        map.pin().put("eu/a".to_owned(), n);
        map.pin().put("us/a".to_owned(), n);
    }
    let told =
        |changes: Vec<(&String, Option<&u64>)>| changes.iter().map(|(_, value)| value.copied()).collect::<Vec<_>>();
    let batch = newest.poll().unwrap().unwrap();
    assert_eq!(told(batch.iter().map(|change| (change.key, change.value)).collect()), [Some(3)]);
    let batch = every.poll().unwrap().unwrap();
    assert_eq!(told(batch.iter().map(|change| (change.key, change.value)).collect()), [Some(1), Some(3)]);
    let batch = one.poll().unwrap().unwrap();
    assert!(batch.iter().all(|change| change.key == "us/a") && batch.len() == 3);
    // A store's subscriber that resumes is told of ordered maps, too.
    let cut = store.resume(Feed::latest(), cursor).unwrap().poll().unwrap().unwrap();
    assert_eq!(cut.changes(&map).count(), 2);
    assert_eq!(map.resume(Feed::latest(), cursor).unwrap().poll().unwrap().unwrap().iter().count(), 2);
}

/// A transaction has a place for each change before it commits, and gives them back if it does not.
#[test]
fn transactions_are_refused_what_would_be_too_much() {
    let store = Store::new();
    let options = MapOptions::<u64, u64>::new().every_change_or_refuse(2 * (128 + 8));
    let map = store.map_with("map", options).unwrap();
    let mut subscriber = map.subscribe(Feed::every()).unwrap();
    for commits in [false, true] {
        let mut tx = store.begin();
        tx.put(&map, 1, 10).unwrap();
        tx.put(&map, 1, 11).expect("one change, drafted twice");
        tx.put(&map, 2, 20).unwrap();
        assert!(matches!(tx.put(&map, 3, 30), Err(Refused::Unread { changes: 0, value: Some(30), .. })));
        assert!(matches!(map.pin().put(4, 40), Err(Refused::Unread { .. })), "the places are taken");
        if commits {
            tx.commit().unwrap();
        }
    }
    assert!(map.pin().put(4, 40).is_err());
    let batch = subscriber.poll().unwrap().unwrap();
    let mut told: Vec<_> = batch.iter().map(|change| (*change.key, change.value.copied())).collect();
    told.sort_unstable();
    assert_eq!(told, [(1, Some(11)), (2, Some(20))]);
    map.pin().put(4, 40).unwrap();
}
