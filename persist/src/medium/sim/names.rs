//! The simulated directory: the names as they are seen, as they surely survive, and the changes in between.
//!
//! After a crash each pending change has happened or not, whole, but a change never without an earlier one that touched
//! the same name: a journal does not rename a file that it has not created.

use std::collections::{BTreeMap, BTreeSet};

use super::file::tick;

/// Which file a name leads to, whatever it is called later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u64);

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    seen: BTreeMap<String, FileId>,
    durable: BTreeMap<String, FileId>,
    /// Oldest first.
    pending: Vec<Pending>,
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Create { name: String, file: FileId },
    Rename { from: String, to: String },
    Remove { name: String },
}

#[derive(Clone, Debug)]
struct Pending {
    /// When it was made, on the disk's own clock.
    step: u64,
    change: NameChange,
    /// Not yet given up by a failed sync.
    dirty: bool,
}

impl Names {
    /// A directory whose names are all durable.
    pub(super) fn durable(names: BTreeMap<String, FileId>) -> Self {
        Self { seen: names.clone(), durable: names, pending: Vec::new() }
    }

    /// The names as a program sees them.
    pub(super) fn seen(&self) -> &BTreeMap<String, FileId> {
        &self.seen
    }

    /// Makes a change that is known to be possible.
    pub(super) fn change(&mut self, change: NameChange, clock: &mut u64) {
        change.apply(&mut self.seen);
        self.pending.push(Pending { step: tick(clock), change, dirty: true });
    }

    /// Makes all changes durable, but for those that a failed sync gave up and that nothing newer needs.
    pub(super) fn sync(&mut self) {
        let mut needed = BTreeSet::new();
        let mut taken = vec![false; self.pending.len()];
        for (taken, pending) in taken.iter_mut().zip(&self.pending).rev() {
            *taken = pending.dirty || pending.change.names().any(|name| needed.contains(name));
            if *taken {
                needed.extend(pending.change.names().map(str::to_owned));
            }
        }
        let mut taken = taken.into_iter();
        self.pending.retain(|pending| {
            let taken = taken.next().unwrap_or(false);
            if taken {
                pending.change.apply(&mut self.durable);
            }
            !taken
        });
    }

    /// What a failed sync does.
    pub(super) fn abandon(&mut self) {
        self.pending.iter_mut().for_each(|pending| pending.dirty = false);
    }

    /// The step of each pending change.
    pub(super) fn steps(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|pending| pending.step)
    }

    /// The names after a crash that kept the chosen changes, as far as what each builds on was kept too.
    pub(super) fn image(&self, mut kept: impl Iterator<Item = bool>) -> BTreeMap<String, FileId> {
        let mut names = self.durable.clone();
        let mut lost = BTreeSet::new();
        for pending in &self.pending {
            if kept.next().unwrap_or(false) && !pending.change.names().any(|name| lost.contains(name)) {
                pending.change.apply(&mut names);
            } else {
                lost.extend(pending.change.names());
            }
        }
        names
    }

    /// All files that have a name, or may have one after a crash.
    pub(super) fn files(&self) -> BTreeSet<FileId> {
        let created = self.pending.iter().filter_map(|pending| match &pending.change {
            NameChange::Create { file, .. } => Some(file),
            NameChange::Rename { .. } | NameChange::Remove { .. } => None,
        });
        self.seen.values().chain(self.durable.values()).chain(created).copied().collect()
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            Self::Create { name, file } => {
                names.insert(name.clone(), *file);
            }
            Self::Rename { from, to } => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove { name } => {
                names.remove(name);
            }
        }
    }

    /// The names that it touches.
    fn names(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::Create { name, .. } | Self::Remove { name } => (name, None),
            Self::Rename { from, to } => (from, Some(to)),
        };
        std::iter::once(first).chain(second).map(String::as_str)
    }
}
