//! A `[preprocess]` table on its own.

use crate::domain::preprocess::PreprocessSpec;

/// Reads a spec from TOML: its keys stand at the top, or in a table `[preprocess]` (as in a manifest) beside which anything may stand.
///
/// # Errors
/// In words, with the name of the key: no TOML, an unknown or missing key, a value out of range.
pub fn spec_from_toml(text: &str) -> Result<PreprocessSpec, String> {
    let mut top: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let table = match top.remove("preprocess") {
        Some(table) => table,
        None => toml::Value::Table(top),
    };
    let spec: PreprocessSpec = serde_path_to_error::deserialize(table).map_err(|error| {
        let (key, reason) = (error.path().to_string(), error.inner().to_string().trim().to_owned());
        if key == "." { reason } else { format!("`{key}`: {reason}") }
    })?;
    spec.check()?;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        resize = { to = "letterbox", width = 64, height = 48, fill = [114, 114, 114] }
        filter = "bicubic"
        rounding = "float"
        channels = "rgb"
        layout = "nchw"
        scale = 0.00392156862745098
        mean = [0.485, 0.456, 0.406]
        std = [0.229, 0.224, 0.225]
        dtype = "f16"
    "#;

    #[test]
    fn keys_stand_at_the_top_or_in_their_table() {
        let spec = spec_from_toml(GOOD).unwrap();
        assert_eq!(spec, spec_from_toml(&format!("name = \"of a model\"\n[preprocess]\n{GOOD}")).unwrap());
        let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/models/open-nsfw/manifest.toml")).unwrap();
        assert_eq!(spec_from_toml(&manifest), Ok(PreprocessSpec::open_nsfw()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        for (from, to, complaint) in [
            ("filter = \"bicubic\"", "filter = \"cubic\"", "`filter`: unknown variant `cubic`"),
            ("filter = \"bicubic\"", "", "missing field `filter`"),
            ("filter = \"bicubic\"", "filter = \"bicubic\"\ntaps = 4", "`taps`: unknown field `taps`"),
            ("width = 64", "width = 0", "`resize`: sides must lie in 1..=4096"),
            ("width = 64", "wide = 64", "`resize"),
            ("114, 114, 114", "114, 114, 300", "`resize"),
            ("scale = 0.00392156862745098", "scale = nan", "`scale`: must be finite"),
            ("dtype = \"f16\"", "dtype = \"bf16\"", "`dtype`: unknown variant `bf16`"),
            ("dtype = \"f16\"", "dtype = ", "TOML parse error"),
        ] {
            let error = spec_from_toml(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(complaint), "{to}: {error}");
        }
    }
}
