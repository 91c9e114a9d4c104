//! What a real browser's camera sends: times and sizes of its packets, recorded once (`ops/browser/record.mjs`) and
//! replayed.

use anyhow::{Context as _, ensure};
use std::{fmt::Write as _, time::Duration};

/// Layers by their rid, smallest first.
pub const RIDS: [&str; 3] = ["q", "h", "f"];
/// Lines of the picture in each layer.
pub const HEIGHTS: [u16; 3] = [180, 360, 720];
/// The smallest payload that is replayed: head of VP8 and what a run writes into it.
const PAYLOAD_LEN_MIN: usize = 24;

const CHROMIUM: &str = include_str!("../../data/chromium-camera.txt");

/// One packet of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Since the frame's first packet.
    pub after: Duration,
    pub payload_len: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Since the recording's beginning.
    pub at: Duration,
    pub packets: Vec<Packet>,
}

/// Frames by layer, and how long it takes until they begin again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    pub layers: [Vec<Frame>; 3],
    pub length: Duration,
}

impl Recording {
    /// A camera of 1280 x 720 with three layers, by Chromium.
    pub fn chromium() -> anyhow::Result<Self> {
        Self::read(CHROMIUM)
    }

    /// One frame in each line: rid, microseconds since the beginning, then for each packet the bytes of its payload and,
    /// after a `+`, the microseconds since the frame's first one, unless they are none. `#` begins a comment.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let mut recording = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            recording.read_line(line).with_context(|| format!("not a frame: {line}"))?;
        }
        for frames in &recording.layers {
            ensure!(frames.len() > 1, "a layer has no frames");
            let (first, last) = (&frames[0], &frames[frames.len() - 1]);
            // One more frame's time, until the first follows on the last again.
            let interval = last.at.saturating_sub(first.at) / (frames.len() as u32 - 1);
            recording.length = recording.length.max(last.at + interval);
        }
        Ok(recording)
    }

    fn read_line(&mut self, line: &str) -> anyhow::Result<()> {
        let mut fields = line.split(' ');
        let rid = fields.next().unwrap_or_default();
        let layer = RIDS.iter().position(|known| *known == rid).context("an unknown rid")?;
        let at = Duration::from_micros(fields.next().context("no time")?.parse()?);
        let packets = fields.map(|field| {
            let (len, after) = field.split_once('+').unwrap_or((field, "0"));
            let payload_len = len.parse::<usize>()?.max(PAYLOAD_LEN_MIN);
            ensure!(payload_len <= 1_400, "a packet of {payload_len} bytes");
            Ok(Packet { after: Duration::from_micros(after.parse()?), payload_len })
        });
        let packets = packets.collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(!packets.is_empty(), "a frame without packets");
        self.layers[layer].push(Frame { at, packets });
        Ok(())
    }

    /// As [`Self::read`] reads it.
    pub fn write(&self) -> String {
        let mut frames: Vec<(usize, &Frame)> = Vec::new();
        for (layer, of_layer) in self.layers.iter().enumerate() {
            frames.extend(of_layer.iter().map(|frame| (layer, frame)));
        }
        frames.sort_by_key(|(layer, frame)| (frame.at, *layer));
        let mut text = String::new();
        for (layer, frame) in frames {
            let _ = write!(text, "{} {}", RIDS[layer], frame.at.as_micros());
            for Packet { after, payload_len } in &frame.packets {
                let _ = write!(text, " {payload_len}");
                if !after.is_zero() {
                    let _ = write!(text, "+{}", after.as_micros());
                }
            }
            text.push('\n');
        }
        text
    }

    /// Packets in a frame, on average.
    pub fn packets_per_frame(&self, layer: usize) -> f64 {
        let frames = &self.layers[layer];
        frames.iter().map(|frame| frame.packets.len()).sum::<usize>() as f64 / frames.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recording_holds_three_layers_and_is_written_as_it_is_read() {
        let recording = Recording::chromium().unwrap();
        assert!(recording.length > Duration::from_secs(3), "{:?}", recording.length);
        for (frames, rid) in recording.layers.iter().zip(RIDS) {
            let per_s = frames.len() as f64 / recording.length.as_secs_f64();
            assert!((10.0..31.0).contains(&per_s), "{per_s} frames/s in {rid}");
        }
        assert!(recording.packets_per_frame(2) > recording.packets_per_frame(0));
        assert_eq!(Recording::read(&recording.write()).unwrap(), recording);
    }
}
