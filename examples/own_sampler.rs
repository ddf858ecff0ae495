//! A sampler of one's own, which sees the brackets of Hyperband: trials of one bracket are stopped by the same rule, so it
//! learns from those of the new trial's bracket alone.

use trialog::pruners::Hyperband;
use trialog::samplers::{Proposal, Sampler, draw, stream};
use trialog::{ComponentSpec, Distribution, Pruned, StudyView, TrialNumber, TrialState, float};

const EPOCHS: u64 = 27;

/// Takes over each parameter from the best trial of the bracket, or draws it anew, half of the time each.
struct FromTheBest {
    hyperband: Hyperband,
}

impl Sampler for FromTheBest {
    /// What the log says of it. A process that does not have this sampler says so when it opens the study.
    fn spec(&self) -> ComponentSpec {
        ComponentSpec::named("from_the_best")
    }

    /// No parameter is known beforehand: each is sampled when the objective asks for it.
    fn sample_relative(&self, _: &StudyView, _: TrialNumber, _: u64) -> Vec<Proposal> {
        Vec::new()
    }

    /// A function of its arguments and nothing else, so that any process comes to the same value, also years later.
    fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        distribution: &Distribution,
    ) -> f64 {
        let bracket = self.hyperband.bracket(view, number);
        let mut best: Option<(f64, f64)> = None;
        for trial in view.trials().filter(|trial| trial.state() == TrialState::Complete) {
            if self.hyperband.bracket(view, trial.number()) != bracket {
                continue;
            }
            if let (Some(loss), Some(value)) = (trial.value(0), trial.param(name))
                && best.is_none_or(|(least, _)| loss < least)
            {
                best = Some((loss, value));
            }
        }
        let mut stream = stream(seed, number, name);
        match best {
            Some((_, value)) if distribution.contains(value) && stream.uniform() < 0.5 => value,
            _ => draw(&mut stream, distribution),
        }
    }
}

fn main() -> trialog::Result<()> {
    let hyperband = || Hyperband::new().max_resource(EPOCHS);
    let study = trialog::open("memory:")?
        .study("own sampler")
        .sampler(FromTheBest { hyperband: hyperband() })
        .pruner(hyperband())
        .load_or_create()?;
    study.optimize(120, |trial| {
        let rate = trial.suggest_float("rate", float(1e-5..=1.0).log())?;
        let momentum = trial.suggest_float("momentum", 0.0..=1.0)?;
        let mut loss = f64::INFINITY;
        for epoch in 0..EPOCHS {
            loss = (rate.log10() + 2.0).powi(2) + (momentum - 0.9).powi(2) + 1.0 / (epoch + 1) as f64;
            trial.report(epoch, loss)?;
            if trial.should_prune()? {
                return Err(Pruned.into());
            }
        }
        Ok(loss)
    })?;
    println!("best value {} at {}", study.best_value()?, study.best_params()?);
    Ok(())
}
