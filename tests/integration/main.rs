//! Integration tests, one file per concern.

mod parity;
