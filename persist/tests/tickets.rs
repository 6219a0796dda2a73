//! The thread: who waits is answered, together and in time; closing and dropping; types whose own code fails.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use rkyv::rancor::{Fallible, Source, fail};
use rkyv::{Archive, Archived, Deserialize, Place, Serialize};
use stillpoint_persist::medium::sim::{Operation, Repeat};
use stillpoint_persist::medium::{DirectoryLock, Mapping, Medium, MediumFile, SimulatedDisk};
use stillpoint_persist::schema::{Describer, TypeExpression};
use stillpoint_persist::{DurabilityError, DurableStore, Options, Part, Schema};

/// Nobody is served by the interval: only who waits.
fn patient() -> Options {
    Options::new().interval(Duration::from_secs(3600)).segment_bytes(64 << 10)
}

fn on(disk: &SimulatedDisk, options: Options) -> DurableStore {
    options.open_on(Arc::new(disk.clone())).expect("the disk is whole")
}

fn value_of(store: &DurableStore, key: u64) -> Option<u64> {
    let map = store.map::<u64, u64>("map").expect("the same types");
    map.pin().get(&key).expect("whole").copied()
}

fn put(store: &DurableStore, key: u64, value: u64) -> stillpoint::Version {
    let map = store.map::<u64, u64>("map").expect("the same types");
    map.pin().put(key, value).expect("whole")
}

/// Waits for what the thread does by itself.
fn eventually(what: &str, test: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !test() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_was_waited_for_survives_a_crash_and_nothing_else_must() {
    let disk = SimulatedDisk::new();
    let store = on(&disk, patient());
    for n in 0..20 {
        put(&store, n, n);
        store.sync().expect("nothing fails");
        put(&store, 99, n);
        let after = on(&disk.crash(n), patient());
        assert_eq!(value_of(&after, n), Some(n));
        assert_eq!(value_of(&after, 99), n.checked_sub(1), "nobody has waited for more");
    }
}

/// The machine's time was set back while nobody ran: the store's goes on from where it was.
#[test]
fn time_does_not_go_back_over_a_crash_or_a_close() {
    let disk = SimulatedDisk::new();
    let later = std::time::SystemTime::now() + Duration::from_secs(3600);
    let store = on(&disk, patient());
    store.store().raise_time(later);
    put(&store, 1, 1);
    store.sync().expect("nothing fails");
    let is_later = |store: &DurableStore| store.store().time() + Duration::from_millis(1) >= later;
    let crashed = disk.crash(1);
    assert!(is_later(&on(&crashed, patient())));
    // The frame of an opening says so too, and so does a snapshot file.
    assert!(is_later(&on(&crashed, patient())));
    store.close().expect("nothing fails");
    assert!(is_later(&on(&disk, patient())));
}

#[test]
fn tickets_of_writes_reads_and_all() {
    let disk = SimulatedDisk::new();
    let store = on(&disk, patient());
    let written = put(&store, 1, 10);
    let write = store.ticket_for(written);
    assert!(!write.is_durable());
    write.wait().expect("nothing fails");
    assert!(write.is_durable() && store.ticket_for(written).is_durable(), "a new one for the same knows as well");

    put(&store, 2, 20);
    let map = store.map::<u64, u64>("map").expect("the same types");
    let read = map.pin().versioned(&2).expect("whole").expect("it is there").version();
    let (read, all) = (store.ticket_for(read), store.ticket());
    assert!(!read.is_durable() && !all.is_durable());
    assert_eq!(read.clone().wait_for(Duration::from_secs(60)).map(|outcome| outcome.is_ok()), Some(true));
    assert_eq!(value_of(&on(&disk.crash(1), patient()), 2), Some(20));
    all.wait().expect("nothing fails");
    // Nothing has changed since: no frame is needed to say so.
    let frames = store.health().frames;
    (0..10).for_each(|_| store.sync().expect("nothing fails"));
    assert_eq!(store.health().frames, frames);
}

#[test]
fn a_deadline_that_is_too_short_is_told_and_the_ticket_stays_good() {
    let slow = SlowMedium::new(Duration::from_millis(40));
    let store = patient().open_on(Arc::new(slow)).expect("an empty disk");
    put(&store, 1, 1);
    let ticket = store.ticket();
    assert!(ticket.wait_for(Duration::ZERO).is_none());
    assert!(ticket.wait_for(Duration::from_millis(1)).is_none());
    assert!(matches!(ticket.wait_for(Duration::from_secs(60)), Some(Ok(()))));
    assert!(matches!(ticket.wait_for(Duration::MAX), Some(Ok(()))));
}

#[test]
fn without_anyone_waiting_the_interval_serves() {
    let disk = SimulatedDisk::new();
    let store = on(&disk, patient().interval(Duration::from_millis(5)));
    let ticket = store.ticket_for(put(&store, 1, 1));
    eventually("a frame", || ticket.is_durable());
    assert_eq!(value_of(&on(&disk.crash(1), patient()), 1), Some(1));
    assert!(store.health().since_last_frame.is_some());
}

#[test]
fn many_who_wait_share_frames() {
    const WAITERS: u64 = 24;
    const ROUNDS: u64 = 5;
    let slow = SlowMedium::new(Duration::from_millis(5));
    let store = patient().open_on(Arc::new(slow)).expect("an empty disk");
    put(&store, 0, 0);
    store.sync().expect("nothing fails");
    let before = store.health().frames;
    let barrier = Barrier::new(WAITERS as usize);
    std::thread::scope(|scope| {
        for waiter in 0..WAITERS {
            let (store, barrier) = (&store, &barrier);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    barrier.wait();
                    let version = put(store, waiter, round);
                    store.ticket_for(version).wait().expect("nothing fails");
                }
            });
        }
    });
    let frames = store.health().frames - before;
    assert!((ROUNDS..=WAITERS * ROUNDS / 3).contains(&frames), "{frames} frames for {} waits", WAITERS * ROUNDS);
}

#[test]
fn closing_makes_everything_durable_and_fulfils_who_waits() {
    let disk = SimulatedDisk::new();
    let store = on(&disk, patient());
    let map = store.map::<u64, u64>("map").and_then(|map| Ok(map.warm()?)).expect("it is new");
    map.pin().put(1, 10);
    let ticket = store.ticket();
    store.close().expect("nothing fails");
    assert!(ticket.is_durable());
    ticket.wait().expect("it is durable");

    // The map goes on in memory, and nobody is told otherwise.
    map.pin().put(1, 11);
    map.pin().put(2, 20);
    let after = on(&disk.crash(1), patient());
    assert!(after.report().sealed);
    assert_eq!((value_of(&after, 1), value_of(&after, 2)), (Some(10), None));
}

#[test]
fn dropping_closes() {
    let scratch = tempfile::tempdir().expect("a directory");
    for life in 0..5_u64 {
        let store = patient().open(scratch.path()).expect("it was dropped");
        assert_eq!(store.report().sealed, life > 0);
        assert_eq!(value_of(&store, 1), life.checked_sub(1));
        put(&store, 1, life);
    }
}

#[test]
fn a_ticket_that_outlives_a_store_that_failed_says_so() {
    let disk = SimulatedDisk::new();
    let store = on(&disk, patient());
    put(&store, 1, 1);
    let ticket = store.ticket();
    disk.fail_at(1, io::ErrorKind::Other, Repeat::Sticky);
    let error = store.close().expect_err("the disk fails");
    assert!(matches!(error, DurabilityError::Log(_)), "{error:?}");
    assert!(matches!(ticket.wait(), Err(DurabilityError::Log(_))));
    assert!(!ticket.is_durable());
}

#[test]
fn the_hook_is_told_what_nobody_waits_for() {
    let disk = SimulatedDisk::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    let options = patient().interval(Duration::from_millis(1)).on_failure(move |error| {
        hook.lock().expect("no panic holds it").push(error.clone());
    });
    let store = on(&disk, options);
    put(&store, 1, 1);
    store.sync().expect("nothing fails");
    disk.fail_operation(Operation::Sync, 1, io::ErrorKind::Other, Repeat::Sticky);
    put(&store, 2, 2);
    eventually("the hook", || !told.lock().expect("no panic holds it").is_empty());
    eventually("the failure", || store.health().failed.is_some());
    // Whoever asks later is told too, and memory goes on.
    assert!(matches!(store.sync(), Err(DurabilityError::Log(_))));
    assert!(matches!(store.write_snapshot_file(), Err(DurabilityError::Log(_))));
    assert_eq!(value_of(&store, 2), Some(2));
    put(&store, 3, 3);
    assert_eq!(value_of(&store, 3), Some(3));
    assert!(matches!(store.close(), Err(DurabilityError::Log(_))));
    let told = told.lock().expect("no panic holds it");
    assert!(told.iter().all(|error| matches!(error, DurabilityError::Log(_))), "{told:?}");
    assert_eq!(value_of(&on(&disk.crash(2), patient()), 1), Some(1));
}

#[test]
fn snapshot_files_under_load() {
    let scratch = tempfile::tempdir().expect("a directory");
    let store = Options::new().interval(Duration::from_millis(1)).open(scratch.path()).expect("an empty directory");
    let map = store.map::<u64, String>("load").and_then(|map| Ok(map.warm()?)).expect("it is new");
    // Stops the writers, also if something fails.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let stopping = Stop(&stop);
        let writers: Vec<_> = (0..2_u64)
            .map(|writer| {
                let (map, stop) = (&map, &stop);
                scope.spawn(move || {
                    let mut count = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        map.pin().put(count % 5_000 * 2 + writer, format!("{count}"));
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for number in 1..=8 {
            store.write_snapshot_file().expect("nothing fails");
            // More, if the log has become so long meanwhile that it asks for one itself.
            assert!(store.health().snapshot_files >= number);
        }
        drop(stopping);
        writers.into_iter().map(|writer| writer.join().expect("no panic")).collect::<Vec<_>>()
    });
    store.close().expect("nothing fails");
    let store = Options::new().open(scratch.path()).expect("whole");
    let map = store.map::<u64, String>("load").and_then(|map| Ok(map.warm()?)).expect("the same types");
    for (writer, count) in written.into_iter().enumerate() {
        for nth in count.saturating_sub(5_000)..count {
            let key = nth % 5_000 * 2 + writer as u64;
            assert_eq!(map.pin().get(&key), Some(&format!("{nth}")), "the last value of key {key}");
        }
    }
}

#[test]
fn several_who_ask_for_snapshot_files_are_all_answered() {
    let store = on(&SimulatedDisk::new(), patient());
    put(&store, 1, 1);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| store.write_snapshot_file().expect("nothing fails"));
        }
    });
    assert!((1..=8).contains(&store.health().snapshot_files));
}

#[test]
fn a_snapshot_file_that_was_asked_for_holds_what_was_written_before() {
    let slow = SlowMedium::new(Duration::from_millis(3));
    let disk = slow.disk.clone();
    let store = patient().open_on(Arc::new(slow)).expect("an empty disk");
    std::thread::scope(|scope| {
        for asker in 0..4 {
            let (store, disk) = (&store, &disk);
            // Often while a file is being written that another one asked for: that one is not enough.
            scope.spawn(move || {
                for key in (0..60).filter(|key| key % 4 == asker) {
                    put(store, key, key);
                    store.write_snapshot_file().expect("nothing fails");
                    assert_eq!(value_of(&on(&disk.crash(key), patient()), key), Some(key));
                }
            });
        }
    });
    assert_eq!(store.health().last_snapshot_file.expect("one was written").entries, 60);
}

#[test]
fn who_waits_all_the_time_does_not_keep_the_snapshot_file_from_being_written() {
    const TAIL_MAX: u64 = 64 << 10;
    let store = on(&SimulatedDisk::new(), patient().tail_bytes_max(TAIL_MAX));
    let map = store.map::<u64, u64>("load").and_then(|map| Ok(map.warm()?)).expect("it is new");
    for key in 0..20_000 {
        map.pin().put(key, key);
    }
    store.sync().expect("nothing fails");
    let deadline = Instant::now() + Duration::from_secs(60);
    std::thread::scope(|scope| {
        for waiter in 0..4 {
            let (store, map) = (&store, &map);
            scope.spawn(move || {
                while store.health().snapshot_files < 4 {
                    assert!(Instant::now() < deadline, "{:?}", store.health());
                    map.pin().put(waiter, waiter);
                    store.sync().expect("nothing fails");
                }
            });
        }
    });
    // What was there before, and what came while a file of 80 pieces was written.
    assert!(store.health().tail_bytes < 40 * TAIL_MAX, "{:?}", store.health());
}

#[test]
fn the_tail_stays_bounded_under_continuous_writes() {
    const TAIL_MAX: u64 = 256 << 10;
    let disk = SimulatedDisk::new();
    let store =
        on(&disk, Options::new().interval(Duration::from_millis(1)).segment_bytes(64 << 10).tail_bytes_max(TAIL_MAX));
    let map = store.map::<u64, Vec<u8>>("load").and_then(|map| Ok(map.warm()?)).expect("it is new");
    let mut longest = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut count = 0_u64;
    while store.health().snapshot_files < 10 {
        assert!(Instant::now() < deadline, "{:?}", store.health());
        for _ in 0..50 {
            map.pin().put(count % 500, vec![count as u8; 200]);
            count += 1;
        }
        store.sync().expect("nothing fails");
        longest = longest.max(store.health().tail_bytes);
    }
    assert!(longest < 6 * TAIL_MAX, "{longest} bytes of log");
    let log_bytes = |disk: &SimulatedDisk| -> u64 {
        let names = disk.list().expect("on").into_iter().filter(|name| name.starts_with("log-"));
        names.map(|name| disk.contents(&name).map_or(0, |bytes| bytes.len() as u64)).sum()
    };
    store.write_snapshot_file().expect("nothing fails");
    assert!(log_bytes(&disk) < 2 * TAIL_MAX, "{} bytes of log are left", log_bytes(&disk));
}

/// A number whose archiving fails for 13, and panics for 666.
#[derive(Debug, Clone, PartialEq)]
struct Touchy(u64);

/// What it is archived as.
#[derive(rkyv::Portable, rkyv::bytecheck::CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(transparent)]
struct ArchivedTouchy(Archived<u64>);

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("thirteen is refused")
    }
}

impl std::error::Error for Refused {}

impl Schema for Touchy {
    fn describe(describer: &mut Describer) -> TypeExpression {
        describer.leaf("Touchy", Vec::new())
    }
}

impl Archive for Touchy {
    type Archived = ArchivedTouchy;
    type Resolver = ();

    fn resolve(&self, (): (), out: Place<Self::Archived>) {
        rkyv::munge::munge!(let ArchivedTouchy(number) = out);
        self.0.resolve((), number);
    }
}

impl<S: Fallible<Error: Source> + ?Sized> Serialize<S> for Touchy {
    fn serialize(&self, _: &mut S) -> Result<(), S::Error> {
        match self.0 {
            13 => fail!(Refused),
            666 => panic!("a type's own code panicked"),
            _ => Ok(()),
        }
    }
}

impl<D: Fallible + ?Sized> Deserialize<Touchy, D> for ArchivedTouchy {
    fn deserialize(&self, _: &mut D) -> Result<Touchy, D::Error> {
        Ok(Touchy(self.0.to_native()))
    }
}

#[test]
fn a_value_that_cannot_be_archived_fails_its_frame_and_the_next_one_succeeds() {
    let disk = SimulatedDisk::new();
    let store = on(&disk, patient());
    let map = store.map::<u64, Touchy>("touchy").and_then(|map| Ok(map.warm()?)).expect("it is new");
    map.pin().put(1, Touchy(1));
    store.sync().expect("nothing fails");
    let good = map.pin().put(2, Touchy(2));
    map.pin().put(3, Touchy(13));
    let error = store.sync().expect_err("thirteen is refused");
    match &error {
        DurabilityError::Unarchivable { map, part, reason } => {
            assert_eq!((&**map, *part), ("touchy", Part::Values));
            assert!(reason.contains("thirteen"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert!(store.health().failed.is_none() && store.health().last_error.is_some());
    assert!(!store.ticket_for(good).is_durable(), "they share a frame");
    let error = store.write_snapshot_file().expect_err("its frame is refused");
    assert!(matches!(error, DurabilityError::Unarchivable { .. }), "{error:?}");
    // Put right, everything that waited goes in.
    map.pin().put(3, Touchy(3));
    store.sync().expect("nothing is refused any more");
    assert!(store.ticket_for(good).is_durable());
    store.write_snapshot_file().expect("nothing is refused any more");
    let after = on(&disk.crash(5), patient());
    let map = after.map::<u64, Touchy>("touchy").and_then(|map| Ok(map.warm()?)).expect("the same types");
    assert_eq!([1, 2, 3].map(|key| map.pin().get(&key).cloned()), [1, 2, 3].map(|n| Some(Touchy(n))));
}

#[test]
fn a_panic_in_a_types_own_code_ends_the_log_and_nothing_else() {
    let disk = SimulatedDisk::new();
    let store = on(&disk, patient());
    let map = store.map::<u64, Touchy>("touchy").and_then(|map| Ok(map.warm()?)).expect("it is new");
    map.pin().put(1, Touchy(1));
    store.sync().expect("nothing fails");
    map.pin().put(2, Touchy(666));
    let error = store.sync().expect_err("it panics");
    assert!(matches!(&error, DurabilityError::Panicked { message } if message.contains("own code")), "{error:?}");
    assert!(matches!(store.sync(), Err(DurabilityError::Panicked { .. })));
    assert!(store.health().failed.is_some());
    map.pin().put(2, Touchy(2));
    assert_eq!(map.pin().get(&2), Some(&Touchy(2)));
    assert!(matches!(store.close(), Err(DurabilityError::Panicked { .. })));
    let after = on(&disk.crash(5), patient());
    let map = after.map::<u64, Touchy>("touchy").and_then(|map| Ok(map.warm()?)).expect("the same types");
    assert_eq!((map.pin().get(&1), map.pin().get(&2)), (Some(&Touchy(1)), None));
}

/// A simulated disk that takes its time to make a file durable.
#[derive(Debug)]
struct SlowMedium {
    disk: SimulatedDisk,
    sync: Duration,
}

impl SlowMedium {
    fn new(sync: Duration) -> Self {
        Self { disk: SimulatedDisk::new(), sync }
    }

    fn slow(&self, file: Box<dyn MediumFile>) -> Box<dyn MediumFile> {
        Box::new(SlowFile { file, sync: self.sync })
    }
}

impl Medium for SlowMedium {
    fn lock(&self) -> io::Result<DirectoryLock> {
        self.disk.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        self.disk.create(name).map(|file| self.slow(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        self.disk.open(name).map(|file| self.slow(file))
    }

    fn map(&self, name: &str) -> io::Result<Mapping> {
        self.disk.map(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_directory()
    }

    fn location(&self) -> String {
        self.disk.location()
    }
}

#[derive(Debug)]
struct SlowFile {
    file: Box<dyn MediumFile>,
    sync: Duration,
}

impl MediumFile for SlowFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        std::thread::sleep(self.sync);
        self.file.sync()
    }
}
