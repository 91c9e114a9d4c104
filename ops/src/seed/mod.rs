//! Two demo schools with people, classes and a few messages, through the front doors: operations to the core as the operator,
//! messages at the boxes as their authors. Running it again changes nothing, since its devices number their operations
//! from 1 and the log knows them.
//!
//! - [`demo`]: who goes to these schools
//! - [`names`]: what they are called
//! - [`operations`]: that as operations of the log
//! - [`submit`]: to the core, over QUIC; [`mod@welcome`]: messages at a box, over HTTP

pub mod demo;
mod names;
pub mod operations;
pub mod submit;
pub mod welcome;

pub use demo::{DemoSchool, PASSWORD};
pub use submit::{Core, seed_school};
pub use welcome::welcome;
