//! Who is heard: the loudest microphones of a room by the levels that browsers put into their packets (RFC 6464).
//!
//! A few more than a listener has slots are active, so that everybody hears three others even while speaking. Whoever is
//! active stays so until somebody else is clearly louder for a moment: a cough does not push a speaker out.

use schulhof_wire::ticket::AUDIO_SLOTS;
use std::time::{Duration, Instant};

/// A listener's slots, and one for whoever listens to himself.
pub(crate) const ACTIVE_MAX: usize = AUDIO_SLOTS as usize + 1;
/// How much louder a challenger must be than the quietest active one, in dB.
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
    louder_since: Option<Instant>,
}

/// The microphones of one room. Bounded by the room.
#[derive(Debug)]
pub(crate) struct Speakers<K> {
    microphones: Vec<Microphone<K>>,
    /// In the order of becoming active.
    active: Vec<K>,
}

impl<K: Copy + Ord> Speakers<K> {
    pub fn new() -> Self {
        Self { microphones: Vec::new(), active: Vec::new() }
    }

    /// A microphone was switched on.
    pub fn add(&mut self, key: K) {
        if let Err(at) = self.microphones.binary_search_by_key(&key, |microphone| microphone.key) {
            self.microphones.insert(at, Microphone { key, level: 0.0, heard_at: None, louder_since: None });
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
            let Some(next) = self.loudest_waiting() else { break };
            self.active.push(self.microphones[next].key);
            changed = true;
        }
        let Some(quietest) = self.quietest_active() else { return changed };
        let bar = self.microphones[quietest].level + MARGIN_DB;
        for microphone in &mut self.microphones {
            let louder = microphone.level >= bar && !self.active.contains(&microphone.key);
            microphone.louder_since = louder.then(|| microphone.louder_since.unwrap_or(now));
        }
        if let Some(next) = self.loudest_waiting()
            && let Some(since) = self.microphones[next].louder_since
            && now.saturating_duration_since(since) >= CHALLENGE
        {
            let out = self.microphones[quietest].key;
            self.microphones[next].louder_since = None;
            let key = self.microphones[next].key;
            self.active.retain(|active| *active != out);
            self.active.push(key);
            changed = true;
        }
        changed
    }

    /// The active microphones, longest active first.
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

    fn loudest_waiting(&self) -> Option<usize> {
        (0..self.microphones.len())
            .filter(|i| self.microphones[*i].heard_at.is_some() && !self.active.contains(&self.microphones[*i].key))
            .max_by(|a, b| self.microphones[*a].level.total_cmp(&self.microphones[*b].level).then(b.cmp(a)))
    }

    fn quietest_active(&self) -> Option<usize> {
        (0..self.microphones.len())
            .filter(|i| self.active.contains(&self.microphones[*i].key))
            .min_by(|a, b| self.microphones[*a].level.total_cmp(&self.microphones[*b].level).then(a.cmp(b)))
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
    fn the_loudest_are_active_and_a_louder_one_takes_the_place_of_the_quietest() {
        let mut now = instant();
        let mut speakers = Speakers::new();
        (0..6).for_each(|key| speakers.add(key));
        run(&mut speakers, &mut now, 50, &[(0, 90), (1, 80), (2, 70), (3, 60)]);
        assert_eq!(speakers.active(), [0, 1, 2, 3]);
        let changed = run(&mut speakers, &mut now, 10, &[(0, 90), (1, 80), (2, 70), (3, 60), (4, 110), (5, 61)]);
        assert!(changed);
        assert_eq!(speakers.active(), [0, 1, 2, 4], "3 was the quietest");
        assert_eq!(speakers.speaking().iter().map(|(key, _)| *key).collect::<Vec<_>>(), [4, 0, 1]);
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
        assert_eq!(speakers.active(), [1, 3, 4]);
        speakers.heard(now, 2, 127);
        assert!(!speakers.evaluate(now), "a microphone that is off is not heard");
    }
}
