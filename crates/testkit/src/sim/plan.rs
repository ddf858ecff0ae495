//! What a run is made of: how many clients, on what, doing what, and which faults may strike how often. A plan is
//! drawn from a seed by swarm: most runs lack some operations and some faults, so that others show more clearly.

use super::draw::Draw;
use super::naive::Bug;
use std::fmt;
use std::time::Duration;

/// Where the log lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A disk of the one machine on which all clients run.
    Local,
    /// A server, and several machines that mount it.
    Network,
}

/// Who works on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Commits ops, and follows what others do.
    Writer,
    /// Appends several records at once.
    Batcher,
    /// Follows, through a handle that may not write.
    Reader,
}

/// What a client's time is spent on, as weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Studies are made.
    pub studies: u32,
    /// Trials are made.
    pub trials: u32,
    /// Parameters are set.
    pub params: u32,
    /// Intermediate values are reported.
    pub reports: u32,
    /// Trials are finished.
    pub finishes: u32,
    /// Attributes are set.
    pub attrs: u32,
    /// Attributes are at most so long.
    pub attr_bytes_max: u32,
    /// So many records in a million survive a loss of power when their append returns.
    pub durable_ppm: u32,
}

/// How often what goes wrong, in a million calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A call fails with an error number.
    pub errno: u32,
    /// A sync fails, and takes what it should have made durable with it.
    pub sync: u32,
    /// A read or write does less than it was asked to.
    pub short: u32,
    /// A process is killed, perhaps in the middle of a write.
    pub kill: u32,
    /// A machine loses power.
    pub power: u32,
    /// A process is stopped and goes on later.
    pub stop: u32,
    /// The server starts again; what it was not asked to keep may be gone.
    pub restart: u32,
    /// A machine is cut off from the server for a while.
    pub partition: u32,
    /// The server forgets a lock.
    pub lock_loss: u32,
    /// A part of a client's unsynced bytes reaches the server.
    pub writeback: u32,
}

/// All that a run depends on, beside the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where all random numbers come from.
    pub seed: u64,
    /// Where the log lies.
    pub medium: Medium,
    /// The clients.
    pub roles: Vec<Role>,
    /// How many machines they run on.
    pub machines: usize,
    /// After so many calls nothing goes wrong any more and the clients come to an end.
    pub calls: u64,
    /// In a million calls, how often another client goes on.
    pub switch_ppm: u32,
    /// What writers do.
    pub mix: Mix,
    /// What goes wrong.
    pub faults: Faults,
    /// What a network client's cache keeps together.
    pub page_bytes: usize,
    /// How long a network client believes what it knows of a file.
    pub attrs_for: Duration,
    /// How long the server keeps the locks of a machine that it does not hear from.
    pub lease: Duration,
    /// How long a writer waits for the lock.
    pub lock_wait_max: Duration,
    /// After how many records a snapshot is kept beside the log, if ever.
    pub snapshots: Option<u64>,
    /// How the log is compacted, if ever.
    pub compaction: Option<Compactions>,
    /// Whether a server can give back a stretch of a file.
    pub holes: bool,
    /// A journal with this mistake is used in place of the real one.
    pub journal: Subject,
}

/// How the log is compacted in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compactions {
    /// In a million of a writer's turns, how often it compacts.
    pub ppm: u32,
    /// Whether records are folded, or only sometimes.
    pub fold_ppm: u32,
    /// How long folded records stay before their space is given back.
    pub grace: Duration,
    /// A mistake that the compactor makes, to see whether it is found.
    pub bug: Option<CompactionBug>,
}

/// A mistake of a compactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompactionBug {
    /// The snapshot is that of an earlier moment than it says.
    StaleState,
    /// The next segment is not synced before the seal names it.
    SkipsSync,
    /// The next segment's name is not made durable before the seal names it.
    SkipsFolderSync,
    /// The living segment is not locked while its last records are copied and it is sealed.
    IgnoresLock,
    /// Nobody makes a seal durable before writing behind it.
    UnsettledSeal,
    /// The stretch that is given back reaches into the seal.
    PunchesSeal,
}

impl CompactionBug {
    /// All of them.
    pub const ALL: [CompactionBug; 6] = [
        CompactionBug::StaleState,
        CompactionBug::SkipsSync,
        CompactionBug::SkipsFolderSync,
        CompactionBug::IgnoresLock,
        CompactionBug::UnsettledSeal,
        CompactionBug::PunchesSeal,
    ];
}

/// What is being tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The journal on a file.
    File,
    /// A simple one of the simulator's own, without a known mistake or with one.
    Naive(Option<Bug>),
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Plan {
        let mut draw = Draw::new(seed, 1);
        let medium = if draw.coin() { Medium::Local } else { Medium::Network };
        let clients = 1 + draw.index(5);
        let mut roles: Vec<Role> = (0..clients)
            .map(|_| draw.pick(&[Role::Writer, Role::Writer, Role::Writer, Role::Batcher, Role::Reader]))
            .collect();
        roles[0] = draw.pick(&[Role::Writer, Role::Batcher]);
        let machines = if medium == Medium::Local { 1 } else { 1 + draw.index(clients.min(3)) };
        let mut weight = |weights: &[u32]| draw.pick(weights);
        let mix = Mix {
            studies: weight(&[1, 1, 3]),
            trials: weight(&[2, 6]),
            params: weight(&[0, 4]),
            reports: weight(&[0, 4, 8]),
            finishes: weight(&[0, 3]),
            attrs: weight(&[0, 1, 4]),
            attr_bytes_max: weight(&[10, 700, 6000]),
            durable_ppm: weight(&[0, 200_000, 500_000, 1_000_000]),
        };
        // Rare things at several rates, so that some runs have long quiet stretches and some have none.
        let quiet = weight(&[0, 0, 0, 1]) == 1;
        let mut rate = |rates: &[u32]| if quiet || draw.coin() { 0 } else { draw.pick(rates) };
        let faults = Faults {
            errno: rate(&[1_000, 5_000, 30_000]),
            sync: rate(&[500, 3_000]),
            short: rate(&[5_000, 50_000]),
            kill: rate(&[1_000, 5_000, 15_000]),
            power: rate(&[500, 2_000, 8_000]),
            stop: rate(&[1_000, 10_000]),
            restart: rate(&[1_000, 5_000]),
            partition: rate(&[1_000, 5_000]),
            lock_loss: rate(&[500, 3_000]),
            writeback: rate(&[20_000, 200_000]),
        };
        Plan {
            seed,
            medium,
            roles,
            machines,
            calls: draw.pick(&[150, 300, 300, 600]),
            switch_ppm: draw.pick(&[30_000, 150_000, 400_000, 900_000]),
            mix,
            faults,
            page_bytes: draw.pick(&[512, 4096]),
            attrs_for: Duration::from_millis(draw.pick(&[0, 5, 50, 200])),
            lease: Duration::from_millis(draw.pick(&[20, 80])),
            lock_wait_max: Duration::from_millis(draw.pick(&[5, 60, 400])),
            snapshots: draw.pick(&[None, Some(3), Some(15)]),
            compaction: draw.coin().then(|| Compactions {
                ppm: draw.pick(&[5_000, 40_000, 200_000]),
                fold_ppm: draw.pick(&[0, 500_000, 1_000_000]),
                grace: Duration::from_millis(draw.pick(&[0, 1, 20])),
                bug: None,
            }),
            holes: draw.coin(),
            journal: Subject::File,
        }
    }

    /// Whether nothing goes wrong in it.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let Faults { writeback: _, ref stop, ref short, .. } = self.faults;
        Faults { writeback: self.faults.writeback, stop: *stop, short: *short, ..Faults::default() } == self.faults
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {} on {:?}, {:?} on {} machine(s), {} calls",
            self.seed, self.medium, self.roles, self.machines, self.calls
        )?;
        writeln!(f, "  testing {:?}, switches {} ppm", self.journal, self.switch_ppm)?;
        writeln!(f, "  {:?}", self.mix)?;
        writeln!(f, "  {:?}", self.faults)?;
        write!(
            f,
            "  pages of {} bytes, attributes for {:?}, lease {:?}, lock wait {:?}, snapshots {:?}, \
             compaction {:?}, holes {}",
            self.page_bytes,
            self.attrs_for,
            self.lease,
            self.lock_wait_max,
            self.snapshots,
            self.compaction,
            self.holes
        )
    }
}
