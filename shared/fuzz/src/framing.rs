//! Packets on a stream of bytes (RFC 4571): however the stream is cut, the same packets come out.

#[path = "../../net/src/media/framing.rs"]
#[allow(dead_code)]
mod source;

use source::{FRAME_LEN_MAX, Incoming, Outgoing, QUEUE_LEN_MAX, by_length};

/// As the stream's whole content says.
fn expected(mut stream: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut packets = Vec::new();
    while let Some((head, rest)) = stream.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*head));
        if len > FRAME_LEN_MAX {
            return (packets, false);
        }
        let Some((packet, rest)) = rest.split_at_checked(len) else { break };
        if !packet.is_empty() {
            packets.push(packet);
        }
        stream = rest;
    }
    (packets, true)
}

/// The first byte says how the rest is cut.
pub fn run(bytes: &[u8]) {
    let Some((&cut, stream)) = bytes.split_first() else { return };
    let mut incoming = Incoming::new(by_length);
    let mut packets = Vec::new();
    let (mut rest, mut good, mut n) = (stream, true, 0);
    while good && !rest.is_empty() {
        n += 1;
        let room = incoming.room();
        assert!(!room.is_empty(), "a stream stands still");
        let len = (usize::from(cut) * n % 1_999 + 1).min(room.len()).min(rest.len());
        room[..len].copy_from_slice(&rest[..len]);
        rest = &rest[len..];
        good = incoming.take(len, |packet| packets.push(packet.to_vec())).is_ok();
    }
    assert_eq!(expected(stream), (packets.iter().map(Vec::as_slice).collect(), good));

    let mut outgoing = Outgoing::default();
    let mut sent = Vec::new();
    for run in stream.chunks(usize::from(cut) * 20 + 1) {
        outgoing.push(run, usize::from(cut) + 1);
        let len = outgoing.bytes().len().min(run.len());
        sent.extend_from_slice(&outgoing.bytes()[..len]);
        outgoing.written(len);
        assert!(outgoing.bytes().len() <= QUEUE_LEN_MAX + 2);
    }
    sent.extend_from_slice(outgoing.bytes());
    assert!(expected(&sent).1, "what was sent has lost its place");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut stream = vec![7];
    for len in [1u16, 0, 100, 1_500, 2] {
        stream.extend_from_slice(&len.to_be_bytes());
        stream.extend(std::iter::repeat_n(len as u8, len.into()));
    }
    vec![stream, vec![3, 0xFF, 0xFF, 1], vec![1, 0, 2, 9]]
}
