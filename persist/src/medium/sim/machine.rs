//! The simulated machine: the disk's content, what is scheduled to go wrong, and whether there is power.

use std::io;

use super::fault::{Fate, Operation, Schedule, SimulatedFault};
use super::random::Random;
use super::state::{Mutation, State};

pub(super) struct Machine {
    /// What a loss of power chooses from.
    pub(super) state: State,
    /// After a loss of power during an operation: the state as it is if only the process died there.
    pub(super) killed: Option<State>,
    pub(super) schedule: Schedule,
    pub(super) random: Random,
    pub(super) is_off: bool,
    pub(super) is_locked: bool,
}

impl Machine {
    /// A machine that is on, unlocked and has no faults to come.
    pub(super) fn new(state: State, seed: u64) -> Self {
        Self {
            state,
            killed: None,
            schedule: Schedule::default(),
            random: Random::new(seed),
            is_off: false,
            is_locked: false,
        }
    }

    /// Admits an operation that changes nothing.
    pub(super) fn look(&mut self, operation: Operation) -> io::Result<()> {
        match self.fate(operation)? {
            Fate::Succeeds => Ok(()),
            Fate::Fails(error) => Err(error),
            Fate::Cut => Err(SimulatedFault::PoweredOff.into()),
        }
    }

    /// Does a change, or what its fate leaves of it.
    pub(super) fn mutate(&mut self, mutation: Mutation<'_>) -> io::Result<()> {
        match self.fate(mutation.operation())? {
            Fate::Succeeds => self.state.perform(mutation),
            Fate::Fails(error) => {
                self.state.fail(mutation, &mut self.random);
                Err(error)
            }
            Fate::Cut => {
                let mut killed = self.state.clone();
                killed.die_during(mutation, &mut self.random);
                self.killed = Some(killed);
                self.state.lose_power_during(mutation);
                self.is_off = true;
                Err(SimulatedFault::PoweredOff.into())
            }
        }
    }

    /// What becomes of a call, if the machine is on.
    fn fate(&mut self, operation: Operation) -> io::Result<Fate> {
        if self.is_off {
            return Err(SimulatedFault::PoweredOff.into());
        }
        Ok(self.schedule.next(operation))
    }
}
