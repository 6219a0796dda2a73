//! A subscriber without its topic.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::feed::{Cursor, CursorError, Delivery, Lagged};
use crate::raw::chain::Latest;
use crate::raw::component::Component;
use crate::raw::engine::{Engine, Worker};
use crate::raw::notes::{Lag, Scope};
use crate::raw::shelf::{Progress, Shelf};
use crate::raw::slot::SlotHeader;
use crate::raw::table::Position;
use crate::sync::{Ordering, fence};
use crate::{Cut, Snapshot};

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
    /// The bookmarks, if it is told every change.
    shelf: Option<Arc<Shelf>>,
    /// How many changes it will have read with each of the last batches that it was handed.
    batches: VecDeque<(u64, Progress)>,
    /// What a cell says was done, if what was acknowledged beyond it was of no interest.
    done: Option<u64>,
    /// Whether nobody knows how much it has missed: it resumed from too far back.
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
    /// The components of which it is told every change.
    pub(super) every: EveryOf,
}

/// Of which components a reader is told every change.
pub(super) enum EveryOf {
    /// Of none.
    Nothing,
    /// Of this one.
    Component(Arc<Component>),
    /// Of all that keep them.
    Store,
}

impl Reader {
    fn register(engine: &Arc<Engine>, terms: Terms, since: u64) -> Self {
        let Terms { mut scope, delivery, waiting_max, every } = terms;
        let shelf = match every {
            EveryOf::Nothing => None,
            EveryOf::Component(component) => Some(Shelf::of(engine, &component)),
            EveryOf::Store => Some(Shelf::of_store(engine)),
        };
        scope.bookmark = shelf.as_ref().and_then(|shelf| shelf.bookmark());
        let only = scope.component;
        let id = engine.desk.register(&engine.records, since, scope, waiting_max);
        let engine = Arc::clone(engine);
        Self {
            engine,
            id,
            only,
            delivery,
            handed: since,
            acknowledged: since,
            shelf,
            batches: VecDeque::new(),
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
        reader.begin(Some(since));
        // From here on writers note what they write, and what the reader needs is kept. What was written before is seen by a walk
        // behind this snapshot, which moves the clock; what is written later is noted.
        drop(Snapshot::take(Arc::clone(engine)));
        if !reader.misses_nothing_since(since) {
            reader.is_too_old = true;
            reader.lag();
            return reader;
        }
        let mut is_full = false;
        for component in reader.components() {
            let slots = changed_since(engine, &component, since);
            is_full |= reader.shelf.as_ref().is_some_and(|shelf| !shelf.had_waiting(&component, &slots, since));
            engine.desk.tell(reader.id, slots);
        }
        if is_full {
            reader.lag();
        }
        reader
    }

    /// Begins to be told, with nothing waiting: of newest values, of all that is written from now on; of every change, of all later than a tick,
    /// or than the clock, which is returned.
    fn begin(&self, since: Option<u64>) -> u64 {
        let (id, desk) = (self.id, &self.engine.desk);
        loop {
            let Some(shelf) = &self.shelf else {
                desk.start_anew(id, None);
                return self.engine.clock.now();
            };
            let before = shelf.renew();
            desk.start_anew(id, shelf.bookmark());
            if let Some(begun) = shelf.begin(&self.engine.clock, since) {
                return begun;
            }
            drop(before);
        }
    }

    /// The components that it is told of.
    fn components(&self) -> impl Iterator<Item = Arc<Component>> + use<> {
        let only = self.only;
        self.engine.components().into_iter().filter(move |component| only.is_none_or(|only| only == component.id()))
    }

    /// Whether all that came after a tick is still there, and is kept by now: of newest values, the traces of removals.
    fn misses_nothing_since(&self, since: u64) -> bool {
        // SeqCst fence [PURGE-2]: the floor stands before the look at what is forgotten. Mate: [PURGE-1]. And [UNREAD-2]: the bookmarks stand before
        // the look at what has passed. Mate: [UNREAD-1].
        fence(Ordering::SeqCst);
        self.components().all(|component| {
            let has_all = self.shelf.as_ref().and_then(|shelf| shelf.has_all_since(&component, since));
            has_all.unwrap_or_else(|| component.remembers_since(since))
        })
    }

    /// Gives up by itself. Returns how many keys waited then, or when it began to lag.
    fn lag(&self) -> usize {
        self.shelf.iter().for_each(|shelf| shelf.give_up());
        self.engine.desk.lag(self.id)
    }

    pub(super) fn cursor(&self, tick: u64) -> Cursor {
        Cursor::new(self.engine.identity, tick)
    }

    /// Gives up, and says what was missed.
    fn lagged(&self) -> Lagged {
        let keys = self.lag();
        let keys = if self.is_told_newest() && !self.is_too_old { keys } else { 0 };
        let changes = self.shelf.as_ref().filter(|_| !self.is_too_old).map(|shelf| shelf.waiting());
        Lagged { since: self.cursor(self.acknowledged), keys, changes }
    }

    /// Whether a cut may name something for it, or it lags.
    fn look_for_news(&self) -> bool {
        let engine = &self.engine;
        let session = engine.session();
        let _guard = session.pin();
        engine.desk.look(&engine.records, &engine.clock, self.id)
    }

    /// What has changed, if anything has; whether that is told is for the caller to say.
    pub(super) fn cut(&mut self) -> Option<Result<Cut, Lagged>> {
        if self.shelf.as_ref().is_some_and(|shelf| shelf.is_given_up()) {
            // At one component: then at all.
            return Some(Err(self.lagged()));
        }
        if !self.look_for_news() {
            return None;
        }
        if self.is_told_newest()
            && let Some(since) = self.engine.desk.hold_again(self.id)
            && !self.misses_nothing_since(since)
        {
            self.lag();
        }
        let cut = match Cut::take(&self.engine, self.id) {
            Ok(cut) => cut,
            Err(Lag) => return Some(Err(self.lagged())),
        };
        let Some(shelf) = &self.shelf else { return Some(Ok(cut)) };
        // What came after it stands with the reader's bookmarks, unless one was given up before the batch had its own.
        let Some(kept) = shelf.batch(self.acknowledged, |component| cut.has_changed(component)) else {
            return Some(Err(self.lagged()));
        };
        let cut = cut.keeping(kept, self.acknowledged);
        let progress = cut.kept().map(|component| {
            let mut changes = 0;
            cut.each_version(component, |_, _| changes += 1);
            (component, shelf.read_with(component, changes))
        });
        let progress = progress.collect();
        if self.batches.len() == BATCHES {
            self.batches.pop_front();
        }
        self.batches.push_back((cut.tick(), progress));
        Some(Ok(cut))
    }

    /// Whether it is told of components by their newest values.
    fn is_told_newest(&self) -> bool {
        self.shelf.as_ref().is_none_or(|shelf| shelf.is_whole())
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
        if let Some(shelf) = self.shelf.as_ref().filter(|_| tick > self.acknowledged) {
            let mut slots = self.engine.desk.waiting_for(self.id);
            // Not known at a cursor of somebody else, or one that is long ago.
            let known = self.batches.iter().find(|(handed, _)| *handed == tick).map(|(_, progress)| progress);
            self.is_too_old |= !shelf.go_on(self.acknowledged, tick, &mut slots, known);
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
        (self.acknowledged, self.done, self.is_too_old) = (stand.acknowledged, stand.done, true);
    }

    fn settle(&mut self, tick: u64) {
        self.acknowledged = self.acknowledged.max(tick);
        self.engine.desk.acknowledge(self.id, tick);
    }

    pub(super) fn resync(&mut self) -> Snapshot {
        let begun = self.begin(None);
        let snapshot = Snapshot::take(Arc::clone(&self.engine));
        let tick = snapshot.tick();
        self.batches.clear();
        (self.handed, self.acknowledged, self.is_too_old) = (tick, begun, false);
        if self.shelf.is_some() && begun < tick {
            // What the snapshot shows of what came meanwhile must wait here before it can be counted.
            self.look_for_news();
        }
        self.acknowledge(tick);
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
