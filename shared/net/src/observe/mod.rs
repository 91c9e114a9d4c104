//! What an operator sees of a process: its log ([`init_tracing`]), its metrics ([`metrics`]), its admin listener ([`Admin`]),
//! and how it is told to stop ([`shutdown_signal`]).
//!
//! Must not: put pupils' names, texts or secrets into logs, labels or the status.

mod admin;
mod log;
pub mod metrics;
mod process;
mod signal;

pub use admin::{Admin, AdminError, Readiness, Serving};
pub use log::init_tracing;
pub use signal::shutdown_signal;
