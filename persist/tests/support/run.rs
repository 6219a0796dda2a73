//! Runs a script on a simulated disk, and notes in a history what may come back.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use stillpoint::{ManualTime, TransactionError};
use stillpoint_persist::medium::SimulatedDisk;
use stillpoint_persist::{DurableStore, OpenError, Options, Stepper};

use super::history::{History, State};
use super::script::{Step, Write};
use super::tables::{OpenTable, TABLES};

/// A life of a process.
pub(crate) struct Session {
    pub(crate) store: DurableStore,
    pub(crate) stepper: Stepper,
    time: ManualTime,
    open: BTreeMap<usize, Box<dyn OpenTable>>,
}

/// What stops a script: a failure of the disk.
pub(crate) type Stopped = Box<dyn Error>;

/// Options under which the smallest segments are written, and a turn begins a snapshot file whenever it can.
pub(crate) fn options() -> Options {
    // No frame by itself: the script says when.
    Options::new().interval(Duration::from_secs(1 << 20)).segment_bytes(16 << 10).tail_bytes_max(1)
}

impl Session {
    /// Opens a disk at a time since 1970.
    pub(crate) fn open(disk: &SimulatedDisk, clock: Duration) -> Result<Self, OpenError> {
        Self::open_with(options(), disk, clock)
    }

    pub(crate) fn open_with(options: Options, disk: &SimulatedDisk, clock: Duration) -> Result<Self, OpenError> {
        let time = ManualTime::starting_at(UNIX_EPOCH + clock);
        let (store, stepper) = options.time(time.clone()).open_stepped(Arc::new(disk.clone()))?;
        Ok(Self { store, stepper, time, open: BTreeMap::new() })
    }

    /// The component, asked for now if it was not before.
    pub(crate) fn table(&mut self, table: usize) -> Result<&mut Box<dyn OpenTable>, Stopped> {
        if !self.open.contains_key(&table) {
            self.open.insert(table, TABLES[table].open(&self.store)?);
        }
        self.open.get_mut(&table).ok_or_else(|| unreachable!("it was opened"))
    }

    /// Everything that is stored.
    pub(crate) fn state(&mut self) -> Result<State, Stopped> {
        let names = self.store.names();
        let mut state = State::new();
        for (table, _) in TABLES.iter().enumerate().filter(|(_, table)| names.iter().any(|name| name == table.name())) {
            self.table(table)?;
            let all = self.open[&table].all(self.store.store())?;
            state.extend(all.into_iter().map(|(key, entry)| ((table, key), entry)));
        }
        Ok(state)
    }

    /// The store's time, since 1970.
    pub(crate) fn clock(&self) -> Duration {
        self.store.store().time().duration_since(UNIX_EPOCH).expect("after 1970")
    }

    /// Does a step that changes what is in memory; `false` if it is of another kind.
    pub(crate) fn change(&mut self, step: Step, history: &mut History) -> Result<bool, Stopped> {
        match step {
            Step::Put(table, key, value) => {
                let version = self.ask(table, history)?.put(key, value)?;
                assert_eq!(version.is_some(), history.takes((table, key), value), "{step:?}");
                if let Some(version) = version {
                    history.put((table, key), value, version);
                }
            }
            Step::Remove(table, key) => {
                let was_there = self.ask(table, history)?.remove(key)?;
                assert_eq!(was_there, history.is_live((table, key)), "{step:?}");
                history.remove((table, key));
            }
            Step::Transact(writes) => self.transact(writes, history)?,
            Step::Drop(table) => {
                self.open.remove(&table);
                let was_there = self.store.drop_component(TABLES[table].name());
                assert!(was_there || !history.now.contains_key(&(table, 0)), "{step:?}");
                history.drop_component(table);
            }
            Step::Wait(seconds) => {
                self.time.advance(Duration::from_secs(seconds));
                history.clock += Duration::from_secs(seconds);
            }
            Step::Maintain => while self.store.store().maintain() {},
            Step::Frame | Step::SnapshotFile | Step::Turn | Step::Close { .. } | Step::Die => return Ok(false),
        }
        Ok(true)
    }

    /// The component; a cell that is new has a value, too.
    fn ask(&mut self, table: usize, history: &mut History) -> Result<&mut Box<dyn OpenTable>, Stopped> {
        let at = (table, 0);
        let open = self.table(table)?;
        if TABLES[table].rules().is_cell && !history.now.contains_key(&at) {
            let (value, version) = open.get(0)?.expect("a cell has a value");
            history.put(at, value, version);
        }
        Ok(open)
    }

    fn transact(&mut self, writes: &[Write], history: &mut History) -> Result<(), Stopped> {
        for write in writes {
            let (Write::Set(table, _, _) | Write::Unset(table, _)) = *write;
            self.ask(table, history)?.warm()?;
        }
        let done = self.store.store().transact(|tx| {
            writes.iter().try_for_each(|write| match *write {
                Write::Set(table, key, value) => self.open[&table].draft(tx, key, Some(value)),
                Write::Unset(table, key) => self.open[&table].draft(tx, key, None),
            })
        });
        match (done, history.outcome(writes)) {
            (Ok(()), Some(outcome)) => {
                for (at, entry) in outcome {
                    let seen = self.open[&at.0].get(at.1)?;
                    assert_eq!(seen.map(|(value, _)| value), entry.map(|entry| entry.value), "{at:?} of {writes:?}");
                    match seen {
                        Some((value, version)) => history.put(at, value, version),
                        None => history.remove(at),
                    }
                }
            }
            (Err(TransactionError::Refused(_)), None) => {}
            (done, outcome) => panic!("{writes:?} came to {done:?}, not to {outcome:?}"),
        }
        Ok(())
    }

    /// Does one thing that takes a cut, and notes what became of it.
    pub(crate) fn cut<R>(&mut self, history: &mut History, act: impl FnOnce(&mut Stepper) -> R) -> R {
        history.cut();
        let ticket = self.store.ticket();
        let frames = self.store.health().frames;
        let result = act(&mut self.stepper);
        if ticket.is_durable() {
            history.acknowledge();
        }
        if self.store.health().frames > frames {
            history.settle();
            history.written();
        }
        result
    }
}

/// Runs a script until its end, or until the disk fails; opens the disk as it needs to.
pub(crate) fn run(disk: &SimulatedDisk, script: &[Step], history: &mut History) -> Result<(), Stopped> {
    let mut life = None;
    for step in script {
        let session = match &mut life {
            Some(session) => session,
            None => {
                let session = life.insert(Session::open(disk, history.clock)?);
                history.begin(session.store.report());
                session
            }
        };
        match *step {
            Step::Frame => {
                session.cut(history, Stepper::frame)?;
                assert_eq!(*history.durable(), history.now, "a frame was written and is not durable");
            }
            Step::SnapshotFile => session.cut(history, Stepper::snapshot_file)?,
            Step::Turn => _ = session.cut(history, Stepper::step),
            Step::Close { file } => {
                let Some(Session { store, stepper, .. }) = life.take() else { unreachable!("it was opened") };
                history.cut();
                stepper.close(if file { 0 } else { u64::MAX })?;
                history.acknowledge();
                history.settle();
                drop(store);
            }
            Step::Die => {
                life = None;
                history.restart(history.acknowledged());
            }
            step => _ = session.change(step, history)?,
        }
        if disk.is_off() {
            // A turn tells nobody.
            return Err("power was lost".into());
        }
    }
    Ok(())
}
