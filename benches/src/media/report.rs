//! The figures, for people and for programs.

use crate::class;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Report {
    pub processors: usize,
    pub processor: String,
    pub kernel: String,
    pub payload_len: usize,
    pub rows: Vec<Row>,
    pub comparisons: Vec<Comparison>,
    pub classes: Vec<class::Row>,
    /// Rows are printed as they come.
    #[serde(skip)]
    table: bool,
}

/// Two systems under the same load, one after the other.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub ours: Row,
    pub theirs: Row,
    /// Of the forwarded packets per second of processor time.
    pub ratio: f64,
}

/// One combination of subscribers and bursts.
#[derive(Debug, Serialize)]
pub struct Row {
    pub system: &'static str,
    pub rooms: usize,
    /// In each room.
    pub subscribers: usize,
    /// Packets that come at once; nothing: Chromium's frames.
    pub burst: Option<usize>,
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
    pub datagrams_per_send: Option<f64>,
}

impl Report {
    /// `table`: for people, who see each row as it comes; else JSON at the end.
    pub fn new(table: bool) -> Self {
        let first = |path: &str, key: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
            line.rsplit(": ").next().unwrap_or_default().trim().to_owned()
        };
        let report = Self {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            processor: first("/proc/cpuinfo", "model name"),
            kernel: first("/proc/sys/kernel/osrelease", ""),
            payload_len: super::PAYLOAD_LEN,
            rows: Vec::new(),
            comparisons: Vec::new(),
            classes: Vec::new(),
            table,
        };
        if table {
            let Self { processors, processor, kernel, payload_len, .. } = &report;
            println!("{processors} x {processor}, Linux {kernel}, bursts of {payload_len} bytes payload");
            println!(
                "system   rooms  subs  burst  run | fwd/CPU-s   floor/CPU-s  of floor | CPU/join  RSS/peer (loaded) |   loss  load     fwd/s"
            );
        }
        report
    }

    pub fn add(&mut self, row: Row) {
        if self.table {
            row.print();
        }
        self.rows.push(row);
    }

    pub fn compare(&mut self, ours: Row, theirs: Row) {
        let ratio = ours.forwarded_per_cpu_s / theirs.forwarded_per_cpu_s;
        if self.table {
            ours.print();
            theirs.print();
            println!("{} : {} = {ratio:.1}", ours.system, theirs.system);
        }
        self.comparisons.push(Comparison { ours, theirs, ratio });
    }

    pub fn add_class(&mut self, row: class::Row) {
        if self.table {
            row.print(self.classes.is_empty());
        }
        self.classes.push(row);
    }

    pub fn finish(self) -> anyhow::Result<()> {
        if !self.table {
            println!("{}", serde_json::to_string_pretty(&self)?);
        }
        Ok(())
    }
}

impl Row {
    fn print(&self) {
        println!(
            "{:<8} {:>5} {:>5} {:>6} {:>4} | {:>7.0} k   {:>7.0} k   {:>7.0} % | {:>5.2} ms  {:>5.0} kB ({:>4.0} kB) | {:>5.2} % {:>3.0} % {:>7.0} k",
            self.system,
            self.rooms,
            self.subscribers,
            self.burst.map_or("camera".to_owned(), |burst| burst.to_string()),
            self.datagrams_per_send.map_or("-".to_owned(), |run| format!("{run:.1}")),
            self.forwarded_per_cpu_s / 1e3,
            self.floor_per_cpu_s / 1e3,
            100.0 * self.forwarded_per_cpu_s / self.floor_per_cpu_s,
            self.cpu_per_join_ms,
            self.rss_per_peer_kb,
            self.rss_per_peer_loaded_kb,
            100.0 * self.loss,
            100.0 * self.load,
            self.forwarded_per_s / 1e3,
        );
    }
}
