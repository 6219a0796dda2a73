//! What saves the search: handles, many keys at once, cells, published snapshots. Each beside what does the same otherwise.

use std::hint::black_box;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use foldhash::quality::RandomState;
use stillpoint::Store;
use stillpoint_bench::memory;

criterion_group!(benches, cells, published, handles, many);
criterion_main!(benches);

/// Operations that one pin serves.
const PIN_FOR: usize = 32;
/// Keys that one call of `get_many` looks up.
const MANY: usize = 1_024;

fn group<'c>(criterion: &'c mut Criterion, name: &str, elements: usize) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(elements as u64));
    group
}

/// Numbers below `keys` in an order that no processor guesses.
fn dealt(keys: u64, len: usize) -> Vec<u64> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..len).map(|_| next() % keys).collect()
}

/// Goes through `items` in chunks, round and round, once for each iteration.
fn round<'i, T>(items: &'i [T], chunk: usize, mut visit: impl FnMut(&'i [T])) -> impl FnMut(u64) -> Duration {
    let mut chunks = items.chunks_exact(chunk).cycle();
    move |iterations| {
        let began = Instant::now();
        (0..iterations).for_each(|_| visit(chunks.next().expect("there are items")));
        began.elapsed()
    }
}

fn handles(criterion: &mut Criterion) {
    const KEYS: u64 = 1_000_000;
    memory::touch(1 << 30);
    let store = Store::new();
    let map = store.map::<u64, u64>("map").expect("a fresh name");
    let peer = papaya::HashMap::with_hasher(RandomState::default());
    for key in 0..KEYS {
        map.pin().put(key, key);
        map.pin().update(&key, |value| value + 1);
        peer.pin().insert(key, key);
    }
    let keys = dealt(KEYS, 1 << 20);
    let handles: Vec<_> = (0..KEYS).map(|key| map.pin().handle(&key).expect("it is there")).collect();
    let mut lookup = group(criterion, "get, 1 M keys, pin/32", PIN_FOR);
    lookup.bench_function("handle", |bencher| {
        bencher.iter_custom(round(&keys, PIN_FOR, |keys| {
            let pin = map.pin();
            keys.iter().for_each(|key| _ = black_box(handles[*key as usize].get(&pin)));
        }));
    });
    lookup.bench_function("map", |bencher| {
        bencher.iter_custom(round(&keys, PIN_FOR, |keys| {
            let pin = map.pin();
            keys.iter().for_each(|key| _ = black_box(pin.get(key)));
        }));
    });
    lookup.bench_function("papaya", |bencher| {
        bencher.iter_custom(round(&keys, PIN_FOR, |keys| {
            let pin = peer.pin();
            keys.iter().for_each(|key| _ = black_box(pin.get(key)));
        }));
    });
}

fn many(criterion: &mut Criterion) {
    const KEYS: u64 = 10_000_000;
    let store = Store::new();
    let map = store.map::<u64, u64>("map").expect("a fresh name");
    let peer = papaya::HashMap::with_hasher(RandomState::default());
    for key in 0..KEYS {
        map.pin().put(key, key);
        peer.pin().insert(key, key);
    }
    let keys = dealt(KEYS, 1 << 22);
    let mut lookup = group(criterion, "get of 1,024 keys out of 10 M, one pin", MANY);
    lookup.bench_function("get_many", |bencher| {
        bencher
            .iter_custom(round(&keys, MANY, |keys| map.pin().get_many(keys, |_, value| _ = black_box(value.copied()))));
    });
    lookup.bench_function("a loop", |bencher| {
        bencher.iter_custom(round(&keys, MANY, |keys| {
            let pin = map.pin();
            keys.iter().for_each(|key| _ = black_box(pin.get(key).copied()));
        }));
    });
    lookup.bench_function("papaya, a loop", |bencher| {
        bencher.iter_custom(round(&keys, MANY, |keys| {
            let pin = peer.pin();
            keys.iter().for_each(|key| _ = black_box(pin.get(key).copied()));
        }));
    });
    lookup.finish();
    let mut updates = group(criterion, "update of 1,024 keys out of 10 M, one pin", MANY);
    updates.bench_function("update_many", |bencher| {
        bencher.iter_custom(round(&keys, MANY, |keys| _ = map.pin().update_many(keys, |_, value| value + 1)));
    });
    updates.bench_function("a loop", |bencher| {
        bencher.iter_custom(round(&keys, MANY, |keys| {
            let pin = map.pin();
            keys.iter().for_each(|key| _ = pin.update(key, |value| value + 1));
        }));
    });
}

fn cells(criterion: &mut Criterion) {
    let store = Store::new();
    let cell = store.cell("cell", [1_u64; 8]).expect("a fresh name");
    let peer = ArcSwap::from_pointee([1_u64; 8]);
    let mut load = group(criterion, "cell, load", 1);
    load.bench_function("cell, a pin each", |bencher| bencher.iter(|| black_box(cell.load()[3])));
    load.bench_function("cell, under one pin", |bencher| {
        let pin = cell.pin();
        bencher.iter(|| black_box(pin.get()[3]));
    });
    load.bench_function("arc-swap", |bencher| bencher.iter(|| black_box(peer.load()[3])));
    load.finish();
    let mut update = group(criterion, "cell, update", 1);
    update.bench_function("cell", |bencher| bencher.iter(|| cell.update(|value| value.map(|n| n + 1))));
    update.bench_function("arc-swap", |bencher| {
        bencher.iter(|| peer.rcu(|value| value.map(|n| n + 1)));
    });
}

fn published(criterion: &mut Criterion) {
    let store = Store::new();
    let latest = store.latest(Duration::from_millis(10));
    let mut load = group(criterion, "a recent snapshot", 1);
    load.bench_function("published", |bencher| bencher.iter(|| black_box(latest.load().tick())));
    load.bench_function("taken", |bencher| bencher.iter(|| black_box(store.snapshot().tick())));
}
