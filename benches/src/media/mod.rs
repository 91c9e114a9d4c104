//! `schulhof-bench media`: one publisher to N subscribers in each room, bursts of packets or a real camera's frames, through
//! a media process and through Janus; and classes of thirty.
//!
//! The rate adapts so that the media process is busy and loss stays small; then processor time is counted for a while.
//! Figures are per second of the process's processor time, so that a generator on the same machine does not flatter or
//! harm them. The floor is measured in the same run. Listeners in classes tell what arrived and when, as browsers do, and
//! the node adapts to that; the other listeners send receiver reports only, so that they get whatever is published.

mod audience;
mod measure;
mod publisher;
pub mod recording;
mod report;
pub mod server;

pub use audience::Audience;
pub(crate) use measure::{quiet, wait};
pub use publisher::{Pattern, Publisher};
pub use report::{Report, Row};

use crate::{class, client::Kit, janus::Janus, process::Program};
use anyhow::{Context as _, ensure};
use measure::{Size, measure};
use recording::Recording;
use server::Ours;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// RTP payload: with header, extensions and tag a packet of 1,200 bytes.
pub const PAYLOAD_LEN: usize = 1_160;
/// As many rooms as make so many subscribers load the node, but not more: one publisher's rate is a browser's.
const EVERYBODY_WANTED: usize = 400;
const ROOMS_WANTED_MAX: usize = 20;
const ROOMS_MAX: usize = 50;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Equal packets, some at once
    Bursts,
    /// The frames of Chromium's camera
    Camera,
    /// Janus beside it, taking turns
    Janus,
    /// Rooms of thirty
    Class,
}

#[derive(clap::Args)]
pub struct Args {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Only these
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["bursts", "camera", "janus", "class"])]
    parts: Vec<Part>,
    /// Numbers of subscribers
    #[arg(long, value_delimiter = ',', default_values_t = [10, 50, 100])]
    subscribers: Vec<usize>,
    /// Packets that the publisher sends at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 8])]
    bursts: Vec<usize>,
    /// Subscribers and burst at which Janus runs too
    #[arg(long, default_value_t = 50)]
    janus_subscribers: usize,
    #[arg(long, default_value_t = 4)]
    janus_burst: usize,
    /// Rooms side by side, each with a publisher and its subscribers; by default as many as load the node
    #[arg(long)]
    rooms: Option<usize>,
    /// Rooms of thirty
    #[arg(long, value_delimiter = ',', default_values_t = [4, 8])]
    classes: Vec<usize>,
    /// Seconds to measure each combination
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// The program whose `media` subcommand is measured; by default `schulhof` beside this one, else the same node in this one
    #[arg(long)]
    bin: Option<PathBuf>,
}

impl Args {
    fn rooms(&self, subscribers: usize) -> usize {
        self.rooms.unwrap_or_else(|| EVERYBODY_WANTED.div_ceil(subscribers.max(1)).min(ROOMS_WANTED_MAX))
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.rooms.is_none_or(|rooms| (1..=ROOMS_MAX).contains(&rooms)), "1 to {ROOMS_MAX} rooms");
        let sizes = || self.subscribers.iter().chain([&self.janus_subscribers]);
        ensure!(sizes().all(|n| (1..=500).contains(&(n * self.rooms(*n)))), "1 to 500 subscribers in all");
        ensure!(
            self.bursts.iter().chain([&self.janus_burst]).all(|n| (1..=32).contains(n)),
            "bursts of 1 to 32 packets"
        );
        ensure!(self.classes.iter().all(|rooms| (1..=30).contains(rooms)), "1 to 30 classes");
        ensure!((1..=600).contains(&self.seconds), "1 to 600 seconds");
        Ok(())
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    args.check()?;
    let (program, kit) = (Program::find(args.bin.as_deref())?, Kit::new()?);
    let camera = Pattern::Camera(Arc::new(Recording::chromium()?));
    let time = Duration::from_secs(args.seconds);
    let mut report = Report::new(!args.json);
    let ours = |subscribers: usize, pattern: &Pattern| {
        let size = Size { rooms: args.rooms(subscribers), subscribers, pattern: pattern.clone() };
        let row = measure(&kit, "schulhof", &mut Ours::start(&program)?, size, time);
        row.with_context(|| format!("{subscribers} subscribers, {:.1} packets at once", pattern.packets_per_frame()))
    };
    let has = |part| args.parts.contains(&part);
    let mut patterns: Vec<Pattern> = Vec::new();
    if has(Part::Bursts) {
        patterns.extend(args.bursts.iter().map(|burst| Pattern::Burst(*burst)));
    }
    if has(Part::Camera) {
        patterns.push(camera.clone());
    }
    for &subscribers in &args.subscribers {
        for pattern in &patterns {
            report.add(ours(subscribers, pattern)?);
        }
    }
    if has(Part::Janus) {
        let subscribers = args.janus_subscribers;
        for pattern in [Pattern::Burst(args.janus_burst), camera] {
            let size = Size { rooms: args.rooms(subscribers), subscribers, pattern: pattern.clone() };
            let theirs =
                measure(&kit, "janus", &mut Janus::start(args.rooms(subscribers))?, size, time).context("Janus")?;
            report.compare(ours(subscribers, &pattern)?, theirs);
        }
    }
    if has(Part::Class) {
        for &rooms in &args.classes {
            report.add_class(class::measure(&kit, &program, rooms, time).with_context(|| format!("{rooms} classes"))?);
        }
    }
    report.finish()
}
