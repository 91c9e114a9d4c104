//! The figures, for people and for programs, and which aims were missed.

use super::{BACK_MAX, GOODPUT_MIN, LOSS_MAX, P99_MAX_MS};
use serde::Serialize;
use std::time::Duration;

/// Reasons that are listed.
const FAILURES_SHOWN: usize = 3;

/// One crowd that came.
#[derive(Debug, Serialize)]
pub struct Phase {
    pub offered: usize,
    /// Who got media.
    pub joined: usize,
    pub failed: usize,
    /// Who waited in the queue to the end, with a place.
    pub queued: usize,
    /// From asking for a ticket to the first packet of somebody else; of those who had to wait, with the wait.
    pub p50_ms: u32,
    pub p99_ms: u32,
    pub slowest_ms: u32,
    /// Share of 1.
    pub loss_of_admitted: f64,
    /// Requests for tickets.
    pub asked: u64,
    /// Of the box and its media process together.
    pub rss_before_kb: u64,
    pub rss_kb: u64,
    /// Why somebody failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    #[serde(flatten)]
    pub normal: Phase,
    /// The smaller box with as many as it carries.
    pub alone: Phase,
    pub overload: Phase,
    /// Who got in then, as a share of those who got in when nobody else came.
    pub goodput: f64,
    /// After all had gone: the time in which a new class was in.
    pub back_s: f64,
    pub missed: Vec<String>,
}

impl Report {
    pub fn new(seed: u64, normal: Phase, alone: Phase, overload: Phase, back: Duration) -> Self {
        let goodput = overload.joined as f64 / alone.joined.max(1) as f64;
        let mut missed = Vec::new();
        let mut aim = |met: bool, what: &str| {
            if !met {
                missed.push(what.to_owned());
            }
        };
        aim(normal.failed + alone.failed + overload.failed == 0, "nobody fails");
        aim(
            normal.joined == normal.offered && normal.p99_ms <= P99_MAX_MS,
            "p99 of 3 s from the request to first media",
        );
        aim(overload.loss_of_admitted <= LOSS_MAX, "under 1 % loss of who is in");
        aim(goodput >= GOODPUT_MIN, "90 % of the best goodput");
        aim(overload.joined + overload.queued == overload.offered, "a place in the queue for all others");
        aim(back <= BACK_MAX, "back to normal within 30 s");
        Self { seed, normal, alone, overload, goodput, back_s: back.as_secs_f64(), missed }
    }

    pub fn print(&self) {
        println!(
            "                 offered  joined  failed  queued |      p50      p99 |   loss | memory before -> after"
        );
        for (name, phase) in [("carried", &self.normal), ("carried, small", &self.alone), ("storm", &self.overload)] {
            println!(
                "{name:<16} {:>7} {:>7} {:>7} {:>7} | {:>5} ms {:>5} ms | {:>4.2} % | {} -> {} MB, {} requests",
                phase.offered,
                phase.joined,
                phase.failed,
                phase.queued,
                phase.p50_ms,
                phase.p99_ms,
                100.0 * phase.loss_of_admitted,
                phase.rss_before_kb / 1_024,
                phase.rss_kb / 1_024,
                phase.asked,
            );
            for failure in phase.failures.iter().take(FAILURES_SHOWN) {
                println!("  {failure}");
            }
        }
        println!(
            "goodput {:.0} % of the best; back to normal after {:.1} s; seed {}",
            100.0 * self.goodput,
            self.back_s,
            self.seed
        );
        for aim in &self.missed {
            println!("missed: {aim}");
        }
    }
}
