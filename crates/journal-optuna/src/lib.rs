//! Optuna's own journals, in a file and in Redis, shared with its workers.
