//! Transactions: many keys of many maps and cells, changed as one step.

mod cells;
mod error;
mod judged;
mod operations;
mod options;
mod run;
mod scans;
mod writable;

use std::cell::RefCell;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Instant;

use crate::Store;
use crate::checked::Refused;
use crate::map::Map;
use crate::pending::Pending;
use crate::raw::chain::VersionHeader;
use crate::raw::commit::{Access, Checks, Descriptor, Lost, Seen};
use crate::raw::engine::Worker;
use crate::raw::lineage::Mark;
use crate::raw::registry::Registered;
use crate::raw::slot::{Head, SlotHeader};
use crate::raw::version::VersionNode;
use crate::sync::Ordering;
use crate::transaction::judged::Places;

pub use error::{RefusedWrite, TransactionConflict, TransactionError};
pub use options::{Isolation, TransactionOptions};
pub use writable::Writable;

/// The number of a transaction: no other one of its store has it, in this process. Each attempt of [`Store::transact`] has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId {
    thread: usize,
    number: NonZeroU64,
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.thread, self.number)
    }
}

/// A transaction that is open. See [`Store::transact`] and [`Store::begin`].
///
/// # Consistency
/// All reads are of the moment at which it began, and of what it has written itself. What it writes is seen by nobody until it is committed.
/// Keys that [expire](crate::MapOptions::ttl) have done so if their time was over at that moment.
///
/// A write of a [`CheckedMap`](crate::CheckedMap) is judged when it is called, by what the commit would make visible: the value that the key
/// had at the transaction's moment, and the new one. If the key has changed when the transaction is committed, that is a conflict, under either
/// [isolation](Isolation): so what was judged is what happens. Steps in between, which nobody sees, are not judged. Under a bound on keys
/// it counts how many come and go; let keys go first, where there is no room.
///
/// # Progress
/// Every operation is lock-free, and holds no pin when it returns. The maps and cells that it is done to must outlive the transaction.
///
/// # Errors
/// Every operation returns [`TransactionError::ForeignStore`] for a map or cell of another store; `Restoring` for a key that its map has not
/// brought in yet; `TooManyKeys` and `TimedOut` if the [options](TransactionOptions) bound that.
pub struct Transaction<'s> {
    store: &'s Store,
    options: TransactionOptions,
    deadline: Option<Instant>,
    id: TransactionId,
    /// The moment that is read, held still; none once it has ended.
    moment: Option<Registered>,
    /// The time by which it judges whether keys have expired.
    time: u64,
    /// What was read and is written.
    draft: RefCell<Option<Box<Descriptor>>>,
    /// What its writes do to bounds on keys.
    places: Vec<Places>,
}

/// Why a transaction was not committed.
enum Failure {
    Lost(Lost),
    Refused(TransactionError),
}

/// A pinned thread at work for a transaction.
macro_rules! at_work {
    ($transaction:expr, $worker:ident) => {
        let engine = $transaction.store.engine();
        let session = engine.session();
        let guard = session.pin();
        let $worker = Worker::new(engine, &session, &guard);
    };
}

use at_work;

impl<'s> Transaction<'s> {
    fn deadline(options: &TransactionOptions) -> Option<Instant> {
        options.time_out.and_then(|limit| Instant::now().checked_add(limit))
    }

    fn begin(
        store: &'s Store,
        options: TransactionOptions,
        deadline: Option<Instant>,
    ) -> Result<Self, TransactionError> {
        let engine = store.engine();
        if let Some(limit) = options.live_max {
            // Relaxed: a count.
            if engine.bounded_transactions.fetch_add(1, Ordering::Relaxed) >= limit {
                engine.bounded_transactions.fetch_sub(1, Ordering::Relaxed);
                return Err(TransactionError::TooManyTransactions { limit });
            }
        }
        // Before: it may ask the user's source.
        let time = engine.time_to_forget();
        let moment = Some(engine.registry.take(&engine.clock));
        let (thread, number) = engine.session().number_transaction();
        let draft = RefCell::new(Some(Descriptor::draft(number.get(), thread)));
        let id = TransactionId { thread, number };
        Ok(Self { store, options, deadline, id, moment, time, draft, places: Vec::new() })
    }

    /// The transaction's number.
    pub fn id(&self) -> TransactionId {
        self.id
    }

    fn tick(&self) -> u64 {
        self.moment.as_ref().map_or(0, |moment| moment.tick)
    }

    /// Whether the map is one of the transaction's store, and there is time.
    fn check<K, V, I>(&self, map: &Map<K, V, I>) -> Result<(), TransactionError> {
        if !std::sync::Arc::ptr_eq(self.store.engine(), map.engine()) {
            return Err(TransactionError::ForeignStore { component: map.name().to_owned() });
        }
        self.check_time()
    }

    fn check_time(&self) -> Result<(), TransactionError> {
        match (self.deadline, self.options.time_out) {
            (Some(deadline), Some(limit)) if Instant::now() > deadline => Err(TransactionError::TimedOut { limit }),
            _ => Ok(()),
        }
    }

    /// What the transaction sees in a slot, its own write first. Remembers what it has seen.
    fn look<'w, K, V, I>(
        &'w self,
        map: &Map<K, V, I>,
        worker: &Worker<'w>,
        slot: &SlotHeader,
    ) -> Result<Option<&'w VersionHeader>, TransactionError> {
        let mut draft = self.draft.borrow_mut();
        let Some(draft) = draft.as_mut() else { return Ok(None) };
        let access = Self::access(draft, &self.options, map, slot)?;
        if access.is_write() {
            // SAFETY: the transaction's own, which lives until it is overwritten, by whoever has the transaction alone.
            return Ok(Some(unsafe { &*access.version }));
        }
        let version = worker.at(slot, self.tick());
        if access.seen == Seen::Nothing {
            access.seen = version.map_or(Seen::Empty, |version| Seen::Version(version.stamp()));
        }
        Ok(version)
    }

    /// The access of a slot, new if there is none.
    fn access<'d, K, V, I>(
        draft: &'d mut Descriptor,
        options: &TransactionOptions,
        map: &Map<K, V, I>,
        slot: &SlotHeader,
    ) -> Result<&'d mut Access, TransactionError> {
        if let Some(number) = draft.find(slot) {
            return Ok(draft.access(number));
        }
        if let Some(limit) = options.keys_max
            && draft.accesses().len() >= limit
        {
            return Err(TransactionError::TooManyKeys { limit });
        }
        if map.has_base() && matches!(slot.head().1, Head::Empty) {
            return Err(TransactionError::Restoring { component: map.name().to_owned() });
        }
        Ok(draft.add(Access::new(map.component(), slot)))
    }

    /// The value that the transaction sees in a slot, its own first. Remembers what it has seen.
    fn value<K, V, I>(
        &self,
        map: &Map<K, V, I>,
        worker: &Worker<'_>,
        slot: &SlotHeader,
    ) -> Result<Option<&V>, TransactionError> {
        let seen = self.look(map, worker, slot)?;
        Ok(seen.and_then(|version| self.live(map, version)))
    }

    /// The value of a version that the transaction sees, unless it is a removal or its key's time is over.
    fn live<K, V, I>(&self, map: &Map<K, V, I>, version: &VersionHeader) -> Option<&V> {
        if map.component().recording().is_some_and(|recording| recording.is_expired(version, self.time)) {
            return None;
        }
        // SAFETY: a version of this map. The moment that is held still sees it until the transaction ends; or it is the transaction's own,
        // which lives until it is overwritten, by whoever has the transaction alone.
        unsafe { VersionNode::<V>::value(version) }
    }

    /// Writes a slot, if the map's checks let it; `None` is a removal.
    fn write<K, V, I>(
        &mut self,
        map: &impl Writable<K, V, I>,
        worker: &Worker<'_>,
        slot: &SlotHeader,
        value: Option<V>,
        mark: Mark,
    ) -> Result<(), Refused<V>> {
        let under = map.map();
        let value = match map.judge() {
            Some(judge) => self.judged(under, judge, worker, slot, value)?,
            None => value,
        };
        let draft = self.draft.get_mut().as_mut();
        let draft = draft.unwrap_or_else(|| unreachable!("the draft goes with the transaction"));
        let access = match Self::access(draft, &self.options, under, slot) {
            Ok(access) => access,
            Err(error) => return Err(Refused::Transaction { error, value }),
        };
        let mark = Mark { transaction: Some(self.id), ..mark };
        let new = Pending::apart(under.component(), value, mark).installed();
        let before = std::mem::replace(&mut access.version, new);
        if !before.is_null() {
            // SAFETY: never published; nobody borrows it, since this has the transaction alone.
            worker.retire(unsafe { under.component().retire_version(before) });
        }
        Ok(())
    }

    /// Ends the transaction: makes what it has written visible, or says why not.
    fn finish(mut self) -> Result<(), Failure> {
        self.check_time().map_err(Failure::Refused)?;
        let Some(draft) = self.draft.get_mut().take() else { return Ok(()) };
        let checks = match self.options.isolation {
            Isolation::Serializable => Checks::Reads,
            Isolation::Snapshot => Checks::WritesSince(self.tick()),
        };
        // Before anything is replaced: else its own moment would still see that.
        self.release();
        at_work!(self, worker);
        let outcome = worker.commit(draft, checks);
        if outcome.is_ok() {
            self.places.drain(..).for_each(Places::settle);
        }
        worker.tidy();
        outcome.map_err(Failure::Lost)
    }

    /// Makes all that was written visible, at one moment.
    ///
    /// # Consistency
    /// Takes effect within this call, as one step, for latest reads and snapshots alike.
    ///
    /// # Progress
    /// Lock-free; see [`Store::transact`].
    ///
    /// # Errors
    /// [`TransactionError::Conflict`] if another writer was faster: begin again. `TimedOut` if it took too long. Nothing has changed then.
    ///
    /// # Examples
    /// See [`Store::begin`].
    pub fn commit(self) -> Result<(), TransactionError> {
        let store = self.store;
        self.finish().map_err(|failure| match failure {
            Failure::Lost(Lost { component, hash, found }) => {
                let component = store.name_of(component);
                TransactionError::Conflict(TransactionConflict { component, hash, found })
            }
            Failure::Refused(error) => error,
        })
    }

    /// The error to return in order to give the transaction up. One that was begun by hand is given up by dropping it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// use stillpoint::TransactionError;
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// let given_up: Result<(), _> = store.transact(|tx| {
    ///     tx.put(&map, 1, 10)?;
    ///     Err(tx.abort())
    /// });
    /// assert_eq!(given_up, Err(TransactionError::Aborted));
    /// assert!(map.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn abort(&self) -> TransactionError {
        TransactionError::Aborted
    }

    /// Lets the moment go that was held still.
    fn release(&mut self) {
        if let Some(moment) = self.moment.take() {
            self.store.engine().registry.release(&moment);
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.options.live_max.is_some() {
            // Relaxed: a count.
            self.store.engine().bounded_transactions.fetch_sub(1, Ordering::Relaxed);
        }
        self.release();
        if let Some(draft) = self.draft.get_mut().take() {
            at_work!(self, worker);
            worker.discard(draft);
            worker.tidy();
        }
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut transaction = f.debug_struct("Transaction");
        transaction.field("id", &self.id).field("isolation", &self.options.isolation).finish_non_exhaustive()
    }
}

const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Transaction<'static>>();
};
