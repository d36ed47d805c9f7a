//! Everything that is tested through public interfaces, one file per concern.

mod store;
