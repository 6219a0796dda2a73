//! The oracle: what the state was at each cut, and which cuts were acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use stillpoint_persist::OpenReport;

use super::script::Write;
use super::tables::{Entry, TABLES};

/// What a store holds, by component and key.
pub(crate) type State = BTreeMap<(usize, u64), Entry>;

/// When scripts begin, since 1970.
pub(crate) const START: Duration = Duration::from_secs(1000);

/// The states that a disk may come back with.
#[derive(Clone)]
pub(crate) struct History {
    /// What is in memory, and what would be if its time were not over.
    pub(crate) now: State,
    /// The time, since 1970.
    pub(crate) clock: Duration,
    /// No store that opens this shows an earlier time.
    written_at: Duration,
    /// What was in memory when a frame or a snapshot file was begun, oldest first; before the first, nothing.
    cuts: Vec<State>,
    /// The last of them that is known to be durable.
    acknowledged: usize,
    /// The newest version that anybody saw of a key, lost or not.
    newest: BTreeMap<(usize, u64), u64>,
    /// The same, of versions that this life gave out before its first frame: after a proper close their numbers may return.
    unsettled: BTreeMap<(usize, u64), u64>,
    is_settled: bool,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            now: State::new(),
            clock: START,
            written_at: Duration::ZERO,
            cuts: vec![State::new()],
            acknowledged: 0,
            newest: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            is_settled: false,
        }
    }

    /// Notes a write. Its version must be newer than any that the key ever had, in this life or an earlier one.
    pub(crate) fn put(&mut self, at: (usize, u64), value: u64, version: u64) {
        let of = |versions: &BTreeMap<_, _>| versions.get(&at).copied().unwrap_or_default();
        let newest = of(&self.newest).max(of(&self.unsettled));
        assert!(version > newest, "version {version} of {} came after {newest}", name_of(at));
        if self.is_settled { &mut self.newest } else { &mut self.unsettled }.insert(at, version);
        let entry = self.entry(at, value);
        self.now.insert(at, Entry { version, ..entry });
    }

    /// What a write makes of a key, but for its version.
    fn entry(&self, (table, key): (usize, u64), value: u64) -> Entry {
        let value = if TABLES[table].name() == "set" { 0 } else { value };
        Entry { value, version: 0, expires: TABLES[table].rules().expires_at(key, self.clock) }
    }

    /// Whether a write is taken, as things are.
    pub(crate) fn takes(&self, at: (usize, u64), value: u64) -> bool {
        Self::is_taken(&self.now, at, value)
    }

    fn is_taken(now: &State, at: (usize, u64), value: u64) -> bool {
        let rules = TABLES[at.0].rules();
        let has_room = |max| now.contains_key(&at) || now.range((at.0, 0)..(at.0 + 1, 0)).count() < max;
        rules.is_welcome(value) && rules.keys_max.is_none_or(has_room)
    }

    /// What a transaction makes of the keys that it writes, but for its version; nothing if it is refused.
    pub(crate) fn outcome(&self, writes: &[Write]) -> Option<BTreeMap<(usize, u64), Option<Entry>>> {
        let (mut now, mut outcome) = (self.now.clone(), BTreeMap::new());
        for write in writes {
            match *write {
                Write::Set(table, key, value) => {
                    let at = (table, key);
                    if !Self::is_taken(&now, at, value) {
                        return None;
                    }
                    now.insert(at, self.entry(at, value));
                    outcome.insert(at, Some(self.entry(at, value)));
                }
                Write::Unset(table, key) => {
                    now.remove(&(table, key));
                    outcome.insert((table, key), None);
                }
            }
        }
        Some(outcome)
    }

    /// Whether a key has a value whose time is not over.
    pub(crate) fn is_live(&self, at: (usize, u64)) -> bool {
        self.now.get(&at).is_some_and(|entry| entry.is_live(self.clock))
    }

    /// What is to be seen of what is in memory.
    pub(crate) fn seen(&self) -> State {
        live(&self.now, self.clock).map(|(at, entry)| (*at, *entry)).collect()
    }

    pub(crate) fn remove(&mut self, at: (usize, u64)) {
        self.now.remove(&at);
    }

    /// Notes that a component is gone. What has its name next is another one.
    pub(crate) fn drop_component(&mut self, table: usize) {
        self.now.retain(|at, _| at.0 != table);
        self.newest.retain(|at, _| at.0 != table);
        self.unsettled.retain(|at, _| at.0 != table);
    }

    /// Notes that a process begins, with what it found.
    pub(crate) fn begin(&mut self, report: &OpenReport) {
        self.unsettled.clear();
        self.is_settled = !report.created && !report.sealed;
    }

    /// Notes that this life has written a frame.
    pub(crate) fn settle(&mut self) {
        self.is_settled = true;
        self.newest.append(&mut self.unsettled);
    }

    /// Notes that a cut may be taken now.
    pub(crate) fn cut(&mut self) {
        self.cuts.push(self.now.clone());
    }

    /// Notes that the last cut is durable.
    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged = self.cuts.len() - 1;
    }

    /// Notes that a frame is durable that was written now.
    pub(crate) fn written(&mut self) {
        self.written_at = self.clock;
    }

    /// Notes that a process died and another one found this: nothing older may ever come back.
    pub(crate) fn restart(&mut self, found: usize) {
        self.cuts.truncate(found + 1);
        self.acknowledged = found;
        self.now = self.cuts[found].clone();
        for (at, entry) in &self.now {
            let newest = self.newest.entry(*at).or_default();
            *newest = (*newest).max(entry.version);
        }
        self.unsettled.clear();
    }

    /// The cut whose state this is, the newest one if there are several; it must be there.
    pub(crate) fn find(&self, found: &State) -> usize {
        self.find_at(found, self.clock)
    }

    /// The same, at another time. A store's time does not go back, whatever the machine's does.
    pub(crate) fn find_at(&self, found: &State, clock: Duration) -> usize {
        assert!(clock >= self.written_at, "a time of {clock:?} came back, after {:?} was written", self.written_at);
        let cuts = self.acknowledged..self.cuts.len();
        let is_found = |cut: &usize| live(&self.cuts[*cut], clock).eq(found);
        cuts.rev().find(is_found).unwrap_or_else(|| self.explain(found, clock))
    }

    /// The state of the last acknowledged cut.
    pub(crate) fn durable(&self) -> &State {
        &self.cuts[self.acknowledged]
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    fn explain(&self, found: &State, clock: Duration) -> ! {
        let older = self.cuts[..self.acknowledged].iter().rposition(|cut| live(cut, clock).eq(found));
        let durable: State = live(self.durable(), clock).map(|(at, entry)| (*at, *entry)).collect();
        let missing: Vec<_> = durable.iter().filter(|(at, value)| found.get(at) != Some(value)).collect();
        let invented: Vec<_> = found.iter().filter(|(at, value)| durable.get(at) != Some(value)).collect();
        panic!(
            "a state came back that was at no cut from {} to {} (as of an older one: {older:?}); of what was acknowledged it lacks \
             {missing:?}, and has {invented:?}",
            self.acknowledged,
            self.cuts.len() - 1,
        )
    }
}

/// What of a state has not expired.
fn live(state: &State, clock: Duration) -> impl Iterator<Item = (&(usize, u64), &Entry)> {
    state.iter().filter(move |(_, entry)| entry.is_live(clock))
}

fn name_of((table, key): (usize, u64)) -> String {
    format!("{key} in {}", TABLES[table].name())
}
