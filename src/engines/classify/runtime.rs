//! ONNX Runtime itself: a shared library, opened at run time, with one environment per process.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use super::error::ClassifyError;

/// ONNX Runtime, loaded. Cheap to clone; all clones are the process's one environment.
#[derive(Clone, Debug)]
pub struct Runtime {
    environment: Environment,
}

/// The environment and the library it came from. It lives as long as the process: `ort` refuses to make a second one, even after
/// the first was dropped.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

impl Runtime {
    /// The environment variable, and its value, without which ONNX Runtime 1.29 and newer keeps an identifier of the machine in the home directory
    /// and reports to its maker. It has to be set before the library is opened: the C API's switch comes too late, after the first report.
    pub const SILENCE: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

    /// Loads the shared library (ONNX Runtime 1.24 or newer), or gives the one that this process has already loaded from the same file.
    ///
    /// # Errors
    /// `WouldReport` when the library would talk to its maker, `LibraryMissing`, `LibraryUnusable`, or `OtherLibraryLoaded` when another file
    /// was loaded before.
    pub fn open(library: &Path) -> Result<Self, ClassifyError> {
        // Setting it here would be unsound, other threads read the environment.
        if std::env::var_os(Self::SILENCE.0).is_none_or(|value| value != Self::SILENCE.1) {
            return Err(ClassifyError::WouldReport);
        }
        // Absolute, because ort looks for relative paths beside the executable first.
        let path = library.canonicalize().map_err(|_| ClassifyError::LibraryMissing { path: library.to_owned() })?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, environment)) = &*loaded {
            if *from != path {
                return Err(ClassifyError::OtherLibraryLoaded { loaded: from.clone(), asked: path });
            }
            return Ok(Self { environment: environment.clone() });
        }
        let unusable = |reason: String| ClassifyError::LibraryUnusable { path: path.clone(), reason };
        let environment = ort::init_from(&path)
            .map_err(|error| unusable(error.to_string()))?
            .with_name("nightlight")
            .with_telemetry(false) // on Windows it is this that counts
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        // ort starts at verbose and filters afterwards; formatting messages that nobody reads costs time in every run.
        environment.set_log_level(LogLevel::Warning);
        *loaded = Some((path, environment.clone()));
        Ok(Self { environment })
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }
}
