//! The operating system that this program runs on.
//!
//! The lock is an open-file-description lock on Linux: unlike `flock` it excludes processes on the file server
//! too, and unlike a POSIX lock it is not dropped when another descriptor of the file is closed. Elsewhere it is what
//! `fs2` has. Never both kinds on one file: they do not see one another.

use crate::os::{Access, FileSystem, Os, OsFile, PathKind, Stat};
use rand::TryRng as _;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The operating system that this program runs on.
#[derive(Clone, Copy, Debug)]
pub struct RealOs {
    start: Instant,
}

impl Default for RealOs {
    fn default() -> RealOs {
        RealOs { start: Instant::now() }
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
}

impl Os for RealOs {
    fn path_kind(&self, path: &Path) -> io::Result<PathKind> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => Ok(PathKind::File),
            Ok(found) if found.is_dir() => Ok(PathKind::Directory),
            Ok(_) => Ok(PathKind::Other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(PathKind::Missing),
            Err(error) => Err(error),
        }
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn OsFile>> {
        let write = access != Access::Read;
        let create = access == Access::Create;
        let new = access == Access::New;
        // Never truncating: what is there decides whether it is a log.
        let file =
            OpenOptions::new().read(true).write(write).create(create).create_new(new).truncate(false).open(path)?;
        Ok(Arc::new(RealFile { file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sync_dir(path)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) {
        if time.is_zero() { std::thread::yield_now() } else { std::thread::sleep(time) }
    }

    fn wall_us(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        rand::rngs::SysRng.try_fill_bytes(bytes).map_err(io::Error::other)
    }

    fn process_id(&self) -> u32 {
        std::process::id()
    }
}

impl OsFile for RealFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(&self.file, buf, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(&self.file, buf, offset);
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::write_at(&self.file, bytes, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_write(&self.file, bytes, offset);
    }

    fn bytes(&self) -> io::Result<u64> {
        // Nobody uses the descriptor's own position, and a seek takes a third of a stat's time.
        (&self.file).seek(SeekFrom::End(0))
    }

    fn stat(&self) -> io::Result<Stat> {
        let found = self.file.metadata()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            Ok(Stat { bytes: found.len(), links: found.nlink(), identity: (found.dev(), found.ino()) })
        }
        // Nothing better is stable there; a file that is open cannot be deleted anyway.
        #[cfg(not(unix))]
        Ok(Stat { bytes: found.len(), links: 1, identity: (0, 0) })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn punch(&self, offset: u64, bytes: u64) -> io::Result<()> {
        holes::punch(&self.file, offset, bytes)
    }

    fn forget(&self, offset: u64) -> io::Result<()> {
        caches::forget(&self.file, offset)
    }

    fn try_lock(&self) -> io::Result<bool> {
        locks::try_lock(&self.file)
    }

    fn unlock(&self) -> io::Result<()> {
        locks::unlock(&self.file)
    }

    fn lock_holder(&self) -> Option<String> {
        locks::holder(&self.file)
    }

    fn file_system(&self) -> io::Result<FileSystem> {
        file_systems::of(&self.file)
    }
}

#[cfg(unix)]
fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A directory cannot be opened as a file there, and its names are journalled by the file system.
#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
mod holes {
    use nix::fcntl::{FallocateFlags, fallocate};
    use std::fs::File;
    use std::io;

    pub(super) fn punch(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
        let too_far = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let (offset, bytes) = (offset.try_into().map_err(too_far)?, bytes.try_into().map_err(too_far)?);
        let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(file, mode, offset, bytes).map_err(io::Error::from)
    }
}

#[cfg(not(target_os = "linux"))]
mod holes {
    use std::fs::File;
    use std::io;

    pub(super) fn punch(_: &File, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(target_os = "linux")]
mod caches {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    use std::fs::File;
    use std::io;

    /// No page of any machine is larger, and a page is dropped as a whole or not at all.
    const PAGE_BYTES_MAX: u64 = 64 << 10;

    pub(super) fn forget(file: &File, offset: u64) -> io::Result<()> {
        if !super::file_systems::of(file)?.network {
            return Ok(());
        }
        let from = (offset - offset % PAGE_BYTES_MAX).try_into();
        let from = from.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        posix_fadvise(file, from, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).map_err(io::Error::from)
    }
}

#[cfg(not(target_os = "linux"))]
mod caches {
    use std::fs::File;
    use std::io;

    pub(super) fn forget(_: &File, _: u64) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod locks {
    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    pub(super) fn try_lock(file: &File) -> io::Result<bool> {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(super) fn unlock(file: &File) -> io::Result<()> {
        fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_UNLCK))).map(drop).map_err(io::Error::from)
    }

    fn whole_file(kind: libc::c_int) -> libc::flock {
        libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        }
    }

    /// Such a lock has no process in the kernel's own list, but the descriptor that holds it shows it.
    pub(super) fn holder(file: &File) -> Option<String> {
        let found = file.metadata().ok()?;
        let identity = (found.dev(), found.ino());
        std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            holds(&entry.path(), identity).then(|| name(pid, &entry.path()))
        })
    }

    fn holds(process: &Path, identity: (u64, u64)) -> bool {
        let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else {
            return false;
        };
        descriptors.flatten().any(|descriptor| {
            std::fs::metadata(descriptor.path()).is_ok_and(|found| (found.dev(), found.ino()) == identity)
                && std::fs::read_to_string(process.join("fdinfo").join(descriptor.file_name()))
                    .is_ok_and(|info| info.lines().any(|line| line.starts_with("lock:")))
        })
    }

    fn name(pid: u32, process: &Path) -> String {
        let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&command).replace('\0', " ");
        let short: String = words.trim().chars().take(120).collect();
        if pid == std::process::id() {
            format!("another handle in this process ({pid})")
        } else {
            format!("process {pid} ({short})")
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod locks {
    use std::fs::File;
    use std::io;

    pub(super) fn try_lock(file: &File) -> io::Result<bool> {
        match fs2::FileExt::try_lock_exclusive(file) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn unlock(file: &File) -> io::Result<()> {
        fs2::FileExt::unlock(file)
    }

    pub(super) fn holder(_: &File) -> Option<String> {
        None
    }
}

#[cfg(target_os = "linux")]
mod file_systems {
    use crate::mounts::{classify, mount_of_device, parse_mounts};
    use crate::os::FileSystem;
    use nix::sys::stat::{major, minor};
    use nix::sys::statfs::fstatfs;
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::MetadataExt as _;

    pub(super) fn of(file: &File) -> io::Result<FileSystem> {
        // The field's type differs between platforms; the numbers have 32 bits on all.
        let kind = fstatfs(file)?.filesystem_type().0 as u32;
        if !classify(Some(kind), None).network {
            return Ok(classify(Some(kind), None));
        }
        let device = file.metadata()?.dev();
        let mounts = parse_mounts(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
        Ok(classify(Some(kind), mount_of_device(&mounts, major(device), minor(device))))
    }
}

#[cfg(not(target_os = "linux"))]
mod file_systems {
    use crate::os::FileSystem;
    use std::fs::File;
    use std::io;

    /// Not known here: say so with the options.
    pub(super) fn of(_: &File) -> io::Result<FileSystem> {
        Ok(FileSystem { name: String::from("local"), network: false, lock_doubt: None })
    }
}
