//! Figures of a store and of its components, to look at.
//!
//! Threads count what they do in their own records, by plain loads and stores; nothing is added up before somebody asks.

use std::time::Duration;

use crate::raw::tally::Tallied;
use crate::{ComponentKind, Store};

/// Figures of a store. See [`Store::stats`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// The clock.
    pub tick: u64,
    /// Maps and cells.
    pub components: usize,
    /// Keys that have a value, over all components.
    pub keys: usize,
    /// Keys in the indexes: also removed ones that are not yet purged.
    pub slots: usize,
    /// Versions in the chains of all keys, removals among them: what is more than [`slots`](Self::slots) is kept for somebody, or was, and takes
    /// no memory: a small value that lies in its key's slot stays there until the key is written again.
    pub versions: u64,
    /// Bytes of slots and indexes, used or ready for use; without what values own.
    pub index_bytes: usize,
    /// Versions, slots and parts of indexes that are unlinked, and whose memory is not yet free for others.
    pub garbage: u64,
    /// Bytes of versions in the chains that lie outside of their slots, with their values as Rust sizes them.
    pub version_bytes: u64,
    /// Bytes of versions that are unlinked, and whose memory is not yet free for others.
    pub garbage_bytes: u64,
    /// How long memory has been waiting for a pin that some thread holds. `None` if nothing waits.
    ///
    /// Milliseconds are usual where the store is written seldom: what waits there is the next write, or a call of
    /// [`maintain`](Store::maintain). If it grows beside writers, or beside calls of `maintain`, a thread has kept a pin for that long.
    pub waits_for_pins: Option<Duration>,
    /// Snapshots that are kept.
    pub live_snapshots: usize,
    /// The tick of the oldest of them.
    pub oldest_snapshot: Option<u64>,
    /// The age of the oldest of them, to some milliseconds.
    pub oldest_snapshot_age: Option<Duration>,
    /// Slots that wait to be pruned or purged.
    pub slots_in_backlog: usize,
    /// Slots that changed and that a consumer has not yet asked for, as far as they have been collected.
    pub slots_noted: usize,
    /// Versions that were written since the store was made.
    pub written: u64,
    /// Versions that were taken out of their chains since then, as nobody could see them any more.
    pub pruned: u64,
    /// Removed keys that were purged since then.
    pub purged: u64,
    /// Writes that met another thread's at their key and began anew, since then.
    pub retries: u64,
    /// Conditional writes that found another version than they expected, since then.
    pub conflicts: u64,
}

/// Figures of a component. See [`Store::component_stats`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentStats {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ComponentKind,
    /// The Rust types of its key and value.
    pub types: &'static str,
    /// Keys that have a value.
    pub keys: usize,
    /// Keys in the index: also removed ones that are not yet purged.
    pub slots: usize,
    /// Bytes of slots and index, used or ready for use; without what values own.
    pub index_bytes: usize,
    /// How many changes wait for the slowest subscriber to [every change](crate::Feed::every), of those that were not given up; none if the map
    /// does not keep them.
    pub unread: Option<u64>,
}

impl Store {
    /// Figures of the store, to look at.
    ///
    /// # Consistency
    /// None: beside writers each figure is of another moment, and sums over threads may miss what came and count what went.
    ///
    /// # Progress
    /// Blocking: takes the locks of the registry and of the consumers. Writers and readers never wait for it.
    ///
    /// # Cost
    /// Grows with the numbers of components, threads and live snapshots, and with the inner nodes of ordered maps, not with the keys of
    /// the others. For monitoring, not for hot paths. What it counts costs them a load and a store of the thread's own for each write.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// let map = store.map::<u64, u64>("map")?;
    /// map.pin().put(1, 10);
    /// let _still = store.snapshot();
    /// map.pin().put(1, 11);
    ///
    /// let stats = store.stats();
    /// assert_eq!((stats.keys, stats.versions, stats.written), (1, 2, 2)); // the older one is kept for the snapshot
    /// assert_eq!((stats.live_snapshots, stats.components), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn stats(&self) -> StoreStats {
        let engine = self.engine();
        let view = engine.registry.view(&engine.clock);
        let tallied: Tallied = engine.records.iter().map(|record| &record.tally).sum();
        let components = self.component_stats();
        let total = |figure: fn(&ComponentStats) -> usize| components.iter().map(figure).sum();
        StoreStats {
            tick: engine.clock.now(),
            components: components.len(),
            keys: total(|component| component.keys),
            slots: total(|component| component.slots),
            versions: tallied.versions(),
            index_bytes: total(|component| component.index_bytes),
            garbage: tallied.garbage(),
            version_bytes: tallied.version_bytes(),
            garbage_bytes: tallied.garbage_bytes(),
            waits_for_pins: engine.eras.waits_for_pins(),
            live_snapshots: view.len(),
            oldest_snapshot: view.oldest(),
            oldest_snapshot_age: engine.registry.oldest_age(),
            slots_in_backlog: engine.backlog.len(),
            slots_noted: engine.desk.waiting(),
            written: tallied.installed,
            pruned: tallied.unlinked,
            purged: tallied.purged,
            retries: tallied.retries,
            conflicts: tallied.conflicts,
        }
    }

    /// Figures of each component, by name in alphabetical order.
    ///
    /// # Progress
    /// Blocking: takes a lock of the registry. Writers and readers never wait for it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), stillpoint::RegisterError> {
    /// let store = stillpoint::Store::new();
    /// store.map::<u64, u64>("bids")?.pin().put(1, 10);
    /// store.cell("limit", 100_u64)?;
    /// let keys: Vec<_> = store.component_stats().into_iter().map(|component| (component.name, component.keys)).collect();
    /// assert_eq!(keys, [("bids".to_owned(), 1), ("limit".to_owned(), 1)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn component_stats(&self) -> Vec<ComponentStats> {
        let session = self.engine().session();
        let _guard = session.pin();
        let mut stats = Vec::new();
        self.each_component(|name, registered| {
            let component = &registered.component;
            stats.push(ComponentStats {
                name: name.to_owned(),
                kind: registered.kind,
                types: registered.types,
                keys: component.len(),
                slots: component.slots(),
                index_bytes: component.index_bytes(),
                unread: component.unread().map(|unread| unread.waiting_most()),
            });
        });
        stats.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        stats
    }
}
