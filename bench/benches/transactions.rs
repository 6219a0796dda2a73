//! Transactions on two keys: alone, and on ten keys that two threads fight for. Beside a map behind one lock, which is how this is done
//! without transactions: no snapshots, no readers meanwhile.

use std::collections::HashMap;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use foldhash::quality::RandomState;
use stillpoint::{Map, Store};
use stillpoint_bench::memory;

criterion_group!(benches, alone, contended);
criterion_main!(benches);

/// Moves one from a key to another; both hold enough.
trait Moves: Sync {
    const NAME: &'static str;
    fn holding(keys: u64) -> Self;
    fn step(&self, from: u64, to: u64);
}

struct Transacted {
    store: Store,
    map: Map<u64, u64>,
}

impl Moves for Transacted {
    const NAME: &'static str = "stillpoint";

    fn holding(keys: u64) -> Self {
        let store = Store::new();
        let map = store.map("accounts").expect("a fresh name");
        let pin = map.pin();
        for key in 0..keys {
            pin.put(key, 1 << 40);
        }
        drop(pin);
        Self { store, map }
    }

    fn step(&self, from: u64, to: u64) {
        let moved = self.store.transact(|tx| {
            let had = *tx.get(&self.map, &from)?.expect("loaded");
            let has = *tx.get(&self.map, &to)?.expect("loaded");
            tx.put(&self.map, from, had - 1)?;
            tx.put(&self.map, to, has + 1)
        });
        moved.expect("nothing is bounded");
    }
}

struct Locked(Mutex<HashMap<u64, u64, RandomState>>);

impl Moves for Locked {
    const NAME: &'static str = "one lock";

    fn holding(keys: u64) -> Self {
        Self(Mutex::new((0..keys).map(|key| (key, 1 << 40)).collect()))
    }

    fn step(&self, from: u64, to: u64) {
        let mut map = self.0.lock().expect("nobody panics");
        *map.get_mut(&from).expect("loaded") -= 1;
        *map.get_mut(&to).expect("loaded") += 1;
    }
}

fn alone(criterion: &mut Criterion) {
    memory::touch(1 << 28);
    for keys in [1_000, 1_000_000] {
        let mut group = group(criterion, &format!("two of {keys} keys"), 1);
        run::<Transacted>(&mut group, keys, 1);
        run::<Locked>(&mut group, keys, 1);
    }
}

fn contended(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let mut group = group(criterion, "two of 10 keys", threads);
        run::<Transacted>(&mut group, 10, threads);
        run::<Locked>(&mut group, 10, threads);
    }
}

fn group<'c>(criterion: &'c mut Criterion, name: &str, threads: u64) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(threads));
    group
}

/// An iteration is one move of each thread.
fn run<M: Moves>(group: &mut BenchmarkGroup<'_, WallTime>, keys: u64, threads: u64) {
    let moves = M::holding(keys);
    group.bench_function(format!("x{threads}/{}", M::NAME), |bencher| {
        bencher.iter_custom(|iterations| {
            let start = Barrier::new(threads as usize);
            let took = thread::scope(|scope| {
                let threads: Vec<_> = (0..threads)
                    .map(|thread| {
                        let (moves, start) = (&moves, &start);
                        scope.spawn(move || work(moves, keys, thread, iterations, start))
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("nobody panics")).max()
            });
            took.expect("there is a thread")
        });
    });
}

fn work(moves: &impl Moves, keys: u64, thread: u64, iterations: u64, start: &Barrier) -> Duration {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ thread << 7;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % keys
    };
    start.wait();
    let began = Instant::now();
    for _ in 0..iterations {
        let from = next();
        let to = (from + 1 + next() % (keys - 1)) % keys;
        moves.step(from, to);
    }
    began.elapsed()
}
