//! The log: lines on standard error, as text for people or as JSON for collectors. `RUST_LOG` chooses what is written
//! (`info` without it).

use std::io::IsTerminal as _;
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Used when `RUST_LOG` is not set: openraft and quinn tell every step at `info`.
const FILTER_DEFAULT: &str = "info,openraft=warn,quinn=warn,quinn_proto=warn";

/// Starts the log of this process. Calling it again changes nothing.
pub fn init_tracing(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).boxed()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    // The only error is that a subscriber is there already.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}
