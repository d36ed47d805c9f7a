//! What a model is: its manifest, its files, its digest.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::ClassifyError;
use super::golden::Golden;
use super::normalise::Normalise;
use super::script::Scripts;
use crate::domain::preprocess::PreprocessSpec;
use crate::domain::signal::{EmbeddingModel, Signal};

/// A model's `manifest.toml`, read and checked. `models/README.md` explains the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The folder it was read from, which holds the files.
    pub folder: PathBuf,
    pub name: String,
    pub version: String,
    /// The name in every result, metric and ledger event.
    pub technology: String,
    pub kind: ModelKind,
    /// In the order of the scores; empty where the output is an embedding.
    pub labels: Vec<String>,
    pub licence: String,
    /// Of a text head: the text backbone whose embeddings it takes.
    pub backbone: Option<String>,
    pub files: Vec<ModelFile>,
    pub output: Output,
    pub preprocess: Option<PreprocessSpec>,
    pub text: Option<Text>,
    /// Of a text backbone: how texts are normalised for its second look; `None` when there is none.
    pub normalise: Option<Normalise>,
    /// Of a text backbone: the scripts that it reads, by ISO 15924's codes; empty when the manifest names none.
    pub scripts: Vec<String>,
    pub conversation: Option<Conversation>,
    pub embedding: Option<EmbeddingShape>,
    /// Decides nothing of the scores, so it is no part of the digest.
    pub golden: Option<Golden>,
}

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    ImageClassifier,
    /// Pictures to vectors whose cosine says how alike they are: copy detection. Its technology is `embedding:<name>`.
    ImageEmbedder,
    TextBackbone,
    TextHead,
}

/// What a file is to its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Network,
    Tokenizer,
    MessageHead,
    ConversationHead,
}

/// One file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    pub role: Role,
    /// In the model's folder.
    pub name: String,
    /// 64 lower-case hex digits.
    pub sha256: String,
    pub bytes: u64,
    /// Absent when the file is committed beside the manifest.
    pub source: Option<WheelSource>,
}

/// A Python wheel that a file is taken from, for `scripts/fetch.sh`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelSource {
    pub wheel: String,
    pub version: String,
    pub wheel_sha256: String,
    /// Path of the file inside the wheel.
    pub member: String,
}

/// What comes out of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The output's name in the ONNX graph.
    pub tensor: String,
    pub scores: ScoreForm,
}

/// What the network's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreForm {
    /// In 0..=1 already.
    Probabilities,
    /// The sigmoid is still to be taken: each label for itself.
    Logits,
    /// The softmax is still to be taken: one of the labels. Image classifiers only.
    Softmax,
    /// One vector per token of a text, see [`Text`]; one per picture, see [`EmbeddingShape`].
    Embedding,
}

/// How a text backbone takes texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Length of an embedding.
    pub dimensions: usize,
    /// Tokens of one window, with the two that mark its ends.
    pub window_tokens: usize,
    /// Tokens that a window shares with the next.
    pub window_overlap: usize,
}

/// What an image embedder gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingShape {
    /// Numbers of one picture's vector, 1..=4096.
    pub dimensions: usize,
}

/// How a text head looks at conversations; the features are defined in `aggregate`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversation {
    pub window_messages: usize,
    /// Messages between the starts of two windows.
    pub stride_messages: usize,
    /// The message score from which a label counts as present.
    pub present: f32,
}

/// Names everything that decides a model's scores: its files by SHA-256, labels, preprocessing and output form, for a text head
/// also its backbone's digest. Text form `sha256:` and 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ModelDigest(String);

impl ModelDigest {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    name: String,
    version: String,
    technology: String,
    kind: ModelKind,
    labels: Option<String>,
    licence: String,
    backbone: Option<String>,
    file: Vec<ModelFile>,
    output: Output,
    preprocess: Option<PreprocessSpec>,
    text: Option<Text>,
    normalise: Option<Normalise>,
    #[serde(default)]
    scripts: Vec<String>,
    conversation: Option<Conversation>,
    embedding: Option<EmbeddingShape>,
    golden: Option<Golden>,
}

impl Manifest {
    /// Its name in a model's folder.
    pub const FILE: &str = "manifest.toml";

    /// Reads `manifest.toml` and the labels in `folder`. The model's files are read when the model is opened.
    ///
    /// # Errors
    /// `FileMissing`, or `InvalidManifest` for unknown keys, values out of range, or keys that the kind does not have or lacks.
    pub fn load(folder: &Path) -> Result<Self, ClassifyError> {
        Self::parse(folder, &read_text(&folder.join(Self::FILE))?)
    }

    fn parse(folder: &Path, text: &str) -> Result<Self, ClassifyError> {
        let invalid = |reason: String| ClassifyError::InvalidManifest { path: folder.join(Self::FILE), reason };
        let raw: RawManifest = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let labels = match &raw.labels {
            Some(name) => {
                check_file_name(name).map_err(invalid)?;
                read_text(&folder.join(name))?.lines().map(str::to_owned).collect()
            }
            None => Vec::new(),
        };
        let manifest = Self {
            folder: folder.to_owned(),
            name: raw.name,
            version: raw.version,
            technology: raw.technology,
            kind: raw.kind,
            labels,
            licence: raw.licence,
            backbone: raw.backbone,
            files: raw.file,
            output: raw.output,
            preprocess: raw.preprocess,
            text: raw.text,
            normalise: raw.normalise,
            scripts: raw.scripts,
            conversation: raw.conversation,
            embedding: raw.embedding,
            golden: raw.golden,
        };
        manifest.check().map_err(invalid)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        use ModelKind::{ImageClassifier, ImageEmbedder, TextBackbone, TextHead};
        let required: &[Role] = match self.kind {
            ImageClassifier | ImageEmbedder => &[Role::Network],
            TextBackbone => &[Role::Network, Role::Tokenizer],
            TextHead => &[Role::MessageHead, Role::ConversationHead],
        };
        if self.files.len() != required.len() || !required.iter().all(|role| self.files.iter().any(|file| file.role == *role)) {
            return Err(format!("the files of this kind are {required:?}, one each"));
        }
        for file in &self.files {
            check_file_name(&file.name)?;
            if file.sha256.len() != 64 || !file.sha256.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(format!("`{}` needs 64 lower-case hex digits as sha256", file.name));
            }
        }
        let tables = [
            ("labels", !self.labels.is_empty(), !matches!(self.kind, TextBackbone | ImageEmbedder)),
            ("[preprocess]", self.preprocess.is_some(), matches!(self.kind, ImageClassifier | ImageEmbedder)),
            ("[embedding]", self.embedding.is_some(), self.kind == ImageEmbedder),
            ("[text]", self.text.is_some(), self.kind == TextBackbone),
            ("[normalise]", self.normalise.is_some(), self.kind == TextBackbone && self.normalise.is_some()),
            ("scripts", !self.scripts.is_empty(), self.kind == TextBackbone && !self.scripts.is_empty()),
            ("[conversation]", self.conversation.is_some(), self.kind == TextHead),
            ("backbone", self.backbone.is_some(), self.kind == TextHead),
        ];
        if let Some((name, there, _)) = tables.into_iter().find(|(_, there, wanted)| there != wanted) {
            return Err(format!("{name} {} this kind", if there { "does not belong to" } else { "is needed for" }));
        }
        if let Some(golden) = &self.golden {
            golden.check(self.kind, &self.labels)?;
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(label) = self.labels.iter().find(|label| label.is_empty() || !seen.insert(*label)) {
            return Err(format!("the label {label:?} is empty or stands twice"));
        }
        if let Some(preprocess) = &self.preprocess {
            preprocess.check()?;
        }
        if let Some(text) = &self.text
            && (text.dimensions == 0 || text.window_tokens < 3 || text.window_overlap >= text.window_tokens - 2)
        {
            return Err("[text] needs windows of at least 3 tokens, longer than their overlap, and some dimensions".into());
        }
        if let Some(normalise) = &self.normalise {
            normalise.check()?;
        }
        Scripts::parse(&self.scripts)?;
        if let Some(embedding) = &self.embedding
            && !(1..=Signal::MOST_DIMENSIONS).contains(&embedding.dimensions)
        {
            return Err(format!("[embedding] needs 1 to {} dimensions", Signal::MOST_DIMENSIONS));
        }
        if self.kind == ImageEmbedder && self.technology != format!("{}{}", EmbeddingModel::PREFIX, self.name) {
            return Err(format!("the technology of this kind is \"{}{}\"", EmbeddingModel::PREFIX, self.name));
        }
        if let Some(conversation) = &self.conversation
            && !(1..=conversation.window_messages).contains(&conversation.stride_messages)
        {
            return Err("[conversation] needs a stride of 1 to window_messages".into());
        }
        Ok(())
    }

    /// The file of `role`, its size and SHA-256 verified. What is returned is what was verified: it is read once.
    ///
    /// # Errors
    /// `FileMissing` or `FileDiffers`.
    pub fn read(&self, role: Role) -> Result<Vec<u8>, ClassifyError> {
        let file = self.files.iter().find(|file| file.role == role).ok_or_else(|| self.unusable(format!("it has no file {role:?}")))?;
        let path = self.folder.join(&file.name);
        let bytes = std::fs::read(&path).map_err(|error| ClassifyError::FileMissing { path: path.clone(), reason: error.to_string() })?;
        let found = hex::encode(Sha256::digest(&bytes));
        if found != file.sha256 || bytes.len() as u64 != file.bytes {
            return Err(ClassifyError::FileDiffers { path, expected: file.sha256.clone(), found });
        }
        Ok(bytes)
    }

    /// The digest of this model; looks and scripts are no part of it but of the rule that certificates are bound to beside it, so that models stay what
    /// they were when a rule comes. `backbone` is that of the text backbone when this is a text head.
    pub fn digest(&self, backbone: Option<&ModelDigest>) -> ModelDigest {
        #[derive(Serialize)]
        struct Identity<'a> {
            files: Vec<(Role, &'a str)>,
            labels: &'a [String],
            output: &'a Output,
            preprocess: &'a Option<PreprocessSpec>,
            text: Option<Text>,
            conversation: Option<Conversation>,
            backbone: Option<&'a ModelDigest>,
            // Digests of models that have none stay what they were.
            #[serde(skip_serializing_if = "Option::is_none")]
            embedding: Option<EmbeddingShape>,
        }
        let identity = Identity {
            files: self.files.iter().map(|file| (file.role, file.sha256.as_str())).collect(),
            labels: &self.labels,
            output: &self.output,
            preprocess: &self.preprocess,
            text: self.text,
            conversation: self.conversation,
            backbone,
            embedding: self.embedding,
        };
        let text = serde_json::to_vec(&identity).expect("plain structs with string keys always serialise");
        ModelDigest(format!("sha256:{}", hex::encode(Sha256::digest(text))))
    }

    /// In which looks a text backbone sees texts, and which score counts: part of the rule that certificates are bound to.
    pub fn looks(&self) -> String {
        match &self.normalise {
            None => "looks=raw".to_owned(),
            Some(normalise) => format!("looks=raw+normalised;normalise={};score=max", normalise.rule()),
        }
    }

    pub(super) fn expect_kind(&self, kind: ModelKind) -> Result<(), ClassifyError> {
        if self.kind == kind { Ok(()) } else { Err(self.unusable(format!("it is a {:?}, not a {kind:?}", self.kind))) }
    }

    pub(super) fn unusable(&self, reason: impl Into<String>) -> ClassifyError {
        ClassifyError::ModelUnusable { model: self.name.clone(), reason: reason.into() }
    }
}

fn read_text(path: &Path) -> Result<String, ClassifyError> {
    std::fs::read_to_string(path).map_err(|error| ClassifyError::FileMissing { path: path.to_owned(), reason: error.to_string() })
}

/// A manifest may not reach outside its folder.
fn check_file_name(name: &str) -> Result<(), String> {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
    if plain { Ok(()) } else { Err(format!("`{name}` is not a plain file name")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(model: &str) -> Manifest {
        Manifest::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(model)).unwrap()
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_refused() {
        let folder = committed("open-nsfw").folder;
        let good = read_text(&folder.join(Manifest::FILE)).unwrap();
        for (from, to, complaint) in [
            ("version", "treshold = 1\nversion", "unknown field `treshold`"),
            ("layout = \"nhwc\"", "layout = \"nhcw\"", "nhcw"),
            ("width = 224", "width = 300", "crop"),
            ("labels = \"labels.txt\"", "", "labels"),
            ("open-nsfw.onnx", "../open-nsfw.onnx", "plain file name"),
            ("role = \"network\"", "role = \"tokenizer\"", "files of this kind"),
        ] {
            let error = Manifest::parse(&folder, &good.replacen(from, to, 1)).unwrap_err();
            assert!(matches!(&error, ClassifyError::InvalidManifest { reason, .. } if reason.contains(complaint)), "{complaint}: {error}");
        }
    }

    #[test]
    fn what_a_backbone_says_of_texts_is_checked() {
        let minilm = committed("minilm");
        let good = read_text(&minilm.folder.join(Manifest::FILE)).unwrap();
        for (from, to, complaint) in [
            ("scripts = [\"Latn\"]", "scripts = [\"Latin\"]", "ISO 15924"),
            ("\"case\"]", "\"case\", \"nfkc\"]", "each once"),
            ("\"case\"]", "\"upper\"]", "upper"),
            ("[normalise]\nversion = 2", "[normalise]\nversion = 1", "version 1"),
            ("kind = \"text-backbone\"", "kind = \"image-embedder\"", "files of this kind"),
        ] {
            let error = Manifest::parse(&minilm.folder, &good.replacen(from, to, 1)).unwrap_err();
            assert!(matches!(&error, ClassifyError::InvalidManifest { reason, .. } if reason.contains(complaint)), "{complaint}: {error}");
        }
        let head = committed("conversation-demo");
        let text = read_text(&head.folder.join(Manifest::FILE)).unwrap().replacen("backbone =", "scripts = [\"Latn\"]\nbackbone =", 1);
        assert!(Manifest::parse(&head.folder, &text).unwrap_err().to_string().contains("scripts does not belong to this kind"));
        assert!(minilm.looks().starts_with("looks=raw+normalised;normalise=v2:control,") && head.looks() == "looks=raw");
    }

    /// Certificates are bound to digests: neither a release of this program nor a key with a default may change that of a model that did not.
    #[test]
    fn the_digest_of_a_model_stays() {
        let expected = "sha256:5b83ebc2def7478684235e92fc1f0a3e6ef59a572fc182fb53bd657ca34a7f64";
        assert_eq!(committed("open-nsfw").digest(None).as_str(), expected);
    }

    #[test]
    fn a_digest_changes_with_whatever_changes_the_scores() {
        let manifest = committed("open-nsfw");
        let digest = manifest.digest(None);
        assert!(digest.as_str().starts_with("sha256:") && digest.as_str().len() == 71);
        let mut other_mean = manifest.clone();
        other_mean.preprocess.as_mut().unwrap().mean[0] = 103.0;
        let mut other_margin = manifest.clone();
        other_margin.preprocess.as_mut().unwrap().crop_margin = crate::domain::preprocess::CropMargin::HalfEven;
        assert_ne!(digest, other_margin.digest(None));
        let other_golden = Manifest { golden: None, ..manifest.clone() };
        assert!(manifest.golden.is_some() && digest == other_golden.digest(None), "what is known of a model is no part of it");
        let mut other_labels = manifest.clone();
        other_labels.labels.reverse();
        let mut other_licence = manifest.clone();
        other_licence.licence.push('!');
        assert!(digest != other_mean.digest(None) && digest != other_labels.digest(None) && digest == other_licence.digest(None));
        assert_ne!(digest, manifest.digest(Some(&committed("minilm").digest(None))));
    }
}
