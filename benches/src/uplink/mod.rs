//! `schulhof-bench uplink`: classes at the same time, in each of which one half sits in the building and the other at home. A box's
//! media process and a relay, and between them the school's line: the seeded proxy, with the line's two rates.
//!
//! Each class is that of [`crate::class`]: the teacher, in the building, speaks without a pause and shows camera and screen, all
//! pupils show their cameras, one at a time speaks, and everybody looks at as many as there are slots. That is far more than the
//! line carries upwards; the box is told what it may send.

mod report;

use crate::{
    class::{Class, Seat},
    client::Kit,
    control::Controls,
    crowd::Hall,
    media::{recording::Recording, wait},
    process::{MediaProcess, Program, RELAY_NAME, free_port},
    ticket::SCHOOL,
};
use anyhow::ensure;
use report::Report;
use schulhof_net::{
    identity::{Ca, Role},
    media::config::{Relay, Trunks},
};
use schulhof_testkit::{Conditions, UdpProxy, Way};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

const CONNECT_MAX: Duration = Duration::from_mins(1);
/// Until estimates have grown and the box has found what fits.
const WARM_UP: Duration = Duration::from_secs(10);
/// Of the line, there and back alike.
const DELAY_MS: u64 = 15;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The report as one JSON object
    #[arg(long)]
    json: bool,
    #[arg(long, default_value_t = 5)]
    rooms: usize,
    /// In each room, the teacher included
    #[arg(long, default_value_t = 25)]
    people: usize,
    /// What the line carries upwards, in kbit/s
    #[arg(long, default_value_t = 10_000)]
    up: u64,
    /// What it carries downwards, in kbit/s
    #[arg(long, default_value_t = 40_000)]
    down: u64,
    /// What the box may send over it, in kbit/s (`uplink_kbit_s`)
    #[arg(long, default_value_t = 8_500)]
    budget: u32,
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Of the line
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The product to measure; the one beside this program if left out
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!((1..=20).contains(&args.rooms) && (2..=30).contains(&args.people), "1 to 20 rooms of 2 to 30 people");
    ensure!((1..=600).contains(&args.seconds), "1 to 600 seconds");
    ensure!(args.up > 0 && args.down > 0, "a line carries something");
    let report = measure(args)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    Ok(if report.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(args: &Args) -> anyhow::Result<Report> {
    let program = Program::find(args.bin.as_deref())?;
    let folder = tempfile::tempdir()?;
    let quic = free_port()?;
    let [box_identity, relay_identity] = identities(folder.path())?;
    let relay = MediaProcess::relay(&program, relay_identity, quic)?;
    let way = |rate_kbit_s| Conditions {
        delay_min_ms: DELAY_MS,
        delay_max_ms: DELAY_MS,
        rate_kbit_s,
        ..Conditions::default()
    };
    let line = Way { up: way(args.up), down: way(args.down), cut: false };
    let line = UdpProxy::start(([127, 0, 0, 1], 0).into(), quic, &line, args.seed)?;
    let trunks = Trunks {
        identity: box_identity,
        school: SCHOOL.parse()?,
        uplink_kbit_s: Some(args.budget),
        relays: vec![Relay { name: RELAY_NAME.parse()?, addr: line.front() }],
    };
    let building = MediaProcess::with_trunks(&program, trunks)?;

    let controls = [Controls::new(building.addr)?, Controls::new(relay.addr)?];
    let (hall, kit) = (Hall::new(Arc::new(Recording::chromium()?))?, Kit::new()?);
    let class = Class { people: args.people, cameras: args.people - 1 };
    let mut channels = Vec::new();
    for room in 0..args.rooms {
        for place in 0..args.people {
            // The teacher is in the building, every second pupil at home.
            let at_home = place % 2 == 1;
            let node = if at_home { &relay } else { &building };
            let (person, control) =
                Seat { class, room, place, at_home }.join(&kit, node, &controls[usize::from(at_home)])?;
            channels.push(control);
            hall.seat(person)?;
        }
    }
    let people = args.rooms * args.people;
    wait(CONNECT_MAX, "everybody connects", || Ok(hall.counts()?.connected == people))?;
    hall.begin();
    std::thread::sleep(WARM_UP);

    hall.forget();
    let begun = Instant::now();
    let mut carried = vec![line.carried()];
    for second in 1..=args.seconds {
        std::thread::sleep((begun + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        carried.push(line.carried());
    }
    let counts = hall.counts()?;
    if let Some(closed) = channels.iter().find_map(|channel| channel.told().closed) {
        anyhow::bail!("a control channel was closed: {closed}");
    }
    Ok(Report::new(args, people, &carried, &counts))
}

/// Of the box and the relay, by one CA.
fn identities(folder: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let ca = Ca::generate()?;
    let issue = |role, name: &str| {
        let own = folder.join(name);
        ca.issue(role, name)?.save(&own)?;
        anyhow::Ok(own)
    };
    Ok([issue(Role::Box, SCHOOL)?, issue(Role::Relay, RELAY_NAME)?])
}
