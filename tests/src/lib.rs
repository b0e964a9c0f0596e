//! Tests that no single package can hold; they live under `tests/`.
