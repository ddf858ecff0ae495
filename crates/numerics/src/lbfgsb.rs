//! Minimization with bounds by L-BFGS-B, version 3.0: a quasi-Newton method that keeps the last few steps.
//!
//! Byrd, Lu, Nocedal and Zhu, "A limited memory algorithm for bound constrained optimization", SIAM J. Sci. Comput.
//! 16 (1995); Morales and Nocedal, "Remark on Algorithm 778", ACM TOMS 38 (2011); the line search is that of More and
//! Thuente, "Line search algorithms with guaranteed sufficient decrease", ACM TOMS 20 (1994).
//!
//! | here | in the papers |
//! |---|---|
//! | `theta` | the scale of the initial matrix `theta I` |
//! | `s`, `y` | columns of `S` (steps) and `Y` (differences of gradients) |
//! | `W`, `M` | `B = theta I - W M W^T` with `W = [Y, theta S]` (equation 3.2) |

use std::ops::ControlFlow;

/// When to stop, and how much to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LbfgsbOptions {
    /// How many steps are kept. Default 10.
    pub memory: usize,
    /// Stop when no component of the projected gradient is larger. Default 1e-5.
    pub gradient_tolerance: f64,
    /// Stop when a step lowers the value by no more than this, relative to it or to 1. Default 2.22e-9.
    pub value_tolerance: f64,
    /// Stop after so many steps. Default 15,000.
    pub max_iterations: usize,
    /// Stop when the function was evaluated so often. Default 15,000.
    pub max_evaluations: usize,
}

impl Default for LbfgsbOptions {
    fn default() -> LbfgsbOptions {
        LbfgsbOptions {
            memory: 10,
            gradient_tolerance: 1e-5,
            value_tolerance: 2.220_446_049_250_313e-9,
            max_iterations: 15_000,
            max_evaluations: 15_000,
        }
    }
}

/// Why a minimization ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LbfgsbEnd {
    /// The projected gradient is small.
    Gradient,
    /// The last step changed little.
    Value,
    /// As many steps or evaluations as were allowed.
    Limit,
    /// No step along the steepest descent lowers the value any more.
    LineSearch,
    /// The value at the starting point is not finite.
    NotFinite,
}

/// Where a minimization ended.
#[derive(Clone, Debug, PartialEq)]
pub struct LbfgsbResult {
    /// The point, inside the bounds.
    pub x: Vec<f64>,
    /// The value there.
    pub value: f64,
    /// Steps taken.
    pub iterations: usize,
    /// Evaluations of the function.
    pub evaluations: usize,
    /// Why it ended.
    pub end: LbfgsbEnd,
}

/// Minimizes a function from a starting point. `evaluate` gives the value and writes the gradient. Bounds may be
/// infinite; an empty slice stands for none at all. A starting point outside them is moved to the nearest inside.
///
/// # Panics
/// If there are bounds, but not one pair for each coordinate.
pub fn lbfgsb(
    start: &[f64],
    bounds: &[(f64, f64)],
    options: LbfgsbOptions,
    mut evaluate: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> LbfgsbResult {
    let n = start.len();
    assert!(bounds.is_empty() || bounds.len() == n, "one pair of bounds for each coordinate");
    let is_bounded = bounds.iter().any(|&(low, high)| low.is_finite() || high.is_finite());
    let is_boxed = n > 0 && bounds.len() == n && bounds.iter().all(|&(l, h)| l.is_finite() && h.is_finite());
    let bounds: Vec<(f64, f64)> =
        if bounds.is_empty() { vec![(f64::NEG_INFINITY, f64::INFINITY); n] } else { bounds.to_vec() };
    let mut x: Vec<f64> = start.iter().zip(&bounds).map(|(x, &(l, h))| x.max(l).min(h)).collect();
    let mut g = vec![0.0; n];
    let mut value = evaluate(&x, &mut g);
    let mut evaluations = 1;
    let mut iterations = 0;
    let mut history = History::new(options.memory);
    let end = loop {
        if !value.is_finite() {
            break LbfgsbEnd::NotFinite;
        }
        if projected_gradient(&x, &g, &bounds) <= options.gradient_tolerance {
            break LbfgsbEnd::Gradient;
        }
        if iterations >= options.max_iterations || evaluations >= options.max_evaluations {
            break LbfgsbEnd::Limit;
        }
        let target = history.target(&x, &g, &bounds, is_bounded);
        let d: Vec<f64> = target.iter().zip(&x).map(|(z, x)| z - x).collect();
        let (x_old, g_old, value_old) = (x.clone(), g.clone(), value);
        let slope_old = dot(&g, &d);
        let longest = if !is_bounded {
            1e10
        } else if iterations == 0 {
            1.0
        } else {
            longest_step(&x, &d, &bounds)
        };
        let norm = libm::sqrt(dot(&d, &d));
        let first = if iterations == 0 && !is_boxed { f64::min(1.0 / norm, longest) } else { 1.0 };
        let mut slope = slope_old;
        let mut step = first;
        let mut found = false;
        if slope_old < 0.0 {
            let mut search = LineSearch::new(value, slope_old, first, longest);
            for _ in 0..MOST_TRIALS {
                for i in 0..n {
                    let moved = if step == 1.0 { target[i] } else { step * d[i] + x_old[i] };
                    x[i] = moved.max(bounds[i].0).min(bounds[i].1);
                }
                value = evaluate(&x, &mut g);
                evaluations += 1;
                slope = dot(&g, &d);
                match search.next(value, slope, step) {
                    ControlFlow::Continue(next) => step = next,
                    ControlFlow::Break(last) => {
                        found = last && value.is_finite();
                        break;
                    }
                }
            }
        }
        if !found {
            (x, g, value) = (x_old, g_old, value_old);
            if history.is_empty() {
                break LbfgsbEnd::LineSearch;
            }
            history.forget();
            continue;
        }
        iterations += 1;
        if projected_gradient(&x, &g, &bounds) <= options.gradient_tolerance {
            break LbfgsbEnd::Gradient;
        }
        let scale = value_old.abs().max(value.abs()).max(1.0);
        if value_old - value <= options.value_tolerance * scale {
            break LbfgsbEnd::Value;
        }
        let y: Vec<f64> = g.iter().zip(&g_old).map(|(g, old)| g - old).collect();
        let (curvature, size) = ((slope - slope_old) * step, -slope_old * step);
        if curvature > f64::EPSILON * size {
            history.push(d.iter().map(|d| d * step).collect(), y, curvature);
        }
    };
    LbfgsbResult { x, value, iterations, evaluations, end }
}

/// Evaluations per line search.
const MOST_TRIALS: usize = 20;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The largest component of the gradient, where a bound leaves only so much of it as there is room.
fn projected_gradient(x: &[f64], g: &[f64], bounds: &[(f64, f64)]) -> f64 {
    let component = |((x, g), &(low, high)): ((&f64, &f64), &(f64, f64))| {
        if *g < 0.0 { (x - high).max(*g).abs() } else { (x - low).min(*g).abs() }
    };
    x.iter().zip(g).zip(bounds).map(component).fold(0.0, f64::max)
}

/// How far along `d` all bounds are kept.
fn longest_step(x: &[f64], d: &[f64], bounds: &[(f64, f64)]) -> f64 {
    let mut longest: f64 = 1e10;
    for ((x, d), &(low, high)) in x.iter().zip(d).zip(bounds) {
        if *d < 0.0 && low.is_finite() {
            let room = low - x;
            if room >= 0.0 {
                longest = 0.0;
            } else if d * longest < room {
                longest = room / d;
            }
        } else if *d > 0.0 && high.is_finite() {
            let room = high - x;
            if room <= 0.0 {
                longest = 0.0;
            } else if d * longest > room {
                longest = room / d;
            }
        }
    }
    longest
}

/// The last steps, from which the quadratic model of the function is made.
struct History {
    memory: usize,
    theta: f64,
    s: Vec<Vec<f64>>,
    y: Vec<Vec<f64>>,
    /// `s_i . y_j`.
    sy: Vec<Vec<f64>>,
    /// `s_i . s_j`.
    ss: Vec<Vec<f64>>,
    /// The Cholesky factor of `theta S^T S + L D^-1 L^T`, row by row.
    factor: Vec<Vec<f64>>,
}

impl History {
    fn new(memory: usize) -> History {
        let empty = Vec::new;
        History {
            memory: memory.max(1),
            theta: 1.0,
            s: empty(),
            y: Vec::new(),
            sy: Vec::new(),
            ss: Vec::new(),
            factor: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.s.is_empty()
    }

    fn forget(&mut self) {
        *self = History::new(self.memory);
    }

    fn push(&mut self, s: Vec<f64>, y: Vec<f64>, curvature: f64) {
        if self.s.len() == self.memory {
            self.s.remove(0);
            self.y.remove(0);
            for products in [&mut self.sy, &mut self.ss] {
                products.remove(0);
                for row in products {
                    row.remove(0);
                }
            }
        }
        self.theta = dot(&y, &y) / curvature;
        self.s.push(s);
        self.y.push(y);
        let (Some(s), Some(y)) = (self.s.last(), self.y.last()) else { return };
        for (i, row) in self.sy.iter_mut().enumerate() {
            row.push(dot(&self.s[i], y));
        }
        for (i, row) in self.ss.iter_mut().enumerate() {
            row.push(dot(&self.s[i], s));
        }
        self.sy.push(self.y.iter().map(|y| dot(s, y)).collect());
        self.ss.push(self.s.iter().map(|other| dot(s, other)).collect());
        if !self.factorize() {
            self.forget();
        }
    }

    /// Whether the middle matrix is positive definite, and its factor.
    fn factorize(&mut self) -> bool {
        let k = self.s.len();
        self.factor = vec![vec![0.0; k]; k];
        for i in 0..k {
            for j in 0..=i {
                let low: f64 = (0..j).map(|l| self.sy[i][l] * self.sy[j][l] / self.sy[l][l]).sum();
                let known: f64 = (0..j).map(|l| self.factor[i][l] * self.factor[j][l]).sum();
                let left = self.theta * self.ss[i][j] + low - known;
                if i == j {
                    if !(left > 0.0 && left.is_finite()) {
                        return false;
                    }
                    self.factor[i][i] = libm::sqrt(left);
                } else {
                    self.factor[i][j] = left / self.factor[j][j];
                }
            }
        }
        true
    }

    /// `M v`: the solution of `[-D, L^T; L, theta S^T S] p = v` (equation 3.4).
    fn middle(&self, v: &[f64]) -> Vec<f64> {
        let k = self.s.len();
        let (v1, v2) = v.split_at(k);
        let mut p2: Vec<f64> =
            (0..k).map(|i| v2[i] + (0..i).map(|j| self.sy[i][j] * v1[j] / self.sy[j][j]).sum::<f64>()).collect();
        for i in 0..k {
            let known: f64 = (0..i).map(|j| self.factor[i][j] * p2[j]).sum();
            p2[i] = (p2[i] - known) / self.factor[i][i];
        }
        for i in (0..k).rev() {
            let known: f64 = (i + 1..k).map(|j| self.factor[j][i] * p2[j]).sum();
            p2[i] = (p2[i] - known) / self.factor[i][i];
        }
        let p1 = (0..k).map(|i| ((i + 1..k).map(|j| self.sy[j][i] * p2[j]).sum::<f64>() - v1[i]) / self.sy[i][i]);
        let mut p: Vec<f64> = p1.collect();
        p.extend(p2);
        p
    }

    /// Row `i` of `W`.
    fn w_row(&self, i: usize) -> Vec<f64> {
        self.y.iter().map(|y| y[i]).chain(self.s.iter().map(|s| self.theta * s[i])).collect()
    }

    /// `W^T v`.
    fn w_transposed(&self, v: &[f64]) -> Vec<f64> {
        self.y.iter().map(|y| dot(y, v)).chain(self.s.iter().map(|s| self.theta * dot(s, v))).collect()
    }

    /// `W p`.
    fn w_times(&self, p: &[f64], n: usize) -> Vec<f64> {
        let k = self.s.len();
        let mut product = vec![0.0; n];
        for (j, (y, s)) in self.y.iter().zip(&self.s).enumerate() {
            for (i, product) in product.iter_mut().enumerate() {
                *product += y[i] * p[j] + self.theta * s[i] * p[k + j];
            }
        }
        product
    }

    /// The point where the model is lowest, as far as the Cauchy point's bounds allow.
    fn target(&self, x: &[f64], g: &[f64], bounds: &[(f64, f64)], is_bounded: bool) -> Vec<f64> {
        let n = x.len();
        let (cauchy, free, c) = if !is_bounded && !self.is_empty() {
            (x.to_vec(), vec![true; n], Vec::new())
        } else {
            self.cauchy_point(x, g, bounds)
        };
        if self.is_empty() || !free.contains(&true) {
            return cauchy;
        }
        // The gradient of the model at the Cauchy point, on the free coordinates (equation 5.4).
        let mut r: Vec<f64> = g.iter().map(|g| -g).collect();
        if is_bounded {
            let curved = self.w_times(&self.middle(&c), n);
            for i in 0..n {
                r[i] += -self.theta * (cauchy[i] - x[i]) + curved[i];
            }
        }
        for (r, free) in r.iter_mut().zip(&free) {
            if !free {
                *r = 0.0;
            }
        }
        // With no bound in the way the whole space is searched, for which the recursion is shorter.
        let whole = free.iter().all(|&free| free);
        let step = if whole { Some(self.whole_step(r)) } else { self.subspace_step(&r, &free) };
        let Some(d) = step else { return cauchy };
        project(&cauchy, &d, &free, x, g, bounds)
    }

    /// The minimum of the quadratic along the projected steepest descent, found bound by bound (Algorithm CP); which
    /// coordinates are not at a bound there; and `W^T` times the way.
    fn cauchy_point(&self, x: &[f64], g: &[f64], bounds: &[(f64, f64)]) -> (Vec<f64>, Vec<bool>, Vec<f64>) {
        let n = x.len();
        let mut d = vec![0.0; n];
        let mut free = vec![true; n];
        let mut breaks: Vec<(f64, usize)> = Vec::new();
        for i in 0..n {
            let (low, high) = bounds[i];
            let (at_low, at_high) = (x[i] <= low, x[i] >= high);
            if low == high || (at_low && g[i] >= 0.0) || (at_high && g[i] <= 0.0) {
                free[i] = false;
                continue;
            }
            d[i] = -g[i];
            if d[i] < 0.0 && low.is_finite() {
                breaks.push(((x[i] - low) / g[i], i));
            } else if d[i] > 0.0 && high.is_finite() {
                breaks.push(((high - x[i]) / d[i], i));
            }
        }
        breaks.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut cauchy = x.to_vec();
        let mut p = self.w_transposed(&d);
        let mut c = vec![0.0; p.len()];
        let mut slope = -dot(&d, &d);
        let mut curvature = -self.theta * slope - dot(&p, &self.middle(&p));
        let least = f64::EPSILON * -self.theta * slope;
        let mut step = -slope / curvature;
        let mut along = 0.0;
        let moving = d.iter().filter(|d| **d != 0.0).count();
        for (passed, &(at, b)) in breaks.iter().enumerate() {
            let length = at - along;
            if step < length {
                break;
            }
            along = at;
            let d_b = std::mem::take(&mut d[b]);
            cauchy[b] = if d_b > 0.0 { bounds[b].1 } else { bounds[b].0 };
            free[b] = false;
            for (c, p) in c.iter_mut().zip(&p) {
                *c += length * p;
            }
            if passed + 1 == moving {
                step = 0.0;
                break;
            }
            let z_b = cauchy[b] - x[b];
            slope += length * curvature + d_b * d_b - self.theta * d_b * z_b;
            curvature -= self.theta * d_b * d_b;
            if !c.is_empty() {
                let w = self.w_row(b);
                let m_w = self.middle(&w);
                slope += d_b * dot(&m_w, &c);
                curvature += 2.0 * d_b * dot(&m_w, &p) - d_b * d_b * dot(&m_w, &w);
                for (p, w) in p.iter_mut().zip(&w) {
                    *p -= d_b * w;
                }
            }
            curvature = curvature.max(least);
            step = -slope / curvature;
        }
        let step = step.max(0.0);
        along += step;
        for i in 0..n {
            if free[i] {
                cauchy[i] += along * d[i];
            }
        }
        for (c, p) in c.iter_mut().zip(&p) {
            *c += step * p;
        }
        (cauchy, free, c)
    }

    /// The minimum of the model where all coordinates are free, `B^-1 r`, by the two-loop recursion (Nocedal, "Updating
    /// quasi-Newton matrices with limited storage", Math. Comp. 35 (1980)).
    fn whole_step(&self, mut r: Vec<f64>) -> Vec<f64> {
        let add = |r: &mut [f64], a: f64, x: &[f64]| r.iter_mut().zip(x).for_each(|(r, x)| *r += a * x);
        let mut shares = vec![0.0; self.s.len()];
        for (j, share) in shares.iter_mut().enumerate().rev() {
            *share = dot(&self.s[j], &r) / self.sy[j][j];
            add(&mut r, -*share, &self.y[j]);
        }
        r.iter_mut().for_each(|r| *r /= self.theta);
        for (j, share) in shares.iter().enumerate() {
            let by_y = dot(&self.y[j], &r) / self.sy[j][j];
            add(&mut r, share - by_y, &self.s[j]);
        }
        r
    }

    /// The unconstrained minimum of the model on the free coordinates; none if it is singular to working precision. By
    /// the Sherman-Morrison-Woodbury formula (the direct primal method, equations 5.10 and 5.11), or with the matrix of
    /// the free coordinates itself (equation 3.2) where they are fewer than the columns of `W`.
    fn subspace_step(&self, r: &[f64], free: &[bool]) -> Option<Vec<f64>> {
        let n = r.len();
        let chosen: Vec<usize> = (0..n).filter(|&i| free[i]).collect();
        let rows: Vec<Vec<f64>> = chosen.iter().map(|&i| self.w_row(i)).collect();
        let k = 2 * self.s.len();
        let theta = self.theta;
        let mut step = vec![0.0; n];
        if rows.len() <= k {
            let mut system = Vec::with_capacity(rows.len());
            for (at, row) in rows.iter().enumerate() {
                let m = self.middle(row);
                let mut line: Vec<f64> = rows.iter().map(|other| -dot(&m, other)).collect();
                line[at] += theta;
                line.push(r[chosen[at]]);
                system.push(line);
            }
            for (&i, d) in chosen.iter().zip(eliminate(system)?) {
                step[i] = d;
            }
            return Some(step);
        }
        // W^T Z Z^T W, column by column through M.
        let mut gram = vec![vec![0.0; k]; k];
        for row in &rows {
            for (a, gram) in row.iter().zip(&mut gram) {
                for (b, gram) in row.iter().zip(gram) {
                    *gram += a * b;
                }
            }
        }
        let mut system = vec![vec![0.0; k + 1]; k];
        for (j, column) in gram.iter().enumerate() {
            for (i, m) in self.middle(column).into_iter().enumerate() {
                system[i][j] = f64::from(u8::from(i == j)) - m / theta;
            }
        }
        let v = self.middle(&self.w_transposed(r));
        for (row, v) in system.iter_mut().zip(v) {
            row[k] = v;
        }
        let v = eliminate(system)?;
        let curved = self.w_times(&v, n);
        for i in chosen {
            step[i] = r[i] / theta + curved[i] / (theta * theta);
        }
        Some(step)
    }
}

/// The step, cut to the bounds coordinate by coordinate; or, where that is not a way down, cut as a whole (Morales and
/// Nocedal 2011, section 2).
fn project(cauchy: &[f64], d: &[f64], free: &[bool], x: &[f64], g: &[f64], bounds: &[(f64, f64)]) -> Vec<f64> {
    let mut is_cut = false;
    let cut = |i: usize| {
        if !free[i] {
            return cauchy[i];
        }
        let whole = cauchy[i] + d[i];
        let inside = whole.max(bounds[i].0).min(bounds[i].1);
        is_cut |= inside == bounds[i].0 || inside == bounds[i].1;
        inside
    };
    let mut target: Vec<f64> = (0..x.len()).map(cut).collect();
    let slope: f64 = target.iter().zip(x).zip(g).map(|((z, x), g)| (z - x) * g).sum();
    if !is_cut || slope <= 0.0 {
        return target;
    }
    let mut alpha = 1.0;
    let mut first = None;
    for i in (0..x.len()).filter(|&i| free[i]) {
        let room = match d[i] {
            d if d < 0.0 && bounds[i].0.is_finite() => bounds[i].0 - cauchy[i],
            d if d > 0.0 && bounds[i].1.is_finite() => bounds[i].1 - cauchy[i],
            _ => continue,
        };
        let share = if room * d[i] <= 0.0 { 0.0 } else { room / d[i] };
        if share < alpha {
            (alpha, first) = (share, Some(i));
        }
    }
    for i in 0..x.len() {
        target[i] = cauchy[i] + if free[i] { alpha * d[i] } else { 0.0 };
    }
    if let Some(i) = first {
        target[i] = if d[i] > 0.0 { bounds[i].1 } else { bounds[i].0 };
    }
    target
}

/// The solution of a system whose last column is the right side, by elimination with partial pivoting.
fn eliminate(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let k = rows.len();
    for column in 0..k {
        let pivot = (column..k).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        rows.swap(column, pivot);
        if rows[column][column] == 0.0 || rows[column][column].is_nan() {
            return None;
        }
        let (above, below) = rows.split_at_mut(column + 1);
        for row in below {
            let factor = row[column] / above[column][column];
            for (value, pivot) in row[column..].iter_mut().zip(&above[column][column..]) {
                *value -= factor * pivot;
            }
        }
    }
    let mut solution = vec![0.0; k];
    for i in (0..k).rev() {
        let known: f64 = (i + 1..k).map(|j| rows[i][j] * solution[j]).sum();
        solution[i] = (rows[i][k] - known) / rows[i][i];
    }
    solution.iter().all(|v| v.is_finite()).then_some(solution)
}

/// The search for a step that meets sufficient decrease (`F_TOL`) and curvature (`G_TOL`).
struct LineSearch {
    longest: f64,
    start: f64,
    slope: f64,
    is_bracketed: bool,
    is_first_stage: bool,
    width: f64,
    width_before: f64,
    best: Tried,
    other: Tried,
    low: f64,
    high: f64,
}

/// A step, its value and its slope.
#[derive(Clone, Copy)]
struct Tried {
    step: f64,
    value: f64,
    slope: f64,
}

impl LineSearch {
    const F_TOL: f64 = 1e-3;
    const G_TOL: f64 = 0.9;
    const X_TOL: f64 = 0.1;

    fn new(value: f64, slope: f64, first: f64, longest: f64) -> LineSearch {
        let zero = Tried { step: 0.0, value, slope };
        LineSearch {
            longest,
            start: value,
            slope,
            is_bracketed: false,
            is_first_stage: true,
            width: longest,
            width_before: 2.0 * longest,
            best: zero,
            other: zero,
            low: 0.0,
            high: 5.0 * first,
        }
    }

    /// Continues with the next step, or breaks: true if this one will do, false if none will be found.
    fn next(&mut self, value: f64, slope: f64, step: f64) -> ControlFlow<bool, f64> {
        let decrease = Self::F_TOL * self.slope;
        let bound = self.start + step * decrease;
        if self.is_first_stage && value <= bound && slope >= 0.0 {
            self.is_first_stage = false;
        }
        if value <= bound && slope.abs() <= Self::G_TOL * -self.slope {
            return ControlFlow::Break(true);
        }
        let is_out = self.is_bracketed && (step <= self.low || step >= self.high);
        let is_narrow = self.is_bracketed && self.high - self.low <= Self::X_TOL * self.high;
        let is_longest = step == self.longest && value <= bound && slope <= decrease;
        let is_shortest = step == 0.0 && (value > bound || slope >= decrease);
        if is_out || is_narrow || is_longest || is_shortest {
            // These are only warnings: the step may still be the best there is.
            return ControlFlow::Break(true);
        }
        let tried = Tried { step, value, slope };
        let next = if self.is_first_stage && value <= self.best.value && value > bound {
            // A modified function, whose minimum is closer to steps of sufficient decrease.
            let modify = |t: Tried| Tried { value: t.value - t.step * decrease, slope: t.slope - decrease, ..t };
            let restore = |t: Tried| Tried { value: t.value + t.step * decrease, slope: t.slope + decrease, ..t };
            (self.best, self.other) = (modify(self.best), modify(self.other));
            let next = self.advance(modify(tried));
            (self.best, self.other) = (restore(self.best), restore(self.other));
            next
        } else {
            self.advance(tried)
        };
        let mut next = next;
        if self.is_bracketed {
            let width = (self.other.step - self.best.step).abs();
            if width >= 0.66 * self.width_before {
                next = self.best.step + 0.5 * (self.other.step - self.best.step);
            }
            self.width_before = self.width;
            self.width = width;
            self.low = self.best.step.min(self.other.step);
            self.high = self.best.step.max(self.other.step);
        } else {
            self.low = next + 1.1 * (next - self.best.step);
            self.high = next + 4.0 * (next - self.best.step);
        }
        next = next.max(0.0).min(self.longest);
        let is_done = self.is_bracketed
            && (next <= self.low || next >= self.high || self.high - self.low <= Self::X_TOL * self.high);
        ControlFlow::Continue(if is_done { self.best.step } else { next })
    }

    /// The safeguarded cubic or quadratic step, and the interval after it (More and Thuente, section 4).
    fn advance(&mut self, at: Tried) -> f64 {
        let (best, other) = (self.best, self.other);
        let sign = at.slope * (best.slope / best.slope.abs());
        let cubic = |scale: f64, under: f64, negative: bool| {
            let gamma = scale * libm::sqrt(under.max(0.0));
            if negative { -gamma } else { gamma }
        };
        let next;
        if at.value > best.value {
            // Case 1: a higher value; the minimum is bracketed.
            let theta = 3.0 * (best.value - at.value) / (at.step - best.step) + best.slope + at.slope;
            let scale = theta.abs().max(best.slope.abs()).max(at.slope.abs());
            let under = (theta / scale) * (theta / scale) - (best.slope / scale) * (at.slope / scale);
            let gamma = cubic(scale, under, at.step < best.step);
            let p = (gamma - best.slope) + theta;
            let q = ((gamma - best.slope) + gamma) + at.slope;
            let by_cubic = best.step + p / q * (at.step - best.step);
            let by_quadratic = best.step
                + ((best.slope / ((best.value - at.value) / (at.step - best.step) + best.slope)) / 2.0)
                    * (at.step - best.step);
            next = if (by_cubic - best.step).abs() < (by_quadratic - best.step).abs() {
                by_cubic
            } else {
                by_cubic + (by_quadratic - by_cubic) / 2.0
            };
            self.is_bracketed = true;
        } else if sign < 0.0 {
            // Case 2: a lower value and slopes of opposite sign; the minimum is bracketed.
            let theta = 3.0 * (best.value - at.value) / (at.step - best.step) + best.slope + at.slope;
            let scale = theta.abs().max(best.slope.abs()).max(at.slope.abs());
            let under = (theta / scale) * (theta / scale) - (best.slope / scale) * (at.slope / scale);
            let gamma = cubic(scale, under, at.step > best.step);
            let p = (gamma - at.slope) + theta;
            let q = ((gamma - at.slope) + gamma) + best.slope;
            let by_cubic = at.step + p / q * (best.step - at.step);
            let by_secant = at.step + at.slope / (at.slope - best.slope) * (best.step - at.step);
            next = if (by_cubic - at.step).abs() > (by_secant - at.step).abs() { by_cubic } else { by_secant };
            self.is_bracketed = true;
        } else if at.slope.abs() < best.slope.abs() {
            // Case 3: a lower value, the same sign, and a smaller slope.
            let theta = 3.0 * (best.value - at.value) / (at.step - best.step) + best.slope + at.slope;
            let scale = theta.abs().max(best.slope.abs()).max(at.slope.abs());
            let under = (theta / scale) * (theta / scale) - (best.slope / scale) * (at.slope / scale);
            let gamma = cubic(scale, under, at.step > best.step);
            let p = (gamma - at.slope) + theta;
            let q = (gamma + (best.slope - at.slope)) + gamma;
            let r = p / q;
            let by_cubic = if r < 0.0 && gamma != 0.0 {
                at.step + r * (best.step - at.step)
            } else if at.step > best.step {
                self.high
            } else {
                self.low
            };
            let by_secant = at.step + at.slope / (at.slope - best.slope) * (best.step - at.step);
            if self.is_bracketed {
                let closer =
                    if (by_cubic - at.step).abs() < (by_secant - at.step).abs() { by_cubic } else { by_secant };
                let limit = at.step + 0.66 * (other.step - at.step);
                next = if at.step > best.step { closer.min(limit) } else { closer.max(limit) };
            } else {
                let farther =
                    if (by_cubic - at.step).abs() > (by_secant - at.step).abs() { by_cubic } else { by_secant };
                next = farther.min(self.high).max(self.low);
            }
        } else if self.is_bracketed {
            // Case 4: a lower value, the same sign, and a slope that is not smaller.
            let theta = 3.0 * (at.value - other.value) / (other.step - at.step) + other.slope + at.slope;
            let scale = theta.abs().max(other.slope.abs()).max(at.slope.abs());
            let under = (theta / scale) * (theta / scale) - (other.slope / scale) * (at.slope / scale);
            let gamma = cubic(scale, under, at.step > other.step);
            let p = (gamma - at.slope) + theta;
            let q = ((gamma - at.slope) + gamma) + other.slope;
            next = at.step + p / q * (other.step - at.step);
        } else {
            next = if at.step > best.step { self.high } else { self.low };
        }
        if at.value > best.value {
            self.other = at;
        } else {
            if sign < 0.0 {
                self.other = best;
            }
            self.best = at;
        }
        next
    }
}
