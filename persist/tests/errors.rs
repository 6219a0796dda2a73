//! A medium that fails: at every operation, once and from then on. Nobody gets a false acknowledgement, the store in memory goes on,
//! whoever waits or asks is told, and the directory opens again.

mod support;

use std::error::Error;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use stillpoint_persist::medium::SimulatedDisk;
use stillpoint_persist::medium::sim::{Operation, Repeat};
use stillpoint_persist::{DurabilityError, Options};
use support::history::{History, START};
use support::run::{Session, options, run};
use support::script::{
    BLOBS, CONFIG, ELSEWHERE, EVERYWHERE, LADDER, LEASES, NAMES, NUMBERS, ORDERS, SESSIONS, STRICT, Step,
};

const SCRIPT: &[Step] = &[
    Step::Put(NUMBERS, 1, 1),
    Step::Put(BLOBS, 1, 1),
    Step::Frame,
    Step::Put(NAMES, 2, 7),
    Step::SnapshotFile,
    Step::Put(NUMBERS, 1, 2),
    Step::Transact(EVERYWHERE),
    Step::Frame,
    Step::Close { file: false },
    Step::Put(ORDERS, 1, 1),
    Step::Put(SESSIONS, 0, 1),
    Step::Frame,
    Step::Put(ORDERS, 1, 2),
    Step::Die,
    Step::Wait(10),
    Step::Maintain,
    Step::Put(ORDERS, 3, 4),
    Step::Remove(NUMBERS, 1),
    Step::Frame,
    Step::Turn,
    Step::Put(BLOBS, 2, 2),
    Step::Transact(ELSEWHERE),
    Step::Turn,
    Step::Put(CONFIG, 0, 7),
    Step::Remove(LEASES, 2),
    Step::Turn,
    Step::Drop(NAMES),
    Step::Put(LADDER, 5, 5),
    Step::Put(STRICT, 5, 3),
    Step::Drop(SESSIONS),
    Step::Frame,
    Step::SnapshotFile,
    Step::Put(NAMES, 4, 4),
    Step::Frame,
    Step::Close { file: true },
];

/// What the hook was told.
type Told = Arc<Mutex<Vec<DurabilityError>>>;

fn told_options(told: &Told) -> Options {
    let told = Arc::clone(told);
    options().on_failure(move |error| told.lock().expect("no panic holds it").push(error.clone()))
}

/// Runs the script while the disk fails; a process whose log has failed goes on in memory until its script ends it, then another one
/// opens the disk.
fn run_through(disk: &mut SimulatedDisk, history: &mut History, ending: Ending) {
    let told = Told::default();
    let mut life: Option<Session> = None;
    let mut steps = SCRIPT.iter().peekable();
    while let Some(&&step) = steps.peek() {
        let Some(session) = &mut life else {
            let mut opened = Session::open_with(told_options(&told), disk, history.clock);
            if let Err(error) = &opened {
                assert_helpful(error);
                // Once more, on a disk that works again.
                match ending {
                    Ending::Passes => {}
                    Ending::Healed => disk.heal(),
                    Ending::Restarted => *disk = disk.crash(history.acknowledged() as u64),
                }
                opened = Session::open_with(told_options(&told), disk, history.clock);
            }
            let mut session = opened.expect("it opens on a disk that works");
            let state = session.state().expect("all is readable");
            history.restart(history.find(&state));
            history.begin(session.store.report());
            life = Some(session);
            continue;
        };
        steps.next();
        let failed_before = session.store.health().failed.is_some();
        match step {
            Step::Frame | Step::SnapshotFile | Step::Turn => {
                told.lock().expect("no panic holds it").clear();
                let ticket = session.store.ticket();
                let result = session.cut(history, |stepper| match step {
                    Step::Frame => stepper.frame(),
                    Step::SnapshotFile => stepper.snapshot_file(),
                    _ => {
                        stepper.step();
                        Ok(())
                    }
                });
                assert!(!failed_before || !ticket.is_durable() || *history.durable() == history.now);
                let health = session.store.health();
                if let Err(error) = &result {
                    assert_helpful(error);
                    assert!(health.last_error.is_some(), "{error} and nothing in health()");
                    let told = told.lock().expect("no panic holds it");
                    assert!(failed_before || !told.is_empty(), "{error} and the hook was not told");
                }
                match (step, &result) {
                    (Step::Frame, Ok(())) => assert_eq!(*history.durable(), history.now, "a false acknowledgement"),
                    (Step::Frame, Err(error)) => {
                        assert!(matches!(error, DurabilityError::Log(_)), "{error:?}");
                        assert!(health.failed.is_some(), "the log's failure is final");
                        assert!(matches!(
                            ticket.wait_for(std::time::Duration::ZERO),
                            Some(Err(DurabilityError::Log(_)))
                        ));
                    }
                    (_, Err(DurabilityError::SnapshotFile(_))) => assert!(health.failed.is_none(), "the log goes on"),
                    _ => {}
                }
            }
            Step::Close { file } => {
                history.cut();
                let Some(Session { store, stepper, .. }) = life.take() else { unreachable!("it is open") };
                if stepper.close(if file { 0 } else { u64::MAX }).is_ok() {
                    history.acknowledge();
                }
                drop(store);
                continue;
            }
            Step::Die => {
                life = None;
                continue;
            }
            step => _ = session.change(step, history).expect("memory goes on"),
        }
        let state = session.state().expect("memory goes on");
        assert_eq!(state, history.seen(), "memory goes on");
        if matches!(step, Step::Frame | Step::SnapshotFile | Step::Turn) {
            // Whatever failed before: what was acknowledged since is there.
            let lost = disk.images(1).take(1).chain([disk.crash(history.acknowledged() as u64)]);
            for left in lost {
                let mut session = Session::open(&left, history.clock).expect("it opens on a disk that works");
                history.find(&session.state().expect("all is readable"));
            }
        }
    }
}

/// An error says what failed, of which file or directory, what the system said, and what to do or what goes on by itself.
fn assert_helpful(error: &(dyn Error + 'static)) {
    let causes: Vec<&dyn Error> = std::iter::successors(Some(error as &dyn Error), |error| (*error).source()).collect();
    let texts: Vec<_> = causes.iter().map(|cause| cause.to_string()).collect();
    let says = |words: &[&str]| words.iter().any(|word| texts.iter().any(|text| text.contains(word)));
    assert!(
        says(&["cannot ", "can't "]) && says(&["snapshot-", "log-", "simulated disk"]),
        "what, and where: {texts:?}"
    );
    assert!(says(&["mend the cause, and open", "is tried again"]), "nothing to do: {texts:?}");
    assert!(causes.iter().any(|cause| cause.is::<std::io::Error>()), "the system's own error is lost: {texts:?}");
    assert!(texts.iter().all(|text| !text.ends_with('.')), "{texts:?}");
}

/// How a failure comes to its end.
#[derive(Clone, Copy)]
enum Ending {
    /// By itself.
    Passes,
    /// By hand, and the machine goes on.
    Healed,
    /// With the machine, which starts anew. This is so where a directory's sync keeps failing: were the machine to go on, a name that could
    /// neither be made durable nor be taken back would be seen and never be written, and nothing that a process can do finds that out.
    Restarted,
}

fn sweep(strike: impl Fn(&SimulatedDisk, u64) -> bool, ending: Ending) {
    for operation in 1.. {
        let mut disk = SimulatedDisk::with_seed(operation);
        if !strike(&disk, operation) {
            break;
        }
        let mut history = History::new();
        run_through(&mut disk, &mut history, ending);
        let crashed = (0..6).map(|seed| disk.crash(seed)).chain(disk.images(4).take(4)).chain([disk.kill()]);
        for (number, left) in crashed.enumerate() {
            let mut session = Session::open(&left, history.clock)
                .unwrap_or_else(|error| panic!("operation {operation}, image {number} does not open: {error:?}"));
            let state = session.state().expect("all is readable");
            let found = history.find(&state);
            drop(session);
            // And it can be written again.
            let mut history = history.clone();
            history.restart(found);
            run(&left, &[Step::Put(NUMBERS, 5, 5), Step::Frame], &mut history).expect("nothing fails");
            let mut session = Session::open(&left.crash(operation), history.clock).expect("it opens");
            let state = session.state().expect("all is readable");
            assert_eq!(state, history.seen(), "operation {operation}, image {number}");
        }
    }
}

/// How many operations the script takes when nothing fails.
fn operations(count: impl Fn(&SimulatedDisk) -> u64) -> u64 {
    let disk = SimulatedDisk::new();
    run(&disk, SCRIPT, &mut History::new()).expect("nothing fails");
    count(&disk)
}

fn sweep_all(kind: ErrorKind, repeat: Repeat) {
    let last = operations(SimulatedDisk::operations);
    let strike = |disk: &SimulatedDisk, n: u64| {
        disk.fail_at(n, kind, repeat);
        n <= last
    };
    sweep(strike, if repeat == Repeat::Once { Ending::Passes } else { Ending::Restarted });
}

fn sweep_one(operation: Operation, kind: ErrorKind, repeat: Repeat) {
    let last = operations(|disk| disk.operations_of(operation));
    let strike = |disk: &SimulatedDisk, n: u64| {
        disk.fail_operation(operation, n, kind, repeat);
        n <= last
    };
    let ending = match (repeat, operation) {
        (Repeat::Once, _) => Ending::Passes,
        (Repeat::Sticky, Operation::SyncDirectory) => Ending::Restarted,
        (Repeat::Sticky, _) => Ending::Healed,
    };
    sweep(strike, ending);
}

#[test]
fn an_io_error_at_any_operation() {
    sweep_all(ErrorKind::Other, Repeat::Once);
}

#[test]
fn an_io_error_from_any_operation_on() {
    sweep_all(ErrorKind::Other, Repeat::Sticky);
}

#[test]
fn a_full_disk_from_any_operation_on() {
    sweep_all(ErrorKind::StorageFull, Repeat::Sticky);
}

/// The same machine goes on when there is room again, or the cause is gone: the directory's names are as it shows them.
#[test]
fn one_kind_of_operation_fails_for_a_while() {
    for operation in
        [Operation::Create, Operation::Write, Operation::SetLen, Operation::Sync, Operation::Rename, Operation::Remove]
    {
        sweep_one(operation, ErrorKind::StorageFull, Repeat::Sticky);
    }
}

#[test]
fn syncs_that_fail() {
    for operation in [Operation::Sync, Operation::SyncDirectory] {
        sweep_one(operation, ErrorKind::Other, Repeat::Once);
        sweep_one(operation, ErrorKind::Other, Repeat::Sticky);
    }
}

#[test]
fn short_writes() {
    sweep_one(Operation::Write, ErrorKind::StorageFull, Repeat::Once);
}

#[test]
fn what_only_reads_fails() {
    for operation in [Operation::List, Operation::Open, Operation::Map, Operation::Read] {
        sweep_one(operation, ErrorKind::Other, Repeat::Once);
    }
}

/// A disk that fills up: the log or the snapshot file ends, memory goes on, and with room again the directory opens.
#[test]
fn a_disk_of_any_size() {
    let whole = SimulatedDisk::new();
    run(&whole, SCRIPT, &mut History::new()).expect("nothing fails");
    for capacity in (0..160).map(|n| n << 11) {
        let disk = SimulatedDisk::new();
        disk.set_capacity(capacity);
        let opened = Session::open(&disk, START);
        let Ok(mut session) = opened else {
            disk.set_capacity(1 << 30);
            drop(Session::open(&disk, START).expect("there is room now"));
            continue;
        };
        let mut history = History::new();
        for n in 0..12 {
            session.change(Step::Put(BLOBS, n % 3, n), &mut history).expect("memory goes on");
            let beside =
                [Step::Transact(EVERYWHERE), Step::Put(LADDER, n, n), Step::Transact(ELSEWHERE), Step::Drop(LEASES)];
            session.change(beside[n as usize % beside.len()], &mut history).expect("memory goes on");
            history.cut();
            let result = if n % 4 == 3 { session.stepper.snapshot_file() } else { session.stepper.frame() };
            match result {
                Ok(()) => history.acknowledge(),
                // The frame before the file may be durable.
                Err(DurabilityError::SnapshotFile(_)) => history.acknowledge(),
                Err(error) => assert!(matches!(error, DurabilityError::Log(_)), "{error:?}"),
            }
        }
        assert_eq!(session.state().expect("memory goes on"), history.seen());
        drop(session);
        for disk in [disk.crash(capacity), disk] {
            disk.set_capacity(1 << 30);
            let state = Session::open(&disk, START).expect("there is room now").state().expect("all is readable");
            history.find(&state);
        }
    }
}

#[test]
fn a_snapshot_file_that_fails_does_not_stop_the_log() {
    let disk = SimulatedDisk::new();
    let mut session = Session::open(&disk, START).expect("nothing fails");
    let mut history = History::new();
    for n in 1..=3 {
        session.change(Step::Put(NUMBERS, n, n), &mut history).expect("memory goes on");
        session.stepper.frame().expect("the log goes on");
        let before = session.store.health().tail_bytes;
        match n {
            // Of the log's next segment, then of the file.
            1 => disk.fail_operation(Operation::Rename, 2, ErrorKind::Other, Repeat::Once),
            2 => disk.fail_operation(Operation::SyncDirectory, 2, ErrorKind::Other, Repeat::Once),
            _ => disk.fail_operation(Operation::Map, 1, ErrorKind::Other, Repeat::Once),
        }
        let error = session.stepper.snapshot_file().expect_err("the disk fails");
        assert!(matches!(error, DurabilityError::SnapshotFile(_)), "{error:?}");
        disk.heal();
        let health = session.store.health();
        assert!(health.failed.is_none() && health.last_error.is_some() && health.tail_bytes >= before);
        assert_eq!(health.snapshot_files, 0);
        session.stepper.frame().expect("the log goes on");
    }
    session.stepper.snapshot_file().expect("nothing fails now");
    assert_eq!(session.store.health().snapshot_files, 1);
    let names = stillpoint_persist::medium::Medium::list(&disk).expect("a disk that is on");
    assert_eq!(names.iter().filter(|name| name.starts_with("snapshot-")).count(), 1, "{names:?}");
}
