//! One script for every medium, with the same observations: what the engine may assume of any of them.

use std::io;

use super::{FileSystem, Medium, SimulatedDisk};

#[test]
fn the_file_system_conforms() {
    let scratch = tempfile::tempdir().unwrap();
    observe_all(&FileSystem::open_or_create(scratch.path().join("state")).unwrap());
}

#[test]
fn the_file_system_that_seeks_conforms() {
    let scratch = tempfile::tempdir().unwrap();
    observe_all(&super::fs::seeking::Seeking::new(FileSystem::open_or_create(scratch.path()).unwrap()));
}

#[test]
fn the_simulated_disk_conforms() {
    observe_all(&SimulatedDisk::new());
}

fn observe_all(medium: &dyn Medium) {
    names(medium);
    reads_and_writes(medium);
    lengths(medium);
    identity(medium);
    mappings(medium);
    locks(medium);
    assert_eq!(medium.list().unwrap(), Vec::<String>::new(), "each part removes its files");
}

fn names(medium: &dyn Medium) {
    drop(medium.create("b").unwrap());
    drop(medium.create("a").unwrap());
    assert_eq!(kind(medium.create("a")), io::ErrorKind::AlreadyExists);
    assert_eq!(listed(medium), ["a", "b"]);
    medium.rename("a", "c").unwrap();
    medium.rename("c", "c").unwrap();
    assert_eq!(listed(medium), ["b", "c"]);
    medium.rename("c", "b").unwrap();
    assert_eq!(listed(medium), ["b"]);
    medium.sync_directory().unwrap();
    medium.remove("b").unwrap();
    for gone in ["a", "b"] {
        assert_eq!(kind(medium.open(gone)), io::ErrorKind::NotFound);
        assert_eq!(kind(medium.map(gone)), io::ErrorKind::NotFound);
        assert_eq!(kind(medium.remove(gone)), io::ErrorKind::NotFound);
        assert_eq!(kind(medium.rename(gone, "d")), io::ErrorKind::NotFound);
    }
    for refused in ["", ".", "..", "a/b", "/a", "a\\b", "a\0", "LOCK"] {
        assert_eq!(kind(medium.create(refused)), io::ErrorKind::InvalidInput, "{refused:?}");
        assert_eq!(kind(medium.open(refused)), io::ErrorKind::InvalidInput, "{refused:?}");
        assert_eq!(kind(medium.map(refused)), io::ErrorKind::InvalidInput, "{refused:?}");
        assert_eq!(kind(medium.remove(refused)), io::ErrorKind::InvalidInput, "{refused:?}");
        assert_eq!(kind(medium.rename(refused, "a")), io::ErrorKind::InvalidInput, "{refused:?}");
        assert_eq!(kind(medium.rename("a", refused)), io::ErrorKind::InvalidInput, "{refused:?}");
    }
}

fn reads_and_writes(medium: &dyn Medium) {
    let file = medium.create("a").unwrap();
    assert_eq!(file.len().unwrap(), 0);
    file.write_at(b"", 100).unwrap();
    assert_eq!(file.len().unwrap(), 0, "writing nothing does not grow a file");
    file.write_at(b"world", 6).unwrap();
    file.write_at(b"hello", 0).unwrap();
    assert_eq!(read(&*file, 0, 11).unwrap(), b"hello\0world");
    file.write_at(b"WO", 6).unwrap();
    file.sync().unwrap();
    assert_eq!(read(&*file, 5, 4).unwrap(), b"\0WOr");

    // Another handle sees the same bytes, and its own place does not matter.
    let other = medium.open("a").unwrap();
    other.write_at(b"!", 11).unwrap();
    assert_eq!(read(&*file, 6, 6).unwrap(), b"WOrld!");

    assert_eq!(read(&*file, 12, 0).unwrap(), b"");
    assert_eq!(read(&*file, 1000, 0).unwrap(), b"");
    for (offset, len) in [(12, 1), (6, 7), (1000, 1), (u64::from(u32::MAX), 3)] {
        assert_eq!(read(&*file, offset, len).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    let large: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    file.write_at(&large, 7).unwrap();
    assert_eq!(read(&*file, 7, large.len()).unwrap(), large);
    medium.remove("a").unwrap();
}

fn lengths(medium: &dyn Medium) {
    let file = medium.create("a").unwrap();
    file.write_at(&[7; 1500], 0).unwrap();
    file.set_len(700).unwrap();
    assert_eq!(file.len().unwrap(), 700);
    file.set_len(2000).unwrap();
    let bytes = read(&*file, 0, 2000).unwrap();
    assert!(bytes[..700].iter().all(|&byte| byte == 7));
    assert!(bytes[700..].iter().all(|&byte| byte == 0), "what was cut off does not come back");
    file.set_len(0).unwrap();
    file.write_at(b"x", 3).unwrap();
    assert_eq!(read(&*file, 0, 4).unwrap(), b"\0\0\0x");
    medium.remove("a").unwrap();
}

/// A handle is of the file, not of its name.
fn identity(medium: &dyn Medium) {
    let first = medium.create("a").unwrap();
    first.write_at(b"first", 0).unwrap();
    medium.rename("a", "b").unwrap();
    let second = medium.create("a").unwrap();
    second.write_at(b"second", 0).unwrap();
    first.write_at(b"FI", 0).unwrap();
    assert_eq!(&medium.map("b").unwrap()[..], b"FIrst");
    medium.rename("a", "b").unwrap();
    first.write_at(b"!", 5).unwrap();
    first.sync().unwrap();
    assert_eq!(read(&*first, 0, 6).unwrap(), b"FIrst!", "replaced, but still open");
    assert_eq!(&medium.map("b").unwrap()[..], b"second");
    medium.remove("b").unwrap();
    second.write_at(b"S", 0).unwrap();
    assert_eq!(read(&*second, 0, 6).unwrap(), b"Second", "removed, but still open");
    assert_eq!(second.len().unwrap(), 6);
}

fn mappings(medium: &dyn Medium) {
    let file = medium.create("a").unwrap();
    for bytes in [&b""[..], b"x", &[5; 10_000]] {
        file.set_len(0).unwrap();
        file.write_at(bytes, 0).unwrap();
        let mapping = medium.map("a").unwrap();
        assert_eq!(&mapping[..], bytes);
        assert_eq!(mapping.as_ptr().align_offset(16), 0);
        assert_eq!(mapping.clone().as_ptr(), mapping.as_ptr());
    }
    let mapping = medium.map("a").unwrap();
    drop(file);
    medium.remove("a").unwrap();
    assert_eq!(&mapping[..], &[5; 10_000], "a mapping outlives handles and names");
}

fn locks(medium: &dyn Medium) {
    let lock = medium.lock().unwrap();
    assert_eq!(kind(medium.lock()), io::ErrorKind::WouldBlock, "taken, by this very process");
    assert_eq!(medium.list().unwrap(), Vec::<String>::new(), "the lock's file is not listed");
    drop(lock);
    drop(medium.lock().unwrap());
    drop(medium.lock().unwrap());
}

fn listed(medium: &dyn Medium) -> Vec<String> {
    let mut names = medium.list().unwrap();
    names.sort();
    names
}

fn read(file: &dyn super::MediumFile, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0xEE; len];
    file.read_at(&mut buffer, offset)?;
    Ok(buffer)
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}
