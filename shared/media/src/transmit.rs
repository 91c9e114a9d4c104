//! What leaves the engine: packets gathered per destination, so that the socket can send each run in one call (UDP GSO).

use std::net::SocketAddr;

/// Takes what [`crate::Engine::drain_transmits`] yields. Nothing is allocated per packet on the way.
pub trait TransmitSink {
    /// One run to one destination: `packets` holds consecutive datagrams of `segment_len` bytes each; only the last may
    /// be shorter. A single datagram is a run of its own length. At most [`RUN_SEGMENTS_MAX`] datagrams and
    /// [`RUN_BYTES_MAX`] bytes, so that it fits one `UDP_SEGMENT` send.
    fn run(&mut self, dest: SocketAddr, packets: &[u8], segment_len: usize);
}

/// The kernel's `UDP_MAX_SEGMENTS` of all supported kernels.
pub const RUN_SEGMENTS_MAX: usize = 64;
/// One GSO send must fit the longest IP packet, with headers.
pub const RUN_BYTES_MAX: usize = 65_000;
