//! Configuration: defaults ← file ← environment. The only place that reads the environment.
//!
//! Every key has a default; an unknown key is an error that names it and where it came from. `LOQUAT_CHAT__DB__URL` sets
//! `chat.db.url`.

use std::{fmt, path::Path};

use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

/// What the environment's keys begin with.
pub const PREFIX: &str = "LOQUAT_";

/// Reads a configuration.
///
/// # Errors
/// When the file cannot be read or understood, a key is unknown, or a value has the wrong type. The text names the key and
/// its source.
pub fn load<T: Default + Serialize + DeserializeOwned>(file: Option<&Path>) -> Result<T, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(T::default()));
    if let Some(path) = file {
        if !path.is_file() {
            return Err(ConfigError(format!("there is no configuration file at {}", path.display())));
        }
        figment = figment.merge(Toml::file_exact(path));
    }
    figment.merge(environment()?.split("__")).extract().map_err(|errors| {
        let lines: Vec<String> = errors.into_iter().map(|error| error.to_string()).collect();
        ConfigError(lines.join("\n"))
    })
}

/// The environment's keys. Where there are crash points, the variable that arms one is none of them.
#[cfg(debug_assertions)]
fn environment() -> Result<Env, ConfigError> {
    if let Some(point) = crash_at()
        && crate::crash::Armed::parse(&point).is_none()
    {
        return Err(ConfigError(format!(
            "{PREFIX}CRASH_AT: {point:?} is not NAME, NAME:TIMES or NAME:TIMES:MILLISECONDS"
        )));
    }
    Ok(Env::prefixed(PREFIX).ignore(&["crash_at"]))
}

/// The environment's keys.
#[cfg(not(debug_assertions))]
#[allow(clippy::unnecessary_wraps, reason = "a build with crash points can refuse")]
fn environment() -> Result<Env, ConfigError> {
    Ok(Env::prefixed(PREFIX))
}

/// The crash point that the environment arms, if any.
#[cfg(debug_assertions)]
#[allow(clippy::disallowed_methods, reason = "this is the one door to the environment")]
pub(crate) fn crash_at() -> Option<String> {
    std::env::var(format!("{PREFIX}CRASH_AT")).ok()
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(pub String);

/// A text that is never shown: not in logs, not by `config dump`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether nothing was configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "(none)" } else { "(hidden)" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "(hidden)" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// The environment has no types, so a secret of digits arrives as a number.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Scalar {
            Text(String),
            Number(u64),
            Switch(bool),
        }
        Ok(Self(match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => text,
            Scalar::Number(number) => number.to_string(),
            Scalar::Switch(switch) => switch.to_string(),
        }))
    }
}

/// A URL that may be shown: without its password, whether it stands before the host or among the parameters.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => format!("{}:(hidden)@{host}", user.split(':').next().unwrap_or_default()),
        None => authority.to_owned(),
    };
    let secret = |name: &str| ["password", "secret", "token"].iter().any(|word| name.to_lowercase().contains(word));
    let parameters: Vec<String> = parameters
        .split('&')
        .filter(|one| !one.is_empty())
        .map(|one| match one.split_once('=') {
            Some((name, _)) if secret(name) => format!("{name}=(hidden)"),
            _ => one.to_owned(),
        })
        .collect();
    let parameters = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    format!("{scheme}://{authority}{path}{parameters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        listen: String,
        token: Secret,
    }

    fn write(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn unknown_keys_are_errors_that_name_the_key() {
        let file = write("lisen = \"x\"");
        let error = load::<Sample>(Some(file.path())).unwrap_err().to_string();
        assert!(error.contains("lisen"), "{error}");
    }

    #[test]
    fn secrets_are_read_from_numbers_and_never_shown() {
        let file = write("token = 123");
        let sample: Sample = load(Some(file.path())).unwrap();
        assert_eq!(sample.token.reveal(), "123");
        assert!(!format!("{sample:?}").contains("123"));
        assert!(!serde_json::to_string(&sample).unwrap().contains("123"));
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("postgres://me:p@ss@host/db?sslmode=off", "postgres://me:(hidden)@host/db?sslmode=off"),
            ("redis://:secret@host:1/0?prefix=a:", "redis://:(hidden)@host:1/0?prefix=a:"),
            ("amqp://host/a@b", "amqp://host/a@b"),
            ("postgres://host/db?user=me&password=x", "postgres://host/db?user=me&password=(hidden)"),
            ("s3://bucket?secret_access_key=x", "s3://bucket?secret_access_key=(hidden)"),
            ("memory:", "memory:"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        assert!(load::<Sample>(Some(Path::new("/nowhere/loquat.toml"))).is_err());
    }
}
