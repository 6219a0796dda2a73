//! Transactions are strictly serializable: histories of racing threads, checked.
//!
//! Values are lists, to which transactions append numbers that come once. So every read tells which transactions came before it, and in
//! which order: see `order`. `known` tries the checker itself on histories that are known good and bad.
//!
//! `STILLPOINT_HISTORIES` says how many histories are drawn (200), `STILLPOINT_SEED` where they begin.

mod history;
mod known;
mod order;
mod record;

use std::env;

use record::Scenario;

fn number(name: &str, usual: u64) -> u64 {
    env::var(name).ok().map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn racing_transactions_are_strictly_serializable() {
    let (histories, seed) = (number("STILLPOINT_HISTORIES", 200), number("STILLPOINT_SEED", 1));
    for seed in seed..seed + histories {
        let scenario = Scenario::drawn(seed);
        let history = scenario.run();
        if let Err(wrong) = order::check(&history) {
            panic!("seed {seed}, {scenario:?}: {wrong}\n{history}");
        }
    }
}
