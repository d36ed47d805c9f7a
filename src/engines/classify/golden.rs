//! `[golden]`: an input whose output is known, by which a model is recognised when it is loaded.
//!
//! Files are pinned by SHA-256, but a manifest can still say something else of them than what they do: labels in another order, BGR for RGB, another
//! scale. Such a model loads, runs and scores everything wrong without an error. Its author therefore writes down what one input gives, and a server
//! that gets something else refuses the model. The table decides nothing of the scores, so it is no part of the model's digest.
//!
//! Pictures are generated, by name, so that none has to be shipped: see [`GoldenPicture`].

use std::collections::BTreeMap;

use serde::Deserialize;

use super::manifest::ModelKind;
use crate::domain::frame::Frame;

/// As in the manifest. Classifiers and heads say `scores`, embedders and backbones `values`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Of a model of pictures: what it looks at.
    pub picture: Option<GoldenPicture>,
    /// Of a model of texts: what it reads, as it stands here.
    pub text: Option<String>,
    /// Label -> raw score of the input.
    #[serde(default)]
    pub scores: BTreeMap<String, f32>,
    /// The first numbers of the input's vector.
    #[serde(default)]
    pub values: Vec<f32>,
    /// How far each may lie off: processors sum in another order. Default 0.01.
    #[serde(default = "tolerance")]
    pub tolerance: f32,
}

const fn tolerance() -> f32 {
    0.01
}

/// A picture of 320 x 240 pixels by integer arithmetic: whoever knows the formula, in whatever language, gets the same bytes. With
/// `wave(t, p) = |t mod 2p - p|`, which runs from p down to 0 and up again:
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GoldenPicture {
    /// Warm waves without edges: red `120 + wave(x + y, 120)`, green `70 + wave(2x + y, 110)`, blue `40 + wave(x + 3y, 90)`.
    #[default]
    Dunes,
    /// Squares of 20 pixels: red 220 where `x / 20 + y / 20` is even and else 30, green `x * 255 / 319`, blue `y * 255 / 239`.
    Tiles,
}

impl GoldenPicture {
    const SIZE: (u32, u32) = (320, 240);

    /// The picture.
    pub fn frame(self) -> Frame {
        let (width, height) = Self::SIZE;
        let pixels: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| self.pixel(x, y))).collect();
        Frame::new(width, height, pixels).expect("three bytes for each pixel")
    }

    fn pixel(self, x: u32, y: u32) -> [u8; 3] {
        let wave = |t: u32, p: u32| (t % (2 * p)).abs_diff(p);
        let colour = match self {
            Self::Dunes => [120 + wave(x + y, 120), 70 + wave(2 * x + y, 110), 40 + wave(x + 3 * y, 90)],
            Self::Tiles => {
                let even = (x / 20 + y / 20).is_multiple_of(2);
                [if even { 220 } else { 30 }, x * 255 / (Self::SIZE.0 - 1), y * 255 / (Self::SIZE.1 - 1)]
            }
        };
        colour.map(|value| u8::try_from(value).expect("the formulas stay below 256"))
    }
}

impl Golden {
    /// Whether it says what a model of this kind, with these labels, can be held against.
    pub(super) fn check(&self, kind: ModelKind, labels: &[String]) -> Result<(), String> {
        let pictures = matches!(kind, ModelKind::ImageClassifier | ModelKind::ImageEmbedder);
        if (self.picture.is_some(), self.text.is_some()) != (pictures, !pictures) {
            return Err(format!("[golden] of this kind needs {} and no other input", if pictures { "a picture" } else { "a text" }));
        }
        let scores = matches!(kind, ModelKind::ImageClassifier | ModelKind::TextHead);
        if self.scores.is_empty() == scores || self.values.is_empty() != scores {
            return Err(format!("[golden] of this kind needs {} and nothing else", if scores { "scores" } else { "values" }));
        }
        if let Some(unknown) = self.scores.keys().find(|label| !labels.contains(label)) {
            return Err(format!("[golden] has a score for {unknown:?}, which is no label: they are {}", labels.join(", ")));
        }
        if !(self.tolerance > 0.0 && self.tolerance < 0.5) || self.numbers().any(|(_, value)| !value.is_finite()) {
            return Err("[golden] needs finite numbers and a tolerance between 0 and 0.5".into());
        }
        Ok(())
    }

    fn numbers(&self) -> impl Iterator<Item = (String, f32)> {
        let scores = self.scores.iter().map(|(label, value)| (label.clone(), *value));
        scores.chain(self.values.iter().enumerate().map(|(at, value)| (format!("value {at}"), *value)))
    }

    /// Holds what the model gave against what it should have given.
    ///
    /// # Errors
    /// In words, the first that is further off than the tolerance, or missing.
    pub fn compare(&self, scores: &[(String, f32)], values: &[f32]) -> Result<(), String> {
        let given = |name: &str, at: usize| match self.scores.is_empty() {
            true => values.get(at).copied(),
            false => scores.iter().find(|(label, _)| label == name).map(|(_, value)| *value),
        };
        for (at, (name, wanted)) in self.numbers().enumerate() {
            let Some(got) = given(&name, at) else { return Err(format!("its golden input gives no {name}")) };
            if (got - wanted).abs() > self.tolerance || got.is_nan() {
                let tolerance = self.tolerance;
                return Err(format!("its golden input gives {name} {got:.4}, [golden] says {wanted} (+-{tolerance})"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(text: &str) -> Golden {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn pictures_are_what_their_formulas_say() {
        for (picture, corner, last) in
            [(GoldenPicture::Dunes, [240, 180, 130], [162, 177, 86]), (GoldenPicture::Tiles, [220, 0, 0], [220, 255, 255])]
        {
            let frame = picture.frame();
            assert_eq!((frame.width(), frame.height()), (320, 240));
            assert_eq!(frame.pixels()[..3], corner, "{picture:?}");
            let end = frame.pixels().len() - 3;
            assert_eq!(frame.pixels()[end..], last, "{picture:?}");
        }
    }

    #[test]
    fn the_tolerance_is_the_border() {
        let golden = golden("picture = \"dunes\"\ntolerance = 0.25\n[scores]\na = 0.5\n");
        let of = |value: f32| golden.compare(&[("a".to_owned(), value)], &[]);
        assert!(of(0.25).is_ok() && of(0.75).is_ok(), "at the tolerance");
        assert!(of(0.249).is_err() && of(0.751).is_err() && of(f32::NAN).is_err());
        assert!(golden.compare(&[("b".to_owned(), 0.5)], &[]).unwrap_err().contains("gives no a"));
    }

    #[test]
    fn it_has_to_fit_the_kind() {
        let labels = ["a".to_owned(), "b".to_owned()];
        let picture = "picture = \"tiles\"\n";
        let (scores, values) = ("scores = { a = 0.5 }\n", "values = [0.1, 0.2]\n");
        let check = |kind, parts: &[&str]| golden(&parts.concat()).check(kind, &labels);
        assert_eq!(check(ModelKind::ImageClassifier, &[picture, scores]), Ok(()));
        assert_eq!(check(ModelKind::ImageEmbedder, &[picture, values]), Ok(()));
        assert_eq!(check(ModelKind::TextHead, &["text = \"hi\"\n", scores]), Ok(()));
        assert_eq!(check(ModelKind::TextBackbone, &["text = \"hi\"\n", values]), Ok(()));
        for (kind, parts, complaint) in [
            (ModelKind::ImageClassifier, &["text = \"hi\"\n", scores][..], "a picture"),
            (ModelKind::TextHead, &[picture, scores], "a text"),
            (ModelKind::ImageClassifier, &[picture, values], "needs scores"),
            (ModelKind::ImageEmbedder, &[picture, scores], "needs values"),
            (ModelKind::ImageClassifier, &[picture, "scores = { c = 0.5 }"], "no label"),
            (ModelKind::ImageClassifier, &[picture, scores, "tolerance = 0.0"], "tolerance"),
        ] {
            let error = check(kind, parts).unwrap_err();
            assert!(error.contains(complaint), "{error}");
        }
        assert!(toml::from_str::<Golden>("picture = \"beach\"").is_err());
    }
}
