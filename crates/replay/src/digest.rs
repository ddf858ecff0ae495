//! The digest: a hash over the canonical encoding of a state, by which two processes compare what they know.
//!
//! What follows from the trials (counts, the best, joint spaces) is left out, since equal trials give equal
//! indices. Every field is written with a fixed width or its length in front, so that no two states share an
//! encoding; `docs/format.md` does not promise it, it may change with a version.

use std::fmt;

use sha2::{Digest as _, Sha256};
use trialog_ops::{Amendment, Choice, Direction, Distribution, Json, StudyId, TrialState};

use crate::audit::{Change, ChangeKind};
use crate::state::State;
use crate::view::{StudyView, TrialView};

/// The first 128 bits of the SHA-256 of a state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 16]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl State {
    /// The digest of everything the log said: equal after equal records, in any process, on any machine.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut out = Sink::new();
        out.number(self.records);
        out.number(self.sessions.len() as u64);
        for session in &self.sessions {
            out.bytes(&session.id.0);
            out.number(session.counter);
        }
        out.number(self.workers.list.len() as u64);
        for worker in &self.workers.list {
            out.bytes(&worker.id.0);
            out.number(worker.lease_ms);
            out.number(worker.last);
        }
        out.number(self.workers.owners().len() as u64);
        for (trial, worker) in self.workers.owners() {
            out.number(trial.0);
            out.number(u64::from(worker.0));
        }
        out.number(self.workers.lost().len() as u64);
        self.workers.lost().for_each(|trial| out.number(trial.0));
        out.number(self.workers.attempts().len() as u64);
        for attempts in self.workers.attempts() {
            out.number(attempts.len() as u64);
            attempts.iter().for_each(|trial| out.number(trial.0));
        }
        out.number(self.params.iter().count() as u64);
        for def in self.params.iter() {
            out.text(&def.name);
            out.distribution(&def.distribution);
        }
        out.number(self.trials.len() as u64);
        for (study, number) in &self.trials {
            out.number(u64::from(study.0) << 32 | u64::from(number.0));
        }
        out.number(self.studies.len() as u64);
        for id in 0..self.studies.len() as u32 {
            match self.view(StudyId(id)) {
                Some(view) => {
                    out.study(&view);
                    // Who wrote a change where is no part of a study, which may be a copy.
                    for change in view.changed().flat_map(TrialView::changes) {
                        out.number(u64::from(change.worker.0));
                        out.number(change.record);
                    }
                }
                None => out.byte(0),
            }
        }
        // The keys of metrics, behind all else: logs without any have the digests that they always had.
        self.metrics.names.iter().for_each(|name| out.text(name));
        out.finish()
    }
}

impl StudyView {
    /// The digest of this study alone.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut out = Sink::new();
        out.study(self);
        out.finish()
    }
}

/// Gathers bytes so that the hash sees few and long stretches.
struct Sink {
    hash: Sha256,
    buffer: Vec<u8>,
}

impl Sink {
    fn new() -> Sink {
        Sink { hash: Sha256::new(), buffer: Vec::with_capacity(8192) }
    }

    fn finish(mut self) -> Digest {
        self.hash.update(&self.buffer);
        let full = self.hash.finalize();
        let mut short = [0; 16];
        short.copy_from_slice(&full[..16]);
        Digest(short)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > 8192 {
            self.hash.update(&self.buffer);
            self.buffer.clear();
        }
        self.buffer.extend_from_slice(bytes);
    }

    fn byte(&mut self, byte: u8) {
        self.bytes(&[byte]);
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn float(&mut self, value: f64) {
        self.number(value.to_bits());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Sink, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// Items with their number behind them, since their number is only known then.
    fn all<T>(&mut self, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Sink, T)) {
        let mut count = 0;
        for item in items {
            self.byte(1);
            write(self, item);
            count += 1;
        }
        self.byte(0);
        self.number(count);
    }

    fn attrs<'a>(&mut self, attrs: impl Iterator<Item = (&'a str, &'a Json)>) {
        self.all(attrs, |out, (key, value)| {
            out.text(key);
            out.text(value.as_str());
        });
    }

    fn distribution(&mut self, distribution: &Distribution) {
        match distribution {
            Distribution::Float(d) => {
                self.byte(0);
                self.float(d.low());
                self.float(d.high());
                self.byte(u8::from(d.is_log()));
                self.option(d.step(), Sink::float);
            }
            Distribution::Int(d) => {
                self.byte(1);
                for number in [d.low(), d.high(), d.step()] {
                    self.number(number.cast_unsigned());
                }
                self.byte(u8::from(d.is_log()));
            }
            Distribution::Categorical(d) => {
                self.byte(2);
                self.all(d.choices().iter(), Sink::choice);
            }
        }
    }

    fn choice(&mut self, choice: &Choice) {
        match choice {
            Choice::Null => self.byte(0),
            Choice::Bool(v) => self.bytes(&[1, u8::from(*v)]),
            Choice::Int(v) => {
                self.byte(2);
                self.number(v.cast_unsigned());
            }
            Choice::Float(v) => {
                self.byte(3);
                self.float(*v);
            }
            Choice::Str(v) => {
                self.byte(4);
                self.text(v);
            }
        }
    }

    fn study(&mut self, view: &StudyView) {
        self.byte(1);
        self.text(view.name());
        self.all(view.directions().iter(), |out, direction| {
            out.byte(u8::from(*direction == Direction::Maximize));
        });
        self.option(view.metric_names(), |out, names| out.all(names.iter(), |out, name| out.text(name)));
        self.option(view.config(), |out, config| {
            for component in [&config.sampler, &config.pruner] {
                out.text(&component.name);
                out.number(u64::from(component.version));
                out.text(component.options.as_str());
            }
            out.number(config.seed);
        });
        let budget = view.budget();
        self.option(budget.trials, Sink::number);
        self.option(budget.finished, Sink::number);
        self.option(budget.until, |out, until| out.number(until.0.cast_unsigned()));
        self.number(u64::from(view.retry_policy().retries_max));
        self.byte(u8::from(view.retry_policy().inherit_reports));
        self.attrs(view.user_attrs());
        self.attrs(view.system_attrs());
        self.number(view.trial_count() as u64);
        for trial in view.trials() {
            self.trial(trial);
        }
        view.ended_after(0).for_each(|trial| self.number(u64::from(trial.number().0)));
        // Nothing that may follow a study begins like these two.
        for trial in view.trials().filter(|trial| trial.told_metrics().len() > 0) {
            self.byte(0xfe);
            self.number(u64::from(trial.number().0));
            self.all(trial.told_metrics(), |out, (name, reports)| {
                out.text(name);
                out.reports(reports);
            });
        }
        for trial in view.changed() {
            self.byte(0xff);
            self.changed(trial);
        }
    }

    fn trial(&mut self, trial: TrialView<'_>) {
        let state: TrialState = trial.state();
        self.byte(state as u8);
        for time in [trial.start(), trial.end()] {
            self.option(time, |out, time| out.number(time.0.cast_unsigned()));
        }
        self.all(trial.values(), Sink::float);
        self.all(trial.params(), |out, (name, distribution, value)| {
            out.text(name);
            out.distribution(distribution);
            out.float(value);
        });
        self.reports(trial.told_reports());
        self.attrs(trial.user_attrs());
        self.attrs(trial.system_attrs());
        self.all(trial.constraints(), |out, (name, value)| {
            out.text(name);
            out.float(value);
        });
    }

    fn reports(&mut self, reports: &[(u64, f64)]) {
        self.number(reports.len() as u64);
        for &(step, value) in reports {
            self.number(step);
            self.float(value);
        }
    }

    fn changed(&mut self, trial: TrialView<'_>) {
        self.number(u64::from(trial.number().0));
        self.byte(trial.told_state() as u8);
        self.all(trial.changes().iter(), Sink::change);
        self.all(trial.amendments().iter(), |out, amended| out.amendment(&amended.before));
    }

    fn change(&mut self, change: &Change) {
        match &change.what {
            ChangeKind::Voided => self.byte(0),
            ChangeKind::Unvoided => self.byte(1),
            ChangeKind::Amended(amendment) => {
                self.byte(2);
                self.amendment(amendment);
            }
            ChangeKind::Undone(place) => {
                self.byte(3);
                self.number(u64::from(*place));
            }
        }
        self.text(&change.note.by);
        self.number(change.note.at.0.cast_unsigned());
        self.text(&change.note.reason);
    }

    fn amendment(&mut self, amendment: &Amendment) {
        self.option(amendment.state, |out, state| out.byte(TrialState::from(state) as u8));
        self.option(amendment.values.as_ref(), |out, values| {
            out.all(values.iter(), |out, value| out.float(*value));
        });
        self.all(amendment.user_attrs.iter(), |out, (key, value)| {
            out.text(key);
            out.option(value.as_ref(), |out, value| out.text(value.as_str()));
        });
        self.all(amendment.constraints.iter(), |out, (name, value)| {
            out.text(name);
            out.option(*value, Sink::float);
        });
    }
}
