//! The space of the model: every parameter on [0, 1], on its own scale, and back. Grid points own the stretch half a
//! step to both sides, as in Optuna; categories keep their index.

use libm::{exp, log};
use trialog_ops::Distribution;

use crate::random::settle;

/// A grid with more points than this is searched as if it were continuous.
const FINEST_GRID: f64 = 10_000.0;

/// How a coordinate can move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Moves {
    /// Anywhere in [0, 1].
    Freely,
    /// Over so many points in order.
    Grid(usize),
    /// Among so many categories, each as far from any other.
    Choices(usize),
}

/// One parameter.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    distribution: Distribution,
    /// The ends of [0, 1], on the logarithmic scale if there is one.
    low: f64,
    high: f64,
    is_log: bool,
    pub(crate) moves: Moves,
}

impl Axis {
    pub(crate) fn of(distribution: &Distribution) -> Axis {
        let grid = |low: f64, high: f64, step: f64| {
            let count = ((high / step - low / step).round() + 1.0).max(1.0);
            if count <= FINEST_GRID { Moves::Grid(count as usize) } else { Moves::Freely }
        };
        let (low, high, is_log, moves) = match distribution {
            Distribution::Float(d) => match d.step() {
                Some(step) => {
                    let half = 0.5 * step;
                    (
                        (d.low() - half).max(f64::MIN),
                        (d.high() + half).min(f64::MAX),
                        false,
                        grid(d.low(), d.high(), step),
                    )
                }
                None => (d.low(), d.high(), d.is_log(), Moves::Freely),
            },
            Distribution::Int(d) => {
                let (low, high, step) = (d.low() as f64, d.high() as f64, d.step() as f64);
                (low - 0.5 * step, high + 0.5 * step, d.is_log(), grid(low, high, step))
            }
            Distribution::Categorical(d) => {
                let count = d.choices().len();
                (0.0, count as f64, false, Moves::Choices(count))
            }
        };
        let (low, high) = if is_log { (log(low), log(high)) } else { (low, high) };
        Axis { distribution: distribution.clone(), low, high, is_log, moves }
    }

    /// Where a value lies. What was enqueued outside the range lies outside [0, 1], but not far.
    pub(crate) fn normalize(&self, value: f64) -> f64 {
        if let Moves::Choices(_) = self.moves {
            return value;
        }
        let value = if self.is_log { log(value) } else { value };
        // Halves, since the width of a range may be more than the largest number.
        let width = 0.5 * self.high - 0.5 * self.low;
        let place = (0.5 * value - 0.5 * self.low) / width;
        if place.is_nan() { 0.5 } else { place.clamp(-0.5, 1.5) }
    }

    /// The value at a place, inside the distribution.
    pub(crate) fn value(&self, place: f64) -> f64 {
        if let Moves::Choices(_) = self.moves {
            return settle(&self.distribution, place);
        }
        let value = self.low * (1.0 - place) + self.high * place;
        settle(&self.distribution, if self.is_log { exp(value) } else { value })
    }

    /// Where the `index`-th point of the grid lies, or the category's index.
    pub(crate) fn place(&self, index: usize) -> f64 {
        match (self.moves, &self.distribution) {
            (Moves::Grid(_), Distribution::Int(d)) if self.is_log => {
                self.normalize((d.low() + index as i64 * d.step()) as f64)
            }
            (Moves::Grid(count), _) => (index as f64 + 0.5) / count as f64,
            _ => index as f64,
        }
    }

    /// The grid point or category that a share of [0, 1) falls on; the share itself where there is neither.
    pub(crate) fn spread(&self, share: f64) -> f64 {
        match self.moves {
            Moves::Freely => share,
            Moves::Choices(count) => (share * count as f64).floor().max(0.0).min((count - 1) as f64),
            Moves::Grid(_) => self.place(self.nearest(share)),
        }
    }

    /// The index of the grid point or category nearest to a place.
    pub(crate) fn nearest(&self, place: f64) -> usize {
        match self.moves {
            Moves::Freely => 0,
            Moves::Choices(count) => (place.max(0.0) as usize).min(count - 1),
            Moves::Grid(count) if self.is_log => {
                // Places rise with the index: bisection, and then the nearer neighbour.
                let (mut low, mut high) = (0, count - 1);
                while low < high {
                    let middle = (low + high) / 2;
                    if self.place(middle) < place { low = middle + 1 } else { high = middle }
                }
                let before = low.saturating_sub(1);
                if (self.place(before) - place).abs() < (self.place(low) - place).abs() { before } else { low }
            }
            Moves::Grid(count) => ((place * count as f64).max(0.0) as usize).min(count - 1),
        }
    }
}
