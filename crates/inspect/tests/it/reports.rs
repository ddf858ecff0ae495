//! What stat, history and the reports say.
