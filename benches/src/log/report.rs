//! The table of the log beside etcd.

use crate::report::Row;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Report {
    pub processors: usize,
    pub operation_len: usize,
    pub groups: u32,
    pub rows: Vec<Shared>,
}

/// A row of clients that share so many boxes, or connections (none: the disk alone).
#[derive(Debug, Serialize)]
pub struct Shared {
    pub boxes: usize,
    #[serde(flatten)]
    pub row: Row,
}

impl Report {
    pub fn new(groups: u32) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { processors, operation_len: super::OPERATION_LEN, groups, rows: Vec::new() }
    }

    /// A line of the table; before the first one, its head.
    pub fn print_row(&self, Shared { boxes, row }: &Shared) {
        if self.rows.is_empty() {
            println!(
                "{} processors, operations of {} bytes, three nodes each; the core with {} groups",
                self.processors, self.operation_len, self.groups
            );
            println!(
                "system     clients boxes  ops_per_s (slowest..fastest turn)   p50_us   p99_us | servers  clients (processors)"
            );
        }
        println!(
            "{:<10} {:>7} {:>5} {:>10.0} ({:>7.0} ..{:>7.0})            {:>8} {:>8} | {:>7.2} {:>8.2}",
            row.system,
            row.clients,
            boxes,
            row.ops_per_s,
            row.slowest_turn_ops_per_s,
            row.fastest_turn_ops_per_s,
            row.p50_us,
            row.p99_us,
            row.server_processors,
            row.client_processors,
        );
    }

    /// Ours against etcd's, per number of clients.
    pub fn print_verdict(&self) {
        for Shared { boxes, row: own } in self.rows.iter().filter(|shared| shared.row.system == "schulhof") {
            let same =
                |other: &&Shared| (other.row.system, other.row.clients, other.boxes) == ("etcd", own.clients, *boxes);
            if let Some(Shared { row: etcd, .. }) = self.rows.iter().find(same) {
                println!(
                    "{} clients, {boxes} boxes: {:.2} of etcd's rate, {:.2} of its p99",
                    own.clients,
                    own.ops_per_s / etcd.ops_per_s,
                    f64::from(own.p99_us) / f64::from(etcd.p99_us.max(1)),
                );
            }
        }
    }
}
