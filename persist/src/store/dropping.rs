//! Names: which of them are durable, and components that lose theirs.

use stillpoint::{ComponentKind, RegisterError};

use super::DurableStore;
use super::catalog::Catalog;
use crate::error::MapError;
use crate::sync::{MutexGuard, lock};

impl DurableStore {
    /// Takes a component's name away, and drops what is stored of it; returns whether there was one. The name is free at once, also for other
    /// types. It need not have been asked for before.
    ///
    /// Whoever still has the component goes on with it, in memory only; see [`Store::drop_component`](stillpoint::Store::drop_component).
    ///
    /// # Consistency
    /// After a crash the component is gone if anything is there that was written after this call.
    ///
    /// # Progress
    /// Blocking: takes a lock; and waits while a component comes in as a whole.
    ///
    /// # Durability
    /// With the next frame, as a write: [`sync`](Self::sync) waits for it. The next snapshot file is without the component.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// let store = stillpoint_persist::open(directory.path())?;
    /// store.map::<u64, u64>("prices")?.pin().put(1, 10)?;
    /// assert!(store.drop_component("prices"));
    /// let prices = store.ordered_map::<String, f64>("prices")?;   // another one
    /// assert!(prices.is_empty());
    /// store.close()?;
    ///
    /// let store = stillpoint_persist::open(directory.path())?;
    /// assert_eq!(store.names(), ["prices"]);
    /// assert!(store.drop_component("prices"));                    // nobody has asked for it
    /// assert!(store.names().is_empty() && !store.drop_component("prices"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn drop_component(&self, name: &str) -> bool {
        let _registering = lock(&self.registering);
        let mut catalog = lock(&self.catalog);
        // The tick under the lock: see the catalog's page.
        let was_there = catalog.drop_component(name, self.store.tick());
        if was_there {
            self.store.drop_component(name);
        }
        was_there
    }

    /// The catalog, once a name is a durable component's, or free.
    pub(super) fn settled(&self, name: &str) -> Result<MutexGuard<'_, Catalog>, MapError> {
        let catalog = lock(&self.catalog);
        if catalog.find(name).is_some() || self.in_memory(name).is_none() {
            return Ok(self.settle(catalog, name));
        }
        drop(catalog);
        // Somebody may be restoring it as a whole.
        let _registering = lock(&self.registering);
        self.settled_by_registering(name)
    }

    /// The same, for who registers.
    pub(super) fn settled_by_registering(&self, name: &str) -> Result<MutexGuard<'_, Catalog>, MapError> {
        let catalog = lock(&self.catalog);
        match self.in_memory(name) {
            // The log was never told what is in it.
            Some(found) if catalog.find(name).is_none() => Err(MapError::InMemory { map: name.to_owned(), found }),
            _ => Ok(self.settle(catalog, name)),
        }
    }

    /// Drops a component here, too, that was dropped in the store alone.
    fn settle<'c>(&self, mut catalog: MutexGuard<'c, Catalog>, name: &str) -> MutexGuard<'c, Catalog> {
        if catalog.find(name).is_some() && self.in_memory(name).is_none() {
            catalog.drop_component(name, self.store.tick());
        }
        catalog
    }

    /// What the store in memory has under a name.
    fn in_memory(&self, name: &str) -> Option<ComponentKind> {
        match self.store.checked_map::<(), ()>(name) {
            Err(RegisterError::Unknown { .. }) => None,
            Err(RegisterError::OtherKind { found, .. }) => Some(found),
            _ => Some(ComponentKind::CheckedMap),
        }
    }
}
