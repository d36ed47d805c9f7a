//! `nightlight preprocess`: what a model sees of a picture, as a file, so that it can be held against a training pipeline.

mod npy;

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, builder::PossibleValuesParser};
use serde::Serialize;

use super::{Failure, files, hash::open_processor, output};
use crate::{
    config::{Backend, Config},
    domain::preprocess::PreprocessSpec,
    engines::classify::{Manifest, spec_from_toml},
    services::analysis::Viewer,
};

#[derive(Args, Debug)]
pub(super) struct Preprocess {
    /// The model whose manifest says what to do: the name of its folder in models.directory
    #[arg(long, value_name = "NAME", conflicts_with = "spec", required_unless_present = "spec")]
    model: Option<String>,
    /// A TOML file that says what to do, with the keys of a manifest's [preprocess]
    ///
    /// They stand at the file's top, or in a table [preprocess], beside which anything may stand: a manifest will do. models/README.md
    /// explains the keys.
    #[arg(long, value_name = "FILE.toml")]
    spec: Option<PathBuf>,
    /// What does the work [default: engine.backend, auto]
    ///
    /// auto takes the GPU unless it is missing or a software adapter; gpu fails without one. A picture that does not fit the GPU's memory is
    /// the CPU's work all the same; the printed "backend" tells.
    #[arg(long, value_parser = PossibleValuesParser::new(Backend::ALL.map(Backend::as_str)))]
    backend: Option<String>,
    /// Where the tensor goes; an existing file is replaced
    #[arg(long, value_name = "FILE.npy")]
    out: PathBuf,
    /// The picture
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Serialize)]
struct Line<'a> {
    file: String,
    out: String,
    shape: &'a [usize],
    dtype: &'static str,
    backend: &'static str,
}

impl Preprocess {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        // clap wants one of the two.
        let spec = match (&self.spec, &self.model) {
            (Some(path), _) => read_spec(path)?,
            (None, name) => model_spec(config, name.as_deref().unwrap_or_default())?,
        };
        let named = |error: &dyn std::fmt::Display| Failure::input(format!("{}: {error}", self.file.display()));
        let max_bytes = config.server.body_limit_bytes;
        let bytes = files::read(&self.file, max_bytes).map_err(|error| named(&error))?;
        let viewer = Viewer::new(config, 0); // one picture: nothing to use again
        let frame = viewer.first(&bytes).map_err(|error| named(&error))?;
        // Known to clap as one of the three.
        let backend = self.backend.as_deref().and_then(|name| name.parse().ok()).unwrap_or(config.engine.backend);
        let processor = open_processor(backend, config)?;
        // One frame and one spec were given, so there is one tensor.
        let mut pixels = processor.look(&[Arc::new(frame)], &[spec]).swap_remove(0);
        let tensor = pixels.tensors.swap_remove(0).map_err(|error| named(&error))?;
        let written = File::create(&self.out).and_then(|file| {
            let mut out = BufWriter::new(file);
            npy::write(&tensor, &mut out)?;
            out.flush()
        });
        written.map_err(|error| Failure::failed(format!("{} cannot be written: {error}", self.out.display())))?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (file, out) = (text(&self.file), text(&self.out));
        Ok(output::json_line(&Line { file, out, shape: tensor.shape(), dtype: tensor.dtype().as_str(), backend: pixels.backend })?)
    }
}

fn read_spec(path: &Path) -> Result<PreprocessSpec, Failure> {
    let named = |reason: String| Failure::input(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| named(format!("cannot be read: {error}")))?;
    spec_from_toml(&text).map_err(named)
}

fn model_spec(config: &Config, name: &str) -> Result<PreprocessSpec, Failure> {
    let directory = &config.models.directory;
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut installed: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    installed.sort();
    if !installed.iter().any(|model| model == name) {
        let list = if installed.is_empty() { "nothing; run scripts/fetch.sh".to_owned() } else { installed.join(", ") };
        return Err(Failure::input(format!(
            "there is no model `{name}` in {} (models.directory), which holds {list}",
            directory.display()
        )));
    }
    let manifest = Manifest::load(&directory.join(name)).map_err(|error| Failure::input(error.to_string()))?;
    manifest.preprocess.ok_or_else(|| Failure::input(format!("the model `{name}` takes no pictures: its manifest has no [preprocess]")))
}
