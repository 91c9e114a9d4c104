//! Errors towards clients: `application/problem+json` (RFC 9457). The page translates by [`Problem::code`].

use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub const CONTENT_TYPE: &str = "application/problem+json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Problem {
    /// Stable, in kebab-case, such as `not-a-member`. What programs and translations look at.
    pub code: String,
    /// HTTP status.
    pub status: u16,
    /// One English sentence: what was wrong and where.
    pub title: String,
    /// Seconds after which another try makes sense.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[ts(optional)]
    pub retry_after_s: Option<u32>,
}

impl Problem {
    pub fn new(status: u16, code: impl Into<String>, title: impl Into<String>) -> Self {
        Self { code: code.into(), status, title: title.into(), retry_after_s: None }
    }
}
