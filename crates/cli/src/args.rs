//! The options: one table that help, completions and man pages are made of.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

mod moves;

pub(crate) use moves::{Branch, Collide, Copy, Export, FileKind, Import, Merge};

/// Tune any program, and look after any log of studies.
#[derive(Parser, Debug)]
#[command(
    name = "trialog",
    version,
    max_term_width = 110,
    after_help = "Examples:\n  trialog run -s runs.tlog --param 'x=float(-5, 5)' -n 50 -- sh -c 'echo \"{x} ^ 2\" | bc'\n  \
                  trialog best -s runs.tlog\n  trialog trials -s runs.tlog --sort value --limit 10\n\n\
                  `trialog help COMMAND` has examples for each command. The storage is named by -s or by TRIALOG_STORAGE."
)]
pub(crate) struct Cli {
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Output")]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Tune a command: run it again and again with parameters that a sampler suggests.
    Run(Box<Run>),
    /// Begin a trial, and print its number and parameters as JSON.
    Ask(Ask),
    /// Report an intermediate value of a running trial.
    Report(Report),
    /// Ask whether a running trial should stop.
    ShouldPrune(ShouldPrune),
    /// Tell how a trial ended.
    Tell(Tell),
    /// Enqueue a trial with given parameters: the next one who asks gets it.
    Enqueue(Enqueue),
    /// Speak JSON lines on standard input and output, for programs that cannot link the library.
    Stdio(Stdio),
    /// Check a space file, or show it as it is understood.
    Space(SpaceCommand),
    /// Create a study.
    Create(Create),
    /// Delete a study. Its space is given back at the log's next compaction.
    Delete(OneStudy),
    /// List the studies of a storage.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show a study: what it is, how far it is, what is best.
    Show(OneStudy),
    /// Print a study's trials.
    Trials(Trials),
    /// Print the best trial.
    Best(OneStudy),
    /// Print the trials that no other dominates.
    BestTrials(OneStudy),
    /// Read or set attributes of a study or of a running trial.
    Attr(Attr),
    /// Show or set how much of a study there is to be.
    Budget(BudgetArgs),
    /// Show or set whether lost trials are tried again; or enqueue a finished trial's parameters once more.
    Retry(Retry),
    /// Withdraw a finished trial: it counts for nothing from here on, and stays in the log.
    Void(Decide),
    /// Let a withdrawn trial count again.
    Unvoid(Decide),
    /// Correct what a finished trial said, or take the last correction back. The former values are kept.
    Amend(AmendArgs),
    /// Copy a study, or all, to any other storage: that converts between media, too.
    #[command(visible_alias = "convert")]
    Copy(Copy),
    /// Unite studies that grew apart on machines without a connection.
    Merge(Merge),
    /// Begin a new study from an earlier point of another one.
    Branch(Branch),
    /// Read a study from JSON lines, from CSV, or from a SQLite database of Optuna's.
    Import(Import),
    /// Write a study as JSON lines, from which it comes back to the bit.
    Export(Export),
    /// Compare studies: effects with intervals, and an honest word when the data cannot tell.
    Compare(Compare),
    /// Show what a log holds and where its bytes go.
    Stat(LogPath),
    /// Look at every byte of a log, and report every damage.
    Verify(LogPath),
    /// Write what is left of a damaged log to a new one.
    Repair(Repair),
    /// Begin the log's file anew with its state, and give back the space of what that covers.
    Compact(Compact),
    /// Examine whether a place can hold a log, and what is promised there.
    Doctor(DoctorArgs),
    /// Print the digest of a log or a study: equal wherever the same records were seen.
    Digest(DigestArgs),
    /// Follow a log's ops as they arrive.
    Tail(Tail),
    /// Replay a log from its beginning; with --verify, derive every suggestion of a study again.
    Replay(Replay),
    /// Say why a trial has its parameters, and why it was pruned.
    Explain(Explain),
    /// Try a storage at a place for minutes with many processes that are killed, and give a verdict.
    Selftest(Selftest),
    /// Measure what a storage can do at a place.
    Bench(Bench),
    /// Print completions for a shell.
    Completions(Completions),
    /// Write the man pages into a folder.
    Man(Man),
    /// The second process of `doctor`.
    #[command(hide = true)]
    DoctorHelper,
    /// A worker of `selftest`.
    #[command(hide = true)]
    SelftestWorker(SelftestWorker),
}

/// Where the studies are.
#[derive(Args, Debug, Clone)]
pub(crate) struct StorageArgs {
    /// A path such as runs.tlog, or a URL such as redis://host/0.
    #[arg(short, long, env = "TRIALOG_STORAGE", value_name = "URL", value_hint = ValueHint::AnyPath)]
    pub(crate) storage: String,
    /// How long to wait for other writers before giving up. Default: 30s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) lock_wait: Option<Duration>,
}

/// Which study.
#[derive(Args, Debug, Clone)]
pub(crate) struct StudyArgs {
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    /// The study's name. Default: the only study that the storage has.
    #[arg(long, env = "TRIALOG_STUDY", value_name = "NAME")]
    pub(crate) study: Option<String>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
    /// A Parquet file; needs -o.
    Parquet,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct FormatArgs {
    /// How to print. Default: a table on a terminal, JSON elsewhere.
    #[arg(short, long, value_name = "FORMAT", help_heading = "Output")]
    pub(crate) format: Option<Format>,
}

/// What a study is made with. Given for a study that is there, sampler, pruner and seed replace what it has.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Study")]
pub(crate) struct MakeArgs {
    /// Directions, one per objective.
    #[arg(short, long, value_name = "DIR", value_delimiter = ',')]
    pub(crate) direction: Vec<Direction>,
    /// Names of the objectives, comma-separated.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) metric_names: Vec<String>,
    /// Where to look next: a name, or NAME:JSON with options, such as 'tpe:{"multivariate": true}'. Default: tpe.
    #[arg(long, value_name = "SAMPLER")]
    pub(crate) sampler: Option<String>,
    /// When to give up on a trial: a name, or NAME:JSON with options. Default: median.
    #[arg(long, value_name = "PRUNER")]
    pub(crate) pruner: Option<String>,
    /// The root of all random numbers: the same seed and the same history give the same suggestions.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// A space file, TOML or JSON.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) space: Option<PathBuf>,
    /// A parameter: NAME=float(LOW, HIGH[, log][, step=S]), NAME=int(...), NAME=choice(A, B, ...). May be repeated.
    #[arg(short, long = "param", value_name = "SPEC")]
    pub(crate) params: Vec<String>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    #[value(alias = "min")]
    Minimize,
    #[value(alias = "max")]
    Maximize,
}

#[derive(Args, Debug)]
#[command(after_help = RUN_HELP)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    /// How many trials this call runs. Default: until the study's budget, the sampler or the timeout ends it.
    #[arg(short, long, value_name = "N", help_heading = "How much")]
    pub(crate) n_trials: Option<u64>,
    /// How many trials run at the same time.
    #[arg(short, long, value_name = "N", default_value_t = 1, help_heading = "How much")]
    pub(crate) jobs: usize,
    /// No trial begins after this time, such as 90s, 15m or 2h.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "How much")]
    pub(crate) timeout: Option<Duration>,
    /// The study is to have so many trials in all, whoever runs them: kept in the log, exact for any number of runners.
    #[arg(long, value_name = "N", help_heading = "How much")]
    pub(crate) budget: Option<u64>,
    /// Where the value comes from; one for each objective. See below.
    #[arg(short, long, value_name = "SOURCE", help_heading = "What comes back")]
    pub(crate) metric: Vec<String>,
    /// Where intermediate values come from: json (default), none, or regex:PATTERN with one group (the value), two (the
    /// step and the value), or groups with names: step, value, and any other one for a metric.
    #[arg(long, value_name = "SOURCE", help_heading = "What comes back")]
    pub(crate) report: Option<String>,
    /// Kill a trial after this time; it fails.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Limits of a trial")]
    pub(crate) trial_timeout: Option<Duration>,
    /// Kill a trial whose processes have used so much processor time; it fails.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Limits of a trial")]
    pub(crate) cpu_limit: Option<Duration>,
    /// Kill a trial whose processes hold so much memory together, such as 500M or 16G; it fails.
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = "Limits of a trial")]
    pub(crate) memory_limit: Option<u64>,
    /// How long a trial has to end by itself after SIGTERM before SIGKILL.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s", help_heading = "Limits of a trial")]
    pub(crate) grace: Duration,
    /// For how long this runner may be silent, say because its machine is gone, before others take its trials for lost.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s", help_heading = "Failures")]
    pub(crate) lease: Duration,
    /// How often a trial is tried again whose runner died.
    #[arg(long, value_name = "N", help_heading = "Failures")]
    pub(crate) retries: Option<u32>,
    /// Stop after so many failed trials in a row; 0 stands for never.
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Failures")]
    pub(crate) max_failures: u64,
    /// Where output, parameters and a folder for each trial go. Default: beside the log, PATH.trials/STUDY.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, help_heading = "Output")]
    pub(crate) output: Option<PathBuf>,
    /// Say nothing but errors.
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// The command, with placeholders such as {lr}.
    #[arg(last = true, required = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<String>,
}

const RUN_HELP: &str = "Placeholders in the command:
  {lr}            the value of a parameter
  {momentum?}     the same; the whole argument is left out where the parameter takes no part
  {momentum:-0}   the same, with a value for that case
  {trial} {dir} {params}   the trial's number, its folder, and a JSON file with its parameters
  {{lr}}          the text {lr} itself; braces around anything but a name stay as they are

The environment of the command has TRIALOG_TRIAL, TRIALOG_STUDY, TRIALOG_STORAGE, TRIALOG_DIR, TRIALOG_PARAMS (the
parameters as JSON) and TRIALOG_PARAM_NAME for each parameter.

Sources of the value (--metric):
  last            the last line of the output: a number, or JSON with \"value\" or \"values\" (default)
  json:KEY        the KEY of the last JSON line that has it
  regex:PATTERN   the first group of the last match in the output
  file:PATH       a file in the trial's folder with a number, or with JSON and \"value\"
  exit            the exit code

Intermediate values are JSON lines such as {\"step\": 3, \"value\": 0.71} in the output, as they come. A trial that the
pruner gives up on gets SIGTERM, then SIGKILL, all its processes with it.

Examples:
  trialog run -s runs.tlog --space space.toml -n 100 -j 4 -- python train.py --lr {lr} --layers {n_layers}
  trialog run -s runs.tlog --param 'lr=float(1e-5, 0.1, log)' -d maximize -m 'regex:accuracy=([0-9.]+)' -n 20 -- ./train {lr}";

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  trialog ask -s runs.tlog --param 'x=float(0, 1)'\n  {\"trial\":0,\"params\":{\"x\":0.37}}\n\n\
                        The space is kept in the study: later calls need not repeat it."
)]
pub(crate) struct Ask {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    /// A name of the caller's own for this request: the same request again gets the same trial.
    #[arg(long, value_name = "ID")]
    pub(crate) request: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// The trial's number.
    #[arg(env = "TRIALOG_TRIAL")]
    pub(crate) trial: u32,
    /// How far it has come, such as an epoch.
    pub(crate) step: u64,
    /// The intermediate value, and METRIC=VALUE for each named metric.
    #[arg(allow_negative_numbers = true, required = true, value_parser = reported)]
    pub(crate) values: Vec<Reported>,
}

/// A value, of a named metric or of none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reported {
    pub(crate) metric: Option<String>,
    pub(crate) value: f64,
}

fn reported(text: &str) -> Result<Reported, String> {
    let (metric, value) = match text.rsplit_once('=') {
        Some((metric, value)) => (Some(metric.to_owned()), value),
        None => (None, text),
    };
    let value = value.parse().map_err(|_| format!("{value:?} is no number"))?;
    Ok(Reported { metric, value })
}

#[derive(Args, Debug)]
pub(crate) struct ShouldPrune {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// The trial's number.
    pub(crate) trial: u32,
    /// Exit with 10 if it should stop, and print nothing.
    #[arg(long)]
    pub(crate) exit_code: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trialog tell -s runs.tlog 0 0.25\n  trialog tell -s runs.tlog 1 --state pruned\n\n\
                        Telling the same again is no error."
)]
pub(crate) struct Tell {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// The trial's number.
    pub(crate) trial: u32,
    /// One value per objective.
    #[arg(allow_negative_numbers = true)]
    pub(crate) values: Vec<f64>,
    /// How it ended.
    #[arg(long, default_value = "complete")]
    pub(crate) state: EndState,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndState {
    Complete,
    Pruned,
    #[value(alias = "fail")]
    Failed,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trialog enqueue -s runs.tlog '{\"x\": 0.5, \"optimizer\": \"adam\"}'")]
pub(crate) struct Enqueue {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// The parameters as a JSON object; what it does not name is sampled.
    pub(crate) params: String,
    /// Do nothing if a trial with these parameters is there.
    #[arg(long)]
    pub(crate) skip_if_exists: bool,
    /// A user attribute, KEY=JSON. May be repeated.
    #[arg(long = "attr", value_name = "KEY=JSON")]
    pub(crate) attrs: Vec<String>,
    /// A name of the caller's own for this request: the same request again does nothing.
    #[arg(long, value_name = "ID")]
    pub(crate) request: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  $ trialog stdio -s runs.tlog --study s --param 'x=float(0, 1)'\n  \
                        < {\"id\": 1, \"do\": \"ask\"}\n  > {\"id\":1,\"ok\":{\"trial\":0,\"params\":{\"x\":0.37}}}\n  \
                        < {\"id\": 2, \"do\": \"tell\", \"trial\": 0, \"values\": [0.1369]}\n  \
                        > {\"id\":2,\"ok\":{\"trial\":0,\"state\":\"complete\"}}\n\ndocs/cli.md has every verb.")]
pub(crate) struct Stdio {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

#[derive(Args, Debug)]
pub(crate) struct SpaceCommand {
    #[command(subcommand)]
    pub(crate) command: SpaceVerb,
}

#[derive(Subcommand, Debug)]
pub(crate) enum SpaceVerb {
    /// Say whether a space file makes sense, with the place of what does not.
    Check {
        /// The file, or - for standard input.
        file: PathBuf,
    },
    /// Print a space file as JSON, as it is understood.
    Show {
        /// The file, or - for standard input.
        file: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    /// Do not mind if it is there already.
    #[arg(long)]
    pub(crate) if_missing: bool,
}

#[derive(Args, Debug)]
pub(crate) struct OneStudy {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trialog trials -s runs.tlog --where 'state == \"complete\" and value < 0.1' --sort value\n  \
                        trialog trials -s runs.tlog --columns number,value,params_lr -f csv\n  \
                        trialog trials -s runs.tlog -f parquet -o trials.parquet"
)]
pub(crate) struct Trials {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// Only those for which this is true: an expression over the columns.
    #[arg(long = "where", value_name = "EXPR")]
    pub(crate) filter: Option<String>,
    /// By this column, rising; -COLUMN for falling.
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
    /// Only so many.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Only these columns, in this order, comma-separated.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// Write to a file.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trialog attr -s runs.tlog\n  trialog attr -s runs.tlog dataset '\"mnist\"'\n  \
                        trialog attr -s runs.tlog --trial 3 note '{\"gpu\": 1}'"
)]
pub(crate) struct Attr {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// Of this trial, not of the study.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) trial: Option<u32>,
    /// The attribute. Without it all are printed.
    pub(crate) key: Option<String>,
    /// Its new value, as JSON. Without it the value is printed.
    pub(crate) value: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct BudgetArgs {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// So many trials begin.
    #[arg(long, value_name = "N")]
    pub(crate) trials: Option<u64>,
    /// So many trials end complete or pruned.
    #[arg(long, value_name = "N")]
    pub(crate) finished: Option<u64>,
    /// No trial begins after so much time from now on.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) within: Option<Duration>,
    /// No limit any more.
    #[arg(long, conflicts_with_all = ["trials", "finished", "within"])]
    pub(crate) unlimited: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Retry {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// Enqueue the parameters of this trial once more.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) trial: Option<u32>,
    /// How often a trial is tried again whose process died.
    #[arg(long, value_name = "N")]
    pub(crate) max: Option<u32>,
    /// The next attempt begins with the intermediate values of the lost one.
    #[arg(long)]
    pub(crate) inherit_reports: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Each side is a storage, or STORAGE#STUDY; a pattern STORAGE#PREFIX* takes every study with that prefix as a seed.\n\n\
                        Example:\n  trialog compare 'runs.tlog#tpe-*' 'runs.tlog#random-*' --at 10,50,100"
)]
pub(crate) struct Compare {
    /// One side.
    pub(crate) left: String,
    /// The other side.
    pub(crate) right: String,
    /// After how many finished trials to compare, comma-separated. Default: quarters of the shorter study.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(crate) at: Vec<usize>,
    /// The confidence of the intervals.
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    pub(crate) confidence: f64,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Args, Debug)]
pub(crate) struct LogPath {
    /// The log's path.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) log: PathBuf,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Args, Debug)]
pub(crate) struct Repair {
    /// The damaged log. It is only read.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) log: PathBuf,
    /// The new log.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) target: PathBuf,
    /// Also keep what is likely and not proven. Look at the result before you use it.
    #[arg(long)]
    pub(crate) likely: bool,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Args, Debug)]
pub(crate) struct Compact {
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    /// Keep the records that the new state covers, so that the whole history can be read.
    #[arg(long)]
    pub(crate) keep_history: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// A log that is there or shall be, or a folder.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Args, Debug)]
pub(crate) struct DigestArgs {
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    /// Of this study, not of the whole log.
    #[arg(long, value_name = "NAME")]
    pub(crate) study: Option<String>,
    /// After so many records; for a file.
    #[arg(long, value_name = "SEQ", conflicts_with = "study")]
    pub(crate) at: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct Tail {
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    /// Begin with the first record, not with what comes from now on.
    #[arg(long)]
    pub(crate) all: bool,
    /// End when what is there has been printed.
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// How often to look.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "500ms")]
    pub(crate) every: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// Ask the study's sampler at every place where it was asked, and compare. Exits with 6 if something differs.
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// The trial's number.
    pub(crate) trial: u32,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Args, Debug)]
pub(crate) struct Decide {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// The trial's number.
    pub(crate) trial: u32,
    /// Why; it is kept with who and when.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trialog amend -s runs.tlog 3 --value 0.25 --reason 'it was in percent'")]
pub(crate) struct AmendArgs {
    #[command(flatten)]
    pub(crate) decide: Decide,
    /// The right value; one for each objective.
    #[arg(long = "value", value_name = "VALUE", allow_negative_numbers = true)]
    pub(crate) values: Vec<f64>,
    /// The right state.
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<EndState>,
    /// A user attribute, KEY=JSON. May be repeated.
    #[arg(long = "attr", value_name = "KEY=JSON")]
    pub(crate) attrs: Vec<String>,
    /// Take the last correction back.
    #[arg(long)]
    pub(crate) undo: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trialog selftest --minutes 5 /mnt/cluster/me")]
pub(crate) struct Selftest {
    /// A folder, such as one on the mount that the log shall lie on.
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) path: PathBuf,
    /// For how long.
    #[arg(long, value_name = "M", default_value_t = 1.0)]
    pub(crate) minutes: f64,
    /// How many worker processes.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) workers: usize,
    /// The seed of who is killed when. Default: random, and printed.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Args, Debug)]
pub(crate) struct SelftestWorker {
    pub(crate) storage: String,
    pub(crate) acknowledged: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// A folder, or the URL of a storage that may be written to.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) path: String,
    /// For how long each measurement runs.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    pub(crate) each: Duration,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trialog completions bash > /etc/bash_completion.d/trialog")]
pub(crate) struct Completions {
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Made if it is not there.
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
}

/// `90s`, `15m`, `2h`, `1.5d`, `250ms`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim() {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(format!("{text:?} is no time: write 250ms, 90s, 15m, 2h or 1d")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("{text:?} is no time: write 250ms, 90s, 15m, 2h or 1d"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("{text:?} is too long"))
}

/// `4096`, `500M`, `16G`; powers of 1024.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: write 4096, 500M or 16G");
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let power = match unit.trim().trim_end_matches(['B', 'b']).trim_end_matches('i') {
        "" => 0,
        "K" | "k" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Ok((number * 1024f64.powi(power)) as u64)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_table_of_options_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_and_command_has_a_word_of_help() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments().filter(|_| !command.is_hide_set()) {
                assert!(
                    argument.get_help().is_some() || argument.get_id() == "shell",
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
        }
    }

    #[test]
    fn times_and_sizes() {
        assert_eq!(duration("90").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("1.5m").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert!(duration("soon").is_err() && duration("-1s").is_err() && duration("1e999d").is_err());
        assert_eq!(bytes("4096").unwrap(), 4096);
        assert_eq!(bytes("1.5G").unwrap(), 3 << 29);
        assert_eq!(bytes("2MiB").unwrap(), 2 << 20);
        assert!(bytes("much").is_err());
    }
}
