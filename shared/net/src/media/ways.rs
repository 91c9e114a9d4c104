//! What browsers are told of TURN with the answer to a join: where it is, and credentials of their own.

use schulhof_media::turn::credentials::Credentials;
use schulhof_wire::media::IceServer;
use std::time::{Duration, SystemTime};

/// Credentials begin an allocation for this long: a connection that was lost is made anew with another join.
const VALID: Duration = Duration::from_mins(10);

pub(super) struct Ways {
    credentials: Credentials,
    url: String,
}

impl Ways {
    pub fn new(credentials: Credentials, host: &str, port: u16) -> Self {
        Self { credentials, url: format!("turns:{host}:{port}?transport=tcp") }
    }

    /// For the connection of this name.
    pub fn issue(&self, name: &str) -> IceServer {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let issued = self.credentials.issue(name, (now + VALID).as_secs());
        IceServer { urls: vec![self.url.clone()], username: issued.user, credential: issued.password }
    }
}
