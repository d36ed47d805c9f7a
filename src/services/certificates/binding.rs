//! What a certificate is bound to, and what runs here.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::CertificateError;
use crate::{
    config::Config,
    domain::{certificate::ModelBinding, score::CONVERSATION, tensor::DType},
    engines::classify::{ClassifyError, ExecutionProvider, Manifest, ModelDigest, ModelKind},
    services::analysis,
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

/// What a certificate for this label of this model (a folder of `models.directory`) is to be bound to, and a warning when the model is not at
/// hand: then the binding has no digest, and the certificate never becomes valid.
///
/// # Errors
/// [`CertificateError::Label`] when the model is there and does not have the label.
pub fn binding(config: &Config, model: &str, label: &str) -> Result<(ModelBinding, Option<String>), CertificateError> {
    match ModelFacts::load(config, model) {
        Ok(facts) if facts.labels.iter().any(|known| known == label) => Ok((facts.binding(label), None)),
        Ok(facts) => Err(CertificateError::Label { model: model.to_owned(), label: label.to_owned(), known: facts.labels.join(", ") }),
        Err(error) => {
            let unbound = ModelBinding {
                name: model.to_owned(),
                label: label.to_owned(),
                digest: None,
                preprocessing: None,
                compute_dtype: None,
                provider: None,
                rule: None,
            };
            let warning =
                format!("the model {model} is not at hand ({error}); the certificate is bound to no version of it and never becomes valid");
            Ok((unbound, Some(warning)))
        }
    }
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
        let (image, warning) = binding(&committed(), "open-nsfw", "nsfw").unwrap();
        // The number that `engines::classify::manifest` pins.
        let pinned = "sha256:5b83ebc2def7478684235e92fc1f0a3e6ef59a572fc182fb53bd657ca34a7f64";
        assert_eq!((image.digest.as_deref(), warning), (Some(pinned), None));
        assert!(image.preprocessing.is_some_and(|digest| digest.len() == "sha256:".len() + 64));
        assert_eq!((image.compute_dtype.as_deref(), image.provider.as_deref()), (Some("f32"), Some("cpu")));

        let (text, _) = binding(&committed(), "conversation-demo", "conversation").unwrap();
        let folder = |name: &str| Manifest::load(&committed().models.directory.join(name)).unwrap();
        let with_backbone = folder("conversation-demo").digest(Some(&folder("minilm").digest(None)));
        assert_eq!((text.digest.as_deref(), text.preprocessing), (Some(with_backbone.as_str()), None));
    }

    #[test]
    fn a_missing_model_is_a_warning_and_a_missing_label_an_error() {
        let (unbound, warning) = binding(&committed(), "absent", "nsfw").unwrap();
        assert!(unbound.digest.is_none() && warning.unwrap().contains("never becomes valid"));
        let error = binding(&committed(), "open-nsfw", "nsfv").unwrap_err().to_string();
        assert!(error.contains("nsfv") && error.contains("nsfw"), "{error}");
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
