//! One input through each model: does it do what its manifest says?

use crate::{
    domain::{signal::Signal, tensor::Tensor},
    engines::{
        classify::{ClassifyError, ConversationClassifier, Encoder, Golden, ImageClassifier, ImageEmbedder, Manifest},
        preprocess::preprocess_cpu,
    },
};

/// What a model of texts reads when its manifest has no golden text.
const TEXT: &str = "see you at practice tomorrow";

/// What failed while one input was tried, as what is wrong with the model: it is the input that is right.
fn tried(manifest: &Manifest, error: ClassifyError) -> ClassifyError {
    match error {
        ClassifyError::RunFailed { reason, .. } => unusable(manifest, &format!("it does not run: {reason}")),
        error => error,
    }
}

fn unusable(manifest: &Manifest, reason: &str) -> ClassifyError {
    ClassifyError::ModelUnusable { model: manifest.name.clone(), reason: reason.to_owned() }
}

/// Its golden picture, or the first one where it has none, as the server would hand it over.
fn tensor(manifest: &Manifest) -> Result<Tensor, ClassifyError> {
    let picture = manifest.golden.as_ref().and_then(|golden| golden.picture).unwrap_or_default();
    let spec = manifest.preprocess.as_ref().ok_or_else(|| unusable(manifest, "it has no [preprocess]"))?;
    preprocess_cpu(spec, &picture.frame()).map_err(|error| unusable(manifest, &error.to_string()))
}

fn compare(manifest: &Manifest, scores: &[(String, f32)], values: &[f32]) -> Result<(), ClassifyError> {
    let compared = manifest.golden.as_ref().map(|golden| Golden::compare(golden, scores, values));
    compared.unwrap_or(Ok(())).map_err(|reason| unusable(manifest, &reason))
}

pub(super) fn image(model: &ImageClassifier) -> Result<(), ClassifyError> {
    let manifest = model.manifest();
    let rows = model.run(&[tensor(manifest)?]).map_err(|error| tried(manifest, error))?;
    let scores: Vec<_> = manifest.labels.iter().cloned().zip(rows.into_iter().flatten()).collect();
    compare(manifest, &scores, &[])
}

pub(super) fn embedder(model: &ImageEmbedder) -> Result<(), ClassifyError> {
    let manifest = model.manifest();
    let signals = model.run(&[tensor(manifest)?]).map_err(|error| tried(manifest, error))?;
    let bytes = signals.first().map(Signal::to_bytes).unwrap_or_default();
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    compare(manifest, &[], &values)
}

pub(super) fn encoder(model: &Encoder) -> Result<(), ClassifyError> {
    let manifest = model.manifest();
    let text = manifest.golden.as_ref().and_then(|golden| golden.text.as_deref()).unwrap_or(TEXT);
    let embeddings = model.encode(&[text]).map_err(|error| tried(manifest, error))?;
    let values = embeddings.first().and_then(|embedding| embedding.windows.first());
    let values = values.ok_or_else(|| unusable(manifest, "its tokenizer finds no words in plain English"))?;
    compare(manifest, &[], values)
}

pub(super) fn text(model: &ConversationClassifier) -> Result<(), ClassifyError> {
    let manifest = model.head().manifest();
    let text = manifest.golden.as_ref().and_then(|golden| golden.text.as_deref()).unwrap_or(TEXT);
    // As it stands: what else is looked at beside a text is no part of the model.
    let windows =
        model.encoder().encode(&[text]).map(|embeddings| embeddings.into_iter().flat_map(|embedding| embedding.windows).collect());
    let rows = windows.and_then(|windows: Vec<Vec<f32>>| model.head().scores(&windows));
    let rows = rows.map_err(|error| tried(manifest, error))?;
    let scores: Vec<_> = manifest.labels.iter().cloned().zip(rows.into_iter().flatten()).collect();
    compare(manifest, &scores, &[])
}
