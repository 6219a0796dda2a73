//! A store that was built with a bound on its memory, or on how long pins may be kept, refuses writes behind it, gives the values back, and takes
//! writes again when there is room; what it counts is what there is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stillpoint::{
    History, MapOptions, MemoryPolicy, Overload, PinPolicy, Refused, Store, StoreOptions, TransactionError,
};

const KIB: usize = 1024;
const MIB: u64 = 1 << 20;

type Page = [u64; KIB / 8];

fn bounded(bytes_max: u64) -> Store {
    Store::with_options(StoreOptions::new().memory(MemoryPolicy::Refuse { bytes_max }))
}

fn settle(store: &Store) {
    while store.maintain() {}
}

#[test]
fn a_checked_map_refuses_what_is_too_much_and_gives_it_back() {
    let store = bounded(8 * MIB);
    let map = store.map_with("map", MapOptions::<u64, Page>::new().keys_max(1 << 20)).unwrap();
    let pin = map.pin();
    let mut keys = 0;
    let refused = loop {
        if let Err(refused) = pin.put(keys, [keys; KIB / 8]) {
            break refused;
        }
        keys += 1;
    };
    assert!((6 * KIB as u64..9 * KIB as u64).contains(&keys), "{keys} KiB are taken");
    let Refused::Overloaded { overload: Overload::Memory { bytes, bytes_max }, value, .. } = refused else {
        panic!("{refused}")
    };
    assert!(bytes > 8 * MIB && bytes < 9 * MIB && bytes_max == 8 * MIB && value[0] == keys);
    assert_eq!(map.len() as u64, keys);
    // No other place is left for it either, and none was lost.
    assert!(matches!(pin.update(&1, |page| *page), Err(Refused::Overloaded { .. })));
    assert!(matches!(pin.upsert(keys, |_| [0; KIB / 8]), Err(Refused::Overloaded { .. })));
    assert_eq!(pin.get(&1).map(|page| page[7]), Some(1), "reads go on");
    drop(pin);

    for key in 0..keys / 2 {
        assert!(map.pin().remove(&key).unwrap().is_some(), "removals do too");
    }
    settle(&store);
    assert!(store.admission().is_ok());
    assert!(map.pin().put(1, [0; KIB / 8]).is_ok());
}

#[test]
fn transactions_on_any_map_are_refused() {
    let store = bounded(2 * MIB);
    let (map, cell) = (store.map::<u64, Page>("map").unwrap(), store.cell("cell", 0_u64).unwrap());
    // Plain writes are not, so the bound is passed.
    (0..4 * KIB as u64).for_each(|key| _ = map.pin().put(key, [0; KIB / 8]));
    store.maintain();
    let Err(overload @ Overload::Memory { .. }) = store.admission() else { panic!("the bound is passed") };
    assert!(overload.to_string().contains("may take 2097152"));
    for _ in 0..3 {
        let overloaded = store.transact(|tx| tx.set(&cell, 1));
        assert!(matches!(overloaded, Err(TransactionError::Overloaded(Overload::Memory { .. }))));
        let overloaded = store.transact(|tx| {
            assert!(tx.remove(&map, &1)?);
            tx.put(&map, 5000, [0; KIB / 8])
        });
        assert!(overloaded.is_err() && map.pin().contains(&1), "nothing of it happens");
    }
    let removed = store.transact(|tx| (0..4 * KIB as u64).try_fold(true, |all, key| Ok(all & tx.remove(&map, &key)?)));
    assert_eq!(removed, Ok(true), "removals are taken, in transactions too");
    settle(&store);
    assert_eq!(store.transact(|tx| tx.set(&cell, 1)), Ok(()));
}

#[test]
fn a_store_without_bounds_takes_everything() {
    let store = Store::new();
    let map = store.map_with("map", MapOptions::<u64, Page>::new().keys_max(1 << 20)).unwrap();
    let _pin = map.pin();
    for key in 0..20_000 {
        map.pin().put(key % 100, [0; KIB / 8]).unwrap();
    }
    assert!(store.admission().is_ok() && store.stats().garbage_bytes > 15 * MIB);
}

/// What snapshots and history keep counts, and what waits to be reclaimed; and when all has gone, nothing does, whatever was refused, aborted
/// or lost meanwhile, by whatever thread.
#[test]
fn what_is_counted_is_what_there_is() {
    let store = Store::new();
    let page = |n: u64| [n; KIB / 8];
    let plain = store.map::<u64, Page>("plain").unwrap();
    let small = store.map::<u64, u64>("small").unwrap();
    let kept = store.map_with("kept", MapOptions::<u64, Page>::new().history(History::last(4))).unwrap();
    (0..100).for_each(|key| _ = plain.pin().put(key, page(key)));
    (0..1000).for_each(|key| _ = small.pin().put(key, key));
    let versions = |pages: u64| pages * KIB as u64..pages * KIB as u64 * 6 / 5;
    let stats = store.stats();
    assert!(versions(100).contains(&stats.version_bytes), "{stats:?}");
    let still = store.snapshot();
    (0..100).for_each(|key| _ = plain.pin().put(key, page(key)));
    assert!(versions(200).contains(&store.stats().version_bytes), "{:?}", store.stats());
    drop(still);
    (0..400).for_each(|n| _ = kept.pin().put(n % 10, page(n)));
    settle(&store);
    let stats = store.stats();
    assert!((140 * KIB as u64..170 * KIB as u64).contains(&stats.version_bytes), "{stats:?}");
    assert_eq!((stats.garbage, stats.garbage_bytes), (0, 0));

    thread::scope(|scope| {
        for thread in 0..3_u64 {
            let (store, plain, kept) = (&store, &plain, &kept);
            scope.spawn(move || {
                for n in 0..2_000 {
                    let _ = store.transact(|tx| {
                        tx.put(plain, n % 7, page(n))?;
                        tx.put(plain, n % 7, page(n))?;
                        tx.update(kept, &((n + thread) % 10), |had| *had)?;
                        if n % 5 == 0 { Err(tx.abort()) } else { Ok(()) }
                    });
                    let _ = plain.pin().insert(n % 7, page(n));
                    plain.pin().update(&(n % 7), |had| *had);
                }
            });
        }
    });
    plain.pin().clear();
    small.pin().clear();
    store.drop_component("kept");
    drop(kept);
    // What a thread leaves is taken over once its end is through, which may be after it was joined.
    let given_up = Instant::now() + Duration::from_secs(60);
    while Instant::now() < given_up {
        store.maintain();
        let stats = store.stats();
        if (stats.version_bytes, stats.garbage_bytes) == (0, 0) {
            return;
        }
    }
    panic!("{:?}", store.stats());
}

#[test]
fn a_pin_that_is_kept_has_writes_refused_until_it_goes() {
    let after = Duration::from_millis(200);
    let store = Store::with_options(StoreOptions::new().pins(PinPolicy::Refuse { after }));
    let map = store.map_with("map", MapOptions::<u64, Page>::new().keys_max(100)).unwrap();
    let put = |n: u64| map.pin().put(n % 10, [n; KIB / 8]).map_err(Box::new);
    // A silence is no pin.
    (0..1000).for_each(|n| assert!(put(n).is_ok()));
    thread::sleep(2 * after);
    (0..1000).for_each(|n| assert!(put(n).is_ok(), "nobody keeps a pin"));

    let (is_pinned, may_go) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let _pin = map.pin();
            is_pinned.store(true, Ordering::Release);
            while !may_go.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(1));
            }
        });
        while !is_pinned.load(Ordering::Acquire) {
            thread::yield_now();
        }
        let began = Instant::now();
        let refused = (0..).find_map(|n| {
            thread::sleep(Duration::from_micros(20));
            put(n).err()
        });
        assert!(began.elapsed() >= after / 2, "not before it has been kept");
        let Some(Refused::Overloaded { overload: Overload::Pin { waits, waits_max }, .. }) =
            refused.map(|refused| *refused)
        else {
            panic!("for another reason")
        };
        assert!(waits > after && waits_max == after && store.admission().is_err());
        may_go.store(true, Ordering::Release);
        let given_up = Instant::now() + Duration::from_secs(60);
        while put(0).is_err() {
            assert!(Instant::now() < given_up, "{:?}", store.stats());
            thread::sleep(Duration::from_micros(100));
        }
    });
}

/// Threads write as fast as they can, through a bound that others make room under: what is there stays near the bound, and nobody is refused for
/// good.
#[test]
fn a_bound_holds_beside_everybody() {
    const BOUND: u64 = 6 * MIB;
    let store = bounded(BOUND);
    let map = store.map_with("map", MapOptions::<u64, Page>::new().keys_max(1 << 20)).unwrap();
    let stop = AtomicBool::new(false);
    let taken = thread::scope(|scope| {
        let (store, map, stop) = (&store, &map, &stop);
        let writers: Vec<_> = (0..3_u64)
            .map(|thread| {
                scope.spawn(move || {
                    let mut taken = 0;
                    for n in 0..30_000 {
                        match map.pin().put(thread << 32 | n, [0; KIB / 8]) {
                            Ok(_) => taken += 1,
                            Err(Refused::Overloaded { .. }) => thread::yield_now(),
                            Err(other) => panic!("{other}"),
                        }
                    }
                    taken
                })
            })
            .collect();
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if store.admission().is_err() {
                    let pin = map.pin();
                    store.snapshot().iter(map).take(500).for_each(|(key, _)| _ = pin.remove(key).unwrap());
                }
                thread::yield_now();
            }
        });
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let stats = store.stats();
                let bytes = stats.index_bytes as u64 + stats.version_bytes + stats.garbage_bytes;
                assert!(bytes < 2 * BOUND, "{stats:?}");
                thread::sleep(Duration::from_micros(200));
            }
        });
        let taken: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        stop.store(true, Ordering::Relaxed);
        taken
    });
    assert!(taken > BOUND / KIB as u64, "{taken}");
}
