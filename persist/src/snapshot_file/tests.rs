//! What a snapshot file promises, over a medium in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Codec, SnapshotFile, SnapshotFileWriter, SnapshotSummary};
use crate::format::component::ComponentRecord;
use crate::format::snapshot::SnapshotHeader;
use crate::format::test_medium::{TestMedium, mapping};
use crate::format::{FormatError, PAGE, VALUE_ALIGN};

const NAME: &str = "snapshot";

/// `(hash, version, key, value)`
type Row = (u64, u64, Vec<u8>, Vec<u8>);

fn header() -> SnapshotHeader {
    SnapshotHeader { store: 7, generation: 1, frame: 3, cut_tick: 99, hash_key: [1, 2], ..Default::default() }
}

fn component(id: u32) -> ComponentRecord {
    ComponentRecord {
        id,
        name: format!("component {id}"),
        key_schema: "key".to_owned(),
        value_schema: "value".to_owned(),
    }
}

fn write(medium: &TestMedium, components: &[Vec<Row>], codec: Codec) -> Result<SnapshotSummary, FormatError> {
    let mut writer = SnapshotFileWriter::create(medium, NAME, header(), codec)?;
    for (id, rows) in components.iter().enumerate() {
        writer.begin_component(component(id as u32))?;
        for (hash, version, key, value) in rows {
            writer.push(*hash, *version, key, value)?;
        }
    }
    writer.finish()
}

fn bytes(components: &[Vec<Row>], codec: Codec) -> Vec<u8> {
    let medium = TestMedium::default();
    let summary = write(&medium, components, codec).expect("the medium does not fail");
    let bytes = medium.read(NAME);
    assert_eq!(summary.bytes, bytes.len() as u64);
    bytes
}

/// Reads all entries by iteration, in order.
fn read(file: &SnapshotFile) -> Result<Vec<Vec<Row>>, FormatError> {
    let rows = |component: super::Component<'_>| {
        let mut rows = Vec::new();
        for number in 0..component.chunk_count() {
            for entry in component.chunk(number)?.entries() {
                for bytes in [entry.key, entry.value] {
                    assert!(bytes.as_ptr().addr().is_multiple_of(VALUE_ALIGN), "archives are used in place");
                }
                rows.push((entry.hash, entry.version, entry.key.to_vec(), entry.value.to_vec()));
            }
        }
        Ok(rows)
    };
    file.components().map(rows).collect()
}

/// Looks every entry up by its hash.
fn look_up(file: &SnapshotFile, components: &[Vec<Row>]) {
    for (component, rows) in file.components().zip(components) {
        let mut expected: BTreeMap<u64, Vec<&Row>> = BTreeMap::new();
        rows.iter().for_each(|row| expected.entry(row.0).or_default().push(row));
        for (hash, rows) in expected {
            let found = component.find(hash).map(|position| {
                let position = position.expect("the file is whole");
                let entry = component.chunk(position.chunk).ok().and_then(|chunk| chunk.entry(position.index));
                let entry = entry.expect("a found position is there");
                (entry.hash, entry.version, entry.key.to_vec(), entry.value.to_vec())
            });
            let mut found: Vec<Row> = found.collect();
            let mut rows: Vec<Row> = rows.into_iter().cloned().collect();
            found.sort();
            rows.sort();
            assert_eq!(found, rows);
        }
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let len = prop_oneof![3 => 0..40_usize, 2 => 0..600_usize, 1 => 15_000..40_000_usize];
    let value = (len, any::<u8>()).prop_map(|(len, byte)| (0..len).map(|at| byte ^ (at / 7) as u8).collect());
    let hash = prop_oneof![any::<u64>(), Just(5), Just(u64::MAX)];
    prop::collection::vec((hash, any::<u64>(), prop::collection::vec(any::<u8>(), 0..50), value), 0..120)
}

fn codecs() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::Raw), Just(Codec::Zstd { level: 1 })]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_written_is_read(components in prop::collection::vec(rows(), 0..5), codec in codecs()) {
        let file = SnapshotFile::open(NAME, mapping(&bytes(&components, codec))).expect("it is whole");
        file.verify().expect("it is whole");
        prop_assert_eq!(*file.header(), header());
        prop_assert_eq!(read(&file).expect("it is whole"), components.clone());
        look_up(&file, &components);
        for (id, (component, rows)) in file.components().zip(&components).enumerate() {
            prop_assert_eq!(component.record(), &self::component(id as u32));
            prop_assert_eq!(component.len(), rows.len() as u64);
            let absent = rows.iter().all(|row| row.0 != 0x1234);
            prop_assert!(!absent || component.find(0x1234).next().is_none());
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(seed in prop::collection::vec(any::<u8>(), 0..300), pages in 0..6_usize) {
        let mut bytes = seed.clone();
        bytes.resize(pages * PAGE + seed.len() % 2, 0);
        prop_assert!(SnapshotFile::open(NAME, mapping(&bytes)).is_err());
    }
}

fn small() -> Vec<Vec<Row>> {
    let row =
        |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n, n.to_le_bytes().to_vec(), vec![n as u8; n as usize % 90]);
    vec![(0..40).map(row).collect(), Vec::new(), (0..9).map(row).collect()]
}

#[test]
fn every_flipped_byte_is_found() {
    for codec in [Codec::Raw, Codec::Zstd { level: 1 }] {
        let good = bytes(&small(), codec);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            let verified = SnapshotFile::open(NAME, mapping(&bytes)).and_then(|file| {
                // Reading damaged files shows what was written or fails.
                if let Ok(read) = read(&file) {
                    assert_eq!(read, small(), "byte {at}");
                }
                for component in file.components() {
                    component.find(at as u64).for_each(drop);
                }
                file.verify()
            });
            assert!(verified.is_err(), "byte {at} of {} with {codec:?}", good.len());
        }
    }
}

#[test]
fn every_truncation_is_found() {
    let good = bytes(&small(), Codec::Raw);
    for len in 0..good.len() {
        assert!(SnapshotFile::open(NAME, mapping(&good[..len])).is_err(), "cut to {len} of {}", good.len());
    }
    let longer = [&good[..], &[0]].concat();
    assert!(SnapshotFile::open(NAME, mapping(&longer)).is_err(), "a byte too long");
}

#[test]
fn every_failure_of_the_medium_is_told() {
    let calls = (0..).find(|calls| {
        let medium = TestMedium::default();
        medium.fail_after(*calls);
        match write(&medium, &small(), Codec::Raw) {
            Ok(_) => true,
            Err(FormatError::Io { .. }) => false,
            Err(other) => panic!("{other}"),
        }
    });
    assert!(calls > Some(2), "create, write and sync can fail");
}

#[test]
fn misuse_changes_nothing() {
    let medium = TestMedium::default();
    let mut writer = SnapshotFileWriter::create(&medium, NAME, header(), Codec::Raw).expect("the name is free");
    assert!(matches!(writer.push(1, 1, b"k", b"v"), Err(FormatError::OutOfOrder { .. })));
    writer.begin_component(component(1)).expect("it is the first");
    assert!(matches!(writer.begin_component(component(1)), Err(FormatError::OutOfOrder { .. })));
    let long = ComponentRecord { name: "x".repeat(1 << 20), ..component(2) };
    assert!(matches!(writer.begin_component(long), Err(FormatError::TooLarge { .. })));
    writer.push(1, 1, b"k", b"v").expect("the component is open still");
    assert_eq!(writer.finish().expect("nothing failed").entries, 1);
}

#[test]
fn values_of_many_megabytes_have_a_chunk_of_their_own() {
    let large = (0..40 << 20_usize).map(|at| (at / 3) as u8).collect();
    let components =
        vec![vec![(1, 1, b"a".to_vec(), vec![1]), (2, 2, b"b".to_vec(), large), (3, 3, b"c".to_vec(), vec![3])]];
    for codec in [Codec::Raw, Codec::Zstd { level: 1 }] {
        let file = SnapshotFile::open(NAME, mapping(&bytes(&components, codec))).expect("it is whole");
        assert!(read(&file).expect("it is whole") == components);
        assert_eq!(file.component("component 0").map(|component| component.chunk_count()), Some(3));
        file.verify().expect("it is whole");
    }
}

#[test]
fn threads_may_touch_a_file_at_once() {
    let rows: Vec<Row> = (0..3000_u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n, n.to_le_bytes().to_vec(), vec![n as u8; 64]))
        .collect();
    let components = vec![rows];
    let bytes = bytes(&components, Codec::Zstd { level: 1 });
    let file = SnapshotFile::open(NAME, mapping(&bytes)).expect("it is whole");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| look_up(&file, &components));
        }
    });
}
