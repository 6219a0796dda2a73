//! The simulated disk keeps what was made durable, loses everything else in every way, and fails as it is told to.

use std::collections::BTreeSet;
use std::io;

use proptest::prelude::*;
use stillpoint_persist::medium::sim::{Operation, Repeat, SimulatedFault};
use stillpoint_persist::medium::{Medium, MediumFile, SimulatedDisk};

const SECTOR: usize = 512;

/// A disk with one file, durable in every respect.
fn with_file(bytes: &[u8]) -> (SimulatedDisk, Box<dyn MediumFile>) {
    let disk = SimulatedDisk::new();
    disk.put_file("file", bytes).unwrap();
    let file = disk.open("file").unwrap();
    (disk, file)
}

/// What a file holds in each of the images, none where it is missing.
fn contents(disk: &SimulatedDisk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    disk.images(1000).map(|image| image.contents(name).ok()).collect()
}

fn whole(disk: &SimulatedDisk) -> Vec<(String, Vec<u8>)> {
    disk.list().unwrap().into_iter().map(|name| (name.clone(), disk.contents(&name).unwrap())).collect()
}

fn fault(error: &io::Error) -> &SimulatedFault {
    error.get_ref().and_then(|inner| inner.downcast_ref()).expect("a simulated fault")
}

mod power_loss {
    use super::*;

    #[test]
    fn synced_bytes_under_a_durable_name_are_never_lost() {
        let disk = SimulatedDisk::new();
        let file = disk.create("file").unwrap();
        file.write_at(&[1; 3000], 0).unwrap();
        file.sync().unwrap();
        disk.sync_directory().unwrap();
        assert_eq!(contents(&disk, "file"), [Some(vec![1; 3000])].into());
        for seed in 0..200 {
            assert_eq!(disk.crash(seed).contents("file").unwrap(), [1; 3000]);
        }
    }

    #[test]
    fn each_unsynced_sector_is_old_or_new_by_itself() {
        let (disk, file) = with_file(&[0; 3 * SECTOR]);
        file.write_at(&[1; 3 * SECTOR], 0).unwrap();
        let images = contents(&disk, "file");
        assert_eq!(images.len(), 8);
        for image in images.into_iter().flatten() {
            assert!(image.chunks(SECTOR).all(|sector| sector == [0; SECTOR] || sector == [1; SECTOR]));
        }
    }

    #[test]
    fn a_sector_written_twice_holds_any_of_its_versions() {
        let (disk, file) = with_file(b"..");
        file.write_at(b"a", 0).unwrap();
        file.write_at(b"b", 1).unwrap();
        let expected = [b"..", b"a.", b"ab"].map(|bytes| Some(bytes.to_vec()));
        assert_eq!(contents(&disk, "file"), expected.into(), "but not one that it never had");
    }

    #[test]
    fn a_length_may_be_durable_without_the_bytes() {
        let (disk, file) = with_file(b"");
        file.write_at(&[1; 2 * SECTOR], 0).unwrap();
        let images = contents(&disk, "file");
        assert!(images.contains(&Some(vec![])));
        assert!(images.contains(&Some(vec![0; 2 * SECTOR])));
        assert!(images.contains(&Some([[0; SECTOR], [1; SECTOR]].concat())));
        assert_eq!(images.len(), 5);
    }

    #[test]
    fn a_cut_off_tail_may_come_back_only_until_it_is_synced() {
        let (disk, file) = with_file(&[1; 2 * SECTOR]);
        file.set_len(SECTOR as u64).unwrap();
        file.set_len(2 * SECTOR as u64).unwrap();
        let cut = Some([[1; SECTOR], [0; SECTOR]].concat());
        let expected = [Some(vec![1; 2 * SECTOR]), Some(vec![1; SECTOR]), cut.clone()];
        assert_eq!(contents(&disk, "file"), expected.into());
        file.sync().unwrap();
        assert_eq!(contents(&disk, "file"), [cut].into());
    }

    #[test]
    fn a_synced_file_without_a_durable_name_may_vanish() {
        let disk = SimulatedDisk::new();
        let file = disk.create("file").unwrap();
        file.write_at(b"x", 0).unwrap();
        file.sync().unwrap();
        assert_eq!(contents(&disk, "file"), [None, Some(b"x".to_vec())].into());
    }

    #[test]
    fn a_durable_name_of_an_unsynced_file_may_lead_to_nothing() {
        let disk = SimulatedDisk::new();
        let file = disk.create("file").unwrap();
        file.write_at(b"x", 0).unwrap();
        disk.sync_directory().unwrap();
        assert_eq!(contents(&disk, "file"), [b"".to_vec(), b"\0".to_vec(), b"x".to_vec()].map(Some).into());
    }

    #[test]
    fn a_rename_is_atomic_and_happens_when_the_directory_is_synced_or_perhaps_before() {
        let (disk, _file) = with_file(b"old");
        disk.put_file("new", b"new").unwrap();
        disk.rename("new", "file").unwrap();
        let images: BTreeSet<_> = disk.images(10).map(|image| whole(&image)).collect();
        let before = vec![("file".to_owned(), b"old".to_vec()), ("new".to_owned(), b"new".to_vec())];
        let after = vec![("file".to_owned(), b"new".to_vec())];
        assert_eq!(images, [before, after.clone()].into());
        disk.sync_directory().unwrap();
        assert_eq!(disk.images(10).map(|image| whole(&image)).collect::<Vec<_>>(), [after]);
    }

    #[test]
    fn changes_of_other_names_are_independent_and_of_the_same_name_are_in_order() {
        let (disk, _file) = with_file(b"");
        drop(disk.create("a").unwrap());
        disk.rename("a", "b").unwrap();
        disk.remove("file").unwrap();
        let names: BTreeSet<_> = disk.images(10).map(|image| image.list().unwrap().join(" ")).collect();
        assert_eq!(names, ["file", "a file", "b file", "", "a", "b"].map(str::to_owned).into());
    }

    #[test]
    fn a_replaced_file_that_is_still_open_leaves_the_durable_name_alone() {
        let (disk, old) = with_file(b"old");
        disk.put_file("new", b"new").unwrap();
        disk.rename("new", "file").unwrap();
        disk.sync_directory().unwrap();
        old.write_at(b"OLD", 0).unwrap();
        old.sync().unwrap();
        assert_eq!(contents(&disk, "file"), [Some(b"new".to_vec())].into());
    }

    #[test]
    fn few_choices_are_exhausted_and_many_are_sampled() {
        let (disk, file) = with_file(&[0; 11 * SECTOR]);
        file.write_at(&[1; 10 * SECTOR], 0).unwrap();
        let images = disk.images(5);
        assert!(images.is_exhaustive());
        let images: Vec<_> = images.map(|image| whole(&image)).collect();
        assert_eq!(images.len(), 1024);
        assert_eq!(images.iter().collect::<BTreeSet<_>>().len(), 1024, "each once");

        file.write_at(&[1; SECTOR], 10 * SECTOR as u64).unwrap();
        let images = disk.images(5);
        assert!(!images.is_exhaustive());
        let images: Vec<_> = images.map(|image| image.contents("file").unwrap()).collect();
        assert_eq!(images.len(), 5);
        assert_eq!(images[0], [0; 11 * SECTOR]);
        assert_eq!(images[1], [1; 11 * SECTOR]);
        assert_eq!(disk.images(0).count(), 0);
    }

    #[test]
    fn a_torn_sector_keeps_the_bytes_beside_the_write() {
        let (disk, file) = with_file(&[7; SECTOR]);
        file.write_at(&[9; 100], 50).unwrap();
        let (mut shorn, mut garbage) = (0, 0);
        for seed in 0..2000 {
            let bytes = disk.crash(seed).contents("file").unwrap();
            assert!(bytes[..50].iter().chain(&bytes[150..]).all(|&byte| byte == 7));
            let written = &bytes[50..150];
            if written.iter().any(|byte| ![7, 9].contains(byte)) {
                garbage += 1;
            } else if written.contains(&7) && written.contains(&9) {
                assert!(written.is_sorted_by_key(|&byte| byte == 7), "starts new and ends old");
                shorn += 1;
            }
        }
        assert!(shorn > 10 && garbage > 10, "{shorn} shorn, {garbage} garbage");
        assert!(shorn + garbage < 1000, "rarely");
    }

    #[test]
    fn the_same_seed_gives_the_same_image_and_others_give_others() {
        let disk = SimulatedDisk::with_seed(1);
        for name in ["a", "b", "c"] {
            disk.create(name).unwrap().write_at(&[3; 5000], 0).unwrap();
        }
        let images = |disk: &SimulatedDisk| (0..50).map(|seed| whole(&disk.crash(seed))).collect::<Vec<_>>();
        assert_eq!(images(&disk), images(&disk));
        assert!(images(&disk).iter().collect::<BTreeSet<_>>().len() > 20);
        let samples = || disk.images(50).map(|image| whole(&image)).collect::<Vec<_>>();
        assert_eq!(samples(), samples());
    }

    #[test]
    fn an_image_is_a_disk_of_its_own() {
        let (disk, file) = with_file(b"old");
        file.write_at(b"new", 0).unwrap();
        let _lock = disk.lock().unwrap();
        let image = disk.crash(0);
        let _lock = image.lock().expect("the crash has let the lock go");
        assert_eq!(image.operations(), 0);
        image.open("file").unwrap().write_at(b"xyz", 0).unwrap();
        assert_eq!(disk.contents("file").unwrap(), b"new");
        let settled = image.contents("file").unwrap();
        assert_eq!(settled, b"xyz");
        assert!(disk.lock().is_err(), "the disk that the image was taken of goes on");
    }
}

/// The disk finds the classical mistakes: each step that makes a replacement safe is missed if it is left out.
mod a_replacement {
    use super::*;

    #[derive(Clone, Copy, PartialEq)]
    enum Omit {
        Nothing,
        Sync,
        Rename,
        SyncDirectory,
    }

    fn replace(disk: &SimulatedDisk, omit: Omit) -> io::Result<()> {
        if omit == Omit::Rename {
            let file = disk.open("file")?;
            file.write_at(b"new", 0)?;
            file.set_len(3)?;
            return file.sync();
        }
        let file = disk.create("temporary")?;
        file.write_at(b"new", 0)?;
        if omit != Omit::Sync {
            file.sync()?;
        }
        disk.rename("temporary", "file")?;
        if omit != Omit::SyncDirectory { disk.sync_directory() } else { Ok(()) }
    }

    /// Whether every crash leaves the old or the new, and the new once the call has returned.
    fn is_safe(omit: Omit) -> bool {
        let old = &[b'o'; 600][..];
        let count = {
            let (disk, _file) = with_file(old);
            replace(&disk, omit).unwrap();
            let acknowledged = disk.images(64).all(|image| image.contents("file").unwrap() == b"new");
            if !acknowledged {
                return false;
            }
            disk.operations()
        };
        (1..=count).all(|operation| {
            let (disk, _file) = with_file(old);
            disk.crash_at(operation);
            replace(&disk, omit).unwrap_err();
            let (sampled, seeded) = (disk.images(64), (0..200).map(|seed| disk.crash(seed)));
            sampled.chain(seeded).all(|image| {
                let bytes = image.contents("file").unwrap();
                bytes == old || bytes == b"new"
            })
        })
    }

    #[test]
    fn is_safe_only_with_all_its_steps() {
        assert!(is_safe(Omit::Nothing));
        assert!(!is_safe(Omit::Sync), "the new name may lead to an empty file");
        assert!(!is_safe(Omit::Rename), "a file that is overwritten may be half old");
        assert!(!is_safe(Omit::SyncDirectory), "the old file may come back");
    }
}

mod death_of_the_process {
    use super::*;

    #[test]
    fn all_that_was_written_is_there_but_no_more_durable_than_before() {
        let (disk, file) = with_file(b"old");
        let _lock = disk.lock().unwrap();
        file.write_at(b"new", 0).unwrap();
        drop(disk.create("other").unwrap());
        let next = disk.kill();
        let _lock = next.lock().expect("the lock died with the process");
        assert_eq!(next.contents("file").unwrap(), b"new");
        assert_eq!(next.list().unwrap(), ["file", "other"]);
        assert_eq!(contents(&next, "file"), [b"old", b"new"].map(|bytes| Some(bytes.to_vec())).into());
        assert_eq!(contents(&next, "other"), [None, Some(vec![])].into());

        next.open("file").unwrap().sync().unwrap();
        assert_eq!(contents(&next, "file"), [Some(b"new".to_vec())].into(), "a sync by the next process counts");
    }

    #[test]
    fn a_write_may_be_cut_short() {
        let mut lengths = BTreeSet::new();
        for seed in 0..100 {
            let disk = SimulatedDisk::with_seed(seed);
            let file = disk.create("file").unwrap();
            disk.crash_at(1);
            file.write_at(&[1; 20], 0).unwrap_err();
            let bytes = disk.kill().contents("file").unwrap();
            assert!(bytes.iter().all(|&byte| byte == 1));
            lengths.insert(bytes.len());
        }
        assert!(lengths.len() > 10 && *lengths.last().unwrap() <= 20);
    }
}

mod scheduled_crash {
    use super::*;

    #[test]
    fn the_operation_is_done_in_part_and_then_the_machine_is_off() {
        let (disk, file) = with_file(&[0; 2 * SECTOR]);
        disk.crash_at(2);
        file.write_at(&[1; SECTOR], 0).unwrap();
        assert!(!disk.is_off());
        let error = file.write_at(&[1; SECTOR], SECTOR as u64).unwrap_err();
        assert_eq!(fault(&error), &SimulatedFault::PoweredOff);
        assert!(disk.is_off());
        assert_eq!(disk.operations(), 2);

        let calls: [io::Result<()>; 12] = [
            file.write_at(b"", 0),
            file.read_at(&mut [0], 0),
            file.len().map(drop),
            file.set_len(0),
            file.sync(),
            disk.create("a").map(drop),
            disk.open("file").map(drop),
            disk.map("file").map(drop),
            disk.list().map(drop),
            disk.lock().map(drop),
            disk.rename("file", "a").and(disk.remove("file")),
            disk.sync_directory(),
        ];
        for call in calls {
            assert_eq!(fault(&call.unwrap_err()), &SimulatedFault::PoweredOff);
        }
        assert_eq!(disk.operations(), 2, "what the machine did not do does not count");
        disk.heal();
        assert!(disk.is_off());
        assert_eq!(contents(&disk, "file").len(), 4, "both writes are pending");
    }

    type Change = fn(&SimulatedDisk, &dyn MediumFile) -> io::Result<()>;

    #[test]
    fn each_operation_may_have_happened_or_not() {
        let operations: [Change; 5] = [
            |_, file| file.set_len(1),
            |_, file| file.write_at(b"FILE", 0),
            |disk, _| disk.create("a").map(drop),
            |disk, _| disk.rename("file", "b"),
            |disk, _| disk.remove("file"),
        ];
        for operation in operations {
            let (disk, file) = with_file(b"file");
            let before = whole(&disk);
            let (other, other_file) = with_file(b"file");
            operation(&other, &*other_file).unwrap();
            disk.crash_at(1);
            operation(&disk, &*file).unwrap_err();
            let images: BTreeSet<_> = disk.images(10).map(|image| whole(&image)).collect();
            assert_eq!(images, [before, whole(&other)].into());
        }
    }

    #[test]
    fn an_interrupted_sync_promises_nothing() {
        let (disk, file) = with_file(&[0; SECTOR]);
        drop(disk.create("other").unwrap());
        file.write_at(&[1; SECTOR], 0).unwrap();
        disk.crash_at(1);
        file.sync().unwrap_err();
        assert_eq!(contents(&disk, "file").len(), 2);
        assert_eq!(contents(&disk, "other").len(), 2);
    }

    #[test]
    fn at_zero_it_is_at_once() {
        let disk = SimulatedDisk::new();
        disk.crash_at(0);
        assert!(disk.list().is_err());
        assert_eq!(disk.operations(), 0);
    }
}

mod scheduled_failure {
    use super::*;

    #[test]
    fn it_strikes_once_or_from_then_on() {
        let (disk, file) = with_file(b"");
        disk.fail_at(2, io::ErrorKind::StorageFull, Repeat::Once);
        file.write_at(b"a", 0).unwrap();
        let error = file.write_at(b"b", 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fault(&error), &SimulatedFault::Injected { operation: Operation::Write, number: 2 });
        assert_eq!(error.to_string(), "injected failure of write number 2");
        file.write_at(b"c", 0).unwrap();

        disk.fail_at(1, io::ErrorKind::Other, Repeat::Sticky);
        file.write_at(b"d", 0).unwrap_err();
        file.sync().unwrap_err();
        disk.sync_directory().unwrap_err();
        file.read_at(&mut [0], 0).expect("reads are not changes");
        disk.heal();
        file.sync().unwrap();
        assert_eq!(disk.operations(), 7);
        assert_eq!(disk.operations_of(Operation::Write), 4);
        assert_eq!(disk.operations_of(Operation::Read), 1);
    }

    #[test]
    fn one_kind_of_operation_can_fail() {
        let (disk, file) = with_file(b"x");
        disk.fail_operation(Operation::Sync, 2, io::ErrorKind::Other, Repeat::Sticky);
        disk.fail_operation(Operation::Read, 1, io::ErrorKind::TimedOut, Repeat::Once);
        file.sync().unwrap();
        file.write_at(b"y", 0).unwrap();
        file.sync().unwrap_err();
        file.sync().unwrap_err();
        assert_eq!(file.read_at(&mut [0], 0).unwrap_err().kind(), io::ErrorKind::TimedOut);
        file.read_at(&mut [0], 0).unwrap();
    }

    #[test]
    fn a_failed_write_may_be_short_and_other_changes_do_not_happen() {
        let mut lengths = BTreeSet::new();
        for seed in 0..100 {
            let disk = SimulatedDisk::with_seed(seed);
            let file = disk.create("file").unwrap();
            disk.fail_at(1, io::ErrorKind::Other, Repeat::Sticky);
            file.write_at(&[1; 20], 0).unwrap_err();
            disk.create("a").unwrap_err();
            disk.rename("file", "a").unwrap_err();
            disk.remove("file").unwrap_err();
            file.set_len(50).unwrap_err();
            assert_eq!(disk.list().unwrap(), ["file"]);
            lengths.insert(file.len().unwrap());
        }
        assert!(lengths.len() > 10 && *lengths.last().unwrap() <= 20);
    }

    #[test]
    fn a_sync_after_a_failed_sync_succeeds_and_saves_nothing() {
        let (disk, file) = with_file(b"old");
        file.write_at(b"new", 0).unwrap();
        disk.fail_at(1, io::ErrorKind::Other, Repeat::Once);
        file.sync().unwrap_err();
        file.sync().expect("nothing is dirty");
        assert_eq!(disk.contents("file").unwrap(), b"new", "reads still see it");
        assert!(contents(&disk, "file").contains(&Some(b"old".to_vec())), "a crash may lose it");
        assert!(contents(&disk, "file").contains(&Some(b"new".to_vec())), "or have it, by chance");

        // What is written anew is saved.
        file.write_at(b"new", 0).unwrap();
        file.sync().unwrap();
        assert_eq!(contents(&disk, "file"), [Some(b"new".to_vec())].into());
    }

    #[test]
    fn a_failed_sync_loses_a_length_until_a_write_needs_it() {
        let (disk, file) = with_file(b"");
        file.write_at(b"ab", 0).unwrap();
        disk.fail_at(1, io::ErrorKind::Other, Repeat::Once);
        file.sync().unwrap_err();
        file.sync().unwrap();
        assert!(contents(&disk, "file").contains(&Some(vec![])));
        file.write_at(b"b", 1).unwrap();
        file.sync().unwrap();
        assert_eq!(contents(&disk, "file"), [Some(b"ab".to_vec())].into());
    }

    #[test]
    fn a_failed_sync_of_the_directory_is_no_better() {
        let disk = SimulatedDisk::new();
        drop(disk.create("a").unwrap());
        drop(disk.create("b").unwrap());
        disk.fail_at(1, io::ErrorKind::Other, Repeat::Once);
        disk.sync_directory().unwrap_err();
        disk.sync_directory().unwrap();
        assert_eq!(disk.images(10).count(), 4);
        disk.rename("a", "c").unwrap();
        disk.sync_directory().unwrap();
        let names: BTreeSet<_> = disk.images(10).map(|image| image.list().unwrap().join(" ")).collect();
        assert_eq!(names, ["c", "b c"].map(str::to_owned).into(), "a rename brings what it builds on with it");
    }
}

mod capacity {
    use super::*;

    #[test]
    fn a_write_beyond_it_is_short_and_fails_until_there_is_room() {
        let (disk, file) = with_file(&[1; 80]);
        disk.set_capacity(100);
        let error = file.write_at(&[2; 30], 75).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fault(&error), &SimulatedFault::Full { capacity: 100 });
        assert_eq!(disk.contents("file").unwrap(), [&[1; 75][..], &[2; 25]].concat());
        file.write_at(&[3; 100], 0).expect("overwriting needs no room");
        assert_eq!(file.set_len(101).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.write_at(b"x", 500).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.len().unwrap(), 100);

        let other = disk.create("other").unwrap();
        other.write_at(b"x", 0).unwrap_err();
        disk.remove("file").unwrap();
        other.write_at(b"x", 0).expect_err("the file is still open");
        drop(file);
        other.write_at(b"x", 0).unwrap();
    }

    #[test]
    fn wild_offsets_fail_and_do_not_exhaust_memory() {
        let (disk, file) = with_file(b"");
        assert_eq!(file.write_at(b"x", u64::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(file.write_at(b"x", u64::MAX - 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.set_len(u64::MAX).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.read_at(&mut [0], u64::MAX).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(disk.contents("file").unwrap(), b"");
    }
}

mod damage {
    use super::*;

    #[test]
    fn it_shows_in_reads_and_survives() {
        let (disk, file) = with_file(&[0; 4]);
        disk.flip("file", 2, 7).unwrap();
        let mut bytes = [0; 4];
        file.read_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, [0, 0, 0x80, 0]);
        disk.truncate("file", 3).unwrap();
        disk.truncate("file", 10).unwrap();
        assert_eq!(contents(&disk, "file"), [Some(vec![0, 0, 0x80])].into());
        disk.lose_file("file").unwrap();
        assert_eq!(contents(&disk, "file"), [None].into());
        assert_eq!(disk.operations(), 0);
    }

    #[test]
    fn it_works_on_a_machine_that_is_off_and_refuses_what_is_not_there() {
        let (disk, _file) = with_file(&[0; 4]);
        disk.crash_at(0);
        disk.flip("file", 0, 0).unwrap();
        assert_eq!(disk.contents("file").unwrap(), [1, 0, 0, 0]);
        assert_eq!(disk.flip("file", 4, 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(disk.flip("file", 0, 8).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(disk.flip("other", 0, 0).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(disk.contents("other").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(disk.put_file("a/b", b"").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

/// What a script does to the one file of a disk.
#[derive(Clone, Debug)]
enum Step {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
    Sync,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0..2000_u64, proptest::collection::vec(any::<u8>(), 1..900))
        .prop_map(|(offset, bytes)| Step::Write { offset, bytes });
    let step = prop_oneof![4 => write, 1 => (0..2500_u64).prop_map(Step::SetLen), 1 => Just(Step::Sync)];
    proptest::collection::vec(step, 0..12)
}

/// Runs a script, and returns the contents that the file had from the last sync on, that one included.
fn run(file: &dyn MediumFile, steps: &[Step]) -> Vec<Vec<u8>> {
    let mut since = vec![vec![]];
    for step in steps {
        let mut now = since.last().unwrap().clone();
        match step {
            Step::Write { offset, bytes } => {
                file.write_at(bytes, *offset).unwrap();
                let (start, end) = (*offset as usize, *offset as usize + bytes.len());
                now.resize(now.len().max(end), 0);
                now[start..end].copy_from_slice(bytes);
            }
            Step::SetLen(len) => {
                file.set_len(*len).unwrap();
                now.resize(*len as usize, 0);
            }
            Step::Sync => {
                file.sync().unwrap();
                since.clear();
            }
        }
        since.push(now);
    }
    since
}

proptest! {
    /// Reads follow a plain model of the file; so does what a killed process leaves.
    #[test]
    fn reads_see_the_latest(steps in steps()) {
        let (disk, file) = with_file(b"");
        let since = run(&*file, &steps);
        prop_assert_eq!(&disk.contents("file").unwrap(), since.last().unwrap());
        prop_assert_eq!(&disk.kill().contents("file").unwrap(), since.last().unwrap());
    }

    /// After any crash the length is one that the file had since the last sync, and each byte that has not changed
    /// since is there.
    #[test]
    fn a_crash_keeps_what_was_synced(steps in steps(), seed in any::<u64>()) {
        let (disk, file) = with_file(b"");
        let since = run(&*file, &steps);
        for image in disk.images(20).chain([disk.crash(seed)]) {
            let bytes = image.contents("file").unwrap();
            prop_assert!(since.iter().any(|version| version.len() == bytes.len()));
            for (index, &byte) in bytes.iter().enumerate() {
                let durable = since[0].get(index).copied();
                if durable.is_some() && since.iter().all(|version| version.get(index).copied() == durable) {
                    prop_assert_eq!(Some(byte), durable, "byte {}", index);
                }
            }
        }
    }

    /// After a sync there is one image, and it is what reads see.
    #[test]
    fn a_sync_makes_all_durable(steps in steps(), seed in any::<u64>()) {
        let (disk, file) = with_file(b"");
        let since = run(&*file, &steps);
        file.sync().unwrap();
        prop_assert_eq!(&contents(&disk, "file"), &[since.last().cloned()].into());
        prop_assert_eq!(&disk.crash(seed).contents("file").unwrap(), since.last().unwrap());
    }

    /// The images of a disk can be crashed again: they are wholly durable.
    #[test]
    fn an_image_is_its_own_only_image(steps in steps(), seed in any::<u64>()) {
        let (disk, file) = with_file(b"");
        run(&*file, &steps);
        let image = disk.crash(seed);
        prop_assert_eq!(image.images(9).map(|again| whole(&again)).collect::<Vec<_>>(), [whole(&image)]);
    }
}
