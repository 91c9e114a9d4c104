//! The floor: what it costs on this machine to copy, seal and send a packet to each subscriber, and nothing else. Same
//! sizes, same bursts, same kind of receiving sockets as in the measurement beside it. No SFU on these system calls can be
//! cheaper.

use crate::process::own_thread_cpu_ns;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use schulhof_net::udp::{MediaSocket, Poller, RecvBatch};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const HEADER_LEN: usize = 12;
const TAG_LEN: usize = 16;
const WAIT: Duration = Duration::from_millis(20);

/// Packets per second of processor time.
pub fn per_cpu_s(subscribers: usize, burst: usize, payload_len: usize, time: Duration) -> anyhow::Result<f64> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let receivers: Vec<MediaSocket> = (0..subscribers)
        .map(|_| MediaSocket::bind(any).and_then(MediaSocket::without_gro))
        .collect::<Result<_, _>>()?;
    let addrs: Vec<SocketAddr> = receivers.iter().map(MediaSocket::local_addr).collect::<Result<_, _>>()?;
    let keys: Vec<LessSafeKey> = (0..subscribers)
        .map(|n| Ok(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[n as u8; 16])?)))
        .collect::<Result<_, aws_lc_rs::error::Unspecified>>()?;
    let done = Arc::new(AtomicBool::new(false));
    let drain = std::thread::spawn({
        let done = done.clone();
        move || -> anyhow::Result<()> {
            let (poller, mut batch) = (Poller::new()?, RecvBatch::new());
            while !done.load(Ordering::Relaxed) {
                poller.wait(&receivers, WAIT)?;
                for socket in &receivers {
                    while batch.receive(socket)? {}
                }
            }
            Ok(())
        }
    });
    let measured = send(&keys, &addrs, burst, payload_len, time);
    done.store(true, Ordering::Relaxed);
    drain.join().expect("the drain does not panic")?;
    measured
}

fn send(
    keys: &[LessSafeKey],
    addrs: &[SocketAddr],
    burst: usize,
    payload_len: usize,
    time: Duration,
) -> anyhow::Result<f64> {
    let mut socket = MediaSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let source = vec![0x42; HEADER_LEN + payload_len];
    let segment_len = source.len() + TAG_LEN;
    let mut run = Vec::with_capacity(segment_len * burst);
    let (mut sequence, mut packets) = (0u32, 0u64);
    let (start, cpu) = (Instant::now(), own_thread_cpu_ns()?);
    while start.elapsed() < time {
        for (key, addr) in keys.iter().zip(addrs) {
            run.clear();
            for n in 0..burst {
                let at = run.len();
                run.extend_from_slice(&source);
                run[at + 2..at + 6].copy_from_slice(&(sequence + n as u32).to_be_bytes());
                let mut nonce = [0; 12];
                nonce[..4].copy_from_slice(&(sequence + n as u32).to_be_bytes());
                let (header, payload) = run[at..].split_at_mut(HEADER_LEN);
                let tag =
                    key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&*header), payload)?;
                run.extend_from_slice(tag.as_ref());
            }
            socket.send_run(*addr, &run, segment_len);
            packets += burst as u64;
        }
        sequence += burst as u32;
    }
    let cpu_s = (own_thread_cpu_ns()? - cpu) as f64 / 1e9;
    Ok(packets as f64 / cpu_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_measured_for_runs_of_any_length() {
        for burst in [1, 7] {
            let per_cpu_s = per_cpu_s(3, burst, 500, Duration::from_millis(30)).unwrap();
            assert!(per_cpu_s.is_finite() && per_cpu_s > 1_000.0, "{per_cpu_s}");
        }
    }
}
