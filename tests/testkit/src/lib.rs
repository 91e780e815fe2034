//! Peers for mailchute's tests, examples and benchmarks.
