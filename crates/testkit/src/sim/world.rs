//! The world of a run: clients, machines, the disk or server, the clock, and what goes wrong. Everything in it
//! happens on one thread at a time, and follows from the plan and the decisions.

use super::chain::{Cut, Files, segment_path};
use super::disk::{Change, Held, Inode, Survival, changed_sectors};
use super::draw::{Draw, mix};
use super::network::Machine;
use super::oracle::Oracle;
use super::plan::{Medium, Plan, Subject};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Error numbers by the names that programs use.
pub(crate) mod errno {
    pub(crate) const EINTR: i32 = 4;
    pub(crate) const EIO: i32 = 5;
    pub(crate) const ENOMEM: i32 = 12;
    pub(crate) const ENOSPC: i32 = 28;
    pub(crate) const ENOLCK: i32 = 37;
    pub(crate) const ESTALE: i32 = 116;
    pub(crate) const EDQUOT: i32 = 122;
}

/// What was decided at some call, where nothing would have happened otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This client goes on, not the one that was running.
    Switch(usize),
    /// A process is killed.
    Kill(usize),
    /// A process is killed in the middle of its write; the number decides where.
    KillInWrite(u64),
    /// A process is stopped for so many microseconds.
    Stop(usize, u64),
    /// A machine loses power; the number decides what remains.
    Power(usize, u64),
    /// The server starts again; the number decides what remains.
    Restart(u64),
    /// A machine does not reach the server for so many microseconds.
    Partition(usize, u64),
    /// The server forgets the lock.
    LockLoss,
    /// Some unsynced bytes of a machine reach the server; the number decides which.
    Writeback(usize, u64),
    /// The call fails with this error number.
    Errno(i32),
    /// A sync fails for good.
    Sync(i32),
    /// The call does only a part; the number decides how much.
    Short(u64),
}

/// Decisions by the number of the call at which they were made, and what they were about.
pub type Decisions = BTreeMap<(u64, Slot), Choice>;

/// What a decision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// Something happens in the world.
    Event,
    /// Who goes on.
    Turn,
    /// How the call ends.
    Call,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Anything may happen.
    Work,
    /// Nothing goes wrong any more; clients end what they are at.
    Settle,
    /// All clients have ended their work and look once more.
    Final,
}

#[derive(Debug)]
pub(crate) struct Client {
    /// The number of its process; a new one after each death.
    pub(crate) pid: u32,
    pub(crate) alive: bool,
    pub(crate) machine: usize,
    pub(crate) wake: Duration,
    pub(crate) settled: bool,
    pub(crate) finished: bool,
}

#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) inode: usize,
    pub(crate) client: usize,
    pub(crate) machine: usize,
    /// The server took its lock away: what it writes is dropped, and it is told when it syncs.
    pub(crate) lock_lost: bool,
    /// Every call on it answers this.
    pub(crate) broken: Option<i32>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    draw: Draw,
    script: Option<Decisions>,
    pub(crate) decisions: Decisions,
    pub(crate) calls: u64,
    pub(crate) clock: Duration,
    pub(crate) phase: Phase,
    pub(crate) clients: Vec<Client>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pub(crate) inodes: Vec<Inode>,
    pub(crate) open: BTreeMap<u64, Open>,
    descriptors: u64,
    randoms: u64,
    pids: u32,
    pub(crate) oracle: Oracle,
    pub(crate) trace: Option<Vec<String>>,
    /// Each change and sync in order, if somebody wants them.
    pub(crate) steps: Option<Vec<super::images::Step>>,
}

impl World {
    pub(crate) fn new(plan: Plan, script: Option<Decisions>) -> World {
        let machines = plan.machines;
        let client = |index: usize| Client {
            pid: index as u32 + 1,
            alive: true,
            machine: index % machines,
            wake: Duration::ZERO,
            settled: false,
            finished: false,
        };
        World {
            draw: Draw::new(plan.seed, 2),
            script,
            decisions: Decisions::new(),
            calls: 0,
            clock: Duration::ZERO,
            phase: Phase::Work,
            clients: (0..plan.roles.len()).map(client).collect(),
            machines: (0..machines).map(|_| Machine::default()).collect(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            inodes: Vec::new(),
            open: BTreeMap::new(),
            descriptors: 0,
            randoms: mix(plan.seed),
            pids: 100,
            oracle: Oracle::default(),
            trace: None,
            steps: None,
            plan,
        }
    }

    pub(crate) fn is_network(&self) -> bool {
        self.plan.medium == Medium::Network
    }

    pub(crate) fn note(&mut self, line: impl FnOnce(&World) -> String) {
        let Some(mut trace) = self.trace.take() else {
            return;
        };
        trace.push(format!("{:>5} {:>9.3} ms  {}", self.calls, self.clock.as_secs_f64() * 1e3, line(self)));
        self.trace = Some(trace);
    }

    /// Takes a decision that was recorded, or a new one.
    fn decide(&mut self, slot: Slot, new: impl FnOnce(&mut World) -> Option<Choice>) -> Option<Choice> {
        if let Some(script) = &self.script {
            return script.get(&(self.calls, slot)).copied();
        }
        let choice = new(self)?;
        self.decisions.insert((self.calls, slot), choice);
        Some(choice)
    }

    /// A call is about to be made by `me`: time passes, things happen, and somebody goes on. `None` if nobody can.
    pub(crate) fn pick(&mut self, me: usize) -> Option<usize> {
        self.calls += 1;
        self.clock += Duration::from_micros(if self.is_network() { 100 } else { 5 });
        if self.phase == Phase::Work && self.calls >= self.plan.calls {
            self.settle();
        }
        if self.is_network() {
            self.end_leases();
        }
        if self.phase == Phase::Work
            && let Some(choice) = self.decide(Slot::Event, World::draw_event)
        {
            self.happen(choice);
        }
        if !self.can_run(me) && !(0..self.clients.len()).any(|client| self.can_run(client)) {
            self.wait_for_somebody()?;
        }
        let stay = if self.can_run(me) { Some(me) } else { None };
        let choice = self.decide(Slot::Turn, |world| {
            if stay.is_some() && !world.draw.ppm(world.plan.switch_ppm) {
                return None;
            }
            let able: Vec<usize> = (0..world.clients.len()).filter(|&client| world.can_run(client)).collect();
            let next = world.draw.pick(&able);
            (stay != Some(next)).then_some(Choice::Switch(next))
        });
        match choice {
            Some(Choice::Switch(next)) if next < self.clients.len() && self.can_run(next) => Some(next),
            _ => stay.or_else(|| (0..self.clients.len()).find(|&client| self.can_run(client))),
        }
    }

    fn can_run(&self, client: usize) -> bool {
        let client = &self.clients[client];
        let waits = client.settled && self.phase != Phase::Final;
        !client.finished && !waits && client.wake <= self.clock
    }

    /// Lets time pass until somebody can run. `None` if all have finished.
    fn wait_for_somebody(&mut self) -> Option<()> {
        if self.clients.iter().all(|client| client.finished || client.settled) && self.phase != Phase::Final {
            if self.phase == Phase::Work {
                self.settle();
            }
            self.phase = Phase::Final;
            // Whatever clients believe without asking is too old by now.
            self.clock += Duration::from_secs(1000);
        }
        let is_final = self.phase == Phase::Final;
        let waiting = self.clients.iter().filter(|client| !client.finished && (is_final || !client.settled));
        let wake = waiting.map(|client| client.wake).min()?;
        self.clock = self.clock.max(wake);
        Some(())
    }

    /// Ends all trouble.
    fn settle(&mut self) {
        self.phase = Phase::Settle;
        let clock = self.clock;
        for machine in 0..self.machines.len() {
            self.machines[machine].cut_until = clock.min(self.machines[machine].cut_until);
        }
        for client in &mut self.clients {
            client.wake = client.wake.min(clock + Duration::from_millis(100));
        }
    }

    fn draw_event(&mut self) -> Option<Choice> {
        let faults = &self.plan.faults;
        let network = self.is_network();
        let rates = [
            faults.kill,
            faults.stop,
            faults.power,
            if network { faults.restart } else { 0 },
            if network { faults.partition } else { 0 },
            if network { faults.lock_loss } else { 0 },
            if network { faults.writeback } else { 0 },
        ];
        let mut at = self.draw.below(1_000_000);
        let kind = rates.iter().position(|&rate| match at.checked_sub(u64::from(rate)) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        })?;
        let client = self.draw.index(self.clients.len());
        let machine = self.draw.index(self.machines.len());
        let more = self.draw.next();
        // From a moment to longer than anybody waits.
        let pause = 1 << (more % 20);
        Some(match kind {
            0 => Choice::Kill(client),
            1 => Choice::Stop(client, pause),
            2 => Choice::Power(machine, more),
            3 => Choice::Restart(more),
            4 => Choice::Partition(machine, pause),
            5 => Choice::LockLoss,
            _ => Choice::Writeback(machine, more),
        })
    }

    fn happen(&mut self, choice: Choice) {
        match choice {
            Choice::Kill(client) => self.kill(client),
            Choice::Stop(client, micros) => {
                self.note(|_| format!("client {client} is stopped for {micros} us"));
                let until = self.clock + Duration::from_micros(micros);
                let wake = &mut self.clients[client].wake;
                *wake = until.max(*wake);
            }
            Choice::Power(machine, more) => self.lose_power(machine, more),
            Choice::Restart(more) => self.restart_server(more),
            Choice::Partition(machine, micros) => {
                self.note(|_| format!("machine {machine} is cut off for {micros} us"));
                self.cut_off(machine, Duration::from_micros(micros));
            }
            Choice::LockLoss => self.forget_locks(|_, _| true),
            Choice::Writeback(machine, more) => self.write_back(machine, more),
            _ => {}
        }
    }

    /// What a call of `client` meets, if anything.
    pub(crate) fn draw_failure(&mut self, call: Call) -> Option<Choice> {
        if self.phase != Phase::Work {
            return None;
        }
        self.decide(Slot::Call, |world| {
            let faults = world.plan.faults.clone();
            if call == Call::Sync && world.draw.ppm(faults.sync * 10) {
                return Some(Choice::Sync(world.draw.pick(&[errno::EIO, errno::ENOSPC, errno::EDQUOT])));
            }
            if call == Call::Write && world.draw.ppm(faults.kill * 4) {
                return Some(Choice::KillInWrite(world.draw.next()));
            }
            // For calls on names: done, and reported as failed.
            let in_part = matches!(call, Call::Read | Call::Write | Call::Make | Call::Rename | Call::Unlink);
            if in_part && world.draw.ppm(faults.short) {
                return Some(Choice::Short(world.draw.next()));
            }
            if world.draw.ppm(faults.errno) {
                let numbers: &[i32] = match call {
                    Call::Write => &[errno::EIO, errno::ENOSPC, errno::EINTR, errno::EDQUOT],
                    Call::Read => &[errno::EIO, errno::EINTR, errno::ESTALE],
                    Call::TryLock => &[errno::EIO, errno::ENOLCK, errno::ESTALE],
                    Call::Sync => &[errno::EINTR, errno::ENOMEM],
                    Call::Make => &[errno::EIO, errno::ENOSPC, errno::ENOMEM],
                    _ => &[errno::EIO, errno::ENOMEM, errno::ESTALE],
                };
                return Some(Choice::Errno(world.draw.pick(numbers)));
            }
            None
        })
    }

    pub(crate) fn is_alive(&self, client: usize, pid: u32) -> bool {
        self.clients[client].alive && self.clients[client].pid == pid
    }

    /// The process is gone, and with it its descriptors and locks.
    pub(crate) fn kill(&mut self, client: usize) {
        if !self.clients[client].alive {
            return;
        }
        self.note(|_| format!("client {client} is killed"));
        self.mark_dead(client);
        let held: Vec<u64> = self.descriptors_of(|open| open.client == client);
        for descriptor in held {
            self.close(descriptor);
        }
    }

    fn mark_dead(&mut self, client: usize) {
        let pause = Duration::from_micros(1 << (mix(self.calls ^ client as u64) % 16));
        let clock = self.clock;
        let client = &mut self.clients[client];
        client.alive = false;
        client.wake = clock + pause;
    }

    fn descriptors_of(&self, which: impl Fn(&Open) -> bool) -> Vec<u64> {
        self.open.iter().filter(|(_, open)| which(open)).map(|(&descriptor, _)| descriptor).collect()
    }

    /// The process begins anew, with another number.
    pub(crate) fn revive(&mut self, client: usize) -> u32 {
        self.pids += 1;
        let pid = self.pids;
        self.note(|_| format!("client {client} begins anew as process {pid}"));
        let client = &mut self.clients[client];
        client.pid = pid;
        client.alive = true;
        pid
    }

    fn lose_power(&mut self, machine: usize, more: u64) {
        let network = self.is_network();
        self.note(|_| format!("machine {machine} loses power ({more})"));
        let before = if network { Files::new() } else { self.log_files() };
        for client in 0..self.clients.len() {
            if self.clients[client].machine == machine && self.clients[client].alive {
                self.mark_dead(client);
            }
        }
        let lost = self.descriptors_of(|open| open.machine == machine);
        if network {
            // The server hears of it when the machine is back, and frees its locks then.
            for descriptor in lost {
                self.open.remove(&descriptor);
            }
            self.machines[machine] = Machine::default();
            for inode in &mut self.inodes {
                inode.lock = inode.lock.filter(|held| held.machine != machine);
            }
            self.note_unsent_loss(machine);
            return;
        }
        for descriptor in lost {
            self.open.remove(&descriptor);
        }
        let mut draw = Draw::new(more, 3);
        for inode in &mut self.inodes {
            let survival = draw_survival(inode, &mut draw);
            inode.lose_power(survival);
            inode.lock = None;
            inode.open.clear();
            inode.owed_errors.clear();
        }
        // Of each name that was not synced the disk has what it was or what it has become.
        let mut names = std::mem::take(&mut self.durable_names);
        let now = std::mem::take(&mut self.names);
        let changed: BTreeSet<PathBuf> = names.keys().chain(now.keys()).cloned().collect();
        for name in changed {
            if names.get(&name) != now.get(&name) && draw.coin() {
                match now.get(&name) {
                    Some(&inode) => names.insert(name, inode),
                    None => names.remove(&name),
                };
            }
        }
        self.names.clone_from(&names);
        self.durable_names = names;
        let after = self.log_files();
        let cut = self.oracle.judge_power_loss(&before, &after);
        // Where the rule explains the hole, the next writer must go on by itself.
        let by_itself = self.plan.journal == Subject::File && super::chain::is_explained(&after);
        self.oracle.counts.set_aside += u64::from(by_itself);
        if let Some(cut) = cut.filter(|_| !by_itself) {
            self.note(|_| {
                format!("the log has a hole; segment {} is cut by hand to {} bytes", cut.number, cut.end)
            });
            self.cut(cut);
        }
    }

    /// Cuts a file of the log for good, as somebody would who looks after a hole.
    fn cut(&mut self, cut: Cut) {
        if let Some(&inode) = self.names.get(&segment_path(cut.number)) {
            self.change(inode, Change::Truncate(cut.end));
            self.sync_inode(inode);
            self.inodes[inode].lock = None;
        }
    }

    /// Somebody looks after a log that is reported damaged: ends all processes, and cuts the log at the hole if there is
    /// still one.
    pub(crate) fn look_after_hole(&mut self) {
        for client in 0..self.clients.len() {
            self.kill(client);
        }
        for machine in 0..self.machines.len() {
            self.machines[machine] = Machine::default();
        }
        let Some(cut) = super::chain::hole(&self.log_files()) else {
            self.oracle.counts.false_alarms += 1;
            return;
        };
        self.note(|_| format!("segment {} of the log is cut by hand to {} bytes", cut.number, cut.end));
        self.cut(cut);
        let after = self.log_files();
        self.oracle.judge_repair(&after);
    }

    /// The files of the log as the disk's machine or the server has them.
    pub(crate) fn log_files(&self) -> Files {
        let number = |name: &Path| -> Option<u64> {
            let name = name.to_str()?.strip_prefix(super::PATH)?;
            if name.is_empty() { Some(0) } else { name.strip_prefix('.')?.parse().ok() }
        };
        let files = self.names.iter().filter_map(|(name, &inode)| Some((number(name)?, inode)));
        files.map(|(number, inode)| (number, self.inodes[inode].bytes.clone())).collect()
    }

    pub(crate) fn random_byte(&mut self) -> u8 {
        self.randoms = self.randoms.wrapping_add(1);
        mix(self.randoms) as u8
    }

    pub(crate) fn make(&mut self, path: &Path) -> usize {
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        self.names.insert(path.to_path_buf(), inode);
        if self.is_network() {
            // A server makes names durable before it answers.
            self.durable_names.insert(path.to_path_buf(), inode);
        }
        inode
    }

    /// Removes a name. Over the network a file that the same machine has open gets another one, and other machines that
    /// have it open find nothing there any more.
    pub(crate) fn unlink(&mut self, path: &Path, machine: usize) -> bool {
        let Some(inode) = self.names.remove(path) else {
            return false;
        };
        if self.is_network() {
            self.lose_name(inode, machine);
            self.sync_names();
        }
        true
    }

    /// A file has lost its name on a server.
    pub(crate) fn lose_name(&mut self, inode: usize, machine: usize) {
        if self.open.values().any(|open| open.inode == inode && open.machine == machine) {
            self.names.insert(PathBuf::from(format!("/.nfs{inode:08}")), inode);
            return;
        }
        for open in self.open.values_mut().filter(|open| open.inode == inode) {
            open.broken = Some(errno::ESTALE);
        }
    }

    pub(crate) fn sync_names(&mut self) {
        self.durable_names.clone_from(&self.names);
    }

    pub(crate) fn new_descriptor(&mut self, inode: usize, client: usize) -> u64 {
        self.descriptors += 1;
        let machine = self.clients[client].machine;
        let open = Open { inode, client, machine, lock_lost: false, broken: None };
        self.open.insert(self.descriptors, open);
        self.inodes[inode].open.insert(self.descriptors);
        self.descriptors
    }

    pub(crate) fn close(&mut self, descriptor: u64) {
        let Some(open) = self.open.get(&descriptor) else {
            return;
        };
        let inode = open.inode;
        if self.is_network() {
            self.flush_at_close(descriptor);
        }
        self.open.remove(&descriptor);
        let inode = &mut self.inodes[inode];
        inode.open.remove(&descriptor);
        inode.owed_errors.remove(&descriptor);
        // A machine that is cut off cannot tell the server: the lock goes when the lease does.
        let machine = inode.lock.map(|held| held.machine);
        let silent = machine.is_some_and(|machine| self.machines[machine].cut_until > self.clock);
        if !silent {
            inode.lock = inode.lock.filter(|held| held.descriptor != descriptor);
        }
    }

    fn step(&mut self, inode: usize, step: impl FnOnce() -> super::images::Step) {
        if let Some(steps) = &mut self.steps
            && self.names.get(Path::new(super::PATH)) == Some(&inode)
        {
            steps.push(step());
        }
    }

    pub(crate) fn change(&mut self, inode: usize, change: Change) {
        self.step(inode, || super::images::Step::Change(change.clone()));
        self.inodes[inode].change(change);
    }

    pub(crate) fn sync_inode(&mut self, inode: usize) {
        self.step(inode, || super::images::Step::Sync);
        self.inodes[inode].sync();
    }

    pub(crate) fn try_lock(&mut self, descriptor: u64) -> bool {
        let Open { inode, client, machine, .. } = self.open[&descriptor];
        let holder = *self.inodes[inode].lock.get_or_insert(Held { descriptor, client, machine });
        holder.descriptor == descriptor
    }

    pub(crate) fn drop_lock(&mut self, descriptor: u64) {
        let inode = self.open[&descriptor].inode;
        let lock = &mut self.inodes[inode].lock;
        *lock = lock.filter(|held| held.descriptor != descriptor);
    }
}

/// What remains of a file's unsynced changes, as a seed has it: every kind is likely.
fn draw_survival(inode: &Inode, draw: &mut Draw) -> Survival {
    match draw.below(8) {
        0 => Survival::Nothing,
        1 => Survival::Everything,
        2 => Survival::Length,
        3 => {
            let count = draw.index(inode.pending.len() + 1);
            Survival::Prefix(count, draw.below(700) as usize)
        }
        4 => Survival::AllBut(draw.index(changed_sectors(&inode.durable, &inode.pending).max(1))),
        _ => Survival::Sectors(draw.next()),
    }
}

/// The calls that a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Kind,
    Open,
    Make,
    Rename,
    List,
    Unlink,
    SyncDir,
    Random,
    Read,
    Write,
    Bytes,
    Stat,
    Sync,
    Truncate,
    Punch,
    TryLock,
    Unlock,
    FileSystem,
}
