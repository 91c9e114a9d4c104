//! The box: serves one school to its browsers, keeps what they do, and forwards their video inside the building.
//!
//! Place: above `net` and the pure crates; the command `schulhof edge` runs it. It never imports the core, and needs it only
//! to have its operations ordered and kept: without it the school goes on.
//!
//! ```text
//!  browser --HTTP, WebSocket-->  door  ---->  store  <----  link  <--QUIC-->  core
//!                                 |  ^          |
//!                                 |  '-- live <-'  notices
//!                                 '-> placement --QUIC--> relay
//!                     media (a process of its own) <== browsers' audio and video
//! ```
//!
//! - [`config`]: what an operator sets
//! - [`store`]: confirmed state, outbox, sessions on disk; one writer, many readers
//! - [`blob`]: files of messages, on their way to the core, and copies of what is looked at
//! - [`cache`]: rendered pages of history, never the only copy
//! - [`live`]: who is told what happens
//! - [`door`]: HTTP: who may, within which limits, in which form; [`serve`]: the listener under it
//! - [`link`]: the way to the core, over a line of [`dial`] to whichever of the [`nodes`] leads
//! - [`placement`]: where a conference goes, and its tickets; [`media`]: the process that carries it
//! - [`mod@import`]: lists of the school's people, and what they would change
//! - [`watch`]: a folder in which a timetable program leaves its files
//! - [`gateway`]: the same doors for many schools, in the cloud
//! - [`enrol`]: the box's certificate
//! - [`session`], [`clock`], [`mod@stop`], [`app`]: what the parts share

pub mod app;
pub mod blob;
pub mod cache;
pub mod clock;
pub mod config;
pub mod dial;
pub mod door;
pub mod enrol;
pub mod gateway;
pub mod import;
pub mod link;
pub mod live;
pub mod media;
pub mod nodes;
pub mod placement;
mod run;
pub mod serve;
pub mod session;
pub mod stop;
pub mod store;
pub mod watch;

pub use config::Config;
pub use run::run;
