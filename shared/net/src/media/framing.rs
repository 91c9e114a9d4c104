//! Packets on a stream of bytes: behind two bytes of length each (RFC 4571), or as messages of TURN, which tell their length
//! themselves. Both directions of one connection, each in a room that does not grow with what the peer does.
//!
//! What it must not do: read or write sockets, or know what is in the packets.

/// Longest frame that is taken: a packet within Ethernet's MTU. Browsers' packets have up to 1,250 bytes.
pub(super) const FRAME_LEN_MAX: usize = 1_500;
const LEN_LEN: usize = 2;
/// Two of the longest frames and a part of a third.
const ROOM_LEN: usize = 4_096;
/// What waits for a peer whose line is slow: with as much in the kernel, 0.5 s at 3 Mbit/s. Media that is later is worth
/// less than the next one.
pub(super) const QUEUE_LEN_MAX: usize = 128 * 1024;

/// A peer has announced a frame that is longer than any packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// How long the frame is that bytes begin with: all of it, and where in it the packet begins. Nothing: not told yet.
pub(super) type Measure = fn(&[u8]) -> Result<Option<(usize, usize)>, TooLong>;

/// Two bytes of length, then the packet (RFC 4571).
pub(super) fn by_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, TooLong> {
    let Some(head) = bytes.first_chunk::<LEN_LEN>() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes(*head));
    if len > FRAME_LEN_MAX { Err(TooLong) } else { Ok(Some((LEN_LEN + len, LEN_LEN))) }
}

/// Cuts what comes in into frames.
#[derive(Debug)]
pub(super) struct Incoming {
    measure: Measure,
    room: Box<[u8]>,
    filled: usize,
}

impl Incoming {
    /// No frame that `measure` allows may be longer than [`ROOM_LEN`].
    pub fn new(measure: Measure) -> Self {
        Self { measure, room: vec![0; ROOM_LEN].into(), filled: 0 }
    }

    /// Where the next bytes go; never empty after [`Self::take`].
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.room[self.filled..]
    }

    /// `len` bytes have been put into the room: hands on each whole frame, in order. Empty ones say nothing and are left
    /// out.
    pub fn take(&mut self, len: usize, mut handle: impl FnMut(&mut [u8])) -> Result<(), TooLong> {
        self.filled += len;
        let mut start = 0;
        while let Some((len, at)) = (self.measure)(&self.room[start..self.filled])? {
            let end = start + len;
            if end > self.filled {
                break;
            }
            if len > at {
                handle(&mut self.room[start + at..end]);
            }
            start = end;
        }
        self.room.copy_within(start..self.filled, 0);
        self.filled -= start;
        Ok(())
    }
}

/// Frames that wait until the socket takes them. Only whole frames are left out, so that the peer never loses its place.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
}

impl Outgoing {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The packets of a run, each `segment_len` bytes long but for the last. How many found room, and how many did not.
    pub fn push(&mut self, run: &[u8], segment_len: usize) -> (u64, u64) {
        let (mut taken, mut dropped) = (0, 0);
        for packet in run.chunks(segment_len.max(1)) {
            let len = u16::try_from(packet.len()).ok().filter(|_| self.bytes.len() + packet.len() < QUEUE_LEN_MAX);
            if let Some(len) = len {
                self.bytes.extend_from_slice(&len.to_be_bytes());
                self.bytes.extend_from_slice(packet);
                taken += 1;
            } else {
                dropped += 1;
            }
        }
        (taken, dropped)
    }

    /// One packet in a frame of another kind: its head, and some zeros behind it. False: no room.
    pub fn push_framed(&mut self, head: &[u8], packet: &[u8], padding: usize) -> bool {
        let len = head.len() + packet.len() + padding;
        let fits = self.bytes.len() + len < QUEUE_LEN_MAX;
        if fits {
            self.bytes.extend_from_slice(head);
            self.bytes.extend_from_slice(packet);
            self.bytes.resize(self.bytes.len() + padding, 0);
        }
        fits
    }

    /// The socket has taken so many bytes.
    pub fn written(&mut self, len: usize) {
        self.bytes.drain(..len.min(self.bytes.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(packet: &[u8]) -> Vec<u8> {
        [&(packet.len() as u16).to_be_bytes(), packet].concat()
    }

    /// As it arrives in pieces of the given length.
    fn cut(stream: &[u8], piece_len: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut incoming = Incoming::new(by_length);
        let mut packets = Vec::new();
        for piece in stream.chunks(piece_len) {
            incoming.room()[..piece.len()].copy_from_slice(piece);
            incoming.take(piece.len(), |packet| packets.push(packet.to_vec()))?;
            assert!(!incoming.room().is_empty());
        }
        Ok(packets)
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_the_stream_is_cut() {
        let packets: Vec<Vec<u8>> = [1, 100, 1_500, 2, 1_200, 1_500].iter().map(|len| vec![*len as u8; *len]).collect();
        let mut outgoing = Outgoing::default();
        for packet in &packets {
            assert_eq!(outgoing.push(packet, packet.len()), (1, 0));
        }
        for piece_len in [1, 2, 3, 700, 1_024] {
            assert_eq!(cut(outgoing.bytes(), piece_len).as_ref(), Ok(&packets), "pieces of {piece_len}");
        }
    }

    #[test]
    fn empty_frames_are_left_out_and_too_long_ones_refused_before_they_are_read() {
        assert_eq!(cut(&[frame(b""), frame(b"a"), frame(b"")].concat(), 5), Ok(vec![b"a".to_vec()]));
        assert_eq!(cut(&1_501u16.to_be_bytes(), 2), Err(TooLong));
        assert_eq!(cut(&[0xFF, 0xFF], 1), Err(TooLong));
    }

    #[test]
    fn a_run_becomes_frames_and_what_has_no_room_is_left_out_whole() {
        let mut outgoing = Outgoing::default();
        assert_eq!(outgoing.push(&[7; 25], 10), (3, 0));
        assert_eq!(cut(outgoing.bytes(), 7), Ok(vec![vec![7; 10], vec![7; 10], vec![7; 5]]));
        let mut dropped = 0;
        for _ in 0..100 {
            dropped += outgoing.push(&[9; 12_000], 1_200).1;
        }
        assert!(dropped > 800 && outgoing.bytes().len() <= QUEUE_LEN_MAX, "{dropped}, {}", outgoing.bytes().len());
        let packets = cut(outgoing.bytes(), 1_024).unwrap();
        assert!(packets[3..].iter().all(|packet| packet.len() == 1_200), "the peer keeps its place");
        outgoing.written(30);
        outgoing.written(QUEUE_LEN_MAX);
        assert!(outgoing.is_empty());
    }
}
