//! A component's entries, on their way to the log and to snapshot files.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rkyv::util::AlignedVec;
use stillpoint::{Cut, Index, Readable, ScanPosition, Snapshot};

use super::catalog::{Position, file_failed, log_failed};
use crate::Durable;
use crate::durable::{decode, encode};
use crate::error::{DurabilityError, Part};
use crate::format::component::ComponentRecord;
use crate::hash::HashKey;
use crate::log::LogWriter;
use crate::schema::{Describer, Schema, SchemaText, TypeExpression};
use crate::snapshot_file::SnapshotFileWriter;

/// Whether a component's keys expire. If they do, each value is stored with the time at which it does: behind its archived bytes, in
/// milliseconds since 1970, as a little-endian `u64` that is [`NEVER`] for those that don't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expire {
    Never,
    AtTimes,
}

/// A time that does not come.
const NEVER: u64 = u64::MAX;
const TIME_BYTES: usize = size_of::<u64>();

/// Entries that one step of writing a snapshot file looks at, at least.
const ENTRIES_STEP: usize = 1024;

/// The schema of values that expire: that of the values, named, so that neither kind is read as the other.
struct Expiring<V>(std::marker::PhantomData<V>);

impl<V: Schema> Schema for Expiring<V> {
    fn describe(describer: &mut Describer) -> TypeExpression {
        let value = describer.describe::<V>();
        describer.leaf("Expiring", vec![value])
    }
}

impl Expire {
    /// The schema of stored values.
    pub(crate) fn schema_of<V: Durable>(self) -> SchemaText {
        match self {
            Self::Never => SchemaText::of::<V>(),
            Self::AtTimes => SchemaText::of::<Expiring<V>>(),
        }
    }

    /// Makes a value and its time of stored bytes.
    pub(crate) fn decode<V: Durable>(self, bytes: &[u8]) -> Result<(V, Option<SystemTime>), String> {
        if self == Self::Never {
            return decode(bytes).map(|value| (value, None)).map_err(|error| error.to_string());
        }
        let (value, time) = bytes.split_last_chunk::<TIME_BYTES>().ok_or("the value is shorter than its time")?;
        let value = decode(value).map_err(|error| error.to_string())?;
        let millis = u64::from_le_bytes(*time);
        let time = UNIX_EPOCH.checked_add(Duration::from_millis(millis)).filter(|_| millis != NEVER);
        Ok((value, time))
    }
}

/// How a component's values are stored.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) record: &'a ComponentRecord,
    pub(crate) expire: Expire,
}

impl Values<'_> {
    fn encode<T: Durable>(self, part: Part, value: &T, buffer: &mut AlignedVec) -> Result<(), DurabilityError> {
        encode(value, buffer).map_err(|error| DurabilityError::Unarchivable {
            map: self.record.name.as_str().into(),
            part,
            reason: error.to_string().into(),
        })
    }

    fn encode_value<V: Durable>(
        self,
        value: &V,
        expires: impl FnOnce() -> Option<SystemTime>,
        buffer: &mut AlignedVec,
    ) -> Result<(), DurabilityError> {
        self.encode(Part::Values, value, buffer)?;
        if self.expire == Expire::AtTimes {
            let millis = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let millis = expires().map_or(NEVER, |time| u64::try_from(millis(time)).unwrap_or(NEVER));
            buffer.extend_from_slice(&millis.to_le_bytes());
        }
        Ok(())
    }

    /// Writes what of a map changed in a cut into the log's open frame.
    pub(crate) fn log_changes<K, V, I>(
        self,
        map: &impl Readable<K, V, I>,
        cut: &Cut,
        log: &mut LogWriter,
    ) -> Result<(), DurabilityError>
    where
        K: Durable + Clone,
        V: Durable,
        I: Index<K>,
    {
        let (mut key, mut value) = (AlignedVec::new(), AlignedVec::new());
        for change in cut.changes(map) {
            self.encode(Part::Keys, change.key, &mut key)?;
            let version = change.version.as_u64();
            match change.value {
                Some(new) => {
                    self.encode_value(new, || change.expires, &mut value)?;
                    log.put(self.record.id, version, &key, &value)
                }
                None => log.remove(self.record.id, version, &key),
            }
            .map_err(log_failed)?;
        }
        Ok(())
    }

    /// Writes some of what a snapshot sees of a map into a snapshot file, and says where to go on.
    pub(crate) fn write_entries<K, V, I>(
        self,
        map: &impl Readable<K, V, I>,
        snapshot: &Snapshot,
        from: Position,
        hash_key: HashKey,
        file: &mut SnapshotFileWriter,
    ) -> Result<Position, DurabilityError>
    where
        K: Durable + Clone,
        V: Durable,
        I: Index<K>,
    {
        let Ok(view) = snapshot.of(map) else { unreachable!("the catalog's maps are of the persister's store") };
        let from = match from.map(|from| from.downcast::<ScanPosition<K, I>>()) {
            None => ScanPosition::START,
            Some(Ok(from)) => *from,
            Some(Err(_)) => unreachable!("a component goes on where it has stopped itself"),
        };
        let (mut key_bytes, mut value_bytes) = (AlignedVec::new(), AlignedVec::new());
        let mut outcome = Ok(());
        let position = view.scan(from, ENTRIES_STEP, |key, seen| {
            if outcome.is_ok() {
                outcome = self.encode(Part::Keys, key, &mut key_bytes).and_then(|()| {
                    self.encode_value(seen.value(), || view.expires(key), &mut value_bytes)?;
                    let hash = hash_key.hash(&key_bytes);
                    file.push(hash, seen.version().as_u64(), &key_bytes, &value_bytes).map_err(file_failed)
                });
            }
        });
        outcome.map(|()| position.map(|position| Box::new(position) as Box<_>))
    }
}
