//! The estimate against a line that is a queue of a given rate: what is sent beyond it waits, what waits too long is
//! lost.

use super::{control::BPS_START, *};

/// One way of a line.
struct Line {
    bps: u64,
    free_at_us: u64,
    jitter_us: u64,
    losses: u64,
    drawn: u64,
}

impl Line {
    fn new(bps: u64) -> Self {
        Self { bps, free_at_us: 0, jitter_us: 0, losses: 0, drawn: 1 }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.drawn = self.drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.drawn >> 33) % below.max(1)
    }

    /// When a packet arrives; nothing: lost.
    fn carry(&mut self, sent_us: u64, bytes: usize) -> Option<u64> {
        let start_us = self.free_at_us.max(sent_us);
        if start_us - sent_us > 300_000 || self.draw(100) < self.losses {
            return None;
        }
        self.free_at_us = start_us + bytes as u64 * 8 * 1_000_000 / self.bps;
        Some(self.free_at_us + 20_000 + self.draw(self.jitter_us))
    }
}

/// Sends at the estimate, or at `sent_bps`, in pictures of 40 ms, and hands in feedback each 50 ms.
fn run(gcc: &mut Gcc, line: &mut Line, from_ms: u64, ms: u64, sent_bps: Option<u64>) -> u64 {
    let mut results = Vec::new();
    let mut due = 0;
    for now_ms in from_ms..from_ms + ms {
        let now_us = now_ms * 1_000;
        if now_ms % 40 == 0 {
            due += sent_bps.unwrap_or(gcc.bps()) / 8 * 40 / 1_000;
            for n in 0..due / 1_200 {
                let sent_us = now_us + n * 100;
                results.push((sent_us, line.carry(sent_us, 1_200)));
            }
            due %= 1_200;
        }
        if now_ms % 50 == 0 {
            let known = results.iter().take_while(|(sent_us, arrived)| {
                arrived.map_or(now_us > sent_us + 400_000, |arrived_us| arrived_us < now_us)
            });
            let count = known.count();
            for (sent_us, arrived) in results.drain(..count) {
                match arrived {
                    Some(arrived_us) => gcc.arrived(sent_us, 77_000_000 + arrived_us, 1_200, false),
                    None => gcc.lost(),
                }
            }
            if count > 0 {
                gcc.update(now_us, 60_000);
            }
        }
    }
    gcc.bps()
}

#[test]
fn a_full_line_is_found_within_seconds_and_its_rate_is_used() {
    let (mut gcc, mut line) = (Gcc::new(), Line::new(500_000));
    let after = run(&mut gcc, &mut line, 0, 3_000, None);
    assert!((150_000..=560_000).contains(&after), "{after} after three seconds");
    let mut sum = 0;
    for second in 3..23 {
        sum += run(&mut gcc, &mut line, second * 1_000, 1_000, None);
    }
    assert!((330_000..=530_000).contains(&(sum / 20)), "{} on average", sum / 20);
}

#[test]
fn a_line_with_room_lets_the_estimate_rise_but_not_away_from_what_is_sent() {
    let (mut gcc, mut line) = (Gcc::new(), Line::new(50_000_000));
    line.jitter_us = 4_000;
    let idle = run(&mut gcc, &mut line, 0, 10_000, Some(300_000));
    assert_eq!(idle, BPS_START, "little is sent, so nothing is learnt");
    let busy = run(&mut gcc, &mut line, 10_000, 10_000, None);
    assert!(busy > 2 * BPS_START, "{busy}");
}

#[test]
fn losses_of_a_radio_do_not_lower_the_estimate_but_losses_of_a_full_line_do() {
    let (mut gcc, mut line) = (Gcc::new(), Line::new(50_000_000));
    line.losses = 5;
    let radio = run(&mut gcc, &mut line, 0, 5_000, Some(1_000_000));
    assert!(radio >= 900_000, "{radio}");
    assert!((0.02..0.09).contains(&gcc.loss()), "{}", gcc.loss());
    line.losses = 30;
    let full = run(&mut gcc, &mut line, 5_000, 3_000, None);
    assert!(full * 10 < radio * 9, "{radio} -> {full}");
}

#[test]
fn silence_and_nonsense_keep_the_estimate_within_its_bounds() {
    let mut gcc = Gcc::new();
    for _ in 0..50 {
        gcc.silent();
    }
    assert_eq!(gcc.bps(), BPS_MIN);
    gcc.probed(u64::MAX);
    assert_eq!(gcc.bps(), BPS_MAX);
    for n in 0..10_000u64 {
        gcc.arrived(n.wrapping_mul(0x9E37_79B9_7F4A_7C15), n.wrapping_mul(0xBF58_476D_1CE4_E5B9), 1_200, n % 3 == 0);
        gcc.update(n.wrapping_mul(0x94D0_49BB_1331_11EB), n << 40);
        assert!((BPS_MIN..=BPS_MAX).contains(&gcc.bps()));
    }
}
