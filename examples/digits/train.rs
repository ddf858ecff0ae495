//! Training one network: what can be chosen about it, and the loop over epochs.

use std::ops::ControlFlow;

use crate::data::Digits;
use crate::network::{Activation, Network};
use crate::random::Random;

/// All that can be chosen.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    /// Width and activation of each hidden layer.
    pub(crate) hidden: Vec<(usize, Activation)>,
    /// How far one step goes.
    pub(crate) lr: f32,
    /// How much of a step is carried over into the next.
    pub(crate) momentum: f32,
    /// Images in a step.
    pub(crate) batch_size: usize,
    /// Passes over the training set.
    pub(crate) epochs: u64,
    /// Fixes the first weights and the order of the images.
    pub(crate) seed: u64,
}

/// Trains a network and returns its accuracy on the validation set. After each epoch `after_epoch` hears the number of
/// epochs done and the accuracy so far, and may break off.
pub(crate) fn train(
    digits: &Digits,
    params: &Params,
    mut after_epoch: impl FnMut(u64, f64) -> ControlFlow<()>,
) -> f64 {
    let mut random = Random::new(params.seed);
    let mut network = Network::new(&params.hidden, &mut random);
    let mut order: Vec<usize> = (0..digits.training.len()).collect();
    let mut accuracy = 0.0;
    for epoch in 1..=params.epochs {
        random.shuffle(&mut order);
        for indices in order.chunks(params.batch_size.max(1)) {
            network.gradient(&digits.training, indices);
            network.step(params.lr, params.momentum);
        }
        accuracy = network.accuracy(&digits.validation);
        if after_epoch(epoch, accuracy).is_break() {
            break;
        }
    }
    accuracy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data;

    fn sane() -> Params {
        let hidden = vec![(50, Activation::Relu), (50, Activation::Tanh)];
        Params { hidden, lr: 1e-2, momentum: 0.9, batch_size: 32, epochs: 20, seed: 1 }
    }

    #[test]
    fn sane_parameters_recognise_nearly_all_digits() {
        let accuracy = train(&data::load(), &sane(), |_, _| ControlFlow::Continue(()));
        assert!(accuracy > 0.95, "{accuracy}");
    }

    #[test]
    fn the_loss_falls() {
        let digits = data::load();
        let mut network = Network::new(&[(30, Activation::Logistic)], &mut Random::new(1));
        let indices: Vec<usize> = (0..200).collect();
        let first = network.gradient(&digits.training, &indices);
        let mut last = first;
        for _ in 0..50 {
            network.step(0.5, 0.0);
            let loss = network.gradient(&digits.training, &indices);
            assert!(loss < last, "{loss} after {last}");
            last = loss;
        }
        assert!(last < first / 1.5, "{last} from {first}");
    }

    #[test]
    fn one_seed_is_one_network() {
        let digits = data::load();
        let run = |seed| {
            let mut heard = Vec::new();
            let params = Params { epochs: 3, seed, ..sane() };
            train(&digits, &params, |_, accuracy| {
                heard.push(accuracy);
                ControlFlow::Continue(())
            });
            heard
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }

    #[test]
    fn training_can_be_broken_off() {
        let mut epochs = Vec::new();
        train(&data::load(), &sane(), |epoch, _| {
            epochs.push(epoch);
            if epoch == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(epochs, [1, 2]);
    }

    #[test]
    fn parameters_that_diverge_end_with_a_number() {
        let params = Params { lr: 1e6, momentum: 1.0, epochs: 2, ..sane() };
        let accuracy = train(&data::load(), &params, |_, _| ControlFlow::Continue(()));
        assert!((0.0..=1.0).contains(&accuracy));
    }
}
