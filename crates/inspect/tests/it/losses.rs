//! Repairs of logs whose losses cost numbers.
