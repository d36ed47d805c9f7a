//! How a command ends when it does not end well.

use std::{io, path::Path, process::ExitCode};

use crate::{
    config::ConfigError,
    services::{
        StartError,
        access::AccessError,
        banks::BankError,
        datasets::DatasetError,
        evaluate::{CompareError, EvaluateError},
        exchange::{ExchangeError, export::ExportError},
    },
    store::StoreError,
};

/// Something failed that was asked for correctly.
const FAILED: u8 = 1;
/// Wrong usage or input.
const INPUT: u8 = 2;
/// The evidence does not carry what was asked for.
const INSUFFICIENT: u8 = 3;

/// An error on its way to the user: what to print, and the exit code.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    /// `None` when everything has been said on stdout already.
    message: Option<String>,
}

impl Failure {
    /// It should have worked: exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: Some(message.into()) }
    }

    /// The caller has to change something: exit code 2.
    pub fn input(message: impl Into<String>) -> Self {
        Self { code: INPUT, message: Some(message.into()) }
    }

    /// More evidence is needed: exit code 3.
    pub fn insufficient(message: impl Into<String>) -> Self {
        Self { code: INSUFFICIENT, message: Some(message.into()) }
    }

    /// The same, about this file.
    pub fn of(self, path: &Path) -> Self {
        Self { message: self.message.map(|message| format!("{}: {message}", path.display())), ..self }
    }

    /// Exit code 1; the results name what failed.
    pub const fn told() -> Self {
        Self { code: FAILED, message: None }
    }

    /// Prints it and gives the exit code.
    pub fn report(self) -> ExitCode {
        if let Some(message) = self.message {
            eprintln!("error: {message}");
        }
        ExitCode::from(self.code)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message.as_deref().unwrap_or("failed"))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::input(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NotFound(_) | StoreError::Duplicate(_) | StoreError::Invalid(_) | StoreError::ForeignDatabase { .. } => {
                Self::input(error.to_string())
            }
            _ => Self::failed(error.to_string()),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Store(error) => error.into(),
            AccessError::Name | AccessError::Expired | AccessError::Role(_) => Self::input(error.to_string()),
            _ => Self::failed(error.to_string()),
        }
    }
}

impl From<BankError> for Failure {
    fn from(error: BankError) -> Self {
        match error {
            BankError::Store(error) => error.into(),
            BankError::Busy { .. } => Self::failed(error.to_string()),
            _ => Self::input(error.to_string()),
        }
    }
}

impl From<DatasetError> for Failure {
    fn from(error: DatasetError) -> Self {
        Self::input(error.to_string())
    }
}

impl From<EvaluateError> for Failure {
    fn from(error: EvaluateError) -> Self {
        Self::input(error.to_string())
    }
}

impl From<CompareError> for Failure {
    fn from(error: CompareError) -> Self {
        Self::input(error.to_string())
    }
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Store(error) => error.into(),
            ExchangeError::Bank(error) => error.into(),
            ExchangeError::Fetch(_) | ExchangeError::Busy(_) => Self::failed(error.to_string()),
            _ => Self::input(error.to_string()),
        }
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => error.into(),
            ExportError::Io(error) => error.into(),
            ExportError::Recipient { .. } | ExportError::Negative { .. } => Self::input(error.to_string()),
            ExportError::Encrypt(_) => Self::failed(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // `nightlight hash … | head`: whoever read the output has seen enough.
        if error.kind() == io::ErrorKind::BrokenPipe { Self { code: 0, message: None } } else { Self::failed(error.to_string()) }
    }
}
