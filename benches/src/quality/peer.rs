//! The other side: a program that runs jobs with Optuna, and what it has run before, kept in files.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use trialog_numerics::hash_bytes;

use super::run::{Done, Job, is_honest, read};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How to start the other program, which version of Optuna it has, and its finished jobs.
pub struct Optuna {
    python: String,
    script: String,
    /// The version of Optuna.
    pub version: String,
    /// Modules that some samplers need and the environment does not have.
    lacking: Vec<String>,
    /// The folder of finished jobs, if any are kept.
    folder: Option<PathBuf>,
    known: Mutex<HashMap<PathBuf, HashMap<u64, Value>>>,
}

/// One process of the other program, started when there is something to do.
pub struct Peer<'a> {
    optuna: &'a Optuna,
    process: Option<Process>,
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Optuna {
    /// Asks the interpreter for its Optuna. Jobs that were finished by the same version and the same script are kept
    /// under `folder`.
    ///
    /// # Errors
    /// An interpreter without Optuna, or a script that cannot be read.
    pub fn new(python: &str, script: &str, folder: Option<&Path>) -> Result<Optuna, BoxError> {
        let program = "import importlib.metadata as m, importlib.util as u; print(m.version('optuna')); \
                       print(*(name for name in ('torch', 'scipy', 'cmaes') if u.find_spec(name) is None))";
        let said = Command::new(python).args(["-c", program]).output()?;
        let said = String::from_utf8(said.stdout)?;
        let mut words = said.split_whitespace().map(String::from);
        let version = words.next().ok_or("the interpreter has no Optuna")?;
        let lacking = words.collect();
        // The functions are not in it: whatever they said is compared with ours every time.
        let text = fs::read(script)?;
        let folder = folder.map(|folder| folder.join(format!("optuna-{version}-{:016x}", hash_bytes(&text))));
        if let Some(folder) = &folder {
            fs::create_dir_all(folder)?;
        }
        let (python, script) = (python.to_owned(), script.to_owned());
        Ok(Optuna { python, script, version, lacking, folder, known: Mutex::default() })
    }

    /// The module without which the sampler of this name cannot run there, if it is missing.
    #[must_use]
    pub fn lacks(&self, name: &str) -> Option<&str> {
        let needs: &[&str] = match name {
            "gp" => &["torch", "scipy"],
            "cmaes" => &["cmaes"],
            _ => &[],
        };
        self.lacking.iter().map(String::as_str).find(|lacking| needs.contains(lacking))
    }

    /// A process to be.
    #[must_use]
    pub fn peer(&self) -> Peer<'_> {
        Peer { optuna: self, process: None }
    }

    /// The file of this job's function and sampler, or pruner. What the function is to the other program is in its name,
    /// and where budgets cannot be cut short, the budget.
    fn file(&self, job: &Job<'_>) -> Option<PathBuf> {
        let mut shape = job.function.to_json().to_string();
        if job.function.curve.is_some() {
            let _ = write!(shape, "{}", job.budget);
        }
        let name = format!("{}-{}-{:016x}.jsonl", job.function.name, job.name, hash_bytes(shape.as_bytes()));
        self.folder.as_ref().map(|folder| folder.join(name))
    }

    /// The answer to this job, or to one that is the same but longer.
    fn look_up(&self, job: &Job<'_>) -> Option<Value> {
        let file = self.file(job)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = known.entry(file).or_insert_with_key(|file| {
            let lines = fs::read_to_string(file).unwrap_or_default();
            let mut jobs: HashMap<u64, Value> = HashMap::new();
            // A line that was cut off by the end of a run is no answer; the longest answer of a seed counts.
            for answer in lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
                let Some(seed) = answer["seed"].as_u64() else { continue };
                let before = jobs.get(&seed).and_then(|known| known["budget"].as_u64());
                if before < answer["budget"].as_u64() {
                    jobs.insert(seed, answer);
                }
            }
            jobs
        });
        jobs.get(&job.seed).filter(|answer| answer["budget"].as_u64() >= Some(job.budget)).cloned()
    }

    fn keep(&self, job: &Job<'_>, answer: &Value) -> Result<(), BoxError> {
        let Some(file) = self.file(job) else { return Ok(()) };
        let mut file = OpenOptions::new().create(true).append(true).open(file)?;
        // One write, since several programs may add to the file.
        Ok(file.write_all(format!("{answer}\n").as_bytes())?)
    }
}

impl Peer<'_> {
    /// The trials of a job and the processor seconds that one of them took. The functions of both sides must agree at each
    /// of them.
    ///
    /// # Errors
    /// What has gone wrong with the other program, or where the functions differ.
    pub fn run(&mut self, job: &Job<'_>) -> Result<(Vec<Done>, f64), BoxError> {
        let answer = match self.optuna.look_up(job) {
            Some(answer) => answer,
            None => {
                let answer = self.ask(job)?;
                self.optuna.keep(job, &answer)?;
                answer
            }
        };
        let mut trials =
            read(job.function, &answer["trials"]).ok_or("what Optuna's program printed are no trials")?;
        let seconds = answer["seconds"].as_f64().unwrap_or(f64::NAN) / trials.len() as f64;
        if job.function.curve.is_none() {
            trials.retain(|trial| trial.number < job.budget);
        }
        match trials.iter().find(|trial| !is_honest(job, trial)) {
            Some(Done { point, told, .. }) => {
                Err(format!("the functions differ at {point:?}: Optuna's says {told:?}").into())
            }
            None => Ok((trials, seconds)),
        }
    }

    fn ask(&mut self, job: &Job<'_>) -> Result<Value, BoxError> {
        let Job { function, name, seed, budget, .. } = job;
        let process = match &mut self.process {
            Some(process) => process,
            none => none.insert(Process::start(&self.optuna.python, &self.optuna.script)?),
        };
        let line = json!({ "function": function.to_json(), "name": name, "seed": seed, "budget": budget });
        writeln!(process.input, "{line}")?;
        let mut answer = String::new();
        process.output.read_line(&mut answer)?;
        let mut answer: Value = serde_json::from_str(&answer).map_err(|_| "Optuna's program has stopped")?;
        answer["seed"] = json!(seed);
        answer["budget"] = json!(budget);
        Ok(answer)
    }
}

impl Process {
    fn start(python: &str, script: &str) -> Result<Process, BoxError> {
        let mut command = Command::new(python);
        // No compiled scripts beside the sources, and no threads that fight over the same cores.
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("OMP_NUM_THREADS", "1").arg(script);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().ok_or("the other program has no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("the other program has no output")?);
        Ok(Process { child, input, output })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
