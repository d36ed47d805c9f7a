//! Everything that is tested through public interfaces, one file per concern.

mod http_app;
mod http_auth;
mod http_review;
mod http_score;
mod http_score_hostile;
mod http_serve;
mod http_status;
mod store;
