//! How a program says what a parameter is drawn from: ranges, with `log` and `step` where wanted, and choices.

use std::ops::RangeInclusive;

use trialog_ops::{
    CategoricalDistribution, Choice, Distribution, DistributionError, FloatDistribution, IntDistribution,
};

/// Reals in a range. `-1.0..=1.0` does where neither `log` nor `step` is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Float {
    low: f64,
    high: f64,
    log: bool,
    step: Option<f64>,
}

/// Reals in a range, both ends included.
#[must_use]
pub fn float(range: RangeInclusive<f64>) -> Float {
    Float { low: *range.start(), high: *range.end(), log: false, step: None }
}

impl Float {
    /// On a logarithmic scale: equal ratios are equally likely. Needs a range above 0.
    #[must_use]
    pub fn log(self) -> Float {
        Float { log: true, ..self }
    }

    /// On the grid `low + k * step`.
    #[must_use]
    pub fn step(self, step: f64) -> Float {
        Float { step: Some(step), ..self }
    }
}

impl From<RangeInclusive<f64>> for Float {
    fn from(range: RangeInclusive<f64>) -> Float {
        float(range)
    }
}

impl TryFrom<Float> for Distribution {
    type Error = DistributionError;

    fn try_from(float: Float) -> Result<Distribution, DistributionError> {
        FloatDistribution::new(float.low, float.high, float.log, float.step).map(Distribution::Float)
    }
}

/// Whole numbers in a range. `1..=10` does where neither `log` nor `step` is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int {
    low: i64,
    high: i64,
    log: bool,
    step: i64,
}

/// Whole numbers in a range, both ends included.
#[must_use]
pub fn int(range: RangeInclusive<i64>) -> Int {
    Int { low: *range.start(), high: *range.end(), log: false, step: 1 }
}

impl Int {
    /// On a logarithmic scale: equal ratios are equally likely. Needs a range from 1 up.
    #[must_use]
    pub fn log(self) -> Int {
        Int { log: true, ..self }
    }

    /// On the grid `low + k * step`.
    #[must_use]
    pub fn step(self, step: i64) -> Int {
        Int { step, ..self }
    }
}

impl From<RangeInclusive<i64>> for Int {
    fn from(range: RangeInclusive<i64>) -> Int {
        int(range)
    }
}

impl TryFrom<Int> for Distribution {
    type Error = DistributionError;

    fn try_from(int: Int) -> Result<Distribution, DistributionError> {
        IntDistribution::new(int.low, int.high, int.log, int.step).map(Distribution::Int)
    }
}

/// What can be a categorical choice. Implement it for an enum of your own, or let [`categories!`](crate::categories)
/// do it.
pub trait Category: Clone {
    /// The choice as it is stored.
    fn to_choice(&self) -> Choice;
}

macro_rules! category {
    ($($kind:ty),*) => {
        $(impl Category for $kind {
            fn to_choice(&self) -> Choice {
                Choice::from(self.clone())
            }
        })*
    };
}

category!(bool, i32, i64, f64, String);

impl Category for &str {
    fn to_choice(&self) -> Choice {
        Choice::from(*self)
    }
}

impl Category for Choice {
    fn to_choice(&self) -> Choice {
        self.clone()
    }
}

impl<T: Category> Category for Option<T> {
    fn to_choice(&self) -> Choice {
        self.as_ref().map_or(Choice::Null, T::to_choice)
    }
}

pub(crate) fn categorical<T: Category>(choices: &[T]) -> Result<Distribution, DistributionError> {
    CategoricalDistribution::new(choices.iter().map(T::to_choice)).map(Distribution::Categorical)
}

/// Defines an enum whose variants are the choices of a categorical parameter, with the text that stands for each
/// in the log.
///
/// ```
/// trialog::categories! {
///     /// What a unit computes.
///     pub enum Activation { Relu = "relu", Tanh = "tanh" }
/// }
/// # fn main() -> trialog::Result<()> {
/// let study = trialog::Study::in_memory()?;
/// let mut trial = study.ask()?;
/// let activation: Activation = trial.suggest_categorical("activation", &Activation::ALL)?;
/// assert!(matches!(activation, Activation::Relu | Activation::Tanh));
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! categories {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$inner:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$inner])* #[doc = $text] $variant),+ }

        impl $name {
            /// Every choice, in order.
            $vis const ALL: [$name; [$($text),+].len()] = [$($name::$variant),+];
        }

        impl $crate::Category for $name {
            fn to_choice(&self) -> $crate::Choice {
                $crate::Choice::from(match self { $($name::$variant => $text),+ })
            }
        }
    };
}
