//! Who this server is to an exchange: from the environment, or from a file that only its owner can read. Never in the database, never in a log.
//!
//! The environment variables are pytx's (`TX_NCMEC_CREDENTIALS` and so on), in its short form (`user:password`) or as the JSON object that the file holds;
//! they count before the file. The file is `exchanges/API.json` in the data directory.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::api::Api;

/// Bytes of the longest file of credentials.
const LONGEST: u64 = 64 << 10;

/// Fields by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(BTreeMap<String, String>);

/// Why there are none. No text holds a value.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("there are no credentials for {api}; set {variable}, or write {}", file.display())]
    Missing { api: Api, variable: &'static str, file: PathBuf },
    #[error("the credentials for {api} in {place} are wrong: {detail}")]
    Invalid { api: Api, place: String, detail: String },
    #[error("the credentials in {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{0} needs no credentials")]
    NotNeeded(Api),
}

impl Credentials {
    /// A field; empty when it was not given.
    pub fn get(&self, field: &str) -> &str {
        self.0.get(field).map(String::as_str).unwrap_or_default()
    }

    /// Another address of the API.
    pub fn base_url(&self) -> Option<&str> {
        Some(self.get("base_url_override")).filter(|url| !url.is_empty())
    }

    /// From the object that HMA calls `credential_json`.
    ///
    /// # Errors
    /// In words: the field that is missing, unknown or no text.
    pub fn from_json(api: Api, json: &Value) -> Result<Self, String> {
        let fields = api.credential_fields();
        let object = json.as_object().ok_or("an object is wanted")?;
        let mut found = BTreeMap::new();
        for (name, value) in object {
            if !fields.iter().any(|(field, ..)| field == name) {
                let known: Vec<_> = fields.iter().map(|(field, ..)| *field).collect();
                return Err(format!("there is no field {name:?}; the fields are {}", known.join(", ")));
            }
            if value.is_null() {
                continue;
            }
            let text = value.as_str().ok_or_else(|| format!("{name} is no text"))?;
            found.insert(name.clone(), text.to_owned());
        }
        Self::complete(api, found)
    }

    fn complete(api: Api, found: BTreeMap<String, String>) -> Result<Self, String> {
        let missing = |(name, required, _): &&(&str, bool, &str)| *required && found.get(*name).is_none_or(String::is_empty);
        match api.credential_fields().iter().find(missing) {
            Some((name, ..)) => Err(format!("{name} is missing")),
            None => Ok(Self(found)),
        }
    }

    /// From pytx's short form, or from JSON.
    fn from_text(api: Api, text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with('{') {
            let json = serde_json::from_str(text).map_err(|_| "not JSON".to_owned())?;
            return Self::from_json(api, &json);
        }
        let fields: Vec<(&str, &str)> = match api {
            Api::Ncmec => text.split_once(':').map(|(user, password)| vec![("user", user), ("password", password)]).unwrap_or_default(),
            Api::Tat => text.split_once(':').map(|(user, password)| vec![("username", user), ("password", password)]).unwrap_or_default(),
            Api::FbThreatexchange => vec![("api_token", text)],
            Api::StopNcii => ["fetch_function_key", "subscription_key", "base_url_override"].into_iter().zip(text.splitn(3, ',')).collect(),
            Api::LocalFile | Api::Sample => Vec::new(),
        };
        Self::complete(api, fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// pytx's environment variable.
const fn variable(api: Api) -> &'static str {
    match api {
        Api::Ncmec => "TX_NCMEC_CREDENTIALS",
        Api::StopNcii => "TX_STOPNCII_KEYS",
        Api::FbThreatexchange => "TX_ACCESS_TOKEN",
        Api::Tat => "PYTX_TAT_CREDENTIALS",
        Api::LocalFile | Api::Sample => "",
    }
}

/// Where credentials are kept.
#[derive(Clone, Debug)]
pub struct Keychain {
    folder: PathBuf,
}

impl Keychain {
    /// Of this data directory.
    pub fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("exchanges") }
    }

    fn file(&self, api: Api) -> PathBuf {
        self.folder.join(format!("{api}.json"))
    }

    /// The credentials for an API; those of one that needs none are empty.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn get(&self, api: Api) -> Result<Credentials, CredentialsError> {
        if api.credential_fields().is_empty() {
            return Ok(Credentials(BTreeMap::new()));
        }
        let invalid = |place: String, detail: String| CredentialsError::Invalid { api, place, detail };
        if let Ok(text) = std::env::var(variable(api)) {
            return Credentials::from_text(api, &text).map_err(|detail| invalid(variable(api).to_owned(), detail));
        }
        let path = self.file(api);
        match read(&path) {
            Ok(text) => Credentials::from_text(api, &text).map_err(|detail| invalid(path.display().to_string(), detail)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(CredentialsError::Missing { api, variable: variable(api), file: path })
            }
            Err(source) => Err(CredentialsError::File { path, source }),
        }
    }

    /// Whether there are credentials that can be used, or none are needed.
    pub fn has(&self, api: Api) -> bool {
        self.get(api).is_ok()
    }

    /// Credentials that [`set`](Self::set) may keep.
    ///
    /// # Errors
    /// [`CredentialsError::NotNeeded`], [`CredentialsError::Invalid`].
    pub fn check(api: Api, json: &Value) -> Result<Credentials, CredentialsError> {
        if api.credential_fields().is_empty() {
            return Err(CredentialsError::NotNeeded(api));
        }
        Credentials::from_json(api, json).map_err(|detail| CredentialsError::Invalid { api, place: "what was given".to_owned(), detail })
    }

    /// Writes the file, for its owner alone, in place of what was there.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn set(&self, api: Api, credentials: &Credentials) -> Result<(), CredentialsError> {
        let path = self.file(api);
        let text = serde_json::to_vec(&credentials.0).unwrap_or_default(); // a map of texts
        let write = || -> io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            let draft = path.with_extension(format!("json.{}", uuid::Uuid::new_v4().simple()));
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            let written = file.write_all(&text).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&draft, &path));
            if written.is_err() {
                // The first error is the one to tell.
                let _ = fs::remove_file(&draft);
            }
            written
        };
        write().map_err(|source| CredentialsError::File { path: path.clone(), source })
    }

    /// Removes the file, if there is one.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn remove(&self, api: Api) -> Result<(), CredentialsError> {
        let path = self.file(api);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(CredentialsError::File { path, source }),
            _ => Ok(()),
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(fs::File::open(path)?, LONGEST), &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    #[test]
    fn files_are_private_whole_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let keychain = Keychain::new(folder.path());
        assert!(matches!(keychain.get(Api::Ncmec), Err(CredentialsError::Missing { .. })));
        assert!(keychain.has(Api::Sample) && !keychain.has(Api::Ncmec));
        let set = |json: Value| keychain.set(Api::Ncmec, &Keychain::check(Api::Ncmec, &json)?);
        set(json!({"user": "u", "password": "old"})).unwrap();
        set(json!({"user": "u", "password": "secret", "base_url_override": null})).unwrap();
        let found = keychain.get(Api::Ncmec).unwrap();
        assert_eq!((found.get("password"), found.base_url()), ("secret", None));
        assert!(!format!("{found:?}").contains("secret"));
        let path = folder.path().join("exchanges/ncmec.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path().join("exchanges")).unwrap().count(), 1);
        for wrong in [json!({"user": "u"}), json!({"user": "u", "password": 1}), json!({"user": "u", "password": "p", "x": "y"}), json!([])]
        {
            let error = set(wrong).unwrap_err().to_string();
            assert!(!error.contains("\"p\""), "{error}");
        }
        assert_eq!(keychain.get(Api::Ncmec).unwrap(), found);
        fs::write(&path, "user:pass:word\n").unwrap();
        assert_eq!(keychain.get(Api::Ncmec).unwrap().get("password"), "pass:word");
        keychain.remove(Api::Ncmec).unwrap();
        keychain.remove(Api::Ncmec).unwrap();
        assert!(!keychain.has(Api::Ncmec));
    }

    #[test]
    fn short_forms_are_those_of_pytx() {
        let stop = Credentials::from_text(Api::StopNcii, "fetch,sub,https://test.example/v1").unwrap();
        assert_eq!((stop.get("subscription_key"), stop.base_url()), ("sub", Some("https://test.example/v1")));
        assert!(Credentials::from_text(Api::StopNcii, "fetch").is_err());
        assert_eq!(Credentials::from_text(Api::FbThreatexchange, " 123|token\n").unwrap().get("api_token"), "123|token");
        assert!(Credentials::from_text(Api::Tat, "nobody").is_err());
    }
}
