//! What runs on the machine, and what is done to it meanwhile.

use std::fs;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Outcome;
use crate::check::{self, Diaries};
use crate::guest::{self, HOST, LEASE, Machine, Place, until, until_within};
use crate::worker::{ENOUGH, LOCK_WAIT, STOP};

const STUDY: &str = "runs.tlog";
const PLAIN: &str = "plain.tlog";
const DIARIES: &str = "/mnt/diaries";

/// The two clients and the server.
const PLACES: [Place; 3] = [Place::Client(0), Place::Client(1), Place::Server];

/// What four processes on two clients have to append in a second, durably and all together.
const APPENDS_MIN: f64 = 150.0;
/// How soon another has the lock and its record is durable once the holder is dead.
const HANDOVER_MAX: Duration = Duration::from_millis(100);

/// Readers may be behind by as long as a client trusts what it knows of a file, which is a minute at most.
const VIEWS_AGREE_WITHIN: Duration = Duration::from_secs(90);
/// A hard mount waits for its server, however long that takes; here none is away for longer than this.
const END_WITHIN: Duration = Duration::from_secs(120);

/// How long things take.
struct Plan {
    quick: bool,
    calm: Duration,
    rate: Duration,
    handovers: u32,
    kills: u32,
    short_cut: Duration,
    long_cut: Duration,
    stop: Duration,
    full: Duration,
    rounds: u32,
}

const QUICK: Plan = Plan {
    quick: true,
    calm: Duration::from_secs(2),
    rate: Duration::from_secs(4),
    handovers: 5,
    kills: 6,
    short_cut: Duration::from_secs(3),
    long_cut: Duration::from_secs(13),
    stop: Duration::from_secs(2),
    full: Duration::from_secs(3),
    rounds: 1,
};

const FULL: Plan = Plan {
    quick: false,
    calm: Duration::from_secs(5),
    rate: Duration::from_secs(10),
    handovers: 20,
    kills: 30,
    short_cut: Duration::from_secs(4),
    long_cut: Duration::from_secs(25),
    stop: Duration::from_secs(12),
    full: Duration::from_secs(8),
    rounds: 2,
};

/// Everything, once for each version of the protocol.
pub(crate) fn run() -> Outcome {
    let plan = if std::env::var_os("TRIALOG_NFS_QUICK").is_some() { QUICK } else { FULL };
    let versions = std::env::var("TRIALOG_NFS_VERSIONS").map_err(|_| "the host names no versions".to_owned())?;
    let machine = Machine::boot()?;
    println!("a server and its two clients run");
    let mut faults = Vec::new();
    for (index, version) in versions.split(',').enumerate() {
        machine.mount(version)?;
        println!("\nNFS version {version}");
        let canary = if index == 0 { canary(&machine, version) } else { Ok(()) };
        let outcome = canary.and_then(|()| {
            // Slow is a fault, and no reason not to look whether it is right.
            faults.extend(figures(&machine, version, &plan)?.map(|slow| format!("version {version}: {slow}")));
            campaign(&machine, version, &plan)
        });
        if let Err(problem) = outcome {
            println!("version {version}: {problem}");
            faults.push(format!("version {version}: {problem}"));
            keep(version);
            break;
        }
        machine.unmount()?;
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

/// Leaves logs and diaries on the host.
fn keep(version: &str) {
    let _ = guest::run(&format!("mkdir -p {HOST}/failed-{version}"));
    for what in [DIARIES.to_owned(), format!("/mnt/export/{version}")] {
        let _ = guest::run(&format!("cp -r {what} {HOST}/failed-{version}/"));
    }
}

/// Workers, those that have been and those that are.
struct Crew<'a> {
    machine: &'a Machine,
    folder: String,
    workers: Vec<Worker>,
    born: u32,
    diaries: Vec<(&'static str, String)>,
    random: u64,
}

struct Worker {
    role: &'static str,
    place: Place,
    diary: String,
    child: Child,
}

impl Worker {
    fn last_line(&self) -> String {
        let text = fs::read_to_string(&self.diary).unwrap_or_default();
        text.lines().last().unwrap_or_default().to_owned()
    }

    fn says(&self, word: &str) -> bool {
        self.last_line().split(' ').next() == Some(word)
    }

    fn shown(&self) -> String {
        format!("{} at {:?} ({})", self.role, self.place, self.diary)
    }

    fn kill(&mut self) -> Outcome {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(drop).map_err(|error| format!("cannot kill {}: {error}", self.shown()))
    }

    fn signal(&self, signal: &str) -> Outcome {
        guest::run(&format!("kill -{signal} {}", self.child.id()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Crew<'a> {
    fn new(machine: &'a Machine, folder: &str) -> Outcome<Crew<'a>> {
        for signal in [STOP, ENOUGH] {
            let _ = fs::remove_file(signal);
        }
        fs::create_dir_all(DIARIES).map_err(|error| format!("cannot make {DIARIES}: {error}"))?;
        let folder = folder.to_owned();
        Ok(Crew { machine, folder, workers: Vec::new(), born: 0, diaries: Vec::new(), random: 1 })
    }

    fn start(&mut self, role: &'static str, place: Place) -> Outcome {
        self.born += 1;
        let worker = self.spawn(role, place)?;
        self.workers.push(worker);
        Ok(())
    }

    fn spawn(&mut self, role: &'static str, place: Place) -> Outcome<Worker> {
        let id = format!("{}{}", self.folder.replace('/', "-"), self.born);
        let diary = format!("{DIARIES}/{id}-{role}");
        let log = if matches!(role, "study" | "view" | "compact") { STUDY } else { PLAIN };
        let log = format!("{}/{log}", self.machine.folder(place, &self.folder)?);
        self.diaries.push((role, diary.clone()));
        // It is there before the worker is, which may be killed before it has begun.
        fs::write(&diary, "").map_err(|error| format!("cannot write {diary}: {error}"))?;
        let mut command = self.machine.command(place);
        let child = command.args([role, &log, &diary, &id]).stdin(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("cannot start a worker: {error}"))?;
        Ok(Worker { role, place, diary, child })
    }

    /// Kills a worker, with no time to end anything, and has another take its place.
    fn replace(&mut self, index: usize) -> Outcome {
        self.workers[index].kill()?;
        let (role, place) = (self.workers[index].role, self.workers[index].place);
        self.born += 1;
        self.workers[index] = self.spawn(role, place)?;
        Ok(())
    }

    /// Signals all workers at a place.
    fn signal_at(&self, place: Place, signal: &str) -> Outcome {
        self.workers.iter().filter(|worker| worker.place == place).try_for_each(|worker| worker.signal(signal))
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % n
    }

    fn read(&self, log: &str) -> Outcome<Diaries> {
        let of_study = log == STUDY;
        let chosen =
            self.diaries.iter().filter(|(role, _)| matches!(*role, "study" | "view" | "compact") == of_study);
        Diaries::read(&chosen.map(|(_, path)| path.clone()).collect::<Vec<_>>())
    }

    /// How much was acknowledged until now.
    fn acknowledged(&self) -> Outcome<(usize, usize)> {
        let study = self.read(STUDY)?;
        Ok((study.count("told") + study.count("late"), self.read(PLAIN)?.count("appended")))
    }

    /// Does something, and says what was acknowledged meanwhile.
    fn through(&mut self, what: &str, weather: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        let (start, before) = (Instant::now(), self.acknowledged()?);
        weather(self)?;
        for worker in &mut self.workers {
            if let Ok(Some(status)) = worker.child.try_wait() {
                return Err(format!("{} ended by itself with {status}: {}", worker.shown(), worker.last_line()));
            }
        }
        let (seconds, after) = (start.elapsed().as_secs_f64(), self.acknowledged()?);
        let (trials, records) = (after.0 - before.0, after.1 - before.1);
        println!("    {what:<44} {seconds:>5.1} s  {trials:>5} trials told  {records:>5} records appended");
        Ok(())
    }

    /// Everybody writes again: nothing that was done has stopped anyone for good.
    fn recover(&mut self) -> Outcome {
        self.through("everybody goes on", |crew| match crew.wait_for_words() {
            // A request for a lock that the cable held back, and that the client repeated, can come to the server after
            // the unlock: in version 3 nothing tells it from a new one, and its client knows nothing of it.
            Err(problem) if crew.folder.starts_with('3') && crew.is_locked_by_nobody() => {
                println!("    {problem}");
                println!("    the server keeps a lock that nobody has, and is restarted to be rid of it");
                crew.machine.stop_server()?;
                crew.machine.start_server()?;
                crew.wait_for_words()
            }
            outcome => outcome,
        })
    }

    fn wait_for_words(&self) -> Outcome {
        let writers = self.workers.iter().filter(|worker| matches!(worker.role, "study" | "append"));
        let writers: Vec<(&Worker, usize)> = writers.map(|worker| (worker, words(worker))).collect();
        writers.iter().try_for_each(|(worker, before)| {
            let what = format!("a word from {}", worker.shown());
            let said = until_within(END_WITHIN, &what, || words(worker) > *before);
            said.map_err(|problem| format!("{problem}, which ends with: {}", worker.last_line()))
        })
    }

    /// True if everybody who writes the same log waits for its lock.
    fn is_locked_by_nobody(&self) -> bool {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        locks.lines().filter(|line| line.contains("POSIX") || line.contains("OFDLCK")).for_each(|line| {
            println!("    lock {line}");
        });
        ["study", "append"].iter().any(|role| {
            let mut those = self.workers.iter().filter(|worker| worker.role == *role);
            let is_waiting = |worker: &Worker| {
                let before = words(worker);
                let said = until_within(LOCK_WAIT, "a word", || words(worker) > before);
                said.is_err() && worker.last_line().starts_with("refused locked")
            };
            those.all(is_waiting)
        })
    }

    /// Ends all that writes.
    fn stop(&mut self) -> Outcome {
        fs::write(STOP, "").map_err(|error| format!("cannot write {STOP}: {error}"))?;
        self.workers.iter_mut().try_for_each(|worker| match worker.role {
            "append" | "naive" | "compact" => end(worker),
            "study" => {
                until_within(END_WITHIN, &format!("the end of {}", worker.shown()), || worker.says("digest"))
            }
            _ => Ok(()),
        })
    }

    /// The log, as the server calls it.
    fn log(&self, name: &str) -> Outcome<String> {
        Ok(format!("{}/{name}", self.machine.folder(Place::Server, &self.folder)?))
    }

    /// Ends all writers, waits until all views are equal, and holds what was claimed against the logs.
    fn finish(mut self) -> Outcome {
        let start = Instant::now();
        self.stop()?;
        let (study, plain) = (self.log(STUDY)?, self.log(PLAIN)?);
        let history = check::plain(&plain, &self.read(PLAIN)?)?;
        let saw = format!("saw {} {}", history.records, history.hash);
        let wanted = if self.workers.iter().any(|worker| worker.role == "study") {
            check::study(&study, &self.read(STUDY)?)?;
            format!("digest {}", check::digest(&study)?)
        } else {
            String::new()
        };
        for worker in &self.workers {
            let wanted = match worker.role {
                "study" | "view" => &wanted,
                "follow" => &saw,
                _ => continue,
            };
            let agrees = until_within(VIEWS_AGREE_WITHIN, &format!("{wanted} by {}", worker.shown()), || {
                worker.last_line() == *wanted
            });
            agrees.map_err(|problem| format!("{problem}; it says: {}", worker.last_line()))?;
        }
        fs::write(ENOUGH, "").map_err(|error| format!("cannot write {ENOUGH}: {error}"))?;
        self.workers.iter_mut().try_for_each(end)?;
        // What came while they waited for one another is true as well.
        check::plain(&plain, &self.read(PLAIN)?)?;
        let (trials, records) = self.acknowledged()?;
        println!(
            "    {trials} trials and {records} records acknowledged: each is there once, all views are equal ({:.1} s)",
            start.elapsed().as_secs_f64()
        );
        for log in [STUDY, PLAIN] {
            let diaries = self.read(log)?;
            println!("    refused meanwhile, {log}: {}", diaries.refusals());
            diaries.refused_otherwise().iter().for_each(|said| println!("      {said}"));
        }
        Ok(())
    }
}

/// How many things the worker was told.
fn words(worker: &Worker) -> usize {
    let text = fs::read_to_string(&worker.diary).unwrap_or_default();
    text.lines().filter(|line| ["told", "late", "appended"].iter().any(|word| line.starts_with(word))).count()
}

fn end(worker: &mut Worker) -> Outcome {
    let start = Instant::now();
    loop {
        match worker.child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{} ended with {status}", worker.shown())),
            Ok(None) if start.elapsed() < END_WITHIN => sleep(Duration::from_millis(20)),
            Ok(None) => return Err(format!("{} does not end; it says: {}", worker.shown(), worker.last_line())),
            Err(error) => return Err(format!("cannot wait for {}: {error}", worker.shown())),
        }
    }
}

/// With the lock on a file beside the log, records are lost as soon as somebody follows it; the checks have to see that.
fn canary(machine: &Machine, version: &str) -> Outcome {
    let mut crew = Crew::new(machine, &format!("{version}/canary"))?;
    for index in 0..4 {
        crew.start("naive", Place::Client(index % 2))?;
    }
    until("there is a log", || crew.workers.iter().any(|worker| words(worker) > 0))?;
    for index in 0..2 {
        crew.start("follow", Place::Client(index))?;
    }
    sleep(Duration::from_secs(5));
    crew.stop()?;
    match check::plain(&crew.log(PLAIN)?, &crew.read(PLAIN)?) {
        Ok(_) => Err("the canary lives: a lock on another file lost nothing that the checks saw".to_owned()),
        Err(problem) => {
            println!("    the canary is dead, as it has to be: {problem}");
            Ok(())
        }
    }
}

/// What is durable in a second, and how long a dead holder is in the way. Says if that is slower than promised; the
/// short case is too short to say.
fn figures(machine: &Machine, version: &str, plan: &Plan) -> Outcome<Option<String>> {
    let mut crew = Crew::new(machine, &format!("{version}/figures"))?;
    for index in 0..4 {
        crew.start("append", Place::Client(index % 2))?;
    }
    until("all four append", || crew.workers.iter().all(|worker| words(worker) > 5))?;
    let (start, before) = (Instant::now(), crew.acknowledged()?.1);
    sleep(plan.rate);
    let appends = crew.acknowledged()?.1 - before;
    let rate = appends as f64 / start.elapsed().as_secs_f64();
    crew.finish()?;
    println!("    4 processes on 2 clients: {rate:.0} durable appends/s in total");

    let mut crew = Crew::new(machine, &format!("{version}/handover"))?;
    let mut times = Vec::new();
    for round in 0..plan.handovers as usize {
        times.push(handover(&mut crew, Place::Client(round % 2), Place::Client(1 - round % 2))?);
    }
    crew.finish()?;
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "    from the kill of the holder to the next one's durable record: {:.0} ms, at worst {:.0} ms of {}",
        millis(median),
        millis(worst),
        times.len()
    );
    // A machine that is shared with others is late now and then; half of the time it is not.
    let is_slow = !plan.quick && (rate < APPENDS_MIN || median > HANDOVER_MAX);
    let promised = || format!("too slow: {APPENDS_MIN} appends/s and {:.0} ms are promised", millis(HANDOVER_MAX));
    Ok(is_slow.then(promised))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn handover(crew: &mut Crew<'_>, holder: Place, heir: Place) -> Outcome<Duration> {
    // The log is there, and nobody has to make it.
    crew.start("next", heir)?;
    end(&mut crew.workers[0])?;
    crew.workers.clear();
    crew.start("hold", holder)?;
    until("the lock is held", || crew.workers[0].says("held"))?;
    crew.start("next", heir)?;
    until("somebody waits for it", || crew.workers[1].says("waits"))?;
    sleep(Duration::from_millis(300));
    if !crew.workers[1].says("waits") {
        return Err("two have the lock".to_owned());
    }
    let killed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    crew.workers[0].kill()?;
    end(&mut crew.workers[1])?;
    let line = crew.workers[1].last_line();
    crew.workers.clear();
    let at = line.strip_prefix("at ").and_then(|at| at.parse().ok()).map(Duration::from_micros);
    at.ok_or_else(|| format!("no time in {line:?}")).map(|at| at.saturating_sub(killed))
}

/// Workers, followers and compactors everywhere, and all that can be done to them.
fn campaign(machine: &Machine, version: &str, plan: &Plan) -> Outcome {
    let mut crew = Crew::new(machine, &format!("{version}/campaign"))?;
    crew.start("study", Place::Server)?;
    crew.start("append", Place::Server)?;
    until("both logs are there", || crew.workers.iter().all(|worker| words(worker) > 0))?;
    for place in PLACES {
        crew.start("follow", place)?;
        crew.start("view", place)?;
        if place != Place::Server {
            crew.start("append", place)?;
            crew.start("study", place)?;
            crew.start("study", place)?;
        }
        if place != Place::Client(1) {
            crew.start("compact", place)?;
        }
    }
    crew.through("nothing happens", |_| pause(plan.calm))?;
    for round in 0..plan.rounds as usize {
        crew.through("workers are killed", |crew| {
            (0..plan.kills).try_for_each(|_| {
                let index = crew.below(crew.workers.len() as u64) as usize;
                crew.replace(index)?;
                let time = crew.below(400);
                pause(Duration::from_millis(time))
            })
        })?;
        crew.recover()?;
        crew.through("holders of the lock are killed", |crew| {
            let place = Place::Client(round % 2);
            (0..2).try_for_each(|_| {
                crew.start("hold", place)?;
                let mut holder = crew.workers.pop().ok_or("who was just started is there")?;
                until_within(END_WITHIN, "the lock is held", || holder.says("held"))?;
                pause(Duration::from_millis(500))?;
                holder.kill()
            })
        })?;
        crew.recover()?;
        crew.through("workers are stopped and go on", |crew| {
            let chosen = [0, 1, 2].map(|_| crew.below(crew.workers.len() as u64) as usize);
            chosen.iter().try_for_each(|&index| crew.workers[index].signal("STOP"))?;
            pause(plan.stop)?;
            chosen.iter().try_for_each(|&index| crew.workers[index].signal("CONT"))
        })?;
        crew.recover()?;
        for (client, time) in [(round % 2, plan.short_cut), (1 - round % 2, plan.long_cut)] {
            let than = if time > LEASE { "longer" } else { "shorter" };
            crew.through(&format!("a cable is pulled, {than} than the lease"), |_| {
                machine.cut(client)?;
                pause(time)?;
                machine.mend(client)
            })?;
            crew.recover()?;
        }
        // A server that ends lets go of its clients' locks, and gives them back when it begins again. Nobody keeps its own
        // processes off the files meanwhile: one of them can take a lock that a client is given back, and both write. That
        // is not promised, so they stand still.
        crew.through("the server is restarted", |crew| {
            crew.signal_at(Place::Server, "STOP")?;
            machine.stop_server()?;
            pause(plan.calm)?;
            machine.start_server()?;
            pause(LEASE + LEASE / 2)?;
            crew.signal_at(Place::Server, "CONT")
        })?;
        crew.recover()?;
        crew.through("the disk is full", |_| {
            machine.fill()?;
            pause(plan.full)?;
            machine.free()
        })?;
        crew.recover()?;
    }
    crew.finish()
}

fn pause(time: Duration) -> Outcome {
    sleep(time);
    Ok(())
}
