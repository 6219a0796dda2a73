//! Exactly once: what a batch brings about, and how far the batches were read, in one transaction.

use std::error::Error;
use std::fmt;

use crate::feed::reader::{Reader, Stand};
use crate::feed::{Cursor, CursorError, Keys, Lagged, Subscriber, Tells};
use crate::index::Index;
use crate::{Cell, Snapshot, Store, Transaction, TransactionError};

impl Store {
    /// The moment that is now, as a cursor: what changes from now on comes after it.
    ///
    /// # Cost
    /// That of a snapshot.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{Feed, Store};
    /// let store = Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// let now = store.cursor();
    /// map.pin().put(1, 10);
    /// assert_eq!(map.resume(Feed::latest(), now)?.poll()?.unwrap().iter().count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.engine().identity, self.snapshot().tick())
    }
}

impl<K, V, I, M> Subscriber<Keys<K, V, I>, M>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
    M: Tells<Keys<K, V, I>>,
{
    /// Reads the next batch, does with it what the closure does, and moves a cell to the cursor behind it: all in one transaction. Returns what
    /// the closure does, or `None` if nothing has changed.
    ///
    /// The cell says what was done, not the subscriber: it begins as the [cursor](Self::cursor) of a subscriber, and whoever comes after one that
    /// has gone [resumes](crate::Map::resume) at it. Several subscribers may share a cell: each batch is done by one of them.
    ///
    /// # Consistency
    /// **Exactly once**: what the closure writes and the cell's new cursor become visible together, or not at all. Whoever is stopped before that,
    /// by a panic, an error, or the loss of a thread, has done nothing, and the batch comes again; whoever is stopped after it finds in the cell that it was
    /// done. This is said of what is written through the transaction. What the closure does besides, it may do again.
    ///
    /// It is as good as the store: cursors are of one [life](CursorError::OtherStore) of it.
    ///
    /// # Progress
    /// As [`Store::transact`]; the closure runs again after a conflict. To wait for a batch, see [`wait`](Self::wait), with
    /// [`AtLeastOnce`](crate::Delivery::AtLeastOnce): what it returns comes again here.
    ///
    /// # Errors
    /// [`OnceError::Lagged`] until [`transact_resync`](Self::transact_resync) is called; [`OnceError::Behind`] if the subscriber was told more than the
    /// cell says was done: resume at the cell's cursor; [`OnceError::Cursor`] if the cell's cursor is not of this store;
    /// [`OnceError::Transaction`] with what the closure returns.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{Delivery, Feed, MapOptions, Store};
    ///
    /// let store = Store::new();
    /// let sales = store.map_with("sales", MapOptions::<u64, u64>::new().every_change(1 << 20))?;
    /// let feed = || Feed::every().delivery(Delivery::AtLeastOnce);
    /// let mut subscriber = sales.subscribe(feed())?;
    /// let done = store.cell("billed until", subscriber.cursor())?;
    /// let billed = store.cell("billed", 0)?;
    ///
    /// sales.pin().put(1, 30);
    /// sales.pin().put(1, 12);
    /// for _ in 0..2 {
    ///     subscriber.transact(&store, &done, |tx, batch| {
    ///         let sum: u64 = batch.iter().filter_map(|sale| sale.value).sum();
    ///         tx.modify(&billed, |had| had + sum)
    ///     })?;
    /// }
    /// assert_eq!(*billed.load(), 42);
    ///
    /// let next = sales.resume(feed(), *done.load())?; // instead of one that has gone
    /// # drop(next);
    /// # Ok(())
    /// # }
    /// ```
    pub fn transact<'s, R>(
        &mut self,
        store: &'s Store,
        done: &'s Cell<Cursor>,
        mut body: impl FnMut(&mut Transaction<'s>, &M::Batch) -> Result<R, TransactionError>,
    ) -> Result<Option<R>, OnceError> {
        loop {
            let from = *done.load();
            if !self.reader.stand_at(from)? {
                return Err(OnceError::Behind { done: from, told: self.cursor() });
            }
            let cut = match self.reader.cut() {
                None => return Ok(None),
                Some(cut) => cut?,
            };
            let to = cut.cursor();
            let Some(batch) = M::batch(&self.topic, &self.source, cut) else {
                self.reader.pass_by(to);
                return Ok(None);
            };
            let mut is_moved = false;
            let outcome = store.transact(|tx| {
                is_moved = *tx.load(done)? != from;
                if is_moved {
                    return Err(tx.abort());
                }
                let outcome = body(tx, &batch)?;
                tx.set(done, to)?;
                Ok(outcome)
            });
            match outcome {
                Ok(outcome) => {
                    self.reader.stand_at(to)?;
                    return Ok(Some(outcome));
                }
                // Another subscriber has done it.
                Err(TransactionError::Aborted) if is_moved => {}
                Err(error) => return Err(OnceError::Transaction(error)),
            }
        }
    }

    /// Goes on from a snapshot, as [`resync`](Self::resync): does with it what the closure does, and moves the cell to its cursor, in one transaction. For
    /// whoever [has lagged](Lagged), or begins with what is there.
    ///
    /// # Consistency
    /// As [`transact`](Self::transact): if it does not come about, the subscriber lags still.
    ///
    /// # Errors
    /// [`OnceError::Transaction`] with what the closure returns.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{Feed, Store};
    /// let store = Store::new();
    /// let stock = store.map::<&str, u64>("stock")?;
    /// stock.pin().put("apples", 3);
    /// let mut subscriber = stock.subscribe(Feed::latest());
    /// let (done, total) = (store.cell("counted until", subscriber.cursor())?, store.cell("total", 0)?);
    /// subscriber.transact_resync(&store, &done, |tx, still| {
    ///     tx.set(&total, still.iter(&stock).map(|(_, pieces)| *pieces).sum())
    /// })?;
    /// assert_eq!(*total.load(), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn transact_resync<'s, R>(
        &mut self,
        store: &'s Store,
        done: &'s Cell<Cursor>,
        mut body: impl FnMut(&mut Transaction<'s>, &Snapshot) -> Result<R, TransactionError>,
    ) -> Result<R, OnceError> {
        let before = self.reader.stand();
        let still = self.reader.resync();
        let to = self.reader.cursor(still.tick());
        // Lags if the closure panics, too.
        let mut pending = Pending { reader: Some(&mut self.reader), before };
        let outcome = store.transact(|tx| {
            let outcome = body(tx, &still)?;
            tx.set(done, to)?;
            Ok(outcome)
        });
        let outcome = outcome.map_err(OnceError::Transaction)?;
        if let Some(reader) = pending.reader.take() {
            reader.stand_at(to)?;
        }
        Ok(outcome)
    }
}

/// A reader that lags unless what it has begun comes about.
struct Pending<'r> {
    reader: Option<&'r mut Reader>,
    before: Stand,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.lag_behind(self.before);
        }
    }
}

/// A batch could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnceError {
    /// The subscriber has missed changes. Go on with [`Subscriber::transact_resync`].
    Lagged(Lagged),
    /// The subscriber was told more than was done. Resume at the cell's cursor.
    Behind {
        /// What the cell says.
        done: Cursor,
        /// Where the subscriber stands.
        told: Cursor,
    },
    /// The cell's cursor is of no use here.
    Cursor(CursorError),
    /// The transaction was not committed: an operation in it has failed, or the closure gave it up.
    Transaction(TransactionError),
}

impl From<Lagged> for OnceError {
    fn from(lagged: Lagged) -> Self {
        Self::Lagged(lagged)
    }
}

impl From<CursorError> for OnceError {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}

impl fmt::Display for OnceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged(lagged) => lagged.fmt(f),
            Self::Behind { done, told } => {
                let (done, told) = (done.tick(), told.tick());
                write!(
                    f,
                    "the subscriber was told up to tick {told}, of which all after tick {done} is not done: resume there"
                )
            }
            Self::Cursor(error) => error.fmt(f),
            Self::Transaction(error) => error.fmt(f),
        }
    }
}

impl Error for OnceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Lagged(lagged) => Some(lagged),
            Self::Cursor(error) => Some(error),
            Self::Transaction(error) => Some(error),
            Self::Behind { .. } => None,
        }
    }
}
