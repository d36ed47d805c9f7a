//! Why the server does not start.

use std::{fmt, path::PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The embedded `default.toml`.
    Default,
    /// The file of `--config`.
    File(PathBuf),
    /// An environment variable, by name.
    Env(String),
    /// A flag of the command line, with its dashes.
    Flag(&'static str),
}

impl Origin {
    /// Grows from the defaults to the flags: what comes from a stronger source counts before what a weaker one says.
    pub(super) const fn strength(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(_) => 1,
            Self::Env(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A configuration that is refused. Each text names the source, the key and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file of `--config` cannot be read. Check its path and permissions.
    #[error("configuration: cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// Not TOML. Mend the text at the place shown.
    #[error("configuration ({origin}): not valid TOML: {detail}")]
    Syntax { origin: Origin, detail: String },
    /// No such key. Correct or remove it.
    #[error("configuration ({origin}): unknown key `{key}`; allowed are {allowed}")]
    UnknownKey { origin: Origin, key: String, allowed: String },
    /// The value has the wrong type or is out of range. Choose one that is allowed.
    #[error("configuration ({origin}): `{key}` cannot be {value}; allowed: {allowed}")]
    Invalid { origin: Origin, key: String, value: String, allowed: String },
}
