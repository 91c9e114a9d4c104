//! One UDP socket: dialling and being dialled.

use super::{Expected, HANDSHAKE_MAX, IDLE_MAX, KEEP_ALIVE, OpenDoor, QuicError, keys::EndpointKeys, tls};
use crate::identity::{Identity, PeerIdentity, Role, peer_certificate};
use parking_lot::RwLock;
use quinn::{EndpointConfig, TransportConfig, VarInt, crypto::rustls::HandshakeData};
use quinn_proto::HashedConnectionIdGenerator;
use std::{io, net::SocketAddr, net::UdpSocket, path::Path, sync::Arc, time::Duration};

/// Streams that another node may have open at once. quinn allocates for them ahead: 100 cost 39 KiB per connection.
const STREAMS_MAX: u32 = 100;
/// The same for boxes, of which there are thousands, and for strangers.
const STREAMS_MAX_BOX: u32 = 8;
/// One frame fits without waiting for credit.
const STREAM_WINDOW: u32 = 4 << 20;
/// What one peer may make us hold in all its streams.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Assumed until it is measured. A lost first packet is sent again after three of these: quinn's own 333 ms would use up a
/// dial's time for two tries, and lines that come back would be seen seconds later.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// Datagrams that wait for being read, and for being sent: media that is older is worth nothing any more.
const DATAGRAMS_RECEIVED_LEN: usize = 1 << 20;
const DATAGRAMS_SENT_LEN: usize = 64 << 10;
/// Half-open connections that wait for our attention: a burst of all boxes of a node.
const INCOMING_MAX: usize = 8192;
/// Wanted size of the kernel's buffers; the kernel may give less (`net.core.rmem_max`). Absorbs bursts of connects.
const SOCKET_BUFFER_LEN: usize = 4 << 20;

/// What an endpoint is made of.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Address to bind; port 0 takes any.
    pub listen: SocketAddr,
    pub identity: &'a Identity,
    /// Where the keys are kept that survive a restart. None: for endpoints that only dial.
    pub data: Option<&'a Path>,
    /// Doors that are open to others. Empty: only dials.
    pub alpns: &'a [&'a [u8]],
}

/// Cheap to clone; the socket closes with the last clone and the last connection.
#[derive(Debug, Clone)]
pub struct Endpoint {
    inner: quinn::Endpoint,
    /// Clones share it, so that a renewed certificate is used everywhere.
    identity: Arc<RwLock<Arc<Identity>>>,
    own: PeerIdentity,
    open: Option<OpenDoor>,
    /// For dialling: who is dialled opens no streams.
    transport: Arc<TransportConfig>,
}

/// A connection with the peer that the handshake has proven.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub connection: quinn::Connection,
    pub peer: PeerIdentity,
    /// Which door it asked for: one of [`Options::alpns`].
    pub alpn: Vec<u8>,
}

/// Who came.
#[derive(Debug, Clone)]
pub enum Caller {
    Known(Accepted),
    /// Without a certificate, at the open door.
    Stranger(quinn::Connection),
}

/// A connection that somebody wants; finish it in a task of its own, so that slow peers hold up nobody.
#[derive(Debug)]
pub struct Handshake {
    incoming: quinn::Incoming,
    open: Option<OpenDoor>,
}

impl Endpoint {
    /// Binds the socket. Needs a tokio runtime.
    pub fn bind(options: Options<'_>) -> Result<Self, QuicError> {
        Self::bind_doors(options, None, false)
    }

    /// As [`Endpoint::bind`]; its connections also carry datagrams (RFC 9221).
    pub fn bind_for_media(options: Options<'_>) -> Result<Self, QuicError> {
        Self::bind_doors(options, None, true)
    }

    /// As [`Endpoint::bind`], with one more door, to which callers without a certificate may come.
    pub fn bind_with_open_door(options: Options<'_>, open: OpenDoor) -> Result<Self, QuicError> {
        Self::bind_doors(options, Some(open), false)
    }

    fn bind_doors(options: Options<'_>, open: Option<OpenDoor>, datagrams: bool) -> Result<Self, QuicError> {
        let keys = match options.data {
            Some(dir) => EndpointKeys::load_or_create(dir)?,
            None => EndpointKeys::ephemeral(),
        };
        let reset = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &keys.reset);
        let mut config = EndpointConfig::new(Arc::new(reset));
        config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(keys.cid)));

        let server = if options.alpns.is_empty() && open.is_none() {
            None
        } else {
            let mut server = quinn::ServerConfig::with_crypto(tls::server(options.identity, options.alpns, open)?);
            server.transport_config(Arc::new(transport(STREAMS_MAX_BOX, datagrams))).max_incoming(INCOMING_MAX);
            Some(server)
        };
        let fail = |source| QuicError::Bind { listen: options.listen, source };
        let socket = socket(options.listen).map_err(fail)?;
        let inner = quinn::Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime)).map_err(fail)?;
        let own = options.identity.own().clone();
        let identity = Arc::new(RwLock::new(Arc::new(options.identity.clone())));
        Ok(Self { inner, identity, own, open, transport: Arc::new(transport(0, datagrams)) })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Who this endpoint is.
    pub fn own(&self) -> &PeerIdentity {
        &self.own
    }

    /// The certificate that is shown when dialling.
    pub fn identity(&self) -> Arc<Identity> {
        self.identity.read().clone()
    }

    /// From now on dials with a renewed certificate of the same node; connections that are open stay. Who is dialled
    /// (a server) keeps its first one until it starts again.
    pub fn renew(&self, identity: Identity) -> Result<(), QuicError> {
        if *identity.own() != self.own {
            return Err(QuicError::Tls(format!("a certificate of {} is none for {}", identity.own(), self.own)));
        }
        *self.identity.write() = Arc::new(identity);
        Ok(())
    }

    /// Dials. Fails when somebody else than `expected` answers, or nobody within [`HANDSHAKE_MAX`].
    ///
    /// A server that does not take *us* may show that only afterwards, by closing the connection.
    pub async fn connect(
        &self,
        address: SocketAddr,
        expected: &Expected,
        alpn: &[u8],
    ) -> Result<quinn::Connection, QuicError> {
        let fail = |detail: String| QuicError::Connect { address, expected: expected.to_string(), detail };
        let mut config = quinn::ClientConfig::new(tls::client(&self.identity(), alpn)?);
        config.transport_config(self.transport.clone());
        let connecting =
            self.inner.connect_with(config, address, &expected.dns_name()).map_err(|e| fail(e.to_string()))?;
        match tokio::time::timeout(HANDSHAKE_MAX, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(e)) => Err(fail(e.to_string())),
            Err(_) => Err(fail("no answer".into())),
        }
    }

    /// The next who knocks; `None` after [`Endpoint::close`].
    pub async fn accept(&self) -> Option<Handshake> {
        self.inner.accept().await.map(|incoming| Handshake { incoming, open: self.open })
    }

    /// Connections of both kinds that are open now.
    pub fn open_connections(&self) -> usize {
        self.inner.open_connections()
    }

    /// Closes all connections, telling the peers why.
    pub fn close(&self, reason: &str) {
        self.inner.close(VarInt::from_u32(0), reason.as_bytes());
    }

    /// Waits until the peers of closed connections have been told.
    pub async fn wait_idle(&self) {
        self.inner.wait_idle().await;
    }
}

impl Handshake {
    /// Where the packets come from. Not proven before the handshake.
    pub fn remote_address(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Completes the handshake and says who came, to which door. For endpoints without an open door.
    pub async fn finish(self) -> Result<Accepted, QuicError> {
        match self.finish_any().await? {
            Caller::Known(accepted) => Ok(accepted),
            Caller::Stranger(connection) => {
                connection.close(1u32.into(), b"a certificate is needed");
                Err(QuicError::Stranger)
            }
        }
    }

    /// Completes the handshake and says who came. Strangers come in at the open door only; at any other, the connection is
    /// closed before a byte of it is read.
    pub async fn finish_any(self) -> Result<Caller, QuicError> {
        let fail = |e: String| QuicError::Handshake(e);
        let connecting = self.incoming.accept().map_err(|e| fail(e.to_string()))?;
        let connection = tokio::time::timeout(HANDSHAKE_MAX, connecting)
            .await
            .map_err(|_| fail("it took too long".into()))?
            .map_err(|e| fail(e.to_string()))?;
        let alpn = connection
            .handshake_data()
            .and_then(|any| any.downcast::<HandshakeData>().ok())
            .and_then(|data| data.protocol)
            .ok_or_else(|| fail("the peer asked for no protocol".into()))?;
        if peer_certificate(&connection).is_none() {
            if self.open.is_some_and(|open| open == alpn) {
                return Ok(Caller::Stranger(connection));
            }
            connection.close(1u32.into(), b"a certificate is needed");
            return Err(QuicError::Stranger);
        }
        let peer = PeerIdentity::of(&connection)?;
        if peer.role != Role::Box {
            connection.set_max_concurrent_bi_streams(STREAMS_MAX.into());
        }
        Ok(Caller::Known(Accepted { connection, peer, alpn }))
    }

    /// Where it comes from, as far as it says.
    pub fn address(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Turns it away without a handshake, when there are too many already.
    pub fn refuse(self) {
        self.incoming.refuse();
    }
}

pub(super) fn transport(streams_max: u32, datagrams: bool) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(streams_max.into())
        .max_concurrent_uni_streams(0u32.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(CONNECTION_WINDOW.into())
        .datagram_receive_buffer_size(datagrams.then_some(DATAGRAMS_RECEIVED_LEN))
        .datagram_send_buffer_size(DATAGRAMS_SENT_LEN)
        .initial_rtt(INITIAL_RTT)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IDLE_MAX.try_into().expect("three seconds fit into a QUIC idle timeout")));
    transport
}

fn socket(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(listen), socket2::Type::DGRAM, None)?;
    // More than the kernel allows is cut down to what it allows, which is no error.
    socket.set_recv_buffer_size(SOCKET_BUFFER_LEN)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_LEN)?;
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bursts of connects stall with the kernel's default.
    #[test]
    fn the_socket_gets_the_buffers_that_the_kernel_gives_at_most() {
        let allowed = |name: &str| -> usize {
            let text = std::fs::read_to_string(format!("/proc/sys/net/core/{name}_max")).unwrap_or_default();
            text.trim().parse().unwrap_or(0)
        };
        let socket = socket2::Socket::from(socket(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap());
        assert!(socket.recv_buffer_size().unwrap() >= SOCKET_BUFFER_LEN.min(allowed("rmem")));
        assert!(socket.send_buffer_size().unwrap() >= SOCKET_BUFFER_LEN.min(allowed("wmem")));
    }
}
