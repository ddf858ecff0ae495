//! The journal on a Redis server that many machines share.
