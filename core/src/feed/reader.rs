//! A subscriber without its topic.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::feed::{Cursor, CursorError, Delivery, Lagged};
use crate::raw::chain::Latest;
use crate::raw::component::Component;
use crate::raw::engine::{Engine, Worker};
use crate::raw::notes::{Lag, Look, Scope};
use crate::raw::slot::SlotHeader;
use crate::raw::table::Position;
use crate::raw::unread::Reading;
use crate::sync::{Ordering, fence};
use crate::{Cut, Snapshot, tuning};

/// Reads cuts for a subscriber, and knows where it stands.
pub(super) struct Reader {
    pub(super) engine: Arc<Engine>,
    /// The consumer's number at the desk.
    id: u64,
    /// The component that it is told of; all, if it is none.
    only: Option<u16>,
    pub(super) delivery: Delivery,
    /// The tick up to which batches were handed out.
    pub(super) handed: u64,
    /// The tick up to which nothing comes again.
    pub(super) acknowledged: u64,
    /// The bookmark, if it is told every change.
    reading: Option<Reading>,
    /// How many changes it has read, and how many it will have read with each of the last batches that it was handed.
    read: u64,
    batches: VecDeque<(u64, u64)>,
    /// What a cell says was done, if what was acknowledged beyond it was of no interest.
    done: Option<u64>,
    /// Whether it resumed from too far back, so that nobody knows how much it has missed.
    is_too_old: bool,
}

/// Where a reader stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stand {
    acknowledged: u64,
    done: Option<u64>,
}

/// Batches of which a reader remembers how much they had: as many as anybody holds before he acknowledges one.
const BATCHES: usize = 64;

/// What a reader is told of, and how.
pub(super) struct Terms {
    pub(super) scope: Scope,
    pub(super) delivery: Delivery,
    /// So many slots may wait.
    pub(super) waiting_max: usize,
    /// The component whose every change it is told.
    pub(super) every: Option<Arc<Component>>,
}

impl Reader {
    fn register(engine: &Arc<Engine>, terms: Terms, since: u64) -> Self {
        let Terms { mut scope, delivery, waiting_max, every } = terms;
        let reading = every.and_then(|component| Reading::reader(&component, since));
        scope.bookmark = reading.as_ref().map(Reading::bookmark);
        let only = scope.component;
        let id = engine.desk.register(&engine.records, since, scope, waiting_max);
        let engine = Arc::clone(engine);
        let (read, batches) = (0, VecDeque::new());
        Self {
            engine,
            id,
            only,
            delivery,
            handed: since,
            acknowledged: since,
            reading,
            read,
            batches,
            done: None,
            is_too_old: false,
        }
    }

    /// A reader that is told everything from now on.
    pub(super) fn start(engine: &Arc<Engine>, terms: Terms) -> Self {
        let mut reader = Self::register(engine, terms, 0);
        reader.resync();
        reader
    }

    /// A reader that is told everything after a tick.
    pub(super) fn resume(engine: &Arc<Engine>, terms: Terms, since: u64) -> Self {
        let mut reader = Self::register(engine, terms, since);
        // From here on writers note what they write, and what the reader needs is kept. What was written before is seen by a walk
        // behind this snapshot, which moves the clock; what is written later is noted.
        let tick = Snapshot::take(Arc::clone(engine)).tick();
        if reader.misses_nothing_since(since) {
            for component in reader.components() {
                let slots = changed_since(engine, &component, since);
                if let Some(reading) = &reader.reading
                    && !reading.had_waiting(count_changes(engine, &slots, since, tick))
                {
                    reader.lag();
                    break;
                }
                engine.desk.tell(reader.id, slots);
            }
        }
        reader
    }

    /// The components that it is told of.
    fn components(&self) -> impl Iterator<Item = Arc<Component>> + use<> {
        let only = self.only;
        self.engine.components().into_iter().filter(move |component| only.is_none_or(|only| only == component.id()))
    }

    /// Whether all that came after a tick is still there, and is kept by now: of latest values, the traces of removals. Else the reader lags.
    fn misses_nothing_since(&mut self, since: u64) -> bool {
        // SeqCst fence [PURGE-2]: the floor stands before the look at what is forgotten. Mate: [PURGE-1].
        fence(Ordering::SeqCst);
        let has_all = match &self.reading {
            Some(reading) => !reading.misses(since) && !reading.component().has_base(),
            None => self.components().all(|component| component.remembers_since(since)),
        };
        if !has_all {
            self.lag();
        }
        has_all
    }

    /// Gives up by itself.
    fn lag(&mut self) {
        self.is_too_old = true;
        self.reading.iter().for_each(Reading::give_up);
        self.engine.desk.lag(self.id);
    }

    pub(super) fn cursor(&self, tick: u64) -> Cursor {
        Cursor::new(self.engine.identity, tick)
    }

    /// Whether it lags, by what it was told.
    fn lagged(&self, keys: usize) -> Lagged {
        let changes = self.reading.as_ref().filter(|_| !self.is_too_old).map(Reading::waiting);
        let keys = if self.reading.is_some() { 0 } else { keys };
        Lagged { since: self.cursor(self.acknowledged), keys, changes }
    }

    fn look_for_news(&self) -> Look {
        let engine = &self.engine;
        let session = engine.session();
        let _guard = session.pin();
        engine.desk.look(&engine.records, &engine.clock, self.id)
    }

    /// What has changed, if anything has; whether that is told is for the caller to say.
    pub(super) fn cut(&mut self) -> Option<Result<Cut, Lagged>> {
        let engine = Arc::clone(&self.engine);
        if self.reading.as_ref().is_some_and(Reading::is_given_up) {
            return Some(Err(self.lagged(0)));
        }
        let written = self.reading.as_ref().map(Reading::written);
        let found = self.look_for_news();
        if found == Look::Quiet
            && let (Some(reading), Some(written)) = (&self.reading, written)
        {
            reading.has_read(written);
        }
        if found != Look::News {
            return None;
        }
        if self.reading.is_none()
            && let Some(since) = engine.desk.hold_again(self.id)
        {
            self.misses_nothing_since(since);
        }
        let cut = match Cut::take(&engine, self.id) {
            Ok(cut) => cut,
            Err(Lag { slots, .. }) => return Some(Err(self.lagged(slots))),
        };
        let Some(reading) = &self.reading else { return Some(Ok(cut)) };
        // What came after it stands with the reader's bookmark, unless that was given up before the batch had its own.
        match reading.batch(self.acknowledged) {
            Some(kept) => {
                let cut = cut.keeping(kept, self.acknowledged);
                let mut changes = 0;
                cut.each_version(reading.component().id(), |_, _| changes += 1);
                if self.batches.len() == BATCHES {
                    self.batches.pop_front();
                }
                self.batches.push_back((cut.tick(), self.read + changes));
                Some(Ok(cut))
            }
            None => {
                reading.give_up();
                Some(Err(self.lagged(0)))
            }
        }
    }

    /// What a subscriber is handed of what has changed, if it is anything.
    pub(super) fn look<B>(&mut self, read: impl Fn(Cut) -> Option<B>) -> Option<Result<B, Lagged>> {
        let cut = match self.cut()? {
            Ok(cut) => cut,
            Err(lagged) => return Some(Err(lagged)),
        };
        let tick = cut.tick();
        self.handed = tick;
        let (done, cursor) = (self.done, cut.cursor());
        if self.delivery == Delivery::AtMostOnce {
            self.acknowledge(tick);
        }
        let batch = read(cut);
        if batch.is_none() {
            // Of all that is not acknowledged, nothing is of interest.
            self.done = done;
            self.pass_by(cursor);
        }
        batch.map(Ok)
    }

    pub(super) fn acknowledge(&mut self, tick: u64) {
        self.done = None;
        if let Some(reading) = self.reading.as_ref().filter(|_| tick > self.acknowledged) {
            let slots = self.engine.desk.waiting_for(self.id);
            let read = match self.batches.iter().find(|(handed, _)| *handed == tick) {
                Some((_, read)) => *read,
                // At a cursor of somebody else, or one that is long ago.
                None if reading.is_given_up() => self.read,
                None => self.read + count_changes(&self.engine, &slots, self.acknowledged, tick),
            };
            if reading.go_on(tick, read - self.read) {
                prune_read(&self.engine, reading.component(), &slots);
            }
            self.read = read;
            self.batches.retain(|(handed, _)| *handed > tick);
        }
        self.settle(tick);
    }

    /// Takes it that everything up to a cursor was done; `false` if more was told than that.
    pub(super) fn stand_at(&mut self, cursor: Cursor) -> Result<bool, CursorError> {
        let tick = cursor.tick_in(self.engine.identity, self.engine.clock.now())?;
        if self.done == Some(tick) {
            return Ok(true);
        }
        if tick < self.acknowledged {
            return Ok(false);
        }
        if tick > self.handed {
            // Done by another: what is announced or noted must wait here before it can be counted.
            self.look_for_news();
        }
        self.acknowledge(tick);
        (self.handed, self.done) = (self.handed.max(tick), Some(tick));
        Ok(true)
    }

    /// Passes by what is of no interest, up to a cursor: it was as good as done.
    pub(super) fn pass_by(&mut self, cursor: Cursor) {
        let done = self.done;
        self.acknowledge(cursor.tick());
        (self.handed, self.done) = (self.handed.max(cursor.tick()), done);
    }

    /// Where it stands.
    pub(super) fn stand(&self) -> Stand {
        Stand { acknowledged: self.acknowledged, done: self.done }
    }

    /// Gives up what it has begun since it stood there, and lags.
    pub(super) fn lag_behind(&mut self, stand: Stand) {
        self.lag();
        (self.acknowledged, self.done) = (stand.acknowledged, stand.done);
    }

    fn settle(&mut self, tick: u64) {
        self.acknowledged = self.acknowledged.max(tick);
        self.engine.desk.acknowledge(self.id, tick);
    }

    pub(super) fn resync(&mut self) -> Snapshot {
        self.reading.iter().for_each(Reading::begin_again);
        self.engine.desk.start_anew(self.id);
        let snapshot = Snapshot::take(Arc::clone(&self.engine));
        let tick = snapshot.tick();
        self.reading.iter().for_each(|reading| reading.begin_at(tick));
        (self.handed, self.done, self.is_too_old) = (tick, None, false);
        self.batches.clear();
        self.settle(tick);
        snapshot
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Before the bookmark goes, which the desk looks at.
        self.engine.desk.deregister(&self.engine.records, self.id);
    }
}

/// The slots of a component whose newest version is later than a tick.
fn changed_since(engine: &Arc<Engine>, component: &Component, since: u64) -> Vec<*mut SlotHeader> {
    let (mut changed, mut position) = (Vec::new(), Some(Position::START));
    while let Some(from) = position {
        let session = engine.session();
        let guard = session.pin();
        let worker = Worker::new(engine, &session, &guard);
        let mut slots = Vec::new();
        position = component.step(from, &mut slots);
        let is_later = |slot: &&SlotHeader| match worker.read(slot) {
            Latest::Version(newest) => newest.stamp.tick() > since,
            Latest::Empty | Latest::Purged => false,
        };
        changed.extend(slots.into_iter().filter(is_later).map(|slot| std::ptr::from_ref(slot).cast_mut()));
    }
    changed
}

/// How many changes slots have seen after one tick, up to another.
fn count_changes(engine: &Arc<Engine>, slots: &[*mut SlotHeader], since: u64, until: u64) -> u64 {
    let mut changes = 0;
    for some in slots.chunks(tuning::SCAN_STEP) {
        let session = engine.session();
        let guard = session.pin();
        let worker = Worker::new(engine, &session, &guard);
        // SAFETY: noted slots are type-stable as long as their store.
        let slots = some.iter().map(|slot| unsafe { &**slot });
        changes += slots.map(|slot| worker.between(slot, since, until).count() as u64).sum::<u64>();
    }
    changes
}

/// Takes out what the slowest reader has just read.
fn prune_read(engine: &Arc<Engine>, component: &Component, slots: &[*mut SlotHeader]) {
    for some in slots.chunks(tuning::SCAN_STEP) {
        let session = engine.session();
        let guard = session.pin();
        let worker = Worker::new(engine, &session, &guard);
        for slot in some {
            // SAFETY: noted slots are type-stable as long as their store.
            worker.prune_read(component, unsafe { &**slot });
        }
        worker.tidy();
    }
}
