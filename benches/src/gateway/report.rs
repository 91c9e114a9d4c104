//! The figures, for a person and for a program.

use serde::Serialize;
use std::{fmt, time::Duration};

/// Of a page of messages, as a client on the same machine sees it, connection included.
// The unit stands in the name, as everywhere.
#[allow(clippy::struct_field_names)]
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Latency {
    /// `took` has at least one.
    pub fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |permille: usize| took[((took.len() - 1) * permille) / 1_000].as_secs_f64() * 1e3;
        Self { p50_ms: at(500), p99_ms: at(990), max_ms: at(1_000) }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub messages: u64,
    /// Messages per second that three core nodes ordered.
    pub fill_per_s: f64,
    /// From the first request to the first page, with nothing on the gateway's disk.
    pub gateway_first_page_s: f64,
    /// The same after a restart, with its file.
    pub gateway_again_s: f64,
    /// Right after the first page.
    pub gateway_rss_mib: f64,
    pub gateway_peak_mib: f64,
    pub file_mib: u64,
    /// A new box takes over the whole school.
    pub box_loaded_s: f64,
    /// At rest after that.
    pub box_loaded_rss_mib: f64,
    /// Started anew, at rest.
    pub box_rest_rss_mib: f64,
    /// After the pages below.
    pub box_used_rss_mib: f64,
    /// The first page that anybody asks for after the start.
    pub first_page_ms: f64,
    /// Further first pages of rooms.
    pub page: Latency,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { page, .. } = self;
        writeln!(f, "school of {} messages", self.messages)?;
        writeln!(f, "gateway, first request to first page     {:8.2} s", self.gateway_first_page_s)?;
        writeln!(f, "gateway, the same with its file          {:8.2} s", self.gateway_again_s)?;
        writeln!(
            f,
            "gateway, memory after it / at most       {:8.1} MiB / {:.1} MiB",
            self.gateway_rss_mib, self.gateway_peak_mib
        )?;
        writeln!(f, "file of the school                       {:8} MiB", self.file_mib)?;
        writeln!(f, "box, takes over the school               {:8.2} s", self.box_loaded_s)?;
        writeln!(f, "box at rest after taking over            {:8.1} MiB", self.box_loaded_rss_mib)?;
        writeln!(f, "box at rest after a restart              {:8.1} MiB", self.box_rest_rss_mib)?;
        writeln!(f, "box after the pages below                {:8.1} MiB", self.box_used_rss_mib)?;
        writeln!(f, "box, very first page                     {:8.2} ms", self.first_page_ms)?;
        writeln!(
            f,
            "box, first pages, p50 / p99 / max        {:8.2} ms / {:.2} ms / {:.2} ms",
            page.p50_ms, page.p99_ms, page.max_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let took = (1..=1_000).rev().map(Duration::from_millis).collect();
        let latency = Latency::of(took);
        assert_eq!((latency.p50_ms, latency.p99_ms, latency.max_ms), (500.0, 990.0, 1_000.0));
        let one = Latency::of(vec![Duration::from_millis(7)]);
        assert_eq!((one.p50_ms, one.max_ms), (7.0, 7.0));
    }
}
