//! The general checker: looks for an order of the calls that a plain map could have answered.
//!
//! The search of Wing and Gong, with Lowe's memory of what was tried: an order is built call by call, the next one being any
//! that no call left over precedes; where the same calls are placed and the keys hold the same, the search was there before.
//! It needs no versions and unique values, and can take exponential time: it is for short histories.

use std::collections::HashSet;

use super::history::{Call, Did, Sight, Then};

/// Keys that a history may have.
pub(crate) const KEYS_MAX: usize = 4;
/// Calls that a history may have.
pub(crate) const CALLS_MAX: usize = u128::BITS as usize;

/// What a key holds after the calls that are placed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Held {
    value: Option<u64>,
    /// The version of the value, if a call has told it.
    version: Option<u64>,
    /// Every version that is still to come, or to be told, is greater.
    floor: u64,
}

type State = [Held; KEYS_MAX];

/// Whether there is an order of the calls in which each is what a plain map would have done, and no call is placed before one that
/// preceded it.
pub(crate) fn is_linearizable(history: &[Call]) -> bool {
    assert!(history.len() <= CALLS_MAX, "{} calls are too many to search", history.len());
    // A history without snapshots is linearizable if it is for each key.
    if history.iter().all(|call| call.key().is_some()) {
        return (0..KEYS_MAX).all(|key| {
            let own: Vec<&Call> = history.iter().filter(|call| call.key() == Some(key)).collect();
            Search { calls: own, tried: HashSet::new() }.completes(0, State::default())
        });
    }
    Search { calls: history.iter().collect(), tried: HashSet::new() }.completes(0, State::default())
}

struct Search<'h> {
    calls: Vec<&'h Call>,
    /// The sets of calls that were placed, with what the keys then held.
    tried: HashSet<(u128, State)>,
}

impl Search<'_> {
    /// Whether the calls that are not in `placed` can follow.
    fn completes(&mut self, mut placed: u128, state: State) -> bool {
        let mut next = self.next(placed);
        // A call that only looks, and fits, can be placed at once: whatever could come before it can come after it.
        let is_idle = |call: &Call| call.only_looks() && after(call, &state) == Some(state);
        while let Some(idle) = next.iter().position(|call| is_idle(self.calls[*call])) {
            placed |= 1 << next[idle];
            next = self.next(placed);
        }
        if next.is_empty() {
            return true;
        }
        if !self.tried.insert((placed, state)) {
            return false;
        }
        next.into_iter()
            .any(|call| after(self.calls[call], &state).is_some_and(|state| self.completes(placed | 1 << call, state)))
    }

    /// The calls that may be placed next.
    fn next(&self, placed: u128) -> Vec<usize> {
        let left = || (0..self.calls.len()).filter(move |call| placed & 1 << call == 0);
        let first_end = left().map(|call| self.calls[call].ended).min().unwrap_or(0);
        left().filter(|call| self.calls[*call].began <= first_end).collect()
    }
}

/// What the keys hold after a call, if the call could see and do in this state what it says.
fn after(call: &Call, state: &State) -> Option<State> {
    let mut state = *state;
    match &call.did {
        Did::Step { key, saw, then } => {
            let held = &mut state[*key];
            if let Some(saw) = saw {
                held.shows(*saw)?;
            }
            held.becomes(*then)?;
        }
        Did::Snapshot { shows, .. } => {
            for (held, seen) in state.iter_mut().zip(shows) {
                held.shows(Sight::of(*seen))?;
            }
        }
    }
    Some(state)
}

impl Held {
    /// Checks that this can be seen of the key, and learns from it.
    fn shows(&mut self, sight: Sight) -> Option<()> {
        let Sight::Present { value, version } = sight else { return self.value.is_none().then_some(()) };
        let held = self.value?;
        if value.is_some_and(|value| value != held) {
            return None;
        }
        match (version, self.version) {
            (None, _) => Some(()),
            (Some(seen), Some(known)) => (seen == known).then_some(()),
            (Some(seen), None) => self.told(seen),
        }
    }

    fn becomes(&mut self, then: Then) -> Option<()> {
        match then {
            Then::Keeps => Some(()),
            Then::Removes => {
                (self.value, self.version) = (None, None);
                Some(())
            }
            Then::Writes { value, version } => {
                (self.value, self.version) = (Some(value), None);
                version.map_or(Some(()), |version| self.told(version))
            }
        }
    }

    /// The version of what is there was told: it must be greater than all before.
    fn told(&mut self, version: u64) -> Option<()> {
        if version <= self.floor {
            return None;
        }
        (self.version, self.floor) = (Some(version), version);
        Some(())
    }
}
