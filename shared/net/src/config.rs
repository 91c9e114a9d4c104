//! Reading a configuration file. Each binary has one documented struct with `#[serde(deny_unknown_fields)]`; what is wrong
//! in the file comes back as one line with file, line and key. A node reads its configuration before it binds or
//! creates anything.
//!
//! Must not: fill in values from the environment, or accept keys that it does not know.

use serde::de::DeserializeOwned;
use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Largest configuration file in bytes: a few thousand schools fit, a file given by mistake does not fill the memory.
pub const CONFIG_LEN_MAX: u64 = 4 << 20;

/// Why a configuration file was not accepted. Its text is one line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{}: larger than {CONFIG_LEN_MAX} bytes, not a configuration", path.display())]
    TooLarge { path: PathBuf },
    #[error("{}:{line}: {message}{}", path.display(), in_key(key.as_deref()))]
    Invalid {
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The key on that line, with its table: `media.participants_max`.
        key: Option<String>,
        message: String,
    },
}

fn in_key(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!(" (at `{key}`)"))
}

/// Reads and checks a TOML file.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let read = || {
        let mut text = String::new();
        // One byte more than allowed tells a file that is too large from one that just fits.
        std::fs::File::open(path)?.take(CONFIG_LEN_MAX + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
    if text.len() as u64 > CONFIG_LEN_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    parse(&text, path)
}

/// Checks the text of a TOML file; `path` is only named in errors.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.as_bytes()[..start].split(|b| *b == b'\n').count() - 1;
        ConfigError::Invalid {
            path: path.to_owned(),
            line: before + 1,
            key: key_on_line(text, before),
            message: error.message().replace('\n', "; "),
        }
    })
}

/// The key that is set on a line (from 0), behind the name of the table above it.
fn key_on_line(text: &str, line: usize) -> Option<String> {
    let (key, _) = text.lines().nth(line)?.split_once('=')?;
    let key = key.trim();
    let table = text
        .lines()
        .take(line)
        .filter_map(|l| l.trim().strip_prefix('['))
        .last()
        .map(|l| l.trim_start_matches('[').split(']').next().unwrap_or_default().trim());
    Some(match table {
        Some(table) => format!("{table}.{key}"),
        None => key.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Example {
        listen: std::net::SocketAddr,
        #[serde(default)]
        media: Media,
    }

    #[derive(Debug, Deserialize, PartialEq, Default)]
    #[serde(deny_unknown_fields)]
    struct Media {
        participants_max: u32,
    }

    fn error_of(text: &str) -> String {
        parse::<Example>(text, Path::new("box.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_good_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:8080\"\n[media]\nparticipants_max = 4\n").unwrap();
        let config: Example = load(&path).unwrap();
        assert_eq!(config.media.participants_max, 4);
    }

    #[test]
    fn an_unknown_key_is_named_with_file_and_line() {
        let error = error_of("listen = \"127.0.0.1:1\"\n\n[media]\nparticipants_max = 1\nparticipant_max = 2\n");
        assert!(error.starts_with("box.toml:5: unknown field `participant_max`"), "{error}");
        assert!(error.ends_with("(at `media.participant_max`)"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn a_wrong_value_names_its_key() {
        let error = error_of("listen = \"127.0.0.1:1\"\n[media]\nparticipants_max = \"many\"\n");
        assert!(error.starts_with("box.toml:3: invalid type: string \"many\", expected u32"), "{error}");
        assert!(error.ends_with("(at `media.participants_max`)"), "{error}");
        assert!(error_of("listen = \"here\"").ends_with("(at `listen`)"));
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = error_of("[media]\nparticipants_max = 1\n");
        assert!(error.contains("missing field `listen`"), "{error}");
    }

    #[test]
    fn text_that_is_no_toml_gives_its_line() {
        let error = error_of("listen = \"127.0.0.1:1\"\n???\n");
        assert!(error.starts_with("box.toml:2: "), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Example>(Path::new("/nowhere/config.toml")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/config.toml: "), "{error}");
    }
}
