//! One line of figures, for people and for programs.

use crate::measure::Measured;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Row {
    pub system: &'static str,
    pub clients: usize,
    pub ops_per_s: f64,
    pub p50_us: u32,
    pub p99_us: u32,
    /// Of the turns: the slowest and the fastest.
    pub slowest_turn_ops_per_s: f64,
    pub fastest_turn_ops_per_s: f64,
    /// Processors that the three servers, and all clients together, kept busy.
    pub server_processors: f64,
    pub client_processors: f64,
}

impl Row {
    pub fn new(system: &'static str, clients: usize, measured: Measured) -> Self {
        let Measured { mut all, rates } = measured;
        all.latencies_us.sort_unstable();
        let at = |share: f64| {
            let last = all.latencies_us.len().saturating_sub(1);
            all.latencies_us.get((last as f64 * share) as usize).copied().unwrap_or(0)
        };
        let seconds = all.elapsed.as_secs_f64();
        Self {
            system,
            clients,
            ops_per_s: all.latencies_us.len() as f64 / seconds,
            p50_us: at(0.5),
            p99_us: at(0.99),
            slowest_turn_ops_per_s: rates.iter().copied().fold(f64::INFINITY, f64::min),
            fastest_turn_ops_per_s: rates.iter().copied().fold(0.0, f64::max),
            server_processors: all.server_cpu_ns as f64 / 1e9 / seconds,
            client_processors: all.client_cpu_ns as f64 / 1e9 / seconds,
        }
    }
}
