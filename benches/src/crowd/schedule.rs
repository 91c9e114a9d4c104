//! What one person sends when: a camera's frames from the recording, a screen, a voice or its silence.

use crate::media::recording::Recording;
use std::time::Duration;

/// A frame of Opus, and the sign of life of one who is silent.
const VOICE_EVERY: Duration = Duration::from_millis(20);
const SILENCE_EVERY: Duration = Duration::from_millis(400);
/// 32 kbit/s.
const VOICE_LEN: usize = 80;
const SILENCE_LEN: usize = 24;
const VOICE_LEVEL: u8 = 100;
/// One pupil after the other speaks for so long.
const TURN: Duration = Duration::from_secs(4);

/// A page of text: small changes five times a second, and every 10 s another page.
const SCREEN_EVERY: Duration = Duration::from_millis(200);
const SCREEN_LEN: usize = 1_150;
const SCREEN_PACKETS: usize = 3;
const PAGE_EVERY: u64 = 50;
const PAGE_PACKETS: usize = 60;

/// One of a person's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Voice,
    Camera { layer: usize },
    Screen,
}

/// People who take turns in speaking.
const TURNS: usize = 29;

/// Packets that go out together, and the time until the stream is due again.
pub struct Due {
    pub lens: Vec<usize>,
    pub level: u8,
    pub after: Duration,
}

/// `count`: frames of this stream so far; `at`: time since the beginning; `shift`: of this person's camera in the recording.
pub fn due(recording: &Recording, what: What, place: usize, count: u64, at: Duration, shift: Duration) -> Due {
    match what {
        What::Voice => {
            let speaks = place == 0 || speaker(at) == place;
            let (len, every) = if speaks { (VOICE_LEN, VOICE_EVERY) } else { (SILENCE_LEN, SILENCE_EVERY) };
            let until_turn = TURN.saturating_sub(Duration::from_nanos((at.as_nanos() % TURN.as_nanos()) as u64));
            // Who is silent wakes up for the own turn.
            let after = if speaks { every } else { every.min(until_turn).max(VOICE_EVERY) };
            Due { lens: vec![len], level: if speaks { VOICE_LEVEL } else { 0 }, after }
        }
        What::Camera { layer } => {
            let frames = &recording.layers[layer];
            let first = frames.partition_point(|frame| frame.at < shift);
            let index = first + count as usize;
            let starts =
                |index: usize| frames[index % frames.len()].at + recording.length * (index / frames.len()) as u32;
            let packets = &frames[index % frames.len()].packets;
            let lens = packets.iter().map(|packet| packet.payload_len).collect();
            Due { lens, level: 0, after: starts(index + 1).saturating_sub(starts(index)) }
        }
        What::Screen => {
            let packets = if count.is_multiple_of(PAGE_EVERY) { PAGE_PACKETS } else { SCREEN_PACKETS };
            Due { lens: vec![SCREEN_LEN; packets], level: 0, after: SCREEN_EVERY }
        }
    }
}

/// Whose turn it is among the pupils.
fn speaker(at: Duration) -> usize {
    1 + (at.as_nanos() / TURN.as_nanos()) as usize % TURNS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_begins_somewhere_in_the_recording_keeps_its_pace_over_the_end() {
        let recording = Recording::chromium().unwrap();
        let shift = recording.length / 2;
        let (mut at, mut frames) = (Duration::ZERO, 0);
        while at < recording.length * 2 {
            let due = due(&recording, What::Camera { layer: 0 }, 1, frames, at, shift);
            assert!(!due.after.is_zero() && due.after < Duration::from_secs(1), "{at:?} {:?}", due.after);
            (at, frames) = (at + due.after, frames + 1);
        }
        let expected = 2 * recording.layers[0].len() as u64;
        assert!(frames.abs_diff(expected) <= 2, "{frames} instead of {expected}");
    }

    #[test]
    fn the_teacher_and_one_pupil_at_a_time_speak() {
        let recording = Recording::chromium().unwrap();
        for s in [0, 5, 200] {
            let at = Duration::from_secs(s);
            let speaking =
                (0..=TURNS).filter(|place| due(&recording, What::Voice, *place, 0, at, Duration::ZERO).level > 0);
            assert_eq!(speaking.count(), 2);
        }
    }
}
