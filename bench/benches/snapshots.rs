//! Snapshots: their cost at any size, and reading all at one, beside the peer's iterator, which shows no point in time.

use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use stillpoint_bench::contender::{Contender, Papaya, Stillpoint};
use stillpoint_bench::entries::{Entries, Numbers, Texts};
use stillpoint_bench::memory;
use stillpoint_bench::workload::{grow, prepare};

criterion_group!(benches, taking, scanning);
criterion_main!(benches);

fn taking(criterion: &mut Criterion) {
    memory::touch(1 << 30);
    let mut group = criterion.benchmark_group("snapshot, taken and dropped");
    group.sample_size(20).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
    let map = Stillpoint::<Numbers>::default();
    let mut entries = 0;
    for until in (1..=7).map(|power| 10_u32.pow(power)) {
        grow(&map, entries, until, 1);
        entries = until;
        group.bench_function(format!("{entries} entries"), |bencher| bencher.iter(|| map.store.snapshot()));
    }
}

fn scanning(criterion: &mut Criterion) {
    scans::<Numbers>(criterion, "u64");
    scans::<Texts>(criterion, "str24-v100");
}

fn scans<E: Entries>(criterion: &mut Criterion, kind: &str) {
    const KEYS: u32 = 1_000_000;
    let (ours, peer) = (Stillpoint::<E>::default(), Papaya::<E>::default());
    prepare(&ours, KEYS);
    prepare(&peer, KEYS);
    let mut group = criterion.benchmark_group(format!("scan 1 M, {kind}"));
    group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(1));
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(u64::from(KEYS)));
    group.bench_function("stillpoint, at a snapshot", |bencher| bencher.iter(|| ours.scan()));
    group.bench_function("papaya, not a point in time", |bencher| bencher.iter(|| peer.scan()));
}
