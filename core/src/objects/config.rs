//! Where a core node keeps objects: `[objects]` of its configuration.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Bounds of [`Config::keep_unnamed_hours`]: a box may be offline over the holidays; a year of uploads nobody wanted is enough.
pub const KEEP_UNNAMED_HOURS: std::ops::RangeInclusive<u64> = 24..=8_760;

/// Objects: blobs and snapshots of schools. Default: a folder below the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of this node's own; an object counts as kept when a majority of the core nodes has it. As large as all attachments
    /// of all schools. Default: `objects` in the data folder. Not together with `s3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Hours for which a blob is kept that no operation names, 24 to 8760. Larger costs disk for uploads that were given up; after
    /// it, a box that was offline uploads again. Counted while one node leads and runs, so rather more than less. Not with S3, where
    /// nothing is removed. Default 720, thirty days.
    #[serde(default = "keep_unnamed_hours")]
    pub keep_unnamed_hours: u64,
    /// A store that all core nodes share and that keeps copies itself. Default: none, the folder is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
}

/// A store that speaks S3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// Its address, such as `https://s3.example`. With `http://` keys and data go unprotected: for the loopback only.
    pub endpoint: String,
    pub bucket: String,
    /// Default `eu-central-1`; many stores take any.
    #[serde(default = "region")]
    pub region: String,
    /// File with the access key's id on the first line and its secret on the second.
    pub keys: PathBuf,
}

fn keep_unnamed_hours() -> u64 {
    720
}

fn region() -> String {
    "eu-central-1".into()
}

impl Default for Config {
    fn default() -> Self {
        Self { folder: None, keep_unnamed_hours: keep_unnamed_hours(), s3: None }
    }
}

/// What no single field can tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("objects: a folder or s3, not both")]
    Both,
    #[error("objects.keep_unnamed_hours: {} to {}, not {given}", KEEP_UNNAMED_HOURS.start(), KEEP_UNNAMED_HOURS.end())]
    KeepUnnamed { given: u64 },
    #[error("objects.s3.endpoint: {0:?} begins neither with https:// nor with http://127.0.0.1 or http://localhost")]
    Endpoint(String),
    #[error("objects.s3: this program was built without S3 (cargo feature `s3`)")]
    NotBuilt,
}

impl Config {
    /// Checks what serde cannot.
    pub fn check(&self) -> Result<(), Problem> {
        if !KEEP_UNNAMED_HOURS.contains(&self.keep_unnamed_hours) {
            return Err(Problem::KeepUnnamed { given: self.keep_unnamed_hours });
        }
        let Some(s3) = &self.s3 else { return Ok(()) };
        if self.folder.is_some() {
            return Err(Problem::Both);
        }
        let allowed = ["https://", "http://127.0.0.1", "http://localhost"];
        if !allowed.iter().any(|start| s3.endpoint.starts_with(start)) {
            return Err(Problem::Endpoint(s3.endpoint.clone()));
        }
        if cfg!(feature = "s3") { Ok(()) } else { Err(Problem::NotBuilt) }
    }
}
