//! `[models]`: which classifiers run, and where their files are.
//!
//! Where nobody says it, models and library are looked for in *homes*: folders that hold `models/` and `lib/`, as `scripts/fetch.sh` fills them. A
//! library is code that runs, so the directory that somebody happens to stand in is none of them: the program's own folder is, the checkout that it
//! was built in, and the data directory that was chosen.

use std::path::{Path, PathBuf};

use super::{ConfigError, is_name, layers::Layers};

/// The name of the folder that `scripts/fetch.sh` fills.
const HOME: &str = ".nightlight";

/// The classifiers and their runtime.
#[derive(Clone, Debug)]
pub struct Models {
    /// A folder per model, with its manifest and files.
    pub directory: PathBuf,
    /// ONNX Runtime's shared library.
    pub onnxruntime: PathBuf,
    /// Classifiers of pictures, by name.
    pub image: Vec<String>,
    /// Embedders of pictures, by name; their vectors are looked up in banks.
    pub embedding: Vec<String>,
    /// Classifiers of texts and conversations, by name.
    pub conversation: Vec<String>,
    /// Sessions per model; 0 = one per core.
    pub sessions: usize,
}

impl Models {
    /// The library's place in a home.
    pub const LIBRARY: &str = "lib/libonnxruntime.so";
    /// The models' place in a home.
    pub const FOLDER: &str = "models";

    /// Whether no model is configured, so that this server only matches hashes.
    pub fn is_empty(&self) -> bool {
        self.image.is_empty() && self.embedding.is_empty() && self.conversation.is_empty()
    }

    pub(super) fn read(layers: &Layers, data_dir: &Path) -> Result<Self, ConfigError> {
        // Behind links: a link to the program is not where it was installed.
        let program = std::env::current_exe().and_then(|program| program.canonicalize()).ok();
        let homes = homes(data_dir, program.as_deref());
        let place = |key: &str, within: &str| -> Result<PathBuf, ConfigError> {
            let said: PathBuf = layers.raw(key, "a path")?;
            Ok(if said.as_os_str().is_empty() { find(&homes, within) } else { said })
        };
        Ok(Self {
            directory: place("models.directory", Self::FOLDER)?,
            onnxruntime: place("models.onnxruntime", Self::LIBRARY)?,
            image: names(layers, "models.image")?,
            embedding: names(layers, "models.embedding")?,
            conversation: names(layers, "models.conversation")?,
            sessions: layers.number("models.sessions", 0..=1024)?,
        })
    }

    /// The place that is in force for a key of a path, for people.
    pub(super) fn found(&self, key: &str) -> Option<&Path> {
        match key {
            "models.directory" => Some(&self.directory),
            "models.onnxruntime" => Some(&self.onnxruntime),
            _ => None,
        }
    }
}

/// Where models and library may be, the first that has them counts; never empty.
fn homes(data_dir: &Path, program: Option<&Path>) -> Vec<PathBuf> {
    let mut homes = Vec::new();
    if let Some(folder) = program.and_then(Path::parent) {
        // <checkout>/target/<profile>/nightlight
        let target = folder.parent().filter(|parent| parent.file_name().is_some_and(|name| name == "target"));
        homes.extend(target.and_then(Path::parent).map(|checkout| checkout.join(HOME)));
        homes.push(folder.join(HOME));
    }
    // Whoever runs the tests has a checkout, wherever cargo puts what it builds.
    #[cfg(any(test, feature = "testing"))]
    homes.push(Path::new(env!("CARGO_MANIFEST_DIR")).join(HOME));
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    // .nightlight/data; beside any other folder somebody else may write.
    homes.extend(data_dir.parent().filter(|parent| parent.file_name().is_some_and(|name| name == HOME)).map(Path::to_owned));
    homes.push(data_dir);
    homes
}

fn find(homes: &[PathBuf], within: &str) -> PathBuf {
    let mut places = homes.iter().map(|home| home.join(within));
    // What is nowhere is missed where it would be found first.
    places.clone().find(|place| place.exists()).or_else(|| places.next()).unwrap_or_else(|| within.into())
}

/// Names become folder names and technologies, so nothing that walks out of a directory gets through.
fn names(layers: &Layers, key: &str) -> Result<Vec<String>, ConfigError> {
    const ALLOWED: &str = "a list of different names of lower-case letters, digits, - and _";
    let names: Vec<String> = layers.raw(key, ALLOWED)?;
    let once = names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
    if once && names.iter().all(|name| is_name(name)) { Ok(names) } else { Err(layers.invalid(key, ALLOWED)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_with_the_program_or_the_data_and_not_where_somebody_stands() {
        let of = |data: &str, program: &str| {
            let homes = homes(Path::new(data), Some(Path::new(program)));
            let tests_own = Path::new(env!("CARGO_MANIFEST_DIR")).join(HOME);
            homes.into_iter().filter(|home| *home != tests_own).map(|home| home.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let checkout = of("/srv/nightlight", "/home/me/src/target/release/nightlight");
        assert_eq!(checkout, ["/home/me/src/.nightlight", "/home/me/src/target/release/.nightlight", "/srv/nightlight"]);
        // /tmp is everybody's: nothing is taken from beside a folder there.
        assert_eq!(of("/tmp/demo", "/opt/nightlight/nightlight"), ["/opt/nightlight/.nightlight", "/tmp/demo"]);
        assert_eq!(of("/x/.nightlight/data", "/usr/bin/nightlight"), ["/usr/bin/.nightlight", "/x/.nightlight", "/x/.nightlight/data"]);
    }

    #[test]
    fn the_first_home_that_has_it_counts() {
        let folder = tempfile::tempdir().unwrap();
        let homes = ["a", "b", "c"].map(|name| folder.path().join(name));
        assert_eq!(find(&homes, Models::FOLDER), homes[0].join("models"), "missed where it would be found first");
        for home in &homes[1..] {
            std::fs::create_dir_all(home.join("models")).unwrap();
        }
        assert_eq!(find(&homes, Models::FOLDER), homes[1].join("models"));
    }
}
