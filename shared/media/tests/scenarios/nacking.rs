//! A listener asks for what it lost, as a browser does: after a moment, and again after a round trip, a few times.

use rtc_rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const AGAIN: Duration = Duration::from_millis(330);
const TRIES_MAX: u32 = 10;

#[derive(Default)]
struct Stream {
    highest: i64,
    began: bool,
    /// When it was asked for last, and how often.
    missing: BTreeMap<i64, (Option<Instant>, u32)>,
}

/// What is missing on each of our streams.
#[derive(Default)]
pub struct Nacking(BTreeMap<u32, Stream>);

impl Nacking {
    pub fn arrived(&mut self, ssrc: u32, sequence: u16) {
        let stream = self.0.entry(ssrc).or_default();
        if !stream.began {
            stream.began = true;
            stream.highest = i64::from(sequence);
        }
        let number = stream.highest + i64::from(sequence.wrapping_sub(stream.highest as u16).cast_signed());
        for between in stream.highest + 1..number {
            stream.missing.insert(between, (None, 0));
        }
        stream.highest = stream.highest.max(number);
        stream.missing.remove(&number);
    }

    pub fn due(&mut self, now: Instant) -> Vec<TransportLayerNack> {
        let mut all = Vec::new();
        for (ssrc, stream) in &mut self.0 {
            stream.missing.retain(|_, (_, tries)| *tries < TRIES_MAX);
            let mut nacks = Vec::new();
            for (number, (asked, tries)) in &mut stream.missing {
                if asked.is_none_or(|at| now - at >= AGAIN) {
                    *asked = Some(now);
                    *tries += 1;
                    nacks.push(NackPair::new(*number as u16));
                }
            }
            if !nacks.is_empty() {
                all.push(TransportLayerNack { sender_ssrc: 1, media_ssrc: *ssrc, nacks });
            }
        }
        all
    }
}
