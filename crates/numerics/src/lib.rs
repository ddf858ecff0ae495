//! Densities, quantiles, kernels, hypervolume, non-dominated sorting and counter-based generators.
