//! What a machine that mounts the log over the network believes, and what the server does behind its back.
//!
//! Each machine has a cache of attributes and pages, as the kernel's NFS client has: it asks the server when a
//! file is opened, when a lock is taken, and when what it knows has become too old; it keeps what is written until
//! somebody syncs, unlocks or closes, or until it pleases to send it; and it may take another machine's change for its own.

use super::disk::{Change, Survival, changed_sectors};
use super::draw::{Draw, mix};
use super::world::{Open, World, errno};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A machine's view of the server.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// It does not reach the server before.
    pub(crate) cut_until: Duration,
    /// While it is cut off: when the server gives its locks away.
    lease_until: Option<Duration>,
    caches: BTreeMap<usize, Cache>,
    /// Names that were missing when last asked for, and until when that is believed.
    missing_until: BTreeMap<PathBuf, Duration>,
    /// What names stood for when last asked for, and until when that is believed.
    present_until: BTreeMap<PathBuf, (usize, Duration)>,
}

/// What a machine knows of a file.
#[derive(Debug, Default)]
struct Cache {
    bytes: usize,
    version: u64,
    fresh_until: Option<Duration>,
    pages: BTreeMap<usize, Vec<u8>>,
    /// Written here, and not sent.
    dirty: Vec<Piece>,
    /// Sent, and perhaps not kept by the server yet: to be sent again if it starts anew.
    sent: Vec<Piece>,
    /// Descriptors that are to be told at their next sync that bytes were dropped.
    owed_errors: BTreeMap<u64, i32>,
}

/// Bytes within one page.
#[derive(Clone, Debug)]
struct Piece {
    offset: usize,
    bytes: Vec<u8>,
    descriptor: u64,
}

impl Piece {
    fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }
}

impl Cache {
    fn length(&self) -> usize {
        let own = self.dirty.iter().chain(&self.sent).map(Piece::end).max();
        self.bytes.max(own.unwrap_or(0))
    }

    fn forget(&mut self) {
        self.fresh_until = None;
        self.pages.clear();
    }
}

impl World {
    /// Until when a machine is cut off from the server, if it is.
    pub(crate) fn cut_until(&self, machine: usize) -> Option<Duration> {
        let until = self.machines[machine].cut_until;
        (self.is_network() && until > self.clock).then_some(until)
    }

    fn cache(&mut self, machine: usize, inode: usize) -> &mut Cache {
        self.machines[machine].caches.entry(inode).or_default()
    }

    /// Whether the machine must ask the server before it can say how long the file is.
    pub(crate) fn is_stale(&mut self, machine: usize, inode: usize) -> bool {
        let clock = self.clock;
        self.cache(machine, inode).fresh_until.is_none_or(|until| until <= clock)
    }

    /// Asks the server, and drops pages if the file has changed.
    pub(crate) fn revalidate(&mut self, machine: usize, inode: usize) {
        let (version, bytes) = (self.inodes[inode].version, self.inodes[inode].bytes.len());
        let until = self.clock + self.plan.attrs_for;
        let cache = self.cache(machine, inode);
        if cache.version != version {
            cache.pages.clear();
        }
        cache.version = version;
        cache.bytes = bytes;
        cache.fresh_until = Some(until);
    }

    /// A lock was taken: nothing that was known counts any more.
    pub(crate) fn refresh(&mut self, machine: usize, inode: usize) {
        self.cache(machine, inode).forget();
        self.revalidate(machine, inode);
    }

    pub(crate) fn cached_length(&mut self, machine: usize, inode: usize) -> usize {
        self.cache(machine, inode).length()
    }

    /// Whether a read can be served without the server.
    pub(crate) fn has_pages(&mut self, machine: usize, inode: usize, offset: usize, bytes: usize) -> bool {
        let page_bytes = self.plan.page_bytes;
        let stale = self.is_stale(machine, inode);
        let cache = self.cache(machine, inode);
        let end = (offset + bytes).min(cache.length());
        !stale && (offset / page_bytes..end.div_ceil(page_bytes)).all(|page| cache.pages.contains_key(&page))
    }

    pub(crate) fn read_cached(&mut self, machine: usize, inode: usize, offset: usize, buf: &mut [u8]) -> usize {
        if self.is_stale(machine, inode) {
            self.revalidate(machine, inode);
        }
        let page_bytes = self.plan.page_bytes;
        let (inodes, machines) = (&self.inodes, &mut self.machines);
        let cache = machines[machine].caches.entry(inode).or_default();
        let end = cache.length().min(offset + buf.len());
        if end <= offset {
            return 0;
        }
        for page in offset / page_bytes..end.div_ceil(page_bytes) {
            let content = cache.pages.entry(page).or_insert_with(|| {
                let server = &inodes[inode].bytes;
                let from = (page * page_bytes).min(server.len());
                let to = (from + page_bytes).min(server.len());
                let mut content = server[from..to].to_vec();
                content.resize(page_bytes, 0);
                content
            });
            copy_overlap(content, page * page_bytes, &mut buf[..end - offset], offset);
        }
        for piece in cache.sent.iter().chain(&cache.dirty) {
            copy_overlap(&piece.bytes, piece.offset, &mut buf[..end - offset], offset);
        }
        end - offset
    }

    /// Whether a process that lost its lock without knowing would write into a cache that it shares with others. A real
    /// client lets it, and drops its bytes later; a holder of the lock on the same machine who reads them meanwhile is
    /// misled. No journal on a file can help that, and `docs/simulation.md` says so; here the write fails at once.
    pub(crate) fn would_mislead(&self, descriptor: u64) -> bool {
        let Open { machine, lock_lost, .. } = self.open[&descriptor];
        lock_lost && self.clients.iter().filter(|client| client.machine == machine).count() > 1
    }

    /// Bytes go into the cache, page by page. Without a lock on the file a page that is cached is sent whole,
    /// however old it is.
    pub(crate) fn write_cached(&mut self, descriptor: u64, offset: usize, bytes: &[u8]) {
        let (machine, inode) = (self.open[&descriptor].machine, self.open[&descriptor].inode);
        let locked = self.inodes[inode].lock.is_some_and(|held| held.machine == machine);
        let page_bytes = self.plan.page_bytes;
        let mut at = 0;
        while at < bytes.len() {
            let place = offset + at;
            let page_end = (place / page_bytes + 1) * page_bytes;
            let n = (bytes.len() - at).min(page_end - place);
            let page = place / page_bytes;
            let cache = self.cache(machine, inode);
            let mut piece = Piece { offset: place, bytes: bytes[at..at + n].to_vec(), descriptor };
            if let Some(content) = cache.pages.get(&page)
                && !locked
            {
                let mut whole = content.clone();
                copy_overlap(&piece.bytes, place, &mut whole, page * page_bytes);
                whole.truncate((cache.length().max(place + n) - page * page_bytes).min(page_bytes));
                piece = Piece { offset: page * page_bytes, bytes: whole, descriptor };
            }
            if let Some(content) = cache.pages.get_mut(&page) {
                copy_overlap(&bytes[at..at + n], place, content, page * page_bytes);
            }
            // What lies side by side in one page is one request.
            match cache.dirty.last_mut() {
                Some(last)
                    if last.descriptor == descriptor
                        && last.end() == piece.offset
                        && last.offset / page_bytes == page =>
                {
                    last.bytes.append(&mut piece.bytes);
                }
                _ => cache.dirty.push(piece),
            }
            at += n;
        }
    }

    /// Sends one unsynced piece of a machine to the server, which need not keep it yet.
    pub(crate) fn write_back(&mut self, machine: usize, more: u64) {
        if self.cut_until(machine).is_some() {
            return;
        }
        let Some((&inode, cache)) =
            self.machines[machine].caches.iter_mut().find(|(_, cache)| !cache.dirty.is_empty())
        else {
            return;
        };
        let piece = cache.dirty.remove((more % cache.dirty.len() as u64) as usize);
        self.send(machine, inode, piece);
    }

    /// The server takes a piece, unless its sender has lost the lock under which it was written.
    fn send(&mut self, machine: usize, inode: usize, piece: Piece) {
        if self.open.get(&piece.descriptor).is_some_and(|open| open.lock_lost) {
            self.drop_written(machine, inode, errno::EIO);
            return;
        }
        self.note(|_| format!("machine {machine} sends {} bytes at {}", piece.bytes.len(), piece.offset));
        self.change(inode, Change::Write(piece.offset, piece.bytes.clone()));
        let version = self.inodes[inode].version;
        let bytes = self.inodes[inode].bytes.len();
        let page_bytes = self.plan.page_bytes;
        let cache = self.cache(machine, inode);
        let page = piece.offset / page_bytes;
        if let Some(content) = cache.pages.get_mut(&page) {
            copy_overlap(&piece.bytes, piece.offset, content, page * page_bytes);
        }
        // The answer brings the file's new version and length, and the client takes all of that for its own doing.
        cache.version = version;
        cache.bytes = cache.bytes.max(bytes);
        cache.sent.push(piece);
    }

    /// Bytes were refused: what is cached of the file is not to be trusted, and whoever has it open there is told so.
    fn drop_written(&mut self, machine: usize, inode: usize, errno: i32) {
        let told = self.open.iter().filter(|(_, open)| open.machine == machine && open.inode == inode);
        let told: Vec<u64> = told.map(|(&descriptor, _)| descriptor).collect();
        let cache = self.cache(machine, inode);
        cache.owed_errors.extend(told.into_iter().map(|descriptor| (descriptor, errno)));
        cache.forget();
        self.note_unsent_loss(machine);
    }

    /// Clients of a machine may have seen one another's bytes that the server will never have.
    pub(crate) fn note_unsent_loss(&mut self, machine: usize) {
        let clients: Vec<bool> = self.clients.iter().map(|client| client.machine == machine).collect();
        let files = self.log_files();
        self.oracle.note_loss(&files, |client| clients[client]);
    }

    /// A sync of a descriptor.
    pub(crate) fn sync_cached(&mut self, descriptor: u64) -> Result<(), i32> {
        let (machine, inode) = (self.open[&descriptor].machine, self.open[&descriptor].inode);
        self.flush(machine, inode);
        self.cache(machine, inode).owed_errors.remove(&descriptor).map_or(Ok(()), Err)
    }

    /// Sends what is unsynced and makes the server keep it.
    pub(crate) fn flush(&mut self, machine: usize, inode: usize) {
        let mut order = mix(self.calls);
        while !self.cache(machine, inode).dirty.is_empty() {
            order = mix(order);
            let cache = self.cache(machine, inode);
            let piece = cache.dirty.remove((order % cache.dirty.len() as u64) as usize);
            self.send(machine, inode, piece);
        }
        if !std::mem::take(&mut self.cache(machine, inode).sent).is_empty() {
            self.sync_inode(inode);
        }
    }

    /// The server has no room, or breaks: a part of what is unsynced arrives, the rest is dropped, and the second
    /// sync will say that all is well.
    pub(crate) fn fail_flush(&mut self, descriptor: u64, errno: i32, more: u64) {
        let (machine, inode) = (self.open[&descriptor].machine, self.open[&descriptor].inode);
        let pieces = std::mem::take(&mut self.cache(machine, inode).dirty);
        for (index, piece) in pieces.into_iter().enumerate() {
            if more >> (index % 64) & 1 == 1 {
                self.send(machine, inode, piece);
            }
        }
        self.cache(machine, inode).sent.clear();
        self.drop_written(machine, inode, errno);
    }

    pub(crate) fn flush_at_close(&mut self, descriptor: u64) {
        let (machine, inode) = (self.open[&descriptor].machine, self.open[&descriptor].inode);
        if self.cut_until(machine).is_some() {
            // The kernel would go on trying; what it sends once the lock is gone is refused.
            self.cache(machine, inode).dirty.retain(|piece| piece.descriptor != descriptor);
            self.note_unsent_loss(machine);
            return;
        }
        self.flush(machine, inode);
    }

    pub(crate) fn truncate_cached(&mut self, machine: usize, inode: usize, length: usize) {
        self.flush(machine, inode);
        self.change(inode, Change::Truncate(length));
        self.sync_inode(inode);
        self.cache(machine, inode).forget();
        self.revalidate(machine, inode);
    }

    /// Whether the machine believes without asking that a name is missing.
    pub(crate) fn believes_missing(&self, machine: usize, path: &Path) -> bool {
        self.machines[machine].missing_until.get(path).is_some_and(|&until| until > self.clock)
    }

    pub(crate) fn note_missing(&mut self, machine: usize, path: &Path) {
        let until = self.clock + self.plan.attrs_for;
        self.machines[machine].missing_until.insert(path.to_path_buf(), until);
    }

    pub(crate) fn note_present(&mut self, machine: usize, path: &Path) {
        let until = self.clock + self.plan.attrs_for;
        let machine_names = &mut self.machines[machine];
        machine_names.missing_until.remove(path);
        if let Some(&inode) = self.names.get(path) {
            machine_names.present_until.insert(path.to_path_buf(), (inode, until));
        }
    }

    /// The file that a machine believes to have a name, if it was replaced or removed meanwhile.
    pub(crate) fn believes_other(&self, machine: usize, path: &Path) -> Option<usize> {
        let &(inode, until) = self.machines[machine].present_until.get(path)?;
        (until > self.clock && self.names.get(path) != Some(&inode)).then_some(inode)
    }

    /// A machine has listed the folder: it asks again for whatever name comes next.
    pub(crate) fn forget_names(&mut self, machine: usize) {
        self.machines[machine].missing_until.clear();
        self.machines[machine].present_until.clear();
    }

    /// A file gives back a stretch: the server does it at once, or not at all.
    pub(crate) fn punch_cached(&mut self, machine: usize, inode: usize, from: usize, to: usize) {
        self.flush(machine, inode);
        self.change(inode, Change::Punch(from, to));
        self.sync_inode(inode);
        self.cache(machine, inode).forget();
        self.revalidate(machine, inode);
    }

    /// The machine does not reach the server for a while; if that is longer than the lease, its locks are gone.
    pub(crate) fn cut_off(&mut self, machine: usize, time: Duration) {
        let until = self.clock + time;
        self.machines[machine].cut_until = until.max(self.machines[machine].cut_until);
        self.machines[machine].lease_until = Some(self.clock + self.plan.lease);
    }

    /// The server takes back the locks of machines that it has not heard from for too long.
    pub(crate) fn end_leases(&mut self) {
        let clock = self.clock;
        let ended: Vec<bool> = self
            .machines
            .iter_mut()
            .map(|machine| {
                let ended = machine.lease_until.is_some_and(|until| until <= clock && machine.cut_until >= until);
                if ended || machine.cut_until <= clock {
                    machine.lease_until = None;
                }
                ended
            })
            .collect();
        if ended.contains(&true) {
            self.forget_locks(|machine, _| ended[machine]);
        }
        // Once a machine reaches the server again, it gives back the locks of processes that died meanwhile.
        let (machines, open) = (&self.machines, &self.open);
        for inode in &mut self.inodes {
            inode.lock = inode
                .lock
                .filter(|held| open.contains_key(&held.descriptor) || machines[held.machine].cut_until > clock);
        }
    }

    /// The server forgets locks, and refuses what was written under them from then on.
    pub(crate) fn forget_locks(&mut self, which: impl Fn(usize, u64) -> bool) {
        for inode in 0..self.inodes.len() {
            let Some(held) = self.inodes[inode].lock.filter(|held| which(held.machine, held.descriptor)) else {
                continue;
            };
            self.note(|_| format!("the server takes the lock of client {}", held.client));
            self.inodes[inode].lock = None;
            self.oracle.losses += 1;
            if let Some(open) = self.open.get_mut(&held.descriptor) {
                open.lock_lost = true;
            }
        }
    }

    /// The server starts again: it has what it was asked to keep, and perhaps more. Machines that it reaches send the
    /// rest once more and claim their locks; the locks of the others are gone.
    pub(crate) fn restart_server(&mut self, more: u64) {
        self.note(|_| format!("the server starts again ({more})"));
        let mut draw = Draw::new(more, 4);
        for inode in &mut self.inodes {
            if inode.pending.is_empty() {
                continue;
            }
            let survival = match draw.below(3) {
                0 => Survival::Nothing,
                1 => Survival::AllBut(draw.index(changed_sectors(&inode.durable, &inode.pending).max(1))),
                _ => Survival::Sectors(draw.next()),
            };
            inode.lose_power(survival);
        }
        let clock = self.clock;
        let reached: Vec<bool> = self.machines.iter().map(|machine| machine.cut_until <= clock).collect();
        for machine in &mut self.machines {
            for cache in machine.caches.values_mut() {
                let mut again = std::mem::take(&mut cache.sent);
                again.append(&mut cache.dirty);
                cache.dirty = again;
                // Old pages could show what the server has lost to clients that come later: their histories would not
                // be wrong, but nobody could tell which are.
                cache.forget();
            }
        }
        self.forget_locks(|machine, _| !reached[machine]);
        let files = self.log_files();
        self.oracle.note_loss(&files, |_| true);
    }
}

/// Copies what two stretches have in common.
fn copy_overlap(from: &[u8], from_offset: usize, to: &mut [u8], to_offset: usize) {
    let begin = from_offset.max(to_offset);
    let end = (from_offset + from.len()).min(to_offset + to.len());
    if begin < end {
        to[begin - to_offset..end - to_offset].copy_from_slice(&from[begin - from_offset..end - from_offset]);
    }
}
