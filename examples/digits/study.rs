//! The study: what is tuned, how one trial goes, and how it is looked at. All of Trialog that this example uses is here.

use std::ops::ControlFlow;

use trialog::pruners::Hyperband;
use trialog::samplers::Tpe;
use trialog::{BoxError, Pruned, Result, Study, Trial, TrialState};

use crate::data::Digits;
use crate::network::Activation;
use crate::train::{Params, train};

/// Epochs of a trial that nobody stops.
const EPOCHS: u64 = 30;

/// Opens the file and the study in it; makes what is not there. Every process of this example calls this, and all of
/// them have the same study.
pub(crate) fn open(path: &str) -> Result<Study> {
    trialog::open(path)?
        .study("digits")
        .maximize()
        // TPE takes running trials for bad ones, so that four workers do not all try the same.
        .sampler(Tpe::default())
        .pruner(Hyperband::new().max_resource(EPOCHS))
        .load_or_create()
}

/// Runs so many trials.
pub(crate) fn work(study: &Study, digits: &Digits, trials: usize) -> Result<()> {
    study.optimize(trials, |trial| objective(trial, digits))
}

/// One trial: a network is put together, trained, and judged by the digits that it was not trained on.
fn objective(trial: &mut Trial, digits: &Digits) -> std::result::Result<f64, BoxError> {
    let mut hidden = Vec::new();
    for layer in 0..trial.suggest_int("n_hidden_layers", 1..=5)? {
        let width = trial.suggest_int(&format!("hidden_dim[{layer}]"), 10..=50)?;
        let name = trial.suggest_categorical(&format!("activation_func[{layer}]"), &Activation::NAMES)?;
        hidden.push((usize::try_from(width)?, Activation::from_name(name).ok_or("no such activation")?));
    }
    let params = Params {
        hidden,
        lr: trial.suggest_float("lr", trialog::float(1e-5..=1e-2).log())? as f32,
        momentum: trial.suggest_float("momentum", 0.5..=1.0)? as f32,
        batch_size: usize::try_from(trial.suggest_int("batch_size", trialog::int(16..=128).log())?)?,
        epochs: EPOCHS,
        seed: u64::from(trial.number().0),
    };
    // What goes wrong between two epochs is kept until the training has let go.
    let mut verdict = Ok(());
    let accuracy = train(digits, &params, |epoch, accuracy| {
        verdict = report(trial, epoch, accuracy);
        if verdict.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    verdict.map(|()| accuracy)
}

fn report(trial: &mut Trial, epoch: u64, accuracy: f64) -> std::result::Result<(), BoxError> {
    trial.report(epoch, accuracy)?;
    if trial.should_prune()? { Err(Pruned.into()) } else { Ok(()) }
}

/// How far the study has come.
pub(crate) struct Standing {
    pub(crate) complete: usize,
    pub(crate) pruned: usize,
    pub(crate) failed: usize,
    pub(crate) running: usize,
    /// The best accuracy so far, if any trial was completed.
    pub(crate) best: Option<f64>,
}

impl Standing {
    /// Trials that are over, one way or another.
    pub(crate) fn finished(&self) -> usize {
        self.complete + self.pruned + self.failed
    }
}

/// Looks at the study. A look takes no lock and disturbs nobody.
pub(crate) fn standing(study: &Study) -> Result<Standing> {
    let view = study.view()?;
    Ok(Standing {
        complete: view.count(TrialState::Complete),
        pruned: view.count(TrialState::Pruned),
        failed: view.count(TrialState::Fail),
        running: view.count(TrialState::Running),
        best: view.best().next().and_then(|trial| trial.value(0)),
    })
}

/// The parameters of the best trial, in words: one line each.
pub(crate) fn best_params(study: &Study) -> Result<Vec<String>> {
    let best = study.best_params()?;
    Ok(best.iter().map(|(name, value)| format!("{name} = {value}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest useful study of this network: two hidden layers of one width, four parameters, no pruning.
    #[test]
    fn a_network_of_two_layers_is_tuned() {
        let digits = crate::data::load();
        let storage = trialog::Storage::in_memory().expect("memory");
        let study = storage.study("two layers").maximize().seed(1).create().expect("a new study");
        let tuned = study.optimize(6, |trial| {
            let width = usize::try_from(trial.suggest_int("hidden_dim", 10..=50)?)?;
            let name = trial.suggest_categorical("activation_func", &Activation::NAMES)?;
            let activation = Activation::from_name(name).ok_or("no such activation")?;
            let params = Params {
                hidden: vec![(width, activation); 2],
                lr: trial.suggest_float("lr", trialog::float(1e-5..=1e-2).log())? as f32,
                momentum: trial.suggest_float("momentum", 0.5..=1.0)? as f32,
                batch_size: 32,
                epochs: 3,
                seed: u64::from(trial.number().0),
            };
            Ok(train(&digits, &params, |_, _| ControlFlow::Continue(())))
        });
        tuned.expect("six trials");
        let best = study.best_trial().expect("a best one");
        assert!(best.value().is_some_and(|accuracy| (0.1..=1.0).contains(&accuracy)), "{best:?}");
        assert_eq!(
            best.params.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["activation_func", "hidden_dim", "lr", "momentum"]
        );
    }
}
