//! Runs calls on a store, by several threads at once, and records what they saw.
//!
//! Time is a counter of ends. A call reads it when it begins and moves it on when it ends: so it is known to precede another
//! if the other, when it began, saw its end counted; and a beginning costs the threads no synchronisation that could hide a race.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use stillpoint::{Conflict, Handle, Map, MapPin, Snapshot, Store, Versioned};

use super::history::{Call, Did, Seen, Sight, Then};
use super::support::random::Random;

/// On the heap, so that a sanitizer sees a read after the drop.
type Value = Box<u64>;

/// What a run does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    /// Keys of a round. Each round has keys of its own, and starts when all have ended the one before.
    pub(crate) keys: usize,
    pub(crate) rounds: usize,
    /// Calls of a thread in a round.
    pub(crate) calls: usize,
    pub(crate) values: Values,
    /// Whether another thread works on the same map beside them: makes its table grow, purges, cuts, keeps snapshots.
    pub(crate) is_disturbed: bool,
}

/// Which values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Each once. Only by operations that tell the version.
    Unique,
    /// The same few time and again, by all operations.
    Few,
}

/// Runs a plan, and returns the history of each round.
pub(crate) fn run(plan: Plan) -> Vec<Vec<Call>> {
    let store = Store::new();
    let map: Map<u64, Value> = store.map("map").expect("a fresh name");
    let time = AtomicU64::new(0);
    let gate = Gate { arrived: AtomicUsize::new(0), threads: plan.threads };
    let is_done = AtomicBool::new(false);
    let mut rounds: Vec<Vec<Call>> = (0..plan.rounds).map(|_| Vec::new()).collect();
    thread::scope(|scope| {
        if plan.is_disturbed {
            scope.spawn(|| disturb(&store, &map, plan.seed, &is_done));
        }
        let threads: Vec<_> = (0..plan.threads)
            .map(|thread| {
                let (store, map, time, gate) = (&store, &map, &time, &gate);
                let random = Random::new(plan.seed.wrapping_mul(64).wrapping_add(thread as u64));
                let last_seen = vec![Seen { value: 0, version: 0 }; plan.keys];
                let mut recorder = Recorder {
                    plan,
                    store,
                    map,
                    time,
                    thread,
                    round: 0,
                    written: 0,
                    random,
                    last_seen,
                    handles: Vec::new(),
                    kept: Vec::new(),
                };
                scope.spawn(move || {
                    let _opens = OpensInPanic(gate);
                    (0..plan.rounds).map(|round| recorder.round(round, gate)).collect::<Vec<_>>()
                })
            })
            .collect();
        let recorded: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        is_done.store(true, Ordering::Relaxed);
        for of_thread in recorded {
            let of_thread = of_thread.unwrap_or_else(|panic| resume_unwind(panic));
            rounds.iter_mut().zip(of_thread).for_each(|(round, mut calls)| round.append(&mut calls));
        }
    });
    rounds
}

/// Lets threads go on when all have come, closely together; or when one never will.
struct Gate {
    arrived: AtomicUsize,
    threads: usize,
}

/// Opens the gate for good when its thread panics.
struct OpensInPanic<'g>(&'g Gate);

impl Drop for OpensInPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.arrived.store(usize::MAX / 2, Ordering::Release);
        }
    }
}

impl Gate {
    fn pass(&self, round: usize) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let all = (round + 1) * self.threads;
        let mut looks = 0_u32;
        while self.arrived.load(Ordering::Acquire) < all {
            looks += 1;
            if looks.is_multiple_of(64) { thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

/// Keys above those of all rounds.
const OTHER_KEYS: u64 = 1 << 32;
/// Snapshots that a thread keeps, to read them again.
const KEPT_MAX: usize = 4;

/// Everything that may happen beside single calls.
fn disturb(store: &Store, map: &Map<u64, Value>, seed: u64, is_done: &AtomicBool) {
    let mut random = Random::new(!seed);
    let mut kept: Vec<Snapshot> = Vec::new();
    let mut consumer = store.consumer();
    let mut from = OTHER_KEYS;
    while !is_done.load(Ordering::Relaxed) {
        match random.below(6) {
            0 => {
                // More keys, so that the table grows; and then fewer, so that slots come again for others.
                let count = 16 << random.below(6);
                (from..from + count).for_each(|key| _ = map.pin().put(key, Box::new(key)));
                (from..from + count).for_each(|key| _ = map.pin().remove(&key));
                from += count;
            }
            1 => kept.push(store.snapshot()),
            2 => drop(kept.pop()),
            3 => {
                let cut = consumer.cut();
                if random.below(3) > 0 {
                    consumer.acknowledge(cut);
                }
            }
            4 => consumer = store.consumer(),
            _ => drop(store.maintain()),
        }
        kept.truncate(32);
        thread::yield_now();
    }
}

/// A thread that calls and records.
struct Recorder<'r> {
    plan: Plan,
    store: &'r Store,
    map: &'r Map<u64, Value>,
    time: &'r AtomicU64,
    thread: usize,
    round: usize,
    written: u64,
    random: Random,
    /// What the thread last saw of each key: what its conditional calls expect.
    last_seen: Vec<Seen>,
    /// Kept from call to call, also while keys are removed, purged and come back.
    handles: Vec<Option<Handle<u64, Value>>>,
    kept: Vec<(Snapshot, Vec<Option<Seen>>)>,
}

fn seen(versioned: Versioned<'_, Value>) -> Seen {
    Seen { value: **versioned.value(), version: versioned.version().as_u64() }
}

impl Recorder<'_> {
    fn round(&mut self, round: usize, gate: &Gate) -> Vec<Call> {
        self.round = round;
        self.last_seen.fill(Seen { value: 0, version: 0 });
        self.handles = (0..self.plan.keys).map(|_| None).collect();
        let mut calls = Vec::with_capacity(self.plan.calls);
        gate.pass(round);
        while calls.len() < self.plan.calls {
            // One pin for some calls: fresh pins bring fences, old ones let others' garbage wait.
            let map = self.map;
            let pin = map.pin();
            for _ in 0..(1 + self.random.below(6)).min((self.plan.calls - calls.len()) as u64) {
                calls.push(self.call(&pin));
            }
        }
        for (still, shown) in std::mem::take(&mut self.kept) {
            assert_eq!(self.shows(&still), shown, "a snapshot shows what it showed");
        }
        calls
    }

    fn call(&mut self, pin: &MapPin<'_, u64, Value>) -> Call {
        if self.random.below(16) == 0 {
            return self.snapshot();
        }
        let key = self.random.below(self.plan.keys as u64) as usize;
        if self.handles[key].is_none() {
            self.handles[key] = pin.handle(&self.number_of(key));
        }
        let began = self.time.load(Ordering::Acquire);
        let handle = if self.random.below(4) == 0 { self.handles[key].take() } else { None };
        let (name, saw, then) = match &handle {
            Some(handle) => self.step_by_handle(handle, pin, key),
            None => self.step(pin, key),
        };
        let ended = self.time.fetch_add(1, Ordering::AcqRel);
        if handle.is_some() {
            self.handles[key] = handle;
        }
        if let Some(Sight::Present { value: Some(value), version: Some(version) }) = saw {
            self.last_seen[key] = Seen { value, version };
        }
        if let Then::Writes { value, version: Some(version) } = then {
            self.last_seen[key] = Seen { value, version };
        }
        Call { name, thread: self.thread, began, ended, did: Did::Step { key, saw, then } }
    }

    fn number_of(&self, key: usize) -> u64 {
        (self.round * self.plan.keys + key) as u64
    }

    fn next_value(&mut self) -> u64 {
        self.written += 1;
        match self.plan.values {
            Values::Unique => (self.thread as u64 + 1) << 32 | self.written,
            Values::Few => self.random.below(3),
        }
    }

    /// One call on a key: its name, what it saw, and what it did.
    fn step(&mut self, pin: &MapPin<'_, u64, Value>, key: usize) -> (&'static str, Option<Sight>, Then) {
        let (number, expected, value) = (self.number_of(key), self.last_seen[key], self.next_value());
        let writes = |version: stillpoint::Version| Then::Writes { value, version: Some(version.as_u64()) };
        let saw = |versioned: Option<Versioned<'_, Value>>| Some(Sight::of(versioned.map(seen)));
        let of_conflict = |conflict: Conflict<'_, Value>| {
            assert_eq!(*conflict.value, value, "a refused write gives its value back");
            conflict.actual.map(seen)
        };
        let kinds = if self.plan.values == Values::Few { 21 } else { 20 };
        match self.random.below(kinds) {
            0 => {
                let mut got = None;
                pin.get_many([&number], |_, value| got = value.map(|value| **value));
                ("get_many", Some(Sight::of_value(got)), Then::Keeps)
            }
            1 => ("get", Some(Sight::of_value(pin.get(&number).map(|value| **value))), Then::Keeps),
            2..4 => ("versioned", saw(pin.versioned(&number)), Then::Keeps),
            4..7 => ("put", None, writes(pin.put(number, Box::new(value)))),
            7..9 => {
                let mut old = None;
                let new = pin.update(&number, |held| {
                    old = Some(**held);
                    Box::new(value)
                });
                match new {
                    Some(new) => ("update", Some(Sight::of_value(old)), writes(new.version())),
                    None => ("update", Some(Sight::Absent), Then::Keeps),
                }
            }
            9..11 => {
                let mut old = None;
                let new = pin.upsert(number, |held| {
                    old = held.map(|held| **held);
                    Box::new(value)
                });
                ("upsert", Some(Sight::of_value(old)), writes(new.version()))
            }
            11..13 => match pin.insert(number, Box::new(value)) {
                Ok(version) => ("insert", Some(Sight::Absent), writes(version)),
                Err(conflict) => {
                    let found = of_conflict(conflict);
                    assert!(found.is_some(), "an insert fails where a value is");
                    ("insert", Some(Sight::of(found)), Then::Keeps)
                }
            },
            13..15 => {
                let version = stillpoint::Version::from_u64(expected.version);
                match pin.compare_exchange(&number, version, Box::new(value)) {
                    Ok(new) => {
                        let saw = Sight::Present { value: None, version: Some(expected.version) };
                        ("compare_exchange", Some(saw), writes(new))
                    }
                    Err(conflict) => {
                        let found = of_conflict(conflict);
                        assert!(found.is_none_or(|found| found.version != expected.version), "it was as expected");
                        ("compare_exchange", Some(Sight::of(found)), Then::Keeps)
                    }
                }
            }
            15..16 => match pin.compare_exchange_value(&number, &Box::new(expected.value), Box::new(value)) {
                Ok(new) => ("compare_exchange_value", Some(Sight::of_value(Some(expected.value))), writes(new)),
                Err(conflict) => {
                    let found = of_conflict(conflict);
                    assert!(found.is_none_or(|found| found.value != expected.value), "it was as expected");
                    ("compare_exchange_value", Some(Sight::of(found)), Then::Keeps)
                }
            },
            16..18 => {
                let removed = pin.remove(&number);
                let then = if removed.is_some() { Then::Removes } else { Then::Keeps };
                ("remove", saw(removed), then)
            }
            18..20 => {
                let mut refused = None;
                let removed = pin.remove_if(&number, |held| {
                    let is_wanted = **held % 2 == 0;
                    refused = (!is_wanted).then_some(**held);
                    is_wanted
                });
                match removed {
                    Some(removed) => ("remove_if", Some(Sight::of(Some(seen(removed)))), Then::Removes),
                    None => ("remove_if", Some(Sight::of_value(refused)), Then::Keeps),
                }
            }
            _ => {
                let mut made: *const u64 = std::ptr::null();
                let held: &u64 = pin.get_or_insert_with(number, || {
                    let own = Box::new(value);
                    made = &raw const *own;
                    own
                });
                // Another's value may be equal, so the address tells whose it is.
                if std::ptr::eq(held, made) {
                    ("get_or_insert_with", Some(Sight::Absent), Then::Writes { value, version: None })
                } else {
                    ("get_or_insert_with", Some(Sight::of_value(Some(*held))), Then::Keeps)
                }
            }
        }
    }

    /// As [`step`](Self::step), through a handle.
    fn step_by_handle(
        &mut self,
        handle: &Handle<u64, Value>,
        pin: &MapPin<'_, u64, Value>,
        key: usize,
    ) -> (&'static str, Option<Sight>, Then) {
        let (expected, value) = (self.last_seen[key].version, self.next_value());
        let writes = |version: stillpoint::Version| Then::Writes { value, version: Some(version.as_u64()) };
        match self.random.below(6) {
            0 => ("handle.versioned", Some(Sight::of(handle.versioned(pin).map(seen))), Then::Keeps),
            1 | 2 => ("handle.put", None, writes(handle.put(pin, Box::new(value)))),
            3 => {
                let mut old = None;
                let new = handle.update(pin, |held| {
                    old = Some(**held);
                    Box::new(value)
                });
                match new {
                    Some(new) => ("handle.update", Some(Sight::of_value(old)), writes(new.version())),
                    None => ("handle.update", Some(Sight::Absent), Then::Keeps),
                }
            }
            4 => match handle.compare_exchange(pin, stillpoint::Version::from_u64(expected), Box::new(value)) {
                Ok(new) => {
                    let saw = Sight::Present { value: None, version: Some(expected) };
                    ("handle.compare_exchange", Some(saw), writes(new))
                }
                Err(conflict) => {
                    let found = conflict.actual.map(seen);
                    assert!(found.is_none_or(|found| found.version != expected), "it was as expected");
                    ("handle.compare_exchange", Some(Sight::of(found)), Then::Keeps)
                }
            },
            _ => {
                let removed = handle.remove(pin).map(seen);
                let then = if removed.is_some() { Then::Removes } else { Then::Keeps };
                ("handle.remove", Some(Sight::of(removed)), then)
            }
        }
    }

    /// Takes a snapshot, and reads in it when it has ended: it shows one moment, whenever it is read.
    fn snapshot(&mut self) -> Call {
        let began = self.time.load(Ordering::Acquire);
        let still = self.store.snapshot();
        let ended = self.time.fetch_add(1, Ordering::AcqRel);
        let (tick, shows) = (still.tick(), self.shows(&still));
        self.kept.push((still, shows.clone()));
        if self.kept.len() > KEPT_MAX {
            let (still, shown) = self.kept.swap_remove(self.random.below(KEPT_MAX as u64) as usize);
            assert_eq!(self.shows(&still), shown, "a snapshot shows what it showed");
        }
        Call { name: "snapshot", thread: self.thread, began, ended, did: Did::Snapshot { tick, shows } }
    }

    fn shows(&self, still: &Snapshot) -> Vec<Option<Seen>> {
        let view = still.of(self.map).expect("the store's own map");
        (0..self.plan.keys).map(|key| view.versioned(&self.number_of(key)).map(seen)).collect()
    }
}
