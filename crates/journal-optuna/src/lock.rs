//! Optuna's two locks: a symbolic link, or a file, with the journal's name and `.lock` behind it, that only one process
//! can make. Both have one name, so that they exclude one another.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use trialog_journal::Error;

/// Which of Optuna's locks to make. Either is respected, whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// `JournalFileSymlinkLock`: a symbolic link. Needs a privilege on Windows.
    Symlink,
    /// `JournalFileOpenLock`: a file that must not be there.
    Open,
}

impl Default for LockKind {
    fn default() -> LockKind {
        if cfg!(windows) { LockKind::Open } else { LockKind::Symlink }
    }
}

/// Pauses between attempts. Optuna goes from a thousandth of a second to a whole one; whoever waits less often gets
/// the lock less often, and the attempt itself costs next to nothing.
const PAUSE_MIN: Duration = Duration::from_micros(50);
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// Tells apart the names that this process gives to locks that it removes.
static RELEASES: AtomicU64 = AtomicU64::new(0);

/// Where a journal and its lock lie.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    pub(crate) kind: LockKind,
    pub(crate) journal: PathBuf,
    path: PathBuf,
    /// After how long without any change a lock counts as left behind.
    pub(crate) grace: Duration,
    pub(crate) wait_max: Duration,
}

/// The lock, until it is dropped.
pub(crate) struct Held<'a> {
    lock: &'a Lock,
    /// What tells it from a lock that somebody else has made in its place.
    made: Option<Mark>,
}

/// What can be seen of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// Device and inode, where there are such things.
    identity: (u64, u64),
    modified: Option<SystemTime>,
}

impl Mark {
    fn of(path: &Path) -> io::Result<Mark> {
        let found = fs::symlink_metadata(path)?;
        Ok(Mark { identity: identity(&found), modified: found.modified().ok() })
    }
}

#[cfg(unix)]
pub(crate) fn identity(found: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (found.dev(), found.ino())
}

/// Elsewhere there is no number to tell files apart by; their times do.
#[cfg(not(unix))]
pub(crate) fn identity(_: &fs::Metadata) -> (u64, u64) {
    (0, 0)
}

impl Lock {
    pub(crate) fn new(kind: LockKind, journal: &Path, grace: Duration, wait_max: Duration) -> Lock {
        let mut path = journal.as_os_str().to_owned();
        path.push(".lock");
        Lock { kind, journal: journal.to_path_buf(), path: path.into(), grace, wait_max }
    }

    /// Waits for the lock. One that nobody has touched for the grace period is removed, as Optuna does.
    pub(crate) fn acquire(&self) -> Result<Held<'_>, Error> {
        let start = Instant::now();
        let mut pause = PAUSE_MIN;
        let mut sight = None;
        let mut unchanged_since = start;
        loop {
            match self.make() {
                Ok(()) => return Ok(Held { lock: self, made: Mark::of(&self.path).ok() }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(self.error("lock", source)),
            }
            let now = self.look();
            if now.is_none() || now != sight {
                (sight, unchanged_since) = (now, Instant::now());
            } else if unchanged_since.elapsed() > self.grace {
                self.remove_left_behind(now.map(|(mark, _)| mark));
                pause = PAUSE_MIN;
                continue;
            }
            if start.elapsed() > self.wait_max {
                return Err(Error::Locked {
                    location: self.journal.display().to_string(),
                    waited: start.elapsed(),
                    holder: None,
                });
            }
            sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn make(&self) -> io::Result<()> {
        match self.kind {
            LockKind::Symlink => {
                // Of the name alone, so that it leads to the journal from wherever it is looked at: Optuna takes the
                // age of a lock from where the link leads, and with the path as it was given a relative one leads nowhere.
                let target = self.journal.file_name().map_or(self.journal.as_path(), Path::new);
                symlink(target, &self.path)
            }
            LockKind::Open => OpenOptions::new().write(true).create_new(true).open(&self.path).map(drop),
        }
    }

    /// What there is to see: the lock itself, and when the journal was last written. Any change shows that somebody
    /// is at work. A link of Optuna's that leads nowhere has an age, too.
    fn look(&self) -> Option<(Mark, Option<SystemTime>)> {
        let mark = Mark::of(&self.path).ok()?;
        Some((mark, fs::metadata(&self.journal).and_then(|found| found.modified()).ok()))
    }

    /// Removes the lock that was seen, by its mark, unless somebody else has just done so.
    fn remove_left_behind(&self, seen: Option<Mark>) {
        if Mark::of(&self.path).ok() != seen {
            return;
        }
        let aside = self.aside();
        if fs::rename(&self.path, &aside).is_err() {
            return;
        }
        // Between the look and the move another one may have removed it and a third one made a new lock: give it back.
        if Mark::of(&aside).ok() != seen {
            let _ = fs::hard_link(&aside, &self.path);
        }
        let _ = fs::remove_file(&aside);
    }

    /// A name for a lock on its way out, which tells no two of them alike.
    fn aside(&self) -> PathBuf {
        let count = RELEASES.fetch_add(1, Ordering::Relaxed);
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!("{:x}-{nanos:x}-{count:x}.rename", std::process::id()));
        name.into()
    }

    fn error(&self, action: &'static str, source: io::Error) -> Error {
        Error::Io { location: self.journal.display().to_string(), action, source }
    }
}

impl Held<'_> {
    /// True if the lock is still the one that was made: nobody took this process for dead.
    pub(crate) fn is_ours(&self) -> bool {
        match (self.made, Mark::of(&self.lock.path)) {
            (Some(made), Ok(now)) => made == now,
            _ => false,
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Under Optuna's rules a lock is moved and then removed, so that of several who remove it one succeeds.
        if self.is_ours() {
            let aside = self.lock.aside();
            if fs::rename(&self.lock.path, &aside).is_ok() {
                let _ = fs::remove_file(&aside);
            }
        }
    }
}

#[cfg(unix)]
fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, path)
}
