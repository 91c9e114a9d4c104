//! Ports for servers that must be told theirs before they start.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// Free for TCP and UDP just now, and different from each other.
pub fn free<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    const TRIES_MAX: usize = 1_000;
    let mut held = Vec::new();
    for _ in 0..TRIES_MAX {
        if held.len() == N {
            break;
        }
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = tcp.local_addr()?;
        if let Ok(udp) = UdpSocket::bind(addr) {
            held.push((addr, tcp, udp));
        }
    }
    let addresses: Vec<SocketAddr> = held.iter().map(|(addr, ..)| *addr).collect();
    addresses.try_into().map_err(|_| anyhow::anyhow!("no {N} ports are free for TCP and UDP"))
}
