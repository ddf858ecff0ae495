//! What simulated processes do: they open the log, commit and follow, die and begin anew, and report to the oracle
//! what they tried, what they were told and what they saw.

use super::chain;
use super::draw::{Draw, mix};
use super::naive::NaiveJournal;
use super::oracle::Watch;
use super::os::{Sim, SimOs};
use super::plan::{CompactionBug, Compactions, Mix, Plan, Role, Subject};
use super::world::Phase;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use trialog_codec::encode_record;
use trialog_journal::{Durability, Error, Extent, History, Journal, Seq, SnapshotSource, Visitor};
use trialog_journal_file::{FileJournal, Network, Options};
use trialog_ops::{
    Direction, Distribution, FinalState, Json, MetricRef, MetricValue, Op, Param, ParamDef, ParamRef, Record,
    SessionId, SessionRef, StudyId, Timestamp, TrialId,
};
use trialog_replay::State;
use trialog_storage::{Snapshots, Storage};

/// A journal that tells the oracle everything that passes through it.
#[derive(Clone)]
struct Watched {
    inner: Arc<dyn Journal>,
    sim: Arc<Sim>,
    watch: Watch,
    /// Whether it began with a snapshot and has read nothing since.
    began: Arc<AtomicBool>,
}

impl Journal for Watched {
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error> {
        for record in records {
            let mut world = self.sim.world();
            world.oracle.note_attempt(record);
            if let Some(steps) = &mut world.steps {
                steps.push(super::images::Step::Attempt(record.to_vec()));
            }
        }
        let first = self.inner.append(records, durability)?;
        let mut world = self.sim.world();
        let durable = durability == Durability::Power || world.is_network();
        for (seq, record) in (first.0..).zip(records) {
            world.oracle.note_ack(seq, record, durable);
        }
        if let Some(steps) = &mut world.steps {
            steps.push(super::images::Step::Ack { records: first.0 + records.len() as u64, durable });
        }
        Ok(first)
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        // A snapshot that is no good is passed over, and reading begins with the first record.
        let mut begins = from.0 == 0;
        self.inner.read(from, &mut |seq, record| {
            if std::mem::take(&mut begins) && self.began.swap(false, Ordering::Relaxed) {
                self.sim.world().oracle.forget_snapshot(self.watch);
            }
            self.sim.world().oracle.note_seen(self.watch, seq.0, record);
            visit(seq, record)
        })
    }

    fn load_snapshot(&self) -> Option<(Seq, Vec<u8>)> {
        let (at, bytes) = self.inner.load_snapshot()?;
        self.began.store(true, Ordering::Relaxed);
        self.sim.world().oracle.note_snapshot(self.watch, at.0, &bytes);
        Some((at, bytes))
    }

    fn save_snapshot(&self, at: Seq, source: &mut SnapshotSource<'_>) -> Result<bool, Error> {
        let bytes = self.note_written(at, source);
        self.inner.save_snapshot(at, &mut |sink| sink(&bytes))
    }

    fn load_base(&self) -> Result<Option<(Seq, Vec<u8>)>, Error> {
        let base = self.inner.load_base()?;
        if let Some((at, bytes)) = &base {
            self.sim.world().oracle.note_snapshot(self.watch, at.0, bytes);
        }
        Ok(base)
    }

    fn extent(&self) -> Option<Extent> {
        self.inner.extent()
    }

    fn compact(&self, at: Seq, source: &mut SnapshotSource<'_>, history: History) -> Result<bool, Error> {
        let bytes = self.note_written(at, source);
        let done = self.inner.compact(at, &mut |sink| sink(&bytes), history)?;
        self.sim.world().oracle.counts.compactions += u64::from(done);
        Ok(done)
    }

    fn reclaim(&self, grace: Duration) -> Result<(), Error> {
        self.inner.reclaim(grace)
    }

    fn location(&self) -> &str {
        self.inner.location()
    }
}

impl Watched {
    /// Tells the oracle what a snapshot stands for before anybody can meet it.
    fn note_written(&self, at: Seq, source: &mut SnapshotSource<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _infallible = source(&mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        });
        self.sim.world().oracle.note_written(self.watch, at.0, &bytes);
        bytes
    }
}

/// A process's handles on the log.
struct Handle {
    os: SimOs,
    journal: Watched,
    storage: Storage,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.os.sim.world().oracle.unwatch(self.journal.watch);
    }
}

impl Handle {
    fn open(os: &SimOs, role: Role) -> Result<Handle, trialog_storage::Error> {
        let (subject, lock_wait_max, snapshots, watch) = {
            let mut world = os.sim.world();
            let Plan { journal, lock_wait_max, snapshots, .. } = world.plan;
            let auto = |records_min| Snapshots::Auto { records_min, growth: 0.5 };
            (journal, lock_wait_max, snapshots.map_or(Snapshots::Off, auto), world.oracle.watch(os.client))
        };
        let read_only = role == Role::Reader;
        let inner: Arc<dyn Journal> = match subject {
            Subject::File => {
                let options = Options { read_only, create: !read_only, lock_wait_max, network: Network::Auto };
                Arc::new(FileJournal::open_on(Arc::new(os.clone()), super::PATH, &options)?)
            }
            Subject::Naive(bug) => Arc::new(NaiveJournal::open(Arc::new(os.clone()), super::PATH, read_only, bug)?),
        };
        let journal = Watched { inner, sim: Arc::clone(&os.sim), watch, began: Arc::default() };
        let storage = Storage::with_snapshots(Box::new(journal.clone()), snapshots)?;
        Ok(Handle { os: os.clone(), journal, storage })
    }

    /// Says what the log amounts to as this handle knows it.
    fn report(&self) {
        let (records, digest) = self.storage.with_state(|state| (state.records(), state.digest()));
        let mut world = self.os.sim.world();
        let tainted = world.oracle.is_tainted(self.journal.watch);
        world.oracle.note_digest(self.os.client, records, digest, tainted);
    }
}

/// A client's life, from its first process to the last look of all.
pub(crate) fn live(sim: &Arc<Sim>, me: usize) {
    let (role, mix_of_ops, seed, compaction) = {
        let world = sim.world();
        (world.plan.roles[me], world.plan.mix.clone(), world.plan.seed, world.plan.compaction)
    };
    let mut pid = me as u32 + 1;
    loop {
        let mut work = Work {
            role,
            mix: mix_of_ops.clone(),
            draw: Draw::new(seed, mix(u64::from(pid))),
            session: SessionId(u128::from(mix(seed ^ u64::from(pid))).to_le_bytes()),
            counter: 0,
            compaction,
            old_state: State::new(),
        };
        let os = SimOs { sim: Arc::clone(sim), client: me, pid };
        let mut last = None;
        while os.is_alive() && !os.is_over() {
            match Handle::open(&os, role) {
                Ok(handle) => last = work.run(handle),
                Err(error) => note_error(&os, None, &error),
            }
            if last.is_none() {
                pause(&os, &mut work.draw);
            }
        }
        if os.is_over() {
            sim.settle(me);
            look_once_more(sim, me, role, last);
            return;
        }
        drop(last);
        // The death was the last process's; its successor begins when the world lets it.
        let mut world = sim.world();
        world.oracle.counts.deaths += 1;
        pid = world.revive(me);
    }
}

fn pause(os: &SimOs, draw: &mut Draw) {
    use trialog_journal_file::os::Os as _;
    if os.is_alive() {
        os.sleep(Duration::from_micros(1 << draw.below(12)));
    }
}

/// Everything has been written. Who followed so far, and who opens the log only now, must be in the state that the
/// log makes.
fn look_once_more(sim: &Arc<Sim>, me: usize, role: Role, survivor: Option<Handle>) {
    debug_assert_eq!(sim.world().phase, Phase::Final);
    if let Some(handle) = survivor.filter(|handle| handle.os.is_alive()) {
        match handle.storage.refresh() {
            Ok(()) => handle.report(),
            Err(error) => note_error(&handle.os, Some(handle.journal.watch), &error),
        }
    }
    let mut looked = false;
    let mut looks_again = 3;
    // Whoever looks after a hole ends all processes, and a header that a dead creator left half done may be read
    // half old and half new by those who come at the same time.
    while !looked {
        let pid = sim.world().revive(me);
        let os = SimOs { sim: Arc::clone(sim), client: me, pid };
        let opened = Handle::open(&os, role);
        let mixed = matches!(&opened, Err(trialog_storage::Error::Journal(Error::Corrupt { offset: 0, .. })));
        looked = os.is_alive() && !(mixed && looks_again > 0);
        looks_again -= 1;
        if looked {
            look_with(sim, me, role, opened);
        }
    }
}

fn look_with(sim: &Arc<Sim>, me: usize, role: Role, opened: Result<Handle, trialog_storage::Error>) {
    match opened {
        Ok(handle) => handle.report(),
        Err(error) => {
            let mut world = sim.world();
            // A reader finds nothing where nobody came to make a log, and after a hole somebody has to look after it.
            let nothing = matches!(&error, trialog_storage::Error::Journal(Error::NotFound { .. }));
            let files = world.log_files();
            let hole = is_explained(&error) && chain::hole(&files).is_some();
            let by_itself = world.plan.journal == Subject::File && chain::is_explained(&files);
            if hole && by_itself {
                // A reader leaves it to the next writer.
                if role != Role::Reader {
                    world
                        .oracle
                        .violate(format!("client {me} did not go on behind a hole that is explained: {error}"));
                }
            } else if hole {
                world.look_after_hole();
            } else if !(nothing && files.get(&0).is_none_or(Vec::is_empty)) {
                world.oracle.violate(format!("client {me} cannot open the log at the end: {error}"));
            }
        }
    }
}

/// Whether an error is damage that lost writes explain.
fn is_explained(error: &trialog_storage::Error) -> bool {
    matches!(error, trialog_storage::Error::Journal(Error::Corrupt { detail, .. })
        if detail.contains("a loss of power explains it"))
}

/// Some errors are the world's, and some are nobody's.
fn note_error(os: &SimOs, watch: Option<Watch>, error: &trialog_storage::Error) {
    let mut world = os.sim.world();
    if !world.is_alive(os.client, os.pid) {
        return;
    }
    world.note(|_| format!("client {} got: {error}", os.client));
    world.oracle.counts.errors += 1;
    let quiet = world.plan.is_quiet();
    let tainted = watch.is_none_or(|watch| world.oracle.is_tainted(watch));
    let explained = is_explained(error);
    let allowed = match error {
        trialog_storage::Error::Journal(error) => match error {
            // Writes that were lost in part: somebody has to look after the log before it can be written again.
            Error::Corrupt { .. } if !quiet && explained => {
                // Where the rule explains it, a reader waits for the next writer, and no writer is told of it.
                let by_itself = world.plan.journal == Subject::File && chain::is_explained(&world.log_files());
                if !by_itself {
                    world.look_after_hole();
                }
                !by_itself || world.plan.roles[os.client] == Role::Reader
            }
            Error::Locked { .. } | Error::NotFound { .. } => true,
            Error::Io { .. } | Error::OutOfSpace { .. } | Error::Poisoned { .. } | Error::Unsupported { .. } => {
                !quiet
            }
            // What a machine never sent is gone for others on it, too.
            // Nor need a machine ever send a header that others on it have seen.
            Error::NotALog { .. } => !quiet && world.is_network(),
            Error::Regressed { .. } => tainted || world.oracle.losses > 0,
            _ => false,
        },
        _ => false,
    };
    if !allowed {
        world.oracle.violate(format!("client {} got an error that nothing explains: {error}", os.client));
    }
}

/// What one process does, drawn from a stream of its own.
struct Work {
    role: Role,
    mix: Mix,
    draw: Draw,
    session: SessionId,
    counter: u64,
    compaction: Option<Compactions>,
    /// For the mistake of a compactor that takes an earlier state.
    old_state: State,
}

impl Work {
    /// Works until there is an error or an end; in the end the handle is still good.
    fn run(&mut self, handle: Handle) -> Option<Handle> {
        while handle.os.is_alive() && !handle.os.is_over() {
            let result = match self.role {
                Role::Writer | Role::Batcher if self.draw.ppm(self.compaction.map_or(0, |it| it.ppm)) => {
                    self.compact(&handle)
                }
                Role::Writer if self.draw.ppm(850_000) => self.commit(&handle),
                Role::Batcher if self.draw.ppm(850_000) => self.append(&handle),
                _ => handle.storage.refresh(),
            };
            if let Err(error) = result {
                note_error(&handle.os, Some(handle.journal.watch), &error);
                // A lock that somebody keeps says nothing against the handle.
                if !matches!(error, trialog_storage::Error::Journal(Error::Locked { .. })) {
                    return None;
                }
            }
            if self.draw.ppm(300_000) || self.role == Role::Reader {
                pause(&handle.os, &mut self.draw);
            }
            if self.draw.ppm(10_000) {
                return None;
            }
        }
        handle.os.is_alive().then_some(handle)
    }

    /// Begins the next segment with the state so far, or gives back what earlier compactions folded.
    fn compact(&mut self, handle: &Handle) -> Result<(), trialog_storage::Error> {
        let Some(Compactions { fold_ppm, grace, bug, .. }) = self.compaction else {
            return Ok(());
        };
        if self.draw.coin() {
            handle.storage.refresh()?;
            let mut state = handle.storage.with_state(State::clone);
            let at = Seq(state.records());
            if bug == Some(CompactionBug::StaleState) {
                state = std::mem::take(&mut self.old_state);
                self.old_state = handle.storage.with_state(State::clone);
            }
            let history = if self.draw.ppm(fold_ppm) { History::Folded } else { History::Kept };
            handle.journal.compact(at, &mut |sink| state.stream_snapshot(sink), history)?;
        }
        Ok(handle.journal.reclaim(grace)?)
    }

    fn durability(&mut self) -> Durability {
        if self.draw.ppm(self.mix.durable_ppm) { Durability::Power } else { Durability::Process }
    }

    fn commit(&mut self, handle: &Handle) -> Result<(), trialog_storage::Error> {
        let ops = self.ops();
        let (count, durability) = (ops.len(), self.durability());
        let verdicts = handle.storage.commit(ops, durability)?;
        if verdicts.len() != count {
            handle.os.sim.world().oracle.violate("a commit got verdicts for other ops than its own");
        }
        Ok(())
    }

    fn append(&mut self, handle: &Handle) -> Result<(), trialog_storage::Error> {
        let count = self.draw.index(6);
        let mut records = Vec::new();
        for _ in 0..count {
            self.counter += 1;
            let ops = self.ops();
            let mut bytes = Vec::new();
            encode_record(
                &Record { session: SessionRef::Id(self.session), counter: self.counter, ops },
                &mut bytes,
            );
            records.push(bytes);
        }
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let durability = self.durability();
        handle.journal.append(&slices, durability)?;
        handle.storage.refresh()
    }

    fn ops(&mut self) -> Vec<Op> {
        let count = 1 + self.draw.index(3);
        (0..count).map(|_| self.op()).collect()
    }

    fn op(&mut self) -> Op {
        let mix = &self.mix;
        let weights = [mix.studies, mix.trials, mix.params, mix.reports, mix.finishes, mix.attrs];
        let mut at = self.draw.below(u64::from(weights.iter().sum::<u32>())) as u32;
        let kind = weights.iter().position(|&weight| {
            let hit = at < weight;
            at = at.saturating_sub(weight);
            hit
        });
        let study = StudyId(self.draw.below(2) as u32);
        let trial = TrialId(self.draw.below(12));
        let time = Timestamp(self.draw.below(1000) as i64);
        let value = self.draw.below(100) as f64;
        match kind.unwrap_or(0) {
            0 => Op::CreateStudy {
                name: format!("study {}", self.draw.below(3)),
                directions: vec![Direction::Minimize],
                config: None,
            },
            1 => Op::CreateTrial { study, start: time },
            2 => {
                let distribution = Distribution::float(0.0, 100.0).expect("a range in order");
                let def = ParamDef { name: format!("x{}", self.draw.below(3)), distribution };
                Op::SetParams { trial, params: vec![Param { param: ParamRef::Def(Box::new(def)), value }] }
            }
            3 => match self.draw.below(8) {
                step @ 0..6 => Op::Report { trial, step, value },
                step => {
                    let metric = |name: &str, value| MetricValue { metric: MetricRef::Name(name.into()), value };
                    Op::ReportMetrics { trial, step, values: vec![metric("loss", value), metric("acc", -value)] }
                }
            },
            4 => Op::FinishTrial { trial, state: FinalState::Complete, values: vec![value], end: time },
            _ => {
                let bytes = self.draw.below(u64::from(self.mix.attr_bytes_max) + 1) as usize;
                let letter = char::from(b'a' + self.draw.below(26) as u8);
                let text: String = std::iter::repeat_n(letter, bytes).collect();
                let value = Json::parse(&format!("\"{text}\"")).expect("a string of letters");
                Op::SetTrialUserAttr { trial, key: String::from("note"), value }
            }
        }
    }
}
