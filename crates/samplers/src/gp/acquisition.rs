//! How promising a point is, from what the processes expect there: a logarithm to maximize, with its gradient.
//!
//! Log expected improvement (Ament et al., "Unexpected improvements to expected improvement for Bayesian
//! optimization", NeurIPS 2023); an upper confidence bound (Srinivas, Krause, Kakade and Seeger, "Gaussian process
//! optimization in the bandit setting", ICML 2010); log expected hypervolume improvement, exactly, as a sum over boxes
//! of products (Yang, Emmerich, Deutz and Baeck, "Efficient computation of expected hypervolume improvement using box
//! decomposition algorithms", JOGO 75 (2019)); the probability that constraints are met as a factor (Gardner et al.,
//! "Bayesian optimization with inequality constraints", ICML 2014).
//!
//! Running trials are fantasies (Snoek, Larochelle and Adams, "Practical Bayesian optimization of machine learning
//! algorithms", NIPS 2012, section 3.2): for each of some draws of their values, the improvement over them and over
//! what is known, averaged. The candidate itself is not drawn: its expectation is exact.

use trialog_numerics::{LogValue, log_expected_improvement, log_expected_length, log_probability_above};

use super::model::{Belief, Model, Trace, WIDTH};

/// What keeps a variance positive where everything is known.
const LEAST_VARIANCE: f64 = 1e-12;

/// A box of objective space that nothing dominates yet: lower and upper corner, larger is better.
pub(crate) type Cell = (Vec<f64>, Vec<f64>);

/// What is wanted of the objectives.
#[derive(Clone, Debug)]
pub(crate) enum Goal {
    /// Nothing yet: first find a point that meets the constraints.
    Feasibility,
    /// More than the best value; one for each draw of the running trials' values.
    Improvement(Vec<f64>),
    /// `mean + beta * deviation`.
    Bound(f64),
    /// Hypervolume in these boxes; one list for each draw.
    Hypervolume(Vec<Vec<Cell>>),
}

/// The function to maximize.
#[derive(Clone, Debug)]
pub(crate) struct Acquisition {
    /// The objectives', then the constraints'.
    pub(crate) models: Vec<Model>,
    pub(crate) objectives: usize,
    pub(crate) goal: Goal,
    /// What a constraint's process must exceed.
    pub(crate) thresholds: Vec<f64>,
    /// The running trials' standard normal numbers, by draw, process and running trial. One draw if there are none.
    pub(crate) draws: Vec<Vec<Vec<f64>>>,
}

/// What evaluations need again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    traces: Vec<Trace>,
    beliefs: Vec<Belief>,
    by: Vec<Belief>,
}

impl Acquisition {
    /// The value at a point.
    pub(crate) fn value(&self, point: &[f64]) -> f64 {
        let beliefs: Vec<Belief> = self.models.iter().map(|model| model.at(point, None)).collect();
        self.combine(&beliefs, None)
    }

    /// The value at a point, and the gradient.
    pub(crate) fn gradient(&self, point: &[f64], gradient: &mut [f64], scratch: &mut Scratch) -> f64 {
        scratch.traces.resize_with(self.models.len(), Trace::default);
        scratch.beliefs.clear();
        for (model, trace) in self.models.iter().zip(&mut scratch.traces) {
            scratch.beliefs.push(model.at(point, Some(trace)));
        }
        scratch.by.clear();
        scratch.by.extend(scratch.beliefs.iter().map(|belief| Belief {
            mean: 0.0,
            variance: 0.0,
            running: vec![0.0; belief.running.len()],
        }));
        let value = self.combine(&scratch.beliefs, Some(&mut scratch.by));
        gradient.fill(0.0);
        for ((model, trace), by) in self.models.iter().zip(&scratch.traces).zip(&scratch.by) {
            model.add_gradient(point, trace, by, gradient);
        }
        value
    }

    /// The values at many points, each by coordinate.
    pub(crate) fn values(&self, columns: &[Vec<f64>]) -> Vec<f64> {
        let len = columns.first().map_or(0, Vec::len);
        let mut values = Vec::with_capacity(len);
        let mut by_model: Vec<[Belief; WIDTH]> = self.models.iter().map(|_| Default::default()).collect();
        let mut beliefs: Vec<Belief> = vec![Belief::default(); self.models.len()];
        for start in (0..len).step_by(WIDTH) {
            let block = |column: &Vec<f64>| std::array::from_fn(|lane| column[(start + lane).min(len - 1)]);
            let points: Vec<[f64; WIDTH]> = columns.iter().map(block).collect();
            for (model, out) in self.models.iter().zip(&mut by_model) {
                model.at_many(&points, out);
            }
            for lane in 0..WIDTH.min(len - start) {
                for (belief, lanes) in beliefs.iter_mut().zip(&mut by_model) {
                    std::mem::swap(belief, &mut lanes[lane]);
                }
                values.push(self.combine(&beliefs, None));
                for (belief, lanes) in beliefs.iter_mut().zip(&mut by_model) {
                    std::mem::swap(belief, &mut lanes[lane]);
                }
            }
        }
        values
    }

    /// The mean over the draws, in logarithms; adds the derivatives by what is expected.
    fn combine(&self, beliefs: &[Belief], by: Option<&mut [Belief]>) -> f64 {
        let terms: Vec<f64> = (0..self.draws.len()).map(|draw| self.term(beliefs, draw, None)).collect();
        let value = if let [only] = terms[..] {
            only
        } else {
            trialog_numerics::log_sum_exp(&terms) - libm::log(terms.len() as f64)
        };
        if let Some(by) = by {
            for (draw, term) in terms.iter().enumerate() {
                let weight = libm::exp(term - value) / terms.len() as f64;
                if weight > 0.0 {
                    self.term(beliefs, draw, Some((weight, by)));
                }
            }
        }
        if value.is_nan() { f64::NEG_INFINITY } else { value }
    }

    /// The logarithm for one draw. With `by`, adds its derivatives, times a weight.
    fn term(&self, beliefs: &[Belief], draw: usize, mut by: Option<(f64, &mut [Belief])>) -> f64 {
        let mean = |process: usize| {
            let belief = &beliefs[process];
            let shift: f64 = belief.running.iter().zip(&self.draws[draw][process]).map(|(u, e)| u * e).sum();
            (belief.mean + shift, belief.variance + LEAST_VARIANCE)
        };
        let mut add = |process: usize, log: LogValue, share: f64| {
            if let Some((weight, by)) = &mut by {
                let by = &mut by[process];
                let by_mean = *weight * share * log.by_mean;
                by.mean += by_mean;
                by.variance += *weight * share * log.by_variance;
                for (by, e) in by.running.iter_mut().zip(&self.draws[draw][process]) {
                    *by += by_mean * e;
                }
            }
        };
        let mut value = match &self.goal {
            Goal::Feasibility => 0.0,
            Goal::Improvement(best) => {
                let (mean, variance) = mean(0);
                let log = log_expected_improvement(mean, variance, best[draw]);
                add(0, log, 1.0);
                log.value
            }
            Goal::Bound(beta) => {
                let (mean, variance) = mean(0);
                let deviation = libm::sqrt(variance);
                let value = mean + beta * deviation;
                add(0, LogValue { value, by_mean: 1.0, by_variance: beta / (2.0 * deviation) }, 1.0);
                value
            }
            Goal::Hypervolume(cells) => {
                let means: Vec<(f64, f64)> = (0..self.objectives).map(mean).collect();
                let lengths = |(low, high): &Cell| -> Vec<LogValue> {
                    let sides = means.iter().zip(low.iter().zip(high));
                    sides.map(|(&(m, v), (&low, &high))| log_expected_length(m, v, low, high)).collect()
                };
                let logs: Vec<Vec<LogValue>> = cells[draw].iter().map(lengths).collect();
                let volumes: Vec<f64> =
                    logs.iter().map(|sides| sides.iter().map(|side| side.value).sum()).collect();
                let value = trialog_numerics::log_sum_exp(&volumes);
                for (sides, volume) in logs.iter().zip(&volumes) {
                    let share = libm::exp(volume - value);
                    for (process, side) in sides.iter().enumerate().filter(|_| share > 0.0) {
                        add(process, *side, share);
                    }
                }
                value
            }
        };
        for (at, &threshold) in self.thresholds.iter().enumerate() {
            let process = self.objectives + at;
            let (mean, variance) = mean(process);
            let log = log_probability_above(mean, variance, threshold);
            add(process, log, 1.0);
            value += log.value;
        }
        value
    }
}
