//! Items as callers write them.

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::{
    super::{
        error::ApiError,
        json::{objects, optional_object},
    },
    dto::SignalText,
};
use crate::{
    domain::{
        bank::{HarmCategory, Standing},
        curation::{DisableUntil, Metadata},
        signal::Signal,
        time::Timestamp,
    },
    services::banks::curation::Entry,
    store::ItemPatch,
};

/// Items to add, all or none; at most a thousand.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewItems {
    #[serde(deserialize_with = "objects")]
    pub items: Vec<NewItemBody>,
}

/// An item to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewItemBody {
    /// 1 to 64, of any types. Other items of the bank may have them too.
    #[serde(deserialize_with = "objects")]
    signals: Vec<SignalText>,
    /// 255 characters at most.
    #[serde(default)]
    note: Option<String>,
    #[serde(default, deserialize_with = "optional_object")]
    #[schema(value_type = Option<super::dto::MetadataBody>)]
    metadata: Option<Metadata>,
    /// `A1`, `A2`, `B1`, `B2` or `other`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    category: Option<HarmCategory>,
    /// PDQ quality, where it is known, 0 to 100.
    #[serde(default)]
    quality: Option<u8>,
    /// Who says that it belongs here.
    #[serde(default, deserialize_with = "optional_object")]
    provenance: Option<NewProvenance>,
    /// `always`, or until when it is out of force, within five years.
    #[serde(default)]
    disable_until: Option<String>,
}

/// Who names an item. Without a source it is the key's name.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProvenance {
    /// An organisation or exchange, 1 to 128 characters.
    #[serde(default)]
    source: Option<String>,
    /// The person or member of it.
    #[serde(default)]
    submitter: Option<String>,
}

impl NewItems {
    /// # Errors
    /// 400 that names the place.
    pub(super) fn entries(self) -> Result<Vec<Entry>, ApiError> {
        if self.items.is_empty() {
            return Err(ApiError::malformed("items: there is none"));
        }
        self.items.into_iter().enumerate().map(|(at, item)| item.entry(&format!("items[{at}]"))).collect()
    }
}

impl NewItemBody {
    fn entry(self, place: &str) -> Result<Entry, ApiError> {
        let Self { signals, note, metadata, category, quality, provenance, disable_until } = self;
        let NewProvenance { source, submitter } = provenance.unwrap_or_default();
        let parse = |(at, text): (usize, SignalText)| {
            let signal = Signal::parse(text.signal_type, text.signal.trim());
            signal.map_err(|error| ApiError::malformed(format!("{place}.signals[{at}].signal: {error}")))
        };
        Ok(Entry {
            signals: signals.into_iter().enumerate().map(parse).collect::<Result<_, _>>()?,
            note,
            metadata,
            category,
            quality,
            source,
            submitter,
            even_if_held: false,
            disable_until: read_disable_until(disable_until.as_deref(), &format!("{place}.disable_until"))?,
        })
    }
}

/// The other way round than [`disable_until_text`](super::dto::disable_until_text).
fn read_disable_until(text: Option<&str>, place: &str) -> Result<DisableUntil, ApiError> {
    let wrong = || ApiError::malformed(format!("{place}: null, \"always\", or a time (RFC 3339) that is to come within five years"));
    let at: Timestamp = match text {
        None => return Ok(DisableUntil::Never),
        Some("always") => return Ok(DisableUntil::Always),
        Some(text) => text.parse().map_err(|_| wrong())?,
    };
    let (now, seconds) = (Timestamp::now(), at.micros().div_euclid(1_000_000));
    DisableUntil::from_number(seconds, now).filter(|until| until.disables(now)).ok_or_else(wrong)
}

/// What is to change of an item: what is not there stays, null takes words away.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct ItemChangeBody {
    /// By order: `active` puts back what was disputed or quarantined, `quarantined` sends whatever matches it to review as doubtful,
    /// `retired` is for good.
    #[schema(value_type = Option<String>)]
    standing: Option<Standing>,
    /// Null is in force, `always` out of force, or until when.
    #[serde(deserialize_with = "there")]
    #[schema(value_type = Option<String>)]
    disable_until: Option<Option<String>>,
    #[serde(deserialize_with = "there")]
    #[schema(value_type = Option<String>)]
    note: Option<Option<String>>,
    #[serde(deserialize_with = "metadata")]
    #[schema(value_type = Option<super::dto::MetadataBody>)]
    metadata: Option<Option<Metadata>>,
    #[serde(deserialize_with = "there")]
    #[schema(value_type = Option<String>)]
    category: Option<Option<HarmCategory>>,
    #[serde(deserialize_with = "there")]
    #[schema(value_type = Option<u8>)]
    quality: Option<Option<u8>>,
}

/// A field that is there, null or not.
fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Metadata>>, D::Error> {
    optional_object(deserializer).map(Some)
}

impl ItemChangeBody {
    /// # Errors
    /// 400 for a time that cannot be.
    pub(super) fn patch(self) -> Result<ItemPatch, ApiError> {
        let Self { standing, disable_until, note, metadata, category, quality } = self;
        let disable_until = disable_until.map(|text| read_disable_until(text.as_deref(), "disable_until")).transpose()?;
        Ok(ItemPatch { standing, disable_until, note, metadata, category, quality })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{super::json, dto::disable_until_text},
        *,
    };

    #[test]
    fn times_out_of_force_are_read_and_written() {
        let read = |text: Option<&str>| read_disable_until(text, "disable_until");
        let soon = Timestamp::from_micros(Timestamp::now().plus(std::time::Duration::from_secs(86_400)).micros() / 1_000_000 * 1_000_000);
        assert_eq!((read(None).unwrap(), read(Some("always")).unwrap()), (DisableUntil::Never, DisableUntil::Always));
        let until = read(Some(&soon.to_string())).unwrap();
        assert_eq!(disable_until_text(until), Some(soon.to_string()));
        for wrong in ["", "never", "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "1"] {
            assert!(read(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn null_takes_away_and_absence_leaves() {
        let patch = |text: &str| json::parse::<ItemChangeBody>(text.as_bytes()).unwrap().patch().unwrap();
        let nothing = patch("{}");
        assert!(nothing.note.is_none() && nothing.metadata.is_none() && nothing.disable_until.is_none());
        let taken = patch(r#"{"note": null, "metadata": null, "category": null, "quality": null, "disable_until": null}"#);
        assert_eq!((taken.note, taken.metadata, taken.category, taken.quality), (Some(None), Some(None), Some(None), Some(None)));
        assert_eq!(taken.disable_until, Some(DisableUntil::Never));
        assert!(json::parse::<ItemChangeBody>(br#"{"metadata": ["a"]}"#).is_err());
    }
}
