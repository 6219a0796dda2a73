//! A crash at every operation of the medium, in every way, and again during what follows: what comes back is the state at
//! some cut, none older than what was acknowledged, with its versions; and the store goes on from there.
//!
//! `STILLPOINT_CRASH_SECONDS=600 cargo test --release -p stillpoint-persist --test crash -- --nocapture campaign` runs random scripts for
//! that long; a failure tells the seed, and `STILLPOINT_CRASH_SEED` begins with it.
#![expect(clippy::print_stdout, reason = "the number of images is what these tests are worth")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use stillpoint_persist::medium::SimulatedDisk;
use support::history::{History, State};
use support::run::{Session, run};
use support::script::{BLOBS, NAMES, NESTED, NUMBERS, ORDERS, SET, Step, random_script};
use support::tables::TABLES;

/// How thoroughly crashes are tried.
#[derive(Clone, Copy)]
struct Effort {
    /// Images of each crash, at most; all are taken where so few are possible.
    images: usize,
    /// More images of each crash, with torn sectors among them.
    torn: u64,
    /// One image in so many goes through the crashes of its own recovery.
    twice_in: u64,
    /// One image in so many is written to afterwards, and crashes again.
    onward_in: u64,
}

/// What a test in a debug build has time for.
const SOME: Effort = Effort { images: 6, torn: 1, twice_in: 61, onward_in: 5 };

/// What a test in a release build has time for.
const MANY: Effort = Effort { images: 24, torn: 6, twice_in: 23, onward_in: 3 };

const EFFORT: Effort = if cfg!(debug_assertions) { SOME } else { MANY };

/// Counts images, and decides which of them are gone into further.
struct Trial {
    effort: Effort,
    images: u64,
}

impl Trial {
    fn new(effort: Effort) -> Self {
        Self { effort, images: 0 }
    }

    /// Runs a script with a crash at each of its operations.
    fn crash_everywhere(&mut self, name: &str, script: &[Step]) {
        let whole = SimulatedDisk::new();
        let mut history = History::new();
        run(&whole, script, &mut history).expect("nothing fails");
        let operations = whole.operations();
        for operation in 1..=operations {
            let disk = SimulatedDisk::with_seed(operation);
            disk.crash_at(operation);
            let mut history = History::new();
            let stopped = run(&disk, script, &mut history);
            assert!(disk.is_off(), "operation {operation} never came: {stopped:?}");
            let context = format!("script {name}, crash at operation {operation} of {operations}");
            in_context(&context, || self.try_images(&disk, &history));
        }
        println!("{name}: {operations} operations, {} images so far", self.images);
    }

    /// Opens what a crash may have left.
    fn try_images(&mut self, disk: &SimulatedDisk, history: &History) {
        for (number, image) in images(disk, self.effort.images, self.effort.torn).enumerate() {
            in_context(&format!("image {number}"), || self.try_image(&image, history));
        }
    }

    fn try_image(&mut self, image: &SimulatedDisk, history: &History) {
        self.images += 1;
        let (found, state) = recover(&image.kill(), history);
        if self.images.is_multiple_of(self.effort.onward_in) {
            self.go_on(&image.kill(), history, found, &state);
        }
        if self.images.is_multiple_of(self.effort.twice_in) {
            self.crash_in_recovery(image, history);
        }
    }

    /// Writes to what was recovered; loses power; looks again.
    fn go_on(&mut self, image: &SimulatedDisk, history: &History, found: usize, state: &State) {
        let mut history = history.clone();
        history.restart(found);
        let script = match self.images % 4 {
            // A map that recovery knows or not; the others are carried along unasked.
            0 => &[Step::Put(NAMES, 3, 5), Step::SnapshotFile, Step::Put(NAMES, 4, 9), Step::Frame][..],
            1 => &[Step::Put(NUMBERS, 1, 7), Step::Frame, Step::Remove(NUMBERS, 1), Step::Frame][..],
            2 => &[Step::Close { file: false }, Step::Put(ORDERS, 2, 8), Step::Frame][..],
            _ => &[Step::Put(ORDERS, 1, 3), Step::Close { file: true }, Step::Put(NESTED, 0, 4), Step::Frame][..],
        };
        // A close needs a store that is open.
        let script = [&[Step::Frame], script].concat();
        assert_eq!(history.now, *state);
        run(image, &script, &mut history).expect("nothing fails");
        for left in [image.crash(self.images), image.kill()] {
            self.images += 1;
            let (_, state) = recover(&left, &history);
            assert_eq!(state, history.now, "all of it was acknowledged");
        }
    }

    /// Crashes at each operation of a recovery.
    fn crash_in_recovery(&mut self, image: &SimulatedDisk, history: &History) {
        let whole = image.kill();
        let session = Session::open(&whole).expect("it opened before");
        let operations = whole.operations();
        drop(session);
        for operation in 1..=operations {
            let again = image.kill();
            again.crash_at(operation);
            let mut history = history.clone();
            if let Ok(mut session) = Session::open(&again) {
                // What was left undone did not matter; then what is seen now stays.
                let state = session.state().expect("all is readable");
                history.restart(history.find(&state));
            }
            for (number, left) in images(&again, 4, 1).enumerate() {
                self.images += 1;
                in_context(&format!("crash at operation {operation} of recovery, image {number}"), || {
                    recover(&left, &history);
                });
            }
        }
        // Nothing of what recovery has shown is lost by another crash.
        let mut history = history.clone();
        let state = Session::open(&whole).map(|mut session| session.state()).expect("it opened before");
        history.restart(history.find(&state.expect("all is readable")));
        for left in images(&whole, 4, 1) {
            self.images += 1;
            recover(&left, &history);
        }
    }
}

/// What a crash leaves: if power is lost, in several ways; and if only the process dies.
fn images(disk: &SimulatedDisk, limit: usize, torn: u64) -> impl Iterator<Item = SimulatedDisk> {
    let torn = (0..torn).map(|seed| disk.crash(seed + 7 * disk.operations())).collect::<Vec<_>>();
    disk.images(limit).take(limit).chain(torn).chain([disk.kill()])
}

/// Opens an image, and finds its state in the history.
fn recover(image: &SimulatedDisk, history: &History) -> (usize, State) {
    let mut session = Session::open(image).unwrap_or_else(|error| {
        let files = stillpoint_persist::medium::Medium::list(image);
        panic!("an image does not open: {error:?}; it has {files:?}")
    });
    let state = session.state().expect("all is readable");
    (history.find(&state), state)
}

/// Says where a failure happened.
fn in_context<R>(context: &str, act: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        println!("in {context}");
        resume_unwind(panic)
    })
}

#[test]
fn frames_of_several_maps() {
    let mut script = vec![];
    for round in 0..4 {
        for table in 0..TABLES.len() {
            script.extend([Step::Put(table, round, 10 * round), Step::Put(table, 0, round)]);
        }
        script.push(Step::Frame);
        script.extend([Step::Remove(NUMBERS, round), Step::Remove(SET, 0), Step::Frame]);
    }
    check("frames", &script);
}

#[test]
fn snapshot_files_beside_frames() {
    let mut script = vec![];
    for round in 0..3 {
        script.extend([Step::Put(NAMES, round, 1), Step::Put(BLOBS, round % 2, round), Step::Frame, Step::Turn]);
        // Between the pieces of a file that a turn began.
        for piece in 0..6 {
            script.extend([Step::Put(NUMBERS, piece, round), Step::Remove(NAMES, piece), Step::Frame, Step::Turn]);
        }
        script.push(Step::Put(NUMBERS, 99, round));
    }
    check("files", &script);
}

#[test]
fn a_map_that_is_made_late_and_one_that_nobody_asks_for() {
    let early = [Step::Put(BLOBS, 1, 1), Step::Put(NESTED, 2, 2), Step::Put(NESTED, 3, 3), Step::Frame];
    let early =
        [&early[..], &[Step::SnapshotFile, Step::Put(NESTED, 2, 5), Step::Remove(NESTED, 3), Step::Frame, Step::Die]];
    let late = [Step::Put(NUMBERS, 1, 1), Step::Frame, Step::SnapshotFile, Step::Put(ORDERS, 1, 1), Step::Frame];
    let last = [Step::Close { file: true }, Step::Put(NAMES, 5, 6), Step::SnapshotFile, Step::Put(NAMES, 5, 7)];
    check("unasked", &[&early.concat()[..], &late, &last, &[Step::Die, Step::Put(NESTED, 2, 8), Step::Frame]].concat());
}

#[test]
fn lives_that_are_closed_and_lives_that_end() {
    let mut script = vec![];
    for life in 0..4 {
        script.extend([
            Step::Put(ORDERS, life, life),
            Step::Frame,
            Step::Put(ORDERS, 0, life + 1),
            Step::Put(SET, life, 0),
        ]);
        script.push(match life {
            0 => Step::Close { file: false },
            1 => Step::Die,
            2 => Step::Close { file: true },
            _ => Step::Frame,
        });
        script.extend([Step::Put(ORDERS, 7, life), Step::Frame, Step::Die, Step::Frame]);
    }
    check("lives", &script);
}

#[test]
fn segments_that_are_full() {
    let mut script = vec![];
    for round in 0..6 {
        script.extend([Step::Put(BLOBS, round % 3, round), Step::Put(NUMBERS, round, 1), Step::Frame]);
    }
    script.extend([Step::SnapshotFile, Step::Put(BLOBS, 1, 100), Step::Frame, Step::Close { file: false }]);
    check("segments", &script);
}

fn check(name: &str, script: &[Step]) {
    let mut trial = Trial::new(EFFORT);
    trial.crash_everywhere(name, script);
    let least = if cfg!(debug_assertions) { 500 } else { 4_000 };
    assert!(trial.images >= least, "{} images are too few to prove anything", trial.images);
}

/// Random scripts: a few, or as many as there is time for.
#[test]
fn campaign() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("STILLPOINT_CRASH_SECONDS");
    let first = number("STILLPOINT_CRASH_SEED").unwrap_or(1);
    let started = Instant::now();
    let mut trial = Trial::new(SOME);
    for seed in first.. {
        let is_over = match seconds {
            None => seed >= first + if cfg!(debug_assertions) { 3 } else { 20 },
            Some(seconds) => started.elapsed() >= Duration::from_secs(seconds),
        };
        if is_over {
            break;
        }
        trial.crash_everywhere(&format!("seed {seed}"), &random_script(seed));
    }
}
