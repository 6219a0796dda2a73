//! The storage medium: one directory of flat files.
//!
//! Everything that persistence does to the outside world goes through [`Medium`] and [`MediumFile`], so that the same
//! code runs over the file system ([`FileSystem`]) and over a disk in memory ([`SimulatedDisk`]) that loses, tears and
//! reorders what was not made durable and that fails any call.
//!
//! What the engine assumes of a medium, and the simulated one breaks everywhere else:
//! - bytes of a file are durable once [`MediumFile::sync`] has returned `Ok` after they were written, and not before;
//! - a name (created, renamed, removed) is durable once [`Medium::sync_directory`] has returned `Ok` after the change;
//! - a rename is atomic: after a crash the name holds the old file or the new one;
//! - nothing else is ordered: of what was not synced, any subset of sectors may survive a crash.

#[cfg(test)]
mod conformance;
mod fs;
mod name;
pub mod sim;

use std::fmt;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

pub use self::fs::FileSystem;
pub use self::name::{InvalidName, LOCK_NAME};
pub use self::sim::SimulatedDisk;

/// A directory of flat files, as persistence sees it.
///
/// Names are flat. Every call that takes one refuses, with [`io::ErrorKind::InvalidInput`] and an [`InvalidName`]
/// inside, a name that is empty or longer than 255 bytes, has a path separator, colon or control character, is `.` or
/// `..`, or is the lock's ([`LOCK_NAME`]). Calls on a name that no file has fail with [`io::ErrorKind::NotFound`].
pub trait Medium: Send + Sync + fmt::Debug + 'static {
    /// Takes the directory's exclusive lock, held until the guard is dropped (or the process dies).
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if anyone, this process included, holds it.
    fn lock(&self) -> io::Result<DirectoryLock>;

    /// Lists the names of all files, in no particular order; the lock's own file is left out.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates a file and opens it for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken.
    fn create(&self, name: &str) -> io::Result<Box<dyn MediumFile>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn MediumFile>>;

    /// Maps a whole file read-only. An empty file gives an empty slice.
    ///
    /// The caller promises that nobody changes a file that is mapped: map what is published, and publish by renaming.
    /// Another process that writes to such a file against the directory's lock is outside what can be defended against.
    fn map(&self, name: &str) -> io::Result<Mapping>;

    /// Renames a file, replacing what has the new name. Atomic, durable after [`sync_directory`](Self::sync_directory).
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file's name; mappings and open files of it stay valid.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all creations, renames and removals so far durable.
    fn sync_directory(&self) -> io::Result<()>;

    /// Where the directory is, for error messages.
    fn location(&self) -> String;
}

/// An open file of a [`Medium`].
pub trait MediumFile: Send + fmt::Debug {
    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills the whole buffer from `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before the buffer is full.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all bytes at `offset`, growing the file if need be.
    ///
    /// # Errors
    /// On an error any part of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes all that was written, and the length, durable.
    ///
    /// # Errors
    /// After an error nothing may be assumed of any byte written since the last success, also if a later call succeeds.
    fn sync(&self) -> io::Result<()>;
}

/// Holds a directory's exclusive lock until it is dropped.
pub struct DirectoryLock {
    _guard: Box<dyn Send + Sync>,
}

impl DirectoryLock {
    /// Wraps whatever a medium holds for as long as the lock is held.
    pub fn new(guard: impl Send + Sync + 'static) -> Self {
        Self { _guard: Box::new(guard) }
    }
}

impl fmt::Debug for DirectoryLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryLock").finish_non_exhaustive()
    }
}

/// The bytes of a whole file, mapped or copied; cheap to clone, aligned at least to 16 bytes.
#[derive(Clone)]
pub struct Mapping {
    bytes: Arc<dyn MappedBytes>,
}

/// What a [`Mapping`] is made of.
///
/// # Safety
/// Bytes of a mapping are verified once and then trusted. So, as long as the value lives, wherever it is moved:
/// 1. [`bytes`](Self::bytes) gives the same range each time;
/// 2. the range starts at a multiple of 16, also if it is empty;
/// 3. nobody changes the bytes.
pub unsafe trait MappedBytes: Send + Sync + 'static {
    /// All the bytes.
    fn bytes(&self) -> &[u8];
}

impl Mapping {
    /// Wraps a medium's mapped bytes.
    pub fn new(bytes: impl MappedBytes) -> Self {
        Self { bytes: Arc::new(bytes) }
    }

    /// Copies bytes into memory of their own: no later fault of the disk reaches them.
    ///
    /// # Examples
    /// ```
    /// use stillpoint_persist::medium::Mapping;
    ///
    /// let mapping = Mapping::copy_of(b"state");
    /// assert_eq!(&mapping[..], b"state");
    /// assert_eq!(mapping.as_ptr().align_offset(16), 0);
    /// ```
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = vec![0; bytes.len() + ALIGNMENT].into_boxed_slice();
        let start = buffer.as_ptr().align_offset(ALIGNMENT);
        let range = start..start + bytes.len();
        buffer[range.clone()].copy_from_slice(bytes);
        Self::new(CopiedBytes { buffer, range })
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.bytes()
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("len", &self.len()).finish()
    }
}

/// Bytes in a buffer with room to start at an aligned address.
struct CopiedBytes {
    buffer: Box<[u8]>,
    range: Range<usize>,
}

// SAFETY: [1] [3] The buffer is on the heap, owned, and never changed, moved or replaced after it was built. [2] The
// range was made to start at an aligned address of this very buffer.
unsafe impl MappedBytes for CopiedBytes {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

/// What an archive needs in order to be used in place.
const ALIGNMENT: usize = 16;
