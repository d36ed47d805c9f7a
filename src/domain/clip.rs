//! Sequences: the frames of an animation, the pages of a document, the pictures of one file; and of one still, a clip of one frame.
//!
//! A [`Clip`] is what every reader of media gives: its [`Shot`]s come one at a time, in the order in which they are shown, so that no more of them are in memory than
//! somebody is looking at. A [`Look`] says which view of an attachment a match or a score is of.
//!
//! ```
//! use nightlight::domain::{clip::{Clip, FrameAt, Shot}, frame::Frame};
//! let shot = |index| Shot { at: FrameAt { index, time: None }, frame: Frame::new(1, 1, vec![0; 3]).unwrap(), alpha: None, drawn: None, undrawn: None };
//! let clip: Clip<'_, ()> = Clip { frames: Some(2), shots: Box::new([Ok(shot(0)), Ok(shot(1))].into_iter()) };
//! assert_eq!(clip.shots.filter_map(Result::ok).map(|shot| shot.at.index).collect::<Vec<_>>(), [0, 1]);
//! ```

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::frame::{Buffer, Frame};

/// Frames in the order in which they are shown; `E` is what reading one may fail with.
pub struct Clip<'a, E> {
    /// Frames that the file says it holds, where it says so or counting them is cheap; at least 1.
    pub frames: Option<u32>,
    /// Ends after the last frame, or after an error behind which nothing can be read. An error stands for one frame.
    pub shots: Box<dyn Iterator<Item = Result<Shot, E>> + 'a>,
}

/// One frame of a clip.
#[derive(Debug)]
pub struct Shot {
    pub at: FrameAt,
    /// The pixels with alpha dropped, as lists are made with them.
    pub frame: Frame,
    /// One byte a pixel, row by row, 255 opaque; `None` where the whole frame is opaque.
    pub alpha: Option<Buffer>,
    /// What viewers draw, where that is another picture.
    pub drawn: Option<Drawn>,
    /// Why what viewers draw may be another picture that is not here.
    pub undrawn: Option<&'static str>,
}

/// A frame as viewers draw it where lists are made with other pixels: places that a format's readers treat in different ways, colours that a profile changes.
#[derive(Debug)]
pub struct Drawn {
    /// May be of another size than what lists are made with.
    pub frame: Frame,
    /// As in [`Shot`].
    pub alpha: Option<Buffer>,
}

/// Where in a clip a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FrameAt {
    /// 0 for the first.
    pub index: u32,
    /// When it is first shown, from the beginning; `None` where frames have no time (pages).
    #[schema(value_type = Option<f64>)]
    #[serde(
        rename = "time_s",
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "seconds",
        deserialize_with = "from_seconds"
    )]
    pub time: Option<Duration>,
}

fn seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    // Rounded to microseconds, which is finer than any format's clock, so that 0.1 is written as 0.1.
    time.map(|time| (time.as_secs_f64() * 1e6).round() / 1e6).serialize(serializer)
}

fn from_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds = Option::<f64>::deserialize(deserializer)?;
    let micros = |seconds: f64| Duration::try_from_secs_f64((seconds * 1e6).round() / 1e6).map_err(serde::de::Error::custom);
    seconds.map(micros).transpose()
}

/// Which view of a picture or a text something was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The pixels without their alpha, as lists are made with them.
    Dropped,
    /// What a viewer shows on a white page.
    OnWhite,
    /// What a viewer shows on a black page.
    OnBlack,
    /// The text as it was written.
    Raw,
    /// The text as its letters read, whatever they are disguised as.
    Normalised,
}

impl Variant {
    /// Every variant.
    pub const ALL: [Self; 5] = [Self::Dropped, Self::OnWhite, Self::OnBlack, Self::Raw, Self::Normalised];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::OnWhite => "on_white",
            Self::OnBlack => "on_black",
            Self::Raw => "raw",
            Self::Normalised => "normalised",
        }
    }
}

/// One view of an attachment. What has one view only (an opaque still, a text that normalisation leaves alone) names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Look {
    /// Of a sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<FrameAt>,
    /// Where the frame or the text can be seen in more than one way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_written_as_the_contract_says() {
        let at = FrameAt { index: 3, time: Some(Duration::from_millis(100)) };
        let look = Look { frame: Some(at), variant: Some(Variant::OnWhite) };
        let json = serde_json::to_string(&look).unwrap();
        assert_eq!(json, r#"{"frame":{"index":3,"time_s":0.1},"variant":"on_white"}"#);
        assert_eq!(serde_json::from_str::<Look>(&json).unwrap(), look);
        assert_eq!(serde_json::to_string(&Look::default()).unwrap(), "{}");
        assert!(serde_json::from_str::<FrameAt>(r#"{"index":3,"time_s":-1}"#).is_err());
        for variant in Variant::ALL {
            assert_eq!(serde_json::to_value(variant).unwrap(), variant.as_str());
        }
    }
}
