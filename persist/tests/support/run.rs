//! Runs a script on a simulated disk, and notes in a history what may come back.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use stillpoint_persist::medium::SimulatedDisk;
use stillpoint_persist::{DurableStore, OpenError, Options, Stepper};

use super::history::{History, State};
use super::script::Step;
use super::tables::{OpenTable, TABLES};

/// A life of a process.
pub(crate) struct Session {
    pub(crate) store: DurableStore,
    pub(crate) stepper: Stepper,
    maps: BTreeMap<usize, Box<dyn OpenTable>>,
}

/// What stops a script: a failure of the disk.
pub(crate) type Stopped = Box<dyn Error>;

/// Options under which the smallest segments are written, and a turn begins a snapshot file whenever it can.
pub(crate) fn options() -> Options {
    // No frame by itself: the script says when.
    Options::new().interval(Duration::from_secs(1 << 20)).segment_bytes(16 << 10).tail_bytes_max(1)
}

impl Session {
    pub(crate) fn open(disk: &SimulatedDisk) -> Result<Self, OpenError> {
        Self::open_with(options(), disk)
    }

    pub(crate) fn open_with(options: Options, disk: &SimulatedDisk) -> Result<Self, OpenError> {
        let (store, stepper) = options.open_stepped(Arc::new(disk.clone()))?;
        Ok(Self { store, stepper, maps: BTreeMap::new() })
    }

    /// The map, asked for now if it was not before.
    pub(crate) fn map(&mut self, table: usize) -> Result<&dyn OpenTable, Stopped> {
        if !self.maps.contains_key(&table) {
            self.maps.insert(table, TABLES[table].open(&self.store)?);
        }
        Ok(&*self.maps[&table])
    }

    /// Everything that is stored.
    pub(crate) fn state(&mut self) -> Result<State, Stopped> {
        let names = self.store.names();
        let mut state = State::new();
        for (table, _) in TABLES.iter().enumerate().filter(|(_, table)| names.iter().any(|name| name == table.name())) {
            self.map(table)?;
            let all = self.maps[&table].all(self.store.store())?;
            state.extend(all.into_iter().map(|(key, value)| ((table, key), value)));
        }
        Ok(state)
    }

    /// Does one thing that takes a cut, and notes what became of it.
    fn cut(
        &mut self,
        history: &mut History,
        act: impl FnOnce(&mut Stepper) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        history.cut();
        let ticket = self.store.ticket();
        let result = act(&mut self.stepper);
        if ticket.is_durable() {
            history.acknowledge();
        }
        if self.store.health().frames > 0 {
            history.settle();
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
                let session = life.insert(Session::open(disk)?);
                history.begin(session.store.report());
                session
            }
        };
        match *step {
            Step::Put(table, key, value) => {
                let version = session.map(table)?.put(key, value)?;
                history.put((table, key), value, version);
            }
            Step::Remove(table, key) => {
                let was_there = session.map(table)?.remove(key)?;
                assert_eq!(was_there, history.now.contains_key(&(table, key)), "{step:?}");
                history.remove((table, key));
            }
            Step::Frame => {
                session.cut(history, |stepper| Ok(stepper.frame()?))?;
                assert_eq!(*history.durable(), history.now, "a frame was written and is not durable");
            }
            Step::SnapshotFile => session.cut(history, |stepper| Ok(stepper.snapshot_file()?))?,
            Step::Turn => session.cut(history, |stepper| {
                stepper.step();
                Ok(())
            })?,
            Step::Close { file } => {
                let Some(Session { store, stepper, maps: _ }) = life.take() else { unreachable!("it was opened") };
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
        }
        if disk.is_off() {
            // A turn tells nobody.
            return Err("power was lost".into());
        }
    }
    Ok(())
}
