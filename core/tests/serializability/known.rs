//! The checker on histories that are known good and bad.

use stillpoint::{Isolation, Store, TransactionOptions};

use crate::history::{Done, Element, History, Step};
use crate::order::{Wrong, check};

fn read(key: u8, list: &[Element]) -> Step {
    Step::Read(key, list.to_vec())
}

fn append(key: u8, element: Element) -> Step {
    Step::Append(key, element)
}

/// Transactions that all overlap, but the last.
fn overlapping<const N: usize>(transactions: [Vec<Step>; N]) -> History {
    let last = N as u64;
    let timed = transactions.into_iter().zip(1..);
    History(
        timed
            .map(|(steps, n)| Done {
                from: if n == last { 100 } else { 1 },
                until: if n == last { 101 } else { 50 + n },
                steps,
            })
            .collect(),
    )
}

fn is_cycle(found: Result<(), Wrong>, len: usize) -> bool {
    matches!(found, Err(Wrong::Cycle(cycle)) if cycle.len() == len)
}

#[test]
fn one_after_the_other_is_good() {
    let history = overlapping([
        vec![append(0, 1), append(1, 2)],
        vec![read(0, &[1]), append(0, 3), read(0, &[1, 3]), read(1, &[2])],
        vec![read(0, &[1, 3]), read(1, &[2])],
    ]);
    assert_eq!(check(&history), Ok(()));
}

#[test]
fn a_lost_update_is_found() {
    let history =
        overlapping([vec![read(0, &[]), append(0, 1)], vec![read(0, &[]), append(0, 2)], vec![read(0, &[1, 2])]]);
    assert!(is_cycle(check(&history), 2));
    let history = overlapping([vec![append(0, 1)], vec![append(0, 2)], vec![read(0, &[2])]]);
    assert_eq!(check(&history), Err(Wrong::Lost { key: 0, element: 1 }));
}

#[test]
fn write_skew_is_found() {
    let history = overlapping([
        vec![read(1, &[]), append(0, 1)],
        vec![read(0, &[]), append(1, 2)],
        vec![read(0, &[1]), read(1, &[2])],
    ]);
    assert!(is_cycle(check(&history), 2));
}

#[test]
fn a_cycle_of_three_is_found() {
    let history = overlapping([
        vec![read(1, &[]), append(0, 1)],
        vec![read(2, &[]), append(1, 2)],
        vec![read(0, &[]), append(2, 3)],
        vec![read(0, &[1]), read(1, &[2]), read(2, &[3])],
    ]);
    assert!(is_cycle(check(&history), 3));
}

/// Fekete, O'Neil and O'Neil: a transaction that only reads sees what no order explains.
#[test]
fn a_reader_between_two_writers_is_found() {
    let history = overlapping([
        vec![read(0, &[]), read(1, &[]), append(0, 1)],
        vec![read(1, &[]), append(1, 2)],
        vec![read(0, &[]), read(1, &[2])],
        vec![read(0, &[1]), read(1, &[2])],
    ]);
    assert!(is_cycle(check(&history), 3));
}

#[test]
fn an_order_against_time_is_found() {
    let before = Done { from: 1, until: 2, steps: vec![append(0, 1)] };
    let later = Done { from: 3, until: 4, steps: vec![read(0, &[])] };
    let last = Done { from: 5, until: 6, steps: vec![read(0, &[1])] };
    assert!(is_cycle(check(&History(vec![before, later, last])), 2));
}

#[test]
fn what_fits_no_list_is_found() {
    let history = overlapping([vec![read(0, &[7])]]);
    assert_eq!(check(&history), Err(Wrong::FromNowhere { key: 0, element: 7 }));
    let history = overlapping([vec![append(0, 1)], vec![append(0, 2)], vec![read(0, &[1, 2])], vec![read(0, &[2, 1])]]);
    assert_eq!(check(&history), Err(Wrong::NoOrder { key: 0 }));
    let history = overlapping([vec![append(0, 1), append(0, 2)], vec![read(0, &[1])], vec![read(0, &[1, 2])]]);
    assert_eq!(check(&history), Err(Wrong::InBetween { key: 0, element: 1 }));
    let history = overlapping([vec![append(0, 1), read(0, &[])], vec![read(0, &[1])]]);
    assert_eq!(check(&history), Err(Wrong::Unsteady { transaction: 0 }));
}

/// Snapshot isolation allows write skew: what the store then does is what the checker finds.
#[test]
fn what_snapshot_isolation_lets_pass_is_found() {
    let store = Store::new();
    let map = store.map::<u8, Vec<Element>>("map").expect("a fresh name");
    let snapshot = TransactionOptions::new().isolation(Isolation::Snapshot);
    let mut open: Vec<_> = (0..2).map(|_| store.begin_with(snapshot).expect("no bound")).collect();
    let mut history = Vec::new();
    for (own, tx) in (0..).zip(&mut open) {
        let found = tx.get(&map, &(1 - own)).expect("own store").cloned().unwrap_or_default();
        let element = Element::from(own) + 1;
        tx.put(&map, own, vec![element]).expect("own store");
        history.push(Done { from: 1, until: 10, steps: vec![read(1 - own, &found), append(own, element)] });
    }
    open.into_iter().for_each(|tx| tx.commit().expect("each has written what the other has not"));
    let pin = map.pin();
    let steps = (0..2).map(|key| read(key, pin.get(&key).expect("it was committed"))).collect();
    history.push(Done { from: 20, until: 21, steps });
    assert!(is_cycle(check(&History(history)), 2));
}
