//! From models in service to models behind their queues.

use std::{sync::Arc, time::Duration};

use super::{
    Analysis, ModelVersions,
    embedders::Embedders,
    image::ImageWay,
    lanes::shared,
    models::{ImageModel, TextModel},
    pictures::Pictures,
    pixels::{ModelName, PixelProcessor},
};
use crate::{
    config::Config,
    domain::preprocess::PreprocessSpec,
    engines::{batch::BatchOptions, classify::ExecutionProvider},
    services::{
        StartError,
        certificates::ModelFacts,
        models::{Models, Refused, Sees},
    },
};

impl Analysis {
    /// Puts the models behind their queues.
    pub(in crate::services) fn start(config: &Config, processor: Arc<PixelProcessor>, mut loaded: Models) -> Result<Self, StartError> {
        let mut versions = ModelVersions::new();
        let mut running: Vec<(String, ModelFacts)> = Vec::new();
        let (sessions, provider) = (loaded.sessions, ExecutionProvider::default());
        let wait = Duration::from_micros(config.batching.max_wait_us);
        // Pictures go through a network one by one, so that a batch would only let others wait.
        let images = BatchOptions { max_batch: 1, max_wait: wait, queue: config.batching.queue };
        let texts = BatchOptions { max_batch: config.batching.max_texts, max_wait: wait, queue: config.batching.queue };
        let cores = shared(config);
        let mut put = |name: String, facts: ModelFacts| {
            versions.insert(name.clone(), facts.digest.clone());
            running.push((name, facts));
        };
        let refused = |sees: Sees| loaded.refused.iter().filter(move |refused| refused.sees == sees).map(Refused::unscored).collect();
        let (refused_pictures, refused_texts) = (refused(Sees::Pictures), refused(Sees::Texts));

        let (mut models, mut specs) = (Vec::new(), Vec::<(ModelName, PreprocessSpec)>::new());
        for (name, classifier) in std::mem::take(&mut loaded.images) {
            let key = ModelName::from(name.as_str());
            put(name, ModelFacts::new(classifier.manifest(), None, &classifier.digest(), provider));
            let (model, spec) = ImageModel::start(&cores, key.clone(), classifier, sessions, images)?;
            models.push(model);
            specs.push((key, spec));
        }
        let mut text_models = Vec::new();
        for (name, classifier) in std::mem::take(&mut loaded.texts) {
            let (head, backbone) = (classifier.head().manifest(), classifier.encoder().manifest());
            put(name, ModelFacts::new(head, Some(backbone), classifier.digest(), provider));
            text_models.push(TextModel::start(&cores, classifier, sessions, texts)?);
        }
        for (name, encoder) in &loaded.encoders {
            versions.insert(name.clone(), encoder.digest().as_str().to_owned());
        }

        let embedders = Arc::new(Embedders::start(config, &cores, &mut loaded)?);
        versions.extend(embedders.digests());
        let of_models: std::collections::BTreeSet<ModelName> = specs.iter().map(|(name, _)| name.clone()).collect();
        let of_all = of_models.iter().chain(embedders.needs(&embedders.kinds()).iter()).cloned().collect();
        let pictures = Pictures::start(config, &cores, processor, specs.into(), embedders)?;
        let images = ImageWay {
            pictures,
            models,
            refused: refused_pictures,
            of_models: Arc::new(of_models),
            of_all: Arc::new(of_all),
            minimum_quality: config.matching.pdq_minimum_quality,
        };
        Ok(Self { images, texts: text_models, refused_texts, versions, running })
    }
}
