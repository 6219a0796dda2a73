//! What transactions write: maps of each kind.

use std::sync::Arc;

use crate::Past;
use crate::checked::{Checked, CheckedMap, Proposal, Reason, Refused};
use crate::history::Rewind;
use crate::index::Index;
use crate::map::Map;
use crate::raw::bound::Bound;
use crate::readable::Readable;
use crate::transaction::TransactionError;

/// A map that a [transaction](crate::Transaction) can write: a [`Map`], a [`CheckedMap`]. Nothing else can be.
#[expect(private_bounds, reason = "so that nothing else can be")]
pub trait Writable<K, V, I>: Readable<K, V, I> + Drafted<K, V, I> {
    /// What a write returns that is refused: [`TransactionError`] from a map that refuses nothing by itself; [`Refused`], which gives the value
    /// back and converts to the former, from a checked one.
    type Refused: From<Refused<V>> + Into<TransactionError>;
}

/// What whoever writes without knowing the kind of a map asks of it.
pub(crate) trait Drafted<K, V, I> {
    /// What judges the writes, if anything does.
    fn judge(&self) -> Option<&dyn Judge<K, V>>;

    /// Brings the map back, key by key, and says how many have changed. Outside of transactions.
    fn rewind_each(&self, past: &Past, rewind: &Rewind<V>) -> Result<usize, Refused<V>>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>;
}

/// The checks of a map, whatever it merges.
pub(crate) trait Judge<K, V> {
    /// Asks the validators.
    fn judge(&self, proposal: &Proposal<'_, K, V>) -> Result<(), Reason>;

    /// The bound on keys.
    fn places(&self) -> Option<&Arc<Bound>>;

    /// After how many milliseconds a key expires if a write says nothing else.
    fn default_ttl(&self) -> Option<u64>;
}

impl<K, V, D> Judge<K, V> for Checked<K, V, D> {
    fn judge(&self, proposal: &Proposal<'_, K, V>) -> Result<(), Reason> {
        self.judge(proposal)
    }

    fn places(&self) -> Option<&Arc<Bound>> {
        self.places()
    }

    fn default_ttl(&self) -> Option<u64> {
        self.default_ttl()
    }
}

impl<K, V, I> Writable<K, V, I> for Map<K, V, I> {
    type Refused = TransactionError;
}

impl<K, V, I> Drafted<K, V, I> for Map<K, V, I> {
    fn judge(&self) -> Option<&dyn Judge<K, V>> {
        None
    }

    fn rewind_each(&self, past: &Past, rewind: &Rewind<V>) -> Result<usize, Refused<V>>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
    {
        Ok(self.pin().rewind_each(past, rewind)?)
    }
}

impl<K, V, D, I> Writable<K, V, I> for CheckedMap<K, V, D, I> {
    type Refused = Refused<V>;
}

impl<K, V, D, I> Drafted<K, V, I> for CheckedMap<K, V, D, I> {
    fn judge(&self) -> Option<&dyn Judge<K, V>> {
        Some(self.checks())
    }

    fn rewind_each(&self, past: &Past, rewind: &Rewind<V>) -> Result<usize, Refused<V>>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
    {
        self.pin().rewind_each(past, rewind)
    }
}

impl<K, V, I, M: Writable<K, V, I>> Writable<K, V, I> for &M {
    type Refused = M::Refused;
}

impl<K, V, I, M: Drafted<K, V, I>> Drafted<K, V, I> for &M {
    fn judge(&self) -> Option<&dyn Judge<K, V>> {
        (**self).judge()
    }

    fn rewind_each(&self, past: &Past, rewind: &Rewind<V>) -> Result<usize, Refused<V>>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
    {
        (**self).rewind_each(past, rewind)
    }
}
