//! Components that can be brought back, whatever their types.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::HistoryError;
use crate::history::Past;
use crate::index::Index;
use crate::raw::past;
use crate::{ComponentKind, Transaction, TransactionError, Versioned, Writable};

/// How what a component held is brought back.
#[doc(hidden)]
pub struct Rewind<V> {
    pub(crate) clone: fn(&V) -> V,
    /// Whether its keys can be absent: that of a cell can't.
    absence: Absence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    Possible,
    Never,
}

impl<V> Rewind<V> {
    pub(crate) fn new(kind: ComponentKind, clone: fn(&V) -> V) -> Self {
        let is_cell = matches!(kind, ComponentKind::Cell | ComponentKind::CheckedCell);
        Self { clone, absence: if is_cell { Absence::Never } else { Absence::Possible } }
    }

    pub(crate) fn of_map(clone: fn(&V) -> V) -> Self {
        Self { clone, absence: Absence::Possible }
    }

    /// Refuses what can't be brought back.
    pub(crate) fn admits(&self, component: &str, then: Option<Versioned<'_, V>>) -> Result<(), HistoryError> {
        match (self.absence, then) {
            (Absence::Never, None) => Err(HistoryError::Unborn { component: component.to_owned() }),
            _ => Ok(()),
        }
    }

    /// The same component, by its handle.
    pub(crate) fn of<K, I, M>(self, map: M) -> Arc<dyn Rewound>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K> + Send + Sync,
        M: Writable<K, V, I> + Send + Sync + 'static,
    {
        Arc::new(Component { map, rewind: self, types: PhantomData })
    }
}

/// A component that can be brought back.
#[doc(hidden)]
pub trait Rewound: Send + Sync {
    /// From which tick on all that its keys held is known. A hint beside writers.
    fn known_since(&self) -> u64;

    /// Whether all that its keys held at a moment is known, and can be brought back.
    fn check(&self, past: &Past) -> Result<(), TransactionError>;

    /// Brings it back in a transaction.
    fn rewind_in<'s>(&'s self, transaction: &mut Transaction<'s>, past: &Past) -> Result<usize, TransactionError>;

    /// Brings it back key by key.
    fn rewind_each(&self, past: &Past) -> Result<usize, TransactionError>;
}

struct Component<M, K, V, I> {
    map: M,
    rewind: Rewind<V>,
    types: PhantomData<fn(K, I)>,
}

impl<M, K, V, I> Rewound for Component<M, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K> + Send + Sync,
    M: Writable<K, V, I> + Send + Sync,
{
    fn known_since(&self) -> u64 {
        let pin = self.map.map().pin();
        let component = pin.map().component();
        let of_keys = pin.recording().into_iter().flat_map(|recording| {
            pin.slots().map(|slot| past::known_since(slot, &pin.map().engine().clock, recording))
        });
        of_keys.chain([component.remembers_from()]).max().unwrap_or(0)
    }

    fn check(&self, past: &Past) -> Result<(), TransactionError> {
        let pin = self.map.map().pin();
        let slots = pin.at(past)?.slots()?;
        Ok(slots.into_iter().try_for_each(|(_, then)| self.rewind.admits(pin.map().name(), then))?)
    }

    fn rewind_in<'s>(&'s self, transaction: &mut Transaction<'s>, past: &Past) -> Result<usize, TransactionError> {
        Ok(transaction.rewind(&self.map, past, &self.rewind)?)
    }

    fn rewind_each(&self, past: &Past) -> Result<usize, TransactionError> {
        Ok(self.map.rewind_each(past, &self.rewind)?)
    }
}
