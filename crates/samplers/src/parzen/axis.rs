//! The coordinate in which a parameter's kernels live: its logarithm if it has one, and its range widened by half
//! a step to both sides if it has a grid, so that every point of the grid owns a cell of the same width.

use libm::{exp, log, log1p};
use trialog_numerics::{HALF_LN_TAU, ln_in_place, log_gauss_mass, log_gauss_mass_around};
use trialog_ops::Distribution;

/// How one parameter is laid out for kernels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Axis {
    /// Only one value, or a range too small for arithmetic: the density says nothing about it.
    Pinned(f64),
    /// Choices by index.
    Categorical {
        /// How many there are.
        choices: usize,
    },
    /// Numbers.
    Numeric(NumericAxis),
}

/// The coordinate of a numeric parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumericAxis {
    /// The ends in the coordinate, widened.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// The ends as values.
    first: f64,
    last: f64,
    log: bool,
    /// Distance of the grid's values; 0 without a grid.
    step: f64,
    /// A power of two that keeps the arithmetic clear of overflow and underflow: 1 for all ordinary ranges.
    scale: f64,
    /// [`NumericAxis::log_per_value`] of the width.
    log_width: f64,
}

impl Axis {
    /// The layout of a distribution.
    #[must_use]
    pub fn of(distribution: &Distribution) -> Axis {
        if let Some(only) = distribution.single() {
            return Axis::Pinned(only);
        }
        match distribution {
            Distribution::Categorical(d) => Axis::Categorical { choices: d.choices().len() },
            Distribution::Float(d) => NumericAxis::layout(d.low(), d.high(), d.is_log(), d.step().unwrap_or(0.0)),
            Distribution::Int(d) => {
                NumericAxis::layout(d.low() as f64, d.high() as f64, d.is_log(), d.step() as f64)
            }
        }
    }

    /// Turns values in internal form into coordinates.
    pub(crate) fn place_all(&self, values: &mut [f64]) {
        let Axis::Numeric(axis) = self else { return };
        if axis.log {
            ln_in_place(values);
        } else if axis.scale != 1.0 {
            for value in values {
                *value *= axis.scale;
            }
        }
    }
}

impl NumericAxis {
    /// Pins what leaves nothing to divide by.
    fn layout(first: f64, last: f64, log: bool, step: f64) -> Axis {
        let largest = f64::max(first.abs(), last.abs());
        let scale = if log || (1e-200..1e200).contains(&largest) { 1.0 } else { power_of_two_near(1.0 / largest) };
        let (low, high) = (first * scale - step * scale / 2.0, last * scale + step * scale / 2.0);
        let (low, high) = if log { (ln(low), ln(high)) } else { (low, high) };
        let log_width = ln(high - low) - ln(scale);
        let axis = NumericAxis { low, high, first, last, log, step, scale, log_width };
        if axis.width() > 0.0 && axis.width().is_finite() { Axis::Numeric(axis) } else { Axis::Pinned(first) }
    }

    /// True if the coordinate is in the widened range.
    pub(crate) fn contains(&self, coordinate: f64) -> bool {
        (self.low..=self.high).contains(&coordinate)
    }

    /// The ends of the widened range.
    pub(crate) fn bounds(&self) -> [f64; 2] {
        [self.low, self.high]
    }

    /// The length of the widened range.
    pub(crate) fn width(&self) -> f64 {
        self.high - self.low
    }

    pub(crate) fn has_grid(&self) -> bool {
        self.step != 0.0
    }

    /// The coordinate of a value.
    pub(crate) fn place(&self, value: f64) -> f64 {
        if self.log { ln(value) } else { value * self.scale }
    }

    /// Half the width of the value's cell and the coordinate of its middle; the value itself and 0 without a grid.
    pub(crate) fn cell(&self, value: f64) -> (f64, f64) {
        let half = self.step / 2.0;
        if !self.has_grid() {
            return (self.place(value), 0.0);
        }
        if !self.log {
            return (value * self.scale, half * self.scale);
        }
        let (left, right) = (ln(value - half), ln(value + half));
        // The difference of the logarithms would cancel for large values.
        (0.5 * (left + right), 0.5 * log1p(self.step / (value - half)))
    }

    /// Which cell of the grid has this coordinate at its value, counted from the first one; `None` off the grid,
    /// without a grid, or beyond `limit` cells.
    pub(crate) fn cell_at(&self, coordinate: f64, limit: usize) -> Option<usize> {
        if !self.has_grid() {
            return None;
        }
        let value = if self.log { exp(coordinate) } else { coordinate / self.scale };
        let index = ((value - self.first) / self.step).round();
        let found =
            index >= 0.0 && index < limit as f64 && self.place(self.first + index * self.step) == coordinate;
        found.then_some(index as usize)
    }

    /// Which cell of the grid a value in the range is in, counted from the first one.
    pub(crate) fn nearest_cell(&self, value: f64) -> usize {
        ((value - self.first) / self.step).round().max(0.0) as usize
    }

    /// The coordinate of a value of the grid, counted from the first one.
    pub(crate) fn place_of_cell(&self, cell: usize) -> f64 {
        self.place(self.value_of_cell(cell))
    }

    /// A value of the grid, counted from the first one.
    pub(crate) fn value_of_cell(&self, cell: usize) -> f64 {
        self.first + cell as f64 * self.step
    }

    /// How many cells the grid has; infinite without a grid.
    pub(crate) fn cells(&self) -> f64 {
        if self.has_grid() { ((self.last - self.first) / self.step).round() + 1.0 } else { f64::INFINITY }
    }

    /// The value at a coordinate: on the grid if there is one, and within the range.
    pub(crate) fn value(&self, coordinate: f64) -> f64 {
        let value = if self.log { exp(coordinate) } else { coordinate / self.scale };
        let value = if self.has_grid() {
            self.first + ((value - self.first) / self.step).round() * self.step
        } else {
            value
        };
        value.max(self.first).min(self.last)
    }

    /// `ln` of the probability that a normal distribution with this mean and deviation falls into the range.
    pub(crate) fn log_mass(&self, mu: f64, sigma: f64) -> f64 {
        log_gauss_mass((self.low - mu) / sigma, (self.high - mu) / sigma)
    }

    /// `ln` of a kernel's density at a value, or of its probability of the value's cell; the kernel is normal and
    /// cut to the range.
    pub(crate) fn log_kernel(&self, value: f64, mu: f64, sigma: f64) -> f64 {
        let (middle, half) = self.cell(value);
        let z = (middle - mu) / sigma;
        let log_value = if self.has_grid() {
            log_gauss_mass_around(z, half / sigma)
        } else {
            -0.5 * z * z - HALF_LN_TAU - self.log_per_value(sigma)
        };
        log_value - self.log_mass(mu, sigma)
    }

    /// `ln` of a length along the axis, measured in the parameter's own unit where the axis is scaled.
    pub(crate) fn log_per_value(&self, length: f64) -> f64 {
        if self.scale == 1.0 { ln(length) } else { ln(length) - ln(self.scale) }
    }

    /// [`NumericAxis::log_kernel`] of the prior's kernel: in the middle of the range and as wide as it.
    pub(crate) fn log_prior(&self, value: f64) -> f64 {
        /// `ln(Phi(1/2) - Phi(-1/2))`: the range is half a deviation to both sides.
        const LOG_MASS: f64 = -0.959_916_333_695_622_3;
        let (middle, half) = self.cell(value);
        let z = (middle - self.middle()) / self.width();
        if self.has_grid() {
            log_gauss_mass_around(z, half / self.width()) - LOG_MASS
        } else {
            -0.5 * z * z - HALF_LN_TAU - self.log_width - LOG_MASS
        }
    }

    /// The centre of the range.
    pub(crate) fn middle(&self) -> f64 {
        0.5 * (self.low + self.high)
    }
}

/// Short for the logarithm that is the same on every platform.
fn ln(x: f64) -> f64 {
    log(x)
}

/// The power of two with the exponent of `x`, which is positive; kept among the normal numbers.
fn power_of_two_near(x: f64) -> f64 {
    let exponent = x.to_bits() & 0x7ff0_0000_0000_0000;
    f64::from_bits(exponent.clamp(0x0010_0000_0000_0000, 0x7fd0_0000_0000_0000))
}
