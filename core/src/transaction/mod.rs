//! Transactions: many keys of many maps and cells, changed as one step.

mod cells;
mod error;
mod options;
mod run;
mod scans;

use std::cell::RefCell;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Instant;

use crate::Store;
use crate::index::{Index, Lookup};
use crate::map::Map;
use crate::pending::Pending;
use crate::raw::chain::VersionHeader;
use crate::raw::commit::{Access, Checks, Descriptor, Lost, Seen};
use crate::raw::engine::Worker;
use crate::raw::lineage::Mark;
use crate::raw::registry::Registered;
use crate::raw::slot::{Head, Slot, SlotHeader};
use crate::raw::version::VersionNode;
use crate::sync::Ordering;

pub use error::{TransactionConflict, TransactionError};
pub use options::{Isolation, TransactionOptions};

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
    /// What was read and is written.
    draft: RefCell<Option<Box<Descriptor>>>,
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
        let moment = Some(engine.registry.take(&engine.clock));
        let (thread, number) = engine.session().number_transaction();
        let draft = RefCell::new(Some(Descriptor::draft(number.get(), thread)));
        Ok(Self { store, options, deadline, id: TransactionId { thread, number }, moment, draft })
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
    fn look<K, V, I>(
        &self,
        map: &Map<K, V, I>,
        worker: &Worker<'_>,
        slot: &SlotHeader,
    ) -> Result<Option<*const VersionHeader>, TransactionError> {
        let mut draft = self.draft.borrow_mut();
        let Some(draft) = draft.as_mut() else { return Ok(None) };
        let access = self.access(draft, map, slot)?;
        if access.is_write() {
            return Ok(Some(access.version));
        }
        let version = worker.at(slot, self.tick());
        if access.seen == Seen::Nothing {
            access.seen = version.map_or(Seen::Empty, |version| Seen::Version(version.stamp()));
        }
        Ok(version.map(std::ptr::from_ref))
    }

    /// The access of a slot, new if there is none.
    fn access<'d, K, V, I>(
        &self,
        draft: &'d mut Descriptor,
        map: &Map<K, V, I>,
        slot: &SlotHeader,
    ) -> Result<&'d mut Access, TransactionError> {
        if let Some(number) = draft.find(slot) {
            return Ok(draft.access(number));
        }
        if let Some(limit) = self.options.keys_max
            && draft.accesses().len() >= limit
        {
            return Err(TransactionError::TooManyKeys { limit });
        }
        if map.has_base() && matches!(slot.head().1, Head::Empty) {
            return Err(TransactionError::Restoring { component: map.name().to_owned() });
        }
        Ok(draft.add(Access::new(map.component(), slot)))
    }

    /// Writes a slot; `None` is a tombstone.
    fn write<K, V, I>(
        &mut self,
        map: &Map<K, V, I>,
        worker: &Worker<'_>,
        slot: &SlotHeader,
        value: Option<V>,
    ) -> Result<(), TransactionError> {
        self.write_as(map, worker, slot, value, Mark::NONE)
    }

    /// As [`write`](Self::write), of a change that says more of itself.
    fn write_as<K, V, I>(
        &mut self,
        map: &Map<K, V, I>,
        worker: &Worker<'_>,
        slot: &SlotHeader,
        value: Option<V>,
        mark: Mark,
    ) -> Result<(), TransactionError> {
        let mut draft = self.draft.borrow_mut();
        let Some(draft) = draft.as_mut() else { return Ok(()) };
        let access = self.access(draft, map, slot)?;
        let mark = Mark { transaction: Some(self.id), ..mark };
        let new = Pending::apart(map.component(), value, mark).installed();
        let before = std::mem::replace(&mut access.version, new);
        if !before.is_null() {
            // SAFETY: never published; nobody borrows it, since this has the transaction alone.
            worker.retire(unsafe { map.component().retire_version(before) });
        }
        Ok(())
    }

    /// Writes a key; `None` is a removal.
    pub(crate) fn write_marked<K, V, I>(
        &mut self,
        map: &'s Map<K, V, I>,
        key: &K,
        value: Option<V>,
        mark: Mark,
    ) -> Result<(), TransactionError>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Lookup<K, K>,
    {
        self.check(map)?;
        at_work!(self, worker);
        let slot = slot_of(map, &worker, key);
        self.write_as(map, &worker, slot, value, mark)
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

impl<'s> Transaction<'s> {
    /// Returns the key's value.
    ///
    /// # Cost
    /// As a lookup at a snapshot. A key that the map has never heard of gets a place there, which is taken back later, so that a
    /// commit can tell whether it is still absent.
    ///
    /// # Errors
    /// See [`Transaction`].
    ///
    /// # Examples
    /// See [`Store::transact`].
    pub fn get<K, V, I, Q>(&self, map: &'s Map<K, V, I>, key: &Q) -> Result<Option<&V>, TransactionError>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Lookup<K, Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        self.check(map)?;
        at_work!(self, worker);
        let slot = slot_of(map, &worker, key);
        let seen = self.look(map, &worker, slot)?;
        // SAFETY: a version of this map. The moment that is held still sees it until the transaction ends; or it is the transaction's own,
        // which lives until it is overwritten, by whoever has the transaction alone.
        Ok(seen.and_then(|version| unsafe { VersionNode::<V>::value(&*version) }))
    }

    /// Whether the key has a value.
    ///
    /// # Errors
    /// See [`Transaction`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// let mut tx = store.begin();
    /// tx.put(&map, 1, 10)?;
    /// assert!(tx.contains(&map, &1)? && !map.pin().contains(&1));
    /// tx.commit()?;
    /// assert!(map.pin().contains(&1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn contains<K, V, I, Q>(&self, map: &'s Map<K, V, I>, key: &Q) -> Result<bool, TransactionError>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Lookup<K, Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        Ok(self.get(map, key)?.is_some())
    }

    /// Sets the key's value, whatever it was.
    ///
    /// # Errors
    /// See [`Transaction`].
    ///
    /// # Examples
    /// See [`Store::transact`].
    pub fn put<K, V, I>(&mut self, map: &'s Map<K, V, I>, key: K, value: V) -> Result<(), TransactionError>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
    {
        self.check(map)?;
        at_work!(self, worker);
        let slot = usable(map, &worker, map.index().slot_for(map.component(), &worker, key));
        self.write(map, &worker, slot, Some(value))
    }

    /// Replaces the key's value by what the closure makes of it. Returns whether the key has one.
    ///
    /// # Errors
    /// See [`Transaction`].
    ///
    /// # Examples
    /// See [`Store::transact`].
    pub fn update<K, V, I, Q>(
        &mut self,
        map: &'s Map<K, V, I>,
        key: &Q,
        change: impl FnOnce(&V) -> V,
    ) -> Result<bool, TransactionError>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Lookup<K, Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        self.check(map)?;
        at_work!(self, worker);
        let slot = slot_of(map, &worker, key);
        let seen = self.look(map, &worker, slot)?;
        // SAFETY: as in `get`.
        let Some(value) = seen.and_then(|version| unsafe { VersionNode::<V>::value(&*version) }) else {
            return Ok(false);
        };
        let value = change(value);
        self.write(map, &worker, slot, Some(value))?;
        Ok(true)
    }

    /// Sets the value of a key that is absent. Gives the value back if it is not.
    ///
    /// # Errors
    /// See [`Transaction`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// let mut tx = store.begin();
    /// assert_eq!(tx.insert(&map, 1, 10)?, None);
    /// assert_eq!(tx.insert(&map, 1, 11)?, Some(11));
    /// tx.commit()?;
    /// assert_eq!(map.pin().get(&1), Some(&10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn insert<K, V, I>(&mut self, map: &'s Map<K, V, I>, key: K, value: V) -> Result<Option<V>, TransactionError>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
    {
        self.check(map)?;
        at_work!(self, worker);
        let slot = usable(map, &worker, map.index().slot_for(map.component(), &worker, key));
        let seen = self.look(map, &worker, slot)?;
        // SAFETY: as in `get`.
        if seen.is_some_and(|version| unsafe { VersionNode::<V>::value(&*version) }.is_some()) {
            return Ok(Some(value));
        }
        self.write(map, &worker, slot, Some(value))?;
        Ok(None)
    }

    /// Removes the key. Returns whether it had a value.
    ///
    /// # Errors
    /// See [`Transaction`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = stillpoint::Store::new();
    /// let (from, to) = (store.map::<u64, String>("from")?, store.map::<u64, String>("to")?);
    /// from.pin().put(1, "moved".to_owned());
    /// store.transact(|tx| {
    ///     if let Some(value) = tx.get(&from, &1)?.cloned() {
    ///         tx.remove(&from, &1)?;
    ///         tx.put(&to, 1, value)?;
    ///     }
    ///     Ok(())
    /// })?;
    /// assert_eq!((from.len(), to.len()), (0, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove<K, V, I, Q>(&mut self, map: &'s Map<K, V, I>, key: &Q) -> Result<bool, TransactionError>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Lookup<K, Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        self.check(map)?;
        at_work!(self, worker);
        let slot = slot_of(map, &worker, key);
        let seen = self.look(map, &worker, slot)?;
        // SAFETY: as in `get`.
        let has_value = seen.is_some_and(|version| unsafe { VersionNode::<V>::value(&*version) }.is_some());
        if has_value {
            self.write(map, &worker, slot, None)?;
        }
        Ok(has_value)
    }
}

/// The key's slot, made if there is none.
fn slot_of<'g, K, V, I, Q>(map: &'g Map<K, V, I>, worker: &Worker<'g>, key: &Q) -> &'g SlotHeader
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Lookup<K, Q>,
    Q: ToOwned<Owned = K> + ?Sized,
{
    let found = map.index().find(map.component(), key);
    usable(map, worker, found.unwrap_or_else(|| map.index().slot_for(map.component(), worker, key.to_owned())))
}

/// A slot, or another one for its key if it is out of use.
fn usable<'g, K, V, I>(map: &'g Map<K, V, I>, worker: &Worker<'g>, mut slot: &'g SlotHeader) -> &'g SlotHeader
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    while let Head::Purged = slot.head().1 {
        map.component().unlink(slot, |garbage| worker.retire(garbage));
        // SAFETY: purged, and not reclaimed under the worker's pin.
        let key: &K = unsafe { Slot::<K>::key(slot) };
        slot = map.index().slot_for(map.component(), worker, key.clone());
    }
    slot
}

const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Transaction<'static>>();
};
