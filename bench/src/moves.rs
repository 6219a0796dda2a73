//! Moves: one is moved from a key to another, in a transaction that reads and writes both.

use stillpoint::{Map, Store};

/// A store whose keys hold enough to move.
pub trait Moves: Sync {
    /// A store with this many keys.
    fn holding(keys: u64) -> Self;

    /// Moves one from a key to another, again and again if others are in the way.
    fn step(&self, from: u64, to: u64);
}

/// What a key holds at first: more than is ever moved.
pub const ENOUGH: u64 = 1 << 40;

/// Ours.
#[derive(Debug)]
pub struct Transacted {
    store: Store,
    map: Map<u64, u64>,
}

impl Moves for Transacted {
    fn holding(keys: u64) -> Self {
        let store = Store::new();
        let map = store.map("accounts").expect("a fresh name");
        let pin = map.pin();
        (0..keys).for_each(|key| _ = pin.put(key, ENOUGH));
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

/// Draws two keys, the same ones for all contenders.
#[derive(Debug)]
pub struct Draws(u64);

impl Draws {
    /// Those of a thread.
    pub fn of(thread: u64) -> Self {
        Self(0x9E37_79B9_7F4A_7C15 ^ (thread + 1) << 7)
    }

    /// Two of so many keys.
    pub fn pair(&mut self, keys: u64) -> (u64, u64) {
        let from = self.below(keys);
        (from, (from + 1 + self.below(keys - 1)) % keys)
    }

    /// xorshift64.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
