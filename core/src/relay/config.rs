//! The relay's configuration.

use schulhof_net::media;
use schulhof_placement::Budget;
use schulhof_wire::ticket::NodeKind;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// Everything a relay is told. Unknown keys are refused. Paths are relative to the working folder unless absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder with `ca.pem`, `cert.pem`, `key.pem`; the certificate must be a relay's, of the name `media.name`.
    pub identity: PathBuf,
    /// Folder for the keys of the QUIC endpoint: some 100 bytes.
    pub data: PathBuf,
    /// Where boxes reserve places (QUIC on UDP). Port 0 takes a free one.
    pub quic: SocketAddr,
    /// Most forwarded packets per second over all rooms. Default: not limited. A core of a current server carries some
    /// 300,000; what is above is refused when reserving, so that what was admitted runs smoothly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets_per_s: Option<u64>,
    /// Most forwarded bits per second over all rooms: the line. Default: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits_per_s: Option<u64>,
    /// The media node; its `kind` must be `relay`, its `participants_max` is also the number of places to reserve.
    pub media: media::Config,
}

/// What no single field can tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigProblem {
    #[error("media.kind: a relay's media node is of the kind \"relay\"")]
    Kind,
}

impl Config {
    /// Checks what serde cannot; the media node checks its own part.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        if self.media.kind == NodeKind::Relay { Ok(()) } else { Err(ConfigProblem::Kind) }
    }

    pub fn budget(&self) -> Budget {
        Budget {
            participants: self.media.participants_max,
            packets_per_s: self.packets_per_s.unwrap_or(Budget::UNLIMITED),
            bits_per_s: self.bits_per_s.unwrap_or(Budget::UNLIMITED),
        }
    }
}
