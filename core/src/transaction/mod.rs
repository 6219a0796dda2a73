//! Transactions: many keys of many maps and cells, changed as one step.

mod cells;
mod error;
mod judged;
mod moment;
mod operations;
mod options;
mod run;
mod scans;
mod writable;

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Instant;

use crate::Store;
use crate::admission::admits;
use crate::checked::Refused;
use crate::map::Map;
use crate::pending::Pending;
use crate::raw::chain::VersionHeader;
use crate::raw::commit::{Access, Descriptor, Lost};
use crate::raw::engine::Worker;
use crate::raw::lineage::Mark;
use crate::raw::slot::{Head, SlotHeader};
use crate::raw::unread::Promise;
use crate::raw::version::VersionNode;
use crate::sync::Ordering;
use crate::transaction::judged::Places;
use crate::transaction::moment::{Begin, Work};
use crate::transaction::scans::Rescan;

pub use error::{RefusedWrite, TransactionConflict, TransactionError};
pub use options::{Isolation, TransactionOptions};
pub use writable::Writable;
pub(crate) use writable::{Drafted, Judge};

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
/// All reads are of one moment, and of what it has written itself: of that at which it began if it was begun by hand, of one while the closure
/// runs in [`Store::transact`]. What it writes is seen by nobody until it is committed. Keys that [expire](crate::MapOptions::ttl) have done so if their time was over when
/// it began.
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
/// brought in yet; `TooManyKeys` and `TimedOut` if the [options](TransactionOptions) bound that. In a closure of [`Store::transact`] also
/// `Conflict`, if what it has read before is no longer so: pass it on, and the closure runs again.
pub struct Transaction<'s> {
    store: &'s Store,
    options: TransactionOptions,
    deadline: Option<Instant>,
    id: TransactionId,
    /// The time by which it judges whether keys have expired.
    time: u64,
    work: RefCell<Work>,
    rare: RefCell<Option<Box<Rare<'s>>>>,
}

/// What few transactions have.
#[derive(Default)]
struct Rare<'s> {
    /// What its writes do to bounds on keys.
    places: Vec<Places>,
    /// Places of its changes among those that may be unread.
    promises: Vec<Promise>,
    /// The ranges that it has scanned, if it is serializable.
    ranges: Vec<Box<dyn Rescan<'s> + 's>>,
    /// The value of the last write that was refused and whose error has no room for it.
    refused: Option<Box<dyn Any + Send>>,
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
        begin: Begin,
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
        let moment = match begin {
            Begin::AtMoment => Some(engine.registry.take(&engine.clock)),
            Begin::Open => None,
        };
        let (thread, number) = engine.session().number_transaction();
        let work = RefCell::new(Work { draft: Some(Descriptor::draft(number.get(), thread)), moment, lost: None });
        let id = TransactionId { thread, number };
        Ok(Self { store, options, deadline, id, time, work, rare: RefCell::new(None) })
    }

    fn rare(&mut self) -> &mut Rare<'s> {
        self.rare.get_mut().get_or_insert_default()
    }

    /// The transaction's number.
    pub fn id(&self) -> TransactionId {
        self.id
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
        let mut work = self.work.borrow_mut();
        let Some(draft) = &mut work.draft else { return Ok(None) };
        let number = Self::access(draft, &self.options, map, slot)?;
        let access = draft.access(number);
        if access.is_write() {
            // SAFETY: the transaction's own, which lives until it is overwritten, by whoever has the transaction alone.
            return Ok(Some(unsafe { &*access.version }));
        }
        self.read(&mut work, worker, number)
    }

    /// Remembers what was in a slot at the transaction's moment, which is held still, also if it writes the slot.
    fn see<K, V, I>(&self, map: &Map<K, V, I>, worker: &Worker<'_>, slot: &SlotHeader) -> Result<(), TransactionError> {
        let mut work = self.work.borrow_mut();
        let Some(draft) = &mut work.draft else { return Ok(()) };
        let number = Self::access(draft, &self.options, map, slot)?;
        self.read(&mut work, worker, number).map(drop)
    }

    /// The number of a slot's access, new if there is none.
    #[inline]
    fn access<K, V, I>(
        draft: &mut Descriptor,
        options: &TransactionOptions,
        map: &Map<K, V, I>,
        slot: &SlotHeader,
    ) -> Result<usize, TransactionError> {
        if let Some(number) = draft.find(slot) {
            return Ok(number);
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
    #[inline]
    fn value<K, V, I>(
        &self,
        map: &Map<K, V, I>,
        worker: &Worker<'_>,
        slot: &SlotHeader,
    ) -> Result<Option<&V>, TransactionError> {
        if worker.attempts((self.id.thread, self.id.number))
            && let Some(version) = self.read_plainly(map.component(), slot)
        {
            return Ok(self.live(map, version));
        }
        let seen = self.look(map, worker, slot)?;
        Ok(seen.and_then(|version| self.live(map, version)))
    }

    /// The value of a version that the transaction sees, unless it is a removal or its key's time is over.
    fn live<K, V, I>(&self, map: &Map<K, V, I>, version: &VersionHeader) -> Option<&V> {
        if map.component().recording().is_some_and(|recording| recording.is_expired(version, self.time)) {
            return None;
        }
        // SAFETY: a version of this map. The moment that is held still sees it until the transaction ends, or the
        // pin that an open one relies on keeps it; or it is the transaction's own,
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
        // What goes is never refused for want of memory.
        let value = match value {
            Some(value) => match admits(self.store.engine(), worker) {
                Ok(()) => Some(value),
                Err(overload) => return Err(Refused::Overloaded { overload, value }),
            },
            None => None,
        };
        let promise = match self.promised(under, slot) {
            Ok(promise) => promise,
            Err(changes) => return Err(Refused::Unread { changes, value }),
        };
        let value = match map.judge() {
            Some(judge) => self.judged(under, judge, worker, slot, value)?,
            None => value,
        };
        let draft = self.work.get_mut().draft.as_mut();
        let draft = draft.unwrap_or_else(|| unreachable!("the draft goes with the transaction"));
        let number = match Self::access(draft, &self.options, under, slot) {
            Ok(number) => number,
            Err(error) => return Err(Refused::Transaction { error, value }),
        };
        let mark = Mark { transaction: Some(self.id), ..mark };
        let apart = |value| Pending::apart(under.component(), value, mark).installed();
        if let Some(before) = draft.write(number, value, apart) {
            // SAFETY: never published; nobody borrows it, since this has the transaction alone.
            worker.retire(unsafe { under.component().retire_version(before) });
        }
        if promise.is_some() {
            self.rare().promises.extend(promise);
        }
        Ok(())
    }

    /// A place for a change of a key that is not yet drafted, in a map that refuses writes when too many are unread; else none.
    fn promised<K, V, I>(&mut self, map: &Map<K, V, I>, slot: &SlotHeader) -> Result<Option<Promise>, u64> {
        let Some(unread) = map.component().unread() else { return Ok(None) };
        let draft = self.work.get_mut().draft.as_mut();
        let is_drafted = draft.and_then(|draft| draft.find(slot).map(|number| draft.access(number).is_write()));
        if is_drafted == Some(true) { Ok(None) } else { unread.promise() }
    }

    /// Returns the value of the last write that was refused by a map or cell without checks, if it was of this type, and was not asked for yet:
    /// [`TransactionError`] has no room for it. What a checked map refuses is given back by its own error.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{Store, TransactionOptions};
    ///
    /// let store = Store::new();
    /// let map = store.map::<u64, String>("map")?;
    /// let mut tx = store.begin_with(TransactionOptions::new().keys_max(1))?;
    /// tx.put(&map, 1, "one".to_owned())?;
    /// assert!(tx.put(&map, 2, "two".to_owned()).is_err());
    /// assert_eq!(tx.take_refused::<String>().as_deref(), Some("two"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_refused<V: 'static>(&mut self) -> Option<V> {
        let refused = self.rare.get_mut().as_mut()?.refused.take_if(|refused| refused.is::<V>())?;
        refused.downcast().ok().map(|value| *value)
    }

    /// The error of a write that was refused. Keeps the value if the error has no room for it.
    #[cold]
    fn refuse<K, V, I, M>(&mut self, map: &M, refused: Refused<V>) -> M::Refused
    where
        V: Send + 'static,
        M: Writable<K, V, I>,
    {
        if map.judge().is_some() {
            return refused.into();
        }
        let (error, value) = match refused {
            Refused::Transaction { error, value } => (error, value),
            Refused::Overloaded { overload, value } => (TransactionError::Overloaded(overload), Some(value)),
            Refused::Unread { changes, value } => (Refused::<V>::Unread { changes, value: None }.into(), value),
            other => return other.into(),
        };
        self.rare().refused = value.map(|value| Box::new(value) as _);
        Refused::from(error).into()
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
    pub fn commit(mut self) -> Result<(), TransactionError> {
        let store = self.store;
        self.finish().map_err(|failure| match failure {
            Failure::Lost(lost) => conflict(store, lost),
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
}

/// The error of a transaction that has lost.
#[cold]
fn conflict(store: &Store, lost: Lost) -> TransactionError {
    let session = store.engine().session();
    let _guard = session.pin();
    TransactionError::Conflict(TransactionConflict::new(store, lost))
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.options.live_max.is_some() {
            // Relaxed: a count.
            self.store.engine().bounded_transactions.fetch_sub(1, Ordering::Relaxed);
        }
        let work = self.work.get_mut();
        work.release(self.store);
        if let Some(draft) = work.draft.take() {
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
