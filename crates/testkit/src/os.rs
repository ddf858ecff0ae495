//! A machine in memory: files that forget what was not synced, locks, a clock that only sleeping moves, and
//! a fault at whichever call a test chooses. Everything it does follows from the calls made and the seeds given.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use trialog_journal_file::os::{Access, FileSystem, Os, OsFile, PathKind, Stat};

use crate::stale::Stale;

const SECTOR_BYTES: usize = 512;

/// A process on a machine. [`FakeOs::process`] makes another one on the same machine.
#[derive(Debug)]
pub struct FakeOs {
    world: Arc<Mutex<World>>,
    process: AtomicU32,
    stale: Option<Arc<Stale>>,
}

/// The calls that can be made to fail, one name for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the method of its name in `Os` or `OsFile`")]
pub enum Call {
    PathKind,
    Open,
    Rename,
    ListDir,
    Unlink,
    SyncDir,
    Random,
    ReadAt,
    WriteAt,
    Bytes,
    Stat,
    SyncData,
    Truncate,
    Punch,
    TryLock,
    Unlock,
    FileSystem,
}

impl Call {
    /// All of them.
    pub const ALL: [Call; 17] = [
        Call::PathKind,
        Call::Open,
        Call::Rename,
        Call::ListDir,
        Call::Unlink,
        Call::SyncDir,
        Call::Random,
        Call::ReadAt,
        Call::WriteAt,
        Call::Bytes,
        Call::Stat,
        Call::SyncData,
        Call::Truncate,
        Call::Punch,
        Call::TryLock,
        Call::Unlock,
        Call::FileSystem,
    ];
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// With this error number, and without effect. A failed sync leaves what it should have synced forever unsynced,
    /// though visible, as Linux does.
    Errno(i32),
    /// A write takes, or a read gives, only this many bytes.
    Short(usize),
    /// The process is killed; a write has taken this many bytes by then.
    Kill(usize),
    /// The machine loses power; a write has taken this many bytes by then.
    PowerCut(usize, Survival),
}

/// What remains of unsynced changes after a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// None of them.
    Nothing,
    /// All of them.
    Everything,
    /// The lengths of files, with zeros where their bytes are missing.
    Lengths,
    /// Any sectors and names, as this seed has it, with zeros where bytes are missing.
    Some(u64),
}

/// A promise that a machine breaks, to see whether a test would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Every attempt gets the lock.
    LocksExcludeNobody,
    /// A sync makes nothing durable, and says it did.
    SyncsDoNothing,
}

#[derive(Debug, Default)]
struct World {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    inodes: Vec<Inode>,
    dead: BTreeSet<u32>,
    /// How often the machine lost power: descriptors of an earlier time are dead.
    boots: u32,
    descriptors: u64,
    clock: Duration,
    random: u64,
    calls: Vec<Call>,
    faults: Vec<Fault>,
    network: bool,
    lock_doubt: Option<String>,
    lie: Option<Lie>,
    arrivals: Vec<Arrival>,
}

/// Bytes of a file that are there after so many sleeps.
#[derive(Debug)]
struct Arrival {
    sleeps: u32,
    path: PathBuf,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Changes since the last sync.
    pending: Vec<Change>,
    /// The descriptor that holds the lock, and its process.
    lock: Option<(u64, u32)>,
    write_protected: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
    Punch(usize, usize),
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    /// Which calls count; `None` counts all.
    call: Option<Call>,
    /// How many of them go well before.
    after: usize,
    failure: Failure,
    lasting: bool,
}

#[derive(Debug)]
struct FakeFile {
    world: Arc<Mutex<World>>,
    inode: usize,
    descriptor: u64,
    process: u32,
    boot: u32,
    writable: bool,
    stale: Option<Arc<Stale>>,
}

impl Default for FakeOs {
    fn default() -> FakeOs {
        FakeOs::new()
    }
}

impl FakeOs {
    /// A machine without files, and process 1 on it.
    #[must_use]
    pub fn new() -> FakeOs {
        FakeOs { world: Arc::default(), process: AtomicU32::new(1), stale: None }
    }

    /// Another process on the same machine. A number that was killed is alive again.
    #[must_use]
    pub fn process(&self, process: u32) -> FakeOs {
        self.world().dead.remove(&process);
        FakeOs { world: Arc::clone(&self.world), process: AtomicU32::new(process), stale: None }
    }

    /// A network client that has a stretch of every file that it opens from now on as zeros, until it is told to forget them; if
    /// it does as it is told.
    #[must_use]
    pub fn with_stale(self, stretch: Range<u64>, forgets: bool) -> FakeOs {
        FakeOs { stale: Some(Arc::new(Stale::new(stretch, forgets))), ..self }
    }

    /// How often such a client was told to forget something.
    #[must_use]
    pub fn forget_calls(&self) -> u32 {
        self.stale.as_ref().map_or(0, |stale| stale.asked())
    }

    /// As a fork has it for the child: the same descriptors, another process.
    pub fn fork(&self, process: u32) {
        self.process.store(process, Ordering::Relaxed);
    }

    /// The `after`-th call from now on, counted from 0, fails; of those named, if one is named.
    pub fn fail(&self, call: Option<Call>, after: usize, failure: Failure) {
        self.world().faults.push(Fault { call, after, failure, lasting: false });
    }

    /// As [`FakeOs::fail`], and so do all such calls after it.
    pub fn fail_for_good(&self, call: Option<Call>, after: usize, failure: Failure) {
        self.world().faults.push(Fault { call, after, failure, lasting: true });
    }

    /// Forgets all faults that have not struck, and says whether there were none.
    pub fn heal(&self) -> bool {
        let mut world = self.world();
        let all_struck = world.faults.iter().all(|fault| fault.lasting);
        world.faults.clear();
        all_struck
    }

    /// All calls so far that may fail.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.world().calls.clone()
    }

    /// How many calls so far changed what a loss of power leaves.
    #[must_use]
    pub fn durable_steps(&self) -> usize {
        self.calls().iter().filter(|call| matches!(call, Call::SyncData | Call::SyncDir)).count()
    }

    /// Kills this process: its locks are free, and its calls fail from now on.
    pub fn kill(&self) {
        self.world().kill(self.process.load(Ordering::Relaxed));
    }

    /// Cuts the power and boots again: all descriptors are dead, and unsynced changes are what `survival` says.
    pub fn power_cut(&self, survival: Survival) {
        self.world().power_cut(survival);
    }

    /// The bytes of a file, if there is one.
    #[must_use]
    pub fn file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let world = self.world();
        world.names.get(path.as_ref()).map(|&inode| world.inodes[inode].bytes.clone())
    }

    /// Changes a file's bytes behind everyone's back, durably; makes it if there is none.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        self.world().put(path.as_ref(), bytes);
    }

    /// As [`FakeOs::put`], at the so-manieth sleep from now on, counted from 1.
    pub fn put_late(&self, sleeps: u32, path: impl AsRef<Path>, bytes: &[u8]) {
        let arrival = Arrival { sleeps, path: path.as_ref().to_path_buf(), bytes: bytes.to_vec() };
        self.world().arrivals.push(arrival);
    }

    /// Removes a name; descriptors keep the file.
    pub fn remove(&self, path: impl AsRef<Path>) {
        let mut world = self.world();
        world.names.remove(path.as_ref());
        world.durable_names.remove(path.as_ref());
    }

    /// Forbids opening a file for writing.
    pub fn write_protect(&self, path: impl AsRef<Path>) {
        let mut world = self.world();
        let inode = world.create(path.as_ref());
        world.inodes[inode].write_protected = true;
    }

    /// Puts all files on a network file system, whose locks may be doubtful.
    pub fn mount_network(&self, lock_doubt: Option<&str>) {
        let mut world = self.world();
        world.network = true;
        world.lock_doubt = lock_doubt.map(String::from);
    }

    /// Breaks a promise from now on.
    pub fn lie(&self, lie: Lie) {
        self.world().lie = Some(lie);
    }

    /// Keeps all promises again.
    pub fn lie_no_more(&self) {
        self.world().lie = None;
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    fn enter(&self, call: Call) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.world();
        let process = self.process.load(Ordering::Relaxed);
        match world.strike(call, process)? {
            Some(Failure::Kill(_)) => Err(world.kill(process)),
            Some(Failure::PowerCut(_, survival)) => Err(world.power_cut(survival)),
            Some(Failure::Errno(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Failure::Short(_)) | None => Ok(world),
        }
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn dead() -> io::Error {
    io::Error::other("this process is dead")
}

impl World {
    /// Counts a call, and returns how it fails if it does.
    fn strike(&mut self, call: Call, process: u32) -> io::Result<Option<Failure>> {
        if self.dead.contains(&process) {
            return Err(dead());
        }
        self.calls.push(call);
        let mut failure = None;
        self.faults.retain_mut(|fault| {
            if fault.call.is_some_and(|named| named != call) {
                return true;
            }
            if fault.after > 0 {
                fault.after -= 1;
                return true;
            }
            failure = failure.or(Some(fault.failure));
            fault.lasting
        });
        Ok(failure)
    }

    fn create(&mut self, path: &Path) -> usize {
        if let Some(&inode) = self.names.get(path) {
            return inode;
        }
        self.inodes.push(Inode::default());
        self.names.insert(path.to_path_buf(), self.inodes.len() - 1);
        self.inodes.len() - 1
    }

    fn put(&mut self, path: &Path, bytes: &[u8]) {
        let inode = self.create(path);
        self.durable_names = self.names.clone();
        self.inodes[inode].bytes = bytes.to_vec();
        self.inodes[inode].durable = bytes.to_vec();
        self.inodes[inode].pending.clear();
    }

    fn kill(&mut self, process: u32) -> io::Error {
        self.dead.insert(process);
        for inode in &mut self.inodes {
            inode.lock = inode.lock.filter(|(_, holder)| *holder != process);
        }
        dead()
    }

    fn power_cut(&mut self, survival: Survival) -> io::Error {
        self.boots += 1;
        self.dead.clear();
        let mut random = Random(if let Survival::Some(seed) = survival { seed } else { 0 });
        for inode in &mut self.inodes {
            inode.lose_power(survival, &mut random);
        }
        let mut names = std::mem::take(&mut self.names);
        names.retain(|name, _| match survival {
            Survival::Nothing => self.durable_names.contains_key(name),
            Survival::Everything | Survival::Lengths => true,
            Survival::Some(_) => self.durable_names.contains_key(name) || random.coin(),
        });
        // A name that was removed may come back.
        for (name, inode) in &self.durable_names {
            let comes_back = match survival {
                Survival::Nothing => true,
                Survival::Everything | Survival::Lengths => false,
                Survival::Some(_) => random.coin(),
            };
            if comes_back {
                names.entry(name.clone()).or_insert(*inode);
            }
        }
        self.durable_names = names.clone();
        self.names = names;
        dead()
    }

    fn next_random(&mut self) -> u64 {
        self.random += 1;
        Random(self.random).next()
    }
}

impl Inode {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write(offset, written) => {
                bytes.resize(bytes.len().max(offset + written.len()), 0);
                bytes[*offset..offset + written.len()].copy_from_slice(written);
            }
            Change::Truncate(length) => bytes.resize(*length, 0),
            Change::Punch(offset, end) => {
                let end = (*end).min(bytes.len());
                bytes[(*offset).min(end)..end].fill(0);
            }
        }
    }

    fn change(&mut self, change: Change) {
        Inode::apply(&mut self.bytes, &change);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            Inode::apply(&mut self.durable, &change);
        }
    }

    fn lose_power(&mut self, survival: Survival, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        for change in &pending {
            match (survival, change) {
                (Survival::Nothing, _) => {}
                (Survival::Everything, _) | (Survival::Lengths, Change::Truncate(_) | Change::Punch(..)) => {
                    Inode::apply(&mut self.durable, change);
                }
                (Survival::Lengths, Change::Write(offset, bytes)) => {
                    let end = offset + bytes.len();
                    self.durable.resize(self.durable.len().max(end), 0);
                }
                (Survival::Some(_), Change::Truncate(_) | Change::Punch(..)) if random.coin() => {
                    Inode::apply(&mut self.durable, change);
                }
                (Survival::Some(_), Change::Truncate(_) | Change::Punch(..)) => {}
                (Survival::Some(_), Change::Write(offset, bytes)) => self.keep_sectors(*offset, bytes, random),
            }
        }
        self.bytes = self.durable.clone();
        self.lock = None;
    }

    /// A disk writes whole sectors, in any order.
    fn keep_sectors(&mut self, offset: usize, bytes: &[u8], random: &mut Random) {
        let mut at = offset;
        while at < offset + bytes.len() {
            let end = (at / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES).min(offset + bytes.len());
            if random.coin() {
                let written = bytes[at - offset..end - offset].to_vec();
                Inode::apply(&mut self.durable, &Change::Write(at, written));
            }
            at = end;
        }
    }
}

impl Os for FakeOs {
    fn path_kind(&self, path: &Path) -> io::Result<PathKind> {
        let world = self.enter(Call::PathKind)?;
        Ok(if world.names.contains_key(path) { PathKind::File } else { PathKind::Missing })
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn OsFile>> {
        let mut world = self.enter(Call::Open)?;
        let inode = match world.names.get(path) {
            Some(_) if access == Access::New => return Err(io::ErrorKind::AlreadyExists.into()),
            Some(&inode) => inode,
            None if matches!(access, Access::Create | Access::New) => world.create(path),
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let writable = access != Access::Read;
        if writable && world.inodes[inode].write_protected {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        world.descriptors += 1;
        let (descriptor, boot) = (world.descriptors, world.boots);
        let process = self.process.load(Ordering::Relaxed);
        let (world, stale) = (Arc::clone(&self.world), self.stale.clone());
        Ok(Arc::new(FakeFile { world, inode, descriptor, process, boot, writable, stale }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.enter(Call::Rename)?;
        let inode = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_path_buf(), inode);
        Ok(())
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let world = self.enter(Call::ListDir)?;
        let inside = world.names.keys().filter(|name| name.parent() == Some(path));
        Ok(inside.filter_map(|name| name.file_name().map(OsString::from)).collect())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut world = self.enter(Call::Unlink)?;
        world.names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut world = self.enter(Call::SyncDir)?;
        world.durable_names = world.names.clone();
        Ok(())
    }

    fn monotonic(&self) -> Duration {
        self.world().clock
    }

    fn sleep(&self, time: Duration) {
        let mut world = self.world();
        world.clock += time.max(Duration::from_nanos(100));
        world.arrivals.iter_mut().for_each(|arrival| arrival.sleeps -= 1);
        for arrival in world.arrivals.extract_if(.., |arrival| arrival.sleeps == 0).collect::<Vec<_>>() {
            world.put(&arrival.path, &arrival.bytes);
        }
        drop(world);
        std::thread::yield_now();
    }

    fn wall_us(&self) -> i64 {
        i64::try_from(self.world().clock.as_micros()).unwrap_or(i64::MAX)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut world = self.enter(Call::Random)?;
        bytes.fill_with(|| world.next_random() as u8);
        Ok(())
    }

    fn process_id(&self) -> u32 {
        self.process.load(Ordering::Relaxed)
    }
}

impl FakeFile {
    /// Counts a call; what it must do before it fails, or in place of all, is in the failure.
    fn enter(&self, call: Call) -> io::Result<(MutexGuard<'_, World>, Option<Failure>)> {
        let mut world = lock(&self.world);
        if world.boots != self.boot {
            return Err(dead());
        }
        match world.strike(call, self.process)? {
            Some(Failure::Errno(errno)) => {
                if call == Call::SyncData {
                    world.inodes[self.inode].pending.clear();
                }
                Err(io::Error::from_raw_os_error(errno))
            }
            failure => Ok((world, failure)),
        }
    }

    /// For calls that are done whole or not at all.
    fn enter_whole(&self, call: Call) -> io::Result<MutexGuard<'_, World>> {
        let (mut world, failure) = self.enter(call)?;
        match failure {
            Some(Failure::Kill(_)) => Err(world.kill(self.process)),
            Some(Failure::PowerCut(_, survival)) => Err(world.power_cut(survival)),
            _ => Ok(world),
        }
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl OsFile for FakeFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let (mut world, failure) = self.enter(Call::ReadAt)?;
        match failure {
            Some(Failure::Kill(_)) => return Err(world.kill(self.process)),
            Some(Failure::PowerCut(_, survival)) => return Err(world.power_cut(survival)),
            _ => {}
        }
        let bytes = &world.inodes[self.inode].bytes;
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let limit = if let Some(Failure::Short(bytes)) = failure { bytes.max(1) } else { buf.len() };
        let n = rest.len().min(buf.len()).min(limit);
        buf[..n].copy_from_slice(&rest[..n]);
        if let Some(stale) = &self.stale {
            stale.cover(offset, &mut buf[..n]);
        }
        Ok(n)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.check_writable()?;
        let (mut world, failure) = self.enter(Call::WriteAt)?;
        let taken = match failure {
            Some(Failure::Short(taken) | Failure::Kill(taken) | Failure::PowerCut(taken, _)) => {
                taken.min(bytes.len())
            }
            _ => bytes.len(),
        };
        if taken > 0 {
            world.inodes[self.inode].change(Change::Write(offset as usize, bytes[..taken].to_vec()));
        }
        match failure {
            Some(Failure::Kill(_)) => Err(world.kill(self.process)),
            Some(Failure::PowerCut(_, survival)) => Err(world.power_cut(survival)),
            _ => Ok(taken),
        }
    }

    fn bytes(&self) -> io::Result<u64> {
        let world = self.enter_whole(Call::Bytes)?;
        Ok(world.inodes[self.inode].bytes.len() as u64)
    }

    fn stat(&self) -> io::Result<Stat> {
        let world = self.enter_whole(Call::Stat)?;
        let links = world.names.values().filter(|inode| **inode == self.inode).count() as u64;
        let bytes = world.inodes[self.inode].bytes.len() as u64;
        Ok(Stat { bytes, links, identity: (0, self.inode as u64) })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.enter_whole(Call::SyncData)?;
        if world.lie != Some(Lie::SyncsDoNothing) {
            world.inodes[self.inode].sync();
        }
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut world = self.enter_whole(Call::Truncate)?;
        world.inodes[self.inode].change(Change::Truncate(bytes as usize));
        Ok(())
    }

    fn punch(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut world = self.enter_whole(Call::Punch)?;
        world.inodes[self.inode].change(Change::Punch(offset as usize, (offset + bytes) as usize));
        Ok(())
    }

    fn forget(&self, offset: u64) -> io::Result<()> {
        if let Some(stale) = &self.stale {
            stale.forget(offset);
        }
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.check_writable()?;
        let mut world = self.enter_whole(Call::TryLock)?;
        let holder = *world.inodes[self.inode].lock.get_or_insert((self.descriptor, self.process));
        let taken = holder.0 == self.descriptor || world.lie == Some(Lie::LocksExcludeNobody);
        Ok(taken)
    }

    fn unlock(&self) -> io::Result<()> {
        let mut world = self.enter_whole(Call::Unlock)?;
        let lock = &mut world.inodes[self.inode].lock;
        *lock = lock.filter(|(holder, _)| *holder != self.descriptor);
        Ok(())
    }

    fn lock_holder(&self) -> Option<String> {
        let world = lock(&self.world);
        world.inodes[self.inode].lock.map(|(_, process)| format!("process {process}"))
    }

    fn file_system(&self) -> io::Result<FileSystem> {
        let world = self.enter_whole(Call::FileSystem)?;
        Ok(FileSystem { name: String::from("fake"), network: world.network, lock_doubt: world.lock_doubt.clone() })
    }
}

impl Drop for FakeFile {
    fn drop(&mut self) {
        let mut world = lock(&self.world);
        let lock = &mut world.inodes[self.inode].lock;
        *lock = lock.filter(|(holder, _)| *holder != self.descriptor);
    }
}

/// SplitMix64: any seed will do, also 0.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}
