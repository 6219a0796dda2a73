//! Measures stillpoint beside its peers, in one run, by turns.
//!
//! - `cargo bench -p stillpoint-bench` runs the criterion suite: [operations](crate::workload) and snapshots, one benchmark for
//!   each contender, the two of a pair behind one another; and restarts, from few entries and from many.
//! - `cargo run --release -p stillpoint-bench --bin compare` takes rounds by turns and prints one table with ratios; the figures in
//!   the README are from it. `--full` takes longer rounds, and more of them; `--peer` chooses with whom.
//!
//! # Responsible for
//! Deals of keys that are the same for all contenders, threads that start together, fair turns, and telling on which machine.
//!
//! # Not responsible for
//! Correctness (the tests of the crates), and limits: nothing here fails because a figure is bad.
//!
//! # How to read the figures
//! Ratios of one run travel to other machines and days; absolute figures do not. Both contenders hash with the same function,
//! allocate with the same allocator, and are given the same keys in the same order. What differs by their nature: stillpoint's
//! values carry versions and can be held still by a snapshot; papaya's `update` takes an owned key, stillpoint's a borrowed one; scc's
//! `HashMap` locks a bucket for each operation, reads too.

pub mod compare;
pub mod contender;
pub mod deal;
pub mod entries;
pub mod memory;
pub mod moves;
pub mod race;
pub mod workload;

/// All programs of this crate allocate with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
