//! The journal in a redb file: one process, many threads.
