//! What a certificate is bound to, and what runs here.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::CertificateError;
use crate::{
    config::Config,
    domain::{certificate::ModelBinding, score::CONVERSATION, tensor::DType},
    engines::classify::{ClassifyError, ExecutionProvider, Manifest, ModelDigest, ModelKind},
    services::{analysis, models::explained},
};

/// Everything about a model that a certificate is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// The technology's name.
    pub technology: String,
    /// What scores are given for, `conversation` included.
    pub labels: Vec<String>,
    /// As [`ModelBinding::digest`].
    pub digest: String,
    /// As [`ModelBinding::preprocessing`].
    pub preprocessing: Option<String>,
    /// The numbers that the network takes: a picture's tensor, or for texts the embeddings that the heads get.
    pub compute_dtype: String,
    /// ONNX Runtime's execution provider.
    pub provider: String,
    /// As [`ModelBinding::rule`].
    pub rule: String,
}

impl ModelFacts {
    /// Of a model that is open, or would open: its manifest, and for a text head its backbone's and the digest of both.
    pub fn new(manifest: &Manifest, backbone: Option<&Manifest>, digest: &ModelDigest, provider: ExecutionProvider) -> Self {
        let spec = manifest.preprocess.as_ref();
        let preprocessing = spec.map(|spec| {
            let text = serde_json::to_vec(spec).expect("plain structs with string keys always serialise");
            format!("sha256:{}", hex::encode(Sha256::digest(text)))
        });
        let whole = (manifest.kind == ModelKind::TextHead).then(|| CONVERSATION.to_owned());
        Self {
            technology: manifest.technology.clone(),
            labels: manifest.labels.iter().cloned().chain(whole).collect(),
            digest: digest.as_str().to_owned(),
            preprocessing,
            compute_dtype: spec.map_or(DType::F32, |spec| spec.dtype).as_str().to_owned(),
            provider: provider.as_str().to_owned(),
            rule: if spec.is_some() { analysis::image_rule() } else { analysis::text_rule(manifest, backbone) },
        }
    }

    /// Of the model in this folder of the model directory, as a server with this configuration would run it. The model's files are not read: a
    /// server refuses those that differ from the manifest.
    ///
    /// # Errors
    /// When its manifest, or that of its backbone, is missing or wrong.
    pub fn load(config: &Config, model: &str) -> Result<Self, ClassifyError> {
        let folder = |name: &str| -> Result<Manifest, ClassifyError> { Manifest::load(&config.models.directory.join(Path::new(name))) };
        let manifest = folder(model)?;
        let backbone = manifest.backbone.as_deref().map(folder).transpose()?;
        let digest = manifest.digest(backbone.as_ref().map(|backbone| backbone.digest(None)).as_ref());
        Ok(Self::new(&manifest, backbone.as_ref(), &digest, ExecutionProvider::default()))
    }

    /// What a certificate for one of the labels is bound to.
    pub fn binding(&self, label: &str) -> ModelBinding {
        ModelBinding {
            name: self.technology.clone(),
            label: label.to_owned(),
            digest: Some(self.digest.clone()),
            preprocessing: self.preprocessing.clone(),
            compute_dtype: Some(self.compute_dtype.clone()),
            provider: Some(self.provider.clone()),
            rule: Some(self.rule.clone()),
        }
    }

    /// Everything in which this model is not the one that a certificate is bound to, in words; empty when it is.
    pub fn differences(&self, bound: &ModelBinding) -> Vec<String> {
        let mut found = Vec::new();
        match &bound.digest {
            None => found.push("the model was not at hand when the certificate was made, so it is bound to no digest".to_owned()),
            Some(digest) if *digest != self.digest => {
                found.push(format!("it is for another version of the model: {} there, {} here", short(digest), short(&self.digest)));
            }
            Some(_) => {}
        }
        let here = [
            ("preprocessing", &bound.preprocessing, self.preprocessing.as_ref()),
            ("compute dtype", &bound.compute_dtype, Some(&self.compute_dtype)),
            ("execution provider", &bound.provider, Some(&self.provider)),
        ];
        // A certificate without digest is bound to nothing of the model; one sentence about that is enough.
        for (what, there, here) in here.into_iter().filter(|_| bound.digest.is_some()) {
            if there.as_ref() != here {
                let word = |value: Option<&String>| value.map_or("none", |value| short(value)).to_owned();
                found.push(format!("it is for another {what}: {} there, {} here", word(there.as_ref()), word(here)));
            }
        }
        // One that names no rule is from before there were several looks: it holds where there is one, which is known for each score.
        if let Some(rule) = bound.rule.as_ref().filter(|rule| **rule != self.rule) {
            found.push(format!("it is for scores by another rule: \"{rule}\" there, \"{}\" here", self.rule));
        }
        found
    }
}

/// `sha256:` and the first 12 digits: enough for people to tell two apart.
fn short(digest: &str) -> &str {
    digest.get(.."sha256:".len() + 12).filter(|_| digest.starts_with("sha256:")).unwrap_or(digest)
}

/// What a certificate for this label of this model (a folder of `models.directory`) is to be bound to. Without the model there is nothing to bind to, and such a
/// certificate would never become valid.
///
/// # Errors
/// [`CertificateError::Model`] and [`CertificateError::BrokenModel`] when the model is not there, [`CertificateError::Label`] when it does not have the label.
pub fn binding(config: &Config, model: &str, label: &str) -> Result<ModelBinding, CertificateError> {
    let directory = &config.models.directory;
    if !directory.join(model).join(Manifest::FILE).is_file() {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let labelled = |name: &String| ModelFacts::load(config, name).is_ok_and(|facts| !facts.labels.is_empty());
        let mut known: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(labelled).collect();
        known.sort();
        let known = match &known[..] {
            [] => "it holds no model with labels: run scripts/fetch.sh, or correct models.directory".to_owned(),
            known => format!("the models with labels are {}", known.join(", ")),
        };
        return Err(CertificateError::Model { model: model.to_owned(), directory: directory.clone(), known });
    }
    let facts = ModelFacts::load(config, model)
        .map_err(|error| CertificateError::BrokenModel { model: model.to_owned(), error: explained(config, &error) })?;
    if !facts.labels.iter().any(|known| known == label) {
        return Err(CertificateError::Label { model: model.to_owned(), label: label.to_owned(), known: facts.labels.join(", ") });
    }
    Ok(facts.binding(label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn committed() -> Config {
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
        Config::load(&Sources::default().with_flag("--models", "models.directory", models)).unwrap()
    }

    #[test]
    fn a_binding_has_the_digest_that_serving_computes() {
        let image = binding(&committed(), "open-nsfw", "nsfw").unwrap();
        // The number that `engines::classify::manifest` pins.
        let pinned = "sha256:5b83ebc2def7478684235e92fc1f0a3e6ef59a572fc182fb53bd657ca34a7f64";
        assert_eq!(image.digest.as_deref(), Some(pinned));
        assert!(image.preprocessing.is_some_and(|digest| digest.len() == "sha256:".len() + 64));
        assert_eq!((image.compute_dtype.as_deref(), image.provider.as_deref()), (Some("f32"), Some("cpu")));

        let text = binding(&committed(), "conversation-demo", "conversation").unwrap();
        let folder = |name: &str| Manifest::load(&committed().models.directory.join(name)).unwrap();
        let with_backbone = folder("conversation-demo").digest(Some(&folder("minilm").digest(None)));
        assert_eq!((text.digest.as_deref(), text.preprocessing), (Some(with_backbone.as_str()), None));
    }

    #[test]
    fn a_model_or_label_that_is_not_there_is_an_error_that_names_those_that_are() {
        let told = |model: &str, label: &str| binding(&committed(), model, label).unwrap_err().to_string();
        let absent = told("open-nsfv", "nsfw");
        assert!(
            absent.contains("\"open-nsfv\"") && absent.ends_with("the models with labels are conversation-demo, open-nsfw"),
            "{absent}"
        );
        let label = told("open-nsfw", "nsfv");
        assert!(label.contains("nsfv") && label.contains("nsfw"), "{label}");
        let none = tempfile::tempdir().unwrap();
        let sources = Sources::default().with_flag("--models", "models.directory", none.path().to_str().unwrap());
        let empty = binding(&Config::load(&sources).unwrap(), "open-nsfw", "nsfw").unwrap_err().to_string();
        assert!(empty.contains("fetch.sh"), "{empty}");
    }

    #[test]
    fn every_difference_is_told_and_none_where_there_is_none() {
        let facts = ModelFacts::load(&committed(), "open-nsfw").unwrap();
        let bound = facts.binding("nsfw");
        assert_eq!(facts.differences(&bound), Vec::<String>::new());
        assert_eq!(facts.differences(&ModelBinding { rule: None, ..bound.clone() }), Vec::<String>::new(), "from before there were rules");
        let other = Some("other".to_owned());
        for (word, changed) in [
            ("version of the model", ModelBinding { digest: other.clone(), ..bound.clone() }),
            ("preprocessing", ModelBinding { preprocessing: None, ..bound.clone() }),
            ("compute dtype", ModelBinding { compute_dtype: other.clone(), ..bound.clone() }),
            ("execution provider", ModelBinding { provider: other, ..bound.clone() }),
            ("another rule", ModelBinding { rule: Some("image@0".to_owned()), ..bound.clone() }),
            ("bound to no digest", ModelBinding { digest: None, preprocessing: None, ..bound.clone() }),
        ] {
            let found = facts.differences(&changed);
            assert!(found.len() == 1 && found[0].contains(word), "{word}: {found:?}");
        }
    }
}
