//! All that the file journal asks of an operating system. Whoever implements these two traits decides what the
//! journal believes about files, locks and time: the real system does, and so do simulated ones in tests.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing; a lock can be had only on such a file.
    Write,
    /// Reading and writing, and the file is made if there is none.
    Create,
    /// Reading and writing a file that is made by this call; one that is there already is an error.
    New,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Nothing.
    Missing,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Something else, such as a pipe, which must not even be opened.
    Other,
}

/// What is known about an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its length.
    pub bytes: u64,
    /// How many names it has; none means that it was deleted.
    pub links: u64,
    /// Device and inode, which tell it from all other files of this system.
    pub identity: (u64, u64),
}

/// The file system that holds a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// What to call it in messages.
    pub name: String,
    /// Whether other machines may have the file open as well.
    pub network: bool,
    /// Why locks on this file system may not exclude other machines, if that is known.
    pub lock_doubt: Option<String>,
}

/// The operating system, as far as the journal needs one.
pub trait Os: Debug + Send + Sync {
    /// What stands at a path; a file without permission to look at it is an error.
    ///
    /// # Errors
    /// What the system says.
    fn path_kind(&self, path: &Path) -> io::Result<PathKind>;

    /// Opens a file. Each call makes a descriptor with a lock owner of its own.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn OsFile>>;

    /// Gives a file another name, in the place of what had it.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The names in a directory, as they are now: over a network this makes the system look again, so that a name that
    /// was missing a moment ago can be opened.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::Unsupported`] where directories cannot be listed.
    fn list_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes a file's name. Descriptors keep the file, except over a network.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::Unsupported`] where names cannot be removed.
    fn unlink(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Time since some fixed moment.
    fn monotonic(&self) -> Duration;

    /// Waits; no time at all means to let others run.
    fn sleep(&self, time: Duration);

    /// Microseconds since 1970-01-01 UTC.
    fn wall_us(&self) -> i64;

    /// Fills `bytes` with random ones.
    ///
    /// # Errors
    /// What the system says.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;

    /// The number of this process, which changes in a forked child.
    fn process_id(&self) -> u32;
}

/// An open file.
pub trait OsFile: Debug + Send + Sync {
    /// Reads at a place; may read less than asked for, and nothing only at the end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes at a place and returns how many bytes were taken.
    ///
    /// # Errors
    /// What the system says.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Its length, and no more: the cheapest look there is. On a network file system only [`OsFile::stat`] asks
    /// the server.
    ///
    /// # Errors
    /// What the system says.
    fn bytes(&self) -> io::Result<u64>;

    /// Length, names, identity.
    ///
    /// # Errors
    /// What the system says.
    fn stat(&self) -> io::Result<Stat>;

    /// Makes the bytes and the length durable.
    ///
    /// # Errors
    /// What the system says. Only the first error of a file tells the truth.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Gives back the space of a stretch, which reads as zeros from then on; the file keeps its length.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::Unsupported`] where files cannot have holes.
    fn punch(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let _ = (offset, bytes);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Has a network client drop what it keeps in memory of the file from `offset` on, but for what it still has to write:
    /// reads without the lock may otherwise be answered with old bytes for as long as nobody changes the file. Local
    /// file systems have nothing to drop.
    ///
    /// # Errors
    /// What the system says.
    fn forget(&self, offset: u64) -> io::Result<()> {
        let _ = offset;
        Ok(())
    }

    /// Takes the exclusive lock on the file, or returns `false` if another descriptor holds it.
    ///
    /// # Errors
    /// What the system says if there are no locks to be had.
    fn try_lock(&self) -> io::Result<bool>;

    /// Gives the lock back.
    ///
    /// # Errors
    /// What the system says.
    fn unlock(&self) -> io::Result<()>;

    /// Who holds the lock, as far as that can be found out.
    fn lock_holder(&self) -> Option<String>;

    /// What the file lies on.
    ///
    /// # Errors
    /// What the system says.
    fn file_system(&self) -> io::Result<FileSystem>;
}
