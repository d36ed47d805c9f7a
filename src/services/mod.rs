//! Use cases and their transactions. Below HTTP and the command line, above engines and store.

pub mod banks;
pub mod scoring;
