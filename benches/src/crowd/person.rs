//! One person in a conference: connection, streams, and what the others' packets tell.

use super::{
    hall::Counts,
    schedule::{Due, What},
};
use crate::{
    client::{Client, Stream, VP8_HEAD_LEN, is_rtp, payload, vp8_payload},
    media::recording::{HEIGHTS, RIDS},
};
use schulhof_net::udp::{MediaSocket, RecvBatch};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One packet in this many is opened, to see how long it took.
const OPEN_EVERY: u64 = 32;
/// Lines of a shared screen.
const SCREEN_HEIGHT: u16 = 720;

/// What somebody does in a conference. Place 0 speaks without a pause, the others in turn.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub place: usize,
    pub camera: bool,
    pub screen: bool,
    /// On the other side of the school's line than the building.
    pub at_home: bool,
}

struct Sending {
    what: What,
    stream: Stream,
    count: u64,
}

pub struct Person {
    pub part: Part,
    pub client: Client,
    pub socket: MediaSocket,
    /// When he began to come.
    asked: Instant,
    /// He has media, as far as he waits for it.
    served: bool,
    streams: Vec<Sending>,
    transport: u16,
    received: u64,
    /// Since the last look, by SSRC.
    heard: Vec<u32>,
    packet: Vec<u8>,
}

impl Person {
    /// One who has joined; the handshake goes on in the hall.
    pub fn new(client: Client, socket: MediaSocket, part: Part, asked: Instant) -> Self {
        let mut streams = vec![Sending { what: What::Voice, stream: Stream::microphone(100), count: 0 }];
        if part.camera {
            streams.extend((0..3).map(|layer| Sending {
                what: What::Camera { layer },
                stream: Stream::camera(200 + layer as u32, RIDS[layer]),
                count: 0,
            }));
        }
        if part.screen {
            streams.push(Sending { what: What::Screen, stream: Stream::screen(300), count: 0 });
        }
        let (heard, packet) = (Vec::new(), Vec::new());
        Self { part, client, socket, asked, served: false, streams, transport: 0, received: 0, heard, packet }
    }

    pub fn streams(&self) -> impl Iterator<Item = What> {
        self.streams.iter().map(|sending| sending.what)
    }

    pub fn count(&self, stream: usize) -> u64 {
        self.streams[stream].count
    }

    /// Sends one frame of a stream; `at` is the time since the class began.
    pub fn send(&mut self, stream: usize, at: Duration, due: &Due) -> anyhow::Result<()> {
        let Sending { what, stream, count } = &mut self.streams[stream];
        *count += 1;
        let Some(to) = self.client.remote_addr().filter(|_| self.client.connected()) else { return Ok(()) };
        let clock_khz = if *what == What::Voice { 48 } else { 90 };
        let timestamp = (at.as_micros() * clock_khz / 1_000) as u32;
        let sent_us = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64;
        for (n, len) in due.lens.iter().enumerate() {
            let (mut payload, stamp_at) = match what {
                What::Voice => (vec![0; *len], 0),
                What::Camera { layer } => (vp8_payload(*count as u16, n == 0, HEIGHTS[*layer], *len), VP8_HEAD_LEN),
                What::Screen => (vp8_payload(*count as u16, n == 0, SCREEN_HEIGHT, *len), VP8_HEAD_LEN),
            };
            payload[stamp_at..stamp_at + 8].copy_from_slice(&sent_us.to_be_bytes());
            let last = n + 1 == due.lens.len() && *what != What::Voice;
            stream.packet(timestamp, last, due.level, &mut self.transport, &payload, &mut self.packet);
            let sealed = self.client.seal(&self.packet)?;
            self.socket.send_run(to, &sealed, sealed.len());
        }
        Ok(())
    }

    pub fn receive(&mut self, now: Instant, batch: &mut RecvBatch, counts: &mut Counts) -> anyhow::Result<()> {
        loop {
            let more = batch.receive(&self.socket)?;
            batch.for_each_stamped(|_, stamp, packet| {
                if let (true, Some(stamp)) = (is_rtp(packet), stamp) {
                    self.take(stamp, packet, counts);
                } else if self.client.handle(now, packet).is_err() {
                    counts.unread += 1;
                }
            });
            if !more {
                break;
            }
        }
        self.flush();
        Ok(())
    }

    fn take(&mut self, stamp: Duration, packet: &[u8], counts: &mut Counts) {
        self.client.received(stamp, packet);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let voice = self.client.audio_ssrcs.contains(&ssrc);
        if !voice && !self.client.video_ssrcs.contains(&ssrc) {
            return;
        }
        counts.received += 1;
        self.received += 1;
        // The first one has nobody to hear.
        if !self.served && self.part.place != 0 {
            self.serve(counts);
        }
        if !self.heard.contains(&ssrc) {
            self.heard.push(ssrc);
        }
        if !self.received.is_multiple_of(OPEN_EVERY) {
            return;
        }
        let Ok(plain) = self.client.open(packet) else {
            counts.forged += 1;
            return;
        };
        let at = if voice { 0 } else { VP8_HEAD_LEN };
        let sent_us = payload(&plain).and_then(|payload| payload.get(at..at + 8)?.first_chunk().copied());
        if let Some(sent_us) = sent_us.map(u64::from_be_bytes) {
            let delay_us = (stamp.as_micros() as u64).saturating_sub(sent_us);
            counts.delays_us.push(delay_us.min(u64::from(u32::MAX)) as u32);
        }
    }

    fn serve(&mut self, counts: &mut Counts) {
        self.served = true;
        counts.first_ms.push(self.asked.elapsed().as_millis() as u32);
    }

    /// Now and then: who comes first is in once connected.
    pub fn look(&mut self, counts: &mut Counts) {
        if !self.served && self.part.place == 0 && self.client.connected() {
            self.serve(counts);
        }
    }

    /// Streams that were heard since the last time.
    pub fn take_heard(&mut self) -> usize {
        std::mem::take(&mut self.heard).len()
    }

    pub fn flush(&mut self) {
        if let Some(to) = self.client.remote_addr() {
            while let Some(packet) = self.client.poll_transmit() {
                self.socket.send_run(to, &packet, packet.len());
            }
        }
    }
}
