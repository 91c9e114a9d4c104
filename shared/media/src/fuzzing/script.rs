//! Bytes as a sequence of events: one byte says which event and how much time passes before it, one how long its packet is,
//! then comes the packet. So a fuzzer that adds, cuts and swaps bytes makes conferences of it.

use super::conference::Conference;
use crate::trunk::Frame;
use schulhof_wire::media::ToNode;

/// Events of one run: more find nothing that fewer do not, and take longer.
const EVENTS_MAX: usize = 200;
/// Before an event, in milliseconds.
const PAUSES_MS: [u64; 16] = [0, 0, 0, 0, 1, 3, 5, 10, 20, 20, 50, 100, 300, 1_000, 3_000, 20_000];

/// What the events may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    Raw,
    Trunk,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Rtp(usize),
    Rtcp(usize),
    Control(usize),
    Raw(usize),
    Frame,
    Datagram,
    Reconnect,
    Forget(usize),
}

/// In the order of their numbers.
const ALL: [Event; 12] = [
    Event::Rtp(0),
    Event::Rtp(1),
    Event::Rtcp(0),
    Event::Rtcp(1),
    Event::Control(0),
    Event::Control(1),
    Event::Raw(0),
    Event::Frame,
    Event::Datagram,
    Event::Reconnect,
    Event::Forget(0),
    Event::Raw(2),
];
const RAW: [Event; 4] = [Event::Raw(0), Event::Raw(1), Event::Raw(2), Event::Forget(0)];
const TRUNK: [Event; 4] = [Event::Frame, Event::Datagram, Event::Rtp(0), Event::Reconnect];

impl Kinds {
    fn events(self) -> &'static [Event] {
        match self {
            Self::Raw => &RAW,
            Self::Trunk => &TRUNK,
            Self::All => &ALL,
        }
    }

    /// The bytes of an event after a pause.
    pub fn write(self, event: Event, pause_ms: u64, packet: &[u8], script: &mut Vec<u8>) {
        let events = self.events();
        let kind = events.iter().position(|known| *known == event).expect("an event of this script");
        let pause = PAUSES_MS.iter().rposition(|ms| *ms <= pause_ms).expect("no pause is one");
        script.push((pause << 4 | kind) as u8);
        // Two bytes of length, should one not do.
        let len = packet.len().min(0x7FFF);
        if len < 0x80 {
            script.push(len as u8);
        } else {
            script.extend_from_slice(&(0x8000 | len as u16).to_be_bytes());
        }
        script.extend_from_slice(&packet[..len]);
    }
}

fn next<'a>(script: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&head, rest) = script.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..0x80 => (usize::from(first), rest),
        _ => rest.split_first().map(|(second, rest)| (usize::from(first & 0x7F) << 8 | usize::from(*second), rest))?,
    };
    let (packet, rest) = rest.split_at(len.min(rest.len()));
    *script = rest;
    Some((head, packet))
}

pub(super) fn play(conference: &mut Conference, mut script: &[u8], kinds: Kinds) {
    let events = kinds.events();
    for _ in 0..EVENTS_MAX {
        let Some((head, packet)) = next(&mut script) else { break };
        conference.pass_ms(PAUSES_MS[usize::from(head >> 4)]);
        match events[usize::from(head & 0x0F) % events.len()] {
            Event::Rtp(who) => conference.rtp(who, packet),
            Event::Rtcp(who) => conference.rtcp(who, packet),
            Event::Control(who) => {
                if let Ok(message) = serde_json::from_slice::<ToNode>(packet) {
                    conference.control(who, message);
                }
            }
            Event::Raw(from) => conference.raw(from, packet),
            Event::Frame => {
                if let Ok(frame) = postcard::from_bytes::<Frame>(packet) {
                    conference.frame(frame);
                }
            }
            Event::Datagram => conference.datagram(packet),
            Event::Reconnect => conference.reconnect(),
            Event::Forget(who) => conference.forget(who),
        }
    }
    conference.pass_ms(100);
}
