//! Exactly once: what is done with a batch and how far the batches were done stand in one transaction, so whoever is stopped, wherever, is
//! neither missed nor done twice.

mod support;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;
use stillpoint::{
    Cell, Cursor, Delivery, Every, EveryBatch, Feed, Keys, Map, MapOptions, OnceError, Store, Subscriber, Transaction,
    TransactionError,
};
use support::random::Random;

const KEYS: u64 = 5;

fn feed() -> Feed<Keys<u64, u64>, Every> {
    Feed::every().delivery(Delivery::AtLeastOnce)
}

/// Sales, what was billed of them, and up to where.
struct Shop {
    store: Store,
    sales: Map<u64, u64>,
    /// Of each key: how many sales, and their sum.
    billed: Map<u64, (u64, u64)>,
    done: Cell<Cursor>,
}

/// Where a consumer is stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stop {
    Nowhere,
    /// Before its batch.
    Before,
    /// It panics with half of its batch done.
    Panic,
    /// It gives up with half of its batch done.
    GiveUp,
    /// Behind its commit: it knows nothing of that any more.
    Behind,
}

impl Shop {
    fn new() -> Self {
        let store = Store::new();
        let sales = store.map_with("sales", MapOptions::new().every_change(1 << 26)).unwrap();
        let billed = store.map("billed").unwrap();
        let done = store.cell("done", store.cursor()).unwrap();
        Self { store, sales, billed, done }
    }

    fn resume(&self) -> Subscriber<Keys<u64, u64>, Every> {
        self.sales.resume(feed(), *self.done.load()).unwrap()
    }

    /// Bills a batch, or half of it.
    fn bill<'s>(
        &'s self,
        tx: &mut Transaction<'s>,
        batch: &EveryBatch<u64, u64>,
        stop: Stop,
    ) -> Result<(), TransactionError> {
        let half = if matches!(stop, Stop::Panic | Stop::GiveUp) { batch.len() / 2 } else { batch.len() };
        for change in batch.iter().take(half) {
            let (count, sum) = tx.get(&self.billed, change.key)?.copied().unwrap_or_default();
            tx.put(&self.billed, *change.key, (count + 1, sum + change.value.unwrap_or(&0)))?;
        }
        match stop {
            Stop::Panic => resume_unwind(Box::new("stopped")),
            Stop::GiveUp => Err(tx.abort()),
            _ => Ok(()),
        }
    }

    /// Bills what is there, and is stopped; whoever comes next resumes.
    fn run(&self, subscriber: &mut Subscriber<Keys<u64, u64>, Every>, stop: Stop) {
        let before = *self.done.load();
        if stop == Stop::Before {
            drop(subscriber.poll().unwrap());
            *subscriber = self.resume();
            return;
        }
        let billing = || subscriber.transact(&self.store, &self.done, |tx, batch| self.bill(tx, batch, stop));
        match catch_unwind(AssertUnwindSafe(billing)) {
            Ok(Ok(_)) => assert!(matches!(stop, Stop::Nowhere | Stop::Behind) || before == *self.done.load()),
            Ok(Err(error)) => assert_eq!(error, OnceError::Transaction(TransactionError::Aborted)),
            Err(_) => assert_eq!(stop, Stop::Panic),
        }
        if stop == Stop::Behind {
            *subscriber = self.sales.resume(feed(), before).unwrap();
        }
    }

    fn billed(&self) -> HashMap<u64, (u64, u64)> {
        self.store.snapshot().iter(&self.billed).map(|(key, billed)| (*key, *billed)).collect()
    }
}

/// What was sold, as its seller knows it.
fn sell(expected: &mut HashMap<u64, (u64, u64)>, key: u64, price: u64) {
    let (count, sum) = expected.entry(key).or_default();
    *count += 1;
    *sum += price;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_consumer_that_is_stopped_anywhere_does_each_change_once(script in prop::collection::vec((0..KEYS, 0..100_u64, 0..12_u8), 0..100)) {
        let shop = Shop::new();
        // Wants all: so that whoever knows nothing of his commit finds what he has done.
        let _keeper = shop.sales.subscribe(feed()).unwrap();
        let mut subscriber = shop.resume();
        let mut expected = HashMap::new();
        for (key, price, fate) in script {
            if fate % 2 == 0 && shop.sales.pin().remove(&key).is_some() {
                sell(&mut expected, key, 0);
            }
            shop.sales.pin().put(key, price);
            sell(&mut expected, key, price);
            match fate {
                0 | 1 => shop.run(&mut subscriber, Stop::Nowhere),
                2 => shop.run(&mut subscriber, Stop::Before),
                3 => shop.run(&mut subscriber, Stop::Panic),
                4 => shop.run(&mut subscriber, Stop::GiveUp),
                5 | 6 => shop.run(&mut subscriber, Stop::Behind),
                7 => while shop.store.maintain() {},
                _ => {}
            }
        }
        shop.run(&mut subscriber, Stop::Nowhere);
        prop_assert_eq!(shop.billed(), expected);
        prop_assert_eq!(subscriber.transact(&shop.store, &shop.done, |_, _| Ok(())), Ok(None));
    }
}

/// Three consumers share a cell beside a seller, each stopped now and then: each change is billed once, by one of them.
#[test]
fn consumers_that_share_a_cell_do_each_change_once() {
    const SALES: u64 = 20_000;
    let shop = Shop::new();
    let _keeper = shop.sales.subscribe(feed()).unwrap();
    let is_over = AtomicBool::new(false);
    let expected = thread::scope(|scope| {
        let (shop, is_over) = (&shop, &is_over);
        let selling = scope.spawn(move || {
            let (mut expected, mut random) = (HashMap::new(), Random::new(1));
            for _ in 0..SALES {
                let (key, price) = (random.below(KEYS), random.below(100));
                shop.sales.pin().put(key, price);
                sell(&mut expected, key, price);
            }
            is_over.store(true, Ordering::SeqCst);
            expected
        });
        for seed in 0..3 {
            scope.spawn(move || {
                let (mut subscriber, mut random) = (shop.resume(), Random::new(seed));
                loop {
                    let was_over = is_over.load(Ordering::SeqCst);
                    let stop = [Stop::Nowhere, Stop::Nowhere, Stop::Panic, Stop::GiveUp, Stop::Before]
                        [random.below(5) as usize];
                    match subscriber.transact(&shop.store, &shop.done, |tx, batch| shop.bill(tx, batch, Stop::Nowhere))
                    {
                        Ok(None) if was_over => break,
                        Ok(None) => thread::yield_now(),
                        Ok(Some(())) | Err(OnceError::Transaction(TransactionError::Aborted)) => {}
                        Err(error) => panic!("{error}"),
                    }
                    match stop {
                        Stop::Before => subscriber = shop.resume(),
                        Stop::Panic | Stop::GiveUp => {
                            let stopped =
                                || subscriber.transact(&shop.store, &shop.done, |tx, batch| shop.bill(tx, batch, stop));
                            _ = catch_unwind(AssertUnwindSafe(stopped));
                        }
                        _ => {}
                    }
                }
            });
        }
        selling.join().unwrap()
    });
    assert_eq!(shop.billed(), expected);
}

/// A consumer that lags goes on from a snapshot, in a transaction as well; one that was stopped in that lags still.
#[test]
fn a_consumer_that_has_lagged_goes_on_from_a_snapshot() {
    let store = Store::new();
    let map = store.map_with("map", MapOptions::<u64, u64>::new().every_change(3 * 136)).unwrap();
    let mirror = store.map::<u64, u64>("mirror").unwrap();
    let mut subscriber = map.subscribe(feed()).unwrap();
    let done = store.cell("done", subscriber.cursor()).unwrap();
    let apply = |_: &mut Transaction<'_>, batch: &EveryBatch<u64, u64>| Ok(batch.len());
    (0..10).for_each(|n| _ = map.pin().put(n, n));
    let Err(OnceError::Lagged(lagged)) = subscriber.transact(&store, &done, apply) else { panic!("it lags") };
    assert_eq!(lagged.changes, Some(10));
    let given_up = subscriber.transact_resync(&store, &done, |tx, _| Err::<(), _>(tx.abort()));
    assert_eq!(given_up, Err(OnceError::Transaction(TransactionError::Aborted)));
    let panics =
        || subscriber.transact_resync(&store, &done, |_, _| -> Result<(), _> { resume_unwind(Box::new("stopped")) });
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert!(matches!(subscriber.transact(&store, &done, apply), Err(OnceError::Lagged(_))));
    assert!(mirror.is_empty());
    let copied = subscriber.transact_resync(&store, &done, |tx, still| {
        still.iter(&map).try_for_each(|(key, value)| tx.put(&mirror, *key, *value))
    });
    assert_eq!(copied, Ok(()));
    map.pin().put(3, 33);
    let copied = subscriber.transact(&store, &done, |tx, batch| {
        batch.iter().try_for_each(|change| tx.put(&mirror, *change.key, *change.value.unwrap()))?;
        Ok(batch.len())
    });
    assert_eq!((copied, mirror.len(), mirror.pin().get(&3)), (Ok(Some(1)), 10, Some(&33)));
}

/// Filters, newest values, and cells that say something else.
#[test]
fn what_is_of_no_interest_is_passed_by() {
    let store = Store::new();
    let map = store.map::<u64, u64>("map").unwrap();
    let sum = store.cell("sum", 0).unwrap();
    let even =
        || Feed::latest().delivery(Delivery::AtLeastOnce).when(|key: &u64, _: Option<&u64>| key.is_multiple_of(2));
    let mut subscriber = map.subscribe(even());
    let done = store.cell("done", subscriber.cursor()).unwrap();
    let add = |subscriber: &mut Subscriber<Keys<u64, u64>>| {
        subscriber.transact(&store, &done, |tx, batch| {
            let new: u64 = batch.iter().filter_map(|change| change.value).sum();
            tx.modify(&sum, |sum| sum + new)
        })
    };
    let before = *done.load();
    map.pin().put(1, 1);
    assert_eq!((add(&mut subscriber), *done.load()), (Ok(None), before));
    map.pin().put(2, 10);
    assert_eq!((add(&mut subscriber), add(&mut subscriber), *sum.load()), (Ok(Some(())), Ok(None), 10));
    // Whoever is told without the cell's knowing may not go on as if he had done it.
    map.pin().put(4, 100);
    let batch = subscriber.poll().unwrap().unwrap();
    subscriber.acknowledge(batch.cursor()).unwrap();
    let Err(OnceError::Behind { done: at, told }) = add(&mut subscriber) else {
        panic!("it was told more than was done")
    };
    assert_eq!((at, told), (*done.load(), batch.cursor()));
    let mut subscriber = map.resume(even(), at).unwrap();
    assert_eq!((add(&mut subscriber), *sum.load()), (Ok(Some(())), 110));
    done.set(Store::new().cursor());
    assert!(matches!(add(&mut subscriber), Err(OnceError::Cursor(_))));
}
