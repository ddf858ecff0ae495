//! Densities, quantiles, hypervolume, non-dominated sorting and counter-based generators.
//!
//! Plain functions of plain numbers: nothing here has ever heard of a trial. Transcendental functions come from
//! `libm` or are written out, so that every platform computes the same bits.

mod blocks;
mod boxes;
mod cholesky;
mod crowding;
mod eigen;
mod elementary;
mod halton;
mod hypervolume;
mod improvement;
mod lbfgsb;
mod normal;
mod pareto;
mod points;
mod sobol;
mod stream;

pub use blocks::{Inversion, SymmetricBlocks};
pub use boxes::non_dominated_boxes;
pub use cholesky::Cholesky;
pub use crowding::{crowding_distances, even_direction_count, even_directions, nearest_directions, normalized};
pub use eigen::SymmetricEigen;
pub use elementary::{exp, exp_in_place, ln, ln_in_place, log_sum_exp};
pub use halton::Halton;
pub use hypervolume::{hypervolume, select_by_hypervolume};
pub use improvement::{
    LogValue, erfcx, log_expected_improvement, log_expected_length, log_h, log_probability_above,
};
pub use lbfgsb::{LbfgsbEnd, LbfgsbOptions, LbfgsbResult, lbfgsb};
pub use normal::{
    HALF_LN_TAU, log_gauss_mass, log_gauss_mass_around, log_ndtr, narrow_mass_excess, ndtr, ndtri, ndtri_exp,
    trunc_normal_log_pdf, trunc_normal_quantile,
};
pub use pareto::{dominates, non_dominated_ranks, pareto_front};
pub use points::Points;
pub use sobol::Sobol;
pub use stream::{Stream, hash_bytes};
