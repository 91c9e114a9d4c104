//! QUIC endpoints between nodes (RFC 9000) with mutual TLS 1.3, and framed streams on them.
//!
//! What this is: one UDP socket that both dials and is dialled, with certificates at both ends; one door may be open to
//! callers that have none yet ([`Caller::Stranger`]). What it must not do: know what is said on the streams. A door is an
//! ALPN; who knocks is [`Accepted::peer`], and the door decides.
//!
//! Decided by measurement: streams are few because quinn allocates them ahead; socket buffers are large because bursts of
//! connects stall otherwise; the keys that make stateless resets and connection ids are kept over a restart, so that peers
//! of a killed node learn at once that their connection is gone. There is no 0-RTT: it could be replayed.

mod endpoint;
mod frame;
mod keys;
mod stranger;
mod tls;

pub use endpoint::{Accepted, Caller, Endpoint, Handshake, Options};
pub use frame::{FrameError, FrameReader, FrameWriter};
pub use stranger::Stranger;

use crate::identity::{ANY_CORE, IdentityError, PeerIdentity};
use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

/// A silent peer is given up after this long: boxes and cores turn to another node within seconds.
pub const IDLE_MAX: Duration = Duration::from_secs(3);
/// Three of these fit into [`IDLE_MAX`]: two lost packets don't end a connection.
pub const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// A handshake that takes longer is given up.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(3);

/// The ALPN that callers without a certificate may ask for.
pub type OpenDoor = &'static [u8];

/// Whom [`Endpoint::connect`] expects to answer; anybody else is refused by the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Node(PeerIdentity),
    /// Whichever core node listens there.
    AnyCore,
}

impl Expected {
    fn dns_name(&self) -> String {
        match self {
            Self::Node(identity) => identity.dns_name(),
            Self::AnyCore => ANY_CORE.to_owned(),
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(identity) => identity.fmt(f),
            Self::AnyCore => f.write_str("any core node"),
        }
    }
}

/// Why an endpoint does not open, or a connection does not come about.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    #[error("cannot listen on {listen} (UDP): {source}")]
    Bind { listen: SocketAddr, source: io::Error },
    #[error("cannot keep the keys of this endpoint in {path}: {source}")]
    Keys { path: PathBuf, source: io::Error },
    #[error("TLS does not take this identity: {0}")]
    Tls(String),
    #[error("cannot connect to {expected} at {address}: {detail}")]
    Connect { address: SocketAddr, expected: String, detail: String },
    #[error("{address} is not of the core that is meant: its CA has another fingerprint")]
    WrongCa { address: SocketAddr },
    #[error("a caller without a certificate asked for a door that is not open")]
    Stranger,
    #[error("a handshake failed: {0}")]
    Handshake(String),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}
