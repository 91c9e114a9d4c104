//! The cloud gateway: the box's doors for many schools, in one process beside the core.
//!
//! A person's browser comes here when the box cannot be reached, with a pass that the box has signed, or from home by
//! signing in. A school is opened at its first request: the same store, live stream, link and door as on its box
//! ([`tenant`]), and closed again when nobody has used it for a while ([`tenants`]). Its file is kept as long as there is
//! room for it, so that coming back costs only what has happened since.
//!
//! Which school a request is for says the address that it was sent to ([`address`]), never its body; a pass must be
//! of that same school. A gateway is no second truth: it orders nothing, and what it saved goes to the core like a box's.
//!
//! - [`config`]: what an operator sets
//! - [`address`]: host names to schools
//! - [`tenants`], [`tenant`]: which schools are open; one of them
//! - [`folder`]: what is kept of a school on disk, within how many bytes
//! - [`door`]: who may come in from which page; passes
//! - `run`: from the configuration to the end

pub mod address;
pub mod config;
pub mod door;
pub mod folder;
mod run;
pub mod tenant;
pub mod tenants;

pub use config::Config;
pub use run::run;
