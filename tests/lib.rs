//! Holds no code: the tests stand in `it/`.
