//! The checker by versions: linear in time, for histories of any length, with snapshots.
//!
//! Versions grow, so the order of a key's writes is known; a removal says which version it removed, and so stands right behind it.
//! That gives each key a *line of states*: absent, first value, perhaps absent, next value, and so on. A call that changes
//! a key enters one state; a call that saw a value looks at one; a snapshot looks at one of every key, which its tick tells
//! where it saw nothing. Only a call on one key that saw nothing may look at any absent state.
//!
//! What is left is whether times fit. The check goes through beginnings and ends in their order, and *places* calls as late as
//! it may: only when a call ends, and then only what must come before it: the states of its keys up to the one that it needs, and
//! before each state is left, everything that looks at it. A call that needs one that has not begun, or a state that was
//! left before it began, or, in the end, itself, shows that there is no order. As everything that is placed must be placed by then
//! in any order, being late excludes nothing: it leaves the most choice to those that saw nothing.
//!
//! Values must be unique among the writes of a key, and every write must tell its version.

use std::collections::HashMap;
use std::fmt;

use super::history::{Call, Did, Seen, Sight, Then};

/// Why a history is not linearizable, with the numbers of the calls that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) calls: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two writes of a key have one version.
    VersionTwice,
    /// Somebody saw what nobody wrote.
    Invented,
    /// Two calls removed one version.
    RemovedTwice,
    /// What a write says that it replaced is not what the order of versions says.
    Overwritten,
    /// A snapshot doesn't show a key's newest version up to its tick.
    NotOfItsTick,
    /// A call saw a state that was left before it began.
    Stale,
    /// A call needs another that began only after it had ended.
    Future,
    /// Calls must each come before the other.
    Cycle,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, by calls {:?}", self.kind, self.calls)
    }
}

fn violation<T>(kind: Kind, calls: &[usize]) -> Result<T, Violation> {
    Err(Violation { kind, calls: calls.to_vec() })
}

/// A state of a key.
struct State {
    holds: Option<Seen>,
    /// The newest version up to here; zero before the first.
    newest: u64,
    /// The call that began it; none began the first one.
    entered_by: Option<usize>,
    /// The calls that look at it and at no other.
    looked_at_by: Vec<usize>,
}

/// A key's states in their order, and how far the check has come.
#[derive(Default)]
struct Line {
    states: Vec<State>,
    by_version: HashMap<u64, usize>,
    by_value: HashMap<u64, usize>,
    now: usize,
    /// Calls that have begun and wait for an absent state.
    wait_for_absence: Vec<usize>,
}

impl Line {
    fn new(history: &[Call], own: &[usize]) -> Result<Self, Violation> {
        let mut writes = Vec::new();
        let mut removers: Vec<(Sight, usize)> = Vec::new();
        for &call in own {
            match history[call].did {
                Did::Step { then: Then::Writes { value, version }, .. } => {
                    let version = version.expect("every write tells its version");
                    writes.push((Seen { value, version }, call));
                }
                Did::Step { then: Then::Removes, saw, .. } => {
                    removers.push((saw.expect("a removal says what it removed"), call));
                }
                Did::Step { then: Then::Keeps, .. } | Did::Snapshot { .. } => {}
            }
        }
        writes.sort_unstable_by_key(|(seen, _)| seen.version);
        if let Some(pair) = writes.windows(2).find(|pair| pair[0].0.version == pair[1].0.version) {
            return violation(Kind::VersionTwice, &[pair[0].1, pair[1].1]);
        }
        let mut line = Self::default();
        // Where a value is, before removals are put in.
        for (place, (seen, _)) in writes.iter().enumerate() {
            line.by_version.insert(seen.version, place);
            let before = line.by_value.insert(seen.value, place);
            assert!(before.is_none(), "the value {:x} is written twice", seen.value);
        }
        let mut removed_by: HashMap<usize, usize> = HashMap::new();
        for (sight, call) in removers {
            let place = line.place_of(sight, &writes).ok_or(Violation { kind: Kind::Invented, calls: vec![call] })?;
            if let Some(other) = removed_by.insert(place, call) {
                return violation(Kind::RemovedTwice, &[other, call]);
            }
        }
        let state = |holds, newest, entered_by| State { holds, newest, entered_by, looked_at_by: Vec::new() };
        line.states.push(state(None, 0, None));
        for (place, (seen, call)) in writes.iter().enumerate() {
            line.by_version.insert(seen.version, line.states.len());
            line.by_value.insert(seen.value, line.states.len());
            line.states.push(state(Some(*seen), seen.version, Some(*call)));
            if let Some(remover) = removed_by.get(&place) {
                line.states.push(state(None, seen.version, Some(*remover)));
            }
        }
        Ok(line)
    }

    /// Where among the writes a sight's value stands.
    fn place_of(&self, sight: Sight, writes: &[(Seen, usize)]) -> Option<usize> {
        let Sight::Present { value, version } = sight else { return None };
        let place = match (value, version) {
            (_, Some(version)) => self.by_version.get(&version),
            (Some(value), None) => self.by_value.get(&value),
            (None, None) => None,
        };
        let is_same = |place: &usize| value.is_none_or(|value| value == writes[*place].0.value);
        place.copied().filter(is_same)
    }

    /// The state with a value.
    fn state_of(&self, value: Option<u64>, version: Option<u64>) -> Option<usize> {
        let state = match (value, version) {
            (_, Some(version)) => self.by_version.get(&version),
            (Some(value), None) => self.by_value.get(&value),
            (None, None) => None,
        };
        let holds = |state: &usize| self.states[*state].holds.map(|seen| seen.value);
        state.copied().filter(|state| value.is_none_or(|value| holds(state) == Some(value)))
    }

    /// The state that a snapshot of this tick shows, if it shows this: the newest value up to the tick, or the absence after it.
    fn state_at(&self, tick: u64, shows: Option<Seen>) -> Option<usize> {
        let is_of_tick = |state: &State| stillpoint::Version::from_u64(state.newest).tick() <= tick;
        let newer = self.states.partition_point(is_of_tick);
        let newest = self.states[newer.checked_sub(1)?].newest;
        let shown = (0..newer).rev().take(2).find(|state| self.states[*state].holds == shows)?;
        (self.states[shown].newest == newest).then_some(shown)
    }
}

/// How far a call is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    NotBegun,
    Begun,
    /// What must come before it is being placed.
    Placing,
    Placed,
}

/// What a call needs to be placed.
enum Needs {
    /// That these keys are in these states: the one that it looks at, or the one before it changes it.
    States { of: Vec<(usize, usize)>, enters: bool },
    /// That the key is absent.
    Absence(usize),
    /// That its key is anything: it changes it from the state before its own.
    Nothing,
}

struct Check<'h> {
    history: &'h [Call],
    lines: Vec<Line>,
    needs: Vec<Needs>,
    progress: Vec<Progress>,
}

/// Looks for a violation: that there is none shows that the history is linearizable.
pub(crate) fn check(history: &[Call], keys: usize) -> Result<(), Violation> {
    let mut own = vec![Vec::new(); keys];
    for (number, call) in history.iter().enumerate() {
        if let Some(key) = call.key() {
            own[key].push(number);
        }
    }
    let lines = own.iter().map(|own| Line::new(history, own)).collect::<Result<Vec<_>, _>>()?;
    let progress = vec![Progress::NotBegun; history.len()];
    let mut check = Check { history, lines, needs: Vec::new(), progress };
    check.find_needs()?;
    check.sweep()
}

impl Check<'_> {
    fn find_needs(&mut self) -> Result<(), Violation> {
        let mut entered: HashMap<usize, usize> = HashMap::new();
        for line in &self.lines {
            let numbered = line.states.iter().enumerate();
            entered.extend(numbered.filter_map(|(number, state)| state.entered_by.map(|call| (call, number))));
        }
        for (number, call) in self.history.iter().enumerate() {
            let needs = match &call.did {
                Did::Step { key, saw, then: Then::Keeps } => match saw {
                    None => Needs::Nothing,
                    Some(Sight::Absent) => Needs::Absence(*key),
                    Some(Sight::Present { value, version }) => {
                        let Some(state) = self.lines[*key].state_of(*value, *version) else {
                            return violation(Kind::Invented, &[number]);
                        };
                        Needs::States { of: vec![(*key, state)], enters: false }
                    }
                },
                Did::Step { key, saw, .. } => {
                    let line = &self.lines[*key];
                    let before = entered[&number] - 1;
                    if let Some(saw) = saw {
                        let is_right = match (*saw, line.states[before].holds) {
                            (Sight::Absent, holds) => holds.is_none(),
                            (Sight::Present { value, version }, Some(_)) => {
                                line.state_of(value, version) == Some(before)
                            }
                            (Sight::Present { .. }, None) => false,
                        };
                        if !is_right {
                            let calls: Vec<usize> =
                                line.states[before].entered_by.into_iter().chain([number]).collect();
                            return violation(Kind::Overwritten, &calls);
                        }
                    }
                    Needs::States { of: vec![(*key, before)], enters: true }
                }
                Did::Snapshot { tick, shows } => {
                    let mut of = Vec::with_capacity(shows.len());
                    for (key, shown) in shows.iter().enumerate() {
                        if shown.is_some_and(|shown| {
                            self.lines[key].state_of(Some(shown.value), Some(shown.version)).is_none()
                        }) {
                            return violation(Kind::Invented, &[number]);
                        }
                        match self.lines[key].state_at(*tick, *shown) {
                            Some(state) => of.push((key, state)),
                            None => return violation(Kind::NotOfItsTick, &[number]),
                        }
                    }
                    Needs::States { of, enters: false }
                }
            };
            if let Needs::States { of, enters: false } = &needs {
                for (key, state) in of {
                    self.lines[*key].states[*state].looked_at_by.push(number);
                }
            }
            self.needs.push(needs);
        }
        Ok(())
    }

    /// Goes through beginnings and ends in their order.
    fn sweep(&mut self) -> Result<(), Violation> {
        // A call that began at `n` began after the end that is numbered below, and before the one that has this number.
        let began = self.history.iter().enumerate().map(|(number, call)| (2 * call.began, number));
        let ended = self.history.iter().enumerate().map(|(number, call)| (2 * call.ended + 1, number));
        let mut events: Vec<(u64, usize)> = began.chain(ended).collect();
        events.sort_unstable();
        for (at, number) in events {
            if at % 2 == 1 {
                self.place(number)?;
            } else {
                self.begin(number);
            }
        }
        Ok(())
    }

    fn begin(&mut self, number: usize) {
        self.progress[number] = Progress::Begun;
        if let Needs::Absence(key) = self.needs[number] {
            let line = &mut self.lines[key];
            if line.states[line.now].holds.is_none() {
                self.progress[number] = Progress::Placed;
            } else {
                line.wait_for_absence.push(number);
            }
        }
    }

    /// Places a call, and before it what must come before it.
    fn place(&mut self, number: usize) -> Result<(), Violation> {
        match self.progress[number] {
            Progress::Placed => return Ok(()),
            Progress::NotBegun => return violation(Kind::Future, &[number]),
            Progress::Placing => return violation(Kind::Cycle, &[number]),
            Progress::Begun => self.progress[number] = Progress::Placing,
        }
        let placed = self.place_now(number);
        placed.map_err(|mut violation| {
            violation.calls.push(number);
            violation
        })?;
        self.progress[number] = Progress::Placed;
        Ok(())
    }

    fn place_now(&mut self, number: usize) -> Result<(), Violation> {
        match &self.needs[number] {
            Needs::Nothing => Ok(()),
            Needs::Absence(key) => {
                let line = &self.lines[*key];
                let absent = line.states[line.now..].iter().find(|state| state.holds.is_none());
                match absent.and_then(|state| state.entered_by) {
                    // Entering it places everybody who waits for it.
                    Some(remover) => {
                        self.progress[number] = Progress::Begun;
                        self.place(remover)
                    }
                    None => violation(Kind::Stale, &[]),
                }
            }
            Needs::States { of, enters } => {
                let (of, enters) = (of.clone(), *enters);
                for &(key, state) in &of {
                    self.reach(key, state)?;
                }
                if enters {
                    let (key, state) = of[0];
                    self.leave(key, state, number)?;
                }
                Ok(())
            }
        }
    }

    /// Brings a key to a state.
    fn reach(&mut self, key: usize, state: usize) -> Result<(), Violation> {
        debug_assert!(self.lines[key].now <= state, "a state is left when all that need it are placed");
        while self.lines[key].now < state {
            let next = self.lines[key].now + 1;
            if let Some(call) = self.lines[key].states[next].entered_by {
                self.place(call)?;
            }
        }
        Ok(())
    }

    /// Brings a key from a state to the next one, when all that look at it are placed.
    fn leave(&mut self, key: usize, state: usize, entering: usize) -> Result<(), Violation> {
        for look in std::mem::take(&mut self.lines[key].states[state].looked_at_by) {
            if self.progress[look] == Progress::NotBegun {
                return violation(Kind::Stale, &[look]);
            }
            self.place(look)?;
        }
        let line = &mut self.lines[key];
        debug_assert_eq!((line.now, line.states[state + 1].entered_by), (state, Some(entering)));
        line.now = state + 1;
        if line.states[line.now].holds.is_none() {
            for waiting in line.wait_for_absence.drain(..) {
                self.progress[waiting] = Progress::Placed;
            }
        }
        Ok(())
    }
}
