//! [papaya](https://docs.rs/papaya), the nearest peer: lock-free, values replaced whole, references under a pin. It has no
//! snapshots; its iterator shows each entry at a moment of its own.

use std::fmt;
use std::hint::black_box;

use foldhash::quality::RandomState;
use papaya::{HashMap, HashMapRef, LocalGuard};

use super::{Contender, Pinned};
use crate::entries::Entries;

/// A papaya map with stillpoint's hash function, and everything else as it comes.
pub struct Papaya<E: Entries> {
    map: HashMap<E::Key, E::Value, RandomState>,
}

impl<E: Entries> Default for Papaya<E> {
    fn default() -> Self {
        Self { map: HashMap::with_hasher(RandomState::default()) }
    }
}

impl<E: Entries> fmt::Debug for Papaya<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Papaya").field("len", &self.map.len()).finish()
    }
}

impl<E: Entries> Contender<E> for Papaya<E> {
    const NAME: &'static str = "papaya";
    type Pin<'m> = PapayaPin<'m, E>;

    #[inline]
    fn pin(&self) -> PapayaPin<'_, E> {
        PapayaPin(self.map.pin())
    }

    fn scan(&self) -> u64 {
        let pin = self.map.pin();
        let mut found = 0;
        for (_, value) in &pin {
            black_box(E::read(value));
            found += 1;
        }
        found
    }
}

/// A pinned [`Papaya`].
pub struct PapayaPin<'m, E: Entries>(HashMapRef<'m, E::Key, E::Value, RandomState, LocalGuard<'m>>);

impl<E: Entries> fmt::Debug for PapayaPin<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PapayaPin").finish_non_exhaustive()
    }
}

impl<E: Entries> Pinned<E> for PapayaPin<'_, E> {
    #[inline]
    fn get(&self, number: u32) {
        E::asked(number, |key| black_box(self.0.get(key).map(E::read)));
    }

    #[inline]
    fn put(&self, number: u32) {
        black_box(self.0.insert(E::key(number), E::value(number)).is_none());
    }

    #[inline]
    fn update(&self, number: u32) {
        black_box(self.0.update(E::key(number), E::changed).is_some());
    }
}
