//! The IO shell that box, core and relay share: sockets, clocks, files and threads live here, rules do not.
//!
//! Place: above the pure crates, below `edge` and `core`, which never import each other.
//!
//! - [`identity`]: certificates and who stands behind them
//! - [`enrol`]: how a box gets its certificate
//! - [`quic`]: quinn endpoints and framed streams
//! - [`udp`]: UDP media workers with GSO and GRO
//! - [`media`]: the media node: HTTP door, control channel, workers around `schulhof_media`
//! - [`config`]: reading a configuration file, naming what is wrong in it
//! - [`datadir`]: a node's data folder: version and lock
//! - [`observe`]: tracing, metrics and the admin listener
//! - [`bind`]: listening sockets whose errors say what they were for
//! - [`lifeline`]: child processes that do not outlive their parent

pub mod bind;
pub mod config;
pub mod datadir;
pub mod enrol;
pub mod identity;
pub mod lifeline;
pub mod media;
pub mod observe;
pub mod quic;
pub mod udp;
