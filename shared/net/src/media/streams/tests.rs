use super::*;
use schulhof_media::Config;
use schulhof_wire::ticket::NodeKind;
use std::{
    io::Read as _,
    net::{Ipv4Addr, TcpListener},
};

const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn engine(now: Instant) -> Engine {
    Engine::new(Config::new("nord".parse().unwrap(), NodeKind::Box, vec![HERE], [0; 32]), now).unwrap()
}

/// A connection that was accepted, its peer's end, and where the engine would send.
fn connected(now: Instant, streams: &mut Streams) -> (TcpStream, SocketAddr) {
    let listener = TcpListener::bind(HERE).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, source) = listener.accept().unwrap();
    streams.accept(now, Arrived { socket, peer: source, tls: None }, &mut engine(now));
    let dest = destination(source.ip(), source.port(), streams.last_number);
    assert_eq!((dest.ip().to_canonical(), dest.port()), (source.ip(), source.port()));
    (peer, dest)
}

#[test]
fn a_peer_that_does_not_read_loses_packets_and_nobody_waits_for_it() {
    let now = Instant::now();
    let mut streams = Streams::new(now, None).unwrap();
    let (_slow, to_slow) = connected(now, &mut streams);
    let (mut quick, to_quick) = connected(now, &mut streams);
    quick.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // 60 MB: more than any kernel keeps.
    for n in 0..5_000u32 {
        assert!(streams.send_run(to_slow, &[7; 12_000], 1_200));
        if n % 100 == 0 {
            assert!(streams.send_run(to_quick, &n.to_be_bytes(), 4));
            let mut frame = [0; 6];
            quick.read_exact(&mut frame).unwrap();
            assert_eq!(frame[2..], n.to_be_bytes());
        }
    }
    let stats = streams.stats();
    assert!(stats.dropped_full > 10_000, "{stats:?}");
    assert_eq!(stats.sent_frames + stats.dropped_full, 50_000 + 50);
}

#[test]
fn what_belongs_to_no_connection_is_left_to_the_other_ways() {
    let now = Instant::now();
    let mut streams = Streams::new(now, None).unwrap();
    let (mut peer, dest) = connected(now, &mut streams);
    assert!(!streams.send_run(SocketAddr::new(dest.ip().to_canonical(), dest.port()), b"ping", 4));
    assert!(!streams.send_run(SocketAddr::new(dest.ip(), dest.port()), b"ping", 4));
    // A connection that is gone takes its packets with it: they are no datagrams for the same address.
    peer.shutdown(std::net::Shutdown::Both).unwrap();
    let mut engine = engine(now);
    while streams.stats().open > 0 {
        streams.receive(now, &mut engine);
        streams.tend(now, &mut engine);
    }
    assert!(streams.send_run(dest, b"ping", 4));
    let _ = peer.read(&mut [0; 1]);
}

#[test]
fn a_silent_connection_ends_when_it_has_proven_nothing() {
    let now = Instant::now();
    let mut streams = Streams::new(now, None).unwrap();
    let mut engine = engine(now);
    let (_peer, _) = connected(now, &mut streams);
    streams.tend(now + UNPROVEN_MAX / 2, &mut engine);
    assert_eq!(streams.stats().open, 1);
    streams.tend(now + UNPROVEN_MAX, &mut engine);
    let stats = streams.stats();
    assert_eq!((stats.open, stats.unproven), (0, 1));
}
