//! Components that are restored as a whole, before the program has them: ordered maps, cells, maps with options.
//!
//! A plain map is asked for one key after the other, so it can be served while it is being restored (see [`warming`](super::warming)). A range of an
//! ordered map asks for all keys in it, a bound on keys counts all of them, keys expire that nobody asks for; so these come in first.

use std::any::Any;
use std::marker::PhantomData;

use stillpoint::{Cut, Index, Restored, Snapshot, Version};

use super::base::Base;
use super::catalog::{ActiveComponent, Dormant, Position};
use super::values::{Expire, Values};
use crate::Durable;
use crate::durable::decode;
use crate::error::{DurabilityError, MapError, Part, ReadError};
use crate::format::component::ComponentRecord;
use crate::format::names::log_name;
use crate::hash::HashKey;
use crate::log::{LogWriter, Record};
use crate::snapshot_file::SnapshotFileWriter;
use crate::sync::Arc;

/// A component that is in memory as a whole.
pub(crate) struct Whole<K, V, I, M> {
    record: ComponentRecord,
    map: M,
    expire: Expire,
    hash_key: HashKey,
    types: PhantomData<fn(K, V, I)>,
}

impl<K, V, I, M> Whole<K, V, I, M>
where
    K: Durable + Clone,
    V: Durable,
    I: Index<K>,
    M: Restored<K, V, I> + Send + Sync + 'static,
{
    pub(crate) fn new(record: ComponentRecord, map: M, expire: Expire, hash_key: HashKey) -> Self {
        Self { record, map, expire, hash_key, types: PhantomData }
    }

    /// Brings everything in that is stored: what the log's tail says, newest first, then what lies in the snapshot file; a key that is there
    /// already has a newer version.
    pub(crate) fn restore(&self, dormant: &Dormant) -> Result<(), MapError> {
        self.map.begin_restoring();
        for frame in dormant.frames().iter().rev() {
            let (file, cut_tick) = (|| log_name(frame.segment()), frame.info().cut_tick);
            for record in frame.records() {
                match record {
                    Record::Put { component, version, key, value } if component == self.record.id => {
                        self.bring_in(key, version, Some(value), cut_tick, file)?;
                    }
                    Record::Remove { component, version, key } if component == self.record.id => {
                        self.bring_in(key, version, None, cut_tick, file)?;
                    }
                    _ => {}
                }
            }
        }
        if let Some(base) = dormant.base.as_ref().and_then(|base| Base::of(base, &self.record.name)) {
            for number in 0..base.chunks() {
                let Some(chunk) = base.missing_chunk(number).map_err(ReadError::from)? else { continue };
                for entry in chunk.entries() {
                    let file = || base.file_name().to_owned();
                    self.bring_in(entry.key, entry.version, Some(entry.value), base.cut_tick(), file)?;
                }
            }
        }
        self.map.end_restoring();
        Ok(())
    }

    fn bring_in(
        &self,
        key: &[u8],
        version: u64,
        value: Option<&[u8]>,
        cut_tick: u64,
        file: impl Fn() -> String,
    ) -> Result<(), ReadError> {
        let undecodable = |part, reason| {
            let map = self.record.name.clone();
            ReadError::Undecodable { map, file: file(), part, reason }
        };
        let key = decode::<K>(key).map_err(|error| undecodable(Part::Keys, error.to_string()))?;
        let value = value.map(|value| self.expire.decode::<V>(value)).transpose();
        let value = value.map_err(|reason| undecodable(Part::Values, reason))?;
        // No snapshot would see one that is later, and the clock starts behind the cuts only.
        let version = Version::from_u64(version);
        if version.tick() > cut_tick {
            let reason = format!("version {version} is later than the cut at {cut_tick}");
            return Err(undecodable(Part::Values, reason));
        }
        let (value, expires) = value.map_or((None, None), |(value, expires)| (Some(value), expires));
        self.map.bring_in(key, version, value, expires);
        Ok(())
    }
}

impl<K, V, I, M> ActiveComponent for Whole<K, V, I, M>
where
    K: Durable + Clone,
    V: Durable,
    I: Index<K>,
    M: Restored<K, V, I> + Send + Sync + 'static,
{
    fn record(&self) -> &ComponentRecord {
        &self.record
    }

    fn log_changes(&self, cut: &Cut, log: &mut LogWriter) -> Result<(), DurabilityError> {
        let values = Values { record: &self.record, expire: self.expire };
        values.log_changes::<K, V, I>(&self.map, cut, log)
    }

    fn write_entries(
        &self,
        snapshot: &Snapshot,
        from: Position,
        file: &mut SnapshotFileWriter,
    ) -> Result<Position, DurabilityError> {
        let values = Values { record: &self.record, expire: self.expire };
        values.write_entries::<K, V, I>(&self.map, snapshot, from, self.hash_key, file)
    }

    fn warm(&self, _from: u32, _count: u32) -> Result<Option<u32>, ReadError> {
        Ok(None)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
