//! What the store's directory holds by name: maps that the program has asked for, and components that it has not.
//!
//! # Components that are dropped
//! A drop takes effect at a tick, which is read under the catalog's lock. A frame of a cut says that a component is gone if its tick is not later
//! than the cut's; else the frame, and a snapshot file of that cut, have the component as it was, and not yet what has its name now. So a state that
//! comes back has the drop exactly if it has what was written after it:
//!
//! - What was written before a drop has no later stamp than the drop's tick, so a cut that has the drop has it too.
//! - A cut is taken before the lock is. If the drop comes into the catalog after a frame has looked, the clock has passed the frame's cut, and so
//!   has the drop's tick; and a ticket that is taken behind it waits for a later cut.

use std::any::Any;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::Hash;

use stillpoint::{Cut, Hashed, Snapshot};

use super::snapshot_job::Source;
use super::values::{Expire, Values};
use super::warming::WarmingShared;
use crate::Durable;
use crate::error::{DurabilityError, ReadError};
use crate::format::FormatError;
use crate::format::component::ComponentRecord;
use crate::hash::HashKey;
use crate::log::{Frame, LogWriter, Record};
use crate::snapshot_file::{SnapshotFile, SnapshotFileWriter};
use crate::sync::Arc;

/// All components of a directory.
pub(crate) struct Catalog {
    pub(crate) active: Vec<Arc<dyn ActiveComponent>>,
    /// By name.
    pub(crate) dormant: BTreeMap<String, Dormant>,
    /// The number of the next new component.
    pub(crate) next_id: u32,
    /// Active ones that the thread has not yet begun to bring in.
    pub(crate) to_warm: VecDeque<Arc<dyn ActiveComponent>>,
    /// Those that were dropped, which the log does not say yet, in that order.
    dropped: Vec<Dropped>,
}

/// A component that has lost its name.
struct Dropped {
    source: Source,
    /// From this tick on.
    tick: u64,
}

/// What there was at a cut.
pub(crate) struct AsOf {
    /// All components, as a snapshot file is made of them.
    pub(crate) sources: VecDeque<Source>,
    /// The numbers of those that were dropped by then, which the log does not say yet.
    pub(crate) dropped: Vec<u32>,
}

impl Catalog {
    /// What was found on disk; nothing of it was asked for yet.
    pub(crate) fn new(dormant: BTreeMap<String, Dormant>) -> Self {
        let next_id = dormant.values().map(|component| component.record.id + 1).max().unwrap_or(0);
        Self { active: Vec::new(), dormant, next_id, to_warm: VecDeque::new(), dropped: Vec::new() }
    }

    /// The active component with this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<dyn ActiveComponent>> {
        self.active.iter().find(|component| component.record().name == name).cloned()
    }

    /// Takes a component in that the program has asked for.
    pub(crate) fn activate(&mut self, component: Arc<dyn ActiveComponent>) {
        self.next_id = self.next_id.max(component.record().id + 1);
        self.dormant.remove(&component.record().name);
        self.to_warm.push_back(Arc::clone(&component));
        self.active.push(component);
    }

    /// Takes a component out, asked for or not, from a tick on; returns whether there was one.
    pub(crate) fn drop_component(&mut self, name: &str, tick: u64) -> bool {
        let active = self.active.iter().position(|component| component.record().name == name);
        let source = match active {
            Some(place) => Some(Source::Active(self.active.remove(place))),
            None => self.dormant.remove(name).map(Source::Dormant),
        };
        let Some(source) = source else { return false };
        self.to_warm.retain(|component| component.record().id != source.record().id);
        self.dropped.push(Dropped { source, tick });
        true
    }

    /// What there was at a cut: those that were dropped later, too, instead of what has their names now.
    pub(crate) fn as_of(&self, cut_tick: u64) -> AsOf {
        let is_gone = |dropped: &&Dropped| dropped.tick <= cut_tick;
        let later = self.dropped.iter().filter(|dropped| !is_gone(dropped)).map(|dropped| dropped.source.clone());
        let active = self.active.iter().cloned().map(Source::Active);
        let all = later.chain(active).chain(self.dormant.values().cloned().map(Source::Dormant));
        let mut names = HashSet::new();
        AsOf {
            sources: all.filter(|source| names.insert(source.record().name.clone())).collect(),
            dropped: self.dropped.iter().filter(is_gone).map(|dropped| dropped.source.record().id).collect(),
        }
    }

    /// Forgets components that were dropped, now that the log says so or never knew them.
    pub(crate) fn forget(&mut self, dropped: &[u32]) {
        self.dropped.retain(|component| !dropped.contains(&component.source.record().id));
    }

    /// Lets the components that nobody has asked for lie in a newer file, which has all of them.
    pub(crate) fn rebase(&mut self, file: &Arc<SnapshotFile>) {
        for dormant in self.dormant.values_mut() {
            dormant.base = Some(Arc::clone(file));
            dormant.tail = Arc::new([]);
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let active = self.active.iter().map(|component| component.record().name.clone());
        let mut names: Vec<_> = active.chain(self.dormant.keys().cloned()).collect();
        names.sort_unstable();
        names
    }
}

/// A component that the program has not asked for: its bytes, as they are.
#[derive(Clone)]
pub(crate) struct Dormant {
    pub(crate) record: ComponentRecord,
    /// The snapshot file that holds entries of it, if it is in one.
    pub(crate) base: Option<Arc<SnapshotFile>>,
    /// Frames that may hold newer ones.
    pub(crate) tail: Arc<[Frame]>,
    /// The first frame in which its number is its own.
    pub(crate) since: u64,
}

/// Where the writing of a component's entries stands, as the component has said; none at the beginning, and at the end.
pub(crate) type Position = Option<Box<dyn Any + Send>>;

/// A durable map without its types, as the persister sees it.
pub(crate) trait ActiveComponent: Send + Sync {
    fn record(&self) -> &ComponentRecord;

    /// Writes what of it changed in a cut into the log's open frame.
    fn log_changes(&self, cut: &Cut, log: &mut LogWriter) -> Result<(), DurabilityError>;

    /// Writes some of what a snapshot sees of it into a snapshot file, and says where to go on.
    fn write_entries(
        &self,
        snapshot: &Snapshot,
        from: Position,
        file: &mut SnapshotFileWriter,
    ) -> Result<Position, DurabilityError>;

    /// Brings in some chunks of what lies under it, from a number on, and says where to go on.
    fn warm(&self, from: u32, count: u32) -> Result<Option<u32>, ReadError>;

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// A durable map and what it is called on disk.
pub(crate) struct Active<K, V> {
    pub(crate) record: ComponentRecord,
    pub(crate) warming: Arc<WarmingShared<K, V>>,
    pub(crate) hash_key: HashKey,
}

impl<K, V> ActiveComponent for Active<K, V>
where
    K: Durable + Hash + Eq + Clone,
    V: Durable,
{
    fn record(&self) -> &ComponentRecord {
        &self.record
    }

    fn log_changes(&self, cut: &Cut, log: &mut LogWriter) -> Result<(), DurabilityError> {
        let values = Values { record: &self.record, expire: Expire::Never };
        values.log_changes::<K, V, Hashed>(self.warming.map(), cut, log)
    }

    fn write_entries(
        &self,
        snapshot: &Snapshot,
        from: Position,
        file: &mut SnapshotFileWriter,
    ) -> Result<Position, DurabilityError> {
        let values = Values { record: &self.record, expire: Expire::Never };
        values.write_entries::<K, V, Hashed>(self.warming.map(), snapshot, from, self.hash_key, file)
    }

    fn warm(&self, from: u32, count: u32) -> Result<Option<u32>, ReadError> {
        self.warming.warm(from, count)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Dormant {
    /// The frames that may hold newer entries than the snapshot file.
    pub(crate) fn frames(&self) -> &[Frame] {
        let from = self.tail.partition_point(|frame| frame.info().frame < self.since);
        &self.tail[from..]
    }

    /// Carries the component over into a new snapshot file, byte for byte.
    pub(crate) fn write_entries(
        &self,
        hash_key: HashKey,
        file: &mut SnapshotFileWriter,
    ) -> Result<(), DurabilityError> {
        let mut newest = BTreeMap::new();
        for record in self.frames().iter().flat_map(Frame::records) {
            match record {
                Record::Put { component, version, key, value } if component == self.record.id => {
                    newest.insert(key, (version, Some(value)));
                }
                Record::Remove { component, version, key } if component == self.record.id => {
                    newest.insert(key, (version, None));
                }
                _ => {}
            }
        }
        if let Some(component) = self.base.as_ref().and_then(|base| base.component(&self.record.name)) {
            for number in 0..component.chunk_count() {
                let chunk = component.chunk(number).map_err(|error| DurabilityError::Unreadable(error.into()))?;
                for entry in chunk.entries().filter(|entry| !newest.contains_key(entry.key)) {
                    file.push(entry.hash, entry.version, entry.key, entry.value).map_err(file_failed)?;
                }
            }
        }
        for (key, (version, value)) in newest {
            if let Some(value) = value {
                file.push(hash_key.hash(key), version, key, value).map_err(file_failed)?;
            }
        }
        Ok(())
    }
}

pub(crate) fn log_failed(error: FormatError) -> DurabilityError {
    DurabilityError::Log(Arc::new(error))
}

pub(crate) fn file_failed(error: FormatError) -> DurabilityError {
    DurabilityError::SnapshotFile(Arc::new(error))
}
