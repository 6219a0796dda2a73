//! The peer that moves: surrealmx.

use stillpoint_bench::moves::{ENOUGH, Moves};
use surrealmx::{Database, Error};

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
