//! Can a place hold a log, and what is promised there? The doctor asks the system what the place is, and then tries: with a
//! second process where there is one, since what one process sees of its own files proves little.
//!
//! It writes files of its own beside the log and removes them again; the log itself is not touched. What other
//! machines see cannot be tried from one: there the mount is believed.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trialog_journal_file::RealOs;
use trialog_journal_file::files::{segment_numbers, segment_path};
use trialog_journal_file::mounts::{Mount, classify, mount_of_path, parse_mounts};
use trialog_journal_file::os::{Access, FileSystem, Os, OsFile};

use crate::error::Error;
use crate::peer::{InProcess, Peer, Process};

/// Less free space than this is worth a word.
const ROOM_BYTES_MIN: u64 = 64 << 20;
/// How far the clock of a file server may be off before it is worth a word.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(5);
/// How long the lock of a process that was killed may outlive it.
const DEATH_WAIT_MAX: Duration = Duration::from_secs(5);
/// 2024-01-01, and 2100-01-01: a clock outside of this is wrong.
const CLOCK_SECONDS: (u64, u64) = (1_704_067_200, 4_102_444_800);

/// How the doctor gets a second process.
pub trait Spawner {
    /// A command that runs a program which calls [`doctor_helper`](crate::doctor_helper) with its standard input and output, and does
    /// nothing else with them but perhaps print lines of its own; `None` where there can be no second process.
    fn helper(&self) -> Option<Command>;
}

/// No second process: the probes use a second descriptor in this one, which proves less.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHelper;

impl Spawner for NoHelper {
    fn helper(&self) -> Option<Command> {
        None
    }
}

/// What [`doctor`] found.
#[derive(Clone, Debug)]
pub struct Doctor {
    /// The path that was asked about.
    pub location: String,
    /// The folder that was tried.
    pub folder: PathBuf,
    /// What Trialog knows of the file system.
    pub file_system: FileSystem,
    /// Its mount, if the system tells.
    pub mount: Option<Mount>,
    /// What Trialog does there.
    pub mode: Mode,
    /// What it promises there, in the words of `docs/guarantees.md`.
    pub promises: Vec<&'static str>,
    /// What was tried.
    pub probes: Vec<Probe>,
}

/// What Trialog does at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Writes as on a local file system: the lock is let go before the flush.
    Local,
    /// Writes as on a network file system: every append is flushed before the lock is let go.
    Network,
    /// Reads, and cannot write.
    ReadOnly {
        /// Why not.
        why: String,
    },
    /// Does not open a log for writing.
    Refused {
        /// Why not, and what to do.
        why: String,
    },
}

/// Something that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What.
    pub name: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// What was seen.
    pub detail: String,
}

/// How a probe went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As Trialog needs it.
    Good,
    /// Not as it should be, and Trialog copes with it.
    Worth,
    /// Not as Trialog needs it.
    Bad,
    /// It could not be tried.
    Untried,
}

impl Doctor {
    /// The probe of this name.
    #[must_use]
    pub fn probe(&self, name: &str) -> Option<&Probe> {
        self.probes.iter().find(|probe| probe.name == name)
    }

    /// True if a log can be written there.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        matches!(self.mode, Mode::Local | Mode::Network)
    }
}

/// Examines the place of `path`, a log that is there or shall be, or a folder.
///
/// # Errors
/// [`Error::NotFound`] if there is no such folder, or what the system says if it cannot even be asked. What goes wrong
/// in a probe is in the report.
pub fn doctor(path: impl AsRef<Path>, spawner: &dyn Spawner) -> Result<Doctor, Error> {
    let path = path.as_ref();
    let location = path.display().to_string();
    let folder = folder_of(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound { location: location.clone() },
        _ => Error::io(&location, "look at")(error),
    })?;
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = parse_mounts(&table);
    let mount = mount_of_path(&mounts, &folder).cloned();
    let mut probes = Vec::new();
    let os = RealOs::default();
    let file_system = match Files::create(&os, &folder) {
        Ok(files) => {
            let file_system = files.file.file_system().map_err(Error::io(&location, "look at"))?;
            probe_all(&os, &files, spawner, &mut probes);
            file_system
        }
        Err(error) => {
            probes.push(Probe { name: "write", outcome: Outcome::Bad, detail: error.to_string() });
            classify(None, mount.as_ref())
        }
    };
    if path.is_file() {
        // Writers go on in the newest file, and lock the one before for a moment.
        let later = segment_numbers(&os, path).unwrap_or_default();
        let files = later.into_iter().chain([0]).map(|number| segment_path(path, number));
        for file in files {
            if let Err(error) = os.open(&file, Access::Write) {
                let detail = format!("{}, which is there, cannot be opened for writing: {error}", file.display());
                probes.push(Probe { name: "log", outcome: Outcome::Bad, detail });
                break;
            }
        }
    }
    let mode = judge(&file_system, &probes);
    let promises = promises(&mode);
    Ok(Doctor { location, folder, file_system, mount, mode, promises, probes })
}

/// What Trialog does on a file system like this where probes went so. Without probes: what it would do.
#[must_use]
pub fn judge(file_system: &FileSystem, probes: &[Probe]) -> Mode {
    let bad = |name: &str| probes.iter().find(|probe| probe.name == name && probe.outcome == Outcome::Bad);
    if let Some(probe) = bad("write").or_else(|| bad("log")) {
        return Mode::ReadOnly { why: probe.detail.clone() };
    }
    if let Some(doubt) = &file_system.lock_doubt {
        let why = format!(
            "its file system ({}) may not exclude other machines: {doubt}. If no other machine writes there, or you \
             know that its locks reach them, say so with the option `network`; else mount it with locks that reach the server, \
             or keep the log elsewhere",
            file_system.name
        );
        return Mode::Refused { why };
    }
    for name in ["lock", "visibility", "sync"] {
        if let Some(probe) = bad(name) {
            return Mode::Refused { why: format!("{}; keep the log elsewhere", probe.detail) };
        }
    }
    if file_system.network { Mode::Network } else { Mode::Local }
}

/// What Trialog promises in a mode.
#[must_use]
pub fn promises(mode: &Mode) -> Vec<&'static str> {
    const KEPT: &str = "what has been told survives the loss of power";
    const LOCAL: [&str; 3] = [
        KEPT,
        "a record is visible to every process of this machine when its append returns",
        "the lock dies with its holder",
    ];
    const NETWORK: [&str; 3] = [
        KEPT,
        "every append is flushed before the lock is released, whatever durability was asked for, and a writer is always up to date",
        "a reader that never locks may lag by up to 60 seconds",
    ];
    const READ: [&str; 1] = ["what is read has been verified"];
    match mode {
        Mode::Local => LOCAL.to_vec(),
        Mode::Network => NETWORK.to_vec(),
        Mode::ReadOnly { .. } | Mode::Refused { .. } => READ.to_vec(),
    }
}

fn folder_of(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return fs::canonicalize(path),
        Ok(_) => {
            let real = fs::canonicalize(path)?;
            return Ok(real.parent().map_or(real.clone(), Path::to_path_buf));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::canonicalize(parent)
}

/// The doctor's own files, which go when it is done.
struct Files {
    folder: PathBuf,
    stem: String,
    file: Arc<dyn OsFile>,
}

impl Files {
    fn create(os: &RealOs, folder: &Path) -> io::Result<Files> {
        let mut random = [0; 8];
        os.random(&mut random)?;
        let stem = format!(".trialog-doctor-{:016x}", u64::from_le_bytes(random));
        let path = folder.join(&stem);
        fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        let file = os.open(&path, Access::Write);
        let file = file.inspect_err(|_| {
            let _ = fs::remove_file(&path);
        })?;
        Ok(Files { folder: folder.into(), stem, file })
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}{suffix}", self.stem))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for suffix in SUFFIXES {
            let _ = fs::remove_file(self.path(suffix));
        }
    }
}

const SUFFIXES: [&str; 4] = ["", "-link", "-other", "-target"];

type Tried = Result<(Outcome, String), String>;

fn probe_all(os: &RealOs, files: &Files, spawner: &dyn Spawner, probes: &mut Vec<Probe>) {
    let mut add = |name: &'static str, tried: Tried| {
        let (outcome, detail) = tried.unwrap_or_else(|detail| (Outcome::Bad, detail));
        probes.push(Probe { name, outcome, detail });
    };
    add(
        "write",
        write_all(&*files.file, 0, &[0x11; 64]).map(|()| good("files can be made")).map_err(text("write")),
    );
    let (mut peer, with): (Box<dyn Peer>, _) = match Process::start(spawner) {
        Ok(Some(process)) => (Box::new(process), "another process"),
        Ok(None) => (Box::new(InProcess::default()), "another descriptor of this process"),
        Err(error) => {
            add("helper", Ok((Outcome::Untried, format!("no second process could be started: {error}"))));
            (Box::new(InProcess::default()), "another descriptor of this process")
        }
    };
    let opened = peer.open(&files.path(""));
    add("lock", opened.clone().and_then(|()| locks(&*files.file, &mut *peer, with)));
    add("visibility", opened.clone().and_then(|()| visibility(&*files.file, &mut *peer, with)));
    add("death", opened.and_then(|()| death(&*files.file, &mut *peer)));
    add("link", links(files));
    add("rename", renames(files));
    add("sync", syncs(os, files));
    add("space", Ok(space(&files.folder)));
    add("clock", clock(files));
}

fn good(detail: impl Into<String>) -> (Outcome, String) {
    (Outcome::Good, detail.into())
}

fn text(action: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("could not {action}: {error}")
}

/// What a lock here excludes. Also for tests, which hand in peers that lie.
pub(crate) fn locks(file: &dyn OsFile, peer: &mut dyn Peer, with: &str) -> Tried {
    let lock = || file.try_lock().map_err(text("lock"));
    if !lock()? {
        return Err(String::from("a new file could not be locked"));
    }
    if peer.try_lock()? {
        return Err(format!("{with} got a lock that this process holds: locks exclude nobody here"));
    }
    file.unlock().map_err(text("unlock"))?;
    if !peer.try_lock()? {
        return Err(format!("{with} did not get a lock that nobody holds"));
    }
    if lock()? {
        return Err(format!("this process got a lock that {with} holds: locks exclude nobody here"));
    }
    peer.unlock()?;
    if !lock()? {
        return Err(format!("the lock could not be had after {with} had let it go"));
    }
    file.unlock().map_err(text("unlock"))?;
    Ok(good(format!("a lock excludes {with}, both ways")))
}

pub(crate) fn visibility(file: &dyn OsFile, peer: &mut dyn Peer, with: &str) -> Tried {
    for round in 0..16_u8 {
        let offset = 64 + 128 * u64::from(round);
        write_all(file, offset, &[round + 1; 64]).map_err(text("write"))?;
        if peer.read(offset, 64)? != [round + 1; 64] {
            return Err(format!("{with} does not see what this process has written"));
        }
        peer.write(offset + 64, &[round + 101; 64])?;
        let mut seen = [0; 64];
        let got = file.read_at(offset + 64, &mut seen).map_err(text("read"))?;
        if got < 64 || seen != [round + 101; 64] {
            return Err(format!("this process does not see what {with} has written"));
        }
    }
    Ok(good(format!("what one writes, {with} sees at once")))
}

/// A lock must go with its holder.
fn death(file: &dyn OsFile, peer: &mut dyn Peer) -> Tried {
    if !peer.try_lock()? {
        return Err(String::from("a lock that nobody holds could not be had"));
    }
    if !peer.kill() {
        return Ok((Outcome::Untried, String::from("there is no second process to be killed")));
    }
    let start = Instant::now();
    while start.elapsed() < DEATH_WAIT_MAX {
        if file.try_lock().map_err(text("lock"))? {
            file.unlock().map_err(text("unlock"))?;
            let waited = start.elapsed().as_millis();
            return Ok(good(format!("the lock of a killed process was free after {waited} ms")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let detail = "the lock of a killed process stayed; a worker that is killed will keep all others waiting";
    Ok((Outcome::Worth, String::from(detail)))
}

fn links(files: &Files) -> Tried {
    let (from, to) = (files.path(""), files.path("-link"));
    if let Err(error) = fs::hard_link(&from, &to) {
        return Ok((
            Outcome::Worth,
            format!("there are no hard links here ({error}); a log in one file needs none"),
        ));
    }
    match fs::hard_link(&from, &to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(good("a link to a name that is taken fails: a name has one winner"))
        }
        Err(error) => Ok((Outcome::Worth, format!("a second link to one name fails oddly: {error}"))),
        Ok(()) => Ok((Outcome::Worth, String::from("two links to one name succeed: a name can have two winners"))),
    }
}

fn renames(files: &Files) -> Tried {
    let (from, to) = (files.path("-other"), files.path("-target"));
    fs::write(&to, b"old").map_err(text("write"))?;
    fs::write(&from, b"new").map_err(text("write"))?;
    if let Err(error) = fs::rename(&from, &to) {
        return Ok((Outcome::Worth, format!("a file cannot take another one's name here: {error}")));
    }
    let seen = fs::read(&to).map_err(text("read"))?;
    if seen == b"new" && !from.exists() {
        Ok(good("a file takes another one's name, and is seen under it at once"))
    } else {
        Ok((Outcome::Worth, String::from("a file that took another one's name is not seen under it at once")))
    }
}

fn syncs(os: &RealOs, files: &Files) -> Tried {
    const ROUNDS: u32 = 8;
    let start = Instant::now();
    for round in 0..ROUNDS {
        write_all(&*files.file, 8192 + u64::from(round), &[1]).map_err(text("write"))?;
        files.file.sync_data().map_err(|error| format!("a flush failed, so nothing here is durable: {error}"))?;
    }
    let each = start.elapsed() / ROUNDS;
    os.sync_dir(&files.folder).map_err(text("flush the folder"))?;
    Ok(good(format!("files and folders can be flushed; a flush takes {} us", each.as_micros())))
}

#[cfg(unix)]
fn space(folder: &Path) -> (Outcome, String) {
    let found = match nix::sys::statvfs::statvfs(folder) {
        Ok(found) => found,
        Err(error) => return (Outcome::Untried, format!("free space is not known: {error}")),
    };
    #[allow(clippy::useless_conversion, reason = "the fields' types differ between platforms")]
    let (blocks, bytes, files) =
        (u64::from(found.blocks_available()), u64::from(found.fragment_size()), u64::from(found.files_available()));
    let free = blocks.saturating_mul(bytes);
    let detail = format!("{} MiB are free", free >> 20);
    if free < ROOM_BYTES_MIN {
        (Outcome::Worth, detail)
    } else if files == 0 && found.files() > 0 {
        (Outcome::Worth, format!("{detail}, and no more files can be made"))
    } else {
        good(detail)
    }
}

#[cfg(not(unix))]
fn space(_: &Path) -> (Outcome, String) {
    (Outcome::Untried, String::from("free space is not known here"))
}

fn clock(files: &Files) -> Tried {
    let now = SystemTime::now();
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default();
    if seconds < CLOCK_SECONDS.0 || seconds > CLOCK_SECONDS.1 {
        return Ok((
            Outcome::Worth,
            format!("the clock says {seconds} seconds since 1970, so the times of trials will be wrong"),
        ));
    }
    let path = files.path("-other");
    fs::write(&path, b"now").map_err(text("write"))?;
    let changed = fs::metadata(&path).and_then(|found| found.modified()).map_err(text("look at a file"))?;
    let now = SystemTime::now();
    let off = now.duration_since(changed).unwrap_or_else(|early| early.duration());
    if off > CLOCK_OFF_MAX {
        let detail = format!(
            "the clock of the file system is {} s off this machine's; nothing depends on it",
            off.as_secs()
        );
        return Ok((Outcome::Worth, detail));
    }
    Ok(good("the clock is plausible, and the file system's agrees with it"))
}

fn write_all(file: &dyn OsFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(offset + done as u64, &bytes[done..])? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => done += n,
        }
    }
    Ok(())
}

impl fmt::Display for Doctor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.location, self.mode)?;
        let FileSystem { name, network, .. } = &self.file_system;
        let reach = if *network { "other machines may have its files open" } else { "on this machine" };
        write!(f, "  file system: {name}, {reach}")?;
        if let Some(Mount { point, kind, source, options, .. }) = &self.mount {
            write!(f, "; {source} of type {kind} at {point} with {}", options.join(","))?;
        }
        writeln!(f)?;
        for promise in &self.promises {
            writeln!(f, "  promised: {promise}")?;
        }
        for Probe { name, outcome, detail } in &self.probes {
            let mark = match outcome {
                Outcome::Good => "ok",
                Outcome::Worth => "note",
                Outcome::Bad => "BAD",
                Outcome::Untried => "untried",
            };
            writeln!(f, "  {mark:>7} {name}: {detail}")?;
        }
        if self.file_system.network {
            writeln!(f, "  What another machine sees cannot be tried from this one; run this there too")?;
        }
        Ok(())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Local => f.write_str("a log can be kept here, as on a local file system"),
            Mode::Network => f.write_str("a log can be kept here, as on a network file system"),
            Mode::ReadOnly { why } => write!(f, "a log can be read here and not written: {why}"),
            Mode::Refused { why } => write!(f, "a log will not be opened for writing here: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    //! The probes on a machine in memory that lies: what cannot be had from a real one.

    use trialog_testkit::{FakeOs, Lie};

    use super::*;

    struct FakePeer(Arc<dyn OsFile>);

    impl Peer for FakePeer {
        fn open(&mut self, _: &Path) -> Result<(), String> {
            Ok(())
        }

        fn try_lock(&mut self) -> Result<bool, String> {
            self.0.try_lock().map_err(|error| error.to_string())
        }

        fn unlock(&mut self) -> Result<(), String> {
            self.0.unlock().map_err(|error| error.to_string())
        }

        fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), String> {
            write_all(&*self.0, offset, bytes).map_err(|error| error.to_string())
        }

        fn read(&mut self, offset: u64, bytes: usize) -> Result<Vec<u8>, String> {
            let mut buf = vec![0; bytes];
            self.0.read_at(offset, &mut buf).map_err(|error| error.to_string())?;
            Ok(buf)
        }

        fn kill(&mut self) -> bool {
            false
        }
    }

    fn two(os: &FakeOs) -> (Arc<dyn OsFile>, FakePeer) {
        let open = |os: &FakeOs| os.open(Path::new("/probe"), Access::Create).unwrap();
        (open(os), FakePeer(open(&os.process(2))))
    }

    fn judged(name: &'static str, tried: Tried) -> Mode {
        let (outcome, detail) = tried.unwrap_or_else(|detail| (Outcome::Bad, detail));
        judge(&classify(None, None), &[Probe { name, outcome, detail }])
    }

    #[test]
    fn an_honest_machine_passes() {
        let os = FakeOs::new();
        let (file, mut peer) = two(&os);
        assert_eq!(judged("lock", locks(&*file, &mut peer, "a fake")), Mode::Local);
        assert_eq!(judged("visibility", visibility(&*file, &mut peer, "a fake")), Mode::Local);
    }

    #[test]
    fn locks_that_exclude_nobody_are_found_and_refused() {
        let os = FakeOs::new();
        os.lie(Lie::LocksExcludeNobody);
        let (file, mut peer) = two(&os);
        let Mode::Refused { why } = judged("lock", locks(&*file, &mut peer, "a fake")) else {
            panic!("the lie was believed");
        };
        assert!(why.contains("exclude nobody"), "{why}");
    }

    #[test]
    fn another_file_under_the_same_name_is_found() {
        let os = FakeOs::new();
        let (file, _) = two(&os);
        os.remove("/probe");
        let (_, mut peer) = two(&os);
        assert!(visibility(&*file, &mut peer, "a fake").is_err());
    }
}
