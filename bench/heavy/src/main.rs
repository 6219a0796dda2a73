//! Transactions on two keys, beside surrealmx's, by turns.
//!
//! ```sh
//! cargo run --release --manifest-path bench/heavy/Cargo.toml
//! ```
//!
//! Not a member of the workspace: the peer brings a database with it, and nobody has to build that who does not compare.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]

mod moves;

use std::time::Duration;

use clap::Parser;
use stillpoint_bench::compare::{Environment, Row, Table, take_turns};
use stillpoint_bench::memory;
use stillpoint_bench::moves::{Draws, Moves, Transacted};
use stillpoint_bench::race::{Limit, race};

use moves::SurrealMx;

/// Compares transactions with surrealmx's, by turns: medians of some rounds, and ratios taken round by round.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many rounds.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How long each contender's turn takes.
    #[arg(long, default_value_t = 300)]
    round_ms: u64,
    /// Rates by the time in which the threads had a core, not by the clock on the wall: for a machine that others use too.
    #[arg(long)]
    on_core: bool,
}

/// A row: how many keys there are, and how many threads move between any two of them.
struct Setting {
    keys: u64,
    threads: usize,
}

const SETTINGS: [Setting; 4] = [
    Setting { keys: 1_000, threads: 1 },
    Setting { keys: 1_000_000, threads: 1 },
    Setting { keys: 10, threads: 1 },
    Setting { keys: 10, threads: 2 },
];

fn main() {
    let arguments = Arguments::parse();
    memory::touch(1 << 30);
    let contenders: Vec<_> =
        SETTINGS.iter().map(|setting| (Transacted::holding(setting.keys), SurrealMx::holding(setting.keys))).collect();
    let rows: Vec<_> = SETTINGS
        .iter()
        .zip(&contenders)
        .map(|(setting, (ours, peer))| Row {
            name: format!("two of {} keys ×{}", setting.keys, setting.threads),
            ours: Box::new(|| rate(ours, setting, &arguments)),
            peer: Box::new(|| rate(peer, setting, &arguments)),
        })
        .collect();
    println!("{}.", Environment::look_in("surrealmx", include_str!("../Cargo.lock")));
    println!("Medians of {} rounds of {} ms by turns.\n", arguments.rounds, arguments.round_ms);
    let measured = take_turns(&rows, arguments.rounds, |round| eprint!("\r\x1b[Kround {} ", round + 1));
    eprint!("\r\x1b[K");
    println!(
        "{}",
        Table::of_pairs("Transactions that move one from a key to another", "", "M/s", "surrealmx", &measured)
    );
    if let [.., alone, contended] = &measured[..] {
        let kept = contended.ours.median() / alone.ours.median();
        println!("Two threads on ten keys: {kept:.2} of one thread's rate, all together.");
    }
}

/// Millions of moves in a second, of all threads together.
fn rate(contender: &impl Moves, setting: &Setting, arguments: &Arguments) -> f64 {
    let limit = Limit::Time(Duration::from_millis(arguments.round_ms));
    let outcome = race(setting.threads, limit, |thread| {
        let mut draws = Draws::of(thread as u64);
        move |operations| {
            for _ in 0..operations {
                let (from, to) = draws.pair(setting.keys);
                contender.step(from, to);
            }
            operations
        }
    });
    let rate = if arguments.on_core { outcome.rate_while_running() } else { outcome.rate() };
    rate / 1e6
}
