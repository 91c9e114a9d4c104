//! A connection's bytes, in plain or within TLS (rustls, RFC 8446), never waiting for the peer.
//!
//! What it must not do: let a peer that does not read keep the other direction from going on.

use rustls::ServerConnection;
use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
};

/// One record's worth: what is encrypted cannot be dropped any more.
const WRITE_LEN_MAX: usize = 16 * 1024;

pub(super) enum Pipe {
    Plain(TcpStream),
    Tls(TcpStream, Box<ServerConnection>),
}

impl Pipe {
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) | Self::Tls(socket, _) => socket,
        }
    }

    /// As `Read`: `Ok(0)` at the end, `WouldBlock` when there is nothing now.
    pub fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let (socket, tls) = match self {
            Self::Plain(socket) => return socket.read(room),
            Self::Tls(socket, tls) => (socket, tls),
        };
        loop {
            match tls.reader().read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if tls.read_tls(socket)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    /// As `Write`: what has been taken is on its way, or waits to be (see [`Self::holds_some`]).
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (socket, tls) = match self {
            Self::Plain(socket) => return socket.write(bytes),
            Self::Tls(socket, tls) => (socket, tls),
        };
        while tls.wants_write() {
            tls.write_tls(socket)?;
        }
        let len = tls.writer().write(&bytes[..bytes.len().min(WRITE_LEN_MAX)])?;
        while tls.wants_write() {
            match tls.write_tls(socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(len)
    }

    /// Is there something encrypted that the kernel has not taken?
    pub fn holds_some(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(_, tls) => tls.wants_write(),
        }
    }
}
