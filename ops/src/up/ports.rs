//! Free ports, so that several systems run side by side on one machine.
//!
//! Blocks lie below the range from which Linux takes ports for outgoing connections (from 32768), so that no connection can
//! take one between choosing and binding. A block is claimed by an abstract Unix socket, which the kernel gives up with
//! the process and which lives in the same network namespace as the ports.

use super::layout::Ports;
use anyhow::bail;
use rand::Rng as _;
use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
};

const BLOCKS_FROM: u16 = 20_000;
const BLOCK_LEN: u16 = 24;
/// 500 blocks up to port 32000.
const BLOCKS: u16 = 500;
/// With so many failures something else is wrong.
const TRIES_MAX: usize = 100;

/// Holds a block for as long as it lives.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "held, never used")] UnixListener);

/// The ports to use: the documented ones, those from a base on, or free ones (base 0).
pub fn choose(base: Option<u16>) -> anyhow::Result<(Ports, Option<Claim>)> {
    match base {
        None => Ok((Ports::FIXED, None)),
        Some(0) => free().map(|(ports, claim)| (ports, Some(claim))),
        Some(base) => match Ports::from_base(base) {
            Some(ports) => Ok((ports, None)),
            None => bail!("--base-port {base}: {} ports are needed from there on", Ports::COUNT),
        },
    }
}

fn free() -> anyhow::Result<(Ports, Claim)> {
    for _ in 0..TRIES_MAX {
        let base = BLOCKS_FROM + rand::rng().random_range(0..BLOCKS) * BLOCK_LEN;
        let name = SocketAddr::from_abstract_name(format!("schulhof-ports-{base}"))?;
        let Ok(claim) = UnixListener::bind_addr(&name) else { continue };
        if (base..base + Ports::COUNT).all(is_free)
            && let Some(ports) = Ports::from_base(base)
        {
            return Ok((ports, Claim(claim)));
        }
    }
    bail!("no free block of ports between {BLOCKS_FROM} and {}", BLOCKS_FROM + BLOCKS * BLOCK_LEN)
}

fn is_free(port: u16) -> bool {
    let addr = (Ipv4Addr::UNSPECIFIED, port);
    TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_systems_get_different_ports() {
        let (first, _claim) = free().unwrap();
        let others: Vec<_> = (0..20).map(|_| free().unwrap()).collect();
        assert!(others.iter().all(|(ports, _)| *ports != first));
    }

    #[test]
    fn a_base_too_high_is_refused() {
        assert!(choose(Some(65_530)).unwrap_err().to_string().contains("--base-port 65530"));
        assert_eq!(choose(None).unwrap().0, Ports::FIXED);
    }
}
