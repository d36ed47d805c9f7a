//! From configuration to running models. Without any model ONNX Runtime is not needed.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use super::{
    Analysis, ModelVersions,
    embedders::Embedders,
    image::ImageWay,
    models::{ImageModel, TextModel},
    pictures::Pictures,
    pixels::{ModelName, PixelProcessor},
};
use crate::{
    config::Config,
    domain::{preprocess::PreprocessSpec, score::CONVERSATION},
    engines::{
        batch::BatchOptions,
        classify::{ConversationClassifier, ConversationLimits, Encoder, ImageClassifier, Manifest, PoolConfig, Runtime, TextHead},
    },
    services::{StartError, certificates::ModelFacts},
};

impl Analysis {
    /// Loads the models and starts the queues.
    pub(in crate::services) fn start(config: &Config, processor: Arc<PixelProcessor>) -> Result<Self, StartError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let or_cores = |count: usize| if count == 0 { cores } else { count };
        let mut versions = ModelVersions::new();
        let mut running: Vec<(String, ModelFacts)> = Vec::new();

        let runtime = || Runtime::open(&config.models.onnxruntime); // loaded once
        let sessions = or_cores(config.models.sessions);
        let pool = PoolConfig { sessions: sessions.try_into().unwrap_or(std::num::NonZero::<usize>::MIN), ..PoolConfig::default() };
        let wait = Duration::from_micros(config.batching.max_wait_us);
        let images = BatchOptions { max_batch: config.batching.max_images, max_wait: wait, queue: config.batching.queue };
        let texts = BatchOptions { max_batch: config.batching.max_texts, max_wait: wait, queue: config.batching.queue };
        let folder = |name: &str| config.models.directory.join(name);

        let (mut models, mut specs) = (Vec::new(), Vec::<(ModelName, PreprocessSpec)>::new());
        for name in &config.models.image {
            let classifier = ImageClassifier::open(&runtime()?, Manifest::load(&folder(name))?, &pool)?;
            check_labels(config, name, &classifier.manifest().labels, None)?;
            let facts = ModelFacts::new(classifier.manifest(), None, &classifier.digest(), pool.execution_provider);
            versions.insert(name.clone(), facts.digest.clone());
            running.push((name.clone(), facts));
            let key = ModelName::from(name.as_str());
            let (model, spec) = ImageModel::start(key.clone(), classifier, sessions, images)?;
            models.push(model);
            specs.push((key, spec));
        }
        let limits = ConversationLimits {
            max_scored_messages: config.limits.max_scored_messages,
            max_text_tokens: config.limits.max_text_tokens,
            max_conversation_tokens: config.limits.max_conversation_tokens,
            ..ConversationLimits::default()
        };
        let mut encoders: BTreeMap<String, Arc<Encoder>> = BTreeMap::new();
        let mut text_models = Vec::new();
        for name in &config.models.conversation {
            let manifest = Manifest::load(&folder(name))?;
            let runtime = runtime()?;
            let encoder = encoder_of(&manifest, &runtime, &pool, &config.models.directory, &mut encoders)?;
            let head = TextHead::open(&runtime, manifest, &encoder, &pool)?;
            check_labels(config, name, head.labels(), Some(CONVERSATION))?;
            let facts = ModelFacts::new(head.manifest(), Some(encoder.manifest()), head.digest(), pool.execution_provider);
            versions.insert(name.clone(), facts.digest.clone());
            running.push((name.clone(), facts));
            let classifier = ConversationClassifier::new(encoder, head, limits);
            text_models.push(TextModel::start(classifier, sessions, texts)?);
        }
        for (name, encoder) in &encoders {
            versions.insert(name.clone(), encoder.digest().as_str().to_owned());
        }

        let embedders = Arc::new(Embedders::start(config)?);
        versions.extend(embedders.digests());
        let of_models: std::collections::BTreeSet<ModelName> = specs.iter().map(|(name, _)| name.clone()).collect();
        let of_all = of_models.iter().chain(embedders.needs(&embedders.kinds()).iter()).cloned().collect();
        let pictures = Pictures::start(config, processor, specs.into(), embedders)?;
        let minimum_quality = config.matching.pdq_minimum_quality;
        let images = ImageWay { pictures, models, of_models: Arc::new(of_models), of_all: Arc::new(of_all), minimum_quality };
        Ok(Self { images, texts: text_models, versions, running })
    }
}

/// Refuses a threshold for a label that the model does not have: it would never flag anything.
fn check_labels(config: &Config, model: &str, labels: &[String], whole: Option<&str>) -> Result<(), StartError> {
    let known = |label: &str| labels.iter().any(|known| known == label) || whole == Some(label);
    match config.operating_points.iter().find(|((of, label), _)| of == model && !known(label)) {
        None => Ok(()),
        Some(((_, label), _)) => {
            let names: Vec<&str> = labels.iter().map(String::as_str).chain(whole).collect();
            let detail = format!("operating_points names the label {label:?}, which it does not have; its labels are {}", names.join(", "));
            Err(StartError::Model { model: model.to_owned(), detail })
        }
    }
}

/// The head's backbone: opened once, shared by all heads over it.
fn encoder_of(
    head: &Manifest,
    runtime: &Runtime,
    pool: &PoolConfig,
    directory: &Path,
    opened: &mut BTreeMap<String, Arc<Encoder>>,
) -> Result<Arc<Encoder>, StartError> {
    let wrong = |detail: &str| StartError::Model { model: head.name.clone(), detail: detail.to_owned() };
    let name = head
        .backbone
        .as_ref()
        .ok_or_else(|| wrong("it names no backbone, so it cannot read conversations; take it out of models.conversation"))?;
    if let Some(encoder) = opened.get(name) {
        return Ok(encoder.clone());
    }
    let encoder = Arc::new(Encoder::open(runtime, Manifest::load(&directory.join(name))?, pool)?);
    opened.insert(name.clone(), encoder.clone());
    Ok(encoder)
}
