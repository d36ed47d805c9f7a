//! Use cases and their transactions. Below HTTP and the command line, above engines and store.

pub mod access;
pub mod health;
pub mod review;
pub mod scoring;
