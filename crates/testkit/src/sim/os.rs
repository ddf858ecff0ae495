//! The operating system that a simulated process sees. Every call is a place where another client may go on first.

use super::disk::Change;
use super::plan::{CompactionBug, Plan};
use super::world::{Call, Choice, Decisions, Phase, World, errno};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;
use trialog_journal_file::os::{Access, FileSystem, Os, OsFile, PathKind, Stat};

/// Nobody's turn.
const NOBODY: usize = usize::MAX;

/// A world, and whose turn it is: each client has a thread of its own, and exactly one of them runs.
pub(crate) struct Sim {
    world: Mutex<World>,
    turn: AtomicUsize,
    threads: OnceLock<Vec<Thread>>,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sim")
    }
}

/// What a call comes to: an answer, or a time before which there is none.
pub(crate) enum Answer<T> {
    Done(T),
    NotBefore(Duration),
}

use Answer::{Done, NotBefore};

impl Sim {
    pub(crate) fn new(plan: Plan, script: Option<Decisions>) -> Sim {
        Sim {
            world: Mutex::new(World::new(plan, script)),
            turn: AtomicUsize::new(NOBODY),
            threads: OnceLock::new(),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn into_world(self) -> World {
        self.world.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the first client run; the threads are those of the clients, in order.
    pub(crate) fn start(&self, threads: Vec<Thread>) {
        let first = threads[0].clone();
        self.threads.set(threads).expect("a run is started once");
        self.turn.store(0, Ordering::Release);
        first.unpark();
    }

    pub(crate) fn wait_for_turn(&self, me: usize) {
        while self.turn.load(Ordering::Acquire) != me {
            std::thread::park();
        }
    }

    fn hand_over(&self, next: usize) {
        self.turn.store(next, Ordering::Release);
        if let Some(thread) = self.threads.get().and_then(|threads| threads.get(next)) {
            thread.unpark();
        }
    }

    /// Makes a call when it is this client's turn to.
    pub(crate) fn call<T>(&self, me: usize, mut act: impl FnMut(&mut World) -> Answer<T>) -> T {
        loop {
            let mut world = self.world();
            let next = world.pick(me);
            if next != Some(me) {
                drop(world);
                self.hand_over(next.unwrap_or(NOBODY));
                self.wait_for_turn(me);
                world = self.world();
            }
            match act(&mut world) {
                Done(answer) => return answer,
                NotBefore(time) => {
                    let now = world.clock;
                    world.clients[me].wake = time.max(now + Duration::from_micros(1));
                }
            }
        }
    }

    /// The client makes no calls any more.
    pub(crate) fn finish(&self, me: usize) {
        let mut world = self.world();
        world.clients[me].finished = true;
        let next = world.pick(me);
        drop(world);
        self.hand_over(next.unwrap_or(NOBODY));
    }

    /// Waits until every client has ended its work.
    pub(crate) fn settle(&self, me: usize) {
        self.world().clients[me].settled = true;
        self.call(me, |_| Done(()));
    }
}

/// A process of a simulated machine.
#[derive(Clone, Debug)]
pub(crate) struct SimOs {
    pub(crate) sim: Arc<Sim>,
    pub(crate) client: usize,
    pub(crate) pid: u32,
}

#[derive(Debug)]
struct SimFile {
    os: SimOs,
    access: Access,
    descriptor: u64,
    inode: usize,
    machine: usize,
    writable: bool,
}

fn dead() -> io::Error {
    io::Error::other("this process is dead")
}

fn number(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

impl SimOs {
    pub(crate) fn is_alive(&self) -> bool {
        self.sim.world().is_alive(self.client, self.pid)
    }

    /// Whether the client should come to an end.
    pub(crate) fn is_over(&self) -> bool {
        self.sim.world().phase != Phase::Work
    }

    /// A call that may fail, of a process that may be dead.
    fn call<T>(
        &self,
        call: Call,
        what: impl Fn() -> String,
        mut act: impl FnMut(&mut World, Option<Choice>) -> Answer<io::Result<T>>,
    ) -> io::Result<T> {
        if !self.is_alive() {
            return Err(dead());
        }
        let mut failure = None;
        let mut drawn = false;
        self.sim.call(self.client, |world| {
            if !world.is_alive(self.client, self.pid) {
                return Done(Err(dead()));
            }
            if !drawn {
                failure = world.draw_failure(call);
                drawn = true;
            }
            if let Some(Choice::Errno(errno)) = failure {
                world.note(|_| format!("client {} {call:?} {}: error {errno}", self.client, what()));
                return Done(Err(number(errno)));
            }
            let answer = act(world, failure);
            if world.trace.is_some() {
                let outcome = match &answer {
                    Done(Ok(_)) => String::from("ok"),
                    Done(Err(error)) => error.to_string(),
                    NotBefore(_) => String::from("waits"),
                };
                world.note(|_| format!("client {} {call:?} {}: {outcome}", self.client, what()));
            }
            answer
        })
    }
}

/// Ends a call early unless the machine reaches the server.
macro_rules! reach_server {
    ($world:expr, $machine:expr) => {
        if let Some(until) = $world.cut_until($machine) {
            return NotBefore(until);
        }
    };
}

impl Os for SimOs {
    fn path_kind(&self, path: &Path) -> io::Result<PathKind> {
        self.call(Call::Kind, String::new, |world, _| {
            let machine = world.clients[self.client].machine;
            if world.is_network() && world.believes_missing(machine, path) {
                return Done(Ok(PathKind::Missing));
            }
            reach_server!(world, machine);
            if world.names.contains_key(path) {
                return Done(Ok(PathKind::File));
            }
            world.note_missing(machine, path);
            Done(Ok(PathKind::Missing))
        })
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn OsFile>> {
        let makes = matches!(access, Access::Create | Access::New);
        self.call(
            if access == Access::New { Call::Make } else { Call::Open },
            || format!("{} for {access:?}", path.display()),
            |world, failure| {
                let machine = world.clients[self.client].machine;
                if world.is_network() && !makes && world.believes_missing(machine, path) {
                    return Done(Err(io::ErrorKind::NotFound.into()));
                }
                reach_server!(world, machine);
                let mut inode = match world.names.get(path) {
                    Some(_) if access == Access::New => return Done(Err(io::ErrorKind::AlreadyExists.into())),
                    Some(&inode) => inode,
                    None if makes => world.make(path),
                    None => {
                        world.note_missing(machine, path);
                        return Done(Err(io::ErrorKind::NotFound.into()));
                    }
                };
                // The answer was lost on the way back, and the call was made again.
                if let Some(Choice::Short(_)) = failure {
                    return Done(Err(io::ErrorKind::AlreadyExists.into()));
                }
                if world.is_network() {
                    // A name that was replaced elsewhere leads to the old file for a while, or to nothing.
                    match world.believes_other(machine, path) {
                        Some(_) if makes => {}
                        Some(old) if world.calls % 2 == 0 && !world.inodes[old].bytes.is_empty() => inode = old,
                        Some(_) if world.calls % 3 == 0 => {
                            world.forget_names(machine);
                            return Done(Err(number(errno::ESTALE)));
                        }
                        _ => {}
                    }
                    world.note_present(machine, path);
                    world.revalidate(machine, inode);
                }
                let descriptor = world.new_descriptor(inode, self.client);
                let writable = access != Access::Read;
                let file: Arc<dyn OsFile> =
                    Arc::new(SimFile { os: self.clone(), access, descriptor, inode, machine, writable });
                Done(Ok(file))
            },
        )
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.call(Call::List, String::new, |world, _| {
            let machine = world.clients[self.client].machine;
            reach_server!(world, machine);
            world.forget_names(machine);
            let inside = world.names.keys().filter(|name| name.parent() == Some(path));
            Done(Ok(inside.filter_map(|name| name.file_name().map(OsString::from)).collect()))
        })
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.call(
            Call::Unlink,
            || path.display().to_string(),
            |world, failure| {
                let machine = world.clients[self.client].machine;
                reach_server!(world, machine);
                let found = world.unlink(path, machine);
                if !found || matches!(failure, Some(Choice::Short(_))) {
                    return Done(Err(io::ErrorKind::NotFound.into()));
                }
                Done(Ok(()))
            },
        )
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(
            Call::Rename,
            || format!("to {}", to.display()),
            |world, failure| {
                let machine = world.clients[self.client].machine;
                reach_server!(world, machine);
                let Some(inode) = world.names.remove(from) else {
                    return Done(Err(io::ErrorKind::NotFound.into()));
                };
                let replaced = world.names.insert(to.to_path_buf(), inode);
                if world.is_network() {
                    if let Some(replaced) = replaced {
                        world.lose_name(replaced, machine);
                    }
                    world.note_present(machine, to);
                    world.sync_names();
                }
                // The answer is lost on the way back, and the call was made again: done, and reported as failed.
                if let Some(Choice::Short(_)) = failure {
                    return Done(Err(io::ErrorKind::NotFound.into()));
                }
                Done(Ok(()))
            },
        )
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.call(Call::SyncDir, String::new, |world, _| {
            reach_server!(world, world.clients[self.client].machine);
            let bug = world.plan.compaction.and_then(|plan| plan.bug);
            if bug == Some(CompactionBug::SkipsFolderSync) && world.names.len() > 1 {
                return Done(Ok(()));
            }
            world.sync_names();
            Done(Ok(()))
        })
    }

    fn monotonic(&self) -> Duration {
        self.sim.world().clock
    }

    fn sleep(&self, time: Duration) {
        if !self.is_alive() {
            return;
        }
        let mut slept = false;
        self.sim.call(self.client, |world| {
            if slept || !world.is_alive(self.client, self.pid) {
                return Done(());
            }
            slept = true;
            NotBefore(world.clock + time)
        });
    }

    fn wall_us(&self) -> i64 {
        i64::try_from(self.sim.world().clock.as_micros()).unwrap_or(i64::MAX)
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.call(Call::Random, String::new, |world, _| {
            bytes.fill_with(|| world.random_byte());
            Done(Ok(()))
        })
    }

    fn process_id(&self) -> u32 {
        self.pid
    }
}

impl SimFile {
    fn call<T>(
        &self,
        call: Call,
        what: impl Fn() -> String,
        mut act: impl FnMut(&mut World, Option<Choice>) -> Answer<io::Result<T>>,
    ) -> io::Result<T> {
        self.os.call(call, what, |world, failure| {
            let Some(open) = world.open.get(&self.descriptor) else {
                return Done(Err(dead()));
            };
            if let Some(errno) = open.broken {
                return Done(Err(number(errno)));
            }
            act(world, failure)
        })
    }

    /// Whether a compactor's planted mistake strikes at this call.
    fn errs(&self, world: &World, call: Call) -> bool {
        let bytes = &world.inodes[self.inode].bytes;
        let is_sealed = || bytes.len() > 92 && bytes[bytes.len() - 85] == 2 && bytes[bytes.len() - 87] == 0;
        match (world.plan.compaction.and_then(|plan| plan.bug), call) {
            (Some(CompactionBug::SkipsSync), Call::Sync) => self.access == Access::New,
            (Some(CompactionBug::UnsettledSeal), Call::Sync) => self.access == Access::Write && is_sealed(),
            (Some(CompactionBug::IgnoresLock), Call::TryLock) => self.access == Access::Write,
            (Some(CompactionBug::PunchesSeal), Call::Punch) => true,
            _ => false,
        }
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl OsFile for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let offset = offset as usize;
        let bytes = buf.len();
        self.call(
            Call::Read,
            || format!("{bytes} bytes at {offset}"),
            |world, failure| {
                let mut n = if world.is_network() {
                    if !world.has_pages(self.machine, self.inode, offset, buf.len()) {
                        reach_server!(world, self.machine);
                    }
                    world.read_cached(self.machine, self.inode, offset, buf)
                } else {
                    let rest = world.inodes[self.inode].bytes.get(offset..).unwrap_or_default();
                    let n = rest.len().min(buf.len());
                    buf[..n].copy_from_slice(&rest[..n]);
                    n
                };
                if let Some(Choice::Short(more)) = failure
                    && n > 1
                {
                    n = 1 + (more % (n as u64 - 1)) as usize;
                }
                Done(Ok(n))
            },
        )
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.check_writable()?;
        let offset = offset as usize;
        self.call(
            Call::Write,
            || format!("{} bytes at {offset}", bytes.len()),
            |world, failure| {
                let n = match failure {
                    Some(Choice::Short(more)) if bytes.len() > 1 => 1 + (more % (bytes.len() as u64 - 1)) as usize,
                    Some(Choice::KillInWrite(more)) => (more % (bytes.len() as u64 + 1)) as usize,
                    _ => bytes.len(),
                };
                if world.is_network() {
                    if world.would_mislead(self.descriptor) {
                        return Done(Err(number(errno::EIO)));
                    }
                    world.write_cached(self.descriptor, offset, &bytes[..n]);
                } else if n > 0 {
                    world.change(self.inode, Change::Write(offset, bytes[..n].to_vec()));
                }
                if let Some(Choice::KillInWrite(_)) = failure {
                    world.kill(self.os.client);
                    return Done(Err(dead()));
                }
                Done(Ok(n))
            },
        )
    }

    fn bytes(&self) -> io::Result<u64> {
        self.call(Call::Bytes, String::new, |world, _| {
            let bytes = if world.is_network() {
                world.cached_length(self.machine, self.inode)
            } else {
                world.inodes[self.inode].bytes.len()
            };
            Done(Ok(bytes as u64))
        })
    }

    fn stat(&self) -> io::Result<Stat> {
        self.call(Call::Stat, String::new, |world, _| {
            let bytes = if world.is_network() {
                if world.is_stale(self.machine, self.inode) {
                    reach_server!(world, self.machine);
                    world.revalidate(self.machine, self.inode);
                }
                world.cached_length(self.machine, self.inode)
            } else {
                world.inodes[self.inode].bytes.len()
            };
            let links = world.names.values().filter(|&&inode| inode == self.inode).count() as u64;
            Done(Ok(Stat { bytes: bytes as u64, links, identity: (0, self.inode as u64) }))
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call(Call::Sync, String::new, |world, failure| {
            if self.errs(world, Call::Sync) {
                return Done(Ok(()));
            }
            if world.is_network() {
                reach_server!(world, self.machine);
                if let Some(Choice::Sync(errno)) = failure {
                    world.fail_flush(self.descriptor, errno, world.calls);
                }
                return Done(world.sync_cached(self.descriptor).map_err(number));
            }
            if let Some(Choice::Sync(_)) = failure {
                world.inodes[self.inode].fail_sync();
            }
            if world.inodes[self.inode].owed_errors.remove(&self.descriptor) {
                return Done(Err(number(errno::EIO)));
            }
            world.sync_inode(self.inode);
            Done(Ok(()))
        })
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.check_writable()?;
        let length = bytes as usize;
        self.call(
            Call::Truncate,
            || format!("to {length}"),
            |world, _| {
                if world.is_network() {
                    reach_server!(world, self.machine);
                    if world.open[&self.descriptor].lock_lost {
                        return Done(Err(number(errno::EIO)));
                    }
                    world.truncate_cached(self.machine, self.inode, length);
                } else {
                    world.change(self.inode, Change::Truncate(length));
                }
                Done(Ok(()))
            },
        )
    }

    fn punch(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.check_writable()?;
        let (from, to) = (offset as usize, (offset + bytes) as usize);
        self.call(
            Call::Punch,
            || format!("{from} to {to}"),
            |world, _| {
                let to = if self.errs(world, Call::Punch) { to + 4096 } else { to };
                if world.is_network() {
                    if !world.plan.holes {
                        return Done(Err(io::ErrorKind::Unsupported.into()));
                    }
                    reach_server!(world, self.machine);
                    world.punch_cached(self.machine, self.inode, from, to);
                } else {
                    world.change(self.inode, Change::Punch(from, to));
                }
                Done(Ok(()))
            },
        )
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.check_writable()?;
        self.call(Call::TryLock, String::new, |world, _| {
            if self.errs(world, Call::TryLock) {
                return Done(Ok(true));
            }
            reach_server!(world, self.machine);
            if world.is_network() && world.open[&self.descriptor].lock_lost {
                return Done(Err(number(errno::EIO)));
            }
            if world.is_network() {
                // What the machine has not sent goes first, or is refused and forgotten.
                world.flush(self.machine, self.inode);
            }
            let taken = world.try_lock(self.descriptor);
            if taken && world.is_network() {
                world.refresh(self.machine, self.inode);
            }
            Done(Ok(taken))
        })
    }

    fn unlock(&self) -> io::Result<()> {
        self.call(Call::Unlock, String::new, |world, _| {
            if world.is_network() {
                reach_server!(world, self.machine);
                // What goes wrong here is told by the next sync, not by the unlock.
                world.flush(self.machine, self.inode);
            }
            world.drop_lock(self.descriptor);
            Done(Ok(()))
        })
    }

    fn lock_holder(&self) -> Option<String> {
        let world = self.os.sim.world();
        world.inodes[self.inode].lock.map(|held| format!("client {}", held.client))
    }

    fn file_system(&self) -> io::Result<FileSystem> {
        self.call(Call::FileSystem, String::new, |world, _| {
            let network = world.is_network();
            Done(Ok(FileSystem { name: String::from("simulated"), network, lock_doubt: None }))
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut world = self.os.sim.world();
        if world.is_alive(self.os.client, self.os.pid) {
            world.close(self.descriptor);
        }
    }
}
