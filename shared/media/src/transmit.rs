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

/// Bytes to one destination between two drains: 300 full packets, which is a key frame on each of nine slots.
const OUTBOX_BYTES_MAX: usize = 384 * 1024;
/// Memory that an outbox keeps in any case, so that the next batch needs no allocation.
const OUTBOX_BYTES_KEPT: usize = 32 * 1024;
/// An outbox gives memory back once a batch has used less than this part of it: a busy one keeps what it needs.
const OUTBOX_USE_MIN: usize = 8;

/// Empties a buffer for the next batch.
fn reuse(bytes: &mut Vec<u8>) {
    let used = bytes.len();
    bytes.clear();
    if used < bytes.capacity() / OUTBOX_USE_MIN {
        bytes.shrink_to(OUTBOX_BYTES_KEPT.max(2 * used));
    }
}

/// Sealed packets to one destination, one behind the other. Reused; grows to the largest batch.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    lens: Vec<u32>,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.lens.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.bytes.len() >= OUTBOX_BYTES_MAX
    }

    /// Appends the packet that `write` puts at the end of the buffer. What fails leaves no trace; the result is the
    /// length of the packet, 0 if there is none.
    #[inline]
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> usize {
        let start = self.bytes.len();
        if write(&mut self.bytes).is_none() {
            self.bytes.truncate(start);
        }
        let len = self.bytes.len() - start;
        if len > 0 {
            self.lens.push(len as u32);
        }
        len
    }

    /// Hands over everything in runs. Without a destination the packets are discarded.
    pub fn drain(&mut self, dest: Option<SocketAddr>, sink: &mut impl TransmitSink) {
        if let Some(dest) = dest {
            let mut start = 0;
            let mut lens = self.lens.iter().map(|len| *len as usize).peekable();
            while let Some(segment_len) = lens.next() {
                let mut end = start + segment_len;
                let mut segments = 1;
                let mut last = segment_len;
                // A shorter packet ends its run.
                while let Some(len) = lens.next_if(|len| {
                    last == segment_len
                        && *len <= segment_len
                        && segments < RUN_SEGMENTS_MAX
                        && end - start + *len <= RUN_BYTES_MAX
                }) {
                    end += len;
                    segments += 1;
                    last = len;
                }
                sink.run(dest, &self.bytes[start..end], segment_len);
                start = end;
            }
        }
        self.lens.clear();
        reuse(&mut self.bytes);
    }
}

/// Single datagrams to any destination: STUN and DTLS. Bounded per drain.
#[derive(Debug, Default)]
pub(crate) struct Singles {
    bytes: Vec<u8>,
    packets: Vec<(SocketAddr, usize)>,
}

/// Answers between two drains; a peer repeats what was not answered.
const SINGLES_MAX: usize = 4_096;

impl Singles {
    /// False: full.
    pub fn push(&mut self, dest: SocketAddr, packet: &[u8]) -> bool {
        if self.packets.len() == SINGLES_MAX {
            return false;
        }
        self.bytes.extend_from_slice(packet);
        self.packets.push((dest, packet.len()));
        true
    }

    pub fn drain(&mut self, sink: &mut impl TransmitSink) {
        let mut rest = &self.bytes[..];
        for (dest, len) in self.packets.drain(..) {
            let (packet, after) = rest.split_at(len);
            sink.run(dest, packet, len);
            rest = after;
        }
        reuse(&mut self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Runs(Vec<(usize, usize)>);

    impl TransmitSink for Runs {
        fn run(&mut self, _: SocketAddr, packets: &[u8], segment_len: usize) {
            self.0.push((packets.len(), segment_len));
        }
    }

    fn runs(lens: &[usize]) -> Vec<(usize, usize)> {
        let mut outbox = Outbox::default();
        for len in lens {
            outbox.push(|bytes| {
                bytes.resize(bytes.len() + len, 0);
                Some(())
            });
        }
        let mut sink = Runs::default();
        outbox.drain(Some(SocketAddr::from(([192, 0, 2, 1], 9))), &mut sink);
        assert!(outbox.is_empty());
        sink.0
    }

    #[test]
    fn equal_packets_leave_as_one_run_and_a_shorter_one_ends_it() {
        assert_eq!(runs(&[]), []);
        assert_eq!(runs(&[100, 100, 100, 40]), [(340, 100)]);
        assert_eq!(runs(&[100, 40, 40]), [(140, 100), (40, 40)]);
        assert_eq!(runs(&[40, 100]), [(40, 40), (100, 100)]);
        assert_eq!(runs(&[10; 130]), [(640, 10), (640, 10), (20, 10)]);
        assert_eq!(runs(&[1200; 60]), [(64_800, 1200), (7_200, 1200)]);
    }

    #[test]
    fn a_packet_that_could_not_be_written_leaves_no_trace() {
        let mut outbox = Outbox::default();
        let len = outbox.push(|bytes| {
            bytes.push(1);
            None
        });
        assert_eq!(len, 0);
        assert!(outbox.is_empty());
    }
}
