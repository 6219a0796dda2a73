//! What differs between operating systems: reading and writing at an offset, and making names durable.
//!
//! Unix has calls that take an offset; the twin for all other systems seeks first. Both are compiled on Unix, so that
//! one machine tests both.

use std::fs::File;
use std::io;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Reads and writes at an offset, perhaps less than asked for: what an operating system offers.
pub(super) trait Positional: Send {
    /// Reads some bytes; 0 at the end of the file.
    fn read_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of the bytes; 0 if the file takes no more.
    fn write_some(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
}

/// The twin that this system's files use.
#[cfg(unix)]
pub(super) type Native = ByOffset;
/// The twin that this system's files use.
#[cfg(not(unix))]
pub(super) type Native = BySeek;

/// One call for each operation (`pread`, `pwrite`); leaves the file's cursor alone.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct ByOffset(File);

/// Moves the file's cursor, then reads or writes.
///
/// Each handle has a cursor of its own and is not shared between threads (it is not `Sync`, see `OpenFile`), so that
/// nobody can move the cursor in between.
#[cfg_attr(all(unix, not(test)), expect(dead_code, reason = "the twin for other systems, tested here"))]
#[derive(Debug)]
pub(super) struct BySeek(File);

#[cfg(unix)]
impl Positional for ByOffset {
    fn read_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buffer, offset)
    }

    fn write_some(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&self.0, bytes, offset)
    }
}

impl Positional for BySeek {
    fn read_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut file = &self.0;
        file.seek(SeekFrom::Start(offset))?;
        file.read(buffer)
    }

    fn write_some(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut file = &self.0;
        file.seek(SeekFrom::Start(offset))?;
        file.write(bytes)
    }
}

#[cfg(unix)]
impl From<File> for ByOffset {
    fn from(file: File) -> Self {
        Self(file)
    }
}

#[cfg(unix)]
impl AsRef<File> for ByOffset {
    fn as_ref(&self) -> &File {
        &self.0
    }
}

impl From<File> for BySeek {
    fn from(file: File) -> Self {
        Self(file)
    }
}

impl AsRef<File> for BySeek {
    fn as_ref(&self) -> &File {
        &self.0
    }
}

/// Makes the names in a directory durable.
///
/// Elsewhere than on Unix a directory cannot be synced as a file can; there this does nothing, and names are as durable
/// as the file system makes them by itself (NTFS writes them to its journal, in order, before they are visible after a
/// crash).
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
