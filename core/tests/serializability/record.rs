//! Threads that race, and what they have seen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use stillpoint::{Map, OrderedMap, Store, Transaction, TransactionError, TransactionOptions};

use crate::history::{Done, Element, History, Step};

/// What is drawn for a history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) threads: u64,
    pub(crate) keys: u8,
    /// For each thread.
    pub(crate) transactions: u64,
    /// Of each transaction, at most.
    pub(crate) steps: u64,
}

impl Scenario {
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut random = Random(seed);
        let threads = 2 + random.below(3);
        Self { seed, threads, keys: 2 + random.below(4) as u8, transactions: 40, steps: 1 + random.below(5) }
    }

    /// Runs the threads, and a last transaction that reads all keys.
    pub(crate) fn run(&self) -> History {
        let world = World::new(self.keys);
        let clock = AtomicU64::new(1);
        let racing: Vec<Vec<Done>> = thread::scope(|scope| {
            let threads = (0..self.threads).map(|thread| {
                let (world, clock) = (&world, &clock);
                scope.spawn(move || {
                    let mut random = Random(self.seed ^ thread << 32 | 1);
                    let numbers = (0..self.transactions).map(|number| thread * self.transactions + number);
                    numbers.map(|number| self.transaction(world, clock, number, &mut random)).collect()
                })
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread of the history")).collect()
        });
        let mut history = History(racing.into_iter().flatten().collect());
        let plan: Vec<_> = (0..self.keys).map(|key| (key, None)).collect();
        history.0.push(world.transact(&clock, &plan));
        history
    }

    fn transaction(&self, world: &World, clock: &AtomicU64, number: u64, random: &mut Random) -> Done {
        let steps = 1 + random.below(self.steps);
        let plan: Vec<_> = (0..steps)
            .map(|step| {
                let appends = random.below(2) == 0;
                let element = (number * self.steps + step + 1) as Element;
                (random.below(u64::from(self.keys)) as u8, appends.then_some(element))
            })
            .collect();
        world.transact(clock, &plan)
    }
}

/// A key, and what to append to it, if anything.
type Planned = (u8, Option<Element>);

/// Keys in two maps: even ones in one that hashes, odd ones in an ordered one.
struct World {
    store: Store,
    even: Map<u8, Vec<Element>>,
    odd: OrderedMap<u8, Vec<Element>>,
}

impl World {
    fn new(keys: u8) -> Self {
        let store = Store::new();
        let even = store.map("even").expect("a fresh name");
        let odd = store.ordered_map("odd").expect("a fresh name");
        // Every third key is absent at first.
        for key in (0..keys).filter(|key| key % 3 != 0) {
            if key % 2 == 0 {
                even.pin().put(key, Vec::new());
            } else {
                odd.pin().put(key, Vec::new());
            }
        }
        Self { store, even, odd }
    }

    fn transact(&self, clock: &AtomicU64, plan: &[Planned]) -> Done {
        // SeqCst: what is before in time is before in the clock.
        let from = clock.fetch_add(1, Ordering::SeqCst);
        let steps = self.store.try_transact(TransactionOptions::new(), |tx| {
            let mut steps = Vec::new();
            for planned in plan {
                self.step(tx, *planned, &mut steps)?;
            }
            Ok::<_, TransactionError>(steps)
        });
        let steps = steps.expect("nothing is bounded");
        Done { from, until: clock.fetch_add(1, Ordering::SeqCst), steps }
    }

    fn step<'s>(
        &'s self,
        tx: &mut Transaction<'s>,
        (key, element): Planned,
        steps: &mut Vec<Step>,
    ) -> Result<(), TransactionError> {
        let list = if key % 2 == 0 { tx.get(&self.even, &key)? } else { tx.get(&self.odd, &key)? };
        let mut list = list.cloned().unwrap_or_default();
        steps.push(Step::Read(key, list.clone()));
        let Some(element) = element else { return Ok(()) };
        steps.push(Step::Append(key, element));
        list.push(element);
        if key % 2 == 0 { tx.put(&self.even, key, list) } else { tx.put(&self.odd, key, list) }
    }
}

/// xorshift64*: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}
