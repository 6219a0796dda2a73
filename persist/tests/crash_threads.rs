//! Power is lost while threads are at work in transactions over every kind of component: each transaction comes back whole or not at all,
//! in the order of its thread, and none that was acknowledged is missing.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use stillpoint::{Cell, CheckedMap, Map, MapOptions, OrderedMap};
use stillpoint_persist::medium::SimulatedDisk;
use stillpoint_persist::{DurableStore, MapError, OpenError, Options};
use support::random::Random;

const THREADS: u64 = 2;

/// Every kind of component. By thread, all of them say the same.
struct All {
    store: DurableStore,
    /// How far each thread is.
    plain: Map<u64, u64>,
    /// Where each thread is: exactly one key of its own.
    places: OrderedMap<(u64, u64), u64>,
    /// How many transactions there were, of all.
    total: Cell<u64>,
    sessions: CheckedMap<u64, String>,
}

impl All {
    fn of(store: DurableStore) -> Result<Self, MapError> {
        let plain = store.map("plain")?.warm()?;
        let places = store.ordered_map("places")?;
        let total = store.cell("total", 0)?;
        let sessions = store.map_with("sessions", MapOptions::new().ttl(Duration::from_secs(3600)))?;
        Ok(Self { store, plain, places, total, sessions })
    }

    fn open(disk: &SimulatedDisk) -> Result<Self, OpenError> {
        let options =
            Options::new().interval(Duration::from_millis(1)).segment_bytes(32 << 10).tail_bytes_max(64 << 10);
        Ok(Self::of(options.open_on(Arc::new(disk.clone()))?).expect("what is stored is readable"))
    }

    /// One transaction: everything that a thread has goes a step on.
    fn step(&self, thread: u64) -> u64 {
        let done = self.store.store().transact(|tx| {
            let step = tx.get(&self.plain, &thread)?.copied().unwrap_or(0) + 1;
            tx.put(&self.plain, thread, step)?;
            tx.remove(&self.places, &(thread, step - 1))?;
            tx.put(&self.places, (thread, step), step)?;
            tx.put(&self.sessions, thread, step.to_string())?;
            tx.modify(&self.total, |total| total + 1)?;
            Ok(step)
        });
        done.expect("nothing is refused")
    }

    /// How far each thread is; all components must agree.
    fn steps(&self) -> [u64; THREADS as usize] {
        let still = self.store.store().snapshot();
        let steps = [0, 1].map(|thread| still.get(&self.plain, &thread).copied().unwrap_or(0));
        for (thread, step) in (0..).zip(steps) {
            let places: Vec<_> = still.range(&self.places, (thread, 0)..(thread + 1, 0)).collect();
            let session = still.get(&self.sessions, &thread).map(String::as_str);
            match step {
                0 => assert!(places.is_empty() && session.is_none(), "{places:?} {session:?} before the first step"),
                _ => {
                    assert_eq!(places, [(&(thread, step), &step)], "of thread {thread}");
                    assert_eq!(session, Some(&*step.to_string()), "of thread {thread}");
                }
            }
        }
        assert_eq!(still.load(&self.total).copied(), Some(steps.iter().sum()));
        steps
    }
}

/// Works until power is lost; returns what was acknowledged to each thread, and how far it was.
fn work(all: &All, disk: &SimulatedDisk) -> [(u64, u64); THREADS as usize] {
    // What was there when this life began was made durable by the one before, or by its opening.
    let before = all.steps();
    let acknowledged = before.map(AtomicU64::new);
    let steps = thread::scope(|scope| {
        let threads = [0, 1].map(|number| {
            let acknowledged = &acknowledged[number as usize];
            scope.spawn(move || {
                let mut step = before[number as usize];
                while !disk.is_off() {
                    step = all.step(number);
                    // Now and then one waits; what the others have done by then is durable, too.
                    if step.is_multiple_of(3 + 4 * number) && all.store.sync().is_ok() {
                        acknowledged.store(step, Ordering::Relaxed);
                    }
                    if number == 1 && step.is_multiple_of(64) {
                        let _ = all.store.write_snapshot_file();
                    }
                    assert_eq!(all.plain.pin().get(&number), Some(&step), "memory goes on");
                }
                step
            })
        });
        threads.map(|thread| thread.join().expect("no assertion fails"))
    });
    [0, 1].map(|thread| (acknowledged[thread].load(Ordering::Relaxed), steps[thread]))
}

#[test]
fn transactions_are_whole_whenever_power_is_lost() {
    let (rounds, images) = if cfg!(debug_assertions) { (60, 8) } else { (400, 12) };
    let mut random = Random::new(7);
    let mut most = 0;
    for round in 0..rounds {
        let disk = SimulatedDisk::with_seed(round);
        // From the first frame on, to the third snapshot file or so.
        let all = All::open(&disk).expect("an empty disk");
        disk.crash_at(1 + random.below(200));
        let ends = work(&all, &disk);
        drop(all);
        for number in 0..images {
            let left = if number == 0 { disk.kill() } else { disk.crash(random.next()) };
            let found = All::open(&left).expect("it opens").steps();
            for (found, (acknowledged, last)) in found.into_iter().zip(ends) {
                let range = acknowledged..=last;
                assert!(range.contains(&found), "round {round}, image {number}: step {found} is not in {range:?}");
                most = most.max(found);
            }
        }
    }
    assert!(most > 50, "{most} steps are too few to be torn");
}

/// One life after the other, each of which goes on where the last one was found.
#[test]
fn lives_go_on_where_the_last_one_was_found() {
    let mut random = Random::new(11);
    let mut disk = SimulatedDisk::new();
    let mut before = [0; THREADS as usize];
    for life in 0..if cfg!(debug_assertions) { 30 } else { 200 } {
        disk.crash_at(20 + random.below(120));
        let Ok(all) = All::open(&disk) else {
            // Power was lost in the opening: nothing has changed.
            disk = disk.crash(random.next());
            continue;
        };
        assert_eq!(all.steps(), before, "life {life}");
        let ends = work(&all, &disk);
        drop(all);
        disk = disk.crash(random.next());
        before = All::open(&disk.kill()).expect("it opens").steps();
        for (found, (acknowledged, last)) in before.into_iter().zip(ends) {
            assert!((acknowledged..=last).contains(&found), "life {life}: {found} of {acknowledged} to {last}");
        }
    }
    assert!(before.iter().all(|step| *step > 50), "{before:?}");
}

/// One step of a thread that drops and makes anew: says so in a map, drops, fills what has the name then. Each of these comes back only with all
/// that was before it.
fn drop_and_fill(store: &DurableStore, marks: &Map<u64, u64>, step: u64) {
    marks.pin().put(0, step);
    assert!(store.drop_component("scratch") || step == 1);
    let scratch = store.ordered_map::<u64, u64>("scratch").expect("the name is free");
    let filled = store.store().transact(|tx| (0..4).try_for_each(|key| tx.put(&scratch, key, step)));
    filled.expect("nothing is refused");
    marks.pin().put(1, step);
}

#[test]
fn a_drop_is_in_its_place_among_writes() {
    let (rounds, images) = if cfg!(debug_assertions) { (60, 6) } else { (400, 8) };
    let mut random = Random::new(13);
    let mut most = 0;
    for round in 0..rounds {
        let disk = SimulatedDisk::with_seed(round);
        let options = Options::new().interval(Duration::ZERO).segment_bytes(32 << 10).tail_bytes_max(64 << 10);
        let store = options.open_on(Arc::new(disk.clone())).expect("an empty disk");
        let marks = store.map::<u64, u64>("marks").and_then(|map| Ok(map.warm()?)).expect("new");
        disk.crash_at(1 + random.below(200));
        let mut acknowledged = 0;
        for step in (1..).take_while(|_| !disk.is_off()) {
            drop_and_fill(&store, &marks, step);
            if step.is_multiple_of(16) && store.sync().is_ok() {
                acknowledged = step;
            }
        }
        drop((marks, store));
        for number in 0..images {
            let left = if number == 0 { disk.kill() } else { disk.crash(random.next()) };
            let store = Options::new().open_on(Arc::new(left)).expect("it opens");
            let marks = store.map::<u64, u64>("marks").and_then(|map| Ok(map.warm()?)).expect("whole");
            let [begun, done] = [0, 1].map(|key| marks.pin().get(&key).copied().unwrap_or(0));
            assert!(done >= acknowledged && begun >= done && begun <= done + 1, "{begun} {done} {acknowledged}");
            let scratch = store.ordered_map::<u64, u64>("scratch").expect("whole");
            let still = store.store().snapshot();
            let found: Vec<_> = still.iter(&scratch).map(|(_, step)| *step).collect();
            // Before the drop, behind it, or filled again.
            let may_be = |step| found == [step; 4] && step != 0;
            let is_right = may_be(begun) || (begun > done && (found.is_empty() || may_be(done))) || begun == 0;
            assert!(is_right, "round {round}, image {number}: {found:?} at {begun}, after {done}");
            most = most.max(begun);
        }
    }
    assert!(most > 50, "{most} drops are too few to be misplaced");
}
