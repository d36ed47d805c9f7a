//! What was typed, layer upon layer: the raw values by key, each with the source that had the last word.

use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf, str::FromStr};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{ConfigError, Origin};

/// The embedded defaults. They also say which keys exist and what type each has.
pub(super) const DEFAULTS: &str = include_str!("default.toml");

/// The one key whose entries are merged one by one; see [`super::operating_points`].
pub(super) const OPERATING_POINTS: &str = "operating_points";

/// The other one: its entries are services, which have names of their own; see [`super::services`].
pub(super) const SERVICES: &str = "services";

/// The table within a section: its entries are keys of their own, whose values may be of several types. [`super::routing`] checks them.
pub(super) const UNSCORED: &str = "routing.unscored";

/// Which attachments that table did not send to review, before it was one.
pub(super) const UNSCORED_EXEMPT: &str = "routing.unscored_exempt";

const ENV_PREFIX: &str = "NIGHTLIGHT__";
/// The data directory has a shorter name, because it is the one that every command needs.
const ENV_DATA_DIR: &str = "NIGHTLIGHT_DATA_DIR";

/// Where a configuration is read from, beside the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file of `--config`; it has to exist.
    pub file: Option<PathBuf>,
    /// Environment variables by name; those that do not start with `NIGHTLIGHT__` and are not `NIGHTLIGHT_DATA_DIR` are ignored.
    pub env: Vec<(String, String)>,
    /// Values of flags: the flag, the key it sets, and its text.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

impl Sources {
    /// The environment of this process and nothing else.
    pub fn from_env() -> Self {
        let env = std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        Self { env: env.filter(|(name, _)| name.starts_with("NIGHTLIGHT_")).collect(), ..Self::default() }
    }

    /// Adds a flag's value for a key, such as `("--listen", "server.listen", "0.0.0.0:80")`.
    #[must_use]
    pub fn with_flag(mut self, flag: &'static str, key: &'static str, text: impl Into<String>) -> Self {
        self.flags.push((flag, key, text.into()));
        self
    }
}

/// The environment variable of a key.
pub(super) fn env_name(key: &str) -> String {
    match key {
        "data_dir" => ENV_DATA_DIR.to_owned(),
        key => format!("{ENV_PREFIX}{}", key.replace('.', "__").to_uppercase()),
    }
}

/// A raw value and who set it.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub value: Value,
    pub origin: Origin,
}

/// All raw values, by key: `section.name`.
#[derive(Debug)]
pub(super) struct Layers {
    /// In the order of `default.toml`.
    order: Vec<String>,
    leaves: BTreeMap<String, Leaf>,
    /// The lists of operating points, weakest source first.
    pub operating_points: Vec<Leaf>,
    /// The tables of services, weakest source first.
    pub services: Vec<Leaf>,
    /// `routing.unscored` as one word and `routing.unscored_exempt`: the strongest source of each.
    pub old_unscored: Option<Leaf>,
    pub old_exempt: Option<Leaf>,
}

impl Layers {
    /// Reads every source. Keys and types are checked here, values by the sections.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let mut layers = Self {
            order: Vec::new(),
            leaves: BTreeMap::new(),
            operating_points: Vec::new(),
            services: Vec::new(),
            old_unscored: None,
            old_exempt: None,
        };
        layers.add_defaults()?;
        if let Some(path) = &sources.file {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
            layers.add_file(&text, &Origin::File(path.clone()))?;
        }
        // A whole table before its entries.
        let mut env: Vec<_> = sources.env.iter().collect();
        env.sort_by_key(|(name, _)| *name != env_name(UNSCORED));
        for (name, text) in env {
            if let Some(key) = layers.key_of_env(name)? {
                layers.add_text(&key, text, Origin::Env(name.clone()))?;
            }
        }
        for (flag, key, text) in &sources.flags {
            layers.add_text(key, text, Origin::Flag(flag))?;
        }
        Ok(layers)
    }

    fn add_defaults(&mut self) -> Result<(), ConfigError> {
        for (key, value) in leaves(parse(DEFAULTS, &Origin::Default)?, |section| section != SERVICES) {
            let leaf = Leaf { value, origin: Origin::Default };
            match key.as_str() {
                OPERATING_POINTS => self.operating_points.push(leaf),
                SERVICES => self.services.push(leaf),
                _ => drop(self.leaves.insert(key.clone(), leaf)),
            }
            self.order.push(key);
        }
        // `toml::Table` is sorted by name; people read the file from its top.
        self.order.sort_by_key(|key| place_in_defaults(key));
        Ok(())
    }

    fn add_file(&mut self, text: &str, origin: &Origin) -> Result<(), ConfigError> {
        for (key, value) in leaves(parse(text, origin)?, |section| self.is_section(section)) {
            self.set(&key, value, origin.clone())?;
        }
        Ok(())
    }

    /// A value that came as text: from the environment or a flag.
    fn add_text(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let is_text = !is_unscored(key) && matches!(self.leaves.get(key), Some(Leaf { value: Value::String(_), .. }));
        let value = if is_text {
            Value::String(text.to_owned())
        } else {
            // Words of a table of words and numbers stand without quotes too. What is no TOML value cannot have the key's type either; `set` says which one is expected.
            parse(&format!("value = {text}"), &origin).ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| text.into())
        };
        self.set(key, value, origin)
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        match (key, value) {
            (UNSCORED, Value::Table(entries)) => {
                return entries
                    .into_iter()
                    .try_for_each(|(name, value)| self.set_one(&format!("{UNSCORED}.{name}"), value, origin.clone()));
            }
            (UNSCORED, value) => self.old_unscored = Some(Leaf { value, origin }),
            (UNSCORED_EXEMPT, value) => self.old_exempt = Some(Leaf { value, origin }),
            (key, value) => return self.set_one(key, value, origin),
        }
        Ok(())
    }

    fn set_one(&mut self, key: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        let entries = match key {
            OPERATING_POINTS => Some(&mut self.operating_points),
            SERVICES => Some(&mut self.services),
            _ => None,
        };
        if let Some(entries) = entries {
            entries.push(Leaf { value, origin });
            return Ok(());
        }
        let Some(leaf) = self.leaves.get_mut(key) else {
            return Err(self.unknown(key, origin));
        };
        if !is_unscored(key) && leaf.value.type_str() != value.type_str() {
            let allowed = format!("a value of type {}, such as {}", leaf.value.type_str(), leaf.value);
            return Err(ConfigError::Invalid { origin, key: key.to_owned(), value: value.to_string(), allowed });
        }
        *leaf = Leaf { value, origin };
        Ok(())
    }

    fn unknown(&self, key: &str, origin: Origin) -> ConfigError {
        let section = key.split_once('.').map(|(section, _)| section);
        let allowed: Vec<_> = match section {
            Some(section) if self.is_section(section) => {
                self.order.iter().filter(|key| section_of(key) == Some(section)).cloned().collect()
            }
            _ => {
                let mut names: Vec<_> = self.order.iter().map(|key| section_of(key).unwrap_or(key).to_owned()).collect();
                names.dedup();
                names
            }
        };
        ConfigError::UnknownKey { origin, key: key.to_owned(), allowed: allowed.join(", ") }
    }

    fn is_section(&self, name: &str) -> bool {
        self.order.iter().any(|key| section_of(key) == Some(name))
    }

    /// The key that a variable sets; `None` for variables that are not ours.
    fn key_of_env(&self, name: &str) -> Result<Option<String>, ConfigError> {
        let tables = [UNSCORED.to_owned(), UNSCORED_EXEMPT.to_owned()];
        if let Some(key) = self.order.iter().chain(&tables).find(|key| env_name(key) == name) {
            return Ok(Some(key.clone()));
        }
        match name.strip_prefix(ENV_PREFIX) {
            Some(rest) => Err(self.unknown(&rest.to_lowercase().replace("__", "."), Origin::Env(name.to_owned()))),
            None => Ok(None),
        }
    }

    /// Keys with their raw values, in the order of `default.toml`, operating points and services excepted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Leaf)> {
        self.order.iter().filter_map(|key| self.leaves.get(key).map(|leaf| (key.as_str(), leaf)))
    }

    /// Who set `key` last.
    pub fn leaf(&self, key: &str) -> &Leaf {
        &self.leaves[key]
    }

    /// Has `key` read as another key said.
    pub fn overrule(&mut self, key: &str, leaf: Leaf) {
        self.leaves.insert(key.to_owned(), leaf);
    }

    /// The raw value of `key` as a `T`.
    ///
    /// # Panics
    /// If `default.toml` lacks the key: every load reads every key, so the first test finds it.
    pub fn raw<T: DeserializeOwned>(&self, key: &str, allowed: &str) -> Result<T, ConfigError> {
        let leaf = &self.leaves[key];
        leaf.value.clone().try_into().map_err(|_| self.invalid(key, allowed))
    }

    /// The error that says that the value of `key` is not allowed.
    pub fn invalid(&self, key: &str, allowed: impl Into<String>) -> ConfigError {
        let Leaf { value, origin } = &self.leaves[key];
        ConfigError::Invalid { origin: origin.clone(), key: key.to_owned(), value: value.to_string(), allowed: allowed.into() }
    }

    /// `true` or `false`.
    pub fn switch(&self, key: &str) -> Result<bool, ConfigError> {
        self.raw(key, "true or false")
    }

    /// A whole number within `range`.
    pub fn number<T: TryFrom<i64>>(&self, key: &str, range: RangeInclusive<i64>) -> Result<T, ConfigError> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let value: i64 = self.raw(key, &allowed)?;
        let fitting = range.contains(&value).then(|| T::try_from(value).ok()).flatten();
        fitting.ok_or_else(|| self.invalid(key, allowed))
    }

    /// A text that `T` can be read from.
    pub fn parsed<T: FromStr>(&self, key: &str, allowed: &str) -> Result<T, ConfigError> {
        let text: String = self.raw(key, allowed)?;
        text.parse().map_err(|_| self.invalid(key, allowed))
    }

    /// A path that is not empty.
    pub fn path(&self, key: &str) -> Result<PathBuf, ConfigError> {
        let path: PathBuf = self.raw(key, "a path")?;
        if path.as_os_str().is_empty() { Err(self.invalid(key, "a path that is not empty")) } else { Ok(path) }
    }
}

fn parse(text: &str, origin: &Origin) -> Result<Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax { origin: origin.clone(), detail: error.to_string() })
}

/// Whether it is an entry of the table within a section.
fn is_unscored(key: &str) -> bool {
    key.strip_prefix(UNSCORED).is_some_and(|rest| rest.starts_with('.'))
}

fn section_of(key: &str) -> Option<&str> {
    key.split_once('.').map(|(section, _)| section)
}

/// `section.name` for every key of a table of tables; tables whose name `is_section` denies are values themselves.
fn leaves(table: Table, is_section: impl Fn(&str) -> bool) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(section) if is_section(&name) => {
                for (key, value) in section {
                    match (format!("{name}.{key}"), value) {
                        (key, Value::Table(entries)) if key == UNSCORED => {
                            found.extend(entries.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)))
                        }
                        leaf => found.push(leaf),
                    }
                }
            }
            value => found.push((name, value)),
        }
    }
    found
}

/// The line of a key in `default.toml`.
fn place_in_defaults(key: &str) -> usize {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut current = String::new();
    for (number, line) in DEFAULTS.lines().enumerate() {
        if let Some(header) = line.strip_prefix('[') {
            current = header.trim_matches(['[', ']']).to_owned();
            if current == key {
                return number;
            }
        } else if current == section && line.split_once(" =").is_some_and(|(left, _)| left == name) {
            return number;
        }
    }
    usize::MAX
}
