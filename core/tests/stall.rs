//! A thread that is stopped holds up nobody: each operation is stopped before each of its shared accesses in turn, and
//! meanwhile others do everything that can be done to a map.
//!
//! Only with `--cfg stillpoint_stall`. Operations of consumers may wait for another consumer, so the others do without them;
//! operations of maps never may.
#![cfg(stillpoint_stall)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use stillpoint::stall::{Stall, disarm, stall_before};
use stillpoint::{Cell, Consumer, Cut, Feed, Handle, Keys, Map, MapPin, OrderedMap, Snapshot, Subscriber};
use support::operation::Operation;
use support::oracle::{Oracle, Value, World};
use support::random::Random;

/// Keys that all threads add to and take from; the sum is kept.
const COUNTERS: u64 = 4;
/// Absent until somebody puts it.
const ABSENT: u64 = 10;
/// There, and written blindly.
const PRESENT: u64 = 11;
/// There once, and removed.
const REMOVED: u64 = 12;
/// Written beside a snapshot that is kept: nobody changes them while a thread is stopped.
const STILL: std::ops::Range<u64> = 100..300;
/// Keys that only the stopped thread touches.
const OWN: u64 = 20_000;
/// Keys of an oracle beside it.
const ORACLE_KEYS: u16 = 40;

/// The time after which something that has not finished never will.
const FOREVER: Duration = Duration::from_secs(60);

/// A store with a past.
struct Scene {
    world: World<u64>,
    cleared: Map<u64, Value>,
    ordered: OrderedMap<u64, Value>,
    cell: Cell<Value>,
    added: AtomicU64,
    taken: AtomicU64,
    still: Snapshot,
}

impl Scene {
    fn new() -> Self {
        let world = World::<u64>::new();
        let map = &world.maps[0];
        let pin = map.pin();
        (0..COUNTERS).for_each(|key| _ = pin.insert(key, Box::new(0)));
        STILL.clone().for_each(|key| _ = pin.insert(key, Box::new(key)));
        pin.put(PRESENT, Box::new(0));
        pin.put(REMOVED, Box::new(0));
        let still = world.store.snapshot();
        STILL.clone().for_each(|key| _ = pin.update(&key, |value| Box::new(**value + 1)));
        pin.remove(&REMOVED);
        drop(pin);
        let cleared = world.store.map("cleared").unwrap();
        (0..20).for_each(|key| _ = cleared.pin().insert(key, Box::new(key)));
        let ordered = world.store.ordered_map("ordered").unwrap();
        (0..200).for_each(|key| _ = ordered.pin().insert(key * 10, Box::new(key)));
        let cell = world.store.cell("cell", Box::new(0)).unwrap();
        Self { world, cleared, ordered, cell, added: AtomicU64::new(0), taken: AtomicU64::new(0), still }
    }

    fn pin(&self) -> MapPin<'_, u64, Value> {
        self.world.maps[0].pin()
    }

    fn add(&self, is_done: bool) {
        self.added.fetch_add(u64::from(is_done), Ordering::Relaxed);
    }

    fn take(&self, taken: Option<u64>) {
        self.taken.fetch_add(taken.unwrap_or(0), Ordering::Relaxed);
    }

    fn upsert(&self, key: u64) {
        self.pin().upsert(key, |n| Box::new(n.map_or(1, |n| **n + 1)));
        self.add(true);
    }

    fn update(&self, key: u64) {
        self.add(self.pin().update(&key, |n| Box::new(**n + 1)).is_some());
    }

    fn remove(&self, key: u64) {
        self.take(self.pin().remove(&key).map(|had| **had));
    }

    fn insert(&self, key: u64) {
        self.add(self.pin().insert(key, Box::new(1)).is_ok());
    }

    fn exchange(&self, key: u64) {
        let pin = self.pin();
        if let Some(seen) = pin.versioned(&key) {
            self.add(pin.compare_exchange(&key, seen.version(), Box::new(**seen + 1)).is_ok());
        }
    }

    /// Adds one to each of two keys, as one step that depends on the cell.
    fn add_both(&self, keys: [u64; 2]) {
        let map = &self.world.maps[0];
        let added = self.world.store.transact(|tx| {
            tx.load(&self.cell)?;
            for key in keys {
                let had = tx.get(map, &key)?.map_or(0, |n| **n);
                tx.put(map, key, Box::new(had + 1))?;
            }
            Ok(keys.len())
        });
        (0..added.unwrap()).for_each(|_| self.add(true));
    }

    /// Moves all that a key holds to another one, as one step.
    fn move_all(&self, from: u64, to: u64) {
        let map = &self.world.maps[0];
        let moved = self.world.store.transact(|tx| {
            let Some(had) = tx.get(map, &from)?.map(|n| **n) else { return Ok(()) };
            tx.remove(map, &from)?;
            let has = tx.get(map, &to)?.map_or(0, |n| **n);
            tx.put(map, to, Box::new(has + had))
        });
        moved.unwrap();
    }

    fn compare_still(&self, still: &Snapshot) {
        let map = &self.world.maps[0];
        assert!(STILL.clone().all(|key| still.get(map, &key).map(|value| **value) == Some(key)));
        assert_eq!(still.get(map, &REMOVED).map(|value| **value), Some(0));
        assert_eq!(still.get(map, &ABSENT), None);
    }

    /// All operations of maps, on the keys that the stopped thread may be at, and some more.
    fn do_everything(&self, random: &mut Random) {
        let map = &self.world.maps[0];
        for key in [0, 1, 2, 3, ABSENT, REMOVED] {
            self.pin().get(&key);
            self.upsert(key);
            self.update(key);
            self.exchange(key);
            self.remove(key);
            self.insert(key);
            self.pin().get_or_insert_with(PRESENT, || Box::new(0));
            self.pin().put(PRESENT, Box::new(key));
            let seen = self.pin().get(&PRESENT).map(|value| **value).unwrap_or_default();
            let _ = self.pin().compare_exchange_value(&PRESENT, &Box::new(seen), Box::new(key));
            self.pin().remove_if(&PRESENT, |_| true);
            let _ = self.pin().try_update(&key, |_| Err::<Value, ()>(()));
        }
        self.add_both([0, 1]);
        self.add_both([ABSENT, REMOVED]);
        self.move_all(2, 3);
        self.move_all(REMOVED, 2);
        self.cleared.pin().put(random.below(20), Box::new(0));
        self.cleared.pin().retain(|key, _| key % 3 == 0);
        self.cleared.pin().clear();
        // Enough for the leaves that the stopped thread is at to split and to go.
        for key in (0..64).map(|nth| 995 + nth).chain([random.below(3_000)]) {
            self.ordered.pin().put(key, Box::new(key));
        }
        (995..1_050).for_each(|key| _ = self.ordered.pin().remove(&key));
        let cell = self.cell.pin();
        let seen = cell.update(|n| Box::new(**n + 2)).version();
        let _ = cell.compare_exchange(seen, Box::new(0));
        self.cell.set(Box::new(0));
        let now = self.world.store.snapshot();
        assert!(now.load(&self.cell).is_some());
        assert!(now.range(&self.ordered, 900..1_100).map(|(key, _)| key).is_sorted());
        assert!(now.range(&self.ordered, ..50).rev().count() >= 5);
        assert!(now.iter(map).count() >= STILL.clone().count());
        self.compare_still(&self.still);
        // Enough to grow the table, to close batches of garbage, to fill blocks of the backlog and to purge.
        let from = 30_000 + random.below(100) * 200;
        for key in from..from + 150 {
            self.pin().put(key, Box::new(key));
            self.pin().remove(&key);
            self.upsert(0);
        }
        drop(now);
        self.world.store.maintain();
    }

    /// What holds when everybody is done.
    fn validate(&self) {
        let map = &self.world.maps[0];
        self.compare_still(&self.still);
        let pin = map.pin();
        let left: u64 = [0, 1, 2, 3, ABSENT, REMOVED].iter().filter_map(|key| pin.get(key)).map(|value| **value).sum();
        let (added, taken) = (self.added.load(Ordering::Relaxed), self.taken.load(Ordering::Relaxed));
        assert_eq!(left + taken, added, "what was added is there or was taken");
        assert!(STILL.clone().all(|key| pin.get(&key).map(|value| **value) == Some(key + 1)));
        drop(pin);
        let all = self.world.store.snapshot();
        assert!(
            (0..200).filter(|nth| !(99..106).contains(nth)).all(|nth| all.get(&self.ordered, &(nth * 10)).is_some())
        );
        assert_eq!(self.ordered.len(), all.iter(&self.ordered).count());
        drop(all);
        assert_eq!(map.len(), self.world.store.snapshot().iter(map).count());
        assert!((0..10_000).any(|_| !self.world.store.maintain()), "maintaining comes to an end");
        let mut consumer = self.world.store.consumer();
        map.pin().put(OWN, Box::new(1));
        assert_eq!(consumer.cut().len(), 1);
    }
}

/// What the stopped thread holds from before.
#[derive(Default)]
struct Prepared {
    snapshot: Option<Snapshot>,
    consumer: Option<Consumer>,
    cut: Option<Cut>,
    handle: Option<Handle<u64, Value>>,
    subscriber: Option<Subscriber<Keys<u64, Value>>>,
}

/// An operation to be stopped.
struct Victim {
    name: &'static str,
    prepare: fn(&Scene) -> Prepared,
    act: fn(&Scene, &mut Prepared),
}

const fn victim(name: &'static str, act: fn(&Scene, &mut Prepared)) -> Victim {
    Victim { name, prepare: warm, act }
}

/// The thread is registered; nothing else.
fn warm(scene: &Scene) -> Prepared {
    drop(scene.pin());
    Prepared::default()
}

fn with_snapshot(scene: &Scene) -> Prepared {
    Prepared { snapshot: Some(scene.world.store.snapshot()), ..warm(scene) }
}

/// A snapshot alone keeps many old values, which wait in the backlog for its end.
fn with_a_past(scene: &Scene) -> Prepared {
    let prepared = with_snapshot(scene);
    (OWN..OWN + 200).for_each(|key| _ = scene.pin().insert(key, Box::new(0)));
    let snapshot = Some(scene.world.store.snapshot());
    (OWN..OWN + 200).for_each(|key| _ = scene.pin().update(&key, |_| Box::new(1)));
    (OWN..OWN + 100).for_each(|key| _ = scene.pin().remove(&key));
    Prepared { snapshot, ..prepared }
}

fn with_changes(scene: &Scene) -> Prepared {
    let consumer = Some(scene.world.store.consumer());
    (OWN..OWN + 20).for_each(|key| _ = scene.pin().insert(key, Box::new(0)));
    Prepared { consumer, ..warm(scene) }
}

fn with_cut(scene: &Scene) -> Prepared {
    let mut prepared = with_changes(scene);
    prepared.cut = prepared.consumer.as_mut().map(Consumer::cut);
    prepared
}

/// One note is missing to a full segment.
fn with_notes(scene: &Scene) -> Prepared {
    let prepared = Prepared { consumer: Some(scene.world.store.consumer()), ..warm(scene) };
    (OWN..OWN + 509).for_each(|key| _ = scene.pin().insert(key, Box::new(0)));
    prepared
}

fn with_garbage(scene: &Scene) -> Prepared {
    let prepared = warm(scene);
    (0..62).for_each(|_| scene.upsert(0));
    prepared
}

fn with_subscriber(scene: &Scene) -> Prepared {
    let subscriber = Some(scene.world.maps[0].subscribe(Feed::latest()));
    put_own(scene, 0..20);
    Prepared { subscriber, ..warm(scene) }
}

fn with_handle(scene: &Scene) -> Prepared {
    Prepared { handle: scene.pin().handle(&0), ..warm(scene) }
}

/// A handle of a key that has left its slot to another one and has come back.
fn with_stale_handle(scene: &Scene) -> Prepared {
    let key = OWN + 900;
    scene.pin().put(key, Box::new(0));
    let handle = scene.pin().handle(&key);
    scene.pin().remove(&key);
    while scene.world.store.maintain() {}
    put_own(scene, 901..903);
    scene.pin().put(key, Box::new(0));
    Prepared { handle, ..warm(scene) }
}

fn put_own(scene: &Scene, keys: std::ops::Range<u64>) {
    keys.for_each(|key| _ = scene.pin().insert(OWN + key, Box::new(key)));
}

static VICTIMS: LazyLock<Vec<Victim>> = LazyLock::new(|| {
    vec![
        victim("get", |scene, _| _ = scene.pin().get(&0)),
        victim("put of a new key", |scene, _| _ = scene.pin().put(OWN, Box::new(1))),
        victim("put of a key that is there", |scene, _| {
            scene.pin().put(PRESENT, Box::new(1));
        }),
        victim("update", |scene, _| scene.update(0)),
        victim("try_update", |scene, _| {
            scene.add(matches!(scene.pin().try_update(&1, |n| Ok::<_, ()>(Box::new(**n + 1))), Ok(Some(_))));
        }),
        victim("upsert of a key that is there", |scene, _| scene.upsert(0)),
        victim("upsert of an absent key", |scene, _| scene.upsert(ABSENT)),
        victim("upsert of a removed key", |scene, _| scene.upsert(REMOVED)),
        victim("get_or_insert_with", |scene, _| {
            scene.pin().get_or_insert_with(PRESENT, || Box::new(1));
        }),
        victim("insert of an absent key", |scene, _| scene.insert(ABSENT)),
        victim("insert of a key that is there", |scene, _| scene.insert(0)),
        victim("compare_exchange", |scene, _| scene.exchange(0)),
        victim("compare_exchange_value", |scene, _| {
            _ = scene.pin().compare_exchange_value(&PRESENT, &Box::new(0), Box::new(1));
        }),
        victim("remove", |scene, _| scene.remove(0)),
        victim("remove of a removed key", |scene, _| scene.remove(REMOVED)),
        victim("remove_if", |scene, _| _ = scene.pin().remove_if(&PRESENT, |_| true)),
        victim("retain", |scene, _| scene.cleared.pin().retain(|key, _| key % 2 == 0)),
        victim("clear", |scene, _| scene.cleared.pin().clear()),
        Victim {
            name: "get and update through a handle",
            prepare: with_handle,
            act: |scene, prepared| {
                let (pin, handle) = (scene.pin(), prepared.handle.as_ref().unwrap());
                handle.get(&pin);
                scene.add(handle.update(&pin, |n| Box::new(**n + 1)).is_some());
                scene.take(handle.remove(&pin).map(|had| **had));
            },
        },
        Victim {
            name: "a handle that finds its key again",
            prepare: with_stale_handle,
            act: |scene, prepared| {
                let (pin, handle) = (scene.pin(), prepared.handle.as_ref().unwrap());
                handle.put(&pin, Box::new(1));
                assert_eq!(handle.get(&pin).map(|value| **value), Some(1));
            },
        },
        victim("a key that splits a leaf of an ordered map", |scene, _| {
            (1_000..1_040).for_each(|key| _ = scene.ordered.pin().put(key, Box::new(key)));
        }),
        victim("keys that go from an ordered map", |scene, _| {
            (99..105).for_each(|nth| _ = scene.ordered.pin().remove(&(nth * 10)));
        }),
        victim("a transaction that adds to two keys", |scene, _| scene.add_both([0, 1])),
        victim("a transaction that brings keys in", |scene, _| scene.add_both([ABSENT, REMOVED])),
        victim("a transaction that removes a key", |scene, _| scene.move_all(0, ABSENT)),
        victim("a transaction that loses, and one that is given up", |scene, _| {
            let map = &scene.world.maps[0];
            let mut lost = scene.world.store.begin();
            lost.get(map, &PRESENT).unwrap();
            lost.put(map, OWN, Box::new(1)).unwrap();
            lost.put(map, OWN + 1, Box::new(1)).unwrap();
            scene.pin().put(PRESENT, Box::new(7));
            assert!(lost.commit().is_err());
            let mut given_up = scene.world.store.begin();
            given_up.put(map, OWN, Box::new(1)).unwrap();
            assert!(given_up.get(map, &(OWN + 2)).unwrap().is_none());
        }),
        victim("get_many", |scene, _| scene.pin().get_many(&[0, ABSENT, 1, REMOVED], |_, _| ())),
        victim("update_many", |scene, _| {
            let updated = scene.pin().update_many(&[0, 1, OWN], |_, n| Box::new(**n + 1));
            (0..updated).for_each(|_| scene.add(true));
        }),
        victim("load of a cell", |scene, _| assert!(**scene.cell.load() < u64::MAX)),
        victim("update of a cell", |scene, _| _ = scene.cell.update(|n| Box::new(**n + 1))),
        victim("set of a cell", |scene, _| _ = scene.cell.set(Box::new(1))),
        victim("compare_exchange of a cell", |scene, _| {
            let pin = scene.cell.pin();
            let _ = pin.compare_exchange(pin.versioned().version(), Box::new(1));
        }),
        victim("a watch that is asked", |scene, _| _ = scene.world.maps[0].watch(0).poll().is_some()),
        victim("a watch that waits", |scene, _| {
            _ = scene.world.maps[0].watch(OWN).wait_for(Duration::from_millis(1)).is_some();
        }),
        Victim {
            name: "a write that wakes",
            prepare: |scene| {
                // A thread that waits for the key, for as long as the scene is there.
                let mut watch = scene.world.maps[0].watch(OWN + 950);
                thread::spawn(move || watch.wait_for(FOREVER).is_some());
                thread::sleep(Duration::from_millis(1));
                warm(scene)
            },
            act: |scene, _| _ = scene.pin().put(OWN + 950, Box::new(1)),
        },
        victim("a published snapshot", |scene, _| {
            let latest = scene.world.store.latest(Duration::ZERO);
            assert!(latest.load().load(&scene.cell).is_some());
        }),
        victim("a snapshot that is taken", |scene, prepared| {
            prepared.snapshot = Some(scene.world.store.snapshot());
        }),
        Victim {
            name: "get at a snapshot",
            prepare: with_snapshot,
            act: |scene, prepared| {
                let map = &scene.world.maps[0];
                prepared.snapshot.as_ref().unwrap().get(map, &0);
                assert_eq!(scene.still.get(map, &100).map(|value| **value), Some(100));
            },
        },
        Victim {
            name: "iteration at a snapshot",
            prepare: with_snapshot,
            act: |scene, _| assert_eq!(scene.still.iter(&scene.world.maps[0]).count() as u64, COUNTERS + 202),
        },
        Victim { name: "a snapshot that ends", prepare: with_a_past, act: |_, prepared| prepared.snapshot = None },
        victim("a consumer that registers", |scene, prepared| prepared.consumer = Some(scene.world.store.consumer())),
        Victim {
            name: "cut",
            prepare: with_changes,
            act: |_, prepared| prepared.cut = prepared.consumer.as_mut().map(Consumer::cut),
        },
        Victim {
            name: "changes of a cut",
            prepare: with_cut,
            act: |scene, prepared| {
                let cut = prepared.cut.as_ref().unwrap();
                assert!(cut.changes(&scene.world.maps[0]).count() >= 20);
            },
        },
        Victim {
            name: "acknowledge",
            prepare: with_cut,
            act: |_, prepared| _ = prepared.consumer.as_mut().unwrap().acknowledge(prepared.cut.take().unwrap()),
        },
        Victim { name: "a cut that is dropped", prepare: with_cut, act: |_, prepared| prepared.cut = None },
        Victim { name: "a consumer that ends", prepare: with_changes, act: |_, prepared| prepared.consumer = None },
        victim("a subscriber that begins", |scene, prepared| {
            prepared.subscriber = Some(scene.world.maps[0].subscribe(Feed::latest().bytes_max(1)));
        }),
        Victim {
            name: "a subscriber that is asked",
            prepare: with_subscriber,
            act: |_, prepared| {
                let batch = prepared.subscriber.as_mut().unwrap().poll().unwrap().unwrap();
                assert!(batch.iter().count() >= 20);
            },
        },
        Victim {
            name: "a subscriber that goes on from a snapshot",
            prepare: with_subscriber,
            act: |scene, prepared| {
                let cursor = prepared.subscriber.as_mut().unwrap().resync();
                assert!(cursor.tick() < scene.world.store.tick());
            },
        },
        Victim {
            name: "maintain",
            prepare: |scene| {
                with_a_past(scene).snapshot = None;
                Prepared::default()
            },
            act: |scene, _| _ = scene.world.store.maintain(),
        },
        victim("inserts that grow the table", |scene, _| put_own(scene, 0..100)),
        Victim {
            name: "inserts that move buckets",
            prepare: |scene| {
                put_own(scene, 0..1_500);
                Prepared::default()
            },
            act: |scene, _| put_own(scene, 1_500..1_560),
        },
        Victim {
            name: "a put that begins a segment of notes",
            prepare: with_notes,
            act: |scene, _| put_own(scene, 600..603),
        },
        Victim {
            name: "writes that tidy up",
            prepare: with_garbage,
            act: |scene, _| (0..4).for_each(|_| scene.upsert(0)),
        },
        Victim {
            name: "a thread's first operation",
            prepare: |_| Prepared::default(),
            act: |scene, _| scene.upsert(0),
        },
    ]
});

/// A thread that works on its own keys and on everybody's while another one is stopped.
struct Rival {
    go: Sender<()>,
    is_done: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Rival {
    fn start(scene: &Arc<Scene>, number: u16, seed: u64) -> Self {
        let (go, may_go) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        let scene = Arc::clone(scene);
        let thread = thread::spawn(move || {
            let mut random = Random::new(seed);
            let first = 1_000 + number * ORACLE_KEYS;
            let mut oracle = Oracle::with_keys(&scene.world, first..first + ORACLE_KEYS);
            done.send(()).unwrap();
            may_go.recv().unwrap();
            for _ in 0..30 {
                let operation = Operation::random(&mut random, ORACLE_KEYS);
                if !operation.is_a_consumers() {
                    oracle.apply(operation);
                }
            }
            oracle.apply(Operation::ReleasePin);
            scene.do_everything(&mut random);
            done.send(()).unwrap();
            // The oracle's consumer may wait for one that is stopped.
            may_go.recv().unwrap();
            oracle.compare_all();
        });
        is_done.recv().unwrap();
        Self { go, is_done, thread }
    }
}

/// Stops the operation before its `n`-th access. Returns whether it came so far.
fn try_at(victim: &'static Victim, n: u64) -> bool {
    let scene = Arc::new(Scene::new());
    let rivals: Vec<Rival> = (0..2).map(|number| Rival::start(&scene, number, n * 2 + u64::from(number))).collect();
    let stall = Arc::new(Stall::default());
    let stopped = {
        let (scene, stall) = (Arc::clone(&scene), Arc::clone(&stall));
        thread::spawn(move || {
            let mut prepared = (victim.prepare)(&scene);
            stall_before(n, &stall);
            (victim.act)(&scene, &mut prepared);
            !disarm()
        })
    };
    while !stall.is_stopped_within(Duration::from_micros(200)) && !stopped.is_finished() {}
    for rival in &rivals {
        rival.go.send(()).unwrap();
    }
    for rival in &rivals {
        let done = rival.is_done.recv_timeout(FOREVER);
        assert!(done.is_ok(), "{} stopped before its access {n}: others {}", victim.name, done.unwrap_err());
    }
    stall.release();
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || done.send(stopped.join()));
    let came_so_far = is_done.recv_timeout(FOREVER).expect("it finishes once it is released");
    let came_so_far = came_so_far.unwrap_or_else(|_| panic!("{} panicked, stopped before access {n}", victim.name));
    for rival in rivals {
        rival.go.send(()).unwrap();
        rival.thread.join().unwrap();
    }
    scene.validate();
    came_so_far
}

/// Every access of an operation; of long ones, every one at the start, and then fewer and fewer.
fn try_everywhere(victims: impl Iterator<Item = &'static Victim>) {
    for victim in victims {
        let (mut n, mut tried) = (1, 0);
        while try_at(victim, n) {
            tried += 1;
            n += 1 + n / 100;
        }
        assert!(tried > 0, "{} touches something shared", victim.name);
        #[allow(clippy::print_stderr, reason = "how thorough the test was; shown on demand")]
        {
            eprintln!("{}: stopped at {tried} of {n} accesses", victim.name);
        }
    }
}

#[test]
fn a_stopped_thread_holds_up_nobody() {
    thread::scope(|scope| {
        for lane in 0..2 {
            scope.spawn(move || try_everywhere(VICTIMS.iter().skip(lane).step_by(2)));
        }
    });
}
