//! The figures, for people and for programs.

use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Report {
    pub processors: usize,
    pub processor: String,
    pub kernel: String,
    pub payload_len: usize,
    pub rows: Vec<Row>,
}

/// One combination of subscribers and bursts.
#[derive(Debug, Serialize)]
pub struct Row {
    pub rooms: usize,
    /// In each room.
    pub subscribers: usize,
    pub burst: usize,
    /// Packets that subscribers got, per second of the process's processor time.
    pub forwarded_per_cpu_s: f64,
    /// Send and seal alone.
    pub floor_per_cpu_s: f64,
    /// Offer, answer, handshake and control channel.
    pub cpu_per_join_ms: f64,
    /// After joining, and under load with its history for retransmissions.
    pub rss_per_peer_kb: f64,
    pub rss_per_peer_loaded_kb: f64,
    /// Share of 1.
    pub loss: f64,
    pub published_per_s: f64,
    pub forwarded_per_s: f64,
    /// Processors that the process kept busy.
    pub load: f64,
    /// Length of the runs that went out. Above `burst`, bursts met in one batch; the floor sends runs of `burst`.
    pub datagrams_per_send: f64,
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

impl Report {
    pub fn new() -> Self {
        let first = |path: &str, key: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
            line.rsplit(": ").next().unwrap_or_default().trim().to_owned()
        };
        Self {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            processor: first("/proc/cpuinfo", "model name"),
            kernel: first("/proc/sys/kernel/osrelease", ""),
            payload_len: super::PAYLOAD_LEN,
            rows: Vec::new(),
        }
    }

    /// A line of the table; before the first one, its head.
    pub fn print_row(&self, row: &Row) {
        if self.rows.is_empty() {
            println!(
                "{} x {}, Linux {}, {} bytes payload",
                self.processors, self.processor, self.kernel, self.payload_len
            );
            println!(
                " rooms  subs burst  run | fwd/CPU-s   floor/CPU-s  of floor | CPU/join  RSS/peer (loaded) |   loss  load     fwd/s"
            );
        }
        println!(
            "{:>6} {:>5} {:>5} {:>4.1} | {:>7.0} k   {:>7.0} k   {:>7.0} % | {:>5.2} ms  {:>5.0} kB ({:>4.0} kB) | {:>5.2} % {:>3.0} % {:>7.0} k",
            row.rooms,
            row.subscribers,
            row.burst,
            row.datagrams_per_send,
            row.forwarded_per_cpu_s / 1e3,
            row.floor_per_cpu_s / 1e3,
            100.0 * row.forwarded_per_cpu_s / row.floor_per_cpu_s,
            row.cpu_per_join_ms,
            row.rss_per_peer_kb,
            row.rss_per_peer_loaded_kb,
            100.0 * row.loss,
            100.0 * row.load,
            row.forwarded_per_s / 1e3,
        );
    }
}
