//! The two checkers against each other, on histories that are drawn: made by a plain map in some order, and then perhaps spoiled.

use super::history::{Call, Did, Seen, Sight, Then};
use super::order;
use super::search;
use super::support::random::Random;

/// A plain map with versions and a clock, and the calls on it in the order in which they took effect.
struct Plain {
    random: Random,
    keys: Vec<Option<Seen>>,
    tick: u64,
    /// Of each key, the last version.
    newest: Vec<u64>,
    written: u64,
}

impl Plain {
    fn call(&mut self, snapshots: bool) -> Did {
        if snapshots && self.random.below(4) == 0 {
            self.tick += 1;
            return Did::Snapshot { tick: self.tick - 1, shows: self.keys.clone() };
        }
        let key = self.random.below(self.keys.len() as u64) as usize;
        let held = self.keys[key];
        let saw = match self.random.below(3) {
            0 => None,
            1 => Some(Sight::of(held)),
            _ => Some(Sight::of_value(held.map(|held| held.value))),
        };
        let then = match self.random.below(5) {
            0 | 1 => Then::Keeps,
            2 if held.is_some() => Then::Removes,
            _ => {
                self.written += 1;
                self.newest[key] = (self.newest[key] + 1).max(self.tick << 14);
                Then::Writes { value: self.written, version: Some(self.newest[key]) }
            }
        };
        match then {
            Then::Keeps => {}
            Then::Removes => self.keys[key] = None,
            Then::Writes { value, version } => self.keys[key] = version.map(|version| Seen { value, version }),
        }
        let saw = if then == Then::Removes { Some(Sight::of(held)) } else { saw };
        Did::Step { key, saw, then }
    }
}

/// Calls that a plain map answered in some order, each of which began some time before its turn and ended some time after it.
fn drawn(seed: u64, calls: u64, keys: usize, snapshots: bool) -> Vec<Call> {
    let mut plain =
        Plain { random: Random::new(seed), keys: vec![None; keys], tick: 1, newest: vec![0; keys], written: 0 };
    let spread = 1 + plain.random.below(40);
    let mut timed = Vec::new();
    for turn in 0..calls {
        let did = plain.call(snapshots);
        let [before, after] = [(); 2].map(|()| plain.random.below(spread));
        timed.push((1_000 + 10 * turn - before, 1_000 + 10 * turn + after, did));
    }
    // The ends, numbered; a beginning has the number of the next end.
    let mut ends: Vec<(u64, usize)> = timed.iter().enumerate().map(|(number, (_, end, _))| (*end, number)).collect();
    ends.sort_unstable();
    let mut history: Vec<Call> = timed
        .into_iter()
        .map(|(begin, _, did)| {
            let began = ends.partition_point(|(end, _)| *end < begin) as u64;
            Call { name: "drawn", thread: 0, began, ended: 0, did }
        })
        .collect();
    for (number, (_, call)) in (0..).zip(ends) {
        history[call].ended = number;
    }
    history
}

/// Changes what a call says that it saw, or when it was, or which version it got.
fn spoil(history: &mut [Call], random: &mut Random) {
    let [one, other] = [(); 2].map(|()| random.below(history.len() as u64) as usize);
    let sight_of_other = match &history[other].did {
        Did::Step { then: Then::Writes { value, version }, .. } => {
            Some(Sight::Present { value: Some(*value), version: *version })
        }
        Did::Step { saw, .. } => *saw,
        Did::Snapshot { .. } => None,
    };
    match random.below(4) {
        0 => {
            let times = (history[one].began, history[one].ended);
            (history[one].began, history[one].ended) = (history[other].began, history[other].ended);
            (history[other].began, history[other].ended) = times;
        }
        1 => history[one].began = history[one].ended,
        2 => {
            if let Did::Step { saw, then, .. } = &mut history[one].did
                && *then != Then::Removes
            {
                *saw = sight_of_other;
            }
        }
        _ => match &mut history[one].did {
            Did::Step { saw: Some(saw @ Sight::Present { .. }), then: Then::Keeps, .. } => *saw = Sight::Absent,
            Did::Step { then: Then::Writes { version: Some(version), .. }, .. } => *version += random.below(3),
            _ => {}
        },
    }
}

const ROUNDS: u64 = 3_000;

#[test]
fn drawn_histories_pass() {
    for seed in 0..ROUNDS {
        let history = drawn(seed, 1 + seed % 40, 1 + seed as usize % 3, seed % 2 == 0);
        assert_eq!(order::check(&history, 3), Ok(()), "seed {seed}");
        assert!(search::is_linearizable(&history), "seed {seed}");
    }
}

#[test]
fn the_checkers_agree_on_spoiled_histories() {
    let (mut passed, mut failed) = (0, 0);
    for seed in 0..4 * ROUNDS {
        let mut random = Random::new(!seed);
        let mut history = drawn(seed, 2 + seed % 20, 1 + seed as usize % 2, false);
        (0..=random.below(2)).for_each(|_| spoil(&mut history, &mut random));
        let (ordered, found) = (order::check(&history, 2), search::is_linearizable(&history));
        assert_eq!(ordered.is_ok(), found, "seed {seed}: {ordered:?}");
        if found { passed += 1 } else { failed += 1 }
    }
    assert!(passed > ROUNDS / 4 && failed > ROUNDS / 4, "both happen: {passed} passed, {failed} failed");
}

/// With snapshots the checker by versions knows more: the ticks. It lets nothing pass that has no order.
#[test]
fn what_is_in_order_by_versions_has_an_order() {
    let (mut passed, mut failed) = (0, 0);
    for seed in 0..2 * ROUNDS {
        let mut random = Random::new(!seed);
        let mut history = drawn(seed, 2 + seed % 20, 2, true);
        spoil(&mut history, &mut random);
        let (ordered, found) = (order::check(&history, 2), search::is_linearizable(&history));
        assert!(ordered.is_err() || found, "seed {seed}");
        if ordered.is_ok() { passed += 1 } else { failed += 1 }
    }
    assert!(passed > ROUNDS / 8 && failed > ROUNDS / 8, "both happen: {passed} passed, {failed} failed");
}
