//! Receiving: a batch of runs in one call, handed on as single datagrams.

use super::{
    MediaSocket,
    socket::{canonical, retry},
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

/// Messages per call. With GRO one message holds up to 64 datagrams; more messages would only make the kernel's copy
/// outgrow the processor's cache.
const MESSAGES: usize = 32;
/// Room per message: the largest run. Memory is touched only as far as packets fill it.
const MESSAGE_LEN: usize = 65_536;
/// Room for the control messages that tell the segment length and, where asked for, the time of arrival.
const CONTROL_LEN: usize = 128;

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

#[derive(Clone, Copy)]
struct Message {
    source: SocketAddr,
    len: usize,
    segment_len: usize,
    stamp: Option<Duration>,
}

/// Buffers for one worker, used again and again.
pub struct RecvBatch {
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    messages: Vec<Option<Message>>,
    truncated: u64,
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl RecvBatch {
    pub fn new() -> Self {
        // SAFETY: `sockaddr_storage` is plain data for which all zeroes are valid.
        let name: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        Self {
            bytes: vec![0; MESSAGES * MESSAGE_LEN],
            names: vec![name; MESSAGES],
            controls: vec![Control([0; CONTROL_LEN]); MESSAGES],
            messages: Vec::with_capacity(MESSAGES),
            truncated: 0,
        }
    }

    /// Messages that were larger than any run can be, or had no readable source; they are not handed on.
    pub fn truncated(&self) -> u64 {
        self.truncated
    }

    /// Takes what waits on the socket, up to one batch. True if there may be more.
    pub fn receive(&mut self, socket: &MediaSocket) -> io::Result<bool> {
        self.messages.clear();
        let mut iovs = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MESSAGES];
        // SAFETY: `mmsghdr` is plain data for which all zeroes are valid.
        let mut headers: [libc::mmsghdr; MESSAGES] = unsafe { std::mem::zeroed() };
        for (i, room) in self.bytes.chunks_exact_mut(MESSAGE_LEN).enumerate() {
            iovs[i] = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            let header = &mut headers[i].msg_hdr;
            header.msg_name = (&raw mut self.names[i]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut iovs[i];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[i].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_LEN as _;
        }
        let received = retry(|| {
            // SAFETY: every header names a buffer, an address and a control room of its own with their true lengths; all
            // of them (in `self`, `iovs`, `headers`) live through the call and nothing else refers to them meanwhile.
            let n = unsafe {
                libc::recvmmsg(
                    socket.as_fd().as_raw_fd(),
                    headers.as_mut_ptr(),
                    MESSAGES as u32,
                    libc::MSG_DONTWAIT,
                    std::ptr::null_mut(),
                )
            };
            if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
        });
        let received = match received {
            Ok(n) => n,
            // Nothing there; or word of an earlier packet that was not taken, which concerns nobody here.
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => 0,
            Err(error) => return Err(error),
        };
        for (header, name) in headers[..received].iter().zip(&self.names) {
            let len = header.msg_len as usize;
            let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            let controls = read_controls(&header.msg_hdr);
            let message = source(name).filter(|_| whole).map(|source| Message {
                source: canonical(source),
                len,
                segment_len: controls.segment_len.unwrap_or(len).max(1),
                stamp: controls.stamp,
            });
            self.truncated += u64::from(message.is_none());
            self.messages.push(message);
        }
        Ok(received == MESSAGES)
    }

    /// Hands on each datagram of the last batch, in order of arrival.
    pub fn for_each(&mut self, mut handle: impl FnMut(SocketAddr, &mut [u8])) {
        self.for_each_stamped(|source, _, packet| handle(source, packet));
    }

    /// The same, with the time since 1970 when the kernel got it, if the socket asks for that.
    pub fn for_each_stamped(&mut self, mut handle: impl FnMut(SocketAddr, Option<Duration>, &mut [u8])) {
        for (message, room) in self.messages.iter().zip(self.bytes.chunks_exact_mut(MESSAGE_LEN)) {
            if let Some(message) = message {
                let packets = room[..message.len].chunks_mut(message.segment_len);
                packets.for_each(|packet| handle(message.source, message.stamp, packet));
            }
        }
    }
}

fn source(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the kernel wrote a `sockaddr_in`, as the family tells; the storage is large enough and aligned for
            // every kind of address.
            let v4 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for `sockaddr_in6`.
            let v6 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[derive(Default)]
struct Controls {
    /// Of the datagrams that GRO joined into one message; nothing: it is a single one.
    segment_len: Option<usize>,
    stamp: Option<Duration>,
}

fn read_controls(header: &libc::msghdr) -> Controls {
    let mut found = Controls::default();
    // SAFETY: the header came back from recvmmsg, which wrote whole control messages into the buffer that it names and
    // set msg_controllen to their length; the buffer lives in the batch. The CMSG functions stay within that length, and
    // the values are of the types that the kernel writes for these levels and types, read unaligned.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while !control.is_null() {
            match ((*control).cmsg_level, (*control).cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let len = libc::CMSG_DATA(control).cast::<libc::c_int>().read_unaligned();
                    found.segment_len = usize::try_from(len).ok().filter(|len| *len > 0);
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let at = libc::CMSG_DATA(control).cast::<libc::timespec>().read_unaligned();
                    found.stamp = u64::try_from(at.tv_sec).ok().map(|s| Duration::new(s, at.tv_nsec as u32));
                }
                _ => {}
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    found
}
