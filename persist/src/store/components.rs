//! Components that are there as a whole when the program gets them: ordered maps, cells, maps with options.

use std::hash::Hash;

use stillpoint::{Cell, Checking, Hashed, Index, MapOptions, OrderedMap, RegisterError, Restored, Sorted, Store};

use super::values::Expire;
use super::whole::Whole;
use super::{DurableStore, check_schema};
use crate::Durable;
use crate::error::{MapError, Part};
use crate::format::component::ComponentRecord;
use crate::schema::SchemaText;
use crate::sync::{Arc, lock};

impl DurableStore {
    /// Finds the durable ordered map with this name, or makes one. On disk it is what a [`map`](Self::map) is: either can be opened as the
    /// other.
    ///
    /// # Progress
    /// Blocking: everything that is stored of it comes in first, since a range asks for all keys in it. The log goes on meanwhile.
    ///
    /// # Errors
    /// As [`map`](Self::map); and [`MapError::Read`] if what is stored is damaged.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// let store = stillpoint_persist::open(directory.path())?;
    /// let levels = store.ordered_map::<u64, String>("levels")?;
    /// levels.pin().put(101, "b".to_owned());
    /// levels.pin().put(99, "a".to_owned());
    /// store.close()?;
    ///
    /// let store = stillpoint_persist::open(directory.path())?;
    /// let levels = store.ordered_map::<u64, String>("levels")?;
    /// let still = store.store().snapshot();
    /// assert!(still.range(&levels, 100..).map(|(level, _)| *level).eq([101]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn ordered_map<K, V>(&self, name: &str) -> Result<OrderedMap<K, V>, MapError>
    where
        K: Durable + Ord + Clone,
        V: Durable,
    {
        self.whole::<K, V, Sorted<K>, _>(name, Expire::Never, |store| store.ordered_map(name))
    }

    /// Finds the durable cell with this name, or makes one that holds `initial`.
    ///
    /// # Progress
    /// Blocking: as [`ordered_map`](Self::ordered_map).
    ///
    /// # Errors
    /// As [`ordered_map`](Self::ordered_map).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// let store = stillpoint_persist::open(directory.path())?;
    /// store.cell("limit", 100_u64)?.set(200);
    /// store.close()?;
    ///
    /// let store = stillpoint_persist::open(directory.path())?;
    /// assert_eq!(*store.cell("limit", 100_u64)?.load(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cell<S: Durable>(&self, name: &str, initial: S) -> Result<Cell<S>, MapError> {
        self.whole::<(), S, Hashed, _>(name, Expire::Never, |store| store.map_under_cell::<S>(name))?;
        Ok(self.store().cell(name, initial)?)
    }

    /// Makes the durable map with this name, built with these options; what is stored of it comes in.
    ///
    /// Checks apply to writes from now on: what is stored was judged when it was written. A bound counts it. Keys that expire keep their times, and what
    /// has expired meanwhile is gone. Of history the newest versions are stored: a map's history begins anew with them.
    ///
    /// # Progress
    /// Blocking: as [`ordered_map`](Self::ordered_map).
    ///
    /// # Errors
    /// As [`ordered_map`](Self::ordered_map). A map whose keys [expire](MapOptions::ttl) is stored as one of another type than one whose keys
    /// don't: neither can be opened as the other. [`MapError::Register`] also if the name is taken in this process: options can't be compared.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// use std::time::Duration;
    /// use stillpoint::MapOptions;
    ///
    /// let options = || MapOptions::<u64, String>::new().ttl(Duration::from_secs(3600)).keys_max(2);
    /// let store = stillpoint_persist::open(directory.path())?;
    /// let sessions = store.map_with("sessions", options())?;
    /// sessions.pin().put(1, "ann".to_owned())?;
    /// sessions.pin().put_for(2, "bob".to_owned(), Duration::ZERO)?;
    /// store.close()?;
    ///
    /// let store = stillpoint_persist::open(directory.path())?;
    /// let sessions = store.map_with("sessions", options())?;
    /// assert_eq!(sessions.pin().get(&1).map(String::as_str), Some("ann"));
    /// assert_eq!(sessions.pin().get(&2), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn map_with<K, V, C>(&self, name: &str, options: MapOptions<K, V, C>) -> Result<C::Map<Hashed>, MapError>
    where
        K: Durable + Hash + Eq + Clone,
        V: Durable,
        C: Checking<K, V>,
        C::Map<Hashed>: Restored<K, V, Hashed> + Clone + Send + Sync + 'static,
    {
        let expire = expire(&options);
        self.whole::<K, V, Hashed, _>(name, expire, |store| store.map_with(name, options))
    }

    /// As [`map_with`](Self::map_with), of a map whose keys are in order.
    ///
    /// # Errors
    /// As [`map_with`](Self::map_with).
    ///
    /// # Examples
    /// See [`map_with`](Self::map_with) and [`ordered_map`](Self::ordered_map).
    pub fn ordered_map_with<K, V, C>(
        &self,
        name: &str,
        options: MapOptions<K, V, C>,
    ) -> Result<C::Map<Sorted<K>>, MapError>
    where
        K: Durable + Ord + Clone,
        V: Durable,
        C: Checking<K, V>,
        C::Map<Sorted<K>>: Restored<K, V, Sorted<K>> + Clone + Send + Sync + 'static,
    {
        let expire = expire(&options);
        self.whole::<K, V, Sorted<K>, _>(name, expire, |store| store.ordered_map_with(name, options))
    }

    /// Registers a component, brings in what is stored of it, and gives it to the persister.
    fn whole<K, V, I, M>(
        &self,
        name: &str,
        expire: Expire,
        register: impl FnOnce(&Store) -> Result<M, RegisterError>,
    ) -> Result<M, MapError>
    where
        K: Durable + Clone,
        V: Durable,
        I: Index<K>,
        M: Restored<K, V, I> + Clone + Send + Sync + 'static,
    {
        // One at a time: of two that ask for one name, the second finds it whole.
        let _registering = lock(&self.registering);
        let (dormant, id) = {
            let mut catalog = self.settled_by_registering(name)?;
            if catalog.find(name).is_some() {
                // Of another kind or other types: then registering says so.
                return Ok(register(self.store())?);
            }
            let dormant = catalog.dormant.get(name).cloned();
            let id = dormant.as_ref().map_or(catalog.next_id, |dormant| dormant.record.id);
            catalog.next_id = catalog.next_id.max(id + 1);
            (dormant, id)
        };
        let (key_schema, value_schema) = (SchemaText::of::<K>(), expire.schema_of::<V>());
        if let Some(dormant) = &dormant {
            check_schema(name, Part::Keys, &dormant.record.key_schema, &key_schema)?;
            check_schema(name, Part::Values, &dormant.record.value_schema, &value_schema)?;
        }
        let record = ComponentRecord {
            id,
            name: name.to_owned(),
            key_schema: key_schema.to_string(),
            value_schema: value_schema.to_string(),
        };
        let map = register(self.store())?;
        let whole = Whole::<K, V, I, M>::new(record, map.clone(), expire, self.identity.hash_key);
        // Without the catalog's lock, which frames need: until it is in there, the component lies where it lay, and nobody has it to write to.
        if let Some(dormant) = &dormant
            && let Err(error) = whole.restore(dormant)
        {
            self.store().drop_component(name);
            return Err(error);
        }
        lock(&self.catalog).activate(Arc::new(whole));
        Ok(map)
    }
}

fn expire<K, V, C: Checking<K, V>>(options: &MapOptions<K, V, C>) -> Expire {
    if options.expires() { Expire::AtTimes } else { Expire::Never }
}
