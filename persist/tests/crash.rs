//! A crash at every operation of the medium, in every way, and again during what follows: what comes back is the state at
//! some cut, none older than what was acknowledged, with its versions; and the store goes on from there.
//!
//! The scripts go over every kind of component, and one plain model says what each of them holds: so a transaction is there whole or not at
//! all, an ordered map in order, and a key whose time is over by the store's clock is gone.
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
use support::script::{
    BLOBS, CONFIG, ELSEWHERE, EVERYWHERE, KEPT, LADDER, LEASES, NAMES, NESTED, NUMBERS, ORDERS, SESSIONS, SET, STRICT,
    Step, Write, random_script,
};
use support::tables::{Entry, TABLES};

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
    /// One image in so many is opened once more, and again later, and on a machine whose clock has gone back.
    again_in: u64,
}

/// What a test in a debug build has time for.
const SOME: Effort = Effort { images: 6, torn: 1, twice_in: 61, onward_in: 5, again_in: 7 };

/// What a test in a release build has time for.
const MANY: Effort = Effort { images: 24, torn: 6, twice_in: 23, onward_in: 3, again_in: 3 };

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
        if self.images.is_multiple_of(self.effort.again_in) {
            open_again(image, history, &state);
        }
        if self.images.is_multiple_of(self.effort.twice_in) {
            self.crash_in_recovery(image, history);
        }
    }

    /// Writes to what was recovered; loses power; looks again.
    fn go_on(&mut self, image: &SimulatedDisk, history: &History, found: usize, state: &State) {
        let mut history = history.clone();
        history.restart(found);
        let script = match self.images % 7 {
            // A map that recovery knows or not; the others are carried along unasked.
            0 => &[Step::Put(NAMES, 3, 5), Step::SnapshotFile, Step::Put(NAMES, 4, 9), Step::Frame][..],
            1 => &[Step::Put(NUMBERS, 1, 7), Step::Frame, Step::Remove(NUMBERS, 1), Step::Frame][..],
            2 => &[Step::Close { file: false }, Step::Put(ORDERS, 2, 8), Step::Frame][..],
            3 => &[
                Step::Transact(&[Write::Set(CONFIG, 0, 3), Write::Set(LADDER, 0, 3), Write::Unset(NUMBERS, 1)]),
                Step::Frame,
            ],
            4 => &[Step::Drop(NUMBERS), Step::Put(LADDER, 1, 6), Step::Frame, Step::Put(NUMBERS, 6, 6), Step::Frame],
            5 => &[Step::Wait(10), Step::Maintain, Step::Frame, Step::Put(SESSIONS, 1, 4), Step::SnapshotFile][..],
            _ => &[Step::Put(ORDERS, 1, 3), Step::Close { file: true }, Step::Put(NESTED, 0, 4), Step::Frame][..],
        };
        // A close needs a store that is open.
        let script = [&[Step::Frame], script].concat();
        assert_eq!(history.seen(), *state);
        run(image, &script, &mut history).expect("nothing fails");
        for left in [image.crash(self.images), image.kill()] {
            self.images += 1;
            let (_, state) = recover(&left, &history);
            assert_eq!(state, history.seen(), "all of it was acknowledged");
        }
    }

    /// Crashes at each operation of a recovery.
    fn crash_in_recovery(&mut self, image: &SimulatedDisk, history: &History) {
        let whole = image.kill();
        let session = Session::open(&whole, history.clock).expect("it opened before");
        let operations = whole.operations();
        drop(session);
        for operation in 1..=operations {
            let again = image.kill();
            again.crash_at(operation);
            let mut history = history.clone();
            if let Ok(mut session) = Session::open(&again, history.clock) {
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
        let session = Session::open(&whole, history.clock);
        let state = session.map(|mut session| session.state()).expect("it opened before");
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
    let (state, _) = look(image, history.clock);
    (history.find(&state), state)
}

/// Opens an image at a time: all that it holds, and the store's time.
fn look(image: &SimulatedDisk, clock: Duration) -> (State, Duration) {
    let mut session = Session::open(image, clock).unwrap_or_else(|error| {
        let files = stillpoint_persist::medium::Medium::list(image);
        panic!("an image does not open: {error:?}; it has {files:?}")
    });
    let state = session.state().expect("all is readable");
    (state, session.clock())
}

/// Opens a recovered image once more; then when every time that is bounded is over; then with a clock that has gone back.
fn open_again(image: &SimulatedDisk, history: &History, state: &State) {
    let disk = image.kill();
    assert_eq!(look(&disk, history.clock).0, *state, "the first time");
    assert_eq!(look(&disk.kill(), history.clock).0, *state, "the second time");
    let (later, _) = look(&disk.kill(), history.clock + Duration::from_secs(3600));
    let for_ever = |(_, entry): &(&(usize, u64), &Entry)| entry.is_live(Duration::from_secs(1 << 30));
    assert!(later.iter().eq(state.iter().filter(for_ever)), "{later:?} an hour after {state:?}");
    let (earlier, clock) = look(&disk.kill(), Duration::ZERO);
    history.find_at(&earlier, clock);
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
        for table in NUMBERS..=SET {
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

/// The cell, its first value too; the ordered map; keys that expire, by the map's rule and their own; a map that refuses; one that keeps history.
#[test]
fn every_kind_of_component() {
    let mut script = vec![];
    for round in 0..3 {
        script.extend(
            (LADDER..TABLES.len()).filter(|table| *table != CONFIG).map(|table| Step::Put(table, round, 9 * round)),
        );
        script.extend([Step::Put(CONFIG, 0, round), Step::Put(STRICT, round, 3), Step::Frame, Step::Wait(6)]);
        script.extend([Step::Remove(LADDER, 0), Step::Remove(LEASES, round), Step::Remove(KEPT, 1), Step::Frame]);
        script.push(if round == 1 { Step::SnapshotFile } else { Step::Maintain });
    }
    // The last key of a strict map's, and one too many.
    script.extend([Step::Die, Step::Put(STRICT, 3, 4), Step::Put(STRICT, 4, 4), Step::Remove(STRICT, 0), Step::Frame]);
    script.extend([Step::Put(SESSIONS, 1, 8), Step::Put(LADDER, 0, 4), Step::Frame]);
    script.extend([
        Step::Wait(60),
        Step::Maintain,
        Step::Frame,
        Step::Put(SESSIONS, 0, 5),
        Step::SnapshotFile,
        Step::Frame,
    ]);
    check("kinds", &script);
}

/// Refused by its last write.
const NOWHERE: &[Write] =
    &[Write::Set(NUMBERS, 1, 9), Write::Set(LADDER, 1, 9), Write::Set(CONFIG, 0, 9), Write::Set(STRICT, 2, 3)];

#[test]
fn transactions_over_all_kinds() {
    let mut script = vec![];
    for round in 0..2 {
        script.extend([Step::Transact(EVERYWHERE), Step::Frame, Step::Transact(NOWHERE), Step::Transact(ELSEWHERE)]);
        script.extend([Step::Turn, Step::Turn, Step::Transact(EVERYWHERE), Step::Turn, Step::Frame]);
        script.push(if round == 0 { Step::Die } else { Step::Close { file: false } });
        script.extend([
            Step::Transact(ELSEWHERE),
            Step::Frame,
            Step::Transact(EVERYWHERE),
            Step::SnapshotFile,
            Step::Die,
        ]);
    }
    check("transactions", &script);
}

/// Its frame is of several blocks, each written by itself.
#[test]
fn a_transaction_that_is_longer_than_a_block() {
    const LARGE: &[Write] = &[
        Write::Set(CONFIG, 0, 1),
        Write::Set(BLOBS, 0, 8_999),
        Write::Set(BLOBS, 1, 8_998),
        Write::Set(BLOBS, 2, 8_997),
        Write::Set(BLOBS, 3, 8_996),
        Write::Set(BLOBS, 4, 8_995),
        Write::Set(BLOBS, 5, 8_994),
        Write::Set(BLOBS, 6, 8_993),
        Write::Set(BLOBS, 7, 8_992),
        Write::Set(BLOBS, 8, 8_991),
        Write::Set(BLOBS, 9, 8_990),
        Write::Set(BLOBS, 10, 8_989),
        Write::Set(BLOBS, 11, 8_988),
        Write::Set(LADDER, 1, 1),
    ];
    check_some(
        "large",
        &[Step::Put(CONFIG, 0, 5), Step::Frame, Step::Transact(LARGE), Step::Frame, Step::Die, Step::Frame],
    );
}

/// Components that go, with what they hold: asked for or not, in the log alone or in a file, and while one is written; others that have their names.
#[test]
fn components_that_are_dropped() {
    let mut script = vec![Step::Transact(EVERYWHERE), Step::Put(NAMES, 1, 1), Step::Frame];
    // In the log alone, and new again in the same frame, with less.
    script.extend([
        Step::Drop(LADDER),
        Step::Drop(CONFIG),
        Step::Put(LADDER, 7, 7),
        Step::Put(NUMBERS, 2, 2),
        Step::Frame,
    ]);
    script.extend([
        Step::Drop(LADDER),
        Step::Put(LADDER, 8, 8),
        Step::Drop(LADDER),
        Step::Drop(KEPT),
        Step::SnapshotFile,
    ]);
    // In the file, by a process that has not asked for them; and one that never was.
    script.extend([
        Step::Die,
        Step::Drop(SESSIONS),
        Step::Put(NUMBERS, 3, 3),
        Step::Drop(STRICT),
        Step::Frame,
        Step::Drop(SET),
    ]);
    script.extend([Step::Put(SESSIONS, 1, 4), Step::Put(CONFIG, 0, 3), Step::Put(STRICT, 6, 2), Step::Frame]);
    // While a file is written that has them.
    script.extend([
        Step::Turn,
        Step::Turn,
        Step::Drop(NUMBERS),
        Step::Drop(LEASES),
        Step::Put(LEASES, 1, 5),
        Step::Frame,
    ]);
    script.extend([Step::Turn, Step::Turn, Step::Put(NUMBERS, 4, 4), Step::Frame, Step::Close { file: false }]);
    script.extend([
        Step::Drop(NUMBERS),
        Step::Close { file: true },
        Step::Put(NUMBERS, 5, 5),
        Step::Drop(NAMES),
        Step::Die,
    ]);
    script.extend([Step::Drop(NAMES), Step::Frame, Step::Put(NAMES, 2, 2), Step::Frame]);
    check("dropped", &script);
}

/// While a file is written, piece by piece, all kinds go on; what it holds is of its own moment.
#[test]
fn snapshot_files_beside_all_kinds() {
    let mut script = vec![Step::Transact(EVERYWHERE), Step::Frame];
    for piece in 0..14 {
        let write = match piece % 7 {
            0 => Step::Put(LADDER, piece, piece),
            1 => Step::Transact(ELSEWHERE),
            2 => Step::Put(CONFIG, 0, piece),
            3 => Step::Wait(4),
            4 => Step::Put(SESSIONS, piece, piece),
            5 => Step::Transact(EVERYWHERE),
            _ => Step::Maintain,
        };
        script.extend([write, Step::Turn]);
        script.extend((piece % 4 == 3).then_some(Step::Frame));
    }
    script.extend([
        Step::Frame,
        Step::Die,
        Step::Transact(ELSEWHERE),
        Step::SnapshotFile,
        Step::Remove(LEASES, 2),
        Step::Frame,
    ]);
    check("files of kinds", &script);
}

/// One life after the other, none of which asks for all that the one before has written.
#[test]
fn restarts_in_a_row() {
    let mut script = vec![Step::Transact(EVERYWHERE), Step::Put(SESSIONS, 0, 2), Step::Frame];
    for life in 0..5 {
        script.extend([Step::Die, Step::Wait(7)]);
        script.extend(match life {
            0 => [Step::Put(LADDER, 3, 3), Step::Frame],
            1 => [Step::Maintain, Step::Frame],
            2 => [Step::Put(CONFIG, 0, 4), Step::SnapshotFile],
            3 => [Step::Transact(ELSEWHERE), Step::Close { file: true }],
            _ => [Step::Put(SESSIONS, 3, 5), Step::Frame],
        });
    }
    check_some("restarts", &script);
}

fn check(name: &str, script: &[Step]) {
    check_least(name, script, if cfg!(debug_assertions) { 500 } else { 4_000 });
}

/// The same of a script with fewer operations.
fn check_some(name: &str, script: &[Step]) {
    check_least(name, script, if cfg!(debug_assertions) { 200 } else { 1_000 });
}

fn check_least(name: &str, script: &[Step], least: u64) {
    let mut trial = Trial::new(EFFORT);
    trial.crash_everywhere(name, script);
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
