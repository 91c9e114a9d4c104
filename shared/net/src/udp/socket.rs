//! One UDP socket: options at birth, and sending of runs.

use super::{RUN_LEN_MAX, SEGMENTS_MAX};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

/// Both socket buffers in bytes: 200 listeners with a key frame of 30 packets each, twice. Pages are used as needed.
const BUFFER_LEN: usize = 16 << 20;

/// What became of what was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendStats {
    pub datagrams: u64,
    pub bytes: u64,
    pub calls: u64,
    /// The send buffer was full.
    pub dropped_full: u64,
    /// The kernel knows no way there, or forbids it.
    pub dropped_unreachable: u64,
    /// Runs that the kernel would not cut and that went out one by one.
    pub gso_refused: u64,
}

impl SendStats {
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            datagrams: self.datagrams + other.datagrams,
            bytes: self.bytes + other.bytes,
            calls: self.calls + other.calls,
            dropped_full: self.dropped_full + other.dropped_full,
            dropped_unreachable: self.dropped_unreachable + other.dropped_unreachable,
            gso_refused: self.gso_refused + other.gso_refused,
        }
    }
}

/// A non-blocking UDP socket with large buffers, GSO and GRO.
#[derive(Debug)]
pub struct MediaSocket {
    socket: UdpSocket,
    ipv6: bool,
    /// Off for good when the device below cannot do checksums.
    gso: bool,
    stats: SendStats,
}

impl MediaSocket {
    /// Binds. An IPv6 wildcard takes IPv4 as well.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(!addr.ip().is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        widen_buffers(&socket)?;
        // Without GRO (kernels before 5.0) datagrams just arrive one by one.
        let _ = switch(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, true);
        Ok(Self { socket: socket.into(), ipv6: addr.is_ipv6(), gso: true, stats: SendStats::default() })
    }

    /// Takes each datagram alone, as a receiver does that knows nothing of GRO: for load generators, so that the sender
    /// pays what it would pay towards strangers.
    pub fn without_gro(self) -> io::Result<Self> {
        switch(self.socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, false)?;
        Ok(self)
    }

    /// Has the kernel say when each message came ([`super::RecvBatch::for_each_stamped`]): for load generators, whose own
    /// pauses must not look like a queue on the line.
    pub fn with_stamps(self) -> io::Result<Self> {
        switch(self.socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, true)?;
        Ok(self)
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub fn stats(&self) -> SendStats {
        self.stats
    }

    /// Whether the socket can reach addresses of that family.
    pub fn reaches(&self, to: SocketAddr) -> bool {
        self.ipv6 || to.is_ipv4()
    }

    /// Sends `run` to one destination as datagrams of `segment_len` bytes, of which the last may be shorter. What cannot
    /// be sent at once is dropped and counted.
    pub fn send_run(&mut self, to: SocketAddr, run: &[u8], segment_len: usize) {
        let Some(to) = self.native(to) else {
            self.stats.dropped_unreachable += datagrams(run, segment_len);
            return;
        };
        if segment_len == 0 {
            return;
        }
        if !self.gso || run.len() <= segment_len || segment_len > RUN_LEN_MAX {
            return self.send_one_by_one(to, run, segment_len);
        }
        let call_len = segment_len * (RUN_LEN_MAX / segment_len).min(SEGMENTS_MAX);
        for part in run.chunks(call_len) {
            if part.len() <= segment_len {
                self.send_one_by_one(to, part, segment_len);
                continue;
            }
            match send_segmented(self.socket.as_fd(), &SockAddr::from(to), part, segment_len as u16) {
                Ok(()) => self.sent(datagrams(part, segment_len), part.len()),
                Err(error) if is_gso_refusal(&error) => {
                    // EIO: the device below cannot finish checksums, now or ever. Others concern this way only (MTU).
                    self.gso = error.raw_os_error() != Some(libc::EIO);
                    self.stats.gso_refused += 1;
                    self.send_one_by_one(to, part, segment_len);
                }
                Err(error) => self.dropped(&error, datagrams(part, segment_len)),
            }
        }
    }

    fn send_one_by_one(&mut self, to: SocketAddr, run: &[u8], segment_len: usize) {
        for datagram in run.chunks(segment_len) {
            match retry(|| self.socket.send_to(datagram, to)) {
                Ok(_) => self.sent(1, datagram.len()),
                Err(error) => self.dropped(&error, 1),
            }
        }
    }

    fn sent(&mut self, datagrams: u64, bytes: usize) {
        self.stats.calls += 1;
        self.stats.datagrams += datagrams;
        self.stats.bytes += bytes as u64;
    }

    fn dropped(&mut self, error: &io::Error, datagrams: u64) {
        if error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS) {
            self.stats.dropped_full += datagrams;
        } else {
            self.stats.dropped_unreachable += datagrams;
        }
    }

    /// The destination in the socket's own family.
    fn native(&self, to: SocketAddr) -> Option<SocketAddr> {
        match (self.ipv6, to) {
            (true, SocketAddr::V4(v4)) => Some(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()),
            (false, SocketAddr::V6(_)) => None,
            _ => Some(to),
        }
    }

    #[cfg(test)]
    pub(super) fn without_gso(mut self) -> Self {
        self.gso = false;
        self
    }

    #[cfg(test)]
    pub(super) fn gso_is_on(&self) -> bool {
        self.gso
    }
}

impl AsFd for MediaSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A peer is known by one address, whether its packets came in as IPv4 or mapped into IPv6 (RFC 4291 §2.5.5.2).
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
}

fn datagrams(run: &[u8], segment_len: usize) -> u64 {
    run.len().div_ceil(segment_len.max(1)) as u64
}

/// Beyond the system's limit where we may, else as far as it goes.
fn widen_buffers(socket: &Socket) -> io::Result<()> {
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, BUFFER_LEN).is_err() {
        socket.set_recv_buffer_size(BUFFER_LEN)?;
    }
    if rustix::net::sockopt::set_socket_send_buffer_size_force(socket, BUFFER_LEN).is_err() {
        socket.set_send_buffer_size(BUFFER_LEN)?;
    }
    Ok(())
}

fn is_gso_refusal(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::ENOPROTOOPT | libc::EOPNOTSUPP)
    )
}

/// Again when a signal came in between.
pub(super) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A socket option that is on or off.
fn switch(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int, on: bool) -> io::Result<()> {
    let on = libc::c_int::from(on);
    // SAFETY: the descriptor is open for the call; the pointer and length describe `on`, which lives through it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Room for one control message with a u16, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 32]);

fn send_segmented(socket: BorrowedFd<'_>, to: &SockAddr, run: &[u8], segment_len: u16) -> io::Result<()> {
    let mut control = Control([0; 32]);
    let mut iov = libc::iovec { iov_base: run.as_ptr().cast_mut().cast(), iov_len: run.len() };
    // SAFETY: `msghdr` is plain data for which all zeroes are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = to.as_ptr().cast_mut().cast();
    message.msg_namelen = to.len();
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: CMSG_SPACE only computes a length.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<u16>() as u32) } as _;
    debug_assert!(message.msg_controllen <= size_of::<Control>());
    // SAFETY: `message` names a control buffer that is large enough for one header and a u16 (asserted above), so
    // CMSG_FIRSTHDR is not null and CMSG_DATA lies within the buffer; the u16 is written unaligned.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_UDP;
        (*header).cmsg_type = libc::UDP_SEGMENT;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(header).cast::<u16>().write_unaligned(segment_len);
    }
    retry(|| {
        // SAFETY: all pointers in `message` (address, iovec, control) point to values that live through the call, with
        // their true lengths; sendmsg only reads them.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    })
}
