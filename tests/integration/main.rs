//! The integration tests: one file per concern.

mod architecture;
mod classify;
mod cli;
mod cli_calibrate;
mod cli_evaluate;
mod cli_preprocess;
mod client;
mod decode;
mod durability;
mod hostile;
mod http_app;
mod http_auth;
mod http_hma;
mod http_match;
mod http_review;
mod http_score;
mod http_score_hostile;
mod http_serve;
mod http_status;
mod monitor;
mod operating_points;
mod outbound;
mod parity;
mod serving;
mod store;
