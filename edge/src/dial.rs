//! Lines to core nodes: a box has one of its own, the schools of a gateway share a few.

use schulhof_net::quic::{Endpoint, Expected, QuicError};
use schulhof_wire::node::ALPN_SYNC;
use std::{collections::BTreeMap, net::SocketAddr, ops::Deref, sync::Arc};
use tokio::sync::Mutex;

/// Connections of a gateway to one core node. More than one, so that schools that load do not fill the window of all.
const LINES_PER_NODE: u64 = 4;

/// How a link gets its line.
#[derive(Clone)]
pub enum Dialler {
    /// A connection for each.
    Own(Endpoint),
    /// One of the shared ones, the same each time.
    Shared(Arc<Pool>, u64),
}

/// A connection in use. One's own is closed when dropped.
pub struct Line {
    connection: quinn::Connection,
    own: bool,
}

impl Deref for Line {
    type Target = quinn::Connection;

    fn deref(&self) -> &quinn::Connection {
        &self.connection
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.own {
            self.connection.close(0u32.into(), b"");
        }
    }
}

impl Line {
    /// Whether the connection ended because the node was started again: then it is there, and was our leader before.
    pub fn restarted(&self) -> bool {
        restarted(&self.connection)
    }

    /// Whether nothing came any more: the line is cut, or the node is dead.
    pub fn timed_out(&self) -> bool {
        matches!(self.connection.close_reason(), Some(quinn::ConnectionError::TimedOut))
    }
}

/// The node does not know the connection any more, and says so (RFC 9000 section 10.3).
pub fn restarted(connection: &quinn::Connection) -> bool {
    matches!(connection.close_reason(), Some(quinn::ConnectionError::Reset))
}

impl From<Endpoint> for Dialler {
    fn from(endpoint: Endpoint) -> Self {
        Self::Own(endpoint)
    }
}

impl Dialler {
    /// A line to a node's sync door.
    pub async fn connect(&self, addr: SocketAddr, expected: &Expected) -> Result<Line, QuicError> {
        match self {
            Self::Own(endpoint) => {
                let connection = endpoint.connect(addr, expected, ALPN_SYNC).await?;
                Ok(Line { connection, own: true })
            }
            Self::Shared(pool, slot) => {
                let connection = pool.connect(addr, expected, *slot % LINES_PER_NODE).await?;
                Ok(Line { connection, own: false })
            }
        }
    }
}

type Slot = Arc<Mutex<Option<quinn::Connection>>>;

/// Connections to core nodes that many schools share. Bounded: as many per node as [`LINES_PER_NODE`].
pub struct Pool {
    endpoint: Endpoint,
    slots: parking_lot::Mutex<BTreeMap<(SocketAddr, u64), Slot>>,
}

impl Pool {
    pub fn new(endpoint: Endpoint) -> Arc<Self> {
        Arc::new(Self { endpoint, slots: parking_lot::Mutex::default() })
    }

    async fn connect(&self, addr: SocketAddr, expected: &Expected, slot: u64) -> Result<quinn::Connection, QuicError> {
        let slot = self.slots.lock().entry((addr, slot)).or_default().clone();
        // One handshake for all who wait for this line.
        let mut kept = slot.lock().await;
        if let Some(connection) = kept.as_ref().filter(|connection| connection.close_reason().is_none()) {
            return Ok(connection.clone());
        }
        *kept = None;
        let connection = self.endpoint.connect(addr, expected, ALPN_SYNC).await?;
        *kept = Some(connection.clone());
        Ok(connection)
    }
}
