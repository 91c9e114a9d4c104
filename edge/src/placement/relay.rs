//! Reservations at a relay: one request and one answer per QUIC stream, over a connection that is kept.

use super::Reserved;
use schulhof_net::{
    identity::{PeerIdentity, Role},
    quic::{Endpoint, Expected, FrameReader, FrameWriter},
};
use schulhof_wire::{
    ConferenceId, SchoolId,
    node::{ALPN_RESERVE, DRAINING, FromRelay, ToRelay, VERSION},
    ticket::{MediaNode, NodeKind},
};
use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// A relay that has not answered by then is passed over: a person waits for the ticket.
const ANSWER_MAX: Duration = Duration::from_millis(1_500);
/// A relay that did not answer is not asked again for this long: else everybody in a class would wait for it in turn, and
/// with the line down a lesson in the building could not begin. Shorter than what a queued browser waits.
const SILENT_FOR: Duration = Duration::from_secs(3);
/// Answers are small.
const ANSWER_LEN_MAX: usize = 4 * 1024;

/// The relay's code for a conference that exceeds all of it.
const ROOM_TOO_LARGE: &str = "room-too-large";

type Answering<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A node at which places can be reserved.
pub trait Reservations: Send + Sync {
    fn node(&self) -> &MediaNode;
    fn reserve<'a>(&'a self, conference: &'a ConferenceId, participants: u32) -> Answering<'a, Reserved>;
    fn release<'a>(&'a self, conference: &'a ConferenceId) -> Answering<'a, ()>;
    /// Has those who are in the conference there asked to go on at the box. False: that could not be said.
    fn call_home<'a>(&'a self, conference: &'a ConferenceId) -> Answering<'a, bool>;
}

/// The way to a relay over QUIC.
pub struct RelayLine {
    node: MediaNode,
    addr: SocketAddr,
    expected: Expected,
    endpoint: Endpoint,
    connection: Mutex<Option<quinn::Connection>>,
    /// Not asked before then.
    silent_until: parking_lot::Mutex<Option<Instant>>,
}

/// A relay, asked for one school.
pub struct RelayClient {
    line: Arc<RelayLine>,
    /// Of a gateway; a box's certificate says it.
    school: Option<SchoolId>,
}

impl RelayClient {
    /// For a box.
    pub fn new(relay: &crate::config::Relay, endpoint: Endpoint) -> anyhow::Result<Self> {
        Ok(Self { line: Arc::new(RelayLine::new(relay, endpoint)?), school: None })
    }

    fn reserving(&self, room: ConferenceId, participants: u32) -> ToRelay {
        match self.school.clone() {
            Some(school) => ToRelay::ReserveFor { version: VERSION, school, room, participants },
            None => ToRelay::Reserve { version: VERSION, room, participants },
        }
    }

    fn releasing(&self, room: ConferenceId) -> ToRelay {
        match self.school.clone() {
            Some(school) => ToRelay::ReleaseFor { version: VERSION, school, room },
            None => ToRelay::Release { version: VERSION, room },
        }
    }
}

impl RelayLine {
    pub fn new(relay: &crate::config::Relay, endpoint: Endpoint) -> anyhow::Result<Self> {
        Ok(Self {
            node: MediaNode { name: relay.name.clone(), kind: NodeKind::Relay, url: relay.url.clone() },
            addr: relay.addr,
            expected: Expected::Node(PeerIdentity::new(Role::Relay, relay.name.as_str())?),
            endpoint,
            connection: Mutex::new(None),
            silent_until: parking_lot::Mutex::new(None),
        })
    }

    /// For one school of a gateway.
    pub fn for_school(self: &Arc<Self>, school: &SchoolId) -> RelayClient {
        RelayClient { line: self.clone(), school: Some(school.clone()) }
    }

    async fn ask(&self, request: &ToRelay) -> Option<FromRelay> {
        let is_silent = self.silent_until.lock().is_some_and(|until| Instant::now() < until);
        if is_silent {
            return None;
        }
        let answer = match tokio::time::timeout(ANSWER_MAX, self.exchange(request)).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                tracing::warn!(relay = %self.node.name, "{error:#}");
                *self.connection.lock().await = None;
                None
            }
            Err(_) => {
                tracing::warn!(relay = %self.node.name, "the relay does not answer");
                None
            }
        };
        *self.silent_until.lock() = answer.is_none().then(|| Instant::now() + SILENT_FOR);
        answer
    }

    async fn exchange(&self, request: &ToRelay) -> anyhow::Result<FromRelay> {
        let connection = self.connection().await?;
        let (send, receive) = connection.open_bi().await?;
        let mut writer = FrameWriter::new(send);
        writer.write(request).await?;
        writer.finish();
        let mut reader = FrameReader::with_limit(receive, ANSWER_LEN_MAX);
        reader.read().await?.ok_or_else(|| anyhow::anyhow!("the relay ended the stream without an answer"))
    }

    async fn connection(&self) -> anyhow::Result<quinn::Connection> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.as_ref().filter(|connection| connection.close_reason().is_none()) {
            return Ok(connection.clone());
        }
        let connection = self.endpoint.connect(self.addr, &self.expected, ALPN_RESERVE).await?;
        *kept = Some(connection.clone());
        Ok(connection)
    }
}

impl Reservations for RelayClient {
    fn node(&self) -> &MediaNode {
        &self.line.node
    }

    fn reserve<'a>(&'a self, conference: &'a ConferenceId, participants: u32) -> Answering<'a, Reserved> {
        Box::pin(async move {
            match self.line.ask(&self.reserving(conference.clone(), participants)).await {
                Some(FromRelay::Reserved) => Reserved::Yes,
                Some(FromRelay::Full { position, retry_after_ms }) => Reserved::Full { position, retry_after_ms },
                // It will be gone: as good as one that is too small for ever.
                Some(FromRelay::Refused { code, .. }) if code == ROOM_TOO_LARGE || code == DRAINING => {
                    Reserved::TooLarge
                }
                Some(FromRelay::Refused { code, detail }) => {
                    tracing::warn!(relay = %self.line.node.name, code, detail, "the relay refuses reservations");
                    Reserved::Unreachable
                }
                Some(FromRelay::Released | FromRelay::Load { .. } | FromRelay::Asked | FromRelay::Draining { .. })
                | None => Reserved::Unreachable,
            }
        })
    }

    fn release<'a>(&'a self, conference: &'a ConferenceId) -> Answering<'a, ()> {
        Box::pin(async move {
            // Lost: it lapses by itself.
            self.line.ask(&self.releasing(conference.clone())).await;
        })
    }

    fn call_home<'a>(&'a self, conference: &'a ConferenceId) -> Answering<'a, bool> {
        Box::pin(async move {
            let request = ToRelay::Return { version: VERSION, room: conference.clone() };
            matches!(self.line.ask(&request).await, Some(FromRelay::Asked))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_net::{identity::Ca, quic::Options};

    #[tokio::test]
    async fn a_class_does_not_wait_in_turn_for_a_relay_that_is_silent() {
        // Takes packets and never answers, as behind a line that is down.
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let identity = Ca::generate().unwrap().issue(Role::Box, "nord").unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let endpoint = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] }).unwrap();
        let relay = crate::config::Relay {
            name: "relay-1".parse().unwrap(),
            addr: silent.local_addr().unwrap(),
            url: "http://localhost:8490".to_owned(),
        };
        let client = RelayClient::new(&relay, endpoint).unwrap();
        let conference = ConferenceId::new("c1").unwrap();
        let started = Instant::now();
        for _ in 0..30 {
            assert_eq!(client.reserve(&conference, 3).await, Reserved::Unreachable);
        }
        assert!(started.elapsed() < 2 * ANSWER_MAX, "{:?}", started.elapsed());
    }
}
