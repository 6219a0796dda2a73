//! Bringing back what a key held before.

use std::time::SystemTime;

use crate::error::HistoryError;
use crate::history::Revision;
use crate::index::{Index, Lookup};
use crate::map::MapPin;
use crate::raw::chain::Latest;
use crate::raw::lineage::{ChangeKind, Mark};
use crate::raw::slot::SlotHeader;
use crate::time::millis_of;
use crate::{CellPin, CheckedPin, Refused, Version};

/// How far a rollback goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Back {
    /// So many changes. None is a new version that equals the newest.
    Steps(usize),
    /// To this version.
    To(Version),
    /// To what the key held at this time, to the millisecond.
    Time(SystemTime),
}

impl Back {
    /// The revision that is meant, of those that are told; `None` if it is not among them.
    fn of<'p, V>(self, mut told: impl Iterator<Item = Revision<'p, V>>) -> Result<Goal<'p, V>, Option<Version>> {
        let mut oldest = None;
        let found = match self {
            Self::Steps(steps) => told.by_ref().inspect(|revision| oldest = Some(*revision)).nth(steps),
            Self::To(version) => {
                told.by_ref().inspect(|revision| oldest = Some(*revision)).find(|revision| revision.version == version)
            }
            Self::Time(time) => {
                let until = millis_of(time);
                told.by_ref()
                    .inspect(|revision| oldest = Some(*revision))
                    .find(|revision| millis_of(revision.time) <= until)
            }
        };
        match (found, oldest) {
            (Some(found), _) => Ok(Goal::Revision(found)),
            // Before its first change, the key was absent.
            (None, Some(oldest)) if oldest.number == 1 && matches!(self, Self::Time(_)) => Ok(Goal::Absent),
            (None, oldest) => Err(oldest.map(|oldest| oldest.version)),
        }
    }
}

/// What a rollback brings back.
enum Goal<'p, V> {
    Revision(Revision<'p, V>),
    Absent,
}

impl<'p, V> Goal<'p, V> {
    fn value(&self) -> Option<&'p V> {
        match self {
            Self::Revision(revision) => revision.value,
            Self::Absent => None,
        }
    }
}

impl<K, V, I> MapPin<'_, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K>,
{
    /// Brings back what a key held before, as a new version: history goes forward only. Returns the new version, which may be that of a
    /// removal.
    ///
    /// # Consistency
    /// The write replaces the very change from which the way back was counted; all again if another thread was faster.
    ///
    /// # Errors
    /// [`HistoryError::TooOld`], with the oldest version that there is, if what is meant is no longer kept;
    /// [`HistoryError::NotKept`] if the map keeps no history.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{Back, ChangeKind, History, MapOptions, Store};
    ///
    /// let map = Store::new().map_with("map", MapOptions::<&str, u64>::new().history(History::last(3)))?;
    /// let pin = map.pin();
    /// let first = pin.put("a", 1);
    /// pin.put("a", 2);
    /// pin.rollback("a", Back::Steps(1))?;
    /// assert_eq!(pin.get("a"), Some(&1));
    /// assert_eq!(pin.history("a")?.next().unwrap().kind, ChangeKind::Rollback);
    /// pin.put("a", 4);
    /// assert!(pin.rollback("a", Back::To(first)).is_err()); // no longer kept
    /// # Ok(())
    /// # }
    /// ```
    pub fn rollback<Q: ?Sized>(&self, key: &Q, back: Back) -> Result<Version, HistoryError>
    where
        I: Lookup<K, Q>,
    {
        self.recording()?;
        let Some(slot) = self.find(key) else { return Err(self.too_old(None)) };
        self.rollback_at(slot, back)
    }

    /// What a key held before.
    pub(crate) fn held_before<Q: ?Sized>(&self, key: &Q, back: Back) -> Result<Option<&V>, HistoryError>
    where
        I: Lookup<K, Q>,
    {
        let recording = self.recording()?;
        self.map().engine().time.now();
        let latest = self.find(key).map_or(Latest::Empty, |slot| self.worker().latest(slot));
        let goal = back.of(self.told(latest, recording)).map_err(|oldest| self.too_old(oldest))?;
        Ok(goal.value())
    }

    fn rollback_at<'p>(&'p self, mut slot: &'p SlotHeader, back: Back) -> Result<Version, HistoryError> {
        loop {
            self.map().engine().time.now();
            let latest = self.worker().latest(slot);
            let goal = back.of(self.told(latest, self.recording()?)).map_err(|oldest| self.too_old(oldest))?;
            if let Some(version) = self.bring_back(slot, latest, goal.value()) {
                return Ok(version);
            }
            slot = self.unless_purged(slot, latest);
        }
    }

    /// A slot that was to be written, or another one for its key if it has been purged meanwhile, perhaps by what the thread itself has
    /// written before.
    fn unless_purged<'p>(&'p self, slot: &'p SlotHeader, latest: Latest<'_>) -> &'p SlotHeader {
        if let Latest::Purged = latest { self.renew(slot) } else { slot }
    }

    /// Installs what a key held before over what it holds now; `None` if that has changed.
    fn bring_back<'p>(&'p self, slot: &'p SlotHeader, latest: Latest<'p>, value: Option<&V>) -> Option<Version> {
        let new = self.pending_marked(slot, value.cloned(), Mark::of_kind(ChangeKind::Rollback));
        let (version, _) = self.try_install(slot, latest, new).ok()?;
        self.worker().tidy();
        Some(version)
    }

    fn too_old(&self, oldest: Option<Version>) -> HistoryError {
        HistoryError::TooOld { component: self.map().name().to_owned(), oldest }
    }
}

impl<K, V, D, I> CheckedPin<'_, K, V, D, I>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    I: Index<K>,
{
    /// Brings back what a key held before, if the validators let it; see [`MapPin::rollback`].
    ///
    /// # Errors
    /// [`Refused::History`] as [`MapPin::rollback`]; [`Refused::Invalid`], [`Refused::Full`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{Back, History, MapOptions, Store};
    /// let options = MapOptions::<u64, u64>::new()
    ///     .history(History::last(5))
    ///     .validate(|write| if write.new < write.old { Err("falls") } else { Ok(()) });
    /// let map = Store::new().map_with("rising", options)?;
    /// let pin = map.pin();
    /// pin.put(1, 10)?;
    /// pin.put(1, 11)?;
    /// assert!(pin.rollback(&1, Back::Steps(1)).is_err());
    /// assert_eq!(pin.get(&1), Some(&11));
    /// # Ok(())
    /// # }
    /// ```
    pub fn rollback<Q: ?Sized>(&self, key: &Q, back: Back) -> Result<Version, Refused<V>>
    where
        I: Lookup<K, Q>,
    {
        let pin = self.unchecked();
        let recording = pin.recording()?;
        let Some(slot) = pin.find(key) else { return Err(Refused::History(pin.too_old(None))) };
        self.write_over(slot, ChangeKind::Rollback, |latest| {
            pin.map().engine().time.now();
            let goal = back.of(pin.told(latest, recording)).map_err(|oldest| pin.too_old(oldest))?;
            Ok(goal.value().cloned())
        })
    }
}

impl<S: Clone + Send + Sync + 'static, D> CheckedPin<'_, (), S, D> {
    /// As [`rollback`](Self::rollback), of a cell, which is never empty.
    pub(crate) fn rollback_of_cell(&self, back: Back) -> Result<Version, Refused<S>> {
        let pin = self.unchecked();
        let recording = pin.recording()?;
        let Some(slot) = pin.find(&()) else { return Err(Refused::History(pin.too_old(None))) };
        self.write_over(slot, ChangeKind::Rollback, |latest| {
            pin.map().engine().time.now();
            let goal = back.of(pin.told(latest, recording)).map_err(|oldest| pin.too_old(oldest))?;
            goal.value().cloned().map(Some).ok_or_else(|| Refused::History(pin.too_old(None)))
        })
    }
}

impl<S: Clone + Send + Sync + 'static> CellPin<'_, S> {
    /// Brings back what the cell held before; see [`MapPin::rollback`]. A time before the cell was there is refused.
    ///
    /// # Errors
    /// As [`MapPin::rollback`].
    pub fn rollback(&self, back: Back) -> Result<Version, HistoryError> {
        let pin = self.as_map();
        loop {
            pin.map().engine().time.now();
            let latest = pin.worker().latest(self.slot());
            let goal = back.of(pin.told(latest, pin.recording()?)).map_err(|oldest| pin.too_old(oldest))?;
            let Goal::Revision(Revision { value: Some(value), .. }) = goal else { return Err(pin.too_old(None)) };
            if let Some(version) = pin.bring_back(self.slot(), latest, Some(value)) {
                return Ok(version);
            }
        }
    }
}
