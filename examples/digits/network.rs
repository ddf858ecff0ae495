//! A multi-layer perceptron: any number of hidden layers, softmax cross-entropy, and stochastic gradient descent with
//! momentum. The loops run along rows, so that the compiler turns them into vector instructions.

use crate::data::{CLASSES, PIXELS, Set};
use crate::random::Random;

/// What a hidden unit makes of the sum of its inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    Relu,
    Tanh,
    Logistic,
    Identity,
}

impl Activation {
    /// All of them, by the names under which a study knows them.
    pub(crate) const NAMES: [&str; 4] = ["relu", "tanh", "logistic", "identity"];

    pub(crate) fn from_name(name: &str) -> Option<Activation> {
        match name {
            "relu" => Some(Activation::Relu),
            "tanh" => Some(Activation::Tanh),
            "logistic" => Some(Activation::Logistic),
            "identity" => Some(Activation::Identity),
            _ => None,
        }
    }

    fn apply(self, units: &mut [f32]) {
        match self {
            Activation::Relu => units.iter_mut().for_each(|unit| *unit = unit.max(0.0)),
            Activation::Tanh => units.iter_mut().for_each(|unit| *unit = unit.tanh()),
            Activation::Logistic => units.iter_mut().for_each(|unit| *unit = 1.0 / (1.0 + (-*unit).exp())),
            Activation::Identity => {}
        }
    }

    /// Multiplies the gradient by the slope, which each of the functions can tell from what it made.
    fn multiply_slope(self, made: &[f32], gradient: &mut [f32]) {
        let pairs = gradient.iter_mut().zip(made);
        match self {
            Activation::Relu => pairs.for_each(|(gradient, made)| *gradient *= f32::from(u8::from(*made > 0.0))),
            Activation::Tanh => pairs.for_each(|(gradient, made)| *gradient *= 1.0 - made * made),
            Activation::Logistic => pairs.for_each(|(gradient, made)| *gradient *= made * (1.0 - made)),
            Activation::Identity => {}
        }
    }
}

/// A layer with what it made of the last batch, and the gradient for that batch.
struct Layer {
    inputs: usize,
    outputs: usize,
    activation: Activation,
    /// Weights row by row, one row for each input, and then one more row: the biases.
    weights: Vec<f32>,
    gradient: Vec<f32>,
    velocity: Vec<f32>,
    made: Vec<f32>,
    made_gradient: Vec<f32>,
}

impl Layer {
    /// Weights are uniform with a width by the number of connections (Glorot and Bengio 2010, equation 16).
    fn new(inputs: usize, outputs: usize, activation: Activation, random: &mut Random) -> Layer {
        let width = (6.0 / (inputs + outputs) as f32).sqrt();
        let mut weights: Vec<f32> = (0..inputs * outputs).map(|_| width * random.symmetric()).collect();
        weights.resize((inputs + 1) * outputs, 0.0);
        let zeros = vec![0.0; weights.len()];
        let (gradient, velocity) = (zeros.clone(), zeros);
        Layer {
            inputs,
            outputs,
            activation,
            weights,
            gradient,
            velocity,
            made: Vec::new(),
            made_gradient: Vec::new(),
        }
    }

    fn forward(&mut self, batch: &[f32]) {
        let (rows, biases) = self.weights.split_at(self.inputs * self.outputs);
        self.made.clear();
        for sample in batch.chunks_exact(self.inputs) {
            let start = self.made.len();
            self.made.extend_from_slice(biases);
            let sums = &mut self.made[start..];
            for (input, row) in sample.iter().zip(rows.chunks_exact(self.outputs)) {
                // Half of all pixels are empty, and so are many units behind a rectifier.
                if *input != 0.0 {
                    add_scaled(sums, *input, row);
                }
            }
        }
        self.activation.apply(&mut self.made);
    }

    /// Turns the gradient by what this layer made into those by its weights and by its inputs.
    fn backward(&mut self, batch: &[f32], mut batch_gradient: Option<&mut Vec<f32>>) {
        self.activation.multiply_slope(&self.made, &mut self.made_gradient);
        self.gradient.fill(0.0);
        let (rows, biases) = self.gradient.split_at_mut(self.inputs * self.outputs);
        if let Some(gradient) = &mut batch_gradient {
            gradient.clear();
        }
        for (sample, sums) in batch.chunks_exact(self.inputs).zip(self.made_gradient.chunks_exact(self.outputs)) {
            add_scaled(biases, 1.0, sums);
            for (input, row) in sample.iter().zip(rows.chunks_exact_mut(self.outputs)) {
                if *input != 0.0 {
                    add_scaled(row, *input, sums);
                }
            }
            if let Some(gradient) = &mut batch_gradient {
                let rows = self.weights.chunks_exact(self.outputs).take(self.inputs);
                gradient.extend(rows.map(|row| dot(row, sums)));
            }
        }
    }

    fn step(&mut self, lr: f32, momentum: f32) {
        for ((weight, velocity), gradient) in self.weights.iter_mut().zip(&mut self.velocity).zip(&self.gradient) {
            *velocity = momentum * *velocity - lr * gradient;
            *weight += *velocity;
        }
    }
}

/// The network: hidden layers, and a linear one whose outputs are the logarithms of odds.
pub(crate) struct Network {
    layers: Vec<Layer>,
}

impl Network {
    /// A network with the given widths and activations of its hidden layers.
    pub(crate) fn new(hidden: &[(usize, Activation)], random: &mut Random) -> Network {
        let mut layers = Vec::new();
        let mut inputs = PIXELS;
        for (width, activation) in hidden.iter().copied().chain([(CLASSES, Activation::Identity)]) {
            layers.push(Layer::new(inputs, width, activation, random));
            inputs = width;
        }
        Network { layers }
    }

    /// The share of a set's images that the network recognises.
    pub(crate) fn accuracy(&mut self, set: &Set) -> f64 {
        let indices: Vec<usize> = (0..set.len()).collect();
        let mut right = 0;
        for indices in indices.chunks(64) {
            self.forward(&gather(set, indices));
            let scores = self.outputs().chunks_exact(CLASSES);
            right +=
                indices.iter().zip(scores).filter(|(index, scores)| largest(scores) == set.label(**index)).count();
        }
        right as f64 / set.len() as f64
    }

    /// The mean loss over some images of a set, with its gradient by every weight left in the layers.
    pub(crate) fn gradient(&mut self, set: &Set, indices: &[usize]) -> f64 {
        let batch = gather(set, indices);
        self.forward(&batch);
        let last = self.layers.last_mut().expect("a network has its linear layer");
        last.made_gradient.clone_from(&last.made);
        let mut loss = 0.0;
        for (scores, index) in last.made_gradient.chunks_exact_mut(CLASSES).zip(indices) {
            loss += softmax_loss(scores, set.label(*index), indices.len() as f32);
        }
        self.backward(&batch);
        loss / indices.len() as f64
    }

    /// One step down the gradient, with the momentum of the steps before.
    pub(crate) fn step(&mut self, lr: f32, momentum: f32) {
        for layer in &mut self.layers {
            layer.step(lr, momentum);
        }
    }

    fn forward(&mut self, batch: &[f32]) {
        for index in 0..self.layers.len() {
            let (before, rest) = self.layers.split_at_mut(index);
            rest[0].forward(before.last().map_or(batch, |layer| &layer.made));
        }
    }

    fn backward(&mut self, batch: &[f32]) {
        for index in (0..self.layers.len()).rev() {
            let (before, rest) = self.layers.split_at_mut(index);
            match before.last_mut() {
                Some(layer) => rest[0].backward(&layer.made, Some(&mut layer.made_gradient)),
                None => rest[0].backward(batch, None),
            }
        }
    }

    fn outputs(&self) -> &[f32] {
        self.layers.last().map_or(&[], |layer| &layer.made)
    }
}

/// The pixels of some images, one after the other.
fn gather(set: &Set, indices: &[usize]) -> Vec<f32> {
    indices.iter().flat_map(|index| set.image(*index)).copied().collect()
}

/// Turns scores into the gradient of the mean cross-entropy by them, and returns the cross-entropy.
fn softmax_loss(scores: &mut [f32], label: usize, batch: f32) -> f64 {
    // Less the largest score, no exponential overflows.
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let of_label = scores[label] - highest;
    scores.iter_mut().for_each(|score| *score = (*score - highest).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum * batch);
    scores[label] -= 1.0 / batch;
    f64::from(sum.ln() - of_label)
}

fn largest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (index, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = index;
        }
    }
    best
}

fn add_scaled(sums: &mut [f32], factor: f32, row: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += factor * value;
    }
}

/// Eight sums side by side: floats do not associate, so the compiler may not split one sum by itself.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let (ones, others) = (one.chunks_exact(8), other.chunks_exact(8));
    let tail: f32 = ones.remainder().iter().zip(others.remainder()).map(|(one, other)| one * other).sum();
    for (one, other) in ones.zip(others) {
        for lane in 0..8 {
            sums[lane] += one[lane] * other[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data;

    /// The relative distance between the gradient and finite differences of the loss, over a sample of all weights.
    fn gradient_error(hidden: &[(usize, Activation)], spoil: f32) -> f64 {
        let set = data::load().training;
        let indices: Vec<usize> = (0..24).collect();
        let mut network = Network::new(hidden, &mut Random::new(7));
        network.gradient(&set, &indices);
        let gradients: Vec<Vec<f32>> = network.layers.iter().map(|layer| layer.gradient.clone()).collect();
        let (mut distance, mut length) = (0.0, 0.0);
        for (layer, gradient) in gradients.iter().enumerate() {
            for weight in (0..gradient.len()).step_by(7) {
                // Wide enough for an f32's rounding, narrow enough for the curvature.
                let half_width = 4e-3;
                let kept = network.layers[layer].weights[weight];
                let mut loss_at = |value: f32| {
                    network.layers[layer].weights[weight] = value;
                    network.gradient(&set, &indices)
                };
                let difference = loss_at(kept + half_width) - loss_at(kept - half_width);
                network.layers[layer].weights[weight] = kept;
                let expected = difference / (2.0 * f64::from(half_width));
                distance += (f64::from(gradient[weight] * spoil) - expected).powi(2);
                length += expected.powi(2);
            }
        }
        (distance / length).sqrt()
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        for activation in [Activation::Tanh, Activation::Logistic, Activation::Identity, Activation::Relu] {
            let error = gradient_error(&[(9, activation), (13, activation)], 1.0);
            // A rectifier has a kink, and a difference taken across it is no slope.
            let tolerance = if activation == Activation::Relu { 2e-2 } else { 1e-3 };
            assert!(error < tolerance, "{activation:?}: {error}");
        }
    }

    #[test]
    fn a_gradient_that_is_a_tenth_too_long_is_noticed() {
        assert!(gradient_error(&[(9, Activation::Tanh)], 1.1) > 5e-2);
    }

    #[test]
    fn the_loss_of_a_new_network_is_near_that_of_guessing() {
        let set = data::load().training;
        let mut network = Network::new(&[(20, Activation::Tanh)], &mut Random::new(3));
        let indices: Vec<usize> = (0..set.len()).collect();
        let guessing = (CLASSES as f64).ln();
        let loss = network.gradient(&set, &indices);
        assert!((loss - guessing).abs() < 0.8, "{loss}");
    }

    #[test]
    fn names_and_activations_agree() {
        for name in Activation::NAMES {
            assert!(Activation::from_name(name).is_some(), "{name}");
        }
        assert_eq!(Activation::from_name("step"), None);
    }

    #[test]
    fn a_dot_product_has_no_lost_tail() {
        let ones: Vec<f32> = (0..19).map(|index| index as f32).collect();
        assert_eq!(dot(&ones, &ones), 2109.0);
        assert_eq!(dot(&ones[..3], &ones[..3]), 5.0);
    }
}
