//! Restarts: from the call that opens a directory to the first verified read, for few entries and for many, after a close and after
//! a crash. The files are in the page cache, as they are after a process has died.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use stillpoint_persist::Options;
use tempfile::TempDir;

criterion_group!(benches, restarts);
criterion_main!(benches);

/// With its key and its version an entry is about 100 bytes.
type Value = [u64; 11];

const MAP: &str = "map";
/// Entries that are written again before the crash, and so lie in the log's tail.
const TAIL: u64 = 100;

fn restarts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open to first read");
    group.sample_size(50).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.sampling_mode(SamplingMode::Flat);
    for entries in [1_000, 1_000_000] {
        let closed = closed(entries).expect("a directory is written");
        group.bench_function(format!("closed, {entries} entries"), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| open_and_read(closed.path(), entries)).sum());
        });
        let crashed = crashed(closed.path()).expect("a directory is copied while its store is open");
        group.bench_function(format!("crashed, {entries} entries"), |bencher| {
            bencher.iter_custom(|times| {
                let one = |_| {
                    // Opening goes on with the log: each one needs the crash anew.
                    let copy = copy(crashed.path()).expect("a directory is copied");
                    open_and_read(copy.path(), entries)
                };
                (0..times).map(one).sum()
            });
        });
    }
    group.finish();
}

/// How long it takes to open a directory and read an entry from the middle of its file. What follows is not measured.
fn open_and_read(directory: &Path, entries: u64) -> Duration {
    let started = Instant::now();
    let store = Options::new().open(directory).expect("the directory is whole");
    let map = store.map::<u64, Value>(MAP).expect("the map has this type");
    let pin = map.pin();
    let value = pin.get(&(entries / 2)).expect("the block is whole");
    let time = started.elapsed();
    assert_eq!(value, Some(&[entries / 2; 11]));
    time
}

/// A directory with so many entries whose store was closed.
fn closed(entries: u64) -> Result<TempDir, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let store = Options::new().open(directory.path())?;
    let map = store.map::<u64, Value>(MAP)?.warm()?;
    let pin = map.pin();
    for key in 0..entries {
        pin.put(key, [key; 11]);
    }
    drop(pin);
    store.close()?;
    Ok(directory)
}

/// A copy of the directory as it is on disk while its store is open, with a short tail of the log: what a crash leaves.
fn crashed(closed: &Path) -> Result<TempDir, Box<dyn Error>> {
    let directory = copy(closed)?;
    let store = Options::new().open(directory.path())?;
    let map = store.map::<u64, Value>(MAP)?.warm()?;
    let pin = map.pin();
    for key in 0..TAIL {
        pin.put(key, [key + 1; 11]);
    }
    drop(pin);
    store.sync()?;
    let crashed = copy(directory.path())?;
    drop(store);
    Ok(crashed)
}

/// A copy of a directory. Snapshot files never change, so links will do for them.
fn copy(directory: &Path) -> Result<TempDir, Box<dyn Error>> {
    let copy = tempfile::tempdir()?;
    for file in fs::read_dir(directory)? {
        let file = file?;
        let to = copy.path().join(file.file_name());
        if file.file_name().to_string_lossy().ends_with(".snap") {
            fs::hard_link(file.path(), to)?;
        } else {
            fs::copy(file.path(), to)?;
        }
    }
    Ok(copy)
}
