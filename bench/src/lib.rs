//! The benchmarks live in `benches/`.
