//! hashing

pub mod digests;
