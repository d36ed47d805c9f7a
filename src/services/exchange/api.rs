//! The exchanges that can be talked to, and what each wants to be told.
//!
//! Names and fields are those of HMA (pytx 1.2.16), so that its clients' requests are understood.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A kind of exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// NCMEC Hash Sharing v2.
    Ncmec,
    StopNcii,
    FbThreatexchange,
    /// Tech Against Terrorism.
    Tat,
    /// A file on this machine, one signal a line.
    LocalFile,
    /// Signals that mean nothing, for trying things out.
    Sample,
}

/// No such API.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("No such exchange type {0:?}; one of ncmec, stop_ncii, fb_threatexchange, tat, local_file, sample")]
pub struct UnknownApi(String);

/// What an exchange is told, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Settings {
    Ncmec(NcmecSettings),
    ThreatExchange(ThreatExchangeSettings),
    LocalFile(LocalFileSettings),
    None(NoSettings),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NcmecSettings {
    /// The database: a name of [`ENVIRONMENTS`], or its address as HMA writes it.
    pub environment: String,
    /// Only entries of these members; empty takes all.
    #[serde(default)]
    pub only_esp_ids: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreatExchangeSettings {
    pub privacy_group: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalFileSettings {
    pub filename: String,
    /// The type of lines that do not say theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// NCMEC's databases (hash_api.py, `NCMECEnvironment`).
pub const ENVIRONMENTS: [(&str, &str); 14] = [
    ("Industry", "https://report.cybertip.org/hashsharing"),
    ("Industry_Exploitative", "https://report.cybertip.org/exploitative-hashsharing"),
    ("LawEnforcement", "https://lesp.ncmec.org/csam-hashsharing"),
    ("NGO", "https://hashsharing.ncmec.org/npo"),
    ("Exploitative", "https://hashsharing.ncmec.org/exploitative"),
    ("NGO_Generative_AI", "https://hashsharing.ncmec.org/generative-ai-csam"),
    ("NGO_Generative_AI_Exploitative", "https://hashsharing.ncmec.org/generative-ai-exploitative"),
    ("test_Industry", "https://exttest.cybertip.org/hashsharing"),
    ("test_Industry_Exploitative", "https://exttest.cybertip.org/exploitative-hashsharing"),
    ("test_LawEnforcement", "https://betalesp.ncmec.org/csam-hashsharing"),
    ("test_NGO", "https://hashsharing-test.ncmec.org/npo"),
    ("test_Exploitative", "https://hashsharing-test.ncmec.org/exploitative"),
    ("test_NGO_Generative_AI", "https://hashsharing-test.ncmec.org/generative-ai-csam"),
    ("test_NGO_Generative_AI_Exploitative", "https://hashsharing-test.ncmec.org/generative-ai-exploitative"),
];

/// Where an API is, when its credentials do not say otherwise; NCMEC's follows from the environment.
pub(super) const STOPNCII: &str = "https://api.stopncii.org/v1";
pub(super) const THREATEXCHANGE: &str = "https://graph.facebook.com/v21.0";
pub(super) const TAT: &str = "https://app.terrorismanalytics.org";

impl Api {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 6] = [Self::FbThreatexchange, Self::LocalFile, Self::Ncmec, Self::Sample, Self::StopNcii, Self::Tat];

    /// HMA's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ncmec => "ncmec",
            Self::StopNcii => "stop_ncii",
            Self::FbThreatexchange => "fb_threatexchange",
            Self::Tat => "tat",
            Self::LocalFile => "local_file",
            Self::Sample => "sample",
        }
    }

    /// The settings in `json`, HMA's `api_json`.
    ///
    /// # Errors
    /// In words: which field is wrong.
    pub fn settings(self, json: &Value) -> Result<Settings, String> {
        fn read<T: serde::de::DeserializeOwned>(json: &Value) -> Result<T, String> {
            let json = if json.is_null() { &Value::Object(Map::new()) } else { json };
            T::deserialize(json).map_err(|error| format!("api_json: {error}"))
        }
        match self {
            Self::Ncmec => {
                let settings: NcmecSettings = read(json)?;
                environment(&settings.environment)?;
                Ok(Settings::Ncmec(settings))
            }
            Self::FbThreatexchange => read(json).map(Settings::ThreatExchange),
            Self::LocalFile => {
                let settings: LocalFileSettings = read(json)?;
                if let Some(kind) = &settings.signal_type {
                    super::formats::signal_type_named(kind)
                        .ok_or_else(|| format!("api_json: {kind:?} is no signal type that is matched here"))?;
                }
                Ok(Settings::LocalFile(settings))
            }
            Self::StopNcii | Self::Tat | Self::Sample => read(json).map(Settings::None),
        }
    }

    /// The same of somebody who sets an exchange up: a path must say by itself which file it is, because the server, the command line and who wrote it need not
    /// work in the same folder.
    ///
    /// # Errors
    /// As [`settings`](Self::settings).
    pub fn new_settings(self, json: &Value) -> Result<Settings, String> {
        let settings = self.settings(json)?;
        match &settings {
            Settings::LocalFile(LocalFileSettings { filename, .. }) if !Path::new(filename).is_absolute() => Err(format!(
                "api_json: filename {filename:?} is not absolute; give the whole path on the server's machine, from the root: /srv/lists/known.txt"
            )),
            _ => Ok(settings),
        }
    }

    /// The credentials' fields: name, whether it is needed, what it is.
    pub(super) const fn credential_fields(self) -> &'static [(&'static str, bool, &'static str)] {
        const BASE: (&str, bool, &str) = ("base_url_override", false, "Another address of the API, for example a test server.");
        match self {
            Self::Ncmec => {
                &[("user", true, "NCMEC hash sharing API username."), ("password", true, "NCMEC hash sharing API password."), BASE]
            }
            Self::StopNcii => &[
                ("fetch_function_key", true, "API key of FetchHashes."),
                ("subscription_key", true, "Azure API Management subscription key, sent with all requests."),
                ("feedback_function_key", false, "API key of SubmitFeedback; without it no feedback is sent."),
                BASE,
            ],
            Self::FbThreatexchange => &[("api_token", true, "Access token of the ThreatExchange app."), BASE],
            Self::Tat => &[
                ("username", true, "Tech Against Terrorism hash list API username."),
                ("password", true, "Tech Against Terrorism hash list API password."),
                BASE,
            ],
            Self::LocalFile | Self::Sample => &[],
        }
    }

    /// The fields of settings and credentials, as HMA describes them.
    pub fn schema(self) -> Value {
        let field = |name: &str, kind: &str, required: bool, default: Value, help: &str, choices: Value| json!({"name": name, "type": kind, "required": required, "default": default, "help": help, "choices": choices});
        let settings = match self {
            Self::Ncmec => {
                let choices = ENVIRONMENTS.map(|(name, _)| name);
                let help = "Only take entries from these electronic service provider (ESP) ids";
                vec![
                    field("environment", "enum", true, Value::Null, "which database to connect to", json!(choices)),
                    field("only_esp_ids", "set_of_number", false, json!([]), help, Value::Null),
                ]
            }
            Self::FbThreatexchange => {
                vec![field("privacy_group", "number", true, Value::Null, "ThreatPrivacyGroup ID for this collaboration", Value::Null)]
            }
            Self::LocalFile => {
                let help = "if the file row doesn't list the signal type, interpret as this type";
                vec![
                    field("filename", "string", true, Value::Null, "the absolute file path to the signal file", Value::Null),
                    field("signal_type", "string", false, Value::Null, help, Value::Null),
                ]
            }
            Self::StopNcii | Self::Tat | Self::Sample => Vec::new(),
        };
        let credentials: Vec<Value> = self
            .credential_fields()
            .iter()
            .map(|(name, required, help)| field(name, "string", *required, Value::Null, help, Value::Null))
            .collect();
        let credentials = if credentials.is_empty() { Value::Null } else { json!({"fields": credentials}) };
        json!({"config_schema": {"fields": settings}, "credentials_schema": credentials})
    }
}

/// The address of an environment, by name or by the address itself.
pub(super) fn environment(named: &str) -> Result<&'static str, String> {
    let found = ENVIRONMENTS.iter().find(|(name, address)| *name == named || *address == named);
    found.map(|(_, address)| *address).ok_or_else(|| {
        let names = ENVIRONMENTS.map(|(name, _)| name).join(", ");
        format!("api_json: {named:?} is no environment; one of {names}")
    })
}

impl std::fmt::Display for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Api {
    type Err = UnknownApi;
    fn from_str(text: &str) -> Result<Self, UnknownApi> {
        Self::ALL.into_iter().find(|api| api.as_str() == text).ok_or_else(|| UnknownApi(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_by_field() {
        let told = |api: Api, json: Value| api.settings(&json).map(drop);
        assert_eq!(told(Api::Ncmec, json!({"environment": "test_Industry", "only_esp_ids": [1, 2]})), Ok(()));
        assert_eq!(told(Api::Ncmec, json!({"environment": "https://report.cybertip.org/hashsharing"})), Ok(()));
        assert!(told(Api::Ncmec, json!({"environment": "Elsewhere"})).unwrap_err().contains("test_NGO"));
        assert!(told(Api::Ncmec, json!({})).unwrap_err().contains("environment"));
        assert!(told(Api::FbThreatexchange, json!({"privacy_group": "x"})).is_err());
        assert!(told(Api::Sample, json!({"x": 1})).unwrap_err().contains("unknown field"));
        assert_eq!(told(Api::Sample, Value::Null), Ok(()));
        assert_eq!(told(Api::LocalFile, json!({"filename": "/f", "signal_type": "video_md5"})), Ok(()));
        assert!(told(Api::LocalFile, json!({"filename": "/f", "signal_type": "vpdq"})).is_err());
        let new = |path: &str| Api::LocalFile.new_settings(&json!({"filename": path}));
        assert!(new("/f").is_ok() && told(Api::LocalFile, json!({"filename": "f"})).is_ok(), "what is stored is still read");
        assert!(["f", "./f", "", "~/f"].iter().all(|path| new(path).unwrap_err().contains("from the root")));
        for api in Api::ALL {
            assert_eq!(api.as_str().parse(), Ok(api));
            assert_eq!(api.schema()["credentials_schema"].is_null(), api.credential_fields().is_empty());
        }
        assert!("iwf".parse::<Api>().is_err());
    }
}
