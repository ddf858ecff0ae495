//! The journal of immutable objects, each created if absent under its position.
