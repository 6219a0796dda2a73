//! Operations on keys, and snapshots, are linearizable: recorded while threads race, and checked.
//!
//! - `record` runs a plan (drawn from a seed) on a store, and records what each call saw and when it was.
//! - `order` checks long histories with snapshots in linear time: by versions, which are the order of a key's writes.
//! - `search` checks short ones of any kind: values that return, and operations that tell no version.
//! - `known` and `drawn` check the checkers.
//!
//! A seed fixes what threads call, not how they race. `STILLPOINT_SEED` begins with another one, `STILLPOINT_SECONDS` goes on for
//! that long; a history that has no order is made small and kept in a file.

#[path = "../support/mod.rs"]
mod support;

mod drawn;
mod history;
mod known;
mod order;
mod record;
mod search;

use std::fmt::Write;
use std::time::{Duration, Instant};
use std::{env, fs};

use history::Call;
use record::{Plan, Values};
use support::random::Random;

/// A number from the environment.
fn asked_for(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
}

/// Runs plans with seeds that follow each other, as many as there are or as long as was asked for; returns how many calls were checked.
fn campaign(plans: u64, plan: impl Fn(u64) -> Plan, check: impl Fn(&Plan, &[Call])) -> u64 {
    let time = asked_for("STILLPOINT_SECONDS").map(Duration::from_secs);
    let (first, began) = (asked_for("STILLPOINT_SEED").unwrap_or(1), Instant::now());
    let is_over = |done| time.map_or(done == plans, |time| began.elapsed() >= time);
    let (mut done, mut calls) = (0, 0);
    while !is_over(done) {
        let plan = plan(first + done);
        for history in record::run(plan) {
            check(&plan, &history);
            calls += history.len() as u64;
        }
        done += 1;
    }
    calls
}

fn check_by_versions(plan: &Plan, history: &[Call]) {
    let Err(violation) = order::check(history, plan.keys) else { return };
    let is_same = |smaller: &[Call]| order::check(smaller, plan.keys).is_err_and(|found| found.kind == violation.kind);
    let small = reduced(history, is_same);
    let small_violation = order::check(&small, plan.keys).expect_err("it is reduced to what still fails");
    fail(plan, &small_violation.to_string(), &small, &violation.to_string(), history);
}

fn check_by_search(plan: &Plan, history: &[Call]) {
    if search::is_linearizable(history) {
        return;
    }
    fail(plan, "no order of these calls explains them", history, "the same", history);
}

/// Leaves out as many calls as may be left out.
fn reduced(history: &[Call], fails: impl Fn(&[Call]) -> bool) -> Vec<Call> {
    let mut left = history.to_vec();
    let mut step = left.len() / 2;
    while step > 0 {
        let mut from = 0;
        while from < left.len() {
            let mut fewer = left.clone();
            fewer.drain(from..(from + step).min(left.len()));
            if fails(&fewer) { left = fewer } else { from += step }
        }
        step /= 2;
    }
    left
}

/// Keeps a history in a file, and ends the test.
fn fail(plan: &Plan, violation: &str, small: &[Call], whole_violation: &str, whole: &[Call]) -> ! {
    let mut text = format!("{plan:?}\n\nMade small: {violation}\n");
    for (violation, calls) in [("", small), (whole_violation, whole)] {
        if !violation.is_empty() {
            let _ = writeln!(text, "\nThe whole history: {violation}");
        }
        calls.iter().enumerate().for_each(|(number, call)| _ = writeln!(text, "{number:>6}: {call}"));
    }
    let file = format!("{}/history-with-seed-{}.txt", env!("CARGO_TARGET_TMPDIR"), plan.seed);
    fs::write(&file, &text).expect("the history can be kept");
    let shown: String = text.lines().take(60).map(|line| format!("{line}\n")).collect();
    panic!("a history with seed {} is not linearizable; it is kept in {file}\n{shown}", plan.seed);
}

/// A plan for the checker by versions: many calls on few keys, snapshots among them.
fn long(seed: u64) -> Plan {
    let mut random = Random::new(seed);
    Plan {
        seed,
        threads: 2 + random.below(3) as usize,
        keys: 1 + random.below(6) as usize,
        rounds: 4,
        calls: 500 + random.below(1_500) as usize,
        values: Values::Unique,
        is_disturbed: random.below(2) == 0,
    }
}

/// A plan for the search: few calls at a time, all of them at once.
fn short(seed: u64) -> Plan {
    let mut random = Random::new(seed);
    let threads = 2 + random.below(3) as usize;
    Plan {
        seed,
        threads,
        keys: 1 + random.below(3) as usize,
        rounds: 100,
        calls: (8 + random.below(9) as usize).min(search::CALLS_MAX / threads),
        values: Values::Few,
        is_disturbed: random.below(2) == 0,
    }
}

/// As many as give every race a chance, and fewer in a slow build.
const fn plans(count: u64) -> u64 {
    if cfg!(debug_assertions) { count / 2 } else { count }
}

#[test]
#[expect(clippy::print_stdout, reason = "shown by the test runner on request: how much was checked")]
fn long_histories_with_snapshots_are_linearizable() {
    let began = Instant::now();
    let calls = campaign(plans(300), long, check_by_versions);
    println!("{calls} calls in {:.1?}", began.elapsed());
}

#[test]
#[expect(clippy::print_stdout, reason = "as above")]
fn short_histories_of_all_operations_are_linearizable() {
    let began = Instant::now();
    let calls = campaign(plans(200), short, check_by_search);
    println!("{calls} calls in {:.1?}", began.elapsed());
}
