//! The integration tests: one file per concern.

mod classify;
mod client;
mod decode;
mod durability;
mod hostile;
mod http_app;
mod http_auth;
mod http_review;
mod http_score;
mod http_score_hostile;
mod http_serve;
mod http_status;
mod serving;
mod store;
