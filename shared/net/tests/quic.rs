//! Endpoints on loopback: who gets in, and what a frame may be.

use schulhof_net::{
    identity::{Ca, Role},
    quic::{
        Accepted, Endpoint, Expected, FrameError, FrameReader, FrameWriter, IDLE_MAX, KEEP_ALIVE, Options, QuicError,
    },
};
use schulhof_wire::node::{ALPN_RAFT, ALPN_SYNC, FRAME_LEN_MAX};
use std::net::SocketAddr;

fn endpoint(ca: &Ca, role: Role, name: &str, alpns: &[&[u8]]) -> Endpoint {
    let identity = ca.issue(role, name).unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Endpoint::bind(Options { listen, identity: &identity, data: None, alpns }).unwrap()
}

/// Both ends of a new connection.
async fn pair(server: &Endpoint, client: &Endpoint) -> (Accepted, quinn::Connection) {
    let address = server.local_addr().unwrap();
    let accept = async { server.accept().await.unwrap().finish().await.unwrap() };
    let connect = async { client.connect(address, &Expected::AnyCore, ALPN_SYNC).await.unwrap() };
    tokio::join!(accept, connect)
}

#[tokio::test]
async fn both_ends_know_each_other_and_the_door() {
    let ca = Ca::generate().unwrap();
    let server = endpoint(&ca, Role::Core, "core-1", &[ALPN_RAFT, ALPN_SYNC]);
    let client = endpoint(&ca, Role::Box, "nord", &[]);
    let (accepted, connection) = pair(&server, &client).await;
    assert_eq!(accepted.peer.to_string(), "box nord");
    assert_eq!(accepted.alpn, ALPN_SYNC);
    let seen = schulhof_net::identity::PeerIdentity::of(&connection).unwrap();
    assert_eq!(seen.to_string(), "core core-1");
}

#[tokio::test]
async fn a_client_of_another_ca_is_refused_by_both_ends() {
    let (ours, theirs) = (Ca::generate().unwrap(), Ca::generate().unwrap());
    let server = endpoint(&ours, Role::Core, "core-1", &[ALPN_SYNC]);
    let client = endpoint(&theirs, Role::Box, "nord", &[]);
    let address = server.local_addr().unwrap();
    let accept = async { server.accept().await.unwrap().finish().await };
    let connect = client.connect(address, &Expected::AnyCore, ALPN_SYNC);
    let (accepted, connected) = tokio::join!(accept, connect);
    assert!(matches!(accepted, Err(QuicError::Handshake(_))));
    assert!(matches!(connected, Err(QuicError::Connect { .. })));
}

#[tokio::test]
async fn a_server_with_another_role_or_name_is_refused() {
    let ca = Ca::generate().unwrap();
    let server = endpoint(&ca, Role::Relay, "core-1", &[ALPN_SYNC]);
    let client = endpoint(&ca, Role::Box, "nord", &[]);
    let address = server.local_addr().unwrap();
    let core = schulhof_net::identity::PeerIdentity::new(Role::Core, "core-1").unwrap();
    for expected in [Expected::AnyCore, Expected::Node(core)] {
        let accept = async { server.accept().await.unwrap().finish().await };
        let (accepted, connected) = tokio::join!(accept, client.connect(address, &expected, ALPN_SYNC));
        assert!(accepted.is_err());
        let error = connected.unwrap_err();
        assert!(matches!(error, QuicError::Connect { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_door_that_is_not_open_refuses() {
    let ca = Ca::generate().unwrap();
    let server = endpoint(&ca, Role::Core, "core-1", &[ALPN_SYNC]);
    let client = endpoint(&ca, Role::Core, "core-2", &[]);
    let address = server.local_addr().unwrap();
    let accept = async { server.accept().await.unwrap().finish().await };
    let (accepted, connected) = tokio::join!(accept, client.connect(address, &Expected::AnyCore, ALPN_RAFT));
    assert!(accepted.is_err() && connected.is_err());
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let ca = Ca::generate().unwrap();
    let first = endpoint(&ca, Role::Core, "core-1", &[ALPN_SYNC]);
    let identity = ca.issue(Role::Core, "core-2").unwrap();
    let listen = first.local_addr().unwrap();
    let error = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] }).unwrap_err();
    assert!(error.to_string().contains(&listen.to_string()), "{error}");
}

#[tokio::test]
async fn frames_arrive_whole_in_order_and_the_end_is_clean() {
    let ca = Ca::generate().unwrap();
    let server = endpoint(&ca, Role::Core, "core-1", &[ALPN_SYNC]);
    let client = endpoint(&ca, Role::Box, "nord", &[]);
    let (accepted, connection) = pair(&server, &client).await;
    // The second is larger than a packet, and than what the reader asks for at once.
    let sent: Vec<Vec<u8>> = vec![vec![1], vec![2; 3 << 20], vec![], vec![3; 100]];
    let writing = async {
        let (send, _recv) = connection.open_bi().await.unwrap();
        let mut writer = FrameWriter::<Vec<u8>>::new(send);
        for message in &sent {
            writer.write(message).await.unwrap();
        }
        writer.delivered().await;
    };
    let reading = async {
        let (_send, recv) = accepted.connection.accept_bi().await.unwrap();
        let mut reader = FrameReader::<Vec<u8>>::new(recv);
        let mut got = Vec::new();
        while let Some(message) = reader.read().await.unwrap() {
            got.push(message);
        }
        got
    };
    let ((), got) = tokio::join!(writing, reading);
    assert_eq!(got, sent);
}

/// Sends raw bytes and returns what the reader makes of them.
async fn read_raw(bytes: &[u8]) -> Result<Option<u64>, FrameError> {
    let ca = Ca::generate().unwrap();
    let server = endpoint(&ca, Role::Core, "core-1", &[ALPN_SYNC]);
    let client = endpoint(&ca, Role::Box, "nord", &[]);
    let (accepted, connection) = pair(&server, &client).await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    send.finish().unwrap();
    let (_send, recv) = accepted.connection.accept_bi().await.unwrap();
    FrameReader::<u64>::new(recv).read().await
}

#[tokio::test]
async fn an_oversized_frame_is_refused_by_its_length_alone() {
    let len = FRAME_LEN_MAX as u32 + 1;
    let error = read_raw(&len.to_be_bytes()).await.unwrap_err();
    assert!(matches!(error, FrameError::TooLong { len, .. } if len == FRAME_LEN_MAX + 1), "{error}");
}

#[tokio::test]
async fn a_cut_or_overlong_frame_is_refused() {
    assert!(matches!(read_raw(&[0, 0, 0, 9, 1]).await, Err(FrameError::Cut)));
    assert!(matches!(read_raw(&[0, 0]).await, Err(FrameError::Cut)));
    assert!(matches!(read_raw(&[0, 0, 0, 2, 1, 1]).await, Err(FrameError::Malformed(_))));
    assert!(matches!(read_raw(&[0, 0, 0, 1, 7]).await, Ok(Some(7))));
}

/// quinn allocates ahead for each stream that a peer may open: few, and one more waits until another ends.
#[tokio::test]
async fn a_box_opens_eight_streams_at_once_another_node_a_hundred_and_no_more() {
    opens_at_once_and_no_more((Role::Box, "nord"), 8).await;
    opens_at_once_and_no_more((Role::Core, "core-2"), 100).await;
}

async fn opens_at_once_and_no_more((role, name): (Role, &str), streams_max: usize) {
    let ca = Ca::generate().unwrap();
    let server = endpoint(&ca, Role::Core, "core-1", &[ALPN_SYNC]);
    let client = endpoint(&ca, role, name, &[]);
    let (accepted, connection) = pair(&server, &client).await;
    let mut streams = Vec::new();
    for _ in 0..streams_max {
        let (mut send, recv) = connection.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        streams.push((send, recv));
    }
    let one_more = connection.open_bi();
    tokio::pin!(one_more);
    let accepting = async {
        let mut taken = Vec::new();
        for _ in 0..streams_max {
            taken.push(accepted.connection.accept_bi().await.unwrap());
        }
        taken
    };
    let taken = tokio::select! {
        biased;
        _ = &mut one_more => panic!("more than {streams_max} streams"),
        taken = accepting => taken,
    };
    // Both ends let go of all.
    drop((streams, taken));
    one_more.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_says_nothing_any_more_is_given_up_within_seconds() {
    let ca = Ca::generate().unwrap();
    let client = endpoint(&ca, Role::Box, "nord", &[]);
    // Killed without a word, and nobody takes its place.
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let guard = doomed.enter();
    let server = endpoint(&ca, Role::Core, "core-1", &[ALPN_SYNC]);
    drop(guard);
    let address = server.local_addr().unwrap();
    let serving = doomed.spawn(async move {
        let accepted = server.accept().await.unwrap().finish().await.unwrap();
        accepted.connection.closed().await;
    });
    let connection = client.connect(address, &Expected::AnyCore, ALPN_SYNC).await.unwrap();
    doomed.shutdown_background();
    assert!(serving.await.is_err_and(|e| e.is_cancelled()));
    let started = std::time::Instant::now();
    let reason = connection.closed().await;
    assert!(matches!(reason, quinn::ConnectionError::TimedOut), "{reason}");
    // The last packet may have come a keep-alive before; a busy machine is late.
    assert!(started.elapsed() < IDLE_MAX * 3, "{:?}", started.elapsed());
    assert!(started.elapsed() + KEEP_ALIVE >= IDLE_MAX, "{:?}", started.elapsed());
}

/// A killed and restarted node answers packets of its old connections with a reset that the peer believes.
#[tokio::test]
async fn a_peer_learns_of_a_restart_before_the_idle_timeout() {
    let ca = Ca::generate().unwrap();
    let data = tempfile::tempdir().unwrap();
    let identity = ca.issue(Role::Core, "core-1").unwrap();
    let open =
        |listen| Endpoint::bind(Options { listen, identity: &identity, data: Some(data.path()), alpns: &[ALPN_SYNC] });
    let client = endpoint(&ca, Role::Box, "nord", &[]);
    // The killed node lives in a runtime of its own: dropping that ends its tasks without a farewell to anybody.
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let guard = doomed.enter();
    let server = open(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    drop(guard);
    let address = server.local_addr().unwrap();
    let serving = doomed.spawn(async move {
        let accepted = server.accept().await.unwrap().finish().await.unwrap();
        accepted.connection.closed().await;
    });
    let connection = client.connect(address, &Expected::AnyCore, ALPN_SYNC).await.unwrap();
    doomed.shutdown_background();
    assert!(serving.await.is_err_and(|e| e.is_cancelled()));
    let again = loop {
        match open(address) {
            Ok(again) => break again,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(b"are you there?").await.unwrap();
    let reason = connection.closed().await;
    assert!(matches!(reason, quinn::ConnectionError::Reset), "{reason}");
    again.close("end of the test");
}
