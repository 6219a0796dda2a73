//! Damage anywhere in a directory: opening it, bringing everything in and verifying gives a typed error that says which file and what to
//! do, or exactly the state that was stored. Never another state, never a panic; and an opening that fails changes nothing.

mod support;

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use stillpoint_persist::format::names::{log_segment, snapshot_generation};
use stillpoint_persist::format::{FORMAT_VERSION, FormatError, PAGE};
use stillpoint_persist::medium::{Medium, SimulatedDisk};
use stillpoint_persist::snapshot_file::SnapshotFile;
use stillpoint_persist::{OpenError, OpenReport};
use support::history::{History, START, State};
use support::run::{Session, run};
use support::script::{
    BLOBS, CONFIG, ELSEWHERE, EVERYWHERE, KEPT, LADDER, LEASES, NAMES, NESTED, NUMBERS, ORDERS, SESSIONS, SET, STRICT,
    Step,
};

/// Everything was durable when the store was closed: two segments behind a snapshot file.
const SEALED: &[Step] = &[
    Step::Put(NUMBERS, 1, 1),
    Step::Put(NAMES, 2, 4),
    Step::Put(ORDERS, 3, 20),
    Step::Put(BLOBS, 1, 1),
    Step::Frame,
    Step::SnapshotFile,
    Step::Put(NUMBERS, 2, 2),
    Step::Remove(NAMES, 2),
    Step::Frame,
    Step::Put(NESTED, 1, 3),
    Step::Put(BLOBS, 2, 2),
    Step::Frame,
    Step::Put(ORDERS, 3, 21),
    Step::Frame,
    Step::Put(SET, 4, 0),
    Step::Close { file: false },
];

/// The same, of every kind of component: transactions, removals by hand and by time, a drop; in the file and in both segments.
const KINDS: &[Step] = &[
    Step::Put(SESSIONS, 0, 1),
    Step::Put(SESSIONS, 2, 2),
    Step::Put(LADDER, 3, 3),
    Step::Transact(EVERYWHERE),
    Step::Frame,
    Step::SnapshotFile,
    Step::Transact(ELSEWHERE),
    Step::Put(SESSIONS, 4, 5),
    Step::Remove(LADDER, 3),
    Step::Frame,
    Step::Wait(10),
    Step::Maintain,
    Step::Put(CONFIG, 0, 6),
    Step::Put(LEASES, 1, 7),
    Step::Drop(KEPT),
    Step::Frame,
    Step::Put(STRICT, 2, 8),
    Step::Frame,
    Step::Put(LADDER, 4, 9),
    Step::Close { file: false },
];

/// In release builds every byte, in debug builds some.
const STRIDE: usize = if cfg!(debug_assertions) { 29 } else { 1 };

/// A directory and what it holds.
struct Original {
    disk: SimulatedDisk,
    state: State,
    clock: Duration,
}

impl Original {
    fn new(script: &[Step]) -> Self {
        let disk = SimulatedDisk::new();
        let mut history = History::new();
        run(&disk, script, &mut history).expect("nothing fails");
        // Power is lost and nothing was pending; or the process died and everything is there.
        assert_eq!(*history.durable(), history.now);
        Self { disk, state: history.seen(), clock: history.clock }
    }

    /// The directory, with the damage that is done to it.
    fn damaged(&self, damage: impl FnOnce(&SimulatedDisk)) -> SimulatedDisk {
        let disk = self.disk.kill();
        damage(&disk);
        disk
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        contents(&self.disk).into_iter().collect()
    }

    /// Opens a damaged directory: the right state, or an error that helps. Returns whether it was found to be damaged.
    fn check(&self, disk: &SimulatedDisk, what: &str) -> bool {
        match open(disk, self.clock) {
            Err(message) => {
                assert_helpful(&message, what);
                true
            }
            Ok((state, report)) => {
                assert_eq!(state, self.state, "{what} went unnoticed; {report:?}");
                false
            }
        }
    }
}

fn contents(disk: &SimulatedDisk) -> BTreeMap<String, Vec<u8>> {
    let names = disk.list().expect("a disk that is on");
    names.into_iter().map(|name| (name.clone(), disk.contents(&name).expect("it is listed"))).collect()
}

/// Opens a disk and brings everything in: all that is stored, or all that the errors say.
fn open(disk: &SimulatedDisk, clock: Duration) -> Result<(State, OpenReport), String> {
    let before = contents(disk);
    let mut session = match Session::open(disk, clock) {
        Ok(session) => session,
        Err(error) => {
            assert!(before == contents(disk), "an opening that failed has changed something: {error:?}");
            return Err(message(&error));
        }
    };
    let state = session.state().map_err(|error| message(&*error))?;
    Ok((state, session.store.report().clone()))
}

/// An error with all its causes.
fn message(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// An error says which file, and what to do.
fn assert_helpful(message: &str, what: &str) {
    let files = ["snapshot-", "log-", "log segment ", "the log "];
    assert!(files.iter().any(|file| message.contains(file)), "{what}: no file in {message:?}");
    let advice = ["from a backup", "from a copy", "open it with", "out of this directory"];
    assert!(advice.iter().any(|advice| message.contains(advice)), "{what}: no advice in {message:?}");
    assert!(!message.ends_with('.') && !message.contains("Some("), "{message}");
}

#[test]
fn an_undamaged_directory_opens() {
    let original = Original::new(SEALED);
    let (state, report) = open(&original.disk.kill(), START).expect("it is whole");
    assert_eq!(state, original.state);
    assert!(report.sealed && report.torn.is_none() && report.skipped.is_empty());
    let segments = original.files().iter().filter(|(name, _)| log_segment(name).is_some()).count();
    assert!(segments >= 2, "the tests below want frames in several segments");
}

#[test]
fn every_byte_flipped() {
    flip_every_byte(&Original::new(SEALED));
}

#[test]
fn every_byte_flipped_of_all_kinds() {
    flip_every_byte(&Original::new(KINDS));
}

fn flip_every_byte(original: &Original) {
    for (name, bytes) in original.files() {
        let mut found = 0;
        for offset in (0..bytes.len()).step_by(STRIDE) {
            let bit = (offset / STRIDE % 8) as u32;
            let disk = original.damaged(|disk| disk.flip(&name, offset as u64, bit).expect("the byte is there"));
            let what = format!("bit {bit} of byte {offset} of {name}");
            let mut noticed = original.check(&disk, &what);
            if snapshot_generation(&name).is_some() {
                // What is brought in does not touch the directory of hashes; verifying touches every byte.
                let file = SnapshotFile::open(&name, disk.map(&name).expect("it is listed"));
                noticed = file.and_then(|file| file.verify()).is_err();
                assert!(noticed, "{what} passed verification");
            }
            found += usize::from(noticed);
        }
        assert!(found > 0, "no damage of {name} was ever noticed");
    }
}

#[test]
fn every_file_cut_short_anywhere() {
    cut_every_file(&Original::new(SEALED));
}

#[test]
fn every_file_of_all_kinds_cut_short_anywhere() {
    cut_every_file(&Original::new(KINDS));
}

fn cut_every_file(original: &Original) {
    for (name, bytes) in original.files() {
        let mut unnoticed = 0;
        for len in (0..bytes.len()).rev().step_by(STRIDE) {
            let disk = original.damaged(|disk| disk.truncate(&name, len as u64).expect("it is listed"));
            let noticed = original.check(&disk, &format!("{name} cut to {len} bytes"));
            assert!(noticed || log_segment(&name).is_some(), "{name} cut to {len} bytes");
            unnoticed += usize::from(!noticed);
        }
        // A few bytes behind the frames of a segment that another one follows mean nothing any more; and a log that lost its seal and
        // nothing else is as a crash leaves it that comes while the log is being closed.
        assert!(unnoticed <= 17, "{unnoticed} cuts of {name} went unnoticed");
    }
}

#[test]
fn zeros_and_noise_over_pages() {
    [SEALED, KINDS].into_iter().for_each(|script| overwrite_every_sector(&Original::new(script)));
}

fn overwrite_every_sector(original: &Original) {
    for (name, bytes) in original.files() {
        for start in (0..bytes.len()).step_by(512) {
            for (kind, fill) in [("zeros", 0_u8), ("noise", 0x5a)] {
                let mut bytes = bytes.clone();
                let end = bytes.len().min(start + 512);
                bytes[start..end].fill(fill);
                let disk = original.damaged(|disk| disk.put_file(&name, bytes).expect("a good name"));
                original.check(&disk, &format!("{kind} from {start} to {end} of {name}"));
            }
        }
    }
}

#[test]
fn missing_files() {
    let original = Original::new(SEALED);
    for (name, _) in original.files() {
        let disk = original.damaged(|disk| disk.lose_file(&name).expect("it is listed"));
        assert!(original.check(&disk, &format!("{name} missing")), "{name} is missing and nobody notices");
    }
}

#[test]
fn missing_segments_after_recovery() {
    // The first life's last frame is repeated in the second one's segment.
    let died = [Step::Put(NUMBERS, 1, 1), Step::Frame, Step::Put(NUMBERS, 2, 2), Step::Frame, Step::Die];
    let script =
        [&died[..], &[Step::Put(NUMBERS, 3, 3), Step::Frame, Step::Put(NUMBERS, 4, 4), Step::Close { file: false }]]
            .concat();
    let original = Original::new(&script);
    for (name, _) in original.files() {
        let disk = original.damaged(|disk| disk.lose_file(&name).expect("it is listed"));
        assert!(original.check(&disk, &format!("{name} missing")), "{name} is missing and nobody notices");
    }
}

#[test]
fn all_log_segments_missing() {
    let original = Original::new(SEALED);
    let disk = original.damaged(|disk| {
        for (name, _) in original.files().iter().filter(|(name, _)| log_segment(name).is_some()) {
            disk.lose_file(name).expect("it is listed");
        }
    });
    assert!(original.check(&disk, "all segments missing"));
}

#[test]
fn files_under_each_others_names() {
    let original = Original::new(SEALED);
    let files = original.files();
    for (first, bytes) in &files {
        for (second, other) in files.iter().filter(|(second, _)| second > first) {
            let disk = original.damaged(|disk| {
                disk.put_file(first, other.clone()).expect("a good name");
                disk.put_file(second, bytes.clone()).expect("a good name");
            });
            assert!(original.check(&disk, &format!("{first} and {second} swapped")), "{first} and {second}");
        }
    }
}

#[test]
fn files_of_another_store() {
    let original = Original::new(SEALED);
    let other =
        Original::new(&[Step::Put(NUMBERS, 9, 9), Step::Frame, Step::Put(NUMBERS, 9, 8), Step::Close { file: true }]);
    for (name, bytes) in other.files() {
        for (place, _) in original.files() {
            let disk = original.damaged(|disk| disk.put_file(&place, bytes.clone()).expect("a good name"));
            assert!(original.check(&disk, &format!("{name} of another store as {place}")), "{name} as {place}");
        }
    }
    // One that is newer than all others: the store that it belongs to is not this one.
    for name in ["snapshot-00000000000000ff.snap", "log-00000000000000ff.log"] {
        let is_log = log_segment(name).is_some();
        let (_, bytes) =
            other.files().into_iter().find(|(name, _)| log_segment(name).is_some() == is_log).expect("both");
        let disk = original.damaged(|disk| disk.put_file(name, bytes).expect("a good name"));
        original.check(&disk, &format!("{name} of another store"));
    }
}

#[test]
fn a_newer_format_is_named() {
    let original = Original::new(SEALED);
    for (name, mut bytes) in original.files() {
        bytes[16..20].copy_from_slice(&(FORMAT_VERSION + 1).to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..PAGE - 4]);
        bytes[PAGE - 4..PAGE].copy_from_slice(&checksum.to_le_bytes());
        let disk = original.damaged(|disk| disk.put_file(&name, bytes).expect("a good name"));
        let message = open(&disk, START).expect_err("nobody can read it yet");
        assert!(message.contains(&name) && message.contains("newer version"), "{message}");
    }
}

#[test]
fn a_file_that_is_not_ours_is_named() {
    let original = Original::new(SEALED);
    for (name, _) in original.files() {
        let disk = original.damaged(|disk| disk.put_file(&name, vec![b'#'; 3 * PAGE]).expect("a good name"));
        match Session::open(&disk, START).map(drop) {
            Err(OpenError::File { source: FormatError::NotOurs { file, .. }, .. }) => assert_eq!(file, name),
            other => panic!("{name}: {other:?}"),
        }
        let disk = original.damaged(|disk| disk.put_file("notes.txt", "not ours").expect("a good name"));
        assert!(!original.check(&disk, "a file beside"));
        assert_eq!(disk.contents("notes.txt").expect("nobody took it"), b"not ours");
    }
}

/// Without a seal, damage to the last frame looks like a write that was cut off: the state before it comes back, and that is told, and
/// what was there is kept. Damage to any other frame is found.
#[test]
fn every_byte_flipped_of_a_log_that_was_not_closed() {
    [SEALED, KINDS].into_iter().for_each(flip_every_byte_before_closing);
}

fn flip_every_byte_before_closing(script: &[Step]) {
    let open_ended = &script[..script.len() - 2];
    let original = Original::new(open_ended);
    let before_last = Original::new(&open_ended[..open_ended.len() - 2]);
    let values = |state: &State| state.iter().map(|(at, entry)| (*at, entry.value)).collect::<Vec<_>>();
    let mut torn = 0;
    for (name, bytes) in original.files() {
        for offset in (0..bytes.len()).step_by(STRIDE) {
            let disk = original.damaged(|disk| disk.flip(&name, offset as u64, 3).expect("the byte is there"));
            let what = format!("byte {offset} of {name}");
            match open(&disk, original.clock) {
                Err(message) => assert_helpful(&message, &what),
                Ok((state, _)) if state == original.state => {}
                Ok((state, report)) => {
                    torn += 1;
                    assert_eq!(values(&state), values(&before_last.state), "{what}");
                    let (tail, kept) = (report.torn.expect("it is told"), report.kept_aside.expect("it is kept"));
                    assert!(tail.file == name && tail.offset <= offset as u64);
                    assert_eq!(disk.contents(&kept).expect("it is kept").len() as u64, tail.bytes);
                }
            }
        }
    }
    assert!(torn > 0);
}
