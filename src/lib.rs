//! Nightlight: a GPU-accelerated classifier inference server for child-safety work. This page is the map of the house.
//!
//! # One attachment's way
//!
//! ```text
//!  POST /score ─> http::score ── key, deadline, body within its bounds, permit, idempotency key
//!                     │
//!                     v
//!             services::scoring ─> services::analysis ────────────────────────────────────────┐
//!                     │                                                                         │
//!   bytes ─> engines::media (sniff, limits, decode) ─> views ─┬─> engines::hashing     PDQ ─> engines::matching (banks)
//!                     └─> digests (MD5, SHA-1, SHA-256)       └─> engines::preprocess  tensor ─> engines::classify (ONNX)
//!   text, conversation ─> engines::classify (normalise, tokens, encoder, heads)                 │
//!                     │                                                                         │
//!                     v                                                                         v
//!             engines::routing <──────────────────────── Evidence {matches, scores, unscored} ──┘
//!                     │ RoutingDecision
//!                     v
//!             store::commit ── ledger event + review item + counters, one transaction, fsync
//!                     │
//!                     v
//!             the answer (services::scoring::ScoreAnswer)
//! ```
//!
//! `services::analysis` looks at attachments, whoever asks (scoring, `lookup`, `evaluate`, the command line): every distinct frame and page, with and without transparency, a
//! text as written and as its letters read.
//!
//! The threshold that a score meets comes from `services::operating_points`: a certificate that `nightlight calibrate` made of labelled scores
//! (`engines::calibration` has the method and its proofs), or the configuration. What people then decide comes back through `services::monitor`, which
//! says whether the threshold keeps its promise and takes the word "certified" away where it does not.
//!
//! On a GPU, preprocessing and hashing are stages appended to one recording over one upload (`engines::gpu`); without one the CPU path
//! does the same work with the same results.
//!
//! # Floors
//!
//! | floor | rooms | may import |
//! | --- | --- | --- |
//! | top | `main` | `cli`, `http` |
//! | surface | [`cli`], [`http`] | services and everything below |
//! | use cases | [`services`] | engines, store, outbound, domain |
//! | engines | [`engines`] | domain; `preprocess`, `hashing` and `matching` also `gpu` |
//! | store | [`store`] | domain and the ledger's chain |
//! | requests | [`outbound`] | domain |
//! | values | [`domain`] | nothing here |
//!
//! Imports go down only; engines know neither store nor services nor each other; what two engines share is a domain value. One room owns
//! each foreign crate. `tests/integration/architecture.rs` holds the table of allowed edges and enforces it. [`config`] and [`telemetry`]
//! stand beside the floors: configuration is read by `cli` and handed down as values.
//!
//! Principles, in one line each: a threshold is evidence; every technology keeps its own books; a human decides; exact before approximate;
//! upload once; untrusted bytes stay in a box; store little; the field's words (glossary in [`domain`]).

pub mod cli;
pub mod config;
pub mod domain;
pub mod engines;
pub mod http;
pub mod outbound;
pub mod services;
pub mod store;
pub mod telemetry;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
