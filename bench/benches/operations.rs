//! Operations on a loaded map, and loading one: each beside the peer.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use stillpoint_bench::contender::{Contender, Papaya, Stillpoint};
use stillpoint_bench::deal::Skew;
use stillpoint_bench::entries::{Entries, Numbers, Texts};
use stillpoint_bench::memory;
use stillpoint_bench::race::Limit;
use stillpoint_bench::workload::{Operation, PinFor, Workload, load, prepare};

const KEYS: u32 = 1_000_000;
const THREADS: [usize; 2] = [1, 2];

criterion_group!(benches, numbers, texts, loading);
criterion_main!(benches);

fn numbers(criterion: &mut Criterion) {
    memory::touch(1 << 30);
    operations::<Numbers>(criterion, "u64", &[Skew::Uniform, Skew::Zipfian], &PinFor::ALL);
}

fn texts(criterion: &mut Criterion) {
    operations::<Texts>(criterion, "str24-v100", &[Skew::Uniform], &[PinFor::Each]);
}

fn operations<E: Entries>(criterion: &mut Criterion, kind: &str, skews: &[Skew], pins: &[PinFor]) {
    let (ours, peer) = (Stillpoint::<E>::default(), Papaya::<E>::default());
    prepare(&ours, KEYS);
    prepare(&peer, KEYS);
    for operation in Operation::ALL {
        let mut group = criterion.benchmark_group(format!("{kind} {}", operation.name()));
        group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
        for skew in skews {
            for pin_for in pins {
                for threads in THREADS {
                    let work = Workload::new(operation, *pin_for, threads, KEYS, *skew);
                    let name = format!("{}/{} x{threads}", skew.name(), pin_for.name().replace('/', "-"));
                    operate(&mut group, &name, &ours, &work);
                    operate(&mut group, &name, &peer, &work);
                }
            }
        }
    }
}

/// An iteration is one operation of each thread.
fn operate<E: Entries, C: Contender<E>>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    map: &C,
    work: &Workload,
) {
    group.throughput(Throughput::Elements(work.threads() as u64));
    group.bench_function(format!("{name}/{}", C::NAME), |bencher| {
        bencher.iter_custom(|iterations| work.run(map, Limit::Operations(iterations)).elapsed);
    });
}

fn loading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load 1 M new keys");
    group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(u64::from(KEYS)));
    for threads in THREADS {
        fill::<Numbers, Stillpoint<Numbers>>(&mut group, &format!("u64 x{threads}"), threads);
        fill::<Numbers, Papaya<Numbers>>(&mut group, &format!("u64 x{threads}"), threads);
        fill::<Texts, Stillpoint<Texts>>(&mut group, &format!("str24-v100 x{threads}"), threads);
        fill::<Texts, Papaya<Texts>>(&mut group, &format!("str24-v100 x{threads}"), threads);
    }
}

/// An iteration fills one map; dropping it is not on the clock.
fn fill<E: Entries, C: Contender<E>>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, threads: usize) {
    group.bench_function(format!("{name}/{}", C::NAME), |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| load(&C::default(), KEYS, threads).elapsed).sum());
    });
}
