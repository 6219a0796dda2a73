//! The file system through the twin that seeks, so that the conformance script runs over it on Unix too.

use std::io;

use super::platform::BySeek;
use super::{FileSystem, creating, opening};
use crate::medium::{DirectoryLock, Mapping, Medium, MediumFile};

/// The file system, through the twin that seeks.
#[derive(Debug)]
pub(in crate::medium) struct Seeking {
    inner: FileSystem,
}

impl Seeking {
    pub(in crate::medium) fn new(inner: FileSystem) -> Self {
        Self { inner }
    }
}

impl Medium for Seeking {
    fn lock(&self) -> io::Result<DirectoryLock> {
        self.inner.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        self.inner.open_as::<BySeek>(name, &creating())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        self.inner.open_as::<BySeek>(name, &opening())
    }

    fn map(&self, name: &str) -> io::Result<Mapping> {
        self.inner.map(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}
