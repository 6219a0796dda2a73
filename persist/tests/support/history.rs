//! The oracle: what the state was at each cut, and which cuts were acknowledged.

use std::collections::BTreeMap;

use stillpoint_persist::OpenReport;

use super::tables::TABLES;

/// By map and key: the value's number, and the version.
pub(crate) type State = BTreeMap<(usize, u64), (u64, u64)>;

/// The states that a disk may come back with.
#[derive(Clone)]
pub(crate) struct History {
    /// What is in memory.
    pub(crate) now: State,
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
        let value = if TABLES[at.0].name() == "set" { 0 } else { value };
        self.now.insert(at, (value, version));
    }

    pub(crate) fn remove(&mut self, at: (usize, u64)) {
        self.now.remove(&at);
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

    /// Notes that a process died and another one found this: nothing older may ever come back.
    pub(crate) fn restart(&mut self, found: usize) {
        self.cuts.truncate(found + 1);
        self.acknowledged = found;
        self.now = self.cuts[found].clone();
        for (at, (_, version)) in &self.now {
            let newest = self.newest.entry(*at).or_default();
            *newest = (*newest).max(*version);
        }
        self.unsettled.clear();
    }

    /// The cut whose state this is, the newest one if there are several; it must be there.
    pub(crate) fn find(&self, found: &State) -> usize {
        let cuts = self.acknowledged..self.cuts.len();
        cuts.rev().find(|cut| self.cuts[*cut] == *found).unwrap_or_else(|| self.explain(found))
    }

    /// The state of the last acknowledged cut.
    pub(crate) fn durable(&self) -> &State {
        &self.cuts[self.acknowledged]
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    fn explain(&self, found: &State) -> ! {
        let older = self.cuts[..self.acknowledged].iter().rposition(|cut| cut == found);
        let durable = self.durable();
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

fn name_of((table, key): (usize, u64)) -> String {
    format!("{key} in {}", TABLES[table].name())
}
