//! Contenders: maps behind one face, so that each is put to exactly the same work.

mod papaya;
mod scc;
mod stillpoint;

pub use papaya::Papaya;
pub use scc::{SccIndex, SccMap};
pub use stillpoint::Stillpoint;

use crate::entries::Entries;

/// A map that is measured.
pub trait Contender<E: Entries>: Default + Send + Sync {
    /// The contender's name in reports.
    const NAME: &'static str;

    /// What its operations go through.
    type Pin<'m>: Pinned<E>
    where
        Self: 'm;

    /// Pins the calling thread.
    fn pin(&self) -> Self::Pin<'_>;

    /// Reads every entry; returns how many there were.
    fn scan(&self) -> u64;
}

/// A peer: a contender for each kind of entries.
pub trait Peer {
    /// The package that it is from.
    const PACKAGE: &'static str;

    /// The map for a kind of entries.
    type Map<E: Entries>: Contender<E>;
}

/// The peers, as types to choose one by.
pub mod peers {
    use super::{Entries, Peer};

    /// [`Papaya`](super::Papaya) maps.
    #[derive(Debug)]
    pub enum Papaya {}

    impl Peer for Papaya {
        const PACKAGE: &'static str = "papaya";
        type Map<E: Entries> = super::Papaya<E>;
    }

    /// [`SccMap`](super::SccMap)s.
    #[derive(Debug)]
    pub enum SccMap {}

    impl Peer for SccMap {
        const PACKAGE: &'static str = "scc";
        type Map<E: Entries> = super::SccMap<E>;
    }

    /// [`SccIndex`](super::SccIndex)es.
    #[derive(Debug)]
    pub enum SccIndex {}

    impl Peer for SccIndex {
        const PACKAGE: &'static str = "scc";
        type Map<E: Entries> = super::SccIndex<E>;
    }
}

/// The operations that are measured. What is read is handed to [`black_box`](std::hint::black_box).
pub trait Pinned<E: Entries> {
    /// Reads a key's value.
    fn get(&self, number: u32);

    /// Sets a key's value, whatever it was.
    fn put(&self, number: u32);

    /// Replaces a key's value by what a closure makes of it.
    fn update(&self, number: u32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entries::{Numbers, Texts};

    fn keeps_what_is_put<E: Entries, C: Contender<E>>() {
        let map = C::default();
        (0..300).for_each(|number| map.pin().put(number));
        (0..300).for_each(|number| map.pin().update(number));
        (0..300).for_each(|number| map.pin().get(number));
        assert_eq!(map.scan(), 300, "{}", C::NAME);
    }

    #[test]
    fn every_contender_keeps_what_is_put() {
        keeps_what_is_put::<Numbers, Stillpoint<Numbers>>();
        keeps_what_is_put::<Numbers, Papaya<Numbers>>();
        keeps_what_is_put::<Texts, Stillpoint<Texts>>();
        keeps_what_is_put::<Texts, Papaya<Texts>>();
        keeps_what_is_put::<Numbers, SccMap<Numbers>>();
        keeps_what_is_put::<Texts, SccMap<Texts>>();
        keeps_what_is_put::<Numbers, SccIndex<Numbers>>();
        keeps_what_is_put::<Texts, SccIndex<Texts>>();
    }
}
