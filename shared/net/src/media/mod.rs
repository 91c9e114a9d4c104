//! The media node: the same code in a box's media process and in a relay.
//!
//! ```text
//!  browser --POST /media/join-->  door  --commands (bounded)-->  worker thread: schulhof_media::Engine
//!          --WebSocket--------->  control  <--mailbox----------      | datagrams: net::udp
//!          <==UDP: ICE, DTLS, SRTP==================================='
//!          <==TCP, the same port: the same, in frames==> http =======>' streams
//!          <==TLS, another port: the same, in TURN==> turn_tls ======>' streams
//! ```
//!
//! What it must not do: ask anybody. A ticket is all that a join needs, so the node works with the core, the line and even
//! the box's web process gone.
//!
//! - [`config`]: what an operator sets
//! - `door`: HTTP: limits, ticket, offer, CORS; `http`: the listener with its own limits
//! - `control`: the WebSocket of a connection; `mailbox`: what waits to be told on it, bounded
//! - `worker`: the thread that owns the engine and its sockets
//! - `streams`: packets over TCP, for networks that take no UDP; `framing`: how they stand on the stream; `pipe`: with or
//!   without TLS
//! - `turn_tls`: the listener for TURN over TLS, and the certificate; `ways`: what browsers are told of it
//! - `trunk`: connections to other media nodes, for rooms that are at both
//! - `meter`: counters for `/metrics` and `/status`
//! - `node`: the parts put together

pub mod config;
mod control;
mod door;
mod framing;
mod http;
mod mailbox;
mod meter;
mod node;
mod pipe;
mod streams;
pub mod trunk;
mod turn_tls;
mod ways;
mod worker;

pub use config::Config;
pub use meter::{Snapshot, Status};
pub use node::{Ended, Handle, StartError, run, serve, serve_gated};
pub use streams::StreamStats;
pub use turn_tls::TurnTlsError;
pub use worker::Gate;
