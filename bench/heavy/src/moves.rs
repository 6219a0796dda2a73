//! What is measured, put to each contender: one is moved from a key to another, in a transaction that reads and writes both.

use stillpoint::{Map, Store};
use surrealmx::{Database, Error};

/// A store whose keys hold enough to move.
pub trait Moves: Sync {
    /// A store with this many keys.
    fn holding(keys: u64) -> Self;

    /// Moves one from a key to another, again and again if others are in the way.
    fn step(&self, from: u64, to: u64);
}

const ENOUGH: u64 = 1 << 40;

/// Ours.
pub struct Stillpoint {
    store: Store,
    map: Map<u64, u64>,
}

impl Moves for Stillpoint {
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

/// surrealmx, serializable as ours is; keys and values are bytes there.
pub struct SurrealMx(Database);

impl SurrealMx {
    fn try_step(&self, from: u64, to: u64) -> Result<(), Error> {
        let mut tx = self.0.transaction(true);
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let had = tx.with_value(from.to_be_bytes(), number)?.expect("loaded");
        let has = tx.with_value(to.to_be_bytes(), number)?.expect("loaded");
        tx.set(from.to_be_bytes(), (had - 1).to_le_bytes())?;
        tx.set(to.to_be_bytes(), (has + 1).to_le_bytes())?;
        tx.commit()
    }
}

impl Moves for SurrealMx {
    fn holding(keys: u64) -> Self {
        let database = Database::new();
        let mut tx = database.transaction(true);
        for key in 0..keys {
            tx.set(key.to_be_bytes(), ENOUGH.to_le_bytes()).expect("in memory");
        }
        tx.commit().expect("nobody else writes");
        Self(database)
    }

    fn step(&self, from: u64, to: u64) {
        loop {
            match self.try_step(from, to) {
                Ok(()) => return,
                Err(Error::KeyReadConflict | Error::KeyWriteConflict) => {}
                Err(error) => panic!("surrealmx fails: {error}"),
            }
        }
    }
}
