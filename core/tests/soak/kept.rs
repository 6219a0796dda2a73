//! What checks, keeps and refuses, worked on beside the rest: a checked map, a map that keeps every change, a cell with history, and a store
//! with a bound on its memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use stillpoint::{
    Cell, CellOptions, CheckedMap, Feed, History, Map, MapOptions, MemoryPolicy, Proposal, Refused, Snapshot, Store,
    StoreOptions,
};

use super::support::counted::{Census, Counted};
use super::support::random::Random;

const LEVELS: u64 = 32;
const TOPICS: u64 = 16;
/// Changes of a topic that may wait for a reader: few enough that one which sleeps lags.
const UNREAD_BYTES: usize = 1 << 18;
const MOODS: u64 = 8;
/// What the bounded store may take, and by how much each thread that writes may pass that.
const BOUND: u64 = 4 << 20;
const PASSED_BY: usize = 1 << 20;

type Page = [u64; 64];

/// - *Levels*: each write of a level, and no other, raises it by one; so their sum is how often they were raised.
/// - *Topics*: each write raises a topic by one, and whoever is told every change is told each number.
/// - *Mood*: each write raises it by one, so its history is a row of numbers.
/// - *Pages*: keys that come until no more are taken; then some go.
pub(crate) struct Kept {
    levels: CheckedMap<u64, Counted>,
    topics: Map<u64, Counted>,
    mood: Cell<Counted>,
    bounded: Store,
    pages: CheckedMap<u64, Page>,
    /// How often a level was raised.
    raised: AtomicU64,
    /// How often a page was refused.
    refused: AtomicU64,
    /// How many changes of topics were told, and how often a reader lagged.
    told: AtomicU64,
    lagged: AtomicU64,
}

fn rises(proposal: &Proposal<'_, u64, Counted>) -> Result<(), &'static str> {
    let number = |value: Option<&Counted>| value.map(Counted::number);
    match (number(proposal.old), number(proposal.new)) {
        (None, Some(0)) => Ok(()),
        (Some(old), Some(new)) if new == old + 1 => Ok(()),
        _ => Err("a level rises by one"),
    }
}

impl Kept {
    pub(crate) fn new(store: &Store, census: &Census) -> Self {
        let bounded = Store::with_options(StoreOptions::new().memory(MemoryPolicy::Refuse { bytes_max: BOUND }));
        let kept = Self {
            levels: store.map_with("levels", MapOptions::new().validate(rises)).expect("a fresh name"),
            topics: store.map_with("topics", MapOptions::new().every_change(UNREAD_BYTES)).expect("a fresh name"),
            mood: store
                .cell_with("mood", census.value(0), CellOptions::new().history(History::last(MOODS)))
                .expect("a fresh name"),
            pages: bounded.map_with("pages", MapOptions::new().keys_max(1 << 20)).expect("a fresh name"),
            bounded,
            raised: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            told: AtomicU64::new(0),
            lagged: AtomicU64::new(0),
        };
        for level in 0..LEVELS {
            assert!(kept.levels.pin().put(level, census.value(0)).is_ok());
        }
        for topic in 0..TOPICS {
            kept.topics.pin().put(topic, census.value(0));
        }
        kept
    }

    /// One step of a worker.
    pub(crate) fn work(&self, random: &mut Random) {
        match random.below(4) {
            0 => self.raise(random),
            1 => _ = self.topics.pin().update(&random.below(TOPICS), |topic| topic.with(topic.number() + 1)),
            2 => self.cheer(random),
            _ => self.leaf(random),
        }
    }

    /// Raises a level, or tries what is refused.
    fn raise(&self, random: &mut Random) {
        let (level, by) = (random.below(LEVELS), 1 + random.below(4) / 3);
        let raised = self.levels.pin().update(&level, |held| held.with(held.number() + by)).map(|new| new.is_some());
        match raised {
            Ok(is_there) => {
                assert!(is_there && by == 1, "a level rises by one");
                self.raised.fetch_add(1, Ordering::Relaxed);
            }
            Err(refused) => assert!(by == 2 && matches!(refused, Refused::Invalid { .. }), "{refused}"),
        }
    }

    /// Changes the mood, or looks how it came about.
    fn cheer(&self, random: &mut Random) {
        let pin = self.mood.pin();
        if random.below(4) > 0 {
            pin.update(|mood| mood.with(mood.number() + 1));
            return;
        }
        let history = pin.history().expect("it is kept");
        let moods: Vec<u64> = history.map(|revision| revision.value.expect("a cell has a value").number()).collect();
        let is_row = moods.windows(2).all(|pair| pair[0].abs_diff(pair[1]) == 1);
        assert!(is_row && !moods.is_empty(), "a history has a gap: {moods:?}");
    }

    /// Writes a page; if no more are taken, removes some.
    fn leaf(&self, random: &mut Random) {
        let pin = self.pages.pin();
        let key = random.below(1 << 14);
        match pin.put(key, [key; 64]) {
            Ok(_) => {}
            Err(Refused::Overloaded { value, .. }) => {
                assert_eq!(value[0], key, "what is refused is given back");
                self.refused.fetch_add(1, Ordering::Relaxed);
                for _ in 0..64 {
                    assert!(pin.remove(&random.below(1 << 14)).is_ok(), "a removal is never refused");
                }
                drop(pin);
                self.bounded.maintain();
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Reads every change of the topics; sometimes sleeps for so long that it lags, sometimes goes, and another one comes.
    pub(crate) fn read(&self, seed: u64, is_over: &AtomicBool) {
        let mut random = Random::new(seed);
        while !is_over.load(Ordering::Relaxed) {
            let mut reader = self.topics.subscribe(Feed::every()).expect("it keeps every change");
            let mut shown = self.shown(&reader.resync());
            for _ in 0..random.below(1_000) {
                match reader.poll() {
                    Ok(None) => {}
                    Ok(Some(batch)) => {
                        for change in batch.iter() {
                            let number = change.value.expect("topics stay").number();
                            let before = shown.insert(*change.key, number);
                            assert_eq!(before, Some(number - 1), "a change is told twice, or not");
                        }
                        self.told.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    }
                    Err(_) => {
                        self.lagged.fetch_add(1, Ordering::Relaxed);
                        shown = self.shown(&reader.resync());
                    }
                }
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(Duration::from_micros(if random.below(500) == 0 {
                    300_000
                } else {
                    random.below(5_000)
                }));
            }
        }
    }

    fn shown(&self, still: &Snapshot) -> HashMap<u64, u64> {
        still.iter(&self.topics).map(|(topic, value)| (*topic, value.number())).collect()
    }

    /// Checks what holds at a snapshot, which is taken after this was counted.
    pub(crate) fn raised(&self) -> u64 {
        self.raised.load(Ordering::Relaxed)
    }

    /// The sum of the levels at a snapshot.
    pub(crate) fn sum(&self, still: &Snapshot) -> u64 {
        still.iter(&self.levels).map(|(_, level)| level.number()).sum()
    }

    /// Checks what holds when nobody works, and leaves nothing that waits; returns how many values are visible or kept.
    pub(crate) fn settle(&self, store: &Store) -> u64 {
        assert_eq!(self.sum(&store.snapshot()), self.raised(), "each rise of a level was done once");
        for key in 0..1 << 14 {
            assert!(self.pages.pin().remove(&key).is_ok(), "a removal is never refused");
        }
        while self.bounded.maintain() {}
        assert!(self.bounded.admission().is_ok(), "what was removed makes room");
        let moods = self.mood.pin().history().expect("it is kept").count() as u64;
        assert!(moods <= MOODS, "{moods} moods are kept");
        LEVELS + TOPICS + moods
    }

    /// Checks that the bound was not passed by more than threads that write may.
    pub(crate) fn look(&self) {
        let bytes = self.bounded.stats().index_bytes;
        assert!(bytes < 2 * BOUND as usize + PASSED_BY, "{bytes} bytes in a store that may take {BOUND}");
    }

    /// Bytes of slots and tables.
    pub(crate) fn index_bytes(&self, store: &Store) -> usize {
        let own = ["levels", "topics", "mood"];
        let of_store = store.component_stats().into_iter().filter(|component| own.contains(&&*component.name));
        of_store.map(|component| component.index_bytes).sum::<usize>() + self.bounded.stats().index_bytes
    }

    /// What was refused, told and missed so far.
    pub(crate) fn figures(&self) -> String {
        let [raised, refused, told, lagged] =
            [&self.raised, &self.refused, &self.told, &self.lagged].map(|count| count.load(Ordering::Relaxed));
        format!("{raised} levels raised, {refused} pages refused, {told} changes told, {lagged} lags")
    }
}
