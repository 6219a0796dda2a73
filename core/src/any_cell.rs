//! Cells of each kind.

use crate::checked::{CheckedCell, Refused};
use crate::history::Rewind;
use crate::index::{Hashed, Index};
use crate::readable::{Readable, Reads};
use crate::transaction::{Drafted, Judge};
use crate::{Cell, Map, Past, TransactionError, Writable};

/// A cell that snapshots read and transactions write: a [`Cell`], a [`CheckedCell`]. Nothing else can be.
#[expect(private_bounds, reason = "so that nothing else can be")]
pub trait AnyCell<S>: Writable<(), S, Hashed> + Holds<S> {}

/// What is read. Crate-private: a checked cell must not hand out the cell under it, which writes unchecked.
pub(crate) trait Holds<S> {
    fn cell(&self) -> &Cell<S>;
}

impl<S> AnyCell<S> for Cell<S> {}

impl<S> Holds<S> for Cell<S> {
    fn cell(&self) -> &Self {
        self
    }
}

impl<S> Readable<(), S, Hashed> for Cell<S> {}

impl<S> Reads<(), S, Hashed> for Cell<S> {
    fn map(&self) -> &Map<(), S> {
        self.map()
    }
}

impl<S> Writable<(), S, Hashed> for Cell<S> {
    type Refused = TransactionError;
}

impl<S> Drafted<(), S, Hashed> for Cell<S> {
    fn judge(&self) -> Option<&dyn Judge<(), S>> {
        None
    }

    fn rewind_each(&self, past: &Past, rewind: &Rewind<S>) -> Result<usize, Refused<S>>
    where
        S: Send + Sync + 'static,
        Hashed: Index<()>,
    {
        self.map().rewind_each(past, rewind)
    }
}

impl<S: Send + Sync + 'static, D> AnyCell<S> for CheckedCell<S, D> {}

impl<S: Send + Sync + 'static, D> Holds<S> for CheckedCell<S, D> {
    fn cell(&self) -> &Cell<S> {
        self.unchecked()
    }
}

impl<S: Send + Sync + 'static, D> Readable<(), S, Hashed> for CheckedCell<S, D> {}

impl<S: Send + Sync + 'static, D> Reads<(), S, Hashed> for CheckedCell<S, D> {
    fn map(&self) -> &Map<(), S> {
        self.as_map().unchecked()
    }
}

impl<S: Send + Sync + 'static, D> Writable<(), S, Hashed> for CheckedCell<S, D> {
    type Refused = Refused<S>;
}

impl<S: Send + Sync + 'static, D> Drafted<(), S, Hashed> for CheckedCell<S, D> {
    fn judge(&self) -> Option<&dyn Judge<(), S>> {
        self.as_map().judge()
    }

    fn rewind_each(&self, past: &Past, rewind: &Rewind<S>) -> Result<usize, Refused<S>>
    where
        S: Send + Sync + 'static,
        Hashed: Index<()>,
    {
        self.as_map().rewind_each(past, rewind)
    }
}
