//! What the log promises, over a medium in memory.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Commit, LogOptions, LogScan, LogTail, LogWriter, Record};
use crate::format::component::ComponentRecord;
use crate::format::log::SegmentHeader;
use crate::format::test_medium::TestMedium;
use crate::format::{FormatError, VALUE_ALIGN, names};

const STORE: u128 = 7;

/// `(component, version, key, value or none)`
type Change = (u32, u64, Vec<u8>, Option<Vec<u8>>);

fn options() -> LogOptions {
    LogOptions { zero_step: 16 * 1024, segment_bytes: 40 * 1024, ..LogOptions::new(STORE, 0x5a17) }
}

fn commit_of(frame: u64) -> Commit {
    Commit { incarnation: 2, cut_tick: 100 + frame, tick_reserve: 500, wall_clock: 9 }
}

fn put_all(writer: &mut LogWriter, frame: &[Change]) -> Result<(), FormatError> {
    for (component, version, key, value) in frame {
        match value {
            Some(value) => writer.put(*component, *version, key, value)?,
            None => writer.remove(*component, *version, key)?,
        }
    }
    Ok(())
}

/// Writes frames, and seals the log with the last one if asked to.
fn write(medium: &TestMedium, options: LogOptions, frames: &[Vec<Change>], ending: Ending) -> Result<(), FormatError> {
    let mut writer = LogWriter::create(Arc::new(medium.clone()), options)?;
    for (index, frame) in frames.iter().enumerate() {
        put_all(&mut writer, frame)?;
        if ending == Ending::Sealed && index + 1 == frames.len() {
            let number = writer.frame();
            return writer.seal(commit_of(number)).map(drop);
        }
        let number = writer.frame();
        assert_eq!(writer.commit(commit_of(number))?.frame, number);
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    Sealed,
}

fn changes(tail: &LogTail) -> Vec<Vec<Change>> {
    let change = |record: Record<'_>| match record {
        Record::Put { component, version, key, value } => {
            for bytes in [key, value] {
                assert!(bytes.as_ptr().addr().is_multiple_of(VALUE_ALIGN), "archives are used in place");
            }
            (component, version, key.to_vec(), Some(value.to_vec()))
        }
        Record::Remove { component, version, key } => (component, version, key.to_vec(), None),
        Record::Define { .. } | Record::Drop { .. } => panic!("nothing was defined"),
    };
    tail.frames.iter().map(|frame| frame.records().map(change).collect()).collect()
}

fn frames() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let len = prop_oneof![5 => 0..200_usize, 1 => 200_000..600_000_usize];
    let value = (len, any::<u8>()).prop_map(|(len, byte)| (0..len).map(|at| byte ^ (at / 5) as u8).collect());
    let key = prop::collection::vec(any::<u8>(), 0..40);
    let change = (any::<u32>(), any::<u64>(), key, prop::option::weighted(0.8, value));
    prop::collection::vec(prop::collection::vec(change, 0..12), 1..12)
}

/// A few small frames over two segments.
fn small() -> Vec<Vec<Change>> {
    let change = |n: u64| {
        (n as u32 % 3, n, n.to_le_bytes().to_vec(), (!n.is_multiple_of(5)).then(|| vec![n as u8; n as usize * 7]))
    };
    vec![(0..3).map(change).collect(), Vec::new(), (3..9).map(change).collect(), (9..40).map(change).collect()]
}

fn compact() -> LogOptions {
    LogOptions { segment_bytes: 12 * 1024, ..options() }
}

fn segments(medium: &TestMedium) -> Vec<String> {
    (1..).map(names::log_name).take_while(|name| medium.has(name)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_committed_is_read(frames in frames(), sealed in any::<bool>(), after in 0..12_u64) {
        let medium = TestMedium::default();
        let ending = if sealed { Ending::Sealed } else { Ending::Open };
        write(&medium, options(), &frames, ending).expect("the medium does not fail");
        let tail = LogScan::read(&medium, STORE, after).expect("it is whole");
        let skipped = (after as usize).min(frames.len());
        prop_assert_eq!(changes(&tail), frames[skipped..].to_vec());
        prop_assert_eq!(tail.sealed, sealed);
        prop_assert_eq!(&tail.torn, &None);
        prop_assert_eq!(tail.last.map(|info| info.frame), Some(frames.len() as u64));
        let unvouched = tail.unvouched().count();
        prop_assert_eq!(unvouched, usize::from(!sealed && after < frames.len() as u64));
    }

    #[test]
    fn an_interrupted_log_keeps_what_was_committed(frames in frames(), calls in 0..400_u64) {
        let medium = TestMedium::default();
        let mut writer = LogWriter::create(Arc::new(medium.clone()), options()).expect("nothing fails yet");
        medium.fail_after(calls);
        let mut committed = 0;
        for frame in &frames {
            let number = writer.frame();
            if put_all(&mut writer, frame).and_then(|()| writer.commit(commit_of(number))).is_err() {
                let again = writer.commit(commit_of(number));
                prop_assert!(matches!(again, Err(FormatError::Io { .. })), "a failure is final");
                prop_assert!(writer.failed().is_some());
                break;
            }
            committed += 1;
        }
        let tail = LogScan::read(&medium.image(), STORE, 0).expect("a torn tail is no damage");
        // A frame whose sync failed may be there, or not.
        let read = changes(&tail);
        prop_assert!(read.len() == committed || read.len() == committed + 1);
        prop_assert_eq!(&read[..], &frames[..read.len()]);
    }

    #[test]
    fn arbitrary_bytes_are_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..5000),
        at in 4096..20_000_usize,
    ) {
        let medium = TestMedium::default();
        write(&medium, options(), &small(), Ending::Open).expect("the medium does not fail");
        let name = names::log_name(1);
        let mut log = medium.read(&name);
        log.truncate(at);
        log.extend_from_slice(&bytes);
        medium.write(&name, &log);
        let _ = LogScan::read(&medium, STORE, 0);
        medium.write(&name, &bytes);
        prop_assert!(LogScan::read(&medium, STORE, 0).is_err());
    }
}

#[test]
fn every_flipped_byte_of_a_sealed_log_is_found() {
    let medium = TestMedium::default();
    write(&medium, compact(), &small(), Ending::Sealed).expect("the medium does not fail");
    let names = segments(&medium);
    assert!(names.len() > 1, "a segment was closed");
    for name in names {
        let good = medium.read(&name);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            medium.write(&name, &bytes);
            assert!(LogScan::read(&medium, STORE, 0).is_err(), "byte {at} of {} of {name}", good.len());
        }
        medium.write(&name, &good);
    }
    assert!(LogScan::read(&medium, STORE, 0).expect("it is whole again").sealed);
}

#[test]
fn no_truncation_of_a_sealed_log_loses_a_frame() {
    let medium = TestMedium::default();
    write(&medium, compact(), &small(), Ending::Sealed).expect("the medium does not fail");
    for name in segments(&medium) {
        let good = medium.read(&name);
        for len in 0..good.len() {
            medium.write(&name, &good[..len]);
            // Cut at a whole step, just the seal is gone: as after a crash while the log was being closed.
            if let Ok(tail) = LogScan::read(&medium, STORE, 0) {
                assert_eq!((len % 16384, changes(&tail)), (0, small()), "{name} cut to {len} of {}", good.len());
                assert!(!tail.sealed);
            }
        }
        medium.write(&name, &good);
    }
}

#[test]
fn every_flipped_byte_of_an_open_log_spares_what_is_vouched_for() {
    let medium = TestMedium::default();
    write(&medium, compact(), &small(), Ending::Open).expect("the medium does not fail");
    let whole = LogScan::read(&medium, STORE, 0).expect("it is whole");
    let vouched = whole.next.frame as usize - 1;
    assert_eq!(vouched, 3);
    for name in segments(&medium) {
        let good = medium.read(&name);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            medium.write(&name, &bytes);
            if let Ok(tail) = LogScan::read(&medium, STORE, 0) {
                let read = changes(&tail);
                assert!(read.len() >= vouched, "byte {at} of {name} loses a frame");
                assert_eq!(read, small()[..read.len()], "byte {at} of {name}");
            }
        }
        medium.write(&name, &good);
    }
}

// Damage in a frame that a snapshot file has was passed over in an open log, and refused once the same log was sealed: a directory
// that opened did not open again after it was closed. It never matters now.
#[test]
fn damage_that_a_snapshot_file_covers_does_not_matter_after_a_seal_either() {
    let medium = TestMedium::default();
    write(&medium, compact(), &small(), Ending::Open).expect("the medium does not fail");
    let mut bytes = medium.read(&names::log_name(1));
    bytes[4096 + 70] ^= 1;
    medium.write(&names::log_name(1), &bytes);
    assert!(LogScan::read(&medium, STORE, 0).is_err(), "the first frame is damaged");
    let tail = LogScan::read(&medium, STORE, 1).expect("a snapshot file has it");
    let options = LogOptions { salt: 5, ..compact() };
    let writer = LogWriter::resume(Arc::new(medium.clone()), options, &tail).expect("the medium does not fail");
    let last = writer.frame();
    writer.seal(commit_of(last)).expect("the medium does not fail");
    let again = LogScan::read(&medium, STORE, 1).expect("a snapshot file still has it");
    assert!(again.sealed);
    assert_eq!(changes(&again)[..3], changes(&tail));
}

// A segment's header that vouched for more frames than a sealed log has was believed, until a new segment followed: then the frames
// were missed. It contradicts the seal, and is refused with it.
#[test]
fn a_seal_is_contradicted_by_what_vouches_for_more() {
    let medium = TestMedium::default();
    write(&medium, options(), &small(), Ending::Sealed).expect("the medium does not fail");
    let name = names::log_name(1);
    let mut bytes = medium.read(&name);
    let page = bytes.first_chunk().expect("it has a header");
    let header = SegmentHeader::decode(&name, page).expect("it is whole");
    bytes[..4096].copy_from_slice(&SegmentHeader { durable_through: 5, ..header }.encode());
    medium.write(&name, &bytes);
    assert!(matches!(LogScan::read(&medium, STORE, 0), Err(FormatError::DamagedLog { good_through: 4, .. })));
}

// Bytes behind a frame that was known to be durable were passed over in an open log, and refused once the same log was sealed. They
// are damage in both now.
#[test]
fn other_bytes_than_zeros_behind_a_durable_frame_are_damage() {
    for (frame, is_damage) in [(1, true), (2, true), (3, true), (4, false)] {
        let medium = TestMedium::default();
        write(&medium, compact(), &small(), Ending::Open).expect("the medium does not fail");
        let tail = LogScan::read(&medium, STORE, 0).expect("it is whole");
        let segment = tail.frames[frame - 1].segment();
        let following =
            tail.frames.get(frame).filter(|next| next.segment() == segment).map(|next| next.offset() as usize);
        let name = names::log_name(segment);
        let mut bytes = medium.read(&name);
        let last = bytes.iter().rposition(|byte| *byte != 0).expect("it has a frame");
        let end = following.unwrap_or((last + 1).next_multiple_of(4096));
        assert_eq!(std::mem::replace(&mut bytes[end - 1], 7), 0, "it is padding");
        medium.write(&name, &bytes);
        let read = LogScan::read(&medium, STORE, 0);
        assert_eq!(matches!(read, Err(FormatError::DamagedLog { .. })), is_damage, "frame {frame}: {read:?}");
        assert_eq!(read.is_ok(), !is_damage);
    }
}

#[test]
fn a_log_continues_after_a_torn_tail() {
    let medium = TestMedium::default();
    write(&medium, options(), &small()[..3], Ending::Open).expect("the medium does not fail");
    // Of the third frame nothing whole reached the disk, so nothing vouches for the second.
    let name = names::log_name(1);
    let mut bytes = medium.read(&name);
    bytes[3 * 4096..].fill(0);
    bytes[3 * 4096..][..100].fill(0xaa);
    medium.write(&name, &bytes);
    let tail = LogScan::read(&medium, STORE, 0).expect("the last frame may be torn");
    assert_eq!(changes(&tail), small()[..2]);
    let torn = tail.torn.clone().expect("it is reported");
    assert_eq!((torn.segment, torn.offset, torn.bytes), (1, 3 * 4096, 100));
    assert_eq!(tail.unvouched().map(|frame| frame.info().frame).collect::<Vec<_>>(), [2]);
    assert_eq!((tail.next.segment, tail.next.frame), (2, 2));

    // A failure, or a crash, anywhere on the way changes nothing.
    let resume =
        |medium: &TestMedium| LogWriter::resume(Arc::new(medium.clone()), LogOptions { salt: 5, ..options() }, &tail);
    let calls = (0..).find(|calls| {
        let image = medium.image();
        image.fail_after(*calls);
        let resumed = resume(&image).is_ok();
        let again = LogScan::read(&image, STORE, 0).expect("nothing was lost");
        assert_eq!(changes(&again), small()[..2], "failing after {calls} calls");
        resumed
    });
    assert!(calls > Some(4), "create, write, sync and rename can fail");

    let mut writer = resume(&medium).expect("nothing fails");
    assert_eq!(writer.frame(), 3);
    put_all(&mut writer, &small()[3]).expect("nothing fails");
    writer.commit(commit_of(3)).expect("nothing fails");
    let read = LogScan::read(&medium, STORE, 0).expect("the torn frame is void now");
    assert_eq!(changes(&read), [&small()[0][..], &small()[1], &small()[3]]);
    assert_eq!(read.torn, None);
    assert_eq!(read.next.frame, 3);

    // The first segment's second frame is void; the repeated one may not go, nor what came before.
    for (segment, page, good_through) in [(1, 2, None), (2, 1, Some(1)), (1, 1, Some(0))] {
        let image = medium.image();
        let name = names::log_name(segment);
        let mut bytes = image.read(&name);
        bytes[page * 4096 + 64] ^= 1;
        image.write(&name, &bytes);
        match LogScan::read(&image, STORE, 0) {
            Ok(tail) => assert_eq!((good_through, changes(&tail)), (None, changes(&read))),
            Err(FormatError::DamagedLog { good_through: found, .. }) => assert_eq!(Some(found), good_through),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn an_aborted_frame_leaves_nothing() {
    let medium = TestMedium::default();
    let mut writer = LogWriter::create(Arc::new(medium.clone()), options()).expect("nothing fails");
    writer.put(1, 1, b"aborted", &vec![7; 900_000]).expect("nothing fails");
    assert!(matches!(writer.roll(), Err(FormatError::OutOfOrder { .. })));
    writer.abort().expect("nothing failed");
    put_all(&mut writer, &small()[0]).expect("nothing fails");
    assert_eq!(writer.commit(commit_of(1)).expect("nothing fails").frame, 1);
    let tail = LogScan::read(&medium, STORE, 0).expect("what is left of it is no damage");
    assert_eq!(changes(&tail), small()[..1]);
    assert!(tail.torn.is_some());
    writer.seal(commit_of(2)).expect("nothing fails");
    let tail = LogScan::read(&medium, STORE, 0).expect("it is whole");
    assert!(tail.sealed && tail.torn.is_none());
    // A sealed log continues like any other.
    let mut writer = LogWriter::resume(Arc::new(medium.clone()), options(), &tail).expect("nothing fails");
    assert_eq!(writer.commit(commit_of(3)).expect("nothing fails").frame, 3);
    let tail = LogScan::read(&medium, STORE, 0).expect("it is whole");
    assert_eq!((tail.sealed, tail.frames.len(), tail.next.segment), (false, 3, 3));
}

#[test]
fn covered_segments_are_removed_and_do_not_matter() {
    let medium = TestMedium::default();
    let mut writer = LogWriter::create(Arc::new(medium.clone()), options()).expect("nothing fails");
    for _ in 0..5 {
        writer.commit(commit_of(0)).expect("nothing fails");
        writer.roll().expect("no frame is open");
        writer.roll().expect("twice is once");
    }
    assert_eq!(writer.closed().iter().map(|closed| closed.last_frame).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    // Damage in what is covered stops nobody, and in what is needed it does.
    medium.write(&names::log_name(2), b"garbage");
    assert!(LogScan::read(&medium, STORE, 2).is_ok());
    assert!(LogScan::read(&medium, STORE, 1).is_err());
    medium.remove_quietly(&names::log_name(1));
    assert_eq!(writer.remove_covered(3).expect("a missing file does not matter"), 3);
    assert_eq!(segments_from(&medium, 1), [4, 5, 6]);
    assert!(matches!(LogScan::read(&medium, STORE, 2), Err(FormatError::MissingFrames { expected: 3, found: 4 })));
    medium.remove_quietly(&names::log_name(5));
    assert!(matches!(LogScan::read(&medium, STORE, 3), Err(FormatError::MissingFrames { expected: 5, found: 6 })));
    assert!(matches!(LogScan::read(&medium, 8, 5), Err(FormatError::OtherStore { found: STORE, .. })));
}

fn segments_from(medium: &TestMedium, first: u64) -> Vec<u64> {
    (first..first + 10).filter(|segment| medium.has(&names::log_name(*segment))).collect()
}

#[test]
fn components_are_defined_in_the_log() {
    let medium = TestMedium::default();
    let mut writer = LogWriter::create(Arc::new(medium.clone()), options()).expect("nothing fails");
    let record = ComponentRecord {
        id: 4,
        name: "quotes".to_owned(),
        key_schema: "u64".to_owned(),
        value_schema: "Quote".to_owned(),
    };
    writer.define(&record).expect("it is short");
    let long = ComponentRecord { name: "x".repeat(1 << 20), ..record };
    assert!(matches!(writer.define(&long), Err(FormatError::TooLarge { .. })));
    assert_eq!(writer.commit(commit_of(1)).expect("nothing fails").records, 1);
    let tail = LogScan::read(&medium, STORE, 0).expect("it is whole");
    let records: Vec<_> = tail.frames.iter().flat_map(|frame| frame.records()).collect();
    let defined = Record::Define { component: 4, name: "quotes", key_schema: "u64", value_schema: "Quote" };
    assert_eq!(records, [defined]);
    let info = tail.last.expect("there is a frame");
    assert_eq!((info.incarnation, info.cut_tick, info.tick_reserve, info.wall_clock), (2, 101, 500, 9));
}
