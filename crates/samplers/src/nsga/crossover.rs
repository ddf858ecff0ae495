//! How a child comes from its parents: crossovers of points in the coordinates of [`crate::parzen::Axis`], and the
//! mutation of one coordinate. Random numbers come one after another from [`Draws`].

use libm::{cos, log, pow, sqrt};
use trialog_numerics::Stream;

/// Where a crossover's random numbers come from.
pub trait Draws {
    /// A number in `[0, 1)`.
    fn uniform(&mut self) -> f64;
    /// A number with the standard normal distribution.
    fn normal(&mut self) -> f64;
}

impl Draws for Stream {
    fn uniform(&mut self) -> f64 {
        Stream::uniform(self)
    }

    /// Box and Muller, "A note on the generation of random normal deviates", Annals of Mathematical Statistics 29 (1958).
    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.uniform(), self.uniform());
        sqrt(-2.0 * log(radius)) * cos(std::f64::consts::TAU * angle)
    }
}

/// A way to make a child of two or three parents. Categorical parameters are always taken from the first or the last
/// parent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crossover {
    /// Uniform for seven children of ten, and BLX-alpha with an `alpha` of 0.5 for the others. Exchanges keep what is
    /// good in one coordinate, whatever the others are; blends find what no parent has. What of a blend is outside the
    /// range is moved to its end, where the best often is.
    Mixed {
        /// How likely the second parent's coordinate is taken where it is uniform. In `[0, 1]`; default 0.5.
        swapping_prob: f64,
    },
    /// Each coordinate from one of two parents.
    ///
    /// Syswerda, "Uniform crossover in genetic algorithms" (ICGA 1989).
    Uniform {
        /// How likely the second parent's is taken. In `[0, 1]`; default 0.5.
        swapping_prob: f64,
    },
    /// Uniform in a box around two parents.
    ///
    /// Eshelman and Schaffer, "Real-coded genetic algorithms and interval-schemata" (FOGA 1992).
    BlxAlpha {
        /// How far the box reaches beyond the parents, as a part of their distance. Default 0.5.
        alpha: f64,
    },
    /// Uniform in a simplex around three parents.
    ///
    /// Tsutsui and Goldberg, "Simplex crossover and linkage identification" (CEC 2001).
    Spx {
        /// How much larger the simplex is than its parents'. Default: the square root of the number of parameters plus 2.
        epsilon: Option<f64>,
    },
    /// Near one of two parents, as if bits had been exchanged, and never outside the range.
    ///
    /// Deb and Agrawal, "Simulated binary crossover for continuous search space", Complex Systems 9 (1995).
    Sbx(Binary),
    /// The same without a region that no child can reach.
    ///
    /// Ballester and Carter, "Real-parameter genetic algorithms for finding multiple optimal solutions in multi-modal
    /// optimization" (GECCO 2003).
    Vsbx(Binary),
    /// Normal along the line through two parents, and across it as far as a third one is away.
    ///
    /// Ono and Kobayashi, "A real-coded genetic algorithm for function optimization using unimodal normal distribution
    /// crossover" (ICGA 1997). The deviations are the paper's; Optuna 5.0.0 takes their squares for deviations.
    Undx {
        /// The deviation along the line, in units of the parents' distance. Default 0.5.
        sigma_xi: f64,
        /// The deviation across it, in units of the third parent's distance. Default: 0.35 over the square root of the
        /// number of parameters.
        sigma_eta: Option<f64>,
    },
}

/// What the simulated binary crossovers have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Binary {
    /// The larger, the nearer to the parents. At least 0; default 2 with one objective and 20 with several.
    pub eta: Option<f64>,
    /// How likely a coordinate is exchanged between the two children. In `[0, 1]`; default 0.5.
    pub uniform_crossover_prob: f64,
    /// How likely a coordinate is that of a child rather than a parent. In `(0, 1]`; default 0.5.
    pub use_child_gene_prob: f64,
}

impl Default for Binary {
    fn default() -> Binary {
        Binary { eta: None, uniform_crossover_prob: 0.5, use_child_gene_prob: 0.5 }
    }
}

impl Crossover {
    /// How many parents it takes.
    #[must_use]
    pub fn parents(self) -> usize {
        match self {
            Crossover::Mixed { .. }
            | Crossover::Uniform { .. }
            | Crossover::BlxAlpha { .. }
            | Crossover::Sbx(_)
            | Crossover::Vsbx(_) => 2,
            Crossover::Spx { .. } | Crossover::Undx { .. } => 3,
        }
    }

    /// A child of parents, of which there are as many as [`Crossover::parents`] says; it may be outside the bounds.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn child(
        self,
        parents: &[Vec<f64>],
        bounds: &[[f64; 2]],
        objectives: usize,
        draws: &mut impl Draws,
    ) -> Vec<f64> {
        /// How many children are blends where both kinds are.
        const BLENDS: f64 = 0.3;
        assert!(parents.len() >= self.parents(), "a crossover has all of its parents");
        match self {
            Crossover::Mixed { swapping_prob } if draws.uniform() >= BLENDS => {
                Crossover::Uniform { swapping_prob }.child(parents, bounds, objectives, draws)
            }
            Crossover::Mixed { .. } => {
                let mut child = Crossover::BlxAlpha { alpha: 0.5 }.child(parents, bounds, objectives, draws);
                child.iter_mut().zip(bounds).for_each(|(x, [low, high])| *x = x.max(*low).min(*high));
                child
            }
            Crossover::Uniform { swapping_prob } => {
                let pair = parents[0].iter().zip(&parents[1]);
                pair.map(|(a, b)| if draws.uniform() >= swapping_prob { *b } else { *a }).collect()
            }
            Crossover::BlxAlpha { alpha } => {
                let gene = |(a, b): (&f64, &f64)| {
                    let beyond = alpha * (a - b).abs();
                    let (low, high) = (a.min(*b) - beyond, a.max(*b) + beyond);
                    (high - low) * draws.uniform() + low
                };
                parents[0].iter().zip(&parents[1]).map(gene).collect()
            }
            Crossover::Spx { epsilon } => simplex(parents, epsilon, draws),
            Crossover::Sbx(binary) => {
                let children = simulated_binary(&parents[0], &parents[1], bounds, binary.eta(objectives), draws);
                binary.mix(&children, [&parents[0], &parents[1]], draws)
            }
            Crossover::Vsbx(binary) => {
                let children = vast_binary(&parents[0], &parents[1], binary.eta(objectives), draws);
                binary.mix(&children, [&parents[0], &parents[1]], draws)
            }
            Crossover::Undx { sigma_xi, sigma_eta } => unimodal_normal(parents, sigma_xi, sigma_eta, draws),
        }
    }
}

impl Binary {
    fn eta(self, objectives: usize) -> f64 {
        self.eta.unwrap_or(if objectives > 1 { 20.0 } else { 2.0 })
    }

    /// One of two children at random, some of whose coordinates are those of parents.
    fn mix(self, children: &[Vec<f64>; 2], parents: [&Vec<f64>; 2], draws: &mut impl Draws) -> Vec<f64> {
        let mut pairs = Vec::with_capacity(parents[0].len());
        for at in 0..parents[0].len() {
            let from_child = draws.uniform() < self.use_child_gene_prob;
            let pair =
                if from_child { [children[0][at], children[1][at]] } else { [parents[0][at], parents[1][at]] };
            let stays = draws.uniform() >= self.uniform_crossover_prob;
            pairs.push(if stays { pair } else { [pair[1], pair[0]] });
        }
        let which = usize::from(draws.uniform() >= 0.5);
        pairs.into_iter().map(|pair| pair[which]).collect()
    }
}

/// Tsutsui and Goldberg 2001, equations 1 to 5.
fn simplex(parents: &[Vec<f64>], epsilon: Option<f64>, draws: &mut impl Draws) -> Vec<f64> {
    let dims = parents[0].len();
    let epsilon = epsilon.unwrap_or(sqrt(dims as f64 + 2.0));
    let shares = [draws.uniform(), sqrt(draws.uniform())];
    let gene = |at: usize| {
        let centre = (parents[0][at] + parents[1][at] + parents[2][at]) / 3.0;
        let vertex = |k: usize| centre + epsilon * (parents[k][at] - centre);
        let mut c = 0.0;
        for k in 1..3 {
            c = shares[k - 1] * (vertex(k - 1) - vertex(k) + c);
        }
        vertex(2) + c
    };
    (0..dims).map(gene).collect()
}

/// Deb and Agrawal 1995, with the spread of each side cut at the range: equations 3 to 5 of Raghuwanshi et al.,
/// "Simulated binary crossover with lognormal distribution" (2006), whose `alpha` is 2 without bounds.
fn simulated_binary(a: &[f64], b: &[f64], bounds: &[[f64; 2]], eta: f64, draws: &mut impl Draws) -> [Vec<f64>; 2] {
    /// Equal parents have children at this distance.
    const LEAST: f64 = 1e-10;
    let (mut lower, mut upper) = (Vec::with_capacity(a.len()), Vec::with_capacity(a.len()));
    for ((a, b), [low, high]) in a.iter().zip(b).zip(bounds) {
        let (least, most) = (a.min(*b), a.max(*b));
        let distance = f64::max(most - least, LEAST);
        let share = draws.uniform();
        let spread = |room: f64| {
            let alpha = 2.0 - pow(1.0 + 2.0 * room / distance, -(eta + 1.0));
            let base = if share > 1.0 / alpha { 1.0 / (2.0 - share * alpha) } else { share * alpha };
            pow(base, 1.0 / (eta + 1.0))
        };
        lower.push(0.5 * ((least + most) - spread(least - low) * distance));
        upper.push(0.5 * ((least + most) + spread(high - most) * distance));
    }
    [lower, upper]
}

/// Ballester and Carter 2003, section 3.2.
fn vast_binary(a: &[f64], b: &[f64], eta: f64, draws: &mut impl Draws) -> [Vec<f64>; 2] {
    const LEAST: f64 = 1e-10;
    let beta = |share: f64| pow(1.0 / (2.0 * share).max(LEAST), 1.0 / (eta + 1.0));
    let betas: Vec<(f64, f64)> = a
        .iter()
        .map(|_| {
            let share = draws.uniform();
            (beta(share), beta(1.0 - share))
        })
        .collect();
    let genes = |make: &dyn Fn(f64, f64, f64, f64) -> f64| {
        a.iter().zip(b).zip(&betas).map(|((a, b), (first, second))| make(*a, *b, *first, *second)).collect()
    };
    let one = if draws.uniform() <= 0.5 {
        genes(&|a, b, first, second| 0.5 * ((1.0 + first) * a + (1.0 - second) * b))
    } else {
        genes(&|a, b, first, second| 0.5 * ((1.0 - first) * a + (1.0 + second) * b))
    };
    let other = if draws.uniform() <= 0.5 {
        genes(&|a, b, first, second| 0.5 * ((3.0 - first) * a - (1.0 - second) * b))
    } else {
        genes(&|a, b, first, second| 0.5 * ((3.0 - second) * b - (1.0 - first) * a))
    };
    [one, other]
}

/// Ono and Kobayashi 1997, equations 2 to 5.
fn unimodal_normal(
    parents: &[Vec<f64>],
    sigma_xi: f64,
    sigma_eta: Option<f64>,
    draws: &mut impl Draws,
) -> Vec<f64> {
    let dims = parents[0].len();
    let sigma_eta = sigma_eta.unwrap_or(0.35 / sqrt(dims as f64));
    let etas: Vec<f64> = (0..dims).map(|_| sigma_eta * draws.normal()).collect();
    let xi = sigma_xi * draws.normal();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let difference = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f64>>();
    let line = difference(&parents[1], &parents[0]);
    let length = sqrt(dot(&line, &line));
    let unit: Vec<f64> = line.iter().map(|x| x / length.max(1e-10)).collect();
    let mut child: Vec<f64> =
        parents[0].iter().zip(&parents[1]).map(|(a, b)| 0.5 * (a + b) + xi * (a - b)).collect();
    if dims > 1 {
        let to_third = difference(&parents[2], &parents[0]);
        let along = dot(&to_third, &unit);
        let beside: Vec<f64> = to_third.iter().zip(&unit).map(|(x, e)| x - along * e).collect();
        let distance = sqrt(dot(&beside, &beside));
        for (eta, across) in etas.iter().zip(across(&unit)) {
            child.iter_mut().zip(across).for_each(|(x, e)| *x += distance * eta * e);
        }
    }
    child
}

/// Unit vectors that are orthogonal to a unit vector and to each other: the columns but for the first of Householder's
/// reflection that takes the first axis to the vector. Any others would do, since what is drawn along them is normal
/// and has the same deviation in all directions.
fn across(unit: &[f64]) -> impl Iterator<Item = Vec<f64>> {
    let dims = unit.len();
    // The sign keeps the difference from cancelling; the reflected axis may point the other way.
    let sign = if unit[0] > 0.0 { 1.0 } else { -1.0 };
    let mut normal = unit.to_vec();
    normal[0] += sign;
    let square: f64 = normal.iter().map(|x| x * x).sum();
    (1..dims).map(move |column| {
        let factor = 2.0 * normal[column] / square;
        (0..dims).map(|row| f64::from(u8::from(row == column)) - factor * normal[row]).collect()
    })
}

/// A coordinate moved a little, and never outside its range.
///
/// Deb and Goyal, "A combined genetic adaptive search (GeneAS) for engineering design", Computer Science and Informatics
/// 26 (1996), with the bounds of Deb's code, revision 1.1.6.
#[must_use]
pub fn mutated(x: f64, [low, high]: [f64; 2], eta: f64, draws: &mut impl Draws) -> f64 {
    let share = draws.uniform();
    let width = high - low;
    if width <= 0.0 {
        return x;
    }
    let moved = if share <= 0.5 {
        let room = 1.0 - (x - low) / width;
        pow(2.0 * share + (1.0 - 2.0 * share) * pow(room, eta + 1.0), 1.0 / (eta + 1.0)) - 1.0
    } else {
        let room = 1.0 - (high - x) / width;
        1.0 - pow(2.0 * (1.0 - share) + 2.0 * (share - 0.5) * pow(room, eta + 1.0), 1.0 / (eta + 1.0))
    };
    (x + moved * width).max(low).min(high)
}
