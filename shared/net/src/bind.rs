//! Listening sockets whose errors say which address could not be had, and what for: whoever starts a node reads one line
//! and knows which other program to look for.

use std::{fmt, io, net::SocketAddr};
use tokio::net::TcpListener;

/// Why a node cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} ({transport}) for {purpose}: {}", Reason(error))]
pub struct BindError {
    pub addr: SocketAddr,
    /// `tcp` or `udp`.
    pub transport: &'static str,
    /// What the address was for, such as `the admin listener`.
    pub purpose: String,
    // Not named `source`: the text above holds it already, and who prints the chain of sources would say it twice.
    error: io::Error,
}

impl BindError {
    pub fn new(addr: SocketAddr, transport: &'static str, purpose: impl Into<String>, error: io::Error) -> Self {
        Self { addr, transport, purpose: purpose.into(), error }
    }

    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }
}

struct Reason<'a>(&'a io::Error);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            io::ErrorKind::AddrInUse => f.write_str("address already in use"),
            io::ErrorKind::AddrNotAvailable => f.write_str("this machine does not have the address"),
            io::ErrorKind::PermissionDenied => f.write_str("not allowed (ports below 1024 need a capability)"),
            _ => self.0.fmt(f),
        }
    }
}

/// Binds a TCP listener; `purpose` goes into the error. Must be called within a tokio runtime.
pub fn tcp(addr: SocketAddr, purpose: &str) -> Result<TcpListener, BindError> {
    let bind = || {
        let listener = std::net::TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    bind().map_err(|e| BindError::new(addr, "tcp", purpose, e))
}

/// Binds a UDP socket (non-blocking); `purpose` goes into the error.
pub fn udp(addr: SocketAddr, purpose: &str) -> Result<std::net::UdpSocket, BindError> {
    let bind = || {
        let socket = std::net::UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    bind().map_err(|e| BindError::new(addr, "udp", purpose, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_purpose() {
        let first = tcp(ANY, "the first").unwrap();
        let addr = first.local_addr().unwrap();
        let error = tcp(addr, "the web door").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on {addr} (tcp) for the web door: address already in use")
        );
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_udp_port_in_use_is_named_too() {
        let first = udp(ANY, "the first").unwrap();
        let addr = first.local_addr().unwrap();
        let error = udp(addr, "media").unwrap_err();
        assert!(error.to_string().contains("(udp) for media: address already in use"), "{error}");
    }
}
