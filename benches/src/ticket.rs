//! Tickets for the clients of a run, by a key made for it.

use anyhow::Context as _;
use schulhof_placement::{TicketKey, TicketKeys};
use schulhof_wire::ticket::{Claims, MediaNode, MediaRole, VERSION};
use std::time::{SystemTime, UNIX_EPOCH};

/// Longer than any run.
const VALID_MS: u64 = 3_600_000;
pub const SCHOOL: &str = "bench";

pub struct Issuer {
    key: TicketKey,
    node: MediaNode,
}

impl Issuer {
    /// `seed` need not be secret: the node lives as long as the run, on loopback.
    pub fn new(seed: [u8; 32], node: MediaNode) -> Self {
        Self { key: TicketKey::generate(&seed), node }
    }

    pub fn keys(&self) -> TicketKeys {
        [(SCHOOL.parse().expect("an identifier"), self.key.public())].into_iter().collect()
    }

    pub fn ticket(&self, room: &str, account: &str, role: MediaRole, audio: u8, video: u8) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?;
        Ok(self.key.sign(&Claims {
            v: VERSION,
            id: format!("{room}-{account}"),
            school: SCHOOL.parse()?,
            room: room.parse()?,
            account: account.parse()?,
            name: account.to_owned(),
            role,
            audio_slots: audio,
            video_slots: video,
            primary: self.node.clone(),
            standby: None,
            expires_at_ms: now.as_millis() as u64 + VALID_MS,
        }))
    }
}
