//! Opening the storage and the study that the options name.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use trialog::{ComponentSpec, Json, OpenOptions, Storage, Study, StudyBuilder};

use crate::args::{self, MakeArgs, StorageArgs, StudyArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::space::{self, Space};

/// The attribute of a study that keeps its space.
const SPACE: &str = "trialog:space";

impl StorageArgs {
    /// For looking: disturbs nobody and makes nothing.
    pub(crate) fn look(&self) -> Outcome<Storage> {
        Ok(self.options().read_only(true).open(&self.storage)?)
    }

    /// For changing what is there.
    pub(crate) fn change(&self) -> Outcome<Storage> {
        Ok(self.options().must_exist(true).open(&self.storage)?)
    }

    /// For making what is not there.
    pub(crate) fn make(&self) -> Outcome<Storage> {
        Ok(self.options().open(&self.storage)?)
    }

    pub(crate) fn options(&self) -> OpenOptions {
        let options = OpenOptions::new();
        match self.lock_wait {
            Some(wait) => options.lock_wait_max(wait),
            None => options,
        }
    }
}

impl StudyArgs {
    pub(crate) fn look(&self) -> Outcome<Study> {
        self.load(&self.storage.look()?)
    }

    pub(crate) fn change(&self) -> Outcome<Study> {
        self.load(&self.storage.change()?)
    }

    fn load(&self, storage: &Storage) -> Outcome<Study> {
        Ok(storage.study(self.name_in(storage)?).load()?)
    }

    /// The name that was given, or that of the only study.
    pub(crate) fn name_in(&self, storage: &Storage) -> Outcome<String> {
        if let Some(name) = &self.study {
            return Ok(name.clone());
        }
        let mut names = storage.study_names()?;
        match (names.len(), names.pop()) {
            (1, Some(only)) => Ok(only),
            (0, _) => Err(Failure::new(Exit::NotFound, format!("{} holds no study yet", storage.location()))),
            (count, last) => {
                names.extend(last);
                let some: Vec<&str> = names.iter().take(10).map(String::as_str).collect();
                let more = if count > some.len() { ", ..." } else { "" };
                let known = some.join(", ");
                Err(Failure::usage(format!(
                    "{} holds {count} studies ({known}{more}): name one with --study",
                    storage.location()
                )))
            }
        }
    }
}

impl MakeArgs {
    /// A study is made where a space says what it is to be; without one it must be there, with a space of its own.
    pub(crate) fn how(&self) -> How {
        if self.space.is_some() || !self.params.is_empty() { How::Either } else { How::Existing }
    }

    /// The study as it is wanted, made or loaded, and its space: the one given here, which the study keeps from now on, or
    /// the one that it kept before.
    pub(crate) fn study(&self, which: &StudyArgs, how: How) -> Outcome<(Study, Option<Space>)> {
        self.study_under(which, how, None)
    }

    /// The same, with a lease on the trials that this process begins, where the storage knows leases.
    pub(crate) fn study_under(
        &self,
        which: &StudyArgs,
        how: How,
        lease: Option<Duration>,
    ) -> Outcome<(Study, Option<Space>)> {
        let given = self.space()?;
        let open = |lease| {
            which.storage.options().must_exist(how == How::Existing).lease(lease).open(&which.storage.storage)
        };
        let storage = match open(lease) {
            // Optuna's journals have none; anything else that is wrong is wrong without one as well.
            Err(error) if error.is_invalid() && lease.is_some() => open(None)?,
            other => other?,
        };
        let name = match &which.study {
            Some(name) => name.clone(),
            None if storage.study_names()?.is_empty() => default_name(storage.location()),
            None => which.name_in(&storage)?,
        };
        let builder = self.builder(storage.study(name))?;
        let study = match how {
            How::New => builder.create()?,
            How::Existing => builder.load()?,
            How::Either => builder.load_or_create()?,
        };
        let space = match given {
            Some(space) => {
                let json = Json::from(space.to_json());
                if study.view()?.system_attrs().find(|(key, _)| *key == SPACE).map(|(_, kept)| kept) != Some(&json)
                {
                    study.set_system_attr(SPACE, json)?;
                }
                Some(space)
            }
            None => kept_space(&study)?,
        };
        Ok((study, space))
    }

    fn space(&self) -> Outcome<Option<Space>> {
        let from_file = self.space.as_deref().map(read_space).transpose()?;
        let from_options = self.params.iter().map(|option| space::read_param(option));
        Ok(space::joined(from_file, from_options.collect::<Result<_, _>>()?)?)
    }

    fn builder(&self, builder: StudyBuilder) -> Outcome<StudyBuilder> {
        let mut builder = builder;
        if !self.direction.is_empty() {
            builder = builder.directions(self.direction.iter().map(|direction| match direction {
                args::Direction::Minimize => trialog::Direction::Minimize,
                args::Direction::Maximize => trialog::Direction::Maximize,
            }));
        }
        if !self.metric_names.is_empty() {
            builder = builder.metric_names(self.metric_names.clone());
        }
        if let Some(sampler) = &self.sampler {
            builder = builder.sampler_named(&component(sampler, "sampler")?)?;
        }
        if let Some(pruner) = &self.pruner {
            builder = builder.pruner_named(&component(pruner, "pruner")?)?;
        }
        if let Some(seed) = self.seed {
            builder = builder.seed(seed);
        }
        Ok(builder)
    }
}

/// Whether a study is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    New,
    Existing,
    Either,
}

/// `tpe`, or `tpe:{"multivariate": true}`. Versions are the library's newest.
fn component(text: &str, what: &str) -> Outcome<ComponentSpec> {
    let (name, options) = text.split_once(':').unwrap_or((text, "{}"));
    let options: Value = serde_json::from_str(options)
        .map_err(|error| Failure::usage(format!("--{what} {text:?}: the options are no JSON: {error}")))?;
    if !options.is_object() {
        return Err(Failure::usage(format!("--{what} {text:?}: the options are no JSON object")));
    }
    Ok(ComponentSpec { name: name.to_owned(), version: 1, options: Json::from(options) })
}

/// What a study is called where nobody said: the log's own name without its ending.
fn default_name(location: &str) -> String {
    let path = location.strip_prefix("file:").unwrap_or(location);
    Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or("study").to_owned()
}

pub(crate) fn read_space(path: &Path) -> Outcome<Space> {
    let text = read_text(path)?;
    Ok(space::read(&path.display().to_string(), &text)?)
}

/// A file's text; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> Outcome<String> {
    let read = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|error| Failure::file("read", path, &error))
}

pub(crate) fn kept_space(study: &Study) -> Outcome<Option<Space>> {
    let view = study.view()?;
    let Some((_, kept)) = view.system_attrs().find(|(key, _)| *key == SPACE) else { return Ok(None) };
    Ok(Some(space::read("the space that the study keeps", kept.as_str())?))
}

/// What to say when a command needs a space and nobody gave one.
pub(crate) fn no_space(study: &Study) -> Failure {
    Failure::invalid(format!(
        "study {:?} keeps no space yet: give one with --space FILE or --param 'x=float(0, 1)'",
        study.name()
    ))
}
