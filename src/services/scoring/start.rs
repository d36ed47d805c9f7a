//! From configuration to running engines.

use std::{sync::Arc, time::Duration};

use super::{
    ModelVersions, Pseudonyms, Scoring,
    audit::Sampler,
    idempotency::Keys,
    image::ImageWay,
    models::{ImageModel, TextModel},
};
use crate::{
    config::Config,
    engines::{batch::BatchOptions, classify::ExecutionProvider},
    services::{
        StartError,
        banks::{Banks, hits::Hits},
        certificates::ModelFacts,
        embedders::Embedders,
        lanes::Lanes,
        models::{Models, Refused, Sees},
        operating_points::OperatingPoints,
        pixels::{PixelEngine, PixelProcessor},
    },
    store::Store,
};

/// What scoring shares with others.
pub(in crate::services) struct Parts {
    pub banks: Arc<Banks>,
    pub processor: Arc<PixelProcessor>,
    pub lanes: Lanes,
    pub embedders: Arc<Embedders>,
    /// Without the embedders.
    pub models: Models,
    pub hits: Arc<Hits>,
}

impl Scoring {
    /// Puts the models behind their queues.
    pub(in crate::services) async fn start(
        config: &Config,
        store: Store,
        pseudonyms: Pseudonyms,
        Parts { banks, processor, lanes, embedders, models: loaded, hits }: Parts,
    ) -> Result<Self, StartError> {
        let mut versions = ModelVersions::new();
        let mut running: Vec<(String, ModelFacts)> = Vec::new();
        let (sessions, provider) = (loaded.sessions, ExecutionProvider::default());
        let wait = Duration::from_micros(config.batching.max_wait_us);
        let images = BatchOptions { max_batch: config.batching.max_images, max_wait: wait, queue: config.batching.queue };
        let texts = BatchOptions { max_batch: config.batching.max_texts, max_wait: wait, queue: config.batching.queue };
        let mut put = |name: String, facts: ModelFacts| {
            versions.insert(name.clone(), facts.digest.clone());
            running.push((name, facts));
        };
        let refused = |sees: Sees| loaded.refused.iter().filter(move |refused| refused.sees == sees).map(Refused::unscored).collect();
        let (refused_pictures, refused_texts) = (refused(Sees::Pictures), refused(Sees::Texts));

        let (mut models, mut specs) = (Vec::new(), Vec::new());
        for (name, classifier) in loaded.images {
            put(name, ModelFacts::new(classifier.manifest(), &classifier.digest(), provider));
            let (model, spec) = ImageModel::start(classifier, sessions, images)?;
            models.push(model);
            specs.push(spec);
        }
        let mut text_models = Vec::new();
        for (name, classifier) in loaded.texts {
            put(name, ModelFacts::new(classifier.head().manifest(), classifier.digest(), provider));
            text_models.push(TextModel::start(classifier, sessions, texts)?);
        }
        for (name, encoder) in &loaded.encoders {
            versions.insert(name.clone(), encoder.digest().as_str().to_owned());
        }

        versions.extend(embedders.digests());
        specs.extend(embedders.specs(&embedders.kinds()));
        let specs: Arc<[_]> = specs.into();
        let pixels = PixelEngine::start(processor, &specs, images)?;
        let images = ImageWay {
            lane: lanes.decode,
            matching: lanes.matching,
            decoder: lanes.decoder,
            pixels,
            models,
            embedders,
            refused: refused_pictures,
            minimum_quality: config.matching.pdq_minimum_quality,
        };
        let keys = Keys::new(config.idempotency.memory_entries, Duration::from_secs(config.idempotency.ttl_s));
        let (policy, images) = (config.routing.policy.clone(), Arc::new(images));
        let points = OperatingPoints::load(config, running.into_iter().collect(), store.clone()).await?;
        let sampler = Sampler::new(&config.audit);
        let cluster_matches = config.review.cluster_matches;
        Ok(Self {
            store,
            banks,
            points,
            policy,
            pseudonyms,
            sampler,
            cluster_matches,
            hits,
            keys,
            images,
            texts: text_models,
            refused_texts,
            models: versions,
        })
    }
}
