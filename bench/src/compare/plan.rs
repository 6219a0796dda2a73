//! What is compared, and for how long.

use std::hint::black_box;
use std::marker::PhantomData;
use std::time::Duration;

use super::environment::{fixed_arithmetic, variation_percent};
use super::{Row, Spread, Table, take_turns};
use crate::contender::{Contender, Peer, Stillpoint};
use crate::deal::Skew;
use crate::entries::{Entries, Numbers, Texts};
use crate::memory;
use crate::race::{Limit, Outcome, race};
use crate::workload::{Operation, PinFor, Workload, grow, load, prepare};

/// How much a comparison takes on.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Keys in the loaded maps.
    pub keys: u32,
    /// Rounds; figures are medians of them.
    pub rounds: usize,
    /// What a second is.
    pub second: Second,
    /// How long one measurement takes.
    pub time: Duration,
    /// Memory to touch before.
    pub touched_bytes: usize,
    /// Entries at which a snapshot is timed.
    pub snapshots_at: &'static [u32],
    /// Numbers of threads.
    pub threads: &'static [usize],
}

impl Extent {
    /// Less than three minutes on two cores.
    pub const SHORT: Self = Self {
        keys: 1_000_000,
        rounds: 5,
        second: Second::OnTheWall,
        time: Duration::from_millis(60),
        touched_bytes: 2 << 30,
        snapshots_at: &[10, 1_000, 100_000, 1_000_000, 10_000_000],
        threads: &[1, 2],
    };

    /// For figures that are published.
    pub const FULL: Self = Self { rounds: 15, time: Duration::from_millis(250), ..Self::SHORT };
}

/// What rates are by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    /// Seconds that pass.
    OnTheWall,
    /// Seconds in which the thread has a core: for a machine that others use too. Leaves out what a thread waits for.
    OnCore,
}

impl Second {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnTheWall => "on the wall",
            Self::OnCore => "on a core",
        }
    }

    /// Millions of operations in a second.
    fn millions(self, outcome: &Outcome) -> f64 {
        let rate = match self {
            Self::OnTheWall => outcome.rate(),
            Self::OnCore => outcome.rate_while_running(),
        };
        rate / 1e6
    }
}

/// A comparison with a peer.
#[derive(Debug)]
pub struct Plan<P> {
    extent: Extent,
    only: Option<String>,
    peer: PhantomData<P>,
}

/// Takes a section, unless none of its rows is wanted.
type Section<P> = fn(&Plan<P>, &mut Progress<'_>) -> Option<Table>;

/// Told what is being measured.
type Progress<'a> = dyn FnMut(&str) + 'a;

impl<P: Peer> Plan<P> {
    /// Plans a comparison, of all rows or those that have a text in their name or their section's.
    pub fn new(extent: Extent, only: Option<String>) -> Self {
        Self { extent, only, peer: PhantomData }
    }

    /// Compares, and hands out each table as it is done, and in the end how much the machine varied, in percent.
    pub fn run(&self, mut print: impl FnMut(&Table), mut progress: impl FnMut(&str)) -> f64 {
        memory::touch(self.extent.touched_bytes);
        let sections: [(&str, Section<P>); 7] = [
            (Numbers::NAME, Self::numbers),
            (Texts::NAME, Self::texts),
            ("tails", Self::tails),
            ("loading", Self::loading),
            ("scans", Self::scans),
            ("snapshots", Self::snapshots),
            ("writers", Self::beside_snapshots),
        ];
        let mut arithmetic = vec![fixed_arithmetic()];
        for (name, take) in sections {
            if let Some(table) = take(self, &mut |what| progress(&format!("{name}, {what}"))) {
                print(&table);
            }
            arithmetic.push(fixed_arithmetic());
        }
        variation_percent(&Spread::new(arithmetic))
    }

    fn wants(&self, section: &str, row: &str) -> bool {
        self.only.as_ref().is_none_or(|only| format!("{section}: {row}").contains(only.as_str()))
    }

    fn compare(&self, title: &str, what: &str, rows: &[Row<'_>], progress: &mut Progress<'_>) -> Table {
        let measured = take_turns(rows, self.extent.rounds, |round| progress(&format!("round {}", round + 1)));
        Table::of_pairs(title, what, "M/s", P::Map::<Numbers>::NAME, &measured)
    }

    fn numbers(&self, progress: &mut Progress<'_>) -> Option<Table> {
        self.operations::<Numbers>(&[Skew::Uniform, Skew::Zipfian], &PinFor::ALL, progress)
    }

    fn texts(&self, progress: &mut Progress<'_>) -> Option<Table> {
        self.operations::<Texts>(&[Skew::Uniform], &[PinFor::Each], progress)
    }

    fn operations<E: Entries>(&self, skews: &[Skew], pins: &[PinFor], progress: &mut Progress<'_>) -> Option<Table> {
        let Extent { keys, time, threads, second, .. } = self.extent;
        let mut works = Vec::new();
        for operation in Operation::ALL {
            for skew in skews {
                for pin_for in pins {
                    for &threads in threads {
                        let name = format!("{}, {}, {} ×{threads}", operation.name(), skew.name(), pin_for.name());
                        if self.wants(E::NAME, &name) {
                            works.push((name, Workload::new(operation, *pin_for, threads, keys, *skew)));
                        }
                    }
                }
            }
        }
        if works.is_empty() {
            return None;
        }
        let (ours, peer) = (Stillpoint::<E>::default(), P::Map::<E>::default());
        prepare(&ours, keys);
        prepare(&peer, keys);
        let rows: Vec<Row<'_>> = works
            .iter()
            .map(|(name, work)| Row {
                name: name.clone(),
                ours: Box::new(|| second.millions(&work.run(&ours, Limit::Time(time)))),
                peer: Box::new(|| second.millions(&work.run(&peer, Limit::Time(time)))),
            })
            .collect();
        Some(self.compare(&format!("{}, {keys} keys", E::NAME), "operation", &rows, progress))
    }

    /// How long a put takes, at worst.
    fn tails(&self, progress: &mut Progress<'_>) -> Option<Table> {
        let Extent { keys, time, rounds, .. } = self.extent;
        let rows = [("99 %", 0.99), ("99.9 %", 0.999)];
        let names = rows.map(|(name, share)| (format!("{name} of the puts take no longer"), share));
        if !names.iter().any(|(name, _)| self.wants("tails", name)) {
            return None;
        }
        let (ours, peer) = self.loaded::<Numbers>();
        let work = Workload::new(Operation::Mixed50, PinFor::Each, 2, keys, Skew::Zipfian);
        let rows: Vec<Row<'_>> = names
            .into_iter()
            .map(|(name, share)| Row {
                name,
                ours: Box::new({
                    let (work, ours) = (&work, &ours);
                    move || work.slowest_writes(ours, time, share)
                }),
                peer: Box::new({
                    let (work, peer) = (&work, &peer);
                    move || work.slowest_writes(peer, time, share)
                }),
            })
            .collect();
        let measured = take_turns(&rows, rounds, |round| progress(&format!("round {}", round + 1)));
        let title =
            "A put among as many gets, zipf 0.99, pin/1, 2 threads; a ratio below 1 says that stillpoint is faster";
        Some(Table::of_pairs(title, "puts", "ns", P::Map::<Numbers>::NAME, &measured))
    }

    fn loading(&self, progress: &mut Progress<'_>) -> Option<Table> {
        let mut rows = Vec::new();
        self.loading_of::<Numbers>(&mut rows);
        self.loading_of::<Texts>(&mut rows);
        let title = format!("Loading: {} new keys into an empty map, pin/32", self.extent.keys);
        (!rows.is_empty()).then(|| self.compare(&title, "entries", &rows, progress))
    }

    fn loading_of<E: Entries>(&self, rows: &mut Vec<Row<'_>>) {
        fn fill<E: Entries, C: Contender<E>>(keys: u32, threads: usize) -> Outcome {
            load(&C::default(), keys, threads)
        }
        let Extent { keys, second, .. } = self.extent;
        for &threads in self.extent.threads {
            let name = format!("{} ×{threads}", E::NAME);
            if self.wants("loading", &name) {
                rows.push(Row {
                    name,
                    ours: Box::new(move || second.millions(&fill::<E, Stillpoint<E>>(keys, threads))),
                    peer: Box::new(move || second.millions(&fill::<E, P::Map<E>>(keys, threads))),
                });
            }
        }
    }

    fn scans(&self, progress: &mut Progress<'_>) -> Option<Table> {
        let (numbers, texts) = (self.wants("scans", Numbers::NAME), self.wants("scans", Texts::NAME));
        if !numbers && !texts {
            return None;
        }
        let numbers = numbers.then(|| self.loaded::<Numbers>());
        let texts = texts.then(|| self.loaded::<Texts>());
        let mut rows = Vec::new();
        rows.extend(numbers.iter().map(|(ours, peer)| self.scan(ours, peer)));
        rows.extend(texts.iter().map(|(ours, peer)| self.scan(ours, peer)));
        let title = "Reading all entries: stillpoint at a snapshot, the peer's iterator not at a point in time";
        Some(self.compare(title, "entries", &rows, progress))
    }

    fn loaded<E: Entries>(&self) -> (Stillpoint<E>, P::Map<E>) {
        let maps = <(Stillpoint<E>, P::Map<E>)>::default();
        prepare(&maps.0, self.extent.keys);
        prepare(&maps.1, self.extent.keys);
        maps
    }

    fn scan<'a, E: Entries>(&self, ours: &'a Stillpoint<E>, peer: &'a P::Map<E>) -> Row<'a> {
        fn scans<E: Entries, C: Contender<E>>(map: &C, time: Duration) -> Outcome {
            race(1, Limit::Time(time), |_| |_| map.scan())
        }
        let Extent { time, second, .. } = self.extent;
        Row {
            name: E::NAME.to_owned(),
            ours: Box::new(move || second.millions(&scans(ours, time))),
            peer: Box::new(move || second.millions(&scans(peer, time))),
        }
    }

    fn snapshots(&self, progress: &mut Progress<'_>) -> Option<Table> {
        if !self.wants("snapshots", "take and drop") {
            return None;
        }
        let map = Stillpoint::<Numbers>::default();
        let mut measured = Vec::new();
        let mut entries = 0;
        for &until in self.extent.snapshots_at {
            progress(&format!("{until} entries"));
            grow(&map, entries, until, 1);
            entries = until;
            let Extent { time, second, .. } = self.extent;
            let nanoseconds = || 1e3 / second.millions(&race(1, Limit::Time(time), |_| taking(&map)));
            let rounds = (0..self.extent.rounds).map(|_| nanoseconds()).collect();
            measured.push((entries.to_string(), Spread::new(rounds)));
        }
        Some(Table::of_one("Snapshot, taken and dropped", "entries", "ns", &measured))
    }

    /// One thread updates, another takes and drops snapshots, or scans.
    fn beside_snapshots(&self, progress: &mut Progress<'_>) -> Option<Table> {
        if !self.wants("writers", "beside snapshots") {
            return None;
        }
        let Extent { keys, rounds, time, .. } = self.extent;
        let map = Stillpoint::<Numbers>::default();
        prepare(&map, keys);
        let work = Workload::new(Operation::Update, PinFor::Batch, 1, keys, Skew::Zipfian);
        let beside = |other: Option<&(dyn Fn(u64) -> u64 + Sync)>| {
            let threads = if other.is_some() { 2 } else { 1 };
            let outcome = race(threads, Limit::Time(time), |thread| {
                let mut update = work.runner(&map, 0);
                move |operations| match other {
                    Some(other) if thread == 1 => other(operations),
                    _ => update(operations),
                }
            });
            outcome.rate_of(0..1) / 1e6
        };
        let take = |operations| taking(&map)(operations);
        let scan = |_| map.scan();
        let mut figures = vec![Vec::new(); 3];
        for round in 0..rounds {
            progress(&format!("round {}", round + 1));
            figures[0].push(beside(None));
            figures[1].push(beside(Some(&take)));
            figures[2].push(beside(Some(&scan)));
        }
        let names = ["alone", "beside snapshots taken and dropped all the time", "beside scans all the time"];
        let measured: Vec<_> = names.into_iter().map(str::to_owned).zip(figures.into_iter().map(Spread::new)).collect();
        Some(Table::of_one(
            "One thread updates, zipf 0.99, pin/32, by seconds on the wall",
            "the writer",
            "M/s",
            &measured,
        ))
    }
}

/// Takes snapshots and drops them.
fn taking<E: Entries>(map: &Stillpoint<E>) -> impl FnMut(u64) -> u64 {
    |operations| {
        for _ in 0..operations {
            drop(black_box(map.store.snapshot()));
        }
        operations
    }
}
