//! Opening a directory: find the newest state that can be proven whole.
//!
//! 1. Take the lock.
//! 2. Choose the newest snapshot file that opens and whose log goes on from it.
//! 3. Unless the log was closed: keep a torn tail aside. Repeat, in a new segment, the frames that no later one vouches for, and make
//!    that durable: what was read may have been in the page cache only. Then write a frame without changes, which says from which tick on
//!    this opening gives out versions, so that another crash does not give them out again.
//! 4. Serve.
//!
//! Every step may be cut short by a crash and begun anew. Nothing is removed before what replaces it is durable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stillpoint::TimeSource;

use super::catalog::{Catalog, Dormant};
use super::identity::{Identity, TICKS_END, TICKS_RESERVED, wall_clock};
use super::options::Options;
use super::persister::Recovered;
use super::snapshot_job::publish;
use super::status::{Figures, Shared};
use crate::error::OpenError;
use crate::format::component::ComponentRecord;
use crate::format::names::{TEMPORARY, log_name, log_segment, snapshot_generation, snapshot_name};
use crate::format::snapshot::SnapshotHeader;
use crate::format::{FormatError, PAGE};
use crate::hash::HashKey;
use crate::log::{Commit, Frame, LogScan, LogTail, LogWriter, NextFrame, Record, TornTail};
use crate::medium::{Medium, MediumFile};
use crate::snapshot_file::{Codec, SnapshotFile, SnapshotFileWriter};
use crate::sync::{Arc, Mutex};

/// What opening a directory found. See [`DurableStore::report`](crate::DurableStore::report).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenReport {
    /// Whether the directory was empty, and is a store now.
    pub created: bool,
    /// Whether the store was closed properly before.
    pub sealed: bool,
    /// The snapshot file in use.
    pub snapshot_file: String,
    /// How many entries it has.
    pub entries: u64,
    /// How many frames of the log lie behind it.
    pub frames: usize,
    /// Bytes at the log's end that were never acknowledged; they were kept in [`kept_aside`](Self::kept_aside).
    pub torn: Option<TornTail>,
    /// The file that torn bytes were copied to.
    pub kept_aside: Option<String>,
    /// Snapshot files that could not be used, and why. An older one served instead.
    pub skipped: Vec<(String, FormatError)>,
    /// How long it took.
    pub time: std::time::Duration,
}

/// What a directory holds: a snapshot file, and the log behind it.
struct Found {
    file: SnapshotFile,
    tail: LogTail,
    skipped: Vec<(String, FormatError)>,
    /// Snapshot files that a newer one replaces.
    older: Vec<String>,
}

/// Everything that a store starts with.
pub(crate) struct Opened {
    pub(crate) recovered: Recovered,
    pub(crate) report: OpenReport,
    /// Where the clock starts.
    pub(crate) start_tick: u64,
    /// The latest time that was written.
    pub(crate) last_time: SystemTime,
}

pub(crate) fn open(options: &Options, medium: Arc<dyn Medium>) -> Result<Opened, OpenError> {
    let started = Instant::now();
    let location = medium.location();
    let file_error = |source| OpenError::File { location: location.clone(), source };
    let lock = medium.lock().map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse { location: location.clone() },
        _ => OpenError::Io { operation: "lock", location: location.clone(), source },
    })?;
    let names =
        medium.list().map_err(|source| OpenError::Io { operation: "list", location: location.clone(), source })?;
    let created = !names.iter().any(|name| snapshot_generation(name).is_some());
    let mut log = None;
    if created {
        if let Some(segment) = names.iter().filter(|name| log_segment(name).is_some()).min() {
            if !is_begun_only(&*medium, &names).map_err(file_error)? {
                return Err(OpenError::NoSnapshotFile { location, segment: segment.clone() });
            }
            medium.remove(segment).map_err(FormatError::io("remove", segment)).map_err(file_error)?;
        }
        remove_unfinished(&*medium, &names).map_err(file_error)?;
        log = Some(create(&medium, options).map_err(file_error)?);
    }
    let names = if created { vec![snapshot_name(1)] } else { names };
    let found = find(&*medium, &names).map_err(file_error)?;
    // Now that nothing but the medium can still fail.
    remove_unfinished(&*medium, &names).map_err(file_error)?;

    let header = *found.file.header();
    let last = found.tail.last.unwrap_or_default();
    let sealed = found.tail.sealed;
    // Of all frames: a file that was forged need not have them in order.
    let cuts = found.tail.frames.iter().map(|frame| frame.info().cut_tick);
    let cut_tick = cuts.fold(last.cut_tick.max(header.cut_tick), u64::max);
    let times = found.tail.frames.iter().map(|frame| frame.info().wall_clock);
    let last_time = UNIX_EPOCH + Duration::from_nanos(times.fold(last.wall_clock.max(header.wall_clock), u64::max));
    // Closed, and nobody has given out anything since.
    let is_clean = created || sealed && last.cut_tick >= header.cut_tick;
    let reserve = if is_clean { 0 } else { last.tick_reserve.max(header.tick_reserve) };
    let start_tick = cut_tick.max(reserve).saturating_add(1);
    if start_tick >= TICKS_END {
        let (file, what) = (found.file.name().to_owned(), "the clock of the store has come to its end");
        return Err(file_error(FormatError::Malformed { file, what, offset: 0 }));
    }
    let identity = Identity {
        store: header.store,
        hash_key: HashKey(header.hash_key),
        incarnation: next_incarnation(last.incarnation.max(header.incarnation)),
    };
    let kept_aside = match &found.tail.torn {
        Some(torn) => Some(keep_aside(&*medium, torn).map_err(file_error)?),
        None => None,
    };
    let mut frame = found.tail.frames.last().map_or(header.frame, |frame| frame.info().frame);
    if !is_clean {
        let resumed = LogWriter::resume(Arc::clone(&medium), options.log(identity.store), &found.tail);
        let mut resumed = resumed.map_err(file_error)?;
        let opening = Commit {
            incarnation: identity.incarnation,
            cut_tick,
            tick_reserve: start_tick.saturating_add(TICKS_RESERVED),
            wall_clock: wall_clock(options.time.now().max(last_time)),
        };
        frame = resumed.commit(opening).map_err(file_error)?.frame;
        // By the persister, when there is something to write.
        resumed.roll_later();
        log = Some(resumed);
    }
    let report = OpenReport {
        created,
        sealed,
        snapshot_file: found.file.name().to_owned(),
        entries: found.file.entries(),
        frames: found.tail.frames.len(),
        torn: found.tail.torn.clone(),
        kept_aside,
        skipped: found.skipped,
        time: started.elapsed(),
    };
    let mut tail = found.tail;
    let frames: Arc<[Frame]> = std::mem::take(&mut tail.frames).into();
    let tail_bytes = frames.iter().map(|frame| frame.info().payload_len + PAGE as u64).sum();
    let file_bytes = found.file.bytes();
    let catalog = catalog(Arc::new(found.file), &frames).map_err(file_error)?;
    let defined: HashSet<u32> = catalog.dormant.values().map(|dormant| dormant.record.id).collect();
    let generation = names.iter().filter_map(|name| snapshot_generation(name)).max().unwrap_or(header.generation);
    let figures = Figures { tail_bytes, generation: header.generation, ..Figures::default() };
    let recovered = Recovered {
        shared: Arc::new(Shared::new(cut_tick, figures)),
        catalog: Arc::new(Mutex::new(catalog)),
        medium,
        identity,
        defined,
        file_bytes,
        generation,
        frame,
        tick_reserve: if is_clean { 0 } else { start_tick.saturating_add(TICKS_RESERVED) },
        tail_bytes,
        tail,
        log,
        older: found.older,
        lock,
    };
    Ok(Opened { recovered, report, start_tick, last_time })
}

/// Removes snapshot files that a crash interrupted. If they stayed, new ones could not be created under their names.
fn remove_unfinished(medium: &dyn Medium, names: &[String]) -> Result<(), FormatError> {
    let mut unfinished = names.iter().filter(|name| name.ends_with(TEMPORARY) && name.starts_with("snapshot-"));
    unfinished.try_for_each(|name| medium.remove(name).map_err(FormatError::io("remove", name)))
}

/// Whether a directory without a snapshot file is a store that a crash kept from being made: it has a first segment, unused.
fn is_begun_only(medium: &dyn Medium, names: &[String]) -> Result<bool, FormatError> {
    let segments: Vec<_> = names.iter().filter_map(|name| log_segment(name)).collect();
    if segments != [NextFrame::default().segment] {
        return Ok(false);
    }
    LogScan::is_unused(medium, segments[0])
}

/// Makes an empty directory a store: its first snapshot file holds nothing but who it is.
///
/// The log is there before the snapshot file has its name. So a snapshot file without any log has lost it.
fn create(medium: &Arc<dyn Medium>, options: &Options) -> Result<LogWriter, FormatError> {
    let number = crate::random::number;
    let header = SnapshotHeader {
        store: u128::from(number()) << 64 | u128::from(number()),
        generation: 1,
        incarnation: next_incarnation(0),
        cut_tick: 0,
        frame: 0,
        tick_reserve: TICKS_RESERVED,
        wall_clock: wall_clock(options.time.now()),
        hash_key: [number(), number()],
    };
    let name = snapshot_name(1);
    let temporary = format!("{name}{TEMPORARY}");
    SnapshotFileWriter::create(&**medium, &temporary, header, Codec::Raw)?.finish()?;
    let log = LogWriter::create(Arc::clone(medium), options.log(header.store))?;
    publish(&**medium, &temporary, &name)?;
    Ok(log)
}

/// Finds the newest snapshot file that opens and whose log goes on from it.
fn find(medium: &dyn Medium, names: &[String]) -> Result<Found, FormatError> {
    let mut files: Vec<_> = names.iter().filter(|name| snapshot_generation(name).is_some()).cloned().collect();
    files.sort_unstable_by_key(|name| std::cmp::Reverse(snapshot_generation(name)));
    let mut skipped = Vec::new();
    for (index, name) in files.iter().enumerate() {
        match try_file(medium, name) {
            Ok((file, tail)) => {
                let older = files[index..].to_vec();
                return Ok(Found { file, tail, skipped, older });
            }
            Err(error) => skipped.push((name.clone(), error)),
        }
    }
    // The newest one's error is the one that matters.
    Err(skipped.swap_remove(0).1)
}

fn try_file(medium: &dyn Medium, name: &str) -> Result<(SnapshotFile, LogTail), FormatError> {
    let mapping = medium.map(name).map_err(FormatError::io("map", name))?;
    let file = SnapshotFile::open(name, mapping)?;
    if snapshot_generation(name) != Some(file.header().generation) {
        let what = "the snapshot file has another one's name";
        return Err(FormatError::Malformed { file: name.to_owned(), what, offset: 0 });
    }
    let tail = LogScan::read(medium, file.header().store, file.header().frame)?;
    if tail.segments.is_empty() {
        return Err(FormatError::MissingLog { snapshot_file: name.to_owned() });
    }
    Ok((file, tail))
}

/// All components that the file or a frame behind it names; none was asked for yet.
///
/// A name may be defined again as what it is, and a record is of a number that was defined before, and not dropped since. Anything else would hand
/// one component's records to another.
fn catalog(file: Arc<SnapshotFile>, frames: &Arc<[Frame]>) -> Result<Catalog, FormatError> {
    let mut components = Components {
        file: Arc::clone(&file),
        frames,
        names: HashMap::new(),
        dropped: HashMap::new(),
        dormant: BTreeMap::new(),
    };
    for component in file.components() {
        components.define(component.record().clone(), None)?;
    }
    for frame in frames.iter() {
        for record in frame.records() {
            match record {
                Record::Define { component: id, name, key_schema, value_schema } => {
                    let [name, key_schema, value_schema] = [name, key_schema, value_schema].map(str::to_owned);
                    components.define(ComponentRecord { id, name, key_schema, value_schema }, Some(frame))?;
                }
                Record::Put { component, .. } | Record::Remove { component, .. } => {
                    components.check(component, frame)?
                }
                Record::Drop { component } => components.drop_component(component, frame)?,
            }
        }
    }
    Ok(Catalog::new(components.dormant))
}

/// The components so far.
struct Components<'a> {
    file: Arc<SnapshotFile>,
    frames: &'a Arc<[Frame]>,
    /// By number.
    names: HashMap<u32, String>,
    /// The frames that say so, by number.
    dropped: HashMap<u32, u64>,
    dormant: BTreeMap<String, Dormant>,
}

impl Components<'_> {
    /// Takes a definition, of the snapshot file or of a frame.
    fn define(&mut self, record: ComponentRecord, frame: Option<&Frame>) -> Result<(), FormatError> {
        let known = self.dormant.get(&record.name);
        if known.is_some_and(|known| known.record == record) {
            return Ok(());
        }
        // Of a frame in which a number changes its owner nobody could tell whose its records are.
        let since = frame.map_or(0, |frame| frame.info().frame);
        let is_free = !self.names.contains_key(&record.id) && self.dropped.get(&record.id).is_none_or(|at| *at < since);
        if known.is_some() || !is_free || record.id == u32::MAX {
            let what = "two components have the same name or number, or a number is the last one";
            return Err(match frame {
                Some(frame) => malformed(frame, what),
                None => FormatError::Malformed { file: self.file.name().to_owned(), what, offset: 0 },
            });
        }
        self.names.insert(record.id, record.name.clone());
        let base = frame.is_none().then(|| Arc::clone(&self.file));
        let component = Dormant { record, base, tail: Arc::clone(self.frames), since };
        self.dormant.insert(component.record.name.clone(), component);
        Ok(())
    }

    /// Forgets a component, which must be there.
    fn drop_component(&mut self, component: u32, frame: &Frame) -> Result<(), FormatError> {
        let name = self.names.remove(&component);
        let name = name.ok_or_else(|| malformed(frame, "a component is dropped that nothing defines"))?;
        self.dormant.remove(&name);
        self.dropped.insert(component, frame.info().frame);
        Ok(())
    }

    /// Checks that a record's component was defined before.
    fn check(&self, component: u32, frame: &Frame) -> Result<(), FormatError> {
        let is_defined = self.names.contains_key(&component);
        if is_defined { Ok(()) } else { Err(malformed(frame, "a record is of a component that nothing defines")) }
    }
}

fn malformed(frame: &Frame, what: &'static str) -> FormatError {
    FormatError::Malformed { file: log_name(frame.segment()), what, offset: frame.offset() }
}

/// An incarnation that no earlier opening had: versions of writes that a crash lost may return in another one.
fn next_incarnation(last: u32) -> u32 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    last.saturating_add(1).max(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// Copies a torn tail into a file of its own.
fn keep_aside(medium: &dyn Medium, torn: &TornTail) -> Result<String, FormatError> {
    let name = format!("torn-{:016x}-{:08x}.log-part", torn.segment, torn.offset);
    let segment = medium.open(&torn.file).map_err(FormatError::io("open", &torn.file))?;
    let _ = medium.remove(&name);
    let copy = medium.create(&name).map_err(FormatError::io("create", &name))?;
    copy_range(&*segment, &*copy, torn).map_err(FormatError::io("copy a torn tail to", &name))?;
    medium.sync_directory().map_err(FormatError::io("sync the directory of", &name))?;
    Ok(name)
}

fn copy_range(from: &dyn MediumFile, to: &dyn MediumFile, torn: &TornTail) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut done = 0;
    while done < torn.bytes {
        let piece = (torn.bytes - done).min(buffer.len() as u64);
        // At most the buffer's length.
        let piece_bytes = &mut buffer[..piece as usize];
        from.read_at(piece_bytes, torn.offset + done)?;
        to.write_at(piece_bytes, done)?;
        done += piece;
    }
    to.sync()
}
