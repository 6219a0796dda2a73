//! The medium for real use: a directory of the file system.
//!
//! - A file's `sync` is `fdatasync` where there is one: it makes the bytes durable and the length with which to find
//!   them, which is all that [`MediumFile::sync`] promises; times and owners do not matter to us, and would cost a
//!   journal commit. (On Apple's systems `std` uses `F_FULLFSYNC`, on Windows `FlushFileBuffers`.)
//! - Interrupted and short reads and writes are continued.
//! - Windows may refuse to remove or replace a file that is mapped; the error is passed on.
//! - Files are read through a mapping, but never written through one: a full disk would then be told by a signal.

mod platform;
#[cfg(test)]
pub(super) mod seeking;

use std::cell::Cell;
use std::fmt;
use std::fs;
use std::fs::{File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use self::platform::{Native, Positional};
use super::name::check_name;
use super::{DirectoryLock, LOCK_NAME, MappedBytes, Mapping, Medium, MediumFile};
use crate::sync::{Arc, AtomicBool, Ordering};

/// A directory of the file system.
///
/// # Examples
/// ```
/// use stillpoint_persist::medium::{FileSystem, Medium, MediumFile};
///
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("state");
/// let medium = FileSystem::open_or_create(&path)?;
/// let _lock = medium.lock()?;
///
/// let file = medium.create("greeting.tmp")?;
/// file.write_at(b"hello", 0)?;
/// file.sync()?; // the bytes are durable
/// medium.rename("greeting.tmp", "greeting")?;
/// medium.sync_directory()?; // the name is
///
/// assert_eq!(&medium.map("greeting")?[..], b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileSystem {
    path: PathBuf,
    /// Whether the directory's own name is known to be durable.
    is_durable: Arc<AtomicBool>,
}

impl FileSystem {
    /// Opens a directory, creating it and those above it if they are missing.
    ///
    /// **Durability**: the directory's own name survives power loss once [`sync_directory`](Medium::sync_directory) has returned, also
    /// if a process had created it that died before it made it durable. (Not earlier: that may take as long as all else that
    /// opening a store does.)
    ///
    /// # Errors
    /// [`io::ErrorKind::NotADirectory`] if the path is something else; whatever the file system says.
    pub fn open_or_create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let created = create_durably(&path)?;
        Ok(Self { path, is_durable: Arc::new(AtomicBool::new(created)) })
    }

    /// The directory's absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file_path(&self, name: &str) -> io::Result<PathBuf> {
        check_name(name)?;
        Ok(self.path.join(name))
    }

    fn open_as<P>(&self, name: &str, options: &OpenOptions) -> io::Result<Box<dyn MediumFile>>
    where
        P: Positional + From<File> + AsRef<File> + 'static,
    {
        let path = self.file_path(name)?;
        let file = P::from(options.open(&path)?);
        Ok(Box::new(OpenFile { file, path, one_thread: PhantomData }))
    }
}

impl Medium for FileSystem {
    fn lock(&self) -> io::Result<DirectoryLock> {
        // The file stays when the lock is let go: whoever removed it could remove one that another process has just
        // locked.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.path.join(LOCK_NAME))?;
        file.try_lock()?;
        Ok(DirectoryLock::new(file))
    }

    /// Lists the names of all files; what is no file, or has a name that is no valid one, is not ours and is left out.
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if check_name(&name).is_ok() && entry.file_type()?.is_file() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        self.open_as::<Native>(name, &creating())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        self.open_as::<Native>(name, &opening())
    }

    fn map(&self, name: &str) -> io::Result<Mapping> {
        let file = File::open(self.file_path(name)?)?;
        if file.metadata()?.len() == 0 {
            return Ok(Mapping::copy_of(&[])); // an empty range cannot be mapped
        }
        // SAFETY: memmap2 asks that nobody changes the file while it is mapped. [1] In this process: the caller of
        // `Medium::map` promises it; the engine never opens a published file for writing again, and replaces files only
        // by renaming, which leaves the mapped one as it is. [2] Other processes: the directory's lock keeps every
        // other engine from writing, and a user who edits the files by hand is outside what can be defended against, as
        // `Medium::map` says.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Mapping::new(MappedFile(map)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.file_path(from)?, self.file_path(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.file_path(name)?)
    }

    fn sync_directory(&self) -> io::Result<()> {
        // Relaxed: whoever meets it unset makes the name durable once more, which does no harm.
        if !self.is_durable.load(Ordering::Relaxed) {
            sync_parent(&self.path)?;
            self.is_durable.store(true, Ordering::Relaxed);
        }
        platform::sync_directory(&self.path)
    }

    fn location(&self) -> String {
        self.path.display().to_string()
    }
}

/// An open file; one thread at a time uses it, which the seeking twin relies on.
struct OpenFile<P> {
    file: P,
    path: PathBuf,
    one_thread: PhantomData<Cell<()>>,
}

impl<P: Positional + AsRef<File>> MediumFile for OpenFile<P> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.as_ref().metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        read_all(&self.file, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        write_all(&self.file, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.as_ref().set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.as_ref().sync_data()
    }
}

impl<P> fmt::Debug for OpenFile<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A mapped file that is not empty.
struct MappedFile(Mmap);

// SAFETY: [1] `Mmap` gives the same range until it is dropped. [2] It starts at a page, and pages are larger than 16
// bytes. [3] Nobody changes the file: argued where it is mapped.
unsafe impl MappedBytes for MappedFile {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn creating() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    options
}

fn opening() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

/// Fills the buffer, going on after interruptions and short reads.
fn read_all(file: &impl Positional, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_some(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all the bytes, going on after interruptions and short writes.
fn write_all(file: &impl Positional, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_some(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Creates the directories of an absolute path that are missing, and makes their names durable; returns whether any was missing.
///
/// Each name is made durable before the one below it is created. So if an earlier process died here, only the lowest
/// directory that it left may have a name that is not durable: its parent is synced first.
fn create_durably(path: &Path) -> io::Result<bool> {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        match fs::metadata(existing) {
            Ok(metadata) if metadata.is_dir() => break,
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(error) => {
                missing.push(existing);
                existing = existing.parent().ok_or(error)?;
            }
        }
    }
    if missing.is_empty() {
        return Ok(false);
    }
    sync_parent(existing)?;
    for directory in missing.into_iter().rev() {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Some(parent) = directory.parent() {
            platform::sync_directory(parent)?;
        }
    }
    Ok(true)
}

/// Makes a directory's own name durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent().map_or(Ok(()), platform::sync_directory) {
        // Who may not read the parent did not create anything in it either.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn missing_directories_are_created_and_existing_ones_opened() {
        let scratch = tempfile::tempdir().unwrap();
        let deep = scratch.path().join("a/b/c");
        let medium = FileSystem::open_or_create(&deep).unwrap();
        drop(medium.create("file").unwrap());
        assert_eq!(medium.path(), deep);
        assert_eq!(medium.location(), deep.display().to_string());
        assert_eq!(FileSystem::open_or_create(&deep).unwrap().list().unwrap(), ["file"]);
    }

    #[test]
    fn a_file_in_the_way_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("file"), b"").unwrap();
        for path in ["file", "file/below"] {
            let error = FileSystem::open_or_create(scratch.path().join(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotADirectory, "{path}");
        }
    }

    #[test]
    fn the_lock_is_the_directorys_and_not_the_values() {
        let scratch = tempfile::tempdir().unwrap();
        let first = FileSystem::open_or_create(scratch.path()).unwrap();
        let second = FileSystem::open_or_create(scratch.path()).unwrap();
        let lock = first.lock().unwrap();
        assert_eq!(second.lock().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        assert_eq!(second.lock().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        second.lock().unwrap();
    }

    #[test]
    fn what_is_not_ours_is_not_listed() {
        let scratch = tempfile::tempdir().unwrap();
        let medium = FileSystem::open_or_create(scratch.path()).unwrap();
        fs::create_dir(scratch.path().join("directory")).unwrap();
        fs::write(scratch.path().join("foreign\nname"), b"").unwrap();
        drop(medium.lock().unwrap());
        drop(medium.create("ours").unwrap());
        assert_eq!(medium.list().unwrap(), ["ours"]);
    }

    #[test]
    fn short_and_interrupted_calls_are_continued() {
        let file = Choppy { bytes: Mutex::new(Vec::new()), calls: Cell::new(0), room: 100 };
        let bytes: Vec<u8> = (0..90).collect();
        write_all(&file, &bytes, 10).unwrap();
        let mut buffer = [0; 90];
        read_all(&file, &mut buffer, 10).unwrap();
        assert_eq!(buffer, bytes[..]);
        assert!(file.calls.get() >= 2 * 2 * 30, "three bytes in each second call");

        assert_eq!(read_all(&file, &mut buffer, 11).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(write_all(&file, &bytes, 20).unwrap_err().kind(), io::ErrorKind::WriteZero);
    }

    /// Moves at most three bytes, in each second call; the others are interrupted.
    struct Choppy {
        bytes: Mutex<Vec<u8>>,
        calls: Cell<usize>,
        room: usize,
    }

    impl Choppy {
        fn interrupted(&self) -> io::Result<()> {
            self.calls.set(self.calls.get() + 1);
            if self.calls.get() % 2 == 1 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        }
    }

    impl Positional for Choppy {
        fn read_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.interrupted()?;
            let bytes = self.bytes.lock().unwrap();
            let rest = &bytes[(offset as usize).min(bytes.len())..];
            let count = buffer.len().min(rest.len()).min(3);
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }

        fn write_some(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            self.interrupted()?;
            let offset = offset as usize;
            let count = bytes.len().min(self.room.saturating_sub(offset)).min(3);
            let mut all = self.bytes.lock().unwrap();
            let end = (offset + count).max(all.len());
            all.resize(end, 0);
            all[offset..offset + count].copy_from_slice(&bytes[..count]);
            Ok(count)
        }
    }
}
