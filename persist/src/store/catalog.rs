//! What the store's directory holds by name: maps that the program has asked for, and components that it has not.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use rkyv::util::AlignedVec;
use stillpoint::{Cut, ScanPosition, Snapshot};

use super::snapshot_job::Source;
use super::warming::WarmingShared;
use crate::Durable;
use crate::durable::encode;
use crate::error::{DurabilityError, Part, ReadError};
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
}

impl Catalog {
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

    /// All components, as a snapshot file is made of them.
    pub(crate) fn sources(&self) -> VecDeque<Source> {
        let active = self.active.iter().cloned().map(Source::Active);
        active.chain(self.dormant.values().cloned().map(Source::Dormant)).collect()
    }

    /// Lets the components that nobody has asked for lie in a newer file, which has all of them.
    pub(crate) fn rebase(&mut self, file: &Arc<SnapshotFile>) {
        for dormant in self.dormant.values_mut() {
            dormant.base = Arc::clone(file);
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
    /// The snapshot file that may hold entries of it.
    pub(crate) base: Arc<SnapshotFile>,
    /// Frames that may hold newer ones.
    pub(crate) tail: Arc<[Frame]>,
}

/// A durable map without its types, as the persister sees it.
pub(crate) trait ActiveComponent: Send + Sync {
    fn record(&self) -> &ComponentRecord;

    /// Writes what of it changed in a cut into the log's open frame.
    fn log_changes(&self, cut: &Cut, log: &mut LogWriter) -> Result<(), DurabilityError>;

    /// Writes some of what a snapshot sees of it into a snapshot file, and says where to go on.
    fn write_entries(
        &self,
        snapshot: &Snapshot,
        from: ScanPosition,
        file: &mut SnapshotFileWriter,
    ) -> Result<Option<ScanPosition>, DurabilityError>;

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

/// Entries that one step of writing a snapshot file looks at, at least.
const ENTRIES_STEP: usize = 1024;

impl<K, V> Active<K, V>
where
    K: Durable + Hash + Eq + Clone,
    V: Durable,
{
    fn encode<T: Durable>(&self, part: Part, value: &T, buffer: &mut AlignedVec) -> Result<(), DurabilityError> {
        encode(value, buffer).map_err(|error| DurabilityError::Unarchivable {
            map: self.record.name.as_str().into(),
            part,
            reason: error.to_string().into(),
        })
    }
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
        let (mut key, mut value) = (AlignedVec::new(), AlignedVec::new());
        for change in cut.changes(self.warming.map()) {
            self.encode(Part::Keys, change.key, &mut key)?;
            let version = change.version.as_u64();
            match change.value {
                Some(new) => {
                    self.encode(Part::Values, new, &mut value)?;
                    log.put(self.record.id, version, &key, &value)
                }
                None => log.remove(self.record.id, version, &key),
            }
            .map_err(log_failed)?;
        }
        Ok(())
    }

    fn write_entries(
        &self,
        snapshot: &Snapshot,
        from: ScanPosition,
        file: &mut SnapshotFileWriter,
    ) -> Result<Option<ScanPosition>, DurabilityError> {
        let Ok(view) = snapshot.of(self.warming.map()) else {
            unreachable!("the catalog's maps are of the persister's store")
        };
        let (mut key_bytes, mut value_bytes) = (AlignedVec::new(), AlignedVec::new());
        let mut outcome = Ok(());
        let position = view.scan(from, ENTRIES_STEP, |key, seen| {
            if outcome.is_ok() {
                outcome = self.encode(Part::Keys, key, &mut key_bytes).and_then(|()| {
                    self.encode(Part::Values, seen.value(), &mut value_bytes)?;
                    let hash = self.hash_key.hash(&key_bytes);
                    file.push(hash, seen.version().as_u64(), &key_bytes, &value_bytes).map_err(file_failed)
                });
            }
        });
        outcome.map(|()| position)
    }

    fn warm(&self, from: u32, count: u32) -> Result<Option<u32>, ReadError> {
        self.warming.warm(from, count)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Dormant {
    /// Carries the component over into a new snapshot file, byte for byte.
    pub(crate) fn write_entries(
        &self,
        hash_key: HashKey,
        file: &mut SnapshotFileWriter,
    ) -> Result<(), DurabilityError> {
        let mut newest = BTreeMap::new();
        for record in self.tail.iter().flat_map(Frame::records) {
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
        if let Some(component) = self.base.component(&self.record.name) {
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
