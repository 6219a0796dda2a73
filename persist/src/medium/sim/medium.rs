//! The simulated disk as a medium: each call asks the machine what becomes of it.

use std::fmt;
use std::io;

use super::SimulatedDisk;
use super::fault::Operation;
use super::machine::Machine;
use super::names::FileId;
use super::state::Mutation;
use crate::medium::name::check_name;
use crate::medium::{DirectoryLock, Mapping, Medium, MediumFile};

impl Medium for SimulatedDisk {
    fn lock(&self) -> io::Result<DirectoryLock> {
        let mut machine = self.machine();
        machine.look(Operation::Lock)?;
        if machine.is_locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        machine.is_locked = true;
        Ok(DirectoryLock::new(Unlock { disk: self.clone() }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut machine = self.machine();
        machine.look(Operation::List)?;
        Ok(machine.state.names.seen().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        check_name(name)?;
        let mut machine = self.machine();
        let file = machine.state.new_file();
        machine.mutate(Mutation::Create { name, file })?;
        Ok(self.handle(&mut machine, file, name))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        check_name(name)?;
        let mut machine = self.machine();
        machine.look(Operation::Open)?;
        let file = machine.state.find(name)?;
        Ok(self.handle(&mut machine, file, name))
    }

    fn map(&self, name: &str) -> io::Result<Mapping> {
        check_name(name)?;
        let mut machine = self.machine();
        machine.look(Operation::Map)?;
        let file = machine.state.find(name)?;
        Ok(Mapping::copy_of(machine.state.bytes(file)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        self.machine().mutate(Mutation::Rename { from, to })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.machine().mutate(Mutation::Remove { name })
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.machine().mutate(Mutation::SyncDirectory)
    }

    fn location(&self) -> String {
        "simulated disk".to_owned()
    }
}

impl SimulatedDisk {
    fn handle(&self, machine: &mut Machine, file: FileId, name: &str) -> Box<dyn MediumFile> {
        machine.state.open_handle(file);
        Box::new(SimulatedFile { disk: self.clone(), file, name: name.to_owned() })
    }
}

/// An open file; it stays itself when its name changes or goes.
struct SimulatedFile {
    disk: SimulatedDisk,
    file: FileId,
    /// What it was opened as.
    name: String,
}

impl MediumFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        let mut machine = self.disk.machine();
        machine.look(Operation::Read)?;
        Ok(machine.state.bytes(self.file)?.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut machine = self.disk.machine();
        machine.look(Operation::Read)?;
        if buffer.is_empty() {
            return Ok(());
        }
        let bytes = machine.state.bytes(self.file)?;
        let wanted = usize::try_from(offset).ok().and_then(|start| bytes.get(start..start.checked_add(buffer.len())?));
        buffer.copy_from_slice(wanted.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.machine().mutate(Mutation::Write { file: self.file, bytes, offset })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.machine().mutate(Mutation::SetLen { file: self.file, len })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.machine().mutate(Mutation::Sync { file: self.file })
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        self.disk.machine().state.close_handle(self.file);
    }
}

impl fmt::Debug for SimulatedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Lets the lock go.
struct Unlock {
    disk: SimulatedDisk,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        self.disk.machine().is_locked = false;
    }
}
