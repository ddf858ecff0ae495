//! The beginning that good points of another study suggest: Nomura, Watanabe, Akimoto, Ozaki and Onishi, "Warm starting
//! CMA-ES for hyperparameter optimization" (AAAI 2021).

use libm::{exp, log};
use trialog_numerics::SymmetricEigen;

/// The share of the points that counts as promising (their gamma).
const SHARE: f64 = 0.1;

/// How far a promising point reaches (their alpha).
const REACH: f64 = 0.1;

/// Mean, step size and covariance of unit determinant, from points of the unit cube with their losses; `None` if they
/// are too few, that is fewer than ten.
#[must_use]
pub fn promising(mut points: Vec<(Vec<f64>, f64)>) -> Option<(Vec<f64>, f64, Vec<f64>)> {
    points.sort_by(|a, b| a.1.total_cmp(&b.1));
    points.truncate((points.len() as f64 * SHARE).floor() as usize);
    let n = points.first()?.0.len();
    let count = points.len() as f64;
    let mean: Vec<f64> = (0..n).map(|i| points.iter().map(|(x, _)| x[i]).sum::<f64>() / count).collect();
    let mut covariance = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..n {
            let product: f64 = points.iter().map(|(x, _)| (x[i] - mean[i]) * (x[j] - mean[j])).sum();
            covariance[i * n + j] = product / count + if i == j { REACH * REACH } else { 0.0 };
        }
    }
    // No eigenvalue is below the square of the reach, so the logarithms exist.
    let eigen = SymmetricEigen::new(&covariance, n)?;
    let log_det: f64 = eigen.values.iter().map(|value| log(*value)).sum();
    let sigma = exp(log_det / 2.0 / n as f64);
    covariance.iter_mut().for_each(|c| *c /= sigma * sigma);
    Some((mean, sigma, covariance))
}
