//! What runs are worth: normalised regret, who wins, and intervals from a paired bootstrap.

use trialog_numerics::{Points, hypervolume};

use super::functions::{Best, Function};
use super::run::{Done, uniform};

/// Draws for the regret that counts as 1.
const DRAWS: u64 = 2001;
/// Resamples of an interval.
const RESAMPLES: u64 = 2000;

/// The regret that counts as 1: that of the median random point among those that are allowed.
#[must_use]
pub fn typical(function: &Function) -> f64 {
    let Best::Value(best) = function.best else { return 1.0 };
    let mut values = Vec::new();
    for number in 0..DRAWS {
        let mut purpose = 0;
        let point = function.draw(|| {
            purpose += 1;
            uniform(1, number, purpose)
        });
        let said = (function.at)(&point);
        if said.constraints.iter().all(|c| *c <= 0.0) {
            values.push(said.values[0] - best);
        }
    }
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Normalised regret: 0 is the optimum, 1 is a random point, which is also the worst there is. With noise it is that of the
/// trial that looks best; with several objectives it is the part of the volume that is missing.
#[must_use]
pub fn regret(function: &Function, typical: f64, trials: &[Done]) -> f64 {
    let said = trials
        .iter()
        .filter(|trial| !trial.told.is_empty())
        .map(|trial| ((function.at)(&trial.point), &trial.told));
    let allowed = said.filter(|(said, _)| said.constraints.iter().all(|c| *c <= 0.0));
    match &function.best {
        Best::Value(best) => {
            let found = allowed.min_by(|(_, a), (_, b)| a[0].total_cmp(&b[0]));
            found.map_or(1.0, |(said, _)| ((said.values[0] - best) / typical).clamp(0.0, 1.0))
        }
        Best::Volume(best, reference) => {
            let values: Vec<f64> = allowed.flat_map(|(said, _)| said.values).collect();
            1.0 - hypervolume(Points::new(&values, reference.len()), reference) / best
        }
    }
}

/// Ours and theirs of one function, by seed.
pub struct Pairs {
    /// The function's name.
    pub function: &'static str,
    /// Regrets of ours and theirs.
    pub regrets: Vec<(f64, f64)>,
}

/// What pairs come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Mean regret of ours.
    pub ours: f64,
    /// Mean regret of theirs.
    pub theirs: f64,
    /// Mean rank of ours among the two: 1 if always better, 2 if never, ties between.
    pub rank: f64,
    /// 95 % of the resampled means of ours minus theirs.
    pub interval: (f64, f64),
}

impl Verdict {
    /// Pairs of several functions, each function weighing the same.
    #[must_use]
    pub fn of(pairs: &[Pairs]) -> Verdict {
        let mean = |of: &dyn Fn(&(f64, f64)) -> f64| {
            let means = pairs.iter().map(|p| p.regrets.iter().map(of).sum::<f64>() / p.regrets.len() as f64);
            means.sum::<f64>() / pairs.len() as f64
        };
        let mut means: Vec<f64> = (0..RESAMPLES).map(|number| resampled(pairs, number)).collect();
        means.sort_by(f64::total_cmp);
        let at = |part: f64| means[(part * (RESAMPLES - 1) as f64).round() as usize];
        Verdict {
            ours: mean(&|p| p.0),
            theirs: mean(&|p| p.1),
            rank: mean(&|p| match p.0.total_cmp(&p.1) {
                std::cmp::Ordering::Less => 1.0,
                std::cmp::Ordering::Equal => 1.5,
                std::cmp::Ordering::Greater => 2.0,
            }),
            interval: (at(0.025), at(0.975)),
        }
    }

    /// In one word, what the interval says of ours.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.interval {
            (_, high) if high < 0.0 => "better",
            (low, _) if low > 0.0 => "worse",
            _ => "equal",
        }
    }
}

/// The mean difference when seeds are drawn again, the same ones for each function. So the interval holds even where a
/// sampler begins with the same draws on functions of one space, as it did when each function had the same seeds.
fn resampled(pairs: &[Pairs], number: u64) -> f64 {
    let means = pairs.iter().map(|p| {
        let n = p.regrets.len();
        let difference = |place: usize| {
            let (ours, theirs) = p.regrets[(uniform(7, number, place as u64) * n as f64) as usize];
            ours - theirs
        };
        (0..n).map(difference).sum::<f64>() / n as f64
    });
    means.sum::<f64>() / pairs.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(of: impl Fn(f64) -> (f64, f64)) -> Vec<Pairs> {
        vec![Pairs { function: "f", regrets: (0..10).map(|i| of(f64::from(i))).collect() }]
    }

    #[test]
    fn what_is_clearly_better_or_worse_is_called_so() {
        let better = Verdict::of(&pairs(|i| (0.1 + i / 100.0, 0.3)));
        assert_eq!((better.word(), better.rank), ("better", 1.0));
        let worse = Verdict::of(&pairs(|i| (0.3, 0.1 + i / 100.0)));
        assert_eq!((worse.word(), worse.rank), ("worse", 2.0));
    }

    #[test]
    fn noise_around_the_same_mean_is_equal() {
        assert_eq!(Verdict::of(&pairs(|i| (0.2 + 0.1 * (-1.0_f64).powf(i), 0.2))).word(), "equal");
        assert_eq!(Verdict::of(&pairs(|_| (0.2, 0.2))).word(), "equal");
    }

    /// Ten functions that differ in name only tell no more than one of them.
    #[test]
    fn the_same_regrets_again_narrow_no_interval() {
        let once = pairs(|i| (0.2 + 0.1 * (-1.0_f64).powf(i), 0.19));
        let again: Vec<Pairs> =
            (0..10).map(|_| Pairs { function: "f", regrets: once[0].regrets.clone() }).collect();
        let width = |pairs: &[Pairs]| Verdict::of(pairs).interval.1 - Verdict::of(pairs).interval.0;
        assert!((width(&once) - width(&again)).abs() < 1e-12);
    }
}
