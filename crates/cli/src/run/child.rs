//! One trial's processes: started in a group of their own, listened to, held to their limits, and stopped all together.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::usage::{self, Usage};

/// How often limits and signals are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How often the use of memory and processor is looked at.
const USAGE_EVERY: Duration = Duration::from_millis(250);
/// How long to wait for output after the command itself has ended: processes that it left behind may hold the pipe.
const DRAIN: Duration = Duration::from_secs(2);
/// Longer lines are cut: they are no metric, and need not be held in memory.
const LINE_BYTES_MAX: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) wall: Option<Duration>,
    pub(crate) cpu: Option<Duration>,
    pub(crate) memory: Option<u64>,
    pub(crate) grace: Duration,
}

/// Why a trial's processes were stopped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stopped {
    /// By the pruner.
    Pruned(String),
    /// By a limit, named with its size.
    Limit(String),
    /// By Ctrl-C or SIGTERM.
    Signal,
    /// Since the log could not be written.
    Log(String),
}

pub(crate) enum Ending {
    Exited(ExitStatus),
    Stopped(Stopped),
}

/// Is called with each line of output and whether it is standard output's, and now and then with none.
pub(crate) type Listener<'a> = dyn FnMut(Option<(&str, bool)>) -> Verdict + 'a;

/// What the listener says about a line or a tick.
pub(crate) enum Verdict {
    GoOn,
    Stop(Stopped),
}

struct Line {
    text: String,
    is_stdout: bool,
}

/// Runs the command to its end.
pub(crate) fn run(
    command: &mut Command,
    dir: &Path,
    limits: &Limits,
    listen: &mut Listener<'_>,
) -> Result<Ending, String> {
    let cannot = |what: &str, error: std::io::Error| format!("cannot {what}: {error}");
    let file = |name: &str| {
        File::create(dir.join(name)).map_err(|error| cannot(&format!("write {name} in {}", dir.display()), error))
    };
    let (stdout_file, stderr_file) = (file("stdout")?, file("stderr")?);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    new_group(command);
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|error| cannot(&format!("start {program:?}"), error))?;
    let (sender, lines) = channel();
    if let Some(pipe) = child.stdout.take() {
        let sender = sender.clone();
        std::thread::spawn(move || pump(pipe, stdout_file, true, &sender));
    }
    if let Some(pipe) = child.stderr.take() {
        let sender = sender.clone();
        std::thread::spawn(move || pump(pipe, stderr_file, false, &sender));
    }
    drop(sender);
    let mut running =
        Running { group: child.id(), child, limits, begun: Instant::now(), last_usage: Instant::now() };
    running.follow(&lines, listen)
}

/// Copies a pipe to a file, and its lines to the channel. A file that cannot be written must not stop the program.
fn pump(pipe: impl Read, mut file: File, is_stdout: bool, lines: &Sender<Line>) {
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let _ = file.write_all(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        // A progress bar writes over its line: what counts is what stands there in the end.
        let text = text.trim_end_matches(['\n', '\r']);
        let text = text.rsplit('\r').next().unwrap_or(text).to_owned();
        let _ = lines.send(Line { text, is_stdout });
    }
}

struct Running<'a> {
    child: Child,
    group: u32,
    limits: &'a Limits,
    begun: Instant,
    last_usage: Instant,
}

impl Running<'_> {
    fn follow(&mut self, lines: &Receiver<Line>, listen: &mut Listener<'_>) -> Result<Ending, String> {
        let mut ended: Option<(ExitStatus, Instant)> = None;
        loop {
            let next = lines.recv_timeout(TICK);
            let is_silent = matches!(next, Err(RecvTimeoutError::Disconnected));
            let verdict = match &next {
                Ok(line) => listen(Some((&line.text, line.is_stdout))),
                Err(_) => listen(None),
            };
            if let Some((status, at)) = ended {
                // Nothing can stop it any more; what it printed last still counts.
                if is_silent || at.elapsed() > DRAIN {
                    signal(self.group, Signal::Kill);
                    return Ok(Ending::Exited(status));
                }
                continue;
            }
            let stop = match verdict {
                Verdict::Stop(why) => Some(why),
                Verdict::GoOn => self.over_limit().map(Stopped::Limit),
            };
            if let Some(why) = stop {
                self.stop();
                return Ok(Ending::Stopped(why));
            }
            let status = self.child.try_wait().map_err(|error| format!("cannot wait for the command: {error}"))?;
            ended = status.map(|status| (status, Instant::now()));
            if is_silent && ended.is_none() {
                // It has closed its output and goes on.
                std::thread::sleep(TICK / 5);
            }
        }
    }

    fn over_limit(&mut self) -> Option<String> {
        if let Some(wall) = self.limits.wall
            && self.begun.elapsed() > wall
        {
            return Some(format!("it ran longer than {} s", wall.as_secs_f64()));
        }
        if self.limits.cpu.is_none() && self.limits.memory.is_none() || self.last_usage.elapsed() < USAGE_EVERY {
            return None;
        }
        self.last_usage = Instant::now();
        let Usage { cpu, memory } = usage::of_group(self.group)?;
        if let Some(limit) = self.limits.cpu.filter(|limit| cpu > *limit) {
            return Some(format!("it used more than {} s of processor time", limit.as_secs_f64()));
        }
        let limit = self.limits.memory.filter(|limit| memory > *limit)?;
        Some(format!("it held {} MiB of memory, more than {} MiB", memory >> 20, limit >> 20))
    }

    /// SIGTERM, some time to end well, SIGKILL; for all processes of the group.
    fn stop(&mut self) {
        signal(self.group, Signal::Term);
        let deadline = Instant::now() + self.limits.grace;
        while Instant::now() < deadline && !matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
            std::thread::sleep(TICK / 5);
        }
        signal(self.group, Signal::Kill);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy)]
enum Signal {
    Term,
    Kill,
}

#[cfg(unix)]
fn new_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

#[cfg(not(unix))]
fn new_group(_command: &mut Command) {}

/// Signals a whole group. One that is gone is what was wanted.
#[cfg(unix)]
fn signal(group: u32, which: Signal) {
    use nix::sys::signal::{self, killpg};
    let which = match which {
        Signal::Term => signal::Signal::SIGTERM,
        Signal::Kill => signal::Signal::SIGKILL,
    };
    if let Ok(group) = i32::try_from(group) {
        let _ = killpg(nix::unistd::Pid::from_raw(group), which);
    }
}

#[cfg(not(unix))]
fn signal(_group: u32, _which: Signal) {}
