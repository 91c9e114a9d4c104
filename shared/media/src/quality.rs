//! How well somebody's connection carries the conference, in four words that a person understands. Judged on the node,
//! from both directions; the page cannot know how its own packets arrive.
//!
//! Worse is told at once, better only when it has lasted: a sign that flickers helps nobody.

use crate::{Engine, session::Session};
use schulhof_wire::{
    media::{PersonQuality, Quality, ToClient},
    ticket::MediaRole,
};
use std::time::{Duration, Instant};

/// Shares of lost packets, in either direction: hardly heard, heard.
const LOSS: (f64, f64) = (0.02, 0.08);
/// Round trips: unnoticed, people begin to talk into each other (ITU-T G.114: 150 and 400 ms one way, with what the
/// devices add).
const RTT: (Duration, Duration) = (Duration::from_millis(150), Duration::from_millis(400));
/// What the line carries, of what is wanted: all but a little, the smaller half.
const CARRIED: (f64, f64) = (0.95, 0.5);
/// For a listener that does not tell what its line carries: each layer less is about this much of it.
const CARRIED_AFTER_STEP: f64 = 0.6;
/// Nothing at all from the person: browsers check their connection every 2.5 s.
const SILENCE: Duration = Duration::from_secs(6);
/// Better must last this long.
const BETTER_AFTER: Duration = Duration::from_secs(4);

/// One look at a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Of the packets in the worse direction, 0 to 1.
    pub loss: f64,
    pub rtt: Duration,
    /// Of what the person wants to see, the part that the line carries, 0 to 1.
    pub carried: f64,
    /// Since the last packet of the person.
    pub silence: Duration,
}

impl Reading {
    fn quality(&self) -> Quality {
        if self.silence >= SILENCE {
            Quality::Lost
        } else if self.loss >= LOSS.1 || self.rtt >= RTT.1 || self.carried < CARRIED.1 {
            Quality::Poor
        } else if self.loss >= LOSS.0 || self.rtt >= RTT.0 || self.carried < CARRIED.0 {
            Quality::Good
        } else {
            Quality::Excellent
        }
    }
}

/// What is shown of one person.
#[derive(Debug)]
pub(crate) struct Judge {
    shown: Quality,
    better_since: Option<Instant>,
}

impl Judge {
    pub fn new() -> Self {
        Self { shown: Quality::Excellent, better_since: None }
    }

    pub fn look(&mut self, now: Instant, reading: &Reading) -> Quality {
        let seen = reading.quality();
        if seen >= self.shown {
            self.shown = seen;
            self.better_since = None;
        } else {
            let since = *self.better_since.get_or_insert(now);
            if self.shown == Quality::Lost || now.saturating_duration_since(since) >= BETTER_AFTER {
                self.shown = seen;
                self.better_since = None;
            }
        }
        self.shown
    }
}

impl Session {
    fn reading(&self, now: Instant, now_us: u64) -> Reading {
        let told = self.estimate_bps(now_us).is_some();
        let down = self.loss_down(now_us);
        let layers = self.sources.iter().flatten().flat_map(|source| &source.layers);
        let up = layers.filter(|layer| layer.is_alive(now)).map(|layer| layer.upstream.loss());
        let steps_down = if told { 0 } else { self.downlink.steps_down() };
        Reading {
            loss: up.fold(down, f64::max),
            rtt: self.rtt,
            carried: self.egress.carried * CARRIED_AFTER_STEP.powi(steps_down as i32),
            silence: now.saturating_duration_since(self.alive_at),
        }
    }
}

impl Engine {
    /// Tells everybody about the own connection, and moderators about all of them.
    pub(crate) fn tell_quality(&mut self, now: Instant, room: usize) {
        let Some(state) = self.rooms.get_mut(room).and_then(Option::as_mut) else { return };
        state.quality_at = now;
        let members = state.members.clone();
        let now_us = self.since_start_us(now);
        let mut people = Vec::with_capacity(members.len());
        for peer in &members {
            let Some(session) = self.sessions.get_mut(*peer).filter(|session| session.keys.is_some()) else { continue };
            let reading = session.reading(now, now_us);
            let quality = session.judge.look(now, &reading);
            people.push(PersonQuality { participant: session.participant.id.clone(), quality });
        }
        for peer in members {
            let Some(session) = self.sessions.get_mut(peer) else { continue };
            let own = |person: &&PersonQuality| {
                session.participant.role == MediaRole::Moderator || person.participant == session.participant.id
            };
            if people.iter().filter(own).eq(&session.told_quality) {
                continue;
            }
            let told: Vec<PersonQuality> = people.iter().filter(own).cloned().collect();
            session.told_quality.clone_from(&told);
            let id = session.id;
            self.tell(id, ToClient::Quality { people: told });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instant;

    const FINE: Reading =
        Reading { loss: 0.0, rtt: Duration::from_millis(20), carried: 1.0, silence: Duration::from_millis(10) };

    #[test]
    fn each_trouble_alone_is_told() {
        let told = |reading: Reading| reading.quality();
        assert_eq!(told(FINE), Quality::Excellent);
        assert_eq!(told(Reading { loss: 0.05, ..FINE }), Quality::Good);
        assert_eq!(told(Reading { loss: 0.2, ..FINE }), Quality::Poor);
        assert_eq!(told(Reading { rtt: Duration::from_millis(300), ..FINE }), Quality::Good);
        assert_eq!(told(Reading { rtt: Duration::from_millis(500), ..FINE }), Quality::Poor);
        assert_eq!(told(Reading { carried: 0.7, ..FINE }), Quality::Good);
        assert_eq!(told(Reading { carried: 0.1, ..FINE }), Quality::Poor);
        assert_eq!(told(Reading { silence: Duration::from_secs(7), ..FINE }), Quality::Lost);
    }

    #[test]
    fn worse_is_told_at_once_and_better_when_it_lasts() {
        let start = instant();
        let at = |seconds| start + Duration::from_secs(seconds);
        let bad = Reading { loss: 0.2, ..FINE };
        let mut judge = Judge::new();
        assert_eq!(judge.look(at(0), &bad), Quality::Poor);
        assert_eq!(judge.look(at(1), &FINE), Quality::Poor);
        assert_eq!(judge.look(at(4), &bad), Quality::Poor, "counted anew from here");
        assert_eq!(judge.look(at(5), &FINE), Quality::Poor);
        assert_eq!(judge.look(at(9), &FINE), Quality::Excellent);
        let gone = Reading { silence: SILENCE, ..FINE };
        assert_eq!(judge.look(at(10), &gone), Quality::Lost);
        assert_eq!(judge.look(at(11), &FINE), Quality::Excellent, "who is back is back");
    }
}
