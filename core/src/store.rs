//! A store: components by name, one clock, snapshots.

use std::any::{Any, type_name};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dashmap::{DashMap, Entry};

use crate::changes::Consumer;
use crate::checked::{CheckedCell, CheckedMap, Checking, CheckingCell};
use crate::history::{Rewind, Rewound};
use crate::index::{Hashed, Index, Sorted};
use crate::map::{Map, MapShared};
use crate::options::MapOptions;
use crate::raw::component::Component;
use crate::raw::engine::{COMPONENTS_MAX, Engine, Worker};
use crate::raw::ordered::Ordered;
use crate::raw::stamp::Stamp;
use crate::store_options::StoreOptions;
use crate::sync::HashState;
use crate::time::{TimeSource, millis_of, time_of};
use crate::{
    Cell, CellOptions, ComponentKind, Latest, OrderedMap, Refused, RefusedWrite, RegisterError, Snapshot, tuning,
};

/// Live state: typed maps and cells by name, and consistent snapshots across all of them.
///
/// A store is a handle, cheap to clone; all clones are the same store. It goes when the last handle, map and snapshot of it
/// has gone.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), stillpoint::RegisterError> {
/// use stillpoint::Store;
///
/// let store = Store::new();
/// let stock = store.map::<String, u32>("stock")?;
/// stock.pin().put("apples".to_owned(), 3);
///
/// let still = store.snapshot();
/// stock.pin().update("apples", |n| n - 1);
/// assert_eq!(still.get(&stock, "apples"), Some(&3));
/// assert_eq!(stock.pin().get("apples"), Some(&2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Store {
    shared: Arc<StoreShared>,
}

struct StoreShared {
    /// Goes before the engine, which then drops what is in the components: should a user's `Drop` panic, the registry of another
    /// crate is not what it unwinds through.
    components: DashMap<String, Registered>,
    hasher: HashState,
    engine: Arc<Engine>,
}

/// A component as the registry by name knows it.
pub(crate) struct Registered {
    pub(crate) kind: ComponentKind,
    pub(crate) types: &'static str,
    pub(crate) component: Arc<Component>,
    map: Arc<dyn Any + Send + Sync>,
    /// How it is brought back, if it keeps history.
    pub(crate) rewound: Option<Arc<dyn Rewound>>,
}

impl Store {
    /// Makes an empty store. Its hashes have a seed of their own.
    pub fn new() -> Self {
        Self::with_options(StoreOptions::new())
    }

    /// As [`new`](Self::new), with another source of the time of day: for tests and replays. Only history asks it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use stillpoint::{History, ManualTime, MapOptions, Store};
    ///
    /// let time = ManualTime::starting_at(std::time::UNIX_EPOCH);
    /// let store = Store::with_time(time.clone());
    /// let map = store.map_with("map", MapOptions::<u64, u64>::new().history(History::within(Duration::from_secs(60))))?;
    /// map.pin().put(1, 10);
    /// time.advance(Duration::from_secs(59));
    /// map.pin().put(1, 11);
    /// time.advance(Duration::from_secs(59));
    /// assert_eq!(map.pin().history(&1)?.count(), 2);
    /// time.advance(Duration::from_secs(1));
    /// assert_eq!(map.pin().history(&1)?.count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_time(time: impl TimeSource) -> Self {
        Self::with_options(StoreOptions::new().time(time))
    }

    /// As [`new`](Self::new), built as the options say.
    ///
    /// # Examples
    /// See [`StoreOptions`].
    pub fn with_options(options: StoreOptions) -> Self {
        let (components, hasher) = (DashMap::new(), HashState::default());
        Self { shared: Arc::new(StoreShared { components, hasher, engine: Engine::new(options) }) }
    }

    /// Finds the map with this name, or registers it.
    ///
    /// # Progress
    /// Blocking: takes a lock of the registry. Do this once and keep the handle.
    ///
    /// # Errors
    /// [`RegisterError::OtherTypes`] if the name belongs to a map of other types;
    /// [`RegisterError::OtherKind`] if it belongs to a cell or an ordered map;
    /// [`RegisterError::TooMany`] beyond 65,535 components; those that were dropped count too.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, String>("names")?;
    /// assert!(store.map::<u64, u64>("names").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<K, V>(&self, name: &str) -> Result<Map<K, V>, RegisterError>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        self.register(name, ComponentKind::Map, type_name::<(K, V)>(), |id| self.hashed::<K, V>(id))
    }

    /// Finds the ordered map with this name, or registers it.
    ///
    /// # Progress
    /// Blocking: takes a lock of the registry. Do this once and keep the handle.
    ///
    /// # Errors
    /// [`RegisterError::OtherTypes`] if the name belongs to an ordered map of other types;
    /// [`RegisterError::OtherKind`] if it belongs to a cell or a map that is not ordered;
    /// [`RegisterError::TooMany`] beyond 65,535 components; those that were dropped count too.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let orders = store.ordered_map::<u64, &str>("orders")?;
    /// orders.pin().put(7, "seven");
    /// orders.pin().put(3, "three");
    ///
    /// let still = store.snapshot();
    /// assert!(still.iter(&orders).eq([(&3, &"three"), (&7, &"seven")]));
    /// assert!(store.map::<u64, &str>("orders").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn ordered_map<K, V>(&self, name: &str) -> Result<OrderedMap<K, V>, RegisterError>
    where
        K: Ord + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        self.register(name, ComponentKind::OrderedMap, type_name::<(K, V)>(), Self::sorted::<K, V>)
    }

    /// Registers a map with options: what it checks and keeps.
    ///
    /// # Progress
    /// Blocking: takes a lock of the registry. Do this once and keep the handle.
    ///
    /// # Errors
    /// [`RegisterError::Taken`] if there is a component with this name: whoever asks first says what it checks and keeps. A map with checks is
    /// found again by [`checked_map`](Self::checked_map), another one by [`map`](Self::map).
    /// [`RegisterError::TooMany`] beyond 65,535 components; those that were dropped count too.
    ///
    /// # Examples
    /// See [`MapOptions`].
    pub fn map_with<K, V, C>(&self, name: &str, options: MapOptions<K, V, C>) -> Result<C::Map<Hashed>, RegisterError>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        C: Checking<K, V>,
    {
        self.register_new(name, C::KIND, C::types(), |id| self.hashed::<K, V>(id), options)
    }

    /// Registers an ordered map with options; see [`map_with`](Self::map_with).
    ///
    /// # Errors
    /// As [`map_with`](Self::map_with).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{MapOptions, Store};
    /// let store = Store::new();
    /// let levels = store.ordered_map_with("levels", MapOptions::<u64, u64>::new().keys_max(2))?;
    /// levels.pin().put(101, 5)?;
    /// levels.pin().put(100, 3)?;
    /// assert!(levels.pin().put(102, 1).is_err());
    /// assert!(store.snapshot().iter(&levels).eq([(&100, &3), (&101, &5)]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn ordered_map_with<K, V, C>(
        &self,
        name: &str,
        options: MapOptions<K, V, C>,
    ) -> Result<C::Map<Sorted<K>>, RegisterError>
    where
        K: Ord + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        C: Checking<K, V>,
    {
        self.register_new(name, C::ORDERED, C::types(), Self::sorted::<K, V>, options)
    }

    /// Finds the checked map with this name.
    ///
    /// # Progress
    /// Blocking: takes a lock of the registry. Do this once and keep the handle.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`] if there is none; [`RegisterError::OtherTypes`] and [`RegisterError::OtherKind`] if the name belongs to
    /// something else.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stillpoint::{MapOptions, Store};
    /// let store = Store::new();
    /// store.map_with("small", MapOptions::<u64, u64>::new().keys_max(10))?;
    /// let small = store.checked_map::<u64, u64>("small")?;
    /// small.pin().put(1, 10)?;
    /// assert!(store.map::<u64, u64>("small").is_err()); // would write unchecked
    /// # Ok(())
    /// # }
    /// ```
    pub fn checked_map<K, V>(&self, name: &str) -> Result<CheckedMap<K, V>, RegisterError>
    where
        K: Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        self.merging_map(name)
    }

    /// Finds the checked map with this name, which has a merge function for deltas of type `D`; see [`checked_map`](Self::checked_map).
    ///
    /// # Errors
    /// As [`checked_map`](Self::checked_map).
    pub fn merging_map<K, V, D>(&self, name: &str) -> Result<CheckedMap<K, V, D>, RegisterError>
    where
        K: Send + Sync + 'static,
        V: Send + Sync + 'static,
        D: 'static,
    {
        self.find_checked(name, ComponentKind::CheckedMap)
    }

    /// Finds the checked ordered map with this name, which has a merge function for deltas of type `D`, or none for
    /// [`Infallible`](std::convert::Infallible); see [`checked_map`](Self::checked_map).
    ///
    /// # Errors
    /// As [`checked_map`](Self::checked_map).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::convert::Infallible;
    /// use stillpoint::{MapOptions, Store};
    /// let store = Store::new();
    /// store.ordered_map_with("small", MapOptions::<u64, u64>::new().keys_max(10))?;
    /// let small = store.checked_ordered_map::<u64, u64, Infallible>("small")?;
    /// small.pin().put(1, 10)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn checked_ordered_map<K, V, D>(&self, name: &str) -> Result<CheckedMap<K, V, D, Sorted<K>>, RegisterError>
    where
        K: Send + Sync + 'static,
        V: Send + Sync + 'static,
        D: 'static,
    {
        self.find_checked(name, ComponentKind::CheckedOrderedMap)
    }

    fn find_checked<K, V, D, I>(
        &self,
        name: &str,
        expected: ComponentKind,
    ) -> Result<CheckedMap<K, V, D, I>, RegisterError>
    where
        K: Send + Sync + 'static,
        V: Send + Sync + 'static,
        D: 'static,
        I: Send + Sync + 'static,
    {
        let name = || name.to_owned();
        let Some(entry) = self.shared.components.get(&name()) else {
            return Err(RegisterError::Unknown { name: name(), expected });
        };
        if entry.kind != expected {
            return Err(RegisterError::OtherKind { name: name(), found: entry.kind, expected });
        }
        match entry.map.downcast_ref::<CheckedMap<K, V, D, I>>() {
            Some(map) => Ok(map.clone()),
            None => {
                Err(RegisterError::OtherTypes { name: name(), found: entry.types, expected: type_name::<(K, V, D)>() })
            }
        }
    }

    /// Finds the cell with this name, or registers it with an initial value. The value that is not needed is dropped.
    ///
    /// # Progress
    /// Blocking: takes a lock of the registry. Do this once and keep the handle.
    ///
    /// # Errors
    /// [`RegisterError::OtherTypes`] if the name belongs to a cell of another type;
    /// [`RegisterError::OtherKind`] if it belongs to a map;
    /// [`RegisterError::TooMany`] beyond 65,535 components; those that were dropped count too.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let config = store.cell("config", "first".to_owned())?;
    /// let still = store.snapshot();
    /// let version = config.set("second".to_owned());
    /// config.update(|text| format!("{text} and last"));
    /// assert_eq!(*config.load(), "second and last");
    /// assert!(config.load().version() > version);
    /// assert_eq!(still.load(&config).map(String::as_str), Some("first"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn cell<S: Send + Sync + 'static>(&self, name: &str, initial: S) -> Result<Cell<S>, RegisterError> {
        Ok(Cell::new(self.map_under_cell(name)?, initial))
    }

    /// The map with one key that lies under the cell with this name, before it has a value. For layers that restore a cell: they bring its value
    /// in, and then ask for the [`cell`](Self::cell).
    ///
    /// # Errors
    /// As [`cell`](Self::cell).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// use stillpoint::{Restored, Version};
    /// let store = stillpoint::Store::new();
    /// let under = store.map_under_cell::<u64>("limit")?;
    /// under.begin_restoring();
    /// under.bring_in((), Version::from_u64(5), Some(200), None);
    /// under.end_restoring();
    /// assert_eq!(*store.cell("limit", 100_u64)?.load(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn map_under_cell<S: Send + Sync + 'static>(&self, name: &str) -> Result<Map<(), S>, RegisterError> {
        self.register(name, ComponentKind::Cell, type_name::<S>(), |id| self.hashed::<(), S>(id))
    }

    /// Registers a cell with an initial value, and options: what it checks and keeps. [`History`](crate::History) alone is one.
    ///
    /// # Progress
    /// Blocking: takes a lock of the registry. Do this once and keep the handle; [`cell`](Self::cell) finds one without checks again, and
    /// [`checked_cell`](Self::checked_cell) one with checks.
    ///
    /// # Errors
    /// [`RegisterError::Taken`] if there is a component with this name; [`RegisterError::Refused`] if the cell's validators refuse the initial
    /// value; [`RegisterError::TooMany`] beyond 65,535 components.
    ///
    /// # Examples
    /// See [`CellOptions`], and [`CellPin::history`](crate::CellPin::history).
    pub fn cell_with<S, C>(
        &self,
        name: &str,
        initial: S,
        options: impl Into<CellOptions<S, C>>,
    ) -> Result<C::Cell, RegisterError>
    where
        S: Send + Sync + 'static,
        C: CheckingCell<S>,
    {
        let options = options.into().of_map;
        if let Err(error) = options.checks.admits(&(), &initial) {
            let refused = RefusedWrite::of(Refused::Invalid { error, value: Some(initial) });
            return Err(RegisterError::Refused { name: name.to_owned(), refused });
        }
        let make = |id| self.hashed::<(), S>(id);
        let map = self.register_new(name, C::CELL, C::cell_types(), make, options)?;
        Ok(C::cell(map, initial))
    }

    /// Finds the checked cell with this name, which has a merge function for deltas of type `D`, or none for
    /// [`Infallible`](std::convert::Infallible).
    ///
    /// # Progress
    /// Blocking: takes a lock of the registry. Do this once and keep the handle.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`] if there is none; [`RegisterError::OtherTypes`] and [`RegisterError::OtherKind`] if the name belongs to
    /// something else.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::convert::Infallible;
    /// use stillpoint::{CellOptions, Store};
    /// let store = Store::new();
    /// let small = CellOptions::<u64>::new().validate(|_, new| if *new > 9 { Err("more than nine") } else { Ok(()) });
    /// store.cell_with("digit", 1, small)?;
    /// let digit = store.checked_cell::<u64, Infallible>("digit")?;
    /// assert!(digit.set(2).is_ok() && digit.set(10).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn checked_cell<S, D>(&self, name: &str) -> Result<CheckedCell<S, D>, RegisterError>
    where
        S: Send + Sync + 'static,
        D: 'static,
    {
        let map = self.find_checked::<(), S, D, Hashed>(name, ComponentKind::CheckedCell)?;
        // One that is just being registered is not there yet.
        let unknown = || RegisterError::Unknown { name: name.to_owned(), expected: ComponentKind::CheckedCell };
        CheckedCell::found(map).ok_or_else(unknown)
    }

    /// Drops a component: its name is free at once. Returns what it was, or `None` if nothing has the name.
    ///
    /// Handles that are still there work as before, on what has no name any more: nobody else finds it, and snapshots show it through
    /// them. So do feeds and watches, which hold one. A pinned or prepared operation is never cut short.
    ///
    /// When the last handle has gone, the keys are removed, in steps, by whoever writes to the store or calls
    /// [`maintain`](Self::maintain), and the values are dropped when no snapshot sees them. The memory of the values is then free;
    /// that of the slots stays with the store until it goes.
    ///
    /// # Progress
    /// Blocking: takes a lock of the registry.
    ///
    /// # Cost
    /// Of the call: none that grows with the component. Of the steps: a removal for each key.
    ///
    /// # Durability
    /// Says nothing to files: a layer that has a component on disk drops it there.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// use stillpoint::{ComponentKind, Store};
    ///
    /// let store = Store::new();
    /// let old = store.map::<u64, u64>("prices")?;
    /// old.pin().put(1, 10);
    /// assert_eq!(store.drop_component("prices"), Some(ComponentKind::Map));
    ///
    /// let new = store.map::<u64, String>("prices")?; // another map, of other types
    /// assert!(new.is_empty());
    /// assert_eq!(old.pin().get(&1), Some(&10));      // still there for who has it
    /// # Ok(())
    /// # }
    /// ```
    pub fn drop_component(&self, name: &str) -> Option<ComponentKind> {
        let (_, registered) = self.shared.components.remove(name)?;
        let Registered { kind, component, map, rewound, .. } = registered;
        self.shared.engine.dropped.push(component);
        drop((map, rewound));
        Some(kind)
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.shared.engine
    }

    /// Calls `visit` for each component, with its name, in no order. Holds a lock of the registry meanwhile.
    pub(crate) fn each_component(&self, mut visit: impl FnMut(&str, &Registered)) {
        self.shared.components.iter().for_each(|entry| visit(entry.key(), entry.value()));
    }

    /// The name of the component with this number.
    pub(crate) fn name_of(&self, component: u16) -> String {
        let found = self.shared.components.iter().find(|entry| entry.component.id() == component);
        found.map(|entry| entry.key().clone()).unwrap_or_default()
    }

    /// A component whose keys are found by hash.
    fn hashed<K: Clone + Send + Sync + 'static, V: 'static>(&self, id: u16) -> (Component, Hashed) {
        (Component::new::<K, V>(id), Hashed { hasher: self.shared.hasher.clone() })
    }

    /// A component whose keys are in order.
    fn sorted<K, V>(id: u16) -> (Component, Sorted<K>)
    where
        K: Ord + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        let index = Arc::new(Ordered::new());
        (Component::with_index::<K, V>(id, Some(Arc::clone(&index) as Arc<_>)), Sorted::new(index))
    }

    /// Registers a component under a name that must be free.
    fn register_new<K, V, I, C>(
        &self,
        name: &str,
        kind: ComponentKind,
        types: &'static str,
        make: impl FnOnce(u16) -> (Component, I),
        options: MapOptions<K, V, C>,
    ) -> Result<C::Map<I>, RegisterError>
    where
        K: Clone,
        C: Checking<K, V>,
        I: Index<K> + Send + Sync,
    {
        match self.shared.components.entry(name.to_owned()) {
            Entry::Occupied(entry) => Err(RegisterError::Taken { name: name.to_owned(), found: entry.get().kind }),
            Entry::Vacant(entry) => {
                let make = |id| {
                    let (component, index) = make(id);
                    (options.shape(component), index)
                };
                let map = self.make(name, make)?;
                let component = Arc::clone(map.component());
                let rewind = options.history.map(|kept| Rewind::new(kind, kept.clone));
                let map = options.checks.over(map);
                let rewound = rewind.map(|rewind| C::rewound(&map, rewind));
                entry.insert(Registered { kind, types, component, map: C::kept(&map), rewound });
                Ok(map)
            }
        }
    }

    /// Makes a component.
    fn make<K, V, I>(
        &self,
        name: &str,
        make: impl FnOnce(u16) -> (Component, I),
    ) -> Result<Map<K, V, I>, RegisterError> {
        let mut index = None;
        let make = |id| {
            let (component, made) = make(id);
            index = Some(made);
            component
        };
        let component = self.shared.engine.add_component(make);
        let (Some(component), Some(index)) = (component, index) else {
            return Err(RegisterError::TooMany { limit: COMPONENTS_MAX });
        };
        Ok(Map::new(Arc::clone(&self.shared.engine), Arc::new(MapShared::new(name, component, index))))
    }

    fn register<K, V, I>(
        &self,
        name: &str,
        kind: ComponentKind,
        types: &'static str,
        make: impl FnOnce(u16) -> (Component, I),
    ) -> Result<Map<K, V, I>, RegisterError>
    where
        K: Send + Sync + 'static,
        V: Send + Sync + 'static,
        I: Send + Sync + 'static,
    {
        let map = match self.shared.components.entry(name.to_owned()) {
            Entry::Occupied(entry) => {
                let found = entry.get();
                if found.kind != kind {
                    let (name, found) = (name.to_owned(), found.kind);
                    return Err(RegisterError::OtherKind { name, found, expected: kind });
                }
                let map = Arc::clone(&found.map).downcast::<MapShared<K, V, I>>();
                map.map_err(|_| RegisterError::OtherTypes {
                    name: name.to_owned(),
                    found: found.types,
                    expected: types,
                })?
            }
            Entry::Vacant(entry) => {
                let map = self.make::<K, V, I>(name, make)?;
                let component = Arc::clone(map.component());
                entry.insert(Registered { kind, types, component, map: map.shared(), rewound: None });
                return Ok(map);
            }
        };
        Ok(Map::new(Arc::clone(&self.shared.engine), map))
    }

    /// Holds this moment still: a consistent view of all maps, for as long as it is kept.
    ///
    /// # Consistency
    /// Linearizable: the snapshot shows exactly the writes that took effect before a moment within this call.
    ///
    /// # Progress
    /// Lock-free; holds nobody up. A snapshot that is kept holds back the memory of the older values that it still sees.
    ///
    /// # Cost
    /// O(1), whatever the store's size: three atomic operations and two fences.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// let before = store.snapshot();
    /// map.pin().put(1, 1);
    /// assert_eq!(before.get(&map, &1), None);
    /// assert_eq!(store.snapshot().get(&map, &1), Some(&1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(Arc::clone(&self.shared.engine))
    }

    /// Publishes snapshots: many readers share one, which is replaced when it is older than `max_age`.
    ///
    /// For readers that come more often than they need the very latest: each [`snapshot`](Self::snapshot) of their own would move the
    /// clock, and make writers keep and note one more version of what they write next. For whoever must see all that was written
    /// before, also by itself, [`snapshot`](Self::snapshot) is the one to ask.
    ///
    /// What is published keeps the older values that it sees in memory until it is replaced, which a load does, or
    /// [cleared](Latest::clear). It keeps the store.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// use std::time::Duration;
    ///
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// map.pin().put(1, 10);
    /// let latest = store.latest(Duration::from_secs(3600));
    /// assert_eq!(latest.load().get(&map, &1), Some(&10));
    /// map.pin().put(1, 11);
    /// assert_eq!(latest.load().get(&map, &1), Some(&10)); // not an hour old
    /// assert_eq!(store.snapshot().get(&map, &1), Some(&11));
    /// # Ok(())
    /// # }
    /// ```
    pub fn latest(&self, max_age: Duration) -> Latest {
        Latest::new(self.clone(), max_age)
    }

    /// Does some of the work that writers otherwise do on the side: prunes what ended snapshots saw, purges removed keys, and
    /// reclaims memory. Returns whether there may be more.
    ///
    /// A store that is written needs no such call; one that has gone quiet keeps what waits until the next write, or this.
    ///
    /// # Progress
    /// Lock-free.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// map.pin().put(1, 1);
    /// map.pin().remove(&1);
    /// while store.maintain() {}
    /// # Ok(())
    /// # }
    /// ```
    pub fn maintain(&self) -> bool {
        let engine = &self.shared.engine;
        let session = engine.session();
        let safe = engine.eras.safe();
        let mut garbage = 0;
        for _ in 0..tuning::MAINTAIN_PINS {
            // Pinned anew, so that the eras can pass the last pin.
            let guard = session.pin();
            let worker = Worker::new(engine, &session, &guard);
            worker.reclaim_now();
            garbage = worker.garbage();
        }
        // Without a safe era more, somebody else holds a pin, and all that is left may wait for that one.
        let may_reclaim_more = garbage > 0 && engine.eras.safe() > safe;
        let guard = session.pin();
        let worker = Worker::new(engine, &session, &guard);
        let emptied: usize = (0..tuning::MAINTAIN_BLOCKS).map(|_| engine.dropped.step(&worker)).sum();
        let served = worker.work_off_thoroughly(tuning::MAINTAIN_BLOCKS);
        worker.look_at_load_now();
        emptied > 0 || served > 0 || may_reclaim_more
    }

    /// The clock's current tick.
    ///
    /// # Examples
    /// ```
    /// let store = stillpoint::Store::new();
    /// let before = store.tick();
    /// let still = store.snapshot();
    /// assert!(before <= still.tick() && still.tick() < store.tick());
    /// ```
    pub fn tick(&self) -> u64 {
        self.shared.engine.clock.now()
    }

    /// Moves the clock to `tick`, if it is behind: for a store that is restored, before its first write, so that no version
    /// number returns.
    ///
    /// # Panics
    /// If `tick` is beyond the last tick, 2^47 − 1.
    ///
    /// # Examples
    /// ```
    /// let store = stillpoint::Store::new();
    /// store.raise_clock(1_000);
    /// assert_eq!(store.tick(), 1_000);
    /// ```
    pub fn raise_clock(&self, tick: u64) {
        assert!(tick <= Stamp::TICK_MAX, "tick {tick} is beyond the last one, {}", Stamp::TICK_MAX);
        self.shared.engine.clock.raise_to(tick);
    }

    /// The store's time of day: that of its [source](crate::TimeSource), but never back.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// assert!(store.time() <= store.time());
    /// # Ok(())
    /// # }
    /// ```
    pub fn time(&self) -> SystemTime {
        time_of(self.shared.engine.time.now())
    }

    /// Makes the store's time no earlier than this, to the millisecond: for a store that is restored, before its first write, so that no
    /// time goes back.
    ///
    /// # Examples
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use stillpoint::{ManualTime, Store};
    ///
    /// let store = Store::with_time(ManualTime::starting_at(UNIX_EPOCH));
    /// store.raise_time(UNIX_EPOCH + Duration::from_secs(5)); // when the last frame was written
    /// assert_eq!(store.time(), UNIX_EPOCH + Duration::from_secs(5));
    /// ```
    pub fn raise_time(&self, time: SystemTime) {
        self.shared.engine.time.raise_to(millis_of(time));
    }

    /// Registers a consumer of changes: of everything written from now on.
    ///
    /// This is what the persister stands on. A consumer that is kept and not used holds back the purge of removed keys.
    ///
    /// # Progress
    /// Blocking among consumers; writers never wait.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// let mut consumer = store.consumer();
    /// map.pin().put(7, 70);
    /// let cut = consumer.cut();
    /// let changes: Vec<_> = cut.changes(&map).map(|change| (*change.key, change.value.copied())).collect();
    /// assert_eq!(changes, [(7, Some(70))]);
    /// consumer.acknowledge(cut);
    /// # Ok(())
    /// # }
    /// ```
    pub fn consumer(&self) -> Consumer {
        Consumer::register(Arc::clone(&self.shared.engine))
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("components", &self.shared.components.len()).field("tick", &self.tick()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Removed keys were never purged in a store of which nobody took a snapshot: their tombstones waited for the clock to pass,
    /// and only snapshots moved it. Whoever works on the backlog moves it now.
    #[test]
    fn removed_keys_leave_their_memory_to_new_ones_without_any_snapshot() {
        let store = Store::new();
        let map = store.map::<u64, u64>("map").expect("a fresh name");
        let churn = |from: u64| {
            for key in from * 10_000..(from + 1) * 10_000 {
                map.pin().put(key, key);
                map.pin().remove(&key);
            }
        };
        churn(0);
        let bytes = map.index_bytes();
        (1..11).for_each(churn);
        assert!(store.stats().slots_in_backlog < 5_000, "{:?}", store.stats());
        // Chunks of slots double, and how many keys wait at once depends on the collector: some chunks more, not eleven times as many.
        assert!(map.index_bytes() < bytes * 5, "{bytes} bytes became {}", map.index_bytes());
    }
}
