//! The durable store: a store in memory, its directory, and the thread between them.

mod base;
mod catalog;
mod components;
mod dropping;
mod identity;
mod options;
mod persister;
mod recovery;
mod snapshot_job;
mod status;
mod stepper;
mod thread;
mod values;
mod warming;
mod whole;

use std::fmt;
use std::hash::Hash;
use std::path::Path;
use std::thread::JoinHandle;

use stillpoint::{Store, Version};

use base::Base;
use catalog::{Active, Catalog};
use identity::Identity;
use persister::Persister;
use status::Shared;
use warming::WarmingShared;

use crate::Durable;
use crate::error::{DurabilityError, MapError, OpenError, Part};
use crate::format::component::ComponentRecord;
use crate::medium::Medium;
use crate::schema::SchemaText;
use crate::sync::{Arc, Mutex, lock};

pub use options::Options;
pub use recovery::OpenReport;
pub use status::{Health, SnapshotFileReport, Ticket};
pub use stepper::Stepper;
pub use warming::{Warming, WarmingPin};

/// Opens a directory with the default [`Options`], or makes it a store.
///
/// # Errors
/// [`OpenError`] says what is wrong, where, and what to do; nothing on disk has been harmed.
///
/// # Examples
/// See the [crate's page](crate).
pub fn open(path: impl AsRef<Path>) -> Result<DurableStore, OpenError> {
    Options::new().open(path)
}

/// A store whose maps survive a crash.
///
/// Dropping it makes everything durable that was written before, and seals the log; [`close`](Self::close) does the same and says what
/// failed. Maps stay usable after that, in memory only.
pub struct DurableStore {
    store: Store,
    shared: Arc<Shared>,
    catalog: Arc<Mutex<Catalog>>,
    /// Held while a component is restored as a whole.
    registering: Mutex<()>,
    identity: Identity,
    report: OpenReport,
    tail_bytes_closed: u64,
    thread: Option<JoinHandle<Result<(), DurabilityError>>>,
}

impl DurableStore {
    /// Recovers a directory's state; its work is the persister's from now on.
    fn recover(options: Options, medium: Arc<dyn Medium>) -> Result<(Self, Persister), OpenError> {
        let opened = recovery::open(&options, medium)?;
        let store = Store::with_time(options.time.clone());
        store.raise_clock(opened.start_tick);
        store.raise_time(opened.last_time);
        let durable = Self {
            store: store.clone(),
            shared: Arc::clone(&opened.recovered.shared),
            catalog: Arc::clone(&opened.recovered.catalog),
            registering: Mutex::new(()),
            identity: opened.recovered.identity,
            report: opened.report,
            tail_bytes_closed: options.tail_bytes_closed,
            thread: None,
        };
        Ok((durable, Persister::new(opened.recovered, options, store)))
    }

    fn with_thread(mut self, persister: Persister) -> Result<Self, OpenError> {
        let location = persister.medium.location();
        let thread = thread::start(persister).map_err(|source| OpenError::Io {
            operation: "start the background thread for",
            location,
            source,
        })?;
        self.thread = Some(thread);
        Ok(self)
    }

    /// The store in memory: for snapshots, transactions, and maps that need not survive.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// let store = stillpoint_persist::open(directory.path())?;
    /// let map = store.map::<u64, u64>("map")?.warm()?;
    /// map.pin().put(1, 10);
    /// let still = store.store().snapshot();
    /// assert_eq!(still.get(&map, &1), Some(&10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Finds the durable map with this name, or makes one.
    ///
    /// # Progress
    /// Blocking: takes a lock, and reads what the log's tail holds of the map.
    ///
    /// # Errors
    /// [`MapError::OtherType`] if what is stored under the name has another type, with what differs; [`MapError::Register`] if the
    /// name is taken in this process; [`MapError::InMemory`] if it is of a component that is not durable; [`MapError::Read`] if the log does
    /// not hold what its schema says.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// let store = stillpoint_persist::open(directory.path())?;
    /// store.map::<u64, u64>("map")?.pin().put(1, 10)?;
    /// store.close()?;
    ///
    /// let store = stillpoint_persist::open(directory.path())?;
    /// let error = store.map::<u64, i64>("map").unwrap_err();
    /// assert!(error.to_string().contains("was u64, is i64"), "{error}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<K, V>(&self, name: &str) -> Result<Warming<K, V>, MapError>
    where
        K: Durable + Hash + Eq + Clone,
        V: Durable,
    {
        let mut catalog = self.settled(name)?;
        if let Some(active) = catalog.find(name) {
            // Of other types: then registering says so.
            self.store.map::<K, V>(name)?;
            if let Ok(active) = active.as_any().downcast::<Active<K, V>>() {
                return Ok(Warming::new(Arc::clone(&active.warming)));
            }
            unreachable!("the store keeps a map's types as the catalog does");
        }
        let (key_schema, value_schema) = (SchemaText::of::<K>(), SchemaText::of::<V>());
        let dormant = catalog.dormant.get(name).cloned();
        if let Some(dormant) = &dormant {
            check_schema(name, Part::Keys, &dormant.record.key_schema, &key_schema)?;
            check_schema(name, Part::Values, &dormant.record.value_schema, &value_schema)?;
        }
        let map = self.store.map::<K, V>(name)?;
        let record = ComponentRecord {
            id: dormant.as_ref().map_or(catalog.next_id, |dormant| dormant.record.id),
            name: name.to_owned(),
            key_schema: key_schema.to_string(),
            value_schema: value_schema.to_string(),
        };
        let (base, tail) = match &dormant {
            Some(dormant) => (dormant.base.as_ref().and_then(|base| Base::of(base, name)), dormant.frames()),
            None => (None, &[][..]),
        };
        let hash_key = self.identity.hash_key;
        let warming = Arc::new(WarmingShared::new(map, hash_key, base, record.id, tail)?);
        catalog.activate(Arc::new(Active { record, warming: Arc::clone(&warming), hash_key }));
        Ok(Warming::new(warming))
    }

    /// The names of all stored maps, asked for or not.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// let store = stillpoint_persist::open(directory.path())?;
    /// store.map::<u64, u64>("map")?;
    /// assert_eq!(store.names(), ["map"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn names(&self) -> Vec<String> {
        lock(&self.catalog).names()
    }

    /// Waits until everything that was written before is on disk.
    ///
    /// # Progress
    /// Blocking: for one frame, or the rest of one and another. Many who wait share a frame.
    ///
    /// # Errors
    /// [`DurabilityError`] if it can't be made durable. The state in memory stays as it is.
    pub fn sync(&self) -> Result<(), DurabilityError> {
        self.ticket().wait()
    }

    /// A ticket for everything that was written before.
    ///
    /// # Examples
    /// See [`Ticket`].
    pub fn ticket(&self) -> Ticket {
        Ticket::new(Arc::clone(&self.shared), self.store.tick())
    }

    /// A ticket for a version that was written or read.
    ///
    /// # Examples
    /// See [`Ticket`].
    pub fn ticket_for(&self, version: Version) -> Ticket {
        Ticket::new(Arc::clone(&self.shared), version.tick())
    }

    /// Writes a snapshot file of all that was written before, and waits until it is in use.
    ///
    /// # Errors
    /// [`DurabilityError`] if it can't be written; the log goes on, if it can.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// let store = stillpoint_persist::open(directory.path())?;
    /// store.map::<u64, u64>("map")?.pin().put(1, 10)?;
    /// store.write_snapshot_file()?;
    /// assert_eq!(store.health().last_snapshot_file.unwrap().entries, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_snapshot_file(&self) -> Result<(), DurabilityError> {
        let number = self.shared.ask(|status| {
            status.files_wanted += 1;
            status.files_wanted
        });
        let status = self.shared.wait_until(None, |status| status.files_answered >= number || status.fatal.is_some());
        if status.files_written >= number {
            return Ok(());
        }
        let error = status.file_error.as_ref().filter(|_| status.files_answered >= number).or(status.fatal.as_ref());
        Err(error.cloned().unwrap_or(DurabilityError::Closed))
    }

    /// How the store is: what is durable, what failed, how long the log is.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Whether a snapshot file is being written at the moment: for those who measure.
    pub fn is_writing_snapshot_file(&self) -> bool {
        self.shared.is_writing_snapshot()
    }

    /// What opening the directory found.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// The number of this opening: versions are unique within it, and grow from one to the next.
    ///
    /// A crash may lose versions that were never acknowledged; their numbers don't return. The exception is those that were given
    /// out after a store was created, or had been closed properly, and before its first frame: at most the
    /// [interval](Options::interval) later. Two openings of that kind have the same number only within the same second.
    pub fn incarnation(&self) -> u32 {
        self.identity.incarnation
    }

    /// Makes everything durable, writes a snapshot file if the log is long, seals the log, and gives the directory back.
    ///
    /// Whoever writes meanwhile may or may not be included.
    ///
    /// # Errors
    /// [`DurabilityError`] says what could not be made durable.
    pub fn close(mut self) -> Result<(), DurabilityError> {
        self.end(self.tail_bytes_closed)
    }

    fn end(&mut self, tail_bytes_kept: u64) -> Result<(), DurabilityError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.shared.ask(|status| status.closing = Some(tail_bytes_kept));
        thread.join().unwrap_or(Err(DurabilityError::Closed))
    }
}

impl Drop for DurableStore {
    fn drop(&mut self) {
        // A failure has been told to the hook.
        let _ = self.end(u64::MAX);
    }
}

impl fmt::Debug for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableStore").field("store", &self.store).field("health", &self.health()).finish()
    }
}

/// Refuses a type that is not the stored one.
fn check_schema(map: &str, part: Part, stored: &str, now: &SchemaText) -> Result<(), MapError> {
    let stored = SchemaText::parse(stored).map_err(|source| MapError::Schema { map: map.to_owned(), source })?;
    let differences = stored.differences(now);
    if differences.is_empty() {
        return Ok(());
    }
    Err(MapError::OtherType { map: map.to_owned(), part, differences })
}
