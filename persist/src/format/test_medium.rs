//! A medium in memory, for tests of the formats: it keeps every write, counts calls, and can fail from the nth on.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::medium::{DirectoryLock, Mapping, Medium, MediumFile};
use crate::sync::{AtomicU64, Ordering};

type Contents = Arc<Mutex<Vec<u8>>>;

/// Files in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestMedium {
    files: Arc<Mutex<BTreeMap<String, Contents>>>,
    calls: Arc<Calls>,
}

#[derive(Debug)]
struct Calls {
    left: AtomicU64,
}

impl Default for Calls {
    fn default() -> Self {
        Self { left: AtomicU64::new(u64::MAX) }
    }
}

impl Calls {
    /// Counts a call that changes something, and fails it if no more may succeed.
    fn change(&self) -> io::Result<()> {
        let took = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        took.map(drop).map_err(|_| io::Error::other("no more calls"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TestMedium {
    /// Lets this many changing calls succeed, and fails all later ones.
    pub(crate) fn fail_after(&self, calls: u64) {
        self.calls.left.store(calls, Ordering::Relaxed);
    }

    /// A file's bytes.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        lock(&self.file(name).expect("the file exists")).clone()
    }

    /// Makes a file of these bytes, in place of what was there.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        lock(&self.files).insert(name.to_owned(), Arc::new(Mutex::new(bytes.to_vec())));
    }

    /// Whether a file has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        lock(&self.files).contains_key(name)
    }

    /// Takes a file away, counting no call.
    pub(crate) fn remove_quietly(&self, name: &str) {
        lock(&self.files).remove(name);
    }

    /// A copy that shares nothing with this one, and that fails no call.
    pub(crate) fn image(&self) -> Self {
        let image = Self::default();
        for (name, contents) in lock(&self.files).iter() {
            image.write(name, &lock(contents));
        }
        image
    }

    fn file(&self, name: &str) -> io::Result<Contents> {
        lock(&self.files).get(name).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Medium for TestMedium {
    fn lock(&self) -> io::Result<DirectoryLock> {
        Ok(DirectoryLock::new(()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.files).keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        self.calls.change()?;
        let mut files = lock(&self.files);
        if files.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let contents = Contents::default();
        files.insert(name.to_owned(), Arc::clone(&contents));
        Ok(Box::new(TestFile { contents, calls: Arc::clone(&self.calls) }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        Ok(Box::new(TestFile { contents: self.file(name)?, calls: Arc::clone(&self.calls) }))
    }

    fn map(&self, name: &str) -> io::Result<Mapping> {
        Ok(mapping(&self.read(name)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.calls.change()?;
        let mut files = lock(&self.files);
        let contents = files.remove(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        files.insert(to.to_owned(), contents);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.calls.change()?;
        let removed = lock(&self.files).remove(name);
        removed.map(drop).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.calls.change()
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }
}

#[derive(Debug)]
struct TestFile {
    contents: Contents,
    calls: Arc<Calls>,
}

impl MediumFile for TestFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.contents).len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let contents = lock(&self.contents);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = contents.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.calls.change()?;
        let mut contents = lock(&self.contents);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + bytes.len();
        if contents.len() < end {
            contents.resize(end, 0);
        }
        contents[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.calls.change()?;
        lock(&self.contents).resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.calls.change()
    }
}

/// A mapping of a copy of the bytes.
pub(crate) fn mapping(bytes: &[u8]) -> Mapping {
    Mapping::copy_of(bytes)
}
