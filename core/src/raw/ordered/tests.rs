//! The index against a plain ordered map, alone and beside other threads.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::raw::era::RetireQueue;
use crate::sync::{AtomicBool, Ordering};

/// An index of numbers or texts, and where their slots come from.
struct Index<K: Ord + Clone> {
    ordered: Ordered<K>,
    component: Component,
}

impl<K: Ord + Clone + Send + Sync + 'static> Index<K> {
    fn new() -> Self {
        Self { ordered: Ordered::new(), component: Component::new::<K, ()>(0) }
    }

    /// Inserts a key; what is replaced waits in the queue. `false` if it was there.
    fn insert(&self, key: &K, queue: &mut RetireQueue) -> bool {
        let slot = self.component.make_slot(0, key.clone());
        let inserted = self.ordered.find_or_insert(key, || slot, |retired| queue.push(retired));
        matches!(inserted, Inserted::Added)
    }

    fn remove(&self, key: &K, queue: &mut RetireQueue) -> bool {
        let slot = self.ordered.find(key);
        slot.map(|slot| self.ordered.unlink(slot, |retired| queue.push(retired))).is_some()
    }

    fn ascending(&self, from: Option<&K>) -> Vec<K> {
        let (mut from, mut all) = (from.cloned(), Vec::new());
        loop {
            let mut found = Vec::new();
            let step = self.ordered.step(from.as_ref(), &mut found);
            all.extend(found.into_iter().map(key_of::<K>));
            match step {
                Some(next) => from = Some(next),
                None => return all,
            }
        }
    }

    fn descending(&self, until: Option<&K>) -> Vec<K> {
        let (mut until, mut all) = (until.cloned(), Vec::new());
        loop {
            let mut found = Vec::new();
            let step = self.ordered.step_back(until.as_ref(), &mut found);
            all.extend(found.into_iter().map(key_of::<K>));
            match step {
                Some(next) => until = Some(next),
                None => return all,
            }
        }
    }
}

fn key_of<K: Clone>(slot: &SlotHeader) -> K {
    // SAFETY: all slots here have keys of this type, until the test ends.
    unsafe { Slot::<K>::key(slot) }.clone()
}

fn reclaim(mut queue: RetireQueue) {
    queue.take_all().reclaim();
}

fn behaves_like_a_plain_map<K: Ord + Clone + std::fmt::Debug + Send + Sync + 'static>(operations: Vec<(bool, K)>) {
    let (index, mut plain, mut queue) = (Index::new(), BTreeMap::new(), RetireQueue::default());
    for (inserts, key) in operations {
        if inserts {
            assert_eq!(index.insert(&key, &mut queue), plain.insert(key.clone(), ()).is_none());
        } else {
            assert_eq!(index.remove(&key, &mut queue), plain.remove(&key).is_some());
        }
        assert_eq!(index.ordered.find(&key).is_some(), plain.contains_key(&key));
        let above: Vec<K> = plain.range(key.clone()..).map(|(key, ())| key.clone()).collect();
        assert_eq!(index.ascending(Some(&key)), above);
        let below: Vec<K> = plain.range(..key.clone()).rev().map(|(key, ())| key.clone()).collect();
        assert_eq!(index.descending(Some(&key)), below);
    }
    let all: Vec<K> = plain.into_keys().collect();
    assert_eq!(index.ascending(None), all);
    assert_eq!(index.descending(None), all.into_iter().rev().collect::<Vec<_>>());
    reclaim(queue);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn numbers_behave_like_a_plain_map(operations in prop::collection::vec((prop::bool::weighted(0.6), 0_u16..300), 0..600)) {
        behaves_like_a_plain_map(operations);
    }

    #[test]
    fn texts_behave_like_a_plain_map(operations in prop::collection::vec((prop::bool::weighted(0.6), "[a-c]{0,5}"), 0..300)) {
        behaves_like_a_plain_map(operations);
    }
}

/// Keys that come in order, as times do, fill the leaves; keys that go leave nothing behind.
#[test]
fn a_window_that_moves_takes_no_more_nodes() {
    let (index, mut queue) = (Index::new(), RetireQueue::default());
    for key in 0..20_000_u64 {
        assert!(index.insert(&key, &mut queue));
        if let Some(old) = key.checked_sub(1_000) {
            assert!(index.remove(&old, &mut queue));
        }
    }
    let mut nodes = 0;
    let mut links = vec![index.ordered.root.load()];
    while let Some(link) = links.pop() {
        nodes += 1;
        // SAFETY: nobody else is there.
        if let Node::Inner(inner) = unsafe { link.node() } {
            links.extend(inner.children().iter().map(LinkWord::load));
        }
    }
    assert!(nodes < 60, "{nodes} nodes for 1,000 keys");
    reclaim(queue);
}

/// Threads that insert and remove keys of their own, beside one that walks: what is there throughout is met, in order, once.
#[test]
fn many_threads() {
    const THREADS: u64 = 3;
    let (index, done) = (Index::new(), AtomicBool::new(false));
    let mut queue = RetireQueue::default();
    for key in (0..3_000_u64).step_by(5) {
        index.insert(&key, &mut queue);
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (1..=THREADS)
            .map(|own| {
                let index = &index;
                scope.spawn(move || {
                    let mut queue = Garbage(RetireQueue::default());
                    for round in 0..6_u64 {
                        for nth in 0..600 {
                            let key = (nth * 7 % 600) * 5 + own;
                            let changed = match round % 2 {
                                0 => index.insert(&key, &mut queue.0),
                                _ => index.remove(&key, &mut queue.0),
                            };
                            assert!(changed, "key {key} of thread {own}");
                        }
                    }
                    queue
                })
            })
            .collect();
        let walker = scope.spawn(|| {
            // Relaxed: ends a loop, and publishes nothing.
            while !done.load(Ordering::Relaxed) {
                let all = index.ascending(None);
                assert!(all.is_sorted_by(|one, other| one < other), "out of order, or twice");
                assert_eq!(all.iter().filter(|key| *key % 5 == 0).count(), 600);
            }
        });
        for worker in workers {
            reclaim_later(worker.join().expect("no panic"), &mut queue);
        }
        done.store(true, Ordering::Relaxed);
        walker.join().expect("no panic");
    });
    assert_eq!(index.ascending(None).len(), 600);
    reclaim(queue);
}

/// Garbage that another thread left.
struct Garbage(RetireQueue);

// SAFETY: nodes and slots of an index that is `Sync`.
unsafe impl Send for Garbage {}

fn reclaim_later(Garbage(mut garbage): Garbage, queue: &mut RetireQueue) {
    queue.adopt(&mut garbage);
}
