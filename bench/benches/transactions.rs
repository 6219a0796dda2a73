//! Transactions on two keys: alone, and on ten keys that two threads fight for. Beside a map behind one lock, which is how this is done
//! without transactions: no snapshots, no readers meanwhile.

use std::collections::HashMap;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use foldhash::quality::RandomState;
use stillpoint_bench::memory;
use stillpoint_bench::moves::{Draws, ENOUGH, Moves, Transacted};

criterion_group!(benches, alone, contended);
criterion_main!(benches);

/// A map behind one lock.
struct Locked(Mutex<HashMap<u64, u64, RandomState>>);

impl Moves for Locked {
    fn holding(keys: u64) -> Self {
        Self(Mutex::new((0..keys).map(|key| (key, ENOUGH)).collect()))
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
        run::<Transacted>(&mut group, "stillpoint", keys, 1);
        run::<Locked>(&mut group, "one lock", keys, 1);
    }
}

fn contended(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let mut group = group(criterion, "two of 10 keys", threads);
        run::<Transacted>(&mut group, "stillpoint", 10, threads);
        run::<Locked>(&mut group, "one lock", 10, threads);
    }
}

fn group<'c>(criterion: &'c mut Criterion, name: &str, threads: u64) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(threads));
    group
}

/// An iteration is one move of each thread.
fn run<M: Moves>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, keys: u64, threads: u64) {
    let moves = M::holding(keys);
    group.bench_function(format!("x{threads}/{name}"), |bencher| {
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
    let mut draws = Draws::of(thread);
    start.wait();
    let began = Instant::now();
    for _ in 0..iterations {
        let (from, to) = draws.pair(keys);
        moves.step(from, to);
    }
    began.elapsed()
}
