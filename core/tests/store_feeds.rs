//! Feeds of every change of a whole store: each change of what keeps them is told once, of the rest each key's newest value, transactions whole
//! across maps and cells; who falls behind is told exactly what he has missed, also beside writers.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use stillpoint::{
    Cell, CellOptions, Cursor, Delivery, Every, EveryCut, Everything, Feed, KeyChange, Map, MapOptions, OrderedMap,
    Store, Subscriber, TransactionId, Version,
};
use support::counted::{Census, Counted};
use support::random::Random;

const KEYS: u64 = 4;
/// Bytes that a change counts.
const CHANGE: usize = 128 + size_of::<Counted>();

/// A store with a map, an ordered map and a cell that keep every change, and a map that does not.
struct World {
    store: Store,
    census: Census,
    map: Map<u64, Counted>,
    ordered: OrderedMap<u64, Counted>,
    cell: Cell<Counted>,
    plain: Map<u64, u64>,
    /// Registered when it is first written to.
    late: Option<Map<u64, Counted>>,
    changes_max: usize,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    Map,
    Ordered,
    Cell,
    Late,
}

const PARTS: [Part; 4] = [Part::Map, Part::Ordered, Part::Cell, Part::Late];

/// A change, as its writer knows it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Written {
    part: Part,
    key: u64,
    value: Option<u64>,
    transaction: Option<TransactionId>,
}

impl World {
    fn new(changes_max: usize) -> Self {
        let (store, census) = (Store::new(), Census::default());
        let options = || MapOptions::<u64, Counted>::new().every_change(changes_max * CHANGE);
        let map = store.map_with("map", options()).unwrap();
        let ordered = store.ordered_map_with("ordered", options()).unwrap();
        let cell = CellOptions::new().every_change(changes_max * CHANGE);
        let cell = store.cell_with("cell", census.value(0), cell).unwrap();
        let plain = store.map("plain").unwrap();
        Self { store, census, map, ordered, cell, plain, late: None, changes_max }
    }

    fn late(&mut self) -> Map<u64, Counted> {
        let options = MapOptions::<u64, Counted>::new().every_change(self.changes_max * CHANGE);
        self.late.get_or_insert_with(|| self.store.map_with("late", options).unwrap()).clone()
    }

    fn put(&mut self, part: Part, key: u64, number: u64) -> Written {
        let value = self.census.value(number);
        let key = if part == Part::Cell { 0 } else { key };
        match part {
            Part::Map => _ = self.map.pin().put(key, value),
            Part::Ordered => _ = self.ordered.pin().put(key, value),
            Part::Cell => _ = self.cell.set(value),
            Part::Late => _ = self.late().pin().put(key, value),
        }
        Written { part, key, value: Some(number), transaction: None }
    }

    fn remove(&mut self, part: Part, key: u64) -> Option<Written> {
        let is_there = match part {
            Part::Map => self.map.pin().remove(&key).is_some(),
            Part::Ordered => self.ordered.pin().remove(&key).is_some(),
            Part::Cell => false,
            Part::Late => self.late().pin().remove(&key).is_some(),
        };
        is_there.then_some(Written { part, key, value: None, transaction: None })
    }

    /// One change in each of three parts, and in the plain map.
    fn transact(&self, key: u64, number: u64) -> Vec<Written> {
        let value = || self.census.value(number);
        let transaction = self.store.transact(|tx| {
            tx.put(&self.map, key, value())?;
            tx.put(&self.ordered, key, value())?;
            tx.put(&self.plain, key, number)?;
            tx.set(&self.cell, value())?;
            Ok(tx.id())
        });
        let transaction = Some(transaction.unwrap());
        let written = |part, key| Written { part, key, value: Some(number), transaction };
        vec![written(Part::Map, key), written(Part::Ordered, key), written(Part::Cell, 0)]
    }

    /// All that a batch tells, part by part.
    fn told(&self, batch: &EveryCut) -> Vec<Written> {
        fn of<K: Into<u64> + Copy>(part: Part) -> impl Fn(KeyChange<'_, K, Counted>) -> Written {
            move |change| {
                let (key, value) = ((*change.key).into(), change.value.map(Counted::number));
                Written { part, key, value, transaction: change.transaction }
            }
        }
        let mut told: Vec<_> = batch.changes(&self.map).unwrap().map(of(Part::Map)).collect();
        told.extend(batch.changes(&self.ordered).unwrap().map(of(Part::Ordered)));
        told.extend(batch.changes(&self.cell).unwrap().map(|change| {
            let value = change.value.map(Counted::number);
            Written { part: Part::Cell, key: 0, value, transaction: change.transaction }
        }));
        if let Some(late) = &self.late {
            told.extend(batch.changes(late).unwrap().map(of(Part::Late)));
        }
        told
    }

    /// How many values there are.
    fn len(&self) -> usize {
        self.map.len() + self.ordered.len() + 1 + self.late.as_ref().map_or(0, Map::len)
    }
}

/// What each key went through, one after the other.
fn by_key(changes: &[Written]) -> HashMap<(Part, u64), Vec<Written>> {
    let mut keys: HashMap<_, Vec<Written>> = HashMap::new();
    changes.iter().for_each(|change| keys.entry((change.part, change.key)).or_default().push(*change));
    keys
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(Part, u64, u64),
    Remove(Part, u64),
    Plain(u64, u64),
    Transact(u64, u64),
    Tick,
    Maintain,
    Poll(usize),
    Acknowledge(usize),
    Resume(usize),
    Resync(usize),
}

fn step() -> impl Strategy<Value = Step> {
    (0..24_u8, 0..4_usize, 0..KEYS, 0..100_u64).prop_map(|(kind, part, key, value)| match kind {
        0..7 => Step::Put(PARTS[part], key, value),
        7..10 => Step::Remove(PARTS[part], key),
        10 => Step::Plain(key, value),
        11 | 12 => Step::Transact(key, value),
        13 => Step::Tick,
        14 => Step::Maintain,
        15..20 => Step::Poll(value as usize % 2),
        20 | 21 => Step::Acknowledge(value as usize % 2),
        22 => Step::Resume(value as usize % 2),
        _ => Step::Resync(value as usize % 2),
    })
}

/// A subscriber, and what it must have been told of all that was written.
struct Reader {
    subscriber: Subscriber<Everything, Every>,
    delivery: Delivery,
    read: usize,
    given: Option<(Cursor, usize)>,
    must_lag: bool,
    may_lag: bool,
    /// What the plain map holds, by what was told.
    plain: BTreeMap<u64, u64>,
}

impl Reader {
    fn new(world: &World, delivery: Delivery, written: usize) -> Self {
        let subscriber = world.store.subscribe(Feed::every().delivery(delivery));
        let (must_lag, may_lag, given) = (false, false, None);
        Self { subscriber, delivery, read: written, given, must_lag, may_lag, plain: BTreeMap::new() }
    }

    /// Whether more waits for it in any part than may.
    fn look(&mut self, log: &[Written], changes_max: usize) {
        let waiting = |part| log[self.read..].iter().filter(|change| change.part == part).count();
        self.must_lag |= PARTS.iter().any(|part| waiting(*part) > changes_max);
    }

    fn poll(&mut self, world: &World, log: &[Written]) {
        match self.subscriber.poll() {
            Ok(None) => assert_eq!((self.read, self.must_lag), (log.len(), false), "nothing is left to be told"),
            Ok(Some(batch)) => {
                assert!(!self.must_lag, "more waited than may");
                self.may_lag = false;
                assert_eq!(by_key(&world.told(&batch)), by_key(&log[self.read..]), "each change once, in order");
                for change in batch.newest().changes(&world.plain) {
                    self.plain.insert(*change.key, *change.value.unwrap());
                }
                assert!(self.plain.iter().eq(batch.snapshot().iter(&world.plain).collect::<BTreeMap<_, _>>()));
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
                self.resync(world, log);
            }
        }
    }

    fn resync(&mut self, world: &World, log: &[Written]) {
        let still = self.subscriber.resync();
        self.plain = still.iter(&world.plain).map(|(key, value)| (*key, *value)).collect();
        (self.read, self.given, self.must_lag, self.may_lag) = (log.len(), None, false, false);
    }

    fn acknowledge(&mut self) {
        if let Some((cursor, read)) = self.given {
            self.subscriber.acknowledge(cursor).unwrap();
            self.read = self.read.max(read);
        }
    }

    fn resume(&mut self, world: &World, log: &[Written]) {
        self.may_lag |= self.must_lag;
        self.must_lag = false;
        self.look(log, world.changes_max);
        let cursor = self.subscriber.cursor();
        self.subscriber = world.store.resume(Feed::every().delivery(self.delivery), cursor).unwrap();
        self.given = None;
    }
}

fn follow(script: Vec<Step>, changes_max: usize) {
    let mut world = World::new(changes_max);
    let mut log = Vec::new();
    let mut readers =
        [Delivery::AtMostOnce, Delivery::AtLeastOnce].map(|delivery| Reader::new(&world, delivery, log.len()));
    for step in script {
        match step {
            Step::Put(part, key, value) => log.push(world.put(part, key, value)),
            Step::Remove(part, key) => log.extend(world.remove(part, key)),
            Step::Plain(key, value) => _ = world.plain.pin().put(key, value),
            Step::Transact(key, value) => log.extend(world.transact(key, value)),
            Step::Tick => drop(world.store.snapshot()),
            Step::Maintain => while world.store.maintain() {},
            Step::Poll(reader) => readers[reader].poll(&world, &log),
            Step::Acknowledge(reader) => readers[reader].acknowledge(),
            Step::Resume(reader) => readers[reader].resume(&world, &log),
            Step::Resync(reader) => readers[reader].resync(&world, &log),
        }
        readers.iter_mut().for_each(|reader| reader.look(&log, changes_max));
    }
    for reader in &mut readers {
        reader.poll(&world, &log);
        reader.acknowledge();
        reader.poll(&world, &log);
    }
    while world.store.maintain() {}
    assert_eq!(world.census.live() as usize, world.len(), "nothing is kept that was read");
    (0..3).for_each(|value| _ = world.put(Part::Map, 0, value));
    drop(readers);
    while world.store.maintain() {}
    assert_eq!(world.census.live() as usize, world.len(), "nothing is kept for nobody");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_change_of_a_store_is_told_once(script in prop::collection::vec(step(), 0..120)) {
        follow(script, 1000);
    }

    #[test]
    fn who_is_too_slow_is_told_what_he_missed(script in prop::collection::vec(step(), 0..120), changes_max in 1..8_usize) {
        follow(script, changes_max);
    }
}

/// Writers of several parts, alone and in transactions, while maps are registered: each change is told once, transactions whole.
#[test]
fn each_change_is_told_once_beside_writers() {
    const ROUNDS: u64 = 6_000;
    let world = World::new(1 << 20);
    let (written, own) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let mut subscriber = world.store.subscribe(Feed::every());
    thread::scope(|scope| {
        let (world, written, own) = (&world, &written, &own);
        let write = |seed: u64| {
            move || {
                let mut random = Random::new(seed);
                let mut changes = 0;
                let options = MapOptions::<u64, u64>::new().every_change(1 << 30);
                let late = world.store.map_with(&format!("of {seed}"), options).unwrap();
                own.lock().unwrap().push(late.clone());
                for round in 0..ROUNDS {
                    let (key, value) = (random.below(KEYS), || world.census.value(round));
                    changes += match random.below(6) {
                        0 | 1 => world.transact(key, round).len() as u64,
                        2 => u64::from(world.map.pin().remove(&key).is_some()),
                        3 => u64::from(world.cell.set(value()).tick() > 0),
                        4 => u64::from(late.pin().put(key, round).tick() > 0),
                        _ => u64::from(world.map.pin().put(key, value()).tick() > 0),
                    };
                }
                written.fetch_add(changes, Ordering::SeqCst);
            }
        };
        let writers: Vec<_> = (0..3).map(|seed| scope.spawn(write(seed))).collect();
        let mut told = 0;
        let mut last: HashMap<(Part, u64), u64> = HashMap::new();
        loop {
            let was_done = writers.iter().all(|writer| writer.is_finished());
            let Some(batch) = subscriber.wait_for(Duration::from_millis(20)).unwrap() else {
                if was_done {
                    break;
                }
                continue;
            };
            let mut transactions: HashMap<TransactionId, u64> = HashMap::new();
            for change in world.told(&batch) {
                told += 1;
                if let Some(transaction) = change.transaction {
                    *transactions.entry(transaction).or_default() += 1;
                }
            }
            assert!(transactions.values().all(|changes| *changes == 3), "a transaction is told whole");
            for change in batch.changes(&world.cell).unwrap() {
                let number = last.entry((Part::Cell, 0)).or_insert(change.number - 1);
                *number += 1;
                assert_eq!(change.number, *number, "no change of the cell is left out");
            }
            for late in own.lock().unwrap().iter() {
                told += batch.changes(late).unwrap().len() as u64;
            }
        }
        assert_eq!(told, written.load(Ordering::SeqCst));
    });
    let began = Instant::now();
    while world.census.live() as usize != world.len() {
        while world.store.maintain() {}
        assert!(began.elapsed() < Duration::from_secs(20), "something is kept");
    }
}

/// What was missed is said exactly, although the subscriber began, read and began again beside writers and others who move the clock: as many as
/// there are versions later than its cursor.
#[test]
fn what_was_missed_is_said_exactly_beside_writers() {
    for seed in 0..40 {
        let world = World::new(20);
        let (done, begun) = (AtomicBool::new(false), AtomicU64::new(0));
        let versions: Vec<Version> = thread::scope(|scope| {
            let (world, done, begun) = (&world, &done, &begun);
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    scope.spawn(move || {
                        let mut random = Random::new(seed * 3 + writer);
                        let mut versions = Vec::new();
                        begun.fetch_add(1, Ordering::SeqCst);
                        while !done.load(Ordering::SeqCst) {
                            let (key, value) = (random.below(KEYS), world.census.value(seed));
                            match random.below(3) {
                                0 => versions.push(world.map.pin().put(key, value)),
                                1 => versions.push(world.cell.set(value)),
                                _ => versions.push(world.ordered.pin().put(key, value)),
                            }
                            if random.below(8) == 0 {
                                drop(world.store.snapshot());
                            }
                        }
                        versions
                    })
                })
                .collect();
            while begun.load(Ordering::SeqCst) < 3 {
                thread::yield_now();
            }
            let mut subscriber = world.store.subscribe(Feed::every().delivery(Delivery::AtLeastOnce));
            let mut random = Random::new(seed);
            for _ in 0..random.below(200) {
                match subscriber.poll() {
                    Ok(Some(batch)) if random.below(2) == 0 => subscriber.acknowledge(batch.cursor()).unwrap(),
                    Ok(_) => {}
                    Err(_) => drop(subscriber.resync()),
                }
                if random.below(10) == 0 {
                    let cursor = subscriber.cursor();
                    let feed = Feed::every().delivery(Delivery::AtLeastOnce);
                    subscriber = world.store.resume(feed, cursor).unwrap();
                }
            }
            done.store(true, Ordering::SeqCst);
            let versions = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>();
            // Nobody writes any more: now it is made to lag, if it does not.
            let known = subscriber.poll().err();
            let mut versions = versions;
            (0..30).for_each(|_| versions.push(world.cell.set(world.census.value(seed))));
            let lagged = subscriber.poll().unwrap_err();
            let missed = |lagged: &stillpoint::Lagged, of: &[Version]| {
                of.iter().filter(|version| version.tick() > lagged.since.tick()).count() as u64
            };
            if let Some(changes) = lagged.changes {
                assert_eq!(changes, missed(&lagged, &versions), "{lagged}");
            }
            if let Some(known) = known
                && let Some(changes) = known.changes
            {
                assert_eq!(changes, missed(&known, &versions[..versions.len() - 30]), "{known}");
            }
            versions
        });
        assert!(!versions.is_empty());
    }
}

/// A map that has lost its name and its handles is emptied, also beside a store's subscriber that has not read what was written to it.
#[test]
fn a_subscriber_keeps_nothing_of_a_map_that_was_dropped() {
    let mut world = World::new(10);
    let mut subscriber = world.store.subscribe(Feed::every());
    for number in 0..8 {
        world.put(Part::Late, number % 3, number);
        world.put(Part::Map, 0, number);
    }
    let cut = subscriber.poll().unwrap().unwrap();
    (0..8).for_each(|number| _ = world.put(Part::Late, number % 3, number));
    world.store.drop_component("late").unwrap();
    let still = world.late.take().unwrap();
    assert_eq!(cut.changes(&still).unwrap().len(), 8);
    drop((still, cut));
    while world.store.maintain() {}
    assert_eq!(world.census.live() as usize, world.len());
    // It does not make him lag, nor does what was removed from it.
    (0..9).for_each(|number| _ = world.put(Part::Map, 1, number));
    let batch = subscriber.poll().unwrap().unwrap();
    assert_eq!(batch.changes(&world.map).unwrap().len(), 9);
    while world.store.maintain() {}
    assert!(subscriber.poll().unwrap().is_none_or(|batch| batch.changes(&world.map).unwrap().len() == 0));
}

/// A cursor of a store leads on in a map and in a cell, and the other way round; a store without anything that keeps changes tells newest values.
#[test]
fn a_cursor_is_good_for_a_store_and_what_is_in_it() {
    let mut world = World::new(100);
    let _keeper = world.store.subscribe(Feed::every());
    let cursor = world.store.cursor();
    (0..3).for_each(|number| _ = world.put(Part::Cell, 0, number));
    world.put(Part::Ordered, 7, 7);
    let mut of_cell = world.cell.resume(Feed::every(), cursor).unwrap();
    assert!(of_cell.poll().unwrap().unwrap().iter().map(|change| change.value.unwrap().number()).eq([0, 1, 2]));
    let mut of_all = world.store.resume(Feed::every(), cursor).unwrap();
    let batch = of_all.poll().unwrap().unwrap();
    assert_eq!((batch.changes(&world.cell).unwrap().len(), batch.changes(&world.ordered).unwrap().len()), (3, 1));
    let resumed = world.cell.resume(Feed::every(), of_all.cursor()).unwrap();
    drop(resumed);
    let other = World::new(1);
    assert_eq!(batch.changes(&other.map).unwrap().len(), 0);
    assert_eq!(batch.changes(&world.plain).err().unwrap().component, "plain");

    let store = Store::new();
    let map = store.map::<u64, u64>("map").unwrap();
    let mut subscriber = store.subscribe(Feed::every().keys_bytes_max(3 * 128));
    (0..3).for_each(|key| _ = map.pin().put(key, key));
    assert_eq!(subscriber.poll().unwrap().unwrap().newest().changes(&map).count(), 3);
    (0..9).for_each(|key| _ = map.pin().put(key, key));
    let lagged = subscriber.poll().unwrap_err();
    assert_eq!((lagged.keys > 3, lagged.changes, subscriber.poll().unwrap_err()), (true, Some(0), lagged));
    drop(subscriber.resync());
    assert!(subscriber.poll().unwrap().is_none());
}
