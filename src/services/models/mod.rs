//! Models: from the folders that the configuration names to what runs.
//!
//! A model is taken into service only after it has shown that it does what its manifest says: files as pinned, tensors of the names, types and
//! shapes that are needed, and then one real input through preprocessing and network, the golden one where the manifest has `[golden]`, whose
//! scores must be those written there. What does not fit is [`Refused`] by name, with the reason, and the others serve: every attachment that it would
//! have looked at is `unscored: technology_failed` with its name, `/readyz` and `nightlight doctor` say why, and a gauge is 0.
//!
//! Some things stop the start all the same, because the settings name something that is not there: ONNX Runtime's library, a model without a
//! folder, a text head in the wrong list, a configured threshold for a label that the model does not have.
//!
//! If every configured model is refused, the server still matches hashes, and `/readyz` answers 503: it does not do its work.

mod check;
mod mend;

use std::{collections::BTreeMap, path::Path, sync::Arc};

pub use self::mend::{explained, mend};
use crate::{
    config::{Config, Origin},
    domain::{
        evidence::{Unscored, UnscoredReason},
        score::{CONVERSATION, Technology},
        signal::{EmbeddingModel, SignalType},
    },
    engines::{
        batch::cores,
        classify::{
            ClassifyError, ConversationClassifier, ConversationLimits, Encoder, ImageClassifier, ImageEmbedder, Manifest, ModelKind,
            PoolConfig, Runtime, TextHead,
        },
    },
    services::StartError,
};

/// What a model would have looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// Every picture.
    Pictures,
    /// Pictures, while a bank holds signals of this type.
    PicturesForBanks(SignalType),
    /// Every text and conversation.
    Texts,
}

/// A model that is configured and not in service.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Its folder.
    pub name: String,
    /// What its results would have been called: the folder's name when the manifest cannot be read.
    pub technology: Technology,
    pub sees: Sees,
    pub trouble: Trouble,
}

/// What is wrong with a model, or with the library.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// For callers: without paths.
    pub reason: String,
    /// For the operator: the error itself.
    pub error: String,
    /// And what to do; empty where the error says it.
    pub mend: String,
}

impl Trouble {
    fn of(config: &Config, model: &str, error: &ClassifyError) -> Self {
        Self { reason: mend::without_paths(error), error: error.to_string(), mend: mend(config, model, error) }
    }
}

impl Refused {
    /// What stands in the answer for every attachment that it would have looked at.
    pub fn unscored(&self) -> Unscored {
        let detail = format!("the model {} was refused when the server started: {}", self.name, self.trouble.reason);
        Unscored { technology: self.technology.clone(), reason: UnscoredReason::TechnologyFailed, detail }
    }
}

/// What one model came to, for `nightlight doctor`.
#[derive(Clone, Debug)]
pub struct Found {
    pub name: String,
    /// Version, bytes, and whether a golden input was compared.
    pub outcome: Result<String, Trouble>,
}

/// All configured models.
#[derive(Default)]
pub struct Models {
    /// In the order of the configuration, like the next two.
    pub images: Vec<(String, ImageClassifier)>,
    pub embedders: Vec<(String, ImageEmbedder)>,
    pub texts: Vec<(String, ConversationClassifier)>,
    /// The text backbones in use, by name.
    pub encoders: BTreeMap<String, Arc<Encoder>>,
    pub refused: Vec<Refused>,
    /// Sessions of each model.
    pub sessions: usize,
}

/// Why a model is not in service.
enum Failure {
    /// It is refused.
    Refuse(Trouble),
    /// The settings are wrong.
    Stop(StartError),
}

impl Models {
    /// Opens and tries every model that `config` names. Without any, ONNX Runtime is not needed.
    ///
    /// # Errors
    /// See [`StartError`]: what is wrong with the settings and not with a model.
    pub fn load(config: &Config) -> Result<Self, StartError> {
        Self::with_sessions(config, config.models.sessions)
    }

    /// The same with so many sessions of each model; 0 = one per core.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn with_sessions(config: &Config, sessions: usize) -> Result<Self, StartError> {
        let sessions = if sessions == 0 { cores() } else { sessions };
        let mut models = Self { sessions, ..Self::default() };
        if config.models.is_empty() {
            return Ok(models);
        }
        let runtime = Runtime::open(&config.models.onnxruntime).map_err(|error| StartError::Library(explained(config, &error)))?;
        let pool = PoolConfig { sessions: sessions.try_into().unwrap_or(std::num::NonZero::<usize>::MIN), ..PoolConfig::default() };
        let opening = Opening { config, runtime, pool };
        for name in &config.models.image {
            models.take(config, name, Sees::Pictures, opening.image(name), |models| &mut models.images)?;
        }
        for name in &config.models.embedding {
            // A name of the configuration is one of a signal type, unless there are hundreds of them.
            let sees = EmbeddingModel::new(name).map_or(Sees::Pictures, |model| Sees::PicturesForBanks(SignalType::Embedding(model)));
            models.take(config, name, sees, opening.embedder(name), |models| &mut models.embedders)?;
        }
        let mut tried = BTreeMap::new();
        for name in &config.models.conversation {
            let opened = opening.text(name, &mut tried);
            models.take(config, name, Sees::Texts, opened, |models| &mut models.texts)?;
        }
        models.encoders = tried.into_iter().filter_map(|(name, tried)| Some((name, tried.ok()?))).collect();
        // A backbone whose every head was refused serves nobody.
        models.encoders.retain(|name, _| models.texts.iter().any(|(_, text)| text.encoder().manifest().name == *name));
        Ok(models)
    }

    fn take<T>(
        &mut self,
        config: &Config,
        name: &str,
        sees: Sees,
        opened: Result<T, Failure>,
        place: impl FnOnce(&mut Self) -> &mut Vec<(String, T)>,
    ) -> Result<(), StartError> {
        match opened {
            Ok(model) => place(self).push((name.to_owned(), model)),
            Err(Failure::Stop(error)) => return Err(error),
            Err(Failure::Refuse(trouble)) => {
                let technology =
                    Manifest::load(&config.models.directory.join(name)).map_or_else(|_| name.to_owned(), |known| known.technology);
                self.refused.push(Refused { name: name.to_owned(), technology: Technology::new(technology), sees, trouble });
            }
        }
        Ok(())
    }

    /// What their operators should know.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let raw = self.encoders.iter().filter(|(_, encoder)| encoder.manifest().normalise.is_none());
        raw.map(|(name, _)| {
            format!("the text model {name} has no [normalise] in its manifest: disguised texts (h3ll0, h e l l o) are scored as they stand and get past; see models/README.md")
        })
    }

    /// How many models are in service, and how many are configured.
    pub fn in_service(&self) -> (usize, usize) {
        let serve = self.images.len() + self.embedders.len() + self.texts.len();
        (serve, serve + self.refused.len())
    }

    /// Tells the gauge of each model.
    pub fn gauges(&self) {
        let serving = self.images.iter().map(|(name, _)| name).chain(self.embedders.iter().map(|(name, _)| name));
        let serving = serving.chain(self.texts.iter().map(|(name, _)| name));
        let all = serving.map(|name| (name, 1.0)).chain(self.refused.iter().map(|refused| (&refused.name, 0.0)));
        for (name, value) in all {
            metrics::gauge!(crate::telemetry::metric::MODEL_IN_SERVICE, "model" => name.clone()).set(value);
        }
    }
}

/// What opening a model takes.
struct Opening<'a> {
    config: &'a Config,
    runtime: Runtime,
    pool: PoolConfig,
}

/// Backbones by name, each opened once whatever came of it.
type Tried = BTreeMap<String, Result<Arc<Encoder>, Trouble>>;

impl Opening<'_> {
    fn refuse(&self, name: &str, error: &ClassifyError) -> Failure {
        Failure::Refuse(Trouble::of(self.config, name, error))
    }

    fn manifest(&self, name: &str) -> Result<Manifest, Failure> {
        let folder = self.config.models.directory.join(name);
        match Manifest::load(&folder) {
            Ok(manifest) => Ok(manifest),
            // Not a model that does not fit but a name, or a directory, that was mistyped.
            Err(error) if !folder.exists() => {
                let Trouble { error, mend, .. } = Trouble::of(self.config, name, &error);
                Err(Failure::Stop(StartError::Model { model: name.to_owned(), detail: format!("{error}; {mend}") }))
            }
            Err(error) => Err(self.refuse(name, &error)),
        }
    }

    fn image(&self, name: &str) -> Result<ImageClassifier, Failure> {
        let manifest = self.manifest(name)?;
        self.check_labels(&manifest, name, None)?;
        let opened = ImageClassifier::open(&self.runtime, manifest, &self.pool);
        opened.and_then(|model| check::image(&model).map(|()| model)).map_err(|error| self.refuse(name, &error))
    }

    fn embedder(&self, name: &str) -> Result<ImageEmbedder, Failure> {
        let opened = ImageEmbedder::open(&self.runtime, self.manifest(name)?, &self.pool);
        opened.and_then(|model| check::embedder(&model).map(|()| model)).map_err(|error| self.refuse(name, &error))
    }

    fn text(&self, name: &str, tried: &mut Tried) -> Result<ConversationClassifier, Failure> {
        let manifest = self.manifest(name)?;
        let Some(backbone) = manifest.backbone.clone().filter(|_| manifest.kind == ModelKind::TextHead) else {
            let detail = "it names no backbone, so it cannot read conversations; take it out of models.conversation".to_owned();
            return Err(Failure::Stop(StartError::Model { model: name.to_owned(), detail }));
        };
        self.check_labels(&manifest, name, Some(CONVERSATION))?;
        if !tried.contains_key(&backbone) {
            let opened = match self.encoder(&backbone) {
                Ok(encoder) => Ok(Arc::new(encoder)),
                Err(Failure::Refuse(trouble)) => Err(trouble),
                Err(stop) => return Err(stop),
            };
            tried.insert(backbone.clone(), opened);
        }
        let encoder = match &tried[&backbone] {
            Ok(encoder) => encoder.clone(),
            Err(Trouble { reason, error, mend }) => {
                let of_backbone = |text: &str| format!("its backbone {backbone} is refused: {text}");
                return Err(Failure::Refuse(Trouble { reason: of_backbone(reason), error: of_backbone(error), mend: mend.clone() }));
            }
        };
        let limits = ConversationLimits {
            max_scored_messages: self.config.limits.max_scored_messages,
            max_text_tokens: self.config.limits.max_text_tokens,
            max_conversation_tokens: self.config.limits.max_conversation_tokens,
            ..ConversationLimits::default()
        };
        let opened = TextHead::open(&self.runtime, manifest, &encoder, &self.pool);
        let opened = opened.map(|head| ConversationClassifier::new(encoder, head, limits));
        opened.and_then(|model| check::text(&model).map(|()| model)).map_err(|error| self.refuse(name, &error))
    }

    fn encoder(&self, name: &str) -> Result<Encoder, Failure> {
        let opened = Encoder::open(&self.runtime, self.manifest(name)?, &self.pool);
        opened.and_then(|encoder| check::encoder(&encoder).map(|()| encoder)).map_err(|error| self.refuse(name, &error))
    }

    /// A threshold for a label that the model does not have would never flag anything. An operator who wrote it is told at once; against a threshold
    /// that is merely a default the model is not the one that it was made for.
    fn check_labels(&self, manifest: &Manifest, name: &str, whole: Option<&str>) -> Result<(), Failure> {
        let known = |label: &str| manifest.labels.iter().any(|known| known == label) || whole == Some(label);
        let Some(((_, label), _)) = self.config.operating_points.iter().find(|((of, label), _)| of == name && !known(label)) else {
            return Ok(());
        };
        let names: Vec<&str> = manifest.labels.iter().map(String::as_str).chain(whole).collect();
        let detail = format!("operating_points names the label {label:?}, which it does not have; its labels are {}", names.join(", "));
        let key = format!("operating_points.{name}.{label}");
        if self.config.effective().iter().any(|value| value.key == key && value.origin == Origin::Default) {
            return Err(self.refuse(name, &ClassifyError::ModelUnusable { model: name.to_owned(), reason: detail }));
        }
        Err(Failure::Stop(StartError::Model { model: name.to_owned(), detail }))
    }
}

/// Opens and tries every configured model and every backbone that they name, one session each: how the library is, and a row for each model, by name.
pub fn examine(config: &Config) -> (Result<(), Trouble>, Vec<Found>) {
    let runtime = Runtime::open(&config.models.onnxruntime);
    let library = runtime.as_ref().map(drop).map_err(|error| Trouble::of(config, "", error));
    let mut found: BTreeMap<String, Result<String, Trouble>> = BTreeMap::new();
    match runtime {
        Ok(runtime) => {
            let opening =
                Opening { config, runtime, pool: PoolConfig { sessions: std::num::NonZero::<usize>::MIN, ..PoolConfig::default() } };
            let outcome = |name: &str, failure: Option<Failure>| match failure {
                None => Ok(described(&config.models.directory.join(name))),
                Some(Failure::Stop(error)) => Err(Trouble { reason: String::new(), error: error.to_string(), mend: String::new() }),
                Some(Failure::Refuse(trouble)) => Err(trouble),
            };
            for name in &config.models.image {
                found.insert(name.clone(), outcome(name, opening.image(name).err()));
            }
            for name in &config.models.embedding {
                found.insert(name.clone(), outcome(name, opening.embedder(name).err()));
            }
            let mut tried = BTreeMap::new();
            for name in &config.models.conversation {
                found.insert(name.clone(), outcome(name, opening.text(name, &mut tried).err()));
            }
            found.extend(tried.into_iter().map(|(name, tried)| {
                let outcome = outcome(&name, tried.err().map(Failure::Refuse));
                (name, outcome)
            }));
        }
        Err(error) => {
            let names = config.models.image.iter().chain(&config.models.embedding).chain(&config.models.conversation);
            for name in names {
                let manifest = Manifest::load(&config.models.directory.join(name));
                let read = manifest.and_then(|manifest| manifest.files.iter().try_for_each(|file| manifest.read(file.role).map(drop)));
                let trouble = match read {
                    Err(error) => Trouble::of(config, name, &error),
                    Ok(()) => Trouble {
                        error: "its files are as pinned; without ONNX Runtime it cannot be tried".to_owned(),
                        ..Trouble::of(config, name, &error)
                    },
                };
                found.insert(name.clone(), Err(trouble));
            }
        }
    }
    (library, found.into_iter().map(|(name, outcome)| Found { name, outcome }).collect())
}

/// What runs, for people.
fn described(folder: &Path) -> String {
    let Ok(manifest) = Manifest::load(folder) else { return "runs".to_owned() };
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    let golden = if manifest.golden.is_some() { "its golden input gives what it should" } else { "it has no golden input to compare" };
    format!("version {}; runs; {golden}; {:.1} MiB", manifest.version, bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests;
