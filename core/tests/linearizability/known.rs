//! Histories of which the answer is known: what each checker must let pass, and what it must find.

use super::history::{Call, Did, Seen, Sight, Then};
use super::order::{self, Kind};
use super::search;

/// The version with this sequence number in this tick.
const fn at(tick: u64, sequence: u64) -> u64 {
    tick << 14 | sequence
}

/// A value with its version; the value tells who is meant.
fn seen(value: u64, version: u64) -> Seen {
    Seen { value, version }
}

/// A call that began and ended at these times: `began` is the number of the first end that it did not see.
fn call(began: u64, ended: u64, name: &'static str, did: Did) -> Call {
    Call { name, thread: 0, began, ended, did }
}

fn step(times: (u64, u64), name: &'static str, key: usize, saw: Option<Sight>, then: Then) -> Call {
    call(times.0, times.1, name, Did::Step { key, saw, then })
}

fn writes(new: Seen) -> Then {
    Then::Writes { value: new.value, version: Some(new.version) }
}

fn put(times: (u64, u64), key: usize, new: Seen) -> Call {
    step(times, "put", key, None, writes(new))
}

fn update(times: (u64, u64), key: usize, old: u64, new: Seen) -> Call {
    step(times, "update", key, Some(Sight::of_value(Some(old))), writes(new))
}

fn insert(times: (u64, u64), key: usize, new: Seen) -> Call {
    step(times, "insert", key, Some(Sight::Absent), writes(new))
}

fn exchange(times: (u64, u64), key: usize, expected: u64, new: Seen) -> Call {
    let saw = Sight::Present { value: None, version: Some(expected) };
    step(times, "compare_exchange", key, Some(saw), writes(new))
}

fn get(times: (u64, u64), key: usize, value: Option<u64>) -> Call {
    step(times, "get", key, Some(Sight::of_value(value)), Then::Keeps)
}

fn versioned(times: (u64, u64), key: usize, seen: Option<Seen>) -> Call {
    step(times, "versioned", key, Some(Sight::of(seen)), Then::Keeps)
}

fn remove(times: (u64, u64), key: usize, removed: Seen) -> Call {
    step(times, "remove", key, Some(Sight::of(Some(removed))), Then::Removes)
}

fn snapshot(times: (u64, u64), tick: u64, shows: &[Option<Seen>]) -> Call {
    call(times.0, times.1, "snapshot", Did::Snapshot { tick, shows: shows.to_vec() })
}

const A: Seen = Seen { value: 0xA, version: at(1, 0) };
const B: Seen = Seen { value: 0xB, version: at(1, 1) };
const C: Seen = Seen { value: 0xC, version: at(1, 2) };

fn good() -> Vec<(&'static str, Vec<Call>)> {
    vec![
        ("nothing", vec![]),
        (
            "one after the other",
            vec![put((0, 0), 0, A), get((1, 1), 0, Some(0xA)), remove((2, 2), 0, A), get((3, 3), 0, None)],
        ),
        ("a read beside a write sees it", vec![put((0, 1), 0, A), get((0, 0), 0, Some(0xA))]),
        ("a read beside a write does not see it", vec![put((0, 1), 0, A), get((0, 0), 0, None)]),
        (
            "reads beside a write: first the old value, then the new one",
            vec![put((0, 3), 0, A), get((0, 0), 0, None), get((1, 1), 0, Some(0xA)), versioned((2, 2), 0, Some(A))],
        ),
        (
            "the write that ended first has the greater version",
            vec![put((0, 1), 0, A), put((0, 0), 0, B), get((2, 2), 0, Some(0xB))],
        ),
        (
            "a key that is removed and comes back, and a long read that saw nothing in between",
            vec![
                put((0, 0), 0, A),
                remove((1, 1), 0, A),
                insert((2, 2), 0, B),
                get((1, 3), 0, None),
                get((4, 4), 0, Some(0xB)),
            ],
        ),
        (
            "reads that saw nothing, at each of two absences",
            vec![
                put((0, 0), 0, A),
                remove((1, 6), 0, A),
                get((1, 1), 0, None),
                insert((2, 6), 0, B),
                remove((2, 7), 0, B),
                get((3, 5), 0, None),
                put((6, 8), 0, C),
                get((4, 6), 0, None),
                get((7, 9), 0, Some(0xC)),
            ],
        ),
        (
            "an exchange of what was read",
            vec![put((0, 0), 0, A), exchange((1, 1), 0, A.version, B), update((2, 2), 0, 0xB, C)],
        ),
        (
            "a snapshot between two writes that are still running",
            vec![
                put((0, 2), 0, A),
                put((0, 3), 1, seen(0x1A, at(2, 0))),
                snapshot((0, 0), 1, &[Some(A), None]),
                snapshot((1, 1), 2, &[Some(A), Some(seen(0x1A, at(2, 0)))]),
            ],
        ),
        (
            "two snapshots of one tick",
            vec![put((0, 0), 0, A), snapshot((1, 3), 1, &[Some(A), None]), snapshot((1, 2), 1, &[Some(A), None])],
        ),
        (
            "a snapshot of what was removed later, and one of nothing",
            vec![
                put((0, 0), 0, A),
                snapshot((1, 1), 1, &[Some(A)]),
                remove((2, 2), 0, A),
                snapshot((3, 3), 2, &[None]),
                put((4, 4), 0, seen(0xB, at(3, 0))),
                snapshot((5, 5), 3, &[Some(seen(0xB, at(3, 0)))]),
            ],
        ),
        (
            "a write that a snapshot needs between two others, all running",
            vec![
                put((0, 5), 0, A),
                put((0, 6), 1, seen(0x1A, at(2, 0))),
                update((0, 7), 0, 0xA, seen(0xB, at(3, 0))),
                snapshot((0, 0), 1, &[Some(A), None]),
                get((1, 1), 0, Some(0xA)),
                snapshot((1, 2), 2, &[Some(A), Some(seen(0x1A, at(2, 0)))]),
            ],
        ),
    ]
}

fn bad() -> Vec<(&'static str, Kind, Vec<Call>)> {
    let later = seen(0xB, at(2, 0));
    let other = seen(0x1A, at(1, 0));
    vec![
        ("an invented value", Kind::Invented, vec![put((0, 0), 0, A), get((1, 1), 0, Some(0xB))]),
        (
            "a value with another's version",
            Kind::Invented,
            vec![put((0, 0), 0, A), put((1, 1), 0, B), versioned((2, 2), 0, Some(seen(0xA, B.version)))],
        ),
        (
            "one version for two values",
            Kind::VersionTwice,
            vec![put((0, 0), 0, A), put((1, 1), 0, seen(0xB, A.version))],
        ),
        ("a version that does not grow", Kind::Future, vec![put((0, 0), 0, B), put((1, 1), 0, A)]),
        (
            "a lost update: two that replaced one value",
            Kind::Overwritten,
            vec![put((0, 0), 0, A), update((1, 2), 0, 0xA, B), update((1, 3), 0, 0xA, C)],
        ),
        (
            "a compare_exchange that succeeded twice from one version",
            Kind::Overwritten,
            vec![put((0, 0), 0, A), exchange((1, 2), 0, A.version, B), exchange((1, 3), 0, A.version, C)],
        ),
        ("two inserts of one key", Kind::Overwritten, vec![insert((0, 1), 0, A), insert((0, 2), 0, B)]),
        (
            "an insert over a value that nobody removed",
            Kind::Overwritten,
            vec![put((0, 0), 0, A), insert((1, 1), 0, B)],
        ),
        (
            "a version removed twice",
            Kind::RemovedTwice,
            vec![put((0, 0), 0, A), remove((1, 2), 0, A), remove((1, 3), 0, A)],
        ),
        ("a stale read", Kind::Stale, vec![put((0, 0), 0, A), put((1, 1), 0, B), get((2, 2), 0, Some(0xA))]),
        ("a read that misses what was acknowledged", Kind::Stale, vec![put((0, 0), 0, A), get((1, 1), 0, None)]),
        (
            "reads that go back",
            Kind::Stale,
            vec![put((0, 0), 0, A), put((1, 4), 0, B), get((1, 1), 0, Some(0xB)), get((2, 2), 0, Some(0xA))],
        ),
        ("a read from the future", Kind::Future, vec![get((0, 0), 0, Some(0xA)), put((1, 1), 0, A)]),
        (
            "nothing was there, and nobody had removed it yet",
            Kind::Future,
            vec![put((0, 0), 0, A), get((1, 1), 0, None), remove((2, 2), 0, A)],
        ),
        (
            "a removed key that comes back",
            Kind::Stale,
            vec![put((0, 0), 0, A), remove((1, 1), 0, A), get((2, 2), 0, Some(0xA))],
        ),
        (
            "a removed key that comes back for a moment",
            Kind::Stale,
            vec![put((0, 0), 0, A), remove((1, 5), 0, A), get((1, 1), 0, None), get((2, 2), 0, Some(0xA))],
        ),
        (
            "a removal of what was replaced",
            Kind::Overwritten,
            vec![put((0, 0), 0, A), update((1, 1), 0, 0xA, B), remove((2, 2), 0, A)],
        ),
        (
            "a snapshot that misses what was acknowledged before it",
            Kind::Stale,
            vec![put((0, 0), 0, A), put((1, 1), 0, later), snapshot((2, 2), 1, &[Some(A)])],
        ),
        (
            "a snapshot that shows what was written after it",
            Kind::Future,
            vec![put((0, 0), 0, A), snapshot((1, 1), 2, &[Some(later)]), put((2, 2), 0, later)],
        ),
        (
            "a later snapshot that shows less",
            Kind::Stale,
            vec![put((0, 4), 0, A), snapshot((0, 0), 1, &[Some(A)]), snapshot((1, 1), 0, &[None])],
        ),
        (
            "a snapshot that shows an effect without its cause",
            Kind::Stale,
            vec![put((0, 0), 0, seen(0xA, at(2, 0))), put((1, 5), 1, other), snapshot((1, 1), 1, &[None, Some(other)])],
        ),
        (
            "two snapshots that disagree on the order of writes to two keys",
            Kind::NotOfItsTick,
            vec![
                put((0, 2), 0, seen(0xA, at(2, 0))),
                put((0, 3), 1, seen(0x1A, at(3, 0))),
                snapshot((0, 0), 2, &[Some(seen(0xA, at(2, 0))), None]),
                snapshot((0, 1), 3, &[None, Some(seen(0x1A, at(3, 0)))]),
            ],
        ),
        (
            "two snapshots that disagree on the order of removals of two keys",
            Kind::Cycle,
            vec![
                put((0, 0), 0, A),
                put((0, 1), 1, other),
                remove((2, 8), 0, A),
                remove((2, 9), 1, other),
                snapshot((2, 6), 1, &[None, Some(other)]),
                snapshot((2, 7), 2, &[Some(A), None]),
            ],
        ),
        (
            "a read and a snapshot that disagree on the order of writes to two keys",
            Kind::Stale,
            vec![
                put((0, 8), 0, A),
                put((0, 9), 1, seen(0x1A, at(2, 0))),
                snapshot((0, 7), 1, &[Some(A), None]),
                get((0, 0), 1, Some(0x1A)),
                get((1, 1), 0, None),
            ],
        ),
        (
            "a snapshot that shows what is newer than its tick",
            Kind::NotOfItsTick,
            vec![put((0, 0), 0, later), snapshot((1, 1), 1, &[Some(later)])],
        ),
    ]
}

#[test]
fn good_histories_pass() {
    for (name, history) in good() {
        assert_eq!(order::check(&history, keys(&history)), Ok(()), "{name}");
        assert!(search::is_linearizable(&history), "{name}: the search finds no order");
    }
}

#[test]
fn bad_histories_are_found_out() {
    for (name, kind, history) in bad() {
        let found = order::check(&history, keys(&history));
        assert_eq!(found.map_err(|violation| violation.kind), Err(kind), "{name}");
        // The search knows nothing of ticks.
        assert!(kind == Kind::NotOfItsTick || !search::is_linearizable(&history), "{name}: the search finds an order");
    }
}

fn keys(history: &[Call]) -> usize {
    let own = |call: &Call| match &call.did {
        Did::Step { key, .. } => key + 1,
        Did::Snapshot { shows, .. } => shows.len(),
    };
    history.iter().map(own).max().unwrap_or(0)
}
