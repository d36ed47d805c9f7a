//! Fakes and fixtures for tests and benches; never part of a release binary.
