//! Every change of a map, a cell, or a store, in batches.

use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::feed::{ChangesNotKept, Cursor, Every, Everything, Keys, Tells};
use crate::history::Revision;
use crate::index::{Hashed, Index};
use crate::raw::chain::VersionHeader;
use crate::raw::slot::{Slot, SlotHeader};
use crate::readable::Readable;
use crate::{ChangeKind, Cut, Map, Origin, Snapshot, TransactionId, Version};

/// One change of a key, as a feed of every change tells it. See [`Feed::every`](crate::Feed::every).
#[derive(Debug)]
#[non_exhaustive]
pub struct KeyChange<'b, K, V> {
    /// The key.
    pub key: &'b K,
    /// What it held from then on; `None` if it was removed.
    pub value: Option<&'b V>,
    /// The version of the value, or of the removal.
    pub version: Version,
    /// Which change of the key it was: 1, 2, 3, … A key that was forgotten after its removal begins at 1 again. From a gap, whoever has
    /// lagged can tell how many changes of a key he has missed.
    pub number: u64,
    /// When it came, to the millisecond; not before the change that it followed.
    pub time: SystemTime,
    /// What kind of change it was.
    pub kind: ChangeKind,
    /// Who or what made it, if that was [said](crate::Store::as_origin).
    pub origin: Option<Origin>,
    /// The transaction that made it, if one did. All that it has changed in the map is in the same batch.
    pub transaction: Option<TransactionId>,
}

impl<K, V> Clone for KeyChange<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for KeyChange<'_, K, V> {}

/// A version, and the slot that it is of: both stay while the batch's cut does.
struct Kept {
    slot: *const SlotHeader,
    version: *const VersionHeader,
}

// SAFETY: addresses; what they lead to is read as a map's keys and values, which the batch's own type bounds.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

impl Kept {
    /// The changes of a component that a cut keeps, in the order of their versions.
    fn all_in(cut: &Cut, component: u16) -> Vec<Self> {
        let mut changes = Vec::new();
        cut.each_version(component, |slot, version| {
            changes.push(Self { slot: ptr::from_ref(slot), version: ptr::from_ref(version) });
        });
        // SAFETY: kept by the cut.
        changes.sort_by_key(|kept| unsafe { &*kept.version }.stamp().version());
        changes
    }

    /// What a change of a map's key was. The cut that keeps it lives for `'b`, and so does the map's handle.
    fn read<'b, K, V, I>(&self, map: &'b Map<K, V, I>) -> KeyChange<'b, K, V> {
        let Some(recording) = map.component().recording() else { unreachable!("it has kept its changes") };
        // SAFETY: newer than the tick from which on the cut keeps the versions of this map, so not reclaimed while it is there.
        let version: &'b VersionHeader = unsafe { &*self.version };
        let Revision { value, version, number, time, kind, origin, transaction } = Revision::read(version, recording);
        // SAFETY: type-stable, and not purged while a version in it is kept, not even if that is a removal.
        let key = unsafe { Slot::<K>::key(&*self.slot) };
        KeyChange { key, value, version, number, time, kind, origin, transaction }
    }
}

/// Every change of a map or a cell from one moment to another. `Send` and `Sync`.
///
/// Its changes, and the moment that it leads to, stay in memory while it is kept.
pub struct EveryBatch<K, V, I = Hashed> {
    changes: Vec<Kept>,
    map: Map<K, V, I>,
    // Last: it keeps what the others lead to.
    cut: Cut,
}

impl<K, V, I> EveryBatch<K, V, I> {
    /// The moment that the batch leads to.
    pub fn snapshot(&self) -> &Snapshot {
        self.cut.snapshot()
    }

    /// Where a subscriber stands that has been told this batch.
    pub fn cursor(&self) -> Cursor {
        self.cut.cursor()
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there is none: a subscriber hands out no such batch.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl<K, V, I> EveryBatch<K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// All changes, in the order of their versions: those of a key one after the other, and what came at an earlier tick before what came
    /// at a later one.
    ///
    /// # Examples
    /// See [`Feed::every`](crate::Feed::every).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = KeyChange<'_, K, V>> + DoubleEndedIterator {
        self.changes.iter().map(|kept| kept.read(&self.map))
    }
}

impl<K, V, I> Tells<Keys<K, V, I>> for Every
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    type Batch = EveryBatch<K, V, I>;

    fn batch(topic: &Arc<Keys<K, V, I>>, map: &Map<K, V, I>, cut: Cut) -> Option<EveryBatch<K, V, I>> {
        let mut batch = EveryBatch { changes: Kept::all_in(&cut, map.component().id()), map: map.clone(), cut };
        if topic.is_choosy() {
            // Runs the user's tests, so under no pin.
            let told = batch.iter().map(|change| topic.has(change.key, change.value));
            let mut told = told.collect::<Vec<bool>>().into_iter();
            batch.changes.retain(|_| told.next().unwrap_or(false));
        }
        (!batch.is_empty()).then_some(batch)
    }
}

impl<'b, K, V, I> IntoIterator for &'b EveryBatch<K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    type Item = KeyChange<'b, K, V>;
    type IntoIter = std::vec::IntoIter<KeyChange<'b, K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter().collect::<Vec<_>>().into_iter()
    }
}

impl<K, V, I> fmt::Debug for EveryBatch<K, V, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut batch = f.debug_struct("EveryBatch");
        batch.field("map", &self.map.name()).field("changes", &self.len()).field("tick", &self.cut.tick());
        batch.finish_non_exhaustive()
    }
}

/// Every change of a store from one moment to another. `Send` and `Sync`.
///
/// Its changes, and the moment that it leads to, stay in memory while it is kept, but those of a map or cell that was
/// [dropped](crate::Store::drop_component), when its last handle has gone.
pub struct EveryCut {
    cut: Cut,
}

impl EveryCut {
    /// The moment that it leads to.
    pub fn snapshot(&self) -> &Snapshot {
        self.cut.snapshot()
    }

    /// Where a subscriber stands that has been told this.
    pub fn cursor(&self) -> Cursor {
        self.cut.cursor()
    }

    /// What has changed, of all maps and cells, by their newest values: also of those that do not keep every change.
    ///
    /// # Examples
    /// See [`changes`](Self::changes).
    pub fn newest(&self) -> &Cut {
        &self.cut
    }

    /// All changes of a map or a cell, whose only key is `()`, in the order of their versions: those of a key one after the other, and what
    /// came at an earlier tick before what came at a later one, also in other maps and cells. None if it is of another store.
    ///
    /// # Consistency
    /// What one transaction has changed, in whatever maps and cells, is in one batch.
    ///
    /// # Errors
    /// [`ChangesNotKept`] if the map or cell was not built to keep every change: then [`newest`](Self::newest) tells of it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{CellOptions, Feed, MapOptions, Store};
    ///
    /// let store = Store::new();
    /// let mut subscriber = store.subscribe(Feed::every());
    /// let stock = store.map_with("stock", MapOptions::<&str, u64>::new().every_change(1 << 20))?;
    /// let sold = store.cell_with("sold", 0_u64, CellOptions::new().every_change(1 << 20))?;
    /// let prices = store.map::<&str, u64>("prices")?; // does not keep them
    /// stock.pin().put("apples", 3);
    /// prices.pin().put("apples", 70);
    /// store.transact(|tx| {
    ///     tx.put(&stock, "apples", 2)?;
    ///     tx.set(&sold, 1)
    /// })?;
    /// prices.pin().put("apples", 80);
    ///
    /// let batch = subscriber.poll()?.unwrap();
    /// assert!(batch.changes(&stock)?.map(|change| change.value.copied()).eq([Some(3), Some(2)]));
    /// assert!(batch.changes(&sold)?.map(|change| change.value.copied()).eq([Some(0), Some(1)]));
    /// assert_eq!(batch.changes(&stock)?.last().unwrap().transaction, batch.changes(&sold)?.last().unwrap().transaction);
    /// assert!(batch.changes(&prices).is_err());
    /// assert!(batch.newest().changes(&prices).map(|change| change.value.copied()).eq([Some(80)]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn changes<'b, K, V, I, M>(
        &'b self,
        map: &'b M,
    ) -> Result<
        impl ExactSizeIterator<Item = KeyChange<'b, K, V>> + DoubleEndedIterator + use<'b, K, V, I, M>,
        ChangesNotKept,
    >
    where
        K: Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Index<K>,
        M: Readable<K, V, I>,
    {
        let map = map.map();
        if map.component().unread().is_none() {
            return Err(ChangesNotKept { component: map.name().to_owned() });
        }
        let is_own = Arc::ptr_eq(self.snapshot().engine(), map.engine());
        let changes = if is_own { Kept::all_in(&self.cut, map.component().id()) } else { Vec::new() };
        Ok(changes.into_iter().map(move |kept| kept.read(map)))
    }
}

impl Tells<Everything> for Every {
    type Batch = EveryCut;

    fn batch(_topic: &Arc<Everything>, (): &(), cut: Cut) -> Option<EveryCut> {
        (!cut.is_empty()).then_some(EveryCut { cut })
    }
}

impl fmt::Debug for EveryCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EveryCut").field("cut", &self.cut).finish()
    }
}
