//! The persister: a state machine that does one thing at a time.
//!
//! In order of precedence, a turn
//! 1. begins a snapshot file, if the log has grown long or somebody asked; its frame serves also those who wait for one;
//! 2. writes a frame, if somebody waits for one or the interval is over: it takes a cut, writes what changed as of it, and makes that
//!    durable with one sync;
//! 3. writes a piece of the snapshot file that it has begun;
//! 4. brings in some of a map that is being restored.
//!
//! There may always be somebody who waits. So when the log has grown too long once more while a file is being written, each second
//! turn is the file's: the log does not grow without end.
//!
//! # Order on disk
//! A snapshot file of a cut is begun when the frame of that cut is durable; it gets its name when its bytes are durable; older files
//! and segments that it covers are removed when its name is. So at any moment the directory holds a snapshot file and every
//! frame after it.
//!
//! # Failures
//! An I/O error of the log is final: after it nobody can know what is on disk. The persister then stops consuming changes, everybody who
//! waits gets the error, and the store in memory goes on. A value that can't be archived fails its frame; the next frame tries
//! again. A snapshot file that can't be written is removed, and tried again when the log has grown by as much again.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use stillpoint::{Consumer, Cut, Snapshot, Store};

use super::catalog::{ActiveComponent, AsOf, Catalog, file_failed, log_failed};
use super::identity::{Identity, TICKS_RESERVED, wall_clock};
use super::options::Options;
use super::snapshot_job::{Published, SnapshotJob, Source};
use super::status::Shared;
use crate::error::DurabilityError;
use crate::format::FormatError;
use crate::log::{Commit, LogTail, LogWriter};
use crate::medium::{DirectoryLock, Medium};
use crate::sync::{Arc, Mutex, lock};

/// Chunks that one turn brings in.
const WARM_STEP: u32 = 16;

/// The log, or what is needed to begin it.
enum Log {
    /// Nothing was written yet in this process; this is what the scan found.
    Unopened(Box<LogTail>),
    Open(Box<LogWriter>),
    /// Sealed, or failed.
    Ended,
}

/// Does the background work of a durable store.
pub(crate) struct Persister {
    pub(crate) shared: Arc<Shared>,
    pub(crate) catalog: Arc<Mutex<Catalog>>,
    pub(crate) medium: Arc<dyn Medium>,
    pub(crate) options: Options,
    pub(crate) identity: Identity,
    store: Store,
    consumer: Option<Consumer>,
    log: Log,
    /// Components whose numbers are defined on disk.
    defined: HashSet<u32>,
    last_frame: Instant,
    /// Whether the last turn wrote a frame.
    was_frame: bool,
    /// The number of the last durable frame.
    frame: u64,
    /// Ticks up to here were set aside by it, or 0 if this life has written none.
    tick_reserve: u64,
    generation: u64,
    job: Option<SnapshotJob>,
    /// What the job answers: requests for a snapshot file that came before its cut.
    job_answers: u64,
    /// Bytes of log that the job makes superfluous.
    job_covers: u64,
    /// Bytes of log since the newest snapshot file's cut.
    tail_bytes: u64,
    /// How long the newest snapshot file is.
    file_bytes: u64,
    /// Snapshot files that the next one replaces.
    older: Vec<String>,
    /// The bytes of log at which the next snapshot file is begun.
    next_file_at: u64,
    /// Maps that are to be brought in, and how far that is.
    warming: VecDeque<(Arc<dyn ActiveComponent>, u32)>,
    _lock: DirectoryLock,
}

/// What recovery hands to the persister.
pub(crate) struct Recovered {
    pub(crate) shared: Arc<Shared>,
    pub(crate) catalog: Arc<Mutex<Catalog>>,
    pub(crate) medium: Arc<dyn Medium>,
    pub(crate) identity: Identity,
    pub(crate) defined: HashSet<u32>,
    pub(crate) file_bytes: u64,
    pub(crate) generation: u64,
    pub(crate) frame: u64,
    pub(crate) tick_reserve: u64,
    pub(crate) tail_bytes: u64,
    /// What the scan of the log found.
    pub(crate) tail: LogTail,
    /// The log, unless it was closed and goes on with the first frame.
    pub(crate) log: Option<LogWriter>,
    /// Snapshot files that the next one replaces.
    pub(crate) older: Vec<String>,
    pub(crate) lock: DirectoryLock,
}

/// Whether a turn found something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Worked,
    Idle,
}

impl Persister {
    pub(crate) fn new(recovered: Recovered, options: Options, store: Store) -> Self {
        let consumer = Some(store.consumer());
        Self {
            shared: recovered.shared,
            catalog: recovered.catalog,
            medium: recovered.medium,
            identity: recovered.identity,
            store,
            consumer,
            log: match recovered.log {
                Some(writer) => Log::Open(Box::new(writer)),
                None => Log::Unopened(Box::new(recovered.tail)),
            },
            defined: recovered.defined,
            last_frame: Instant::now(),
            was_frame: false,
            frame: recovered.frame,
            tick_reserve: recovered.tick_reserve,
            generation: recovered.generation,
            job: None,
            job_answers: 0,
            job_covers: 0,
            tail_bytes: recovered.tail_bytes,
            file_bytes: recovered.file_bytes,
            older: recovered.older,
            next_file_at: options.tail_bytes_max,
            warming: VecDeque::new(),
            options,
            _lock: recovered.lock,
        }
    }

    /// Does the next thing.
    pub(crate) fn turn(&mut self, now: Instant) -> Turn {
        self.collect_warming();
        let (is_wanted, file_wanted) = {
            let status = self.shared.status();
            (status.is_wanted(), status.files_wanted > status.files_answered)
        };
        if self.job.is_none() && (file_wanted || (self.tail_bytes >= self.next_file_at && self.consumer.is_some())) {
            self.last_frame = now;
            self.begin_file();
            return Turn::Worked;
        }
        let is_due = is_wanted || now.duration_since(self.last_frame) >= self.options.interval;
        if self.consumer.is_some() && is_due && !self.is_files_turn() {
            self.last_frame = now;
            self.was_frame = true;
            // A failure has been told to everybody.
            let _ = self.frame();
            return Turn::Worked;
        }
        self.was_frame = false;
        if self.job.is_some() {
            self.advance_file();
            return Turn::Worked;
        }
        self.warm_some()
    }

    /// Whether a snapshot file that is late goes before a frame.
    fn is_files_turn(&self) -> bool {
        let since_cut = self.tail_bytes - self.job_covers;
        self.was_frame && self.job.is_some() && since_cut >= self.options.tail_bytes_max
    }

    /// How long an idle thread may sleep.
    pub(crate) fn rest(&self, now: Instant) -> Duration {
        if self.consumer.is_none() {
            return Duration::from_secs(3600);
        }
        self.options.interval.saturating_sub(now.duration_since(self.last_frame))
    }

    /// Writes a frame, if anything has changed.
    pub(crate) fn frame(&mut self) -> Result<(), DurabilityError> {
        self.frame_and_see().map(drop)
    }

    /// Writes a frame, if anything has changed; hands back the moment that it is of, and the components there were.
    fn frame_and_see(&mut self) -> Result<(Snapshot, VecDeque<Source>), DurabilityError> {
        let Some(consumer) = &mut self.consumer else { return Err(self.why_ended()) };
        let cut = consumer.cut();
        let tick = cut.tick();
        let started = Instant::now();
        // The catalog as of the cut: a map that is asked for later has no change up to it.
        let as_of = lock(&self.catalog).as_of(tick);
        match self.write_frame(&cut, &as_of, Ending::Commit) {
            Ok(bytes) => Ok((self.acknowledge(cut, bytes, started.elapsed()), as_of.sources)),
            Err(error) => {
                // Dropping the cut gives its changes back.
                drop(cut);
                self.refuse(tick, &error);
                Err(error)
            }
        }
    }

    fn acknowledge(&mut self, cut: Cut, bytes: Option<u64>, time: Duration) -> Snapshot {
        let tick = cut.tick();
        let snapshot = match &mut self.consumer {
            Some(consumer) => consumer.acknowledge(cut),
            None => unreachable!("a cut was taken by the consumer"),
        };
        self.tail_bytes += bytes.unwrap_or(0);
        let tail_bytes = self.tail_bytes;
        self.shared.report(|status| {
            status.durable = status.durable.max(tick);
            status.refused = None;
            if let Some(bytes) = bytes {
                let figures = &mut status.figures;
                figures.last_frame = Some(Instant::now());
                figures.frames += 1;
                figures.frame_bytes += bytes;
                figures.frame_time_max = figures.frame_time_max.max(time);
                figures.tail_bytes = tail_bytes;
            }
        });
        snapshot
    }

    /// Writes what changed in a cut; `None` if that is nothing and nothing else must be said.
    fn write_frame(&mut self, cut: &Cut, as_of: &AsOf, ending: Ending) -> Result<Option<u64>, DurabilityError> {
        let active = || as_of.sources.iter().filter_map(Source::active);
        let dropped: Vec<_> = as_of.dropped.iter().filter(|dropped| self.defined.contains(dropped)).collect();
        let is_new = active().any(|component| !self.defined.contains(&component.record().id));
        // Snapshots move the clock without a change: what is set aside must last.
        let is_reserved = self.tick_reserve == 0 || self.tick_reserve.saturating_sub(cut.tick()) > TICKS_RESERVED / 2;
        if cut.is_empty() && dropped.is_empty() && !is_new && is_reserved && ending == Ending::Commit {
            return Ok(None);
        }
        let mut log = self.take_log()?;
        let mut defined = Vec::new();
        let written = dropped.iter().try_for_each(|dropped| log.drop_component(**dropped).map_err(log_failed));
        let written = written.and_then(|()| {
            active().try_for_each(|component| {
                if !self.defined.contains(&component.record().id) {
                    log.define(component.record()).map_err(log_failed)?;
                    defined.push(component.record().id);
                }
                component.log_changes(cut, &mut log)
            })
        });
        if let Err(error) = written {
            if log.failed().is_none() && log.abort().is_ok() {
                self.log = Log::Open(log);
            }
            return Err(error);
        }
        let commit = self.commit_at(cut.tick());
        let info = match ending {
            Ending::Commit => {
                let info = log.commit(commit).map_err(log_failed);
                if info.is_ok() {
                    self.log = Log::Open(log);
                }
                info
            }
            Ending::Seal => log.seal(commit).map_err(log_failed),
        }?;
        dropped.iter().for_each(|dropped| _ = self.defined.remove(dropped));
        self.defined.extend(defined);
        lock(&self.catalog).forget(&as_of.dropped);
        self.frame = info.frame;
        self.tick_reserve = commit.tick_reserve;
        Ok(Some(info.bytes))
    }

    /// Takes the log to write it; it has ended unless it is put back.
    fn take_log(&mut self) -> Result<Box<LogWriter>, DurabilityError> {
        match std::mem::replace(&mut self.log, Log::Ended) {
            Log::Open(log) => Ok(log),
            Log::Unopened(tail) => {
                let options = self.options.log(self.identity.store);
                LogWriter::resume(Arc::clone(&self.medium), options, &tail).map(Box::new).map_err(log_failed)
            }
            Log::Ended => Err(self.why_ended()),
        }
    }

    fn why_ended(&self) -> DurabilityError {
        self.shared.status().fatal.clone().unwrap_or(DurabilityError::Closed)
    }

    /// Tells everybody that a frame has failed, and gives up if the log has.
    fn refuse(&mut self, tick: u64, error: &DurabilityError) {
        let is_fatal = matches!(self.log, Log::Ended);
        if is_fatal {
            // No consumer any more: changes need not be kept for a log that is gone.
            self.consumer = None;
            self.job = None;
            self.shared.set_writing_snapshot(false);
        }
        let is_new = self.shared.report(|status| {
            status.last_error = Some(error.clone());
            if is_fatal {
                status.fatal = Some(error.clone());
            }
            status.refused.replace((tick, error.clone())).is_none() || is_fatal
        });
        if is_new {
            self.tell(error);
        }
    }

    fn tell(&self, error: &DurabilityError) {
        if let Some(hook) = &self.options.on_failure {
            hook(error);
        }
    }

    /// What a frame of a cut is committed with.
    fn commit_at(&self, cut_tick: u64) -> Commit {
        Commit {
            incarnation: self.identity.incarnation,
            cut_tick,
            tick_reserve: cut_tick.saturating_add(TICKS_RESERVED),
            wall_clock: wall_clock(self.store.time()),
        }
    }

    /// Gives up after a panic in a type's own code.
    pub(crate) fn give_up(&mut self, message: &str) {
        self.log = Log::Ended;
        let tick = self.store.tick();
        self.refuse(tick, &DurabilityError::Panicked { message: message.into() });
    }

    /// Begins a snapshot file: of a fresh cut, whose frame is made durable first.
    fn begin_file(&mut self) {
        self.job_answers = self.shared.status().files_wanted;
        if let Err(error) = self.try_begin_file() {
            self.answer_file(Some(error));
        }
    }

    fn try_begin_file(&mut self) -> Result<(), DurabilityError> {
        let (snapshot, sources) = self.frame_and_see()?;
        if let Log::Open(log) = &mut self.log
            // Frames after the cut go into segments that the file does not cover.
            && let Err(error) = log.roll()
        {
            let error = log_failed(error);
            self.log = Log::Ended;
            self.refuse(snapshot.tick(), &error);
            return Err(error);
        }
        let commit = self.commit_at(snapshot.tick());
        let limit = u64::MAX;
        let too_large = FormatError::TooLarge { what: "a generation", found: self.generation, limit };
        let generation = self.generation.checked_add(1).ok_or_else(|| file_failed(too_large))?;
        let job = SnapshotJob::begin(&*self.medium, &self.identity, snapshot, sources, generation, self.frame, commit)?;
        self.job_covers = self.tail_bytes;
        self.job = Some(job);
        self.shared.set_writing_snapshot(true);
        Ok(())
    }

    /// Writes a snapshot file from its cut to its use.
    pub(crate) fn whole_file(&mut self) -> Result<(), DurabilityError> {
        self.begin_file();
        while self.job.is_some() {
            self.advance_file();
        }
        self.shared.status().file_error.clone().map_or(Ok(()), Err)
    }

    fn advance_file(&mut self) {
        let Some(mut job) = self.job.take() else { return };
        match job.advance(&*self.medium) {
            Ok(None) => self.job = Some(job),
            Ok(Some(published)) => self.publish(published),
            Err(error) => {
                job.discard(&*self.medium);
                self.shared.set_writing_snapshot(false);
                self.answer_file(Some(error));
            }
        }
    }

    /// Takes a snapshot file that is durable under its name into use.
    fn publish(&mut self, published: Published) {
        self.generation = published.report.generation;
        self.file_bytes = published.report.bytes;
        self.tail_bytes -= std::mem::take(&mut self.job_covers);
        self.next_file_at = self.options.tail_bytes_max;
        self.shared.set_writing_snapshot(false);
        lock(&self.catalog).rebase(&published.file);
        // What the file covers is of no use any more. A failure leaves files behind, which the next start ignores.
        if let Log::Open(log) = &mut self.log {
            let _ = log.remove_covered(published.frame);
        }
        for older in self.older.drain(..) {
            let _ = self.medium.remove(&older);
        }
        self.older.push(published.file.name().to_owned());
        let tail_bytes = self.tail_bytes;
        self.shared.report(|status| {
            status.figures.snapshot_files += 1;
            status.figures.generation = published.report.generation;
            status.figures.last_snapshot_file = Some(published.report);
            status.figures.tail_bytes = tail_bytes;
        });
        self.answer_file(None);
    }

    /// Answers those who asked for a snapshot file before the last one was begun.
    fn answer_file(&mut self, error: Option<DurabilityError>) {
        if let Some(error) = &error {
            self.next_file_at = self.tail_bytes.saturating_add(self.options.tail_bytes_max.max(1));
            self.tell(error);
        }
        self.shared.report(|status| {
            status.files_answered = self.job_answers;
            match &error {
                Some(_) => status.last_error.clone_from(&error),
                None => status.files_written = self.job_answers,
            }
            status.file_error = error;
        });
    }

    fn collect_warming(&mut self) {
        let fresh = std::mem::take(&mut lock(&self.catalog).to_warm);
        if !fresh.is_empty() {
            self.warming.extend(fresh.into_iter().map(|component| (component, 0)));
            self.count_warming();
        }
    }

    fn warm_some(&mut self) -> Turn {
        let Some((component, from)) = self.warming.pop_front() else { return Turn::Idle };
        match component.warm(from, WARM_STEP) {
            Ok(Some(next)) => self.warming.push_front((component, next)),
            Ok(None) => {}
            Err(error) => {
                let error = DurabilityError::Unreadable(error);
                self.tell(&error);
                self.shared.report(|status| status.last_error = Some(error));
            }
        }
        self.count_warming();
        Turn::Worked
    }

    fn count_warming(&self) {
        let warming = self.warming.len();
        self.shared.report(|status| status.figures.warming = warming);
    }

    /// Ends the work: a last frame with the seal, behind a snapshot file if the log is long.
    pub(crate) fn finish(&mut self, tail_bytes_kept: u64) -> Result<(), DurabilityError> {
        let result = self.try_finish(tail_bytes_kept);
        self.consumer = None;
        let error = result.clone().err();
        if let Some(error) = &error {
            self.tell(error);
        }
        self.shared.report(|status| {
            status.fatal.get_or_insert(error.unwrap_or(DurabilityError::Closed));
            status.files_answered = status.files_wanted;
            status.file_error.get_or_insert(DurabilityError::Closed);
        });
        result
    }

    fn try_finish(&mut self, tail_bytes_kept: u64) -> Result<(), DurabilityError> {
        if self.consumer.is_none() {
            return Err(self.why_ended());
        }
        if let Some(mut job) = self.job.take() {
            job.discard(&*self.medium);
            self.shared.set_writing_snapshot(false);
        }
        self.frame()?;
        // A file that is no longer than the log costs no more than the log has.
        let is_cheap = tail_bytes_kept < u64::MAX && self.tail_bytes > self.file_bytes;
        if self.tail_bytes > tail_bytes_kept || is_cheap {
            // A failure costs the next start some time, and nothing else: the log has it all.
            let _ = self.whole_file();
        }
        let Some(consumer) = &mut self.consumer else { return Err(self.why_ended()) };
        let cut = consumer.cut();
        let as_of = lock(&self.catalog).as_of(cut.tick());
        if matches!(&self.log, Log::Unopened(tail) if tail.sealed) && cut.is_empty() && as_of.dropped.is_empty() {
            // As it was found.
            return Ok(());
        }
        if let Log::Open(log) = &mut self.log
            && let Err(error) = log.roll_to_seal()
        {
            self.log = Log::Ended;
            return Err(log_failed(error));
        }
        let started = Instant::now();
        let bytes = self.write_frame(&cut, &as_of, Ending::Seal)?;
        self.acknowledge(cut, bytes, started.elapsed());
        Ok(())
    }
}

/// How a frame ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Commit,
    /// The log ends with it.
    Seal,
}
