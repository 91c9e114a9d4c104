//! What went over the line, and what people heard.

use super::Args;
use crate::crowd::Counts;
use schulhof_testkit::Carried;
use serde::Serialize;

/// Aim.
const LOSS_MAX: f64 = 0.01;

#[derive(Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    pub rooms: usize,
    pub people: usize,
    pub line_up_kbit_s: u64,
    pub line_down_kbit_s: u64,
    pub budget_kbit_s: u32,
    /// With the headers of UDP and IPv4, on average and in the worst second.
    pub up_kbit_s: u64,
    pub up_worst_kbit_s: u64,
    pub down_kbit_s: u64,
    pub down_worst_kbit_s: u64,
    /// Packets that found the line's queue full.
    pub up_overflowed: u64,
    pub down_overflowed: u64,
    /// Packets of voices that never came, share of 1.
    pub voice_loss_building: f64,
    pub voice_loss_home: f64,
    /// Pictures and voices that each person got at the same time, on average.
    pub streams_per_person: f64,
    /// Aims that were not reached.
    pub missed: Vec<&'static str>,
}

impl Report {
    /// `carried`: once a second, up and down.
    pub fn new(args: &Args, people: usize, carried: &[[Carried; 2]], counts: &Counts) -> Self {
        let seconds = carried.len().saturating_sub(1).max(1) as u64;
        let kbit = |way: usize| -> Vec<u64> {
            carried.windows(2).map(|pair| (pair[1][way].bytes - pair[0][way].bytes) * 8 / 1_000).collect()
        };
        let (up, down) = (kbit(0), kbit(1));
        let overflowed = |way: usize| match carried {
            [first, .., last] => last[way].overflowed - first[way].overflowed,
            _ => 0,
        };
        let [building, home] = counts.voices.map(|(expected, received)| loss(expected, received));
        let mut report = Self {
            seed: args.seed,
            rooms: args.rooms,
            people,
            line_up_kbit_s: args.up,
            line_down_kbit_s: args.down,
            budget_kbit_s: args.budget,
            up_kbit_s: up.iter().sum::<u64>() / seconds,
            up_worst_kbit_s: up.iter().copied().max().unwrap_or(0),
            down_kbit_s: down.iter().sum::<u64>() / seconds,
            down_worst_kbit_s: down.iter().copied().max().unwrap_or(0),
            up_overflowed: overflowed(0),
            down_overflowed: overflowed(1),
            voice_loss_building: building,
            voice_loss_home: home,
            streams_per_person: counts.streams as f64 / people as f64,
            missed: Vec::new(),
        };
        let aims = [
            (report.up_kbit_s <= u64::from(args.budget), "upstream within the budget"),
            (building <= LOSS_MAX, "voices whole in the building"),
            (home <= LOSS_MAX, "voices whole at home"),
        ];
        report.missed = aims.into_iter().filter(|(reached, _)| !reached).map(|(_, aim)| aim).collect();
        report
    }

    pub fn print(&self) {
        println!(
            "{} people in {} rooms, every second one at home; seed {}; a line of {} / {} kbit/s, of which the box may use {} upwards",
            self.people, self.rooms, self.seed, self.line_up_kbit_s, self.line_down_kbit_s, self.budget_kbit_s
        );
        println!(
            "upstream    {} kbit/s, in the worst second {}; {} packets found the queue full",
            self.up_kbit_s, self.up_worst_kbit_s, self.up_overflowed
        );
        println!(
            "downstream  {} kbit/s, in the worst second {}; {} packets found the queue full",
            self.down_kbit_s, self.down_worst_kbit_s, self.down_overflowed
        );
        println!(
            "voices      {:.2} % lost in the building, {:.2} % at home; {:.1} pictures and voices for each",
            100.0 * self.voice_loss_building,
            100.0 * self.voice_loss_home,
            self.streams_per_person
        );
        for aim in &self.missed {
            println!("not reached: {aim}");
        }
    }
}

fn loss(expected: u64, received: u64) -> f64 {
    expected.saturating_sub(received) as f64 / expected.max(1) as f64
}
