//! For unit tests and fuzzers: a beginning of time.

use std::time::Instant;

/// Virtual time needs some `Instant` to start from; only differences matter.
#[allow(clippy::disallowed_methods)]
pub(crate) fn instant() -> Instant {
    Instant::now()
}
