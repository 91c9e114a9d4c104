//! Against the kernel itself, over loopback.

use super::*;
use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

const V4: &str = "127.0.0.1:0";
const V6: &str = "[::1]:0";
const PATIENCE: Duration = Duration::from_secs(5);

fn socket(addr: &str) -> MediaSocket {
    MediaSocket::bind(addr.parse().unwrap()).unwrap()
}

/// Each datagram filled with its number, the last one `last_len` long.
fn run(datagrams: usize, segment_len: usize, last_len: usize) -> Vec<u8> {
    let mut run = Vec::new();
    for n in 0..datagrams {
        let len = if n + 1 == datagrams { last_len } else { segment_len };
        run.extend(std::iter::repeat_n(n as u8, len));
    }
    run
}

fn receive_all(receiver: &MediaSocket, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let poller = Poller::new().unwrap();
    let mut batch = RecvBatch::new();
    let mut packets = Vec::new();
    let end = Instant::now() + PATIENCE;
    while packets.len() < count && Instant::now() < end {
        poller.wait(std::slice::from_ref(receiver), PATIENCE).unwrap();
        batch.receive(receiver).unwrap();
        batch.for_each(|source, packet| packets.push((source, packet.to_vec())));
    }
    packets
}

fn as_sent(run: &[u8], segment_len: usize, packets: &[(SocketAddr, Vec<u8>)]) -> bool {
    packets.iter().map(|(_, packet)| packet.as_slice()).eq(run.chunks(segment_len))
}

#[test]
fn a_run_arrives_as_single_datagrams_at_an_ordinary_socket() {
    let plain = UdpSocket::bind(V4).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut sender = socket(V4);
    let run = run(8, 1200, 700);
    sender.send_run(plain.local_addr().unwrap(), &run, 1200);
    let mut buffer = [0; 2000];
    for expected in run.chunks(1200) {
        let (len, source) = plain.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], expected);
        assert_eq!(source, sender.local_addr().unwrap());
    }
    assert_eq!(sender.stats(), SendStats { datagrams: 8, bytes: run.len() as u64, calls: 1, ..SendStats::default() });
}

#[test]
fn runs_that_the_kernel_joined_are_split_again() {
    for addr in [V4, V6] {
        let receiver = socket(addr);
        let mut sender = socket(addr);
        let run = run(20, 1000, 1000);
        sender.send_run(receiver.local_addr().unwrap(), &run, 1000);
        let packets = receive_all(&receiver, 20);
        assert!(as_sent(&run, 1000, &packets), "{addr}: {} packets", packets.len());
        assert!(packets.iter().all(|(source, _)| *source == sender.local_addr().unwrap()));
    }
}

#[test]
fn a_run_beyond_the_kernels_limits_is_cut_into_several_calls() {
    let receiver = socket(V4);
    let mut sender = socket(V4);
    // More than 64 segments; then more than 65,507 bytes in fewer segments.
    for (datagrams, segment_len, calls) in [(150, 100, 3), (60, 1400, 2)] {
        let before = sender.stats();
        let run = run(datagrams, segment_len, segment_len);
        sender.send_run(receiver.local_addr().unwrap(), &run, segment_len);
        assert!(as_sent(&run, segment_len, &receive_all(&receiver, datagrams)));
        assert_eq!(sender.stats().calls - before.calls, calls);
        assert_eq!(sender.stats().gso_refused, 0);
    }
}

#[test]
fn without_gso_the_same_datagrams_go_one_by_one() {
    let receiver = socket(V4);
    let mut sender = socket(V4).without_gso();
    let run = run(5, 900, 1);
    sender.send_run(receiver.local_addr().unwrap(), &run, 900);
    assert!(as_sent(&run, 900, &receive_all(&receiver, 5)));
    assert_eq!(sender.stats().calls, 5);
}

#[test]
fn a_run_that_the_kernel_will_not_cut_falls_back_to_single_datagrams() {
    let receiver = socket(V4);
    let mut sender = socket(V4);
    // A segment that with its headers exceeds loopback's MTU of 65,536 cannot be cut by GSO, but can be fragmented by IP.
    let run = run(2, RUN_LEN_MAX, 10);
    sender.send_run(receiver.local_addr().unwrap(), &run, RUN_LEN_MAX);
    assert!(as_sent(&run, RUN_LEN_MAX, &receive_all(&receiver, 2)));
    assert!(sender.gso_is_on(), "the next run may pass");
}

#[test]
fn a_dual_stack_socket_knows_an_ipv4_peer_by_its_ipv4_address() {
    let mut wildcard = socket("[::]:0");
    let mut peer = socket(V4);
    let to = SocketAddr::new("127.0.0.1".parse().unwrap(), wildcard.local_addr().unwrap().port());
    peer.send_run(to, b"ping", 4);
    let packets = receive_all(&wildcard, 1);
    assert_eq!(packets, [(peer.local_addr().unwrap(), b"ping".to_vec())]);
    wildcard.send_run(packets[0].0, b"pong", 4);
    assert_eq!(receive_all(&peer, 1), [(to, b"pong".to_vec())]);
}

#[test]
fn what_cannot_be_sent_is_counted_and_does_no_harm() {
    let mut sender = socket(V4);
    sender.send_run(V6.parse().unwrap(), &run(3, 100, 50), 100);
    assert_eq!(sender.stats().dropped_unreachable, 3);
    sender.send_run("127.0.0.1:9".parse().unwrap(), b"", 0);
    assert_eq!(sender.stats().datagrams, 0);
}

#[test]
fn a_waker_ends_the_wait_and_none_is_lost() {
    let poller = Poller::new().unwrap();
    let waker = poller.waker();
    for _ in 0..100 {
        let waker = waker.clone();
        let thread = std::thread::spawn(move || waker.wake());
        let start = Instant::now();
        poller.wait(&[], PATIENCE).unwrap();
        assert!(start.elapsed() < PATIENCE, "the wake-up was lost");
        thread.join().unwrap();
    }
}
