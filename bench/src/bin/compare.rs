//! Compares stillpoint with a peer, by turns, and prints tables with ratios.
//!
//! `cargo run --release -p stillpoint-bench --bin compare`, and `--full` for figures that are published.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the tables are what this program is for")]

use clap::{Parser, ValueEnum};
use stillpoint_bench::compare::{Environment, Extent, Plan, Second};
use stillpoint_bench::contender::{Peer, peers};

/// Compares stillpoint with a peer, by turns: medians of some rounds, and ratios taken round by round.
#[derive(Debug, Parser)]
struct Arguments {
    /// With whom.
    #[arg(long, value_enum, default_value_t = Against::Papaya)]
    peer: Against,
    /// Longer rounds, and more of them.
    #[arg(long)]
    full: bool,
    /// How many rounds.
    #[arg(long)]
    rounds: Option<usize>,
    /// Rates by the time in which the threads had a core, not by the clock on the wall: for a machine that others use too.
    #[arg(long)]
    on_core: bool,
    /// How many keys the loaded maps have: a thousand, and all is in the nearest cache.
    #[arg(long)]
    keys: Option<u32>,
    /// Only rows whose section and name, as in "u64 → u64: get, uniform, pin/1 ×2", contain this.
    #[arg(long)]
    only: Option<String>,
}

/// The peers.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Against {
    /// papaya: lock-free, values replaced whole.
    Papaya,
    /// scc's HashMap: locks a bucket and writes in place.
    SccMap,
    /// scc's HashIndex: its readers take no lock.
    SccIndex,
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.peer {
        Against::Papaya => compare::<peers::Papaya>(arguments),
        Against::SccMap => compare::<peers::SccMap>(arguments),
        Against::SccIndex => compare::<peers::SccIndex>(arguments),
    }
}

fn compare<P: Peer>(arguments: Arguments) {
    let mut extent = if arguments.full { Extent::FULL } else { Extent::SHORT };
    extent.rounds = arguments.rounds.unwrap_or(extent.rounds);
    extent.second = if arguments.on_core { Second::OnCore } else { Second::OnTheWall };
    extent.keys = arguments.keys.unwrap_or(extent.keys);

    println!("{}.", Environment::look(P::PACKAGE));
    println!(
        "Medians of {} rounds of {} ms by turns, by seconds {}; a ratio above 1 says that stillpoint is faster.\n",
        extent.rounds,
        extent.time.as_millis(),
        extent.second.name(),
    );
    let variation =
        Plan::<P>::new(extent, arguments.only).run(|table| println!("{table}"), |what| eprint!("\r\x1b[K{what} "));
    eprint!("\r\x1b[K");
    println!(
        "A fixed piece of arithmetic, run between the sections, varied by {variation:.0} % (greatest less least, over median)."
    );
    let options: Vec<String> = std::env::args().skip(1).map(|option| format!(" '{option}'")).collect();
    let separator = if options.is_empty() { "" } else { " --" };
    println!("To repeat: cargo run --release -p stillpoint-bench --bin compare{separator}{}", options.concat());
}
