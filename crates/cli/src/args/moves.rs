//! The options of commands that move studies.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::{Direction, StorageArgs, StudyArgs};

/// What happens where the target has a study of the name.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collide {
    /// Nothing is written.
    Fail,
    /// The new one gets another name.
    Rename,
    /// It is taken for an earlier part of the same transfer, and gone on with.
    Resume,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  trialog copy -s runs.tlog --study s --to redis://host/0\n  \
                        trialog convert -s journal.log --all --to runs.tlog\n\n\
                        Run it again with --if-taken resume to go on after a break, or to bring a copy up to date.")]
pub(crate) struct Copy {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// Where to. Default: the same storage, under another name.
    #[arg(long, value_name = "URL", value_hint = ValueHint::AnyPath)]
    pub(crate) to: Option<String>,
    /// The copy's name. Default: the same.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// All studies of the storage.
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
    /// What to do if the name is taken.
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    pub(crate) if_taken: Collide,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trialog merge -s all.tlog --name all laptop.tlog cluster.tlog#big\n\n\
                        Neither the order nor how often it is done makes a difference.")]
pub(crate) struct Merge {
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    /// The name of the merged study.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// What to do if the name is taken.
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    pub(crate) if_taken: Collide,
    /// The studies: STORAGE, or STORAGE#STUDY.
    #[arg(required = true)]
    pub(crate) sources: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Branch {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// The new study's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// After so many records of the log.
    #[arg(long, value_name = "SEQ", group = "at")]
    pub(crate) position: Option<u64>,
    /// Right after this trial ended.
    #[arg(long, value_name = "NUMBER", group = "at")]
    pub(crate) trial: Option<u32>,
    /// At this time, such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", group = "at")]
    pub(crate) time: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// Write to a file.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Jsonl,
    Csv,
    OptunaDb,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  trialog import -s runs.tlog results.csv --direction maximize\n  \
                        trialog import -s runs.tlog optuna.db --optuna-study my-study")]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// The file, or - for standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// What it holds. Default: by its content and its name.
    #[arg(long, value_name = "KIND")]
    pub(crate) from: Option<FileKind>,
    /// The directions of a table's values.
    #[arg(short, long, value_name = "DIR", value_delimiter = ',')]
    pub(crate) direction: Vec<Direction>,
    /// The study in Optuna's database. Default: one of the same name.
    #[arg(long, value_name = "NAME")]
    pub(crate) optuna_study: Option<String>,
    /// What to do if the name is taken.
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    pub(crate) if_taken: Collide,
}
