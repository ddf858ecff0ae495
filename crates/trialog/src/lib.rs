//! An embedded storage engine for hyperparameter-optimization studies, and the optimizer that runs on it.
