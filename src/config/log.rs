//! `[log]`: what is written to stderr.

use super::{ConfigError, layers::Layers};

/// The least severe event that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// For people or for collectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Logging.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
}

impl Log {
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        const LEVELS: &str = "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
        const FORMATS: &str = "\"text\" or \"json\"";
        Ok(Self {
            level: match layers.raw::<String>("log.level", LEVELS)?.as_str() {
                "error" => LogLevel::Error,
                "warn" => LogLevel::Warn,
                "info" => LogLevel::Info,
                "debug" => LogLevel::Debug,
                "trace" => LogLevel::Trace,
                _ => return Err(layers.invalid("log.level", LEVELS)),
            },
            format: match layers.raw::<String>("log.format", FORMATS)?.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(layers.invalid("log.format", FORMATS)),
            },
        })
    }
}
