//! Who is heard: the loudest microphones of a room by the levels that browsers put into their packets (RFC 6464).
//!
//! Three are on top; everybody hears them. One is the spare, for those on top: nobody hears himself. Whoever has a seat
//! keeps it until somebody else is clearly louder for a moment: a cough does not push a speaker out.

use schulhof_wire::ticket::AUDIO_SLOTS;
use std::{
    ops::Range,
    time::{Duration, Instant},
};

/// Seats on top: a listener's slots.
const TOP: usize = AUDIO_SLOTS as usize;
/// With the spare.
pub(crate) const ACTIVE_MAX: usize = TOP + 1;
/// How much louder a challenger must be than whoever has the seat, in dB.
const MARGIN_DB: f32 = 6.0;
/// For how long.
const CHALLENGE: Duration = Duration::from_millis(60);
/// Louder than -50 dBov is speech rather than a quiet room.
pub(crate) const SPEECH_LEVEL: f32 = 77.0;
/// Weight of a new packet: fast to rise, slow to fall, so that pauses between words count little.
const ATTACK: f32 = 0.35;
const RELEASE: f32 = 0.04;
/// Without packets for this long (discontinuous transmission, a lost line) the level falls as if it were silent.
const STALE: Duration = Duration::from_millis(400);
const STALE_RELEASE: f32 = 0.3;
/// Taken for packets without the extension: about -50 dBov.
pub(crate) const LEVEL_UNKNOWN: u8 = 77;

#[derive(Debug)]
struct Microphone<K> {
    key: K,
    /// 0 silent .. 127 full, smoothed.
    level: f32,
    heard_at: Option<Instant>,
    /// Than the quietest on top, and than the spare.
    louder_since: [Option<Instant>; 2],
}

/// The microphones of one room. Bounded by the room.
#[derive(Debug)]
pub(crate) struct Speakers<K> {
    microphones: Vec<Microphone<K>>,
    /// The top in the order of taking a seat, then the spare.
    active: Vec<K>,
}

impl<K: Copy + Ord> Speakers<K> {
    pub fn new() -> Self {
        Self { microphones: Vec::new(), active: Vec::new() }
    }

    /// A microphone was switched on.
    pub fn add(&mut self, key: K) {
        if let Err(at) = self.microphones.binary_search_by_key(&key, |microphone| microphone.key) {
            self.microphones.insert(at, Microphone { key, level: 0.0, heard_at: None, louder_since: [None; 2] });
        }
    }

    /// A microphone was switched off. True: the active ones have changed.
    pub fn remove(&mut self, key: K) -> bool {
        self.microphones.retain(|microphone| microphone.key != key);
        let before = self.active.len();
        self.active.retain(|active| *active != key);
        self.active.len() != before
    }

    /// A packet came. `level` as in RFC 6464 reversed: 0 silent .. 127 full.
    pub fn heard(&mut self, now: Instant, key: K, level: u8) {
        if let Ok(at) = self.microphones.binary_search_by_key(&key, |microphone| microphone.key) {
            let microphone = &mut self.microphones[at];
            let difference = f32::from(level) - microphone.level;
            microphone.level += difference * if difference > 0.0 { ATTACK } else { RELEASE };
            microphone.heard_at = Some(now);
        }
    }

    /// To be called every few ten milliseconds. True: the active ones have changed.
    pub fn evaluate(&mut self, now: Instant) -> bool {
        for microphone in &mut self.microphones {
            if microphone.heard_at.is_some_and(|at| now.saturating_duration_since(at) > STALE) {
                microphone.level -= microphone.level * STALE_RELEASE;
            }
        }
        let mut changed = false;
        while self.active.len() < ACTIVE_MAX {
            let Some(next) = self.loudest(|key| !self.active.contains(&key)) else { break };
            self.active.push(self.microphones[next].key);
            changed = true;
        }
        // For the top everybody else competes, for the seat of the spare those who have none.
        changed |= self.challenge(now, 0, 0..TOP.min(self.active.len()));
        changed |= self.challenge(now, 1, TOP.min(self.active.len())..self.active.len());
        changed
    }

    /// Gives the quietest of some seats to whoever has been clearly louder for long enough.
    fn challenge(&mut self, now: Instant, stage: usize, seats: Range<usize>) -> bool {
        let quietest = seats.clone().min_by(|a, b| self.level(self.active[*a]).total_cmp(&self.level(self.active[*b])));
        let Some(seat) = quietest else { return false };
        let bar = self.level(self.active[seat]) + MARGIN_DB;
        let seated = &self.active[..seats.end];
        for microphone in &mut self.microphones {
            let louder = microphone.level >= bar && !seated.contains(&microphone.key);
            let since = &mut microphone.louder_since[stage];
            *since = louder.then(|| since.unwrap_or(now));
        }
        let Some(next) = self.loudest(|key| !seated.contains(&key)) else { return false };
        let Some(since) = self.microphones[next].louder_since[stage] else { return false };
        if now.saturating_duration_since(since) < CHALLENGE {
            return false;
        }
        let key = self.microphones[next].key;
        let out = self.active.remove(seat);
        self.active.retain(|active| *active != key);
        self.active.insert(seats.end - 1, key);
        // Who was pushed from the top is the spare, if that seat is free or he is louder than whoever has it.
        if stage == 0 {
            match self.active.get(TOP) {
                Some(spare) if self.level(*spare) >= self.level(out) => {}
                _ => {
                    self.active.truncate(TOP);
                    self.active.push(out);
                }
            }
        }
        true
    }

    /// The top, longest seated first, then the spare.
    pub fn active(&self) -> &[K] {
        &self.active
    }

    /// Who speaks now, loudest first: key and level.
    pub fn speaking(&self) -> Vec<(K, u8)> {
        let mut speaking: Vec<(K, u8)> = self
            .microphones
            .iter()
            .filter(|microphone| microphone.level >= SPEECH_LEVEL && self.active.contains(&microphone.key))
            .map(|microphone| (microphone.key, microphone.level as u8))
            .collect();
        speaking.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        speaking
    }

    fn level(&self, key: K) -> f32 {
        let place = self.microphones.binary_search_by_key(&key, |microphone| microphone.key);
        place.map_or(0.0, |place| self.microphones[place].level)
    }

    /// The loudest of those that have been heard at all, and that fit.
    fn loudest(&self, fits: impl Fn(K) -> bool) -> Option<usize> {
        (0..self.microphones.len())
            .filter(|i| self.microphones[*i].heard_at.is_some() && fits(self.microphones[*i].key))
            .max_by(|a, b| self.microphones[*a].level.total_cmp(&self.microphones[*b].level).then(b.cmp(a)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instant;

    /// Everybody sends a packet every 20 ms at the given level.
    fn run(speakers: &mut Speakers<u32>, now: &mut Instant, packets: u32, levels: &[(u32, u8)]) -> bool {
        let mut changed = false;
        for _ in 0..packets {
            for (key, level) in levels {
                speakers.heard(*now, *key, *level);
            }
            *now += Duration::from_millis(20);
            changed |= speakers.evaluate(*now);
        }
        changed
    }

    #[test]
    fn the_three_loudest_are_on_top_and_the_fourth_is_the_spare() {
        let mut now = instant();
        let mut speakers = Speakers::new();
        (0..6).for_each(|key| speakers.add(key));
        run(&mut speakers, &mut now, 50, &[(0, 90), (1, 80), (2, 70), (3, 60)]);
        assert_eq!(speakers.active(), [0, 1, 2, 3]);
        let changed = run(&mut speakers, &mut now, 10, &[(0, 90), (1, 80), (2, 70), (3, 60), (4, 110), (5, 61)]);
        assert!(changed);
        assert_eq!(speakers.active(), [0, 1, 4, 2], "2 was the quietest on top");
        assert_eq!(speakers.speaking().iter().map(|(key, _)| *key).collect::<Vec<_>>(), [4, 0, 1]);
        run(&mut speakers, &mut now, 50, &[(0, 90), (1, 80), (2, 100), (3, 60), (4, 110), (5, 99)]);
        assert_eq!(speakers.active(), [4, 2, 5, 0], "the spare and one without a seat have become loud");
    }

    #[test]
    fn one_loud_packet_or_a_slightly_louder_voice_changes_nothing() {
        let mut now = instant();
        let mut speakers = Speakers::new();
        (0..5).for_each(|key| speakers.add(key));
        let voices = [(0, 90), (1, 90), (2, 90), (3, 80)];
        run(&mut speakers, &mut now, 50, &voices);
        speakers.heard(now, 4, 127);
        assert!(!run(&mut speakers, &mut now, 50, &[(0, 90), (1, 90), (2, 90), (3, 80), (4, 0)]), "a cough");
        assert!(!run(&mut speakers, &mut now, 50, &[(0, 90), (1, 90), (2, 90), (3, 80), (4, 83)]), "3 dB");
        assert_eq!(speakers.active(), [0, 1, 2, 3]);
    }

    #[test]
    fn who_goes_silent_or_leaves_makes_room() {
        let mut now = instant();
        let mut speakers = Speakers::new();
        (0..5).for_each(|key| speakers.add(key));
        run(&mut speakers, &mut now, 50, &[(0, 90), (1, 90), (2, 90), (3, 90)]);
        // 0 sends nothing any more; 4 murmurs.
        run(&mut speakers, &mut now, 100, &[(1, 90), (2, 90), (3, 90), (4, 50)]);
        assert_eq!(speakers.active(), [1, 2, 3, 4]);
        assert!(speakers.remove(2));
        assert!(!speakers.remove(0));
        assert_eq!(speakers.active(), [1, 3, 4], "the spare moves up");
        speakers.heard(now, 2, 127);
        assert!(!speakers.evaluate(now), "a microphone that is off is not heard");
    }
}
