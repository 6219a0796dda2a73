//! A simulated disk's content, and what each change does to it: done whole, failed, or cut off by a loss of power.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::fault::{Operation, SimulatedFault};
use super::file::FileState;
use super::names::{FileId, NameChange, Names};
use super::random::Random;

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) names: Names,
    pub(super) files: BTreeMap<FileId, FileState>,
    /// How many handles a file has: it lives on without a name as long as there is one.
    handles: BTreeMap<FileId, usize>,
    pub(super) capacity: u64,
    files_made: u64,
    clock: u64,
}

/// A change to the disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mutation<'a> {
    Create { name: &'a str, file: FileId },
    Write { file: FileId, bytes: &'a [u8], offset: u64 },
    SetLen { file: FileId, len: u64 },
    Sync { file: FileId },
    Rename { from: &'a str, to: &'a str },
    Remove { name: &'a str },
    SyncDirectory,
}

impl Mutation<'_> {
    pub(super) fn operation(&self) -> Operation {
        match self {
            Self::Create { .. } => Operation::Create,
            Self::Write { .. } => Operation::Write,
            Self::SetLen { .. } => Operation::SetLen,
            Self::Sync { .. } => Operation::Sync,
            Self::Rename { .. } => Operation::Rename,
            Self::Remove { .. } => Operation::Remove,
            Self::SyncDirectory => Operation::SyncDirectory,
        }
    }
}

impl State {
    /// A disk on which all is durable.
    pub(super) fn durable(names: BTreeMap<String, FileId>, files: BTreeMap<FileId, FileState>, capacity: u64) -> Self {
        let files_made = files.keys().next_back().map_or(0, |last| last.0 + 1);
        Self { names: Names::durable(names), files, handles: BTreeMap::new(), capacity, files_made, clock: 0 }
    }

    /// An identity that no file has had.
    pub(super) fn new_file(&mut self) -> FileId {
        self.files_made += 1;
        FileId(self.files_made - 1)
    }

    pub(super) fn find(&self, name: &str) -> io::Result<FileId> {
        self.names.seen().get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn bytes(&self, file: FileId) -> io::Result<&Arc<Vec<u8>>> {
        self.files.get(&file).map(FileState::bytes).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Does the whole of a change.
    pub(super) fn perform(&mut self, mutation: Mutation<'_>) -> io::Result<()> {
        match mutation {
            Mutation::Create { name, file } => {
                if self.names.seen().contains_key(name) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                self.files.insert(file, FileState::default());
                self.names.change(NameChange::Create { name: name.to_owned(), file }, &mut self.clock);
            }
            Mutation::Write { file, bytes, offset } => self.write(file, bytes, offset)?,
            Mutation::SetLen { file, len } => self.set_len(file, len)?,
            Mutation::Sync { file } => self.file_mut(file)?.sync(),
            Mutation::Rename { from, to } => {
                self.find(from)?;
                if from != to {
                    let change = NameChange::Rename { from: from.to_owned(), to: to.to_owned() };
                    self.names.change(change, &mut self.clock);
                }
            }
            Mutation::Remove { name } => {
                self.find(name)?;
                self.names.change(NameChange::Remove { name: name.to_owned() }, &mut self.clock);
            }
            Mutation::SyncDirectory => {
                self.names.sync();
                self.collect();
            }
        }
        Ok(())
    }

    /// Does what is left of a change that reports an error: a write may be short, a sync gives up what was dirty.
    pub(super) fn fail(&mut self, mutation: Mutation<'_>, random: &mut Random) {
        match mutation {
            Mutation::Write { file, bytes, offset } => {
                let short = &bytes[..random.up_to(bytes.len())];
                // Its own failure, of a full disk, adds nothing to the one that is reported.
                let _ = self.write(file, short, offset);
            }
            Mutation::Sync { file } => {
                if let Some(state) = self.files.get_mut(&file) {
                    state.abandon();
                }
            }
            Mutation::SyncDirectory => self.names.abandon(),
            Mutation::Create { .. } | Mutation::SetLen { .. } | Mutation::Rename { .. } | Mutation::Remove { .. } => {}
        }
    }

    /// Does what a change may leave behind when power goes during it: a change is pending like those before it, and a
    /// sync may have made any of what is pending durable, which is to say nothing.
    pub(super) fn lose_power_during(&mut self, mutation: Mutation<'_>) {
        if !matches!(mutation, Mutation::Sync { .. } | Mutation::SyncDirectory) {
            // What cannot be done leaves nothing behind.
            let _ = self.perform(mutation);
        }
    }

    /// Does what a change may leave behind when the process dies during it: a write may be short, all else is done or
    /// not.
    pub(super) fn die_during(&mut self, mutation: Mutation<'_>, random: &mut Random) {
        if let Mutation::Write { .. } = mutation {
            self.fail(mutation, random);
        } else if random.one_in(2) {
            // What cannot be done leaves nothing behind.
            let _ = self.perform(mutation);
        }
    }

    pub(super) fn open_handle(&mut self, file: FileId) {
        *self.handles.entry(file).or_default() += 1;
    }

    pub(super) fn close_handle(&mut self, file: FileId) {
        if let Some(count) = self.handles.get_mut(&file) {
            *count -= 1;
            if *count == 0 {
                self.handles.remove(&file);
                self.collect();
            }
        }
    }

    pub(super) fn close_all_handles(&mut self) {
        self.handles.clear();
        self.collect();
    }

    /// Puts a file there, or replaces one, with all names and this file durable.
    pub(super) fn put(&mut self, name: &str, bytes: Vec<u8>) {
        let mut names = self.names.seen().clone();
        let file = self.new_file();
        self.files.insert(file, FileState::durable(Arc::new(bytes)));
        names.insert(name.to_owned(), file);
        self.names = Names::durable(names);
        self.collect();
    }

    /// Takes a file away, with all other names durable.
    pub(super) fn take(&mut self, name: &str) -> io::Result<()> {
        self.find(name)?;
        let mut names = self.names.seen().clone();
        names.remove(name);
        self.names = Names::durable(names);
        self.collect();
        Ok(())
    }

    /// Changes a file's bytes in the cache and on the platter; what was pending of it is durable from then on.
    pub(super) fn alter(&mut self, name: &str, alter: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let file = self.find(name)?;
        let mut bytes = Vec::clone(self.bytes(file)?);
        alter(&mut bytes)?;
        self.files.insert(file, FileState::durable(Arc::new(bytes)));
        Ok(())
    }

    fn file_mut(&mut self, file: FileId) -> io::Result<&mut FileState> {
        self.files.get_mut(&file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&mut self, file: FileId, bytes: &[u8], offset: u64) -> io::Result<()> {
        let before = self.bytes(file)?.len() as u64;
        let end = offset.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let limit = before.saturating_add(self.room());
        let fits = if end <= limit { bytes } else { &bytes[..limit.saturating_sub(offset) as usize] };
        let mut clock = self.clock;
        // An offset beyond the room has nothing that fits, so that it is never reached.
        self.file_mut(file)?.write(fits, offset as usize, &mut clock);
        self.clock = clock;
        if fits.len() < bytes.len() { Err(SimulatedFault::Full { capacity: self.capacity }.into()) } else { Ok(()) }
    }

    fn set_len(&mut self, file: FileId, len: u64) -> io::Result<()> {
        let before = self.bytes(file)?.len() as u64;
        if len > before && len - before > self.room() {
            return Err(SimulatedFault::Full { capacity: self.capacity }.into());
        }
        let mut clock = self.clock;
        self.file_mut(file)?.set_len(len as usize, &mut clock);
        self.clock = clock;
        Ok(())
    }

    /// How many bytes files may still grow by. A file needs room as long as it has a name or a handle.
    fn room(&self) -> u64 {
        let used: BTreeSet<FileId> = self.names.seen().values().chain(self.handles.keys()).copied().collect();
        let used: u64 = used.iter().filter_map(|file| self.files.get(file)).map(|file| file.bytes().len() as u64).sum();
        self.capacity.saturating_sub(used)
    }

    /// Forgets the files that nothing can lead to any more.
    fn collect(&mut self) {
        let named = self.names.files();
        self.files.retain(|file, _| named.contains(file) || self.handles.contains_key(file));
    }
}
