//! A moment of the past that no snapshot holds.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::HistoryError;
use crate::index::{Index, Lookup};
use crate::map::MapPin;
use crate::raw::engine::Engine;
use crate::raw::past::{self, Held};
use crate::raw::slot::SlotHeader;
use crate::raw::version::VersionNode;
use crate::sync::{Ordering, fence};
use crate::time::{millis_of, time_of};
use crate::{CheckedPin, ForeignStore, Store, Version, Versioned};

/// A moment of a store, by its tick: what maps that keep history held then. See [`Store::at`].
///
/// `Send` and `Sync`, cheap to clone. It holds nothing back: what it asks for may be gone, and then it is told so.
#[derive(Clone)]
pub struct Past {
    engine: Arc<Engine>,
    tick: u64,
    /// In milliseconds, if it was asked for by a time.
    time: Option<u64>,
}

impl Store {
    /// A moment of the past, by its tick: that of a [snapshot](crate::Snapshot::tick), of a [version](Version::tick), of a
    /// [cursor](crate::Cursor), or a number that was written down.
    ///
    /// # Consistency
    /// All that it reads is what was there when the tick ended: what a snapshot with that tick has seen. What is no longer known is refused.
    ///
    /// # Cost
    /// A tick that is not over is ended, as a snapshot would.
    ///
    /// # Errors
    /// [`HistoryError::NotYet`] if the tick has not begun; [`HistoryError::BeforeStore`] if it is of an earlier life of the store.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{History, MapOptions, Store};
    ///
    /// let store = Store::new();
    /// let options = || MapOptions::<&str, u64>::new().history(History::last(5));
    /// let (stock, price) = (store.map_with("stock", options())?, store.map_with("price", options())?);
    /// stock.pin().put("apples", 3);
    /// price.pin().put("apples", 40);
    /// let tick = store.snapshot().tick(); // to be written down
    /// stock.pin().put("apples", 2);
    /// price.pin().remove("apples");
    ///
    /// let past = store.at(tick)?;
    /// assert_eq!(stock.pin().at(&past)?.get("apples")?, Some(&3));
    /// assert_eq!(price.pin().at(&past)?.get("apples")?, Some(&40));
    /// # Ok(())
    /// # }
    /// ```
    pub fn at(&self, tick: u64) -> Result<Past, HistoryError> {
        let engine = self.engine();
        let (began, now) = (engine.clock.began(), engine.clock.now());
        if tick < began {
            return Err(HistoryError::BeforeStore { tick, began });
        }
        if tick > now {
            return Err(HistoryError::NotYet { tick, now });
        }
        engine.clock.advance_past(tick);
        // SeqCst fence [SNAP-2]: the clock is past the tick before anything is read at it. Mate: the writer's [SNAP-1].
        fence(Ordering::SeqCst);
        Ok(Past { engine: Arc::clone(engine), tick, time: None })
    }

    /// A moment of the past, by a time of day: what there was then, to the store's [resolution](crate::StoreOptions::time_resolution).
    ///
    /// # Consistency
    /// It shows nothing that was written at that time or later, and all that was visible by its [own time](Past::time), which is at most a
    /// resolution earlier, or longer ago if nothing was written since. Where the store has run for so long that it no longer remembers each moment, some
    /// are earlier.
    ///
    /// # Progress
    /// Blocking, among those who ask. Writers never wait.
    ///
    /// # Errors
    /// [`HistoryError::TimeNotYet`] for a time to come; [`HistoryError::TimeUnknown`] for one before anything that keeps history was written, or such
    /// a time was asked for.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use stillpoint::{History, ManualTime, MapOptions, Store, TimeSource};
    ///
    /// let time = ManualTime::starting_at(UNIX_EPOCH);
    /// let store = Store::with_time(time.clone());
    /// let stock = store.map_with("stock", MapOptions::<&str, u64>::new().history(History::last(5)))?;
    /// let open = store.cell_with("open", true, History::last(5))?;
    /// stock.pin().put("apples", 3);
    /// time.advance(Duration::from_secs(60));
    /// let morning = time.now();
    /// time.advance(Duration::from_secs(3600));
    /// stock.pin().put("apples", 2);
    /// open.set(false);
    ///
    /// let past = store.at_time(morning)?;
    /// assert_eq!(stock.pin().at(&past)?.get("apples")?, Some(&3));
    /// store.rollback_to(&past)?;
    /// assert!(*open.load());
    /// # Ok(())
    /// # }
    /// ```
    pub fn at_time(&self, time: SystemTime) -> Result<Past, HistoryError> {
        let engine = self.engine();
        let (asked, now) = (millis_of(time), engine.time.now());
        if asked > now {
            return Err(HistoryError::TimeNotYet { time, now: time_of(now) });
        }
        match engine.timeline.at(asked, now, &engine.clock) {
            Ok(entry) => Ok(Past { time: Some(entry.since), ..self.at(entry.tick)? }),
            Err(first) => Err(HistoryError::TimeUnknown { time, oldest: first.map(|first| time_of(first.since)) }),
        }
    }

    /// When a tick was over, to the store's [resolution](crate::StoreOptions::time_resolution): what bears it was written before. `None` if it is not
    /// over, or is not known, as nothing kept history then.
    ///
    /// # Progress
    /// Blocking, as [`at_time`](Self::at_time).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use stillpoint::{History, ManualTime, MapOptions, Store};
    ///
    /// let time = ManualTime::starting_at(UNIX_EPOCH);
    /// let store = Store::with_time(time.clone());
    /// let map = store.map_with("map", MapOptions::<u64, u64>::new().history(History::last(5)))?;
    /// let version = map.pin().put(1, 10);
    /// assert_eq!(store.time_of(version.tick()), None);
    /// time.advance(Duration::from_secs(60));
    /// let over = store.time_of(version.tick()).expect("a minute is over");
    /// assert!(over <= UNIX_EPOCH + Duration::from_millis(101));
    /// # Ok(())
    /// # }
    /// ```
    pub fn time_of(&self, tick: u64) -> Option<SystemTime> {
        let engine = self.engine();
        let entry = engine.timeline.of(tick, engine.time.now(), &engine.clock)?;
        Some(time_of(entry.since))
    }
}

impl Past {
    /// Whether it is one of this store.
    pub(crate) fn is_of(&self, store: &Store) -> bool {
        Arc::ptr_eq(&self.engine, store.engine())
    }

    /// The moment's tick.
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// The time since which this is what there was, if it was asked for [by a time](Store::at_time).
    pub fn time(&self) -> Option<SystemTime> {
        self.time.map(time_of)
    }
}

impl fmt::Debug for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Past").field("tick", &self.tick).finish()
    }
}

/// A map as it was at a moment of the past. See [`MapPin::at`].
pub struct PastOf<'p, K, V, I> {
    pin: &'p MapPin<'p, K, V, I>,
    past: Past,
}

impl<K, V, I> MapPin<'_, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// The map as it was at a moment of the past. See [`Store::at`].
    ///
    /// # Errors
    /// [`HistoryError::NotKept`] if the map keeps no history, [`HistoryError::Foreign`] if the moment is of another store.
    pub fn at<'p>(&'p self, past: &Past) -> Result<PastOf<'p, K, V, I>, HistoryError> {
        self.recording()?;
        if !Arc::ptr_eq(&past.engine, self.map().engine()) {
            return Err(HistoryError::Foreign(ForeignStore { component: self.map().name().to_owned() }));
        }
        Ok(PastOf { pin: self, past: past.clone() })
    }
}

impl<K, V, D, I> CheckedPin<'_, K, V, D, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// The map as it was at a moment of the past; see [`MapPin::at`].
    ///
    /// # Errors
    /// As [`MapPin::at`].
    pub fn at<'p>(&'p self, past: &Past) -> Result<PastOf<'p, K, V, I>, HistoryError> {
        self.unchecked().at(past)
    }
}

impl<'p, K, V, I> PastOf<'p, K, V, I>
where
    K: Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    I: Index<K>,
{
    /// The value that a key had.
    ///
    /// # Errors
    /// [`HistoryError::TooOld`] if that is no longer known.
    ///
    /// # Examples
    /// See [`Store::at`].
    pub fn get<Q: ?Sized>(&self, key: &Q) -> Result<Option<&'p V>, HistoryError>
    where
        I: Lookup<K, Q>,
    {
        Ok(self.versioned(key)?.map(Versioned::value))
    }

    /// The value and version that a key had.
    ///
    /// # Errors
    /// [`HistoryError::TooOld`] if that is no longer known.
    pub fn versioned<Q: ?Sized>(&self, key: &Q) -> Result<Option<Versioned<'p, V>>, HistoryError>
    where
        I: Lookup<K, Q>,
    {
        match self.pin.find(key) {
            Some(slot) => self.versioned_at(slot),
            None => self.nothing(),
        }
    }

    /// The value and version that a slot's key had.
    pub(crate) fn versioned_at(&self, slot: &'p SlotHeader) -> Result<Option<Versioned<'p, V>>, HistoryError> {
        let map = self.pin.map();
        match past::held(slot, self.past.tick, &map.engine().clock, self.pin.recording()?) {
            Held::Version(version) => {
                // SAFETY: a version of this map, met under the pin, which lives for `'p`.
                let value = unsafe { VersionNode::<V>::value(version) };
                Ok(value.map(|value| Versioned::new(value, version.stamp().version())))
            }
            Held::Nothing => self.nothing(),
            Held::Gone(oldest) => Err(self.too_old(Some(oldest.stamp().version()))),
        }
    }

    /// A key that left no trace: it was absent, unless a trace may have been purged.
    fn nothing(&self) -> Result<Option<Versioned<'p, V>>, HistoryError> {
        // SeqCst fence [PURGE-2]: the look at the slot stands before the look at what is forgotten. Mate: [PURGE-1].
        fence(Ordering::SeqCst);
        match self.pin.map().component().remembers_since(self.past.tick) {
            true => Ok(None),
            false => Err(self.too_old(None)),
        }
    }

    fn too_old(&self, oldest: Option<Version>) -> HistoryError {
        HistoryError::TooOld { component: self.pin.map().name().to_owned(), oldest }
    }

    /// All keys that had a value, with it: in the order of the keys on an ordered map, else in no particular one.
    ///
    /// # Cost
    /// A walk over all keys of the map, at once.
    ///
    /// # Errors
    /// [`HistoryError::TooOld`] if what any of them had is no longer known.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{History, MapOptions, Store};
    /// let store = Store::new();
    /// let map = store.ordered_map_with("map", MapOptions::<u64, &str>::new().history(History::last(2)))?;
    /// let pin = map.pin();
    /// pin.put(1, "a");
    /// let version = pin.put(2, "b");
    /// let past = store.at(version.tick())?;
    /// pin.clear();
    /// assert_eq!(pin.at(&past)?.entries()?, [(&1, &"a"), (&2, &"b")]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn entries(&self) -> Result<Vec<(&'p K, &'p V)>, HistoryError> {
        let entries = self.slots()?.into_iter().filter_map(|(slot, held)| Some((self.pin.key_of(slot), held?.value())));
        Ok(entries.collect())
    }

    /// All slots, with what their keys had.
    pub(crate) fn slots(&self) -> Result<Vec<SlotHeld<'p, V>>, HistoryError> {
        let slots: Result<_, _> = self.pin.slots().map(|slot| Ok((slot, self.versioned_at(slot)?))).collect();
        // Who was purged has no slot any more.
        self.nothing()?;
        slots
    }
}

/// A slot, and what its key had.
pub(crate) type SlotHeld<'p, V> = (&'p SlotHeader, Option<Versioned<'p, V>>);

impl<K, V, I> fmt::Debug for PastOf<'_, K, V, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PastOf").field("map", self.pin.map()).field("past", &self.past).finish()
    }
}
